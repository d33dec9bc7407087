//! Source with its counts, as `llvm-cov show` prints it.
//!
//! ```text
//! /src/valve.c:                        a file, if there are several
//!     7|  1.50k|  if (a > b)           number, count, source
//!                   ^998               with `regions`: counts of what begins inside of the line
//!   ------------------
//!   |  Branch (7:7): [True: 998, False: 502]
//!   ------------------
//! ```
//!
//! What enters is files with their coverage, and a way to read sources; what leaves is text, written as it is made.
//! What always holds: the defaults give the bytes of `llvm-cov show`; what could not be shown is returned, and the
//! rest is. Source: `llvm/tools/llvm-cov/CodeCoverage.cpp`, `SourceCoverageView.cpp` and
//! `SourceCoverageViewText.cpp`, llvmorg-19.1.7.

mod below;
mod conditions;
mod line;
mod mcdc;
mod source;
mod view;

use std::io::{self, Write};
use std::rc::Rc;

use super::paint::{CYAN, Paint};
use super::paths;
use super::sources::SourceError;
use crate::coverage::{Coverage, FileCoverage};

use source::{Sources, Text};
use view::View;

/// Expansions that are nested deeper are not shown: how deep they nest is for the program to say.
const MAX_NESTED: usize = 64;

/// How branches are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branches {
    /// How often each outcome was.
    Counts,
    /// How many percent of all times.
    Percents,
}

/// What is shown beside the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How often each line ran.
    pub counts: bool,
    /// How often what begins inside of a line ran, below it, where that is not the line's own count.
    pub regions: bool,
    /// The text of macros and includes below the lines that use them, with the counts of that use alone.
    pub expansions: bool,
    /// Each instantiation of a function that has several, with its own counts, below the function.
    pub instantiations: bool,
    /// The outcomes of branches below their lines.
    pub branches: Option<Branches>,
    /// MC/DC: the test vectors of decisions, and which conditions they show to decide; of gcov's decisions, which
    /// outcomes were seen.
    pub mcdc: bool,
    /// Names of functions as in the source.
    pub is_demangled: bool,
    /// Colours for a terminal: what did not run on red, expansions on cyan.
    pub is_coloured: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            counts: true,
            regions: false,
            expansions: false,
            instantiations: true,
            branches: None,
            mcdc: false,
            is_demangled: false,
            is_coloured: false,
        }
    }
}

/// Gives a source's bytes by its name in the coverage.
pub type ReadSource<'r> = dyn Fn(&[u8]) -> Result<Vec<u8>, SourceError> + 'r;

/// Something that could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Omitted {
    /// A source that cannot be read; said once for each.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No person wrote that.
    #[error("show the expansions in {function}: they are more than {} deep", MAX_NESTED)]
    TooDeep {
        /// The function's name.
        function: String,
    },
}

/// Writes the files' sources with their counts. `read` is asked once for each; [`sources::read`](super::sources::read)
/// is one.
///
/// # Errors
///
/// Writing to `out` failed. What could not be read is no error: it is given back.
pub fn write(
    coverage: &Coverage,
    options: &Options,
    read: &ReadSource<'_>,
    out: &mut impl Write,
) -> io::Result<Vec<Omitted>> {
    let sources = Sources::new(read);
    let mut printer =
        Printer { options, paint: Paint::new(options.is_coloured), sources, omitted: Vec::new() };
    let files: Vec<FileCoverage<'_>> = coverage.files().collect();
    for file in &files {
        let Some(view) = View::of_file(file, &mut printer) else { continue };
        if files.len() != 1 {
            printer.title(file.name(), out)?;
        }
        view.print(&mut printer, 0, out)?;
        writeln!(out)?;
    }
    Ok(printer.omitted)
}

/// What all views are printed with.
struct Printer<'r> {
    options: &'r Options,
    paint: Paint,
    sources: Sources<'r>,
    omitted: Vec<Omitted>,
}

impl Printer<'_> {
    /// The source of that name; what hinders is kept for the caller.
    fn text(&mut self, name: &[u8]) -> Option<Rc<Text>> {
        self.sources.get(name).unwrap_or_else(|error| {
            self.omitted.push(error.into());
            None
        })
    }

    fn omit_too_deep(&mut self, function: &[u8]) {
        let function = String::from_utf8_lossy(&paths::printable(function)).into_owned();
        // Once is enough for one function.
        if !matches!(self.omitted.last(), Some(Omitted::TooDeep { function: last }) if *last == function) {
            self.omitted.push(Omitted::TooDeep { function });
        }
    }

    /// The name of a file or function above what is shown of it.
    fn title(&self, name: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.paint.text(Some(CYAN), [&*paths::tidy(name), b":\n"].concat(), out)
    }
}
