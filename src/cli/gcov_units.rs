//! Units of gcov's from files: data files with their notes, evaluated.
//!
//! What enters is notes and data files; what leaves is units in a [`Coverage`], and a line for each file that is not
//! in it. What always holds: data files of one unit are added up; notes without data are a unit that did not run;
//! units are evaluated on all processors in batches, and are the same in the same order on one.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use rayon::prelude::*;

use super::formats::Formats;
use super::notes::{self, NotesFiles, Wanted};
use crate::coverage::Coverage;
use crate::coverage::gcov::{FunctionCounters, Notes, UnitCoverage};
use crate::profile::gcov::{self, GcdaFile};

/// How many units are in memory at a time: enough for processors to share them out.
pub(super) const BATCH: usize = 128;

/// The data files of a unit, by the path of its notes.
type ByNotes = BTreeMap<PathBuf, Vec<DataFile>>;

struct DataFile {
    path: PathBuf,
    data: GcdaFile,
}

/// A unit that was evaluated.
struct Unit {
    /// What doubts call it.
    name: String,
    coverage: UnitCoverage,
    /// What is left out of it.
    left_out: Vec<Error>,
}

/// Adds units to the coverage, and gives why what is left out is.
///
/// # Errors
///
/// There are data files and none is of use, or only notes and none can be read: the first reason.
pub(super) fn add(
    coverage: &mut Coverage,
    formats: &Formats<'_>,
    notes: Vec<PathBuf>,
    data: &[PathBuf],
) -> Result<Vec<Error>> {
    let files = NotesFiles::new(notes);
    let (mut by_notes, failed) = group(&files, data);
    let (failed_paths, mut left_out): (Vec<&Path>, Vec<Error>) = failed.into_iter().unzip();
    if by_notes.is_empty() && !left_out.is_empty() {
        return Err(left_out.swap_remove(0));
    }
    // Notes of a unit whose data are of no use would say that it did not run.
    let unknown: HashSet<&PathBuf> = failed_paths.iter().filter_map(|path| files.of_name(path)).collect();
    for path in files.paths().iter().filter(|path| !unknown.contains(path)) {
        by_notes.entry(real(path)?).or_default();
    }
    let mut num_added = 0usize;
    let units: Vec<(PathBuf, Vec<DataFile>)> = by_notes.into_iter().collect();
    for batch in units.chunks(BATCH) {
        let evaluated: Vec<Result<Unit>> =
            batch.par_iter().map(|(path, data)| Unit::new(formats, path, data)).collect();
        for unit in evaluated {
            match unit {
                Ok(unit) => {
                    coverage.add_unit(&unit.name, &unit.coverage);
                    left_out.extend(unit.left_out);
                    num_added = num_added.saturating_add(1);
                }
                Err(error) => left_out.push(error),
            }
        }
    }
    if num_added == 0 && !left_out.is_empty() {
        return Err(left_out.swap_remove(0));
    }
    Ok(left_out)
}

/// The data files by their notes, and why some have none.
fn group<'d>(files: &NotesFiles, data: &'d [PathBuf]) -> (ByNotes, Vec<(&'d Path, Error)>) {
    let read = |path: &'d PathBuf| -> Result<(PathBuf, DataFile), (&'d Path, Error)> {
        let found = find(files, path);
        found.map_err(|error| (path.as_path(), error))
    };
    let found: Vec<_> = data.par_iter().map(read).collect();
    let (mut by_notes, mut failed) = (ByNotes::new(), Vec::new());
    for found in found {
        match found {
            Ok((notes, data)) => by_notes.entry(notes).or_default().push(data),
            Err(error) => failed.push(error),
        }
    }
    (by_notes, failed)
}

/// A data file, and the real path of its notes.
fn find(files: &NotesFiles, path: &Path) -> Result<(PathBuf, DataFile)> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let data = gcov::read(&path.display().to_string(), &bytes)?;
    let notes = files.find(Wanted { name: path, stamp: data.stamp })?;
    Ok((real(&notes)?, DataFile { path: path.to_owned(), data }))
}

fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("read {}", path.display()))
}

impl Unit {
    fn new(formats: &Formats<'_>, path: &Path, data: &[DataFile]) -> Result<Self> {
        let notes = notes::read(path)?;
        let mut left_out: Vec<Error> = damage(path, &notes).into_iter().collect();
        let sum = sum(data, &mut left_out);
        let counters = sum.iter().flat_map(FunctionCounters::of);
        let name = data.first().map_or(path, |first| &first.path).display().to_string();
        Ok(Self { name, coverage: formats.unit(&notes, counters), left_out })
    }
}

/// What the data files counted together; `None` without any.
fn sum(data: &[DataFile], left_out: &mut Vec<Error>) -> Option<GcdaFile> {
    let (first, others) = data.split_first()?;
    let mut sum = first.data.clone();
    for other in others {
        let merged = sum.merge(&other.data).with_context(|| format!("add {}", other.path.display()));
        left_out.extend(merged.err());
    }
    Some(sum)
}

/// What of a unit's notes is left out.
pub(super) fn damage(path: &Path, notes: &Notes) -> Option<Error> {
    notes.damage.as_ref().map(|damage| {
        anyhow!(
            "read {} at offset {:#x}, with all functions from there on: {}",
            path.display(),
            damage.offset,
            damage.detail
        )
    })
}
