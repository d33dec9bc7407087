//! Where the `.gcda` files of GCC's objects go, and what was in them before.
//!
//! What always holds: a file is below the output directory; what an earlier run left in it is read once, before the
//! target is touched, and each snapshot is added to that: never to what covtap itself wrote.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::programs::{Profiles, Programs};
use crate::profile::gcov::{self, GcdaFile};
use crate::write::gcda::encode;
use crate::write::gcda_path::GcdaPlace;
use crate::write::{check_all_writable, write_all_whole};

/// Where files go if the user does not say.
const DEFAULT_DIR: &str = "gcda";

/// Where `.gcda` files go.
#[derive(Debug, Args)]
pub(super) struct GcdaArgs {
    /// Where the .gcda files of what GCC counts go: below this directory, under the names that the compiler gave them
    /// [default: gcda]
    #[arg(long, value_name = "DIR", env = "GCOV_PREFIX", hide_env_values = true)]
    gcda_dir: Option<OsString>,
    /// Leave out so many of the leading directories of those names
    #[arg(long, value_name = "N", env = "GCOV_PREFIX_STRIP", hide_env_values = true)]
    gcda_strip: Option<OsString>,
    /// Replace the .gcda files that are there; without this, counts are added to theirs, as at the end of another run
    #[arg(long)]
    gcda_replace: bool,
}

impl GcdaArgs {
    /// The same for files of their own below another directory.
    pub(super) fn below(&self, dir: &Path) -> Self {
        Self { gcda_dir: Some(dir.into()), gcda_strip: self.gcda_strip.clone(), gcda_replace: true }
    }
}

/// A file that is there already cannot be added to.
#[derive(Debug, thiserror::Error)]
#[error("add to {}: {error}", path.display())]
pub(super) struct InTheWay {
    path: PathBuf,
    error: anyhow::Error,
}

/// Two objects go to one file, and are not the same.
#[derive(Debug, thiserror::Error)]
#[error("write {}: two objects go there that are not the same: {source}", path.display())]
pub(super) struct SameFile {
    path: PathBuf,
    source: gcov::MergeGcdaError,
}

/// The files of all objects.
pub(super) struct GcdaOutput {
    dir: PathBuf,
    is_replacing: bool,
    targets: Vec<Target>,
    /// The targets of the objects of all programs, in their order.
    by_object: Vec<usize>,
}

/// One file.
struct Target {
    path: PathBuf,
    /// What an earlier run left.
    base: Option<GcdaFile>,
    /// What was written last.
    written: Vec<u8>,
}

impl GcdaOutput {
    /// Looks for a file for each object and reads those that are there. `note` is told of those that will be replaced.
    ///
    /// # Errors
    ///
    /// A name leads out of the directory, a folder cannot be written to, what is there is damaged or of something else
    /// that the target would not replace either, or two objects that are not the same go to one file.
    pub(super) fn prepare(args: &GcdaArgs, programs: &Programs, note: impl Fn(&str)) -> Result<Self> {
        let default = Path::new(DEFAULT_DIR);
        let place = GcdaPlace::new(default, args.gcda_dir.as_deref(), args.gcda_strip.as_deref());
        let mut output = Self {
            dir: place.root().to_owned(),
            is_replacing: args.gcda_replace,
            targets: Vec::new(),
            by_object: Vec::new(),
        };
        let mut at_path: HashMap<PathBuf, (usize, GcdaFile)> = HashMap::new();
        for (program, image) in programs.gcov() {
            let nothing = program.nothing_counted(image)?;
            for (object, file) in image.objects.iter().zip(nothing.files) {
                let path = place.path(&object.filename)?;
                let index = match at_path.get_mut(&path) {
                    Some((index, first)) => {
                        first.merge(&file).map_err(|source| SameFile { path, source })?;
                        *index
                    }
                    None => {
                        let index = output.targets.len();
                        let base = if args.gcda_replace { None } else { base(&path, &file, &note)? };
                        output.targets.push(Target { path: path.clone(), base, written: Vec::new() });
                        at_path.insert(path, (index, file));
                        index
                    }
                };
                output.by_object.push(index);
            }
        }
        check_all_writable(output.targets.iter().map(|target| &*target.path))?;
        let added_to = output.targets.iter().filter(|target| target.base.is_some()).count();
        if added_to > 0 {
            note(&format!(
                "counts are added to those of {added_to} .gcda files in {}; --gcda-replace does not, and a run that they \
                 are of already counts twice without it",
                output.dir.display()
            ));
        }
        Ok(output)
    }

    /// The files of the objects of all programs, in their order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.by_object.iter().filter_map(|index| self.targets.get(*index)).map(|target| &*target.path)
    }

    /// Whether what is there goes, whatever it is.
    pub(super) fn is_replacing(&self) -> bool {
        self.is_replacing
    }

    /// Writes the files whose content has changed, and gives how many there are in all and the directory that they are
    /// below, if any program has files.
    ///
    /// # Errors
    ///
    /// A file could not be written.
    pub(super) fn write(&mut self, profiles: &Profiles) -> Result<Option<(usize, &Path)>> {
        let mut sums: Vec<Option<GcdaFile>> = self.targets.iter().map(|_| None).collect();
        let files = profiles.gcov.iter().flat_map(|profile| &profile.files);
        for (file, index) in files.zip(&self.by_object) {
            match sums.get_mut(*index) {
                Some(Some(sum)) => {
                    let first = std::mem::replace(sum, file.clone());
                    sum.merge(&first)?;
                }
                Some(sum) => *sum = Some(file.clone()),
                None => {}
            }
        }
        let mut changed = Vec::new();
        for (target, sum) in self.targets.iter_mut().zip(sums) {
            let Some(mut sum) = sum else { continue };
            if let Some(base) = &target.base {
                sum.merge(base).with_context(|| format!("add to {}", target.path.display()))?;
            }
            let bytes = encode(&sum);
            if bytes != target.written {
                target.written.clone_from(&bytes);
                changed.push((target.path.clone(), bytes));
            }
        }
        write_all_whole(&changed)?;
        Ok((!self.targets.is_empty()).then_some((self.targets.len(), &*self.dir)))
    }
}

/// What an earlier run left for an object, which has the form of `nothing`.
fn base(path: &Path, nothing: &GcdaFile, note: impl Fn(&str)) -> Result<Option<GcdaFile>> {
    let in_the_way = |error| InTheWay { path: path.to_owned(), error };
    if !path.try_exists().with_context(|| format!("look at {}", path.display()))? || path.is_dir() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| in_the_way(error.into()))?;
    let file = gcov::read("it", &bytes).map_err(|error| in_the_way(error.into()))?;
    match nothing.clone().merge(&file) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.is_other_build() => {
            note(&format!("{} is of another build and will be replaced: {error}", path.display()));
            Ok(None)
        }
        Err(error) => Err(in_the_way(error.into()).into()),
    }
}
