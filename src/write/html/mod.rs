//! A static site of the coverage, for people.
//!
//! ```text
//! index.html            all files as a tree, with totals
//! style.css, script.js  shared by all pages; without the script everything is there to be read
//! files/NAME-DIGEST.html    a page for each source: NAME is its own name, DIGEST of its whole one
//! object.html, object/      of a trace: the functions of its programs, and a page for each
//! ```
//!
//! What enters is a [`Coverage`] and how sources are read; what leaves is a directory. What always holds: pages load
//! nothing but those two files; no name of a program chooses a path; names and sources are text and never markup;
//! the directory is there whole or not at all, and only an older site, or nothing, is replaced by it; the same
//! coverage, sources and options make the same bytes.

mod conditions;
mod decisions;
mod file;
mod functions;
mod index;
mod layout;
mod listing;
mod metrics;
mod names;
mod notes;
mod number;
mod object;
mod paint;
mod source;
mod text;
mod tree;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use self::file::FilePage;
use self::metrics::Column;
use self::names::PageNames;
use self::notes::Around;
use self::object::ObjectPages;
use self::source::Sources;
use self::tree::{Node, Tree};
use super::demangle::demangle;
use super::sources::SourceError;
use super::whole_dir::{Kind, WholeDir, WriteDirError};
use crate::coverage::{Coverage, FileCoverage, Statistics};

/// The mark by which a site is known.
const GENERATOR: &str = "covtap";
const KIND: Kind = Kind {
    index: "index.html",
    mark: "<meta name=\"generator\" content=\"covtap\">",
    beside: &[FILES, object::DIR, object::TABLE, "style.css", "script.js"],
};
/// The directory of the sources' pages.
const FILES: &str = "files";
/// The longest name of a function that is shown, in characters.
const MAX_NAME_CHARS: usize = 400;

pub use self::object::ObjectProgram;

/// How sources are read: the bytes of a name that the coverage has.
pub type ReadSource<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, SourceError>;

/// What a site says of itself, and where its sources come from.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The ELFs.
    pub images: &'a [PathBuf],
    /// The profiles.
    pub profiles: &'a [PathBuf],
    /// What is to be known of the counts.
    pub cautions: &'a [String],
    /// When the site is made.
    pub made_at: Timestamp,
    /// [`sources::read`](super::sources::read), or what looks elsewhere first.
    pub read_source: ReadSource<'a>,
    /// The programs of a trace, whose object code is shown.
    pub programs: &'a [ObjectProgram<'a>],
}

/// A site that was written.
#[derive(Debug)]
pub struct Site {
    /// How many sources have a page.
    pub files: usize,
    /// Why texts are not shown, by file.
    pub without_text: Vec<Rc<SourceError>>,
}

/// A page of a source.
struct Page {
    file_name: String,
    statistics: Statistics,
}

/// Checks early that the site can be written.
///
/// # Errors
///
/// As [`write()`]; nothing has changed in any case.
pub fn check(dir: &Path) -> Result<(), WriteDirError> {
    WholeDir::begin(dir, KIND).map(drop)
}

/// Writes the site to `dir`, the folder of which must be there.
///
/// # Errors
///
/// `dir` is there, and neither empty nor a site; or the folder cannot be written to. Nothing has changed then.
pub fn write(coverage: &Coverage, dir: &Path, options: &Options<'_>) -> Result<Site, WriteDirError> {
    let site = WholeDir::begin(dir, KIND)?;
    let files: Vec<FileCoverage<'_>> = coverage.files().collect();
    let names: Vec<&[u8]> = files.iter().map(FileCoverage::name).collect();
    let tree = tree::build(&names);
    let files: Vec<&FileCoverage<'_>> = tree.order.iter().filter_map(|index| files.get(*index)).collect();
    let mut page_names = PageNames::default();
    let page = |file: &&FileCoverage<'_>| Page {
        file_name: page_names.give(file.name()),
        statistics: file.statistics(),
    };
    let pages: Vec<Page> = files.iter().map(page).collect();
    let shown = metrics::shown(coverage);
    let object = ObjectPages::of(options.programs);
    site.make_dir(FILES)?;
    let writer =
        Writer { site: &site, files: &files, pages: &pages, shown: &shown, object: &object, options };
    let without_text = writer.all(&tree)?;
    let index = index::page(coverage, &tree, &pages, &shown, &object, options);
    site.write(None, KIND.index, index.into_string().as_bytes())?;
    site.write(None, "style.css", include_bytes!("style.css"))?;
    site.write(None, "script.js", include_bytes!("script.js"))?;
    site.finish()?;
    Ok(Site { files: pages.len(), without_text })
}

/// Writes the pages of sources; files and pages are in the order of the tree.
struct Writer<'a, 's> {
    site: &'s WholeDir,
    files: &'s [&'s FileCoverage<'a>],
    pages: &'s [Page],
    shown: &'s [Column],
    object: &'s ObjectPages<'s>,
    options: &'s Options<'s>,
}

impl Writer<'_, '_> {
    /// The pages of sources, and of object code; gives the errors of sources.
    fn all(&self, tree: &Tree) -> Result<Vec<Rc<SourceError>>, WriteDirError> {
        let links: HashMap<&[u8], &str> =
            self.files.iter().zip(self.pages).map(|(file, page)| (file.name(), &*page.file_name)).collect();
        let mut sources = Sources::new(self.options.read_source);
        let mut around = Around { sources: &mut sources, pages: &links };
        let without_text = self.files(tree, &mut around)?;
        if !self.object.is_empty() {
            self.object.write(self.site, self.options, &mut around)?;
        }
        Ok(without_text)
    }

    fn files(&self, tree: &Tree, around: &mut Around<'_, '_>) -> Result<Vec<Rc<SourceError>>, WriteDirError> {
        let mut without_text = Vec::new();
        let mut crumbs: Vec<(usize, &[u8])> = Vec::new();
        for (number, row) in tree.rows.iter().enumerate() {
            crumbs.truncate(row.depth);
            let index = match row.node {
                Node::Dir(_) => {
                    crumbs.push((number, &row.name));
                    continue;
                }
                Node::File(index) => index,
            };
            let (Some(file), Some(page)) = (self.files.get(index), self.pages.get(index)) else { continue };
            let Self { shown, object, options, .. } = *self;
            let page = FilePage { file, page, crumbs: &crumbs, name: &row.name, shown, object, options };
            let (markup, error) = page.render(around);
            self.site.write(Some(FILES), &page.page.file_name, markup.into_string().as_bytes())?;
            without_text.extend(error);
        }
        Ok(without_text)
    }
}

/// A function's name as people write it, and not longer than one reads.
fn function_name(name: &[u8]) -> String {
    let name = demangle(name);
    let shown = text::visible(name.as_bytes());
    match shown.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown.into_owned(),
    }
}
