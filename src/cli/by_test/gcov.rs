//! gcov's part of a report by test: notes that are read once, and data files for each test.
//!
//! What always holds: copies of a unit's notes, which each test's folder may have, are one unit; data files of one unit
//! are added up, in a test and over tests; notes without data are a unit that did not run.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use rayon::prelude::*;

use super::folder::TestFiles;
use crate::cli::formats::Formats;
use crate::cli::gcov_units::{BATCH, damage};
use crate::cli::notes::{self, NotesFiles, Wanted};
use crate::coverage::Coverage;
use crate::coverage::gcov::{FunctionCounters, Notes, UnitCoverage};
use crate::profile::gcov::{self, GcdaFile};

/// Units, and the sum of their data files so far.
#[derive(Default)]
pub(super) struct GcovPart {
    files: NotesFiles,
    units: Vec<Unit>,
    /// The units by the real paths of their notes: indices.
    by_path: HashMap<PathBuf, usize>,
    left_out: Vec<Error>,
}

struct Unit {
    path: PathBuf,
    notes: Notes,
    sum: Option<Data>,
    /// There is data that is of no use: without it the unit would seem not to have run.
    is_unknown: bool,
}

/// A data file.
struct Data {
    path: PathBuf,
    content: GcdaFile,
}

/// The data files of a test by unit.
#[derive(Default)]
pub(super) struct TestData {
    by_unit: BTreeMap<usize, Data>,
    unknown: HashSet<usize>,
    left_out: Vec<Error>,
}

impl GcovPart {
    /// Reads notes.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub(super) fn new(paths: impl Iterator<Item = PathBuf>) -> Result<Self> {
        let mut part = Self::default();
        let mut by_content: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
        let mut unique = Vec::new();
        for path in paths {
            let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let unit = match by_content.entry(bytes) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    unique.push(path.clone());
                    *new.insert(part.add_unit(&path))
                }
            };
            if let Some(unit) = unit {
                part.by_path.insert(real(&path)?, unit);
            }
        }
        part.files = NotesFiles::new(unique);
        Ok(part)
    }

    /// Adds a unit, if its notes can be read.
    fn add_unit(&mut self, path: &Path) -> Option<usize> {
        match notes::read(path) {
            Ok(notes) => {
                self.left_out.extend(damage(path, &notes));
                self.units.push(Unit { path: path.to_owned(), notes, sum: None, is_unknown: false });
                self.units.len().checked_sub(1)
            }
            Err(error) => {
                self.left_out.push(error.into());
                None
            }
        }
    }

    /// Reads a test's data files.
    pub(super) fn read(&self, test: &TestFiles) -> TestData {
        let mut found = TestData::default();
        for path in &test.data {
            match self.find(path) {
                Ok((unit, content)) => found.add(unit, Data { path: path.clone(), content }),
                Err(error) => {
                    let notes = self.files.of_name(path).and_then(|notes| real(notes).ok());
                    found.unknown.extend(notes.and_then(|notes| self.by_path.get(&notes).copied()));
                    found.left_out.push(error);
                }
            }
        }
        found
    }

    /// A data file, and its unit.
    fn find(&self, path: &Path) -> Result<(usize, GcdaFile)> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let content = gcov::read(&path.display().to_string(), &bytes)?;
        let notes = self.files.find(Wanted { name: path, stamp: content.stamp })?;
        let unit = self.by_path.get(&real(&notes)?).copied();
        let unit =
            unit.ok_or_else(|| anyhow!("read {}: its notes {} cannot be", path.display(), notes.display()))?;
        Ok((unit, content))
    }

    /// Puts the counts of a test on lines.
    pub(super) fn add_test(&self, formats: &Formats<'_>, coverage: &mut Coverage, data: &TestData) {
        for (unit, data) in &data.by_unit {
            if let Some(unit) = self.units.get(*unit) {
                coverage.add_unit(&unit.name(), &unit.evaluate(formats, Some(&data.content)));
            }
        }
    }

    /// Adds a test's counts to those of the tests before.
    pub(super) fn sum_up(&mut self, data: TestData) {
        self.left_out.extend(data.left_out);
        for unit in data.unknown {
            self.units.get_mut(unit).into_iter().for_each(|unit| unit.is_unknown = true);
        }
        for (unit, data) in data.by_unit {
            if let Some(unit) = self.units.get_mut(unit) {
                self.left_out.extend(merge(&mut unit.sum, data));
            }
        }
    }

    /// Puts the sum on lines, and gives why what is left out is.
    ///
    /// # Errors
    ///
    /// None of the files is of use: the first reason.
    pub(super) fn add_sum(&mut self, formats: &Formats<'_>, coverage: &mut Coverage) -> Result<Vec<Error>> {
        let is_known = |unit: &&Unit| unit.sum.is_some() || !unit.is_unknown;
        let units: Vec<&Unit> = self.units.iter().filter(is_known).collect();
        for batch in units.chunks(BATCH) {
            let evaluate = |unit: &&Unit| unit.evaluate(formats, unit.sum.as_ref().map(|sum| &sum.content));
            let evaluated: Vec<UnitCoverage> = batch.par_iter().map(evaluate).collect();
            batch.iter().zip(&evaluated).for_each(|(unit, counts)| coverage.add_unit(&unit.name(), counts));
        }
        if units.is_empty() && !self.left_out.is_empty() {
            return Err(self.left_out.swap_remove(0));
        }
        Ok(std::mem::take(&mut self.left_out))
    }
}

impl TestData {
    fn add(&mut self, unit: usize, data: Data) {
        let mut sum = self.by_unit.remove(&unit);
        self.left_out.extend(merge(&mut sum, data));
        sum.into_iter().for_each(|sum| drop(self.by_unit.insert(unit, sum)));
    }
}

impl Unit {
    /// What doubts call it.
    fn name(&self) -> String {
        self.sum.as_ref().map_or(&self.path, |sum| &sum.path).display().to_string()
    }

    fn evaluate(&self, formats: &Formats<'_>, data: Option<&GcdaFile>) -> UnitCoverage {
        formats.unit(&self.notes, data.into_iter().flat_map(FunctionCounters::of))
    }
}

/// Adds data to a sum, and gives why it cannot be.
fn merge(sum: &mut Option<Data>, data: Data) -> Option<Error> {
    match sum {
        None => {
            *sum = Some(data);
            None
        }
        Some(sum) => {
            let merged = sum.content.merge(&data.content);
            merged.with_context(|| format!("add {}", data.path.display())).err()
        }
    }
}

fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("read {}", path.display()))
}
