//! The files that have debug information of a program that was compiled with -gsplit-dwarf.
//!
//! What enters is the program's path and the names that its units give; what leaves is the files that are there. What always
//! holds: paths come from the ELF and are only read: regular files, of no more than [`MAX_BYTES`] together; each file is read
//! once; one that is missing is no error.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::tap;
use super::terminal::say as note;
use crate::coverage::trace::{SplitUnit, packaged, split_units};
use crate::image::Image;

/// All `.dwo` files of a program together are no longer. A browser's have half of that.
const MAX_BYTES: u64 = 8 << 30;

/// Where debug information is that is in files of its own.
#[derive(Debug, Default, Args)]
pub(super) struct SplitArgs {
    /// Where a program's debug information is that was compiled with -gsplit-dwarf: a package (.dwp), a file (.dwo), or a
    /// folder of such files; without it ELF.dwp, where the compiler wrote them, and beside the ELF; may be given again
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with = "by_test")]
    dwo: Vec<PathBuf>,
}

impl SplitArgs {
    /// Whether it was asked for.
    pub(super) fn any(&self) -> bool {
        !self.dwo.is_empty()
    }

    /// Finds the files. `moved` gives a folder's new name, if it has one.
    ///
    /// # Errors
    ///
    /// A file that was asked for cannot be read, or is no ELF.
    pub(super) fn find(
        &self,
        image: &Image,
        path: &Path,
        moved: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Vec<Image>> {
        let mut missing = split_units(image);
        let mut files = Vec::new();
        if missing.is_empty() {
            return Ok(files);
        }
        for file in self.dwo.iter().filter(|path| !path.is_dir()) {
            files.push(tap::load(file)?);
        }
        let mut package = path.as_os_str().to_owned();
        package.push(".dwp");
        let package = PathBuf::from(package);
        if package.is_file() {
            match tap::load(&package) {
                Ok(package) => files.push(package),
                Err(error) => note(&format!("left out: {error:#}")),
            }
        }
        for file in &files {
            let found: HashSet<u64> = packaged(file, &missing).into_iter().collect();
            missing.retain(|unit| !found.contains(&unit.id));
        }
        let mut finder =
            Finder { args: self, beside: path.parent(), moved, known: HashSet::new(), left: MAX_BYTES };
        for unit in &missing {
            match finder.read(unit) {
                Ok(file) => files.extend(file),
                Err(error) => note(&format!("left out: {error:#}")),
            }
        }
        Ok(files)
    }
}

/// Finds files of units.
struct Finder<'a> {
    args: &'a SplitArgs,
    beside: Option<&'a Path>,
    moved: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
    known: HashSet<PathBuf>,
    left: u64,
}

impl Finder<'_> {
    /// Reads a unit's file; `None` if it is not there, or was read before.
    fn read(&mut self, unit: &SplitUnit) -> Result<Option<Image>> {
        let Some(path) = self.places(unit).into_iter().find(|path| path.is_file()) else { return Ok(None) };
        if !self.known.insert(path.clone()) {
            return Ok(None);
        }
        let read = || format!("read {}", path.display());
        let len_bytes = path.metadata().with_context(read)?.len();
        self.left =
            self.left.checked_sub(len_bytes).context("too long, with those before it").with_context(read)?;
        // There are many: each would be an open file.
        let bytes = fs::read(&path).with_context(read)?;
        Ok(Some(Image::parse(&path.display().to_string(), bytes)?))
    }

    /// Where it may be, the likeliest first.
    fn places(&self, unit: &SplitUnit) -> Vec<PathBuf> {
        let name = Path::new(OsStr::from_bytes(&unit.name));
        let written = Path::new(OsStr::from_bytes(&unit.folder)).join(name);
        let moved =
            (self.moved)(written.as_os_str().as_bytes()).map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        let folders = self.args.dwo.iter().filter(|path| path.is_dir()).map(PathBuf::as_path);
        let in_folder = |folder: &Path| {
            // One from the root would take the folder's place.
            let whole = name.is_relative().then(|| folder.join(name));
            whole.into_iter().chain(name.file_name().map(|name| folder.join(name)))
        };
        let given = folders.flat_map(in_folder);
        given
            .chain(moved)
            .chain([written.clone()])
            .chain(self.beside.into_iter().flat_map(in_folder))
            .collect()
    }
}
