//! Counts on source: what ran, line by line and region by region, through LLVM's coverage mapping or GCC's notes.
//!
//! What enters is a [`Mapping`] and the counts of an [`LlvmProfile`], and units of gcov's; what leaves is a
//! [`Coverage`]: functions with counted regions, and files with segments, lines, branches and statistics, by LLVM's
//! rules and, what GCC compiled, by gcov's. A file may have both.
//!
//! What always holds: nothing here does I/O; a function is there once; a function that the profile does not know has
//! counts of 0; one that it knows with another hash is left out and named in [`Coverage::mismatches`], and one whose
//! counters are of another compile in [`Coverage::doubts`].
//! Source: `CoverageMapping::loadFunctionRecord` in `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`,
//! llvmorg-19.1.7.

mod branch;
mod by_file;
mod by_test;
mod counts;
mod doubt;
mod evaluate;
mod evaluated;
mod file;
mod file_function;
mod function;
pub mod gcov;
mod lines;
mod macro_use;
mod mapping;
mod mcdc;
pub mod object;
mod segments;
mod statistics;
pub mod trace;
mod unstable;
mod whole_lines;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;

use crate::image::Image;
use crate::locate::llvm::LlvmImage;
use crate::profile::llvm::LlvmProfile;

use evaluated::Evaluated;
use gcov::{SourceSum, UnitCoverage};

pub use branch::{FileBranch, Outcome, OutcomeKind, Ways};
#[cfg(test)]
pub(crate) use by_test::tests::by_test as example_by_test;
pub use by_test::{ByTest, FindFileError, Reached, TestReach, TestedFile, TestedLines};
pub use counts::Counts;
pub use doubt::{Doubt, DoubtReason};
pub use file::FileCoverage;
pub use file_function::FileFunction;
pub use function::{CountedRegion, Expansion, FunctionCoverage};
pub use lines::LineRun;
pub use macro_use::MacroUse;
pub use mapping::{
    Counter, Expression, FileName, LineCol, MappedFunction, Mapping, MappingError, Operator, Problem, Region,
    RegionKind,
};
pub use mcdc::{McdcCondition, McdcRecord, TestVector};
pub use segments::Segment;
pub use statistics::{Metric, Statistics, Tally};

/// A function whose counts belong to another build of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The function's name, as the mapping has it.
    pub name: Vec<u8>,
    /// The hash of its control flow, as the mapping has it; the profile has others.
    pub func_hash: u64,
}

/// A function whose counters or regions do not fit each other, and of which something is left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncounted {
    /// The function's name, as the mapping has it.
    pub name: Vec<u8>,
    /// Why.
    pub detail: String,
    /// Only a decision's MC/DC was left out: all else of the function is there.
    pub is_only_mcdc: bool,
}

/// What ran, of one image or several.
#[derive(Clone, Default, Debug)]
pub struct Coverage {
    functions: Vec<FunctionCoverage>,
    /// The functions by name and files: hashes and indices.
    index: HashTable<(u64, usize)>,
    hasher: RandomState,
    by_file: HashMap<FileName, InFile>,
    mismatches: Vec<Mismatch>,
    uncounted: Vec<Uncounted>,
    problems: Vec<Problem>,
    doubts: Vec<Doubt>,
    num_found: usize,
    is_byte_coverage: bool,
    has_mapping: bool,
    has_units: bool,
    has_branches: bool,
    has_mcdc: bool,
    has_conditions: bool,
    has_paths: bool,
}

/// What is known of a file.
#[derive(Clone, Default, Debug)]
struct InFile {
    /// LLVM's functions that have code in it: indices.
    functions: Vec<usize>,
    /// What gcov's units have of it.
    sum: Option<SourceSum>,
}

/// What tells a function from all others.
fn key(function: &FunctionCoverage) -> (&[u8], &[FileName]) {
    (&function.name, &function.files)
}

impl Coverage {
    /// The coverage of one image.
    ///
    /// # Errors
    ///
    /// The image has no coverage mapping.
    pub fn new(image: &Image, located: &LlvmImage, profile: &LlvmProfile) -> Result<Self, MappingError> {
        let mut coverage = Self::default();
        coverage.add(&Mapping::decode(image, located.names())?, &Counts::from(profile));
        Ok(coverage)
    }

    /// Adds an image's functions, but for those of the same name and files as are there already.
    pub fn add(&mut self, mapping: &Mapping, profile: &Counts<'_>) {
        self.is_byte_coverage |= profile.is_byte_coverage;
        self.has_mapping = true;
        self.problems.extend_from_slice(mapping.problems());
        self.functions.reserve_exact(mapping.functions().len());
        for some in mapping.batches() {
            let evaluate = |mapped| {
                let evaluated = Evaluated::new(&mapped, profile);
                let hash = evaluated.function.as_ref().map(|function| self.hasher.hash_one(key(function)));
                (evaluated, hash.unwrap_or_default())
            };
            let evaluated: Vec<_> = some.map(evaluate).collect();
            evaluated.into_iter().for_each(|(evaluated, hash)| self.take(evaluated, hash));
        }
    }

    /// Adds what gcov counted of a unit; `name` is what doubts call the unit. Its sources should have paths from the root
    /// ([`Notes::path_of`](gcov::Notes::path_of)): those of one path are one file, also with LLVM's.
    pub fn add_unit(&mut self, name: &str, unit: &UnitCoverage) {
        self.has_units = true;
        for source in unit.sources.iter().filter(|source| !source.is_empty()) {
            self.has_branches |= source.lines.iter().any(|line| !line.branches.is_empty());
            self.has_conditions |= source.lines.iter().any(|line| !line.conditions.is_empty());
            self.has_paths |= source.functions.iter().any(|function| function.paths.is_some());
            let file = self.by_file.entry(FileName::clone(&source.name)).or_default();
            file.sum.get_or_insert_default().add(source);
        }
        self.doubts.extend(Doubt::all(name, unit));
    }

    fn take(&mut self, evaluated: Evaluated, hash: u64) {
        self.has_branches |= evaluated.has_branches;
        self.has_mcdc |= evaluated.has_mcdc;
        self.num_found = self.num_found.saturating_add(usize::from(evaluated.is_found));
        self.mismatches.extend(evaluated.mismatch);
        if let Some(function) = evaluated.function {
            self.push(function, hash);
        }
        self.uncounted.extend(evaluated.uncounted);
    }

    fn push(&mut self, function: FunctionCoverage, hash: u64) {
        let index = self.functions.len();
        let is_same = |(_, index): &(u64, usize)| {
            self.functions.get(*index).is_some_and(|known| key(known) == key(&function))
        };
        match self.index.entry(hash, is_same, |(hash, _)| *hash) {
            Entry::Occupied(_) => return,
            Entry::Vacant(entry) => entry.insert((hash, index)),
        };
        for file in &function.files {
            let of_file = &mut self.by_file.entry(FileName::clone(file)).or_default().functions;
            // A macro of the same file is an expansion of it.
            if of_file.last() != Some(&index) {
                of_file.push(index);
            }
        }
        self.functions.push(function);
    }

    /// The functions that LLVM's mappings have, in their order.
    #[must_use]
    pub fn functions(&self) -> &[FunctionCoverage] {
        &self.functions
    }

    /// The files that functions have code in, by name.
    pub fn files(&self) -> impl ExactSizeIterator<Item = FileCoverage<'_>> {
        let mut files: Vec<_> = self.by_file.iter().collect();
        files.sort_unstable_by_key(|(name, _)| *name);
        files.into_iter().map(|(name, file)| FileCoverage {
            name,
            functions: file.functions.iter().filter_map(|index| self.functions.get(*index)).collect(),
            is_byte_coverage: self.is_byte_coverage,
            sum: file.sum.as_ref(),
        })
    }

    /// Leaves out the files of the other names. Functions with code in them stay.
    pub fn retain_files(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        self.by_file.retain(|name, _| is_kept(name));
    }

    /// How much ran of all files.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.files().fold(Statistics::default(), |mut sum, file| {
            sum += file.statistics();
            sum
        })
    }

    /// Of how many functions the profile has counts; of the others they are 0.
    #[must_use]
    pub fn num_found(&self) -> usize {
        self.num_found
    }

    /// Whether the build carries a metric: some function of it, whether it ran or not. What is not carried must not be
    /// shown, neither as 0 nor as 100 %: rustc has branches with an option only, and clang MC/DC, and GCC conditions
    /// and prime paths; gcov has no regions.
    #[must_use]
    pub fn carries(&self, metric: Metric) -> bool {
        match metric {
            Metric::Branches => self.has_branches,
            Metric::Mcdc => self.has_mcdc,
            Metric::Conditions => self.has_conditions,
            Metric::Paths => self.has_paths,
            Metric::Regions => self.has_mapping || !self.has_units,
            Metric::Functions | Metric::Instantiations | Metric::Lines => true,
        }
    }

    /// Functions that the profile has counts of, but of another build.
    #[must_use]
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.mismatches
    }

    /// Functions that were left out because a counter of theirs has no value, or decisions of theirs whose MC/DC was;
    /// LLVM's tools leave them out too, without a word.
    #[must_use]
    pub fn uncounted(&self) -> &[Uncounted] {
        &self.uncounted
    }

    /// Functions of gcov's units whose counters are not used, or not to be relied on.
    #[must_use]
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// What of the mappings could not be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
