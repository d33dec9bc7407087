//! One source file's share of the functions that have code in it.
//!
//! Source: `getCoverageForFile` and `getInstantiationGroups` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use std::collections::BTreeMap;

use super::function::{CountedRegion, Expansion, FunctionCoverage};
use super::lines::{self, LineRun};
use super::mapping::{FileName, LineCol};
use super::mcdc::McdcRecord;
use super::segments::{self, Segment};
use super::statistics::{self, Statistics};
use super::unstable;

/// A source file and the functions that have code in it.
#[derive(Clone, Debug)]
pub struct FileCoverage<'a> {
    pub(super) name: &'a FileName,
    pub(super) functions: Vec<&'a FunctionCoverage>,
    pub(super) is_byte_coverage: bool,
}

/// A branch as a file has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileBranch {
    /// Where it is in this file: for one in a macro, where the outermost expansion begins, with the column that the
    /// branch has in the macro.
    pub start: LineCol,
    /// How often it was true.
    pub count: u64,
    /// How often it was false.
    pub false_count: u64,
    /// The compiler knew the outcome, and counts neither.
    pub is_folded: bool,
}

impl<'a> FileCoverage<'a> {
    /// Its path, as the compiler had it.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The functions whose body is in the file's text, in the order of the mapping.
    pub fn functions(&self) -> impl Iterator<Item = &'a FunctionCoverage> {
        // LLVM goes by the first file, even where that is an expansion's.
        self.functions.iter().copied().filter(|function| function.files.first() == Some(self.name))
    }

    /// The functions by the place where they begin: those of one place are instantiations of one piece of source.
    #[must_use]
    pub fn instantiation_groups(&self) -> BTreeMap<LineCol, Vec<&'a FunctionCoverage>> {
        let mut groups: BTreeMap<LineCol, Vec<&FunctionCoverage>> = BTreeMap::new();
        for function in &self.functions {
            let Some(main) = self.main_file(function) else { continue };
            if let Some(first) = function.regions.iter().find(|region| region.file == main) {
                groups.entry(first.start).or_default().push(function);
            }
        }
        groups
    }

    /// The segments of all functions together.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        let regions = self.functions.iter().flat_map(|function| self.of_file(function, &function.regions));
        segments::build(regions, self.is_byte_coverage)
    }

    /// Its lines that have code, with their counts.
    #[must_use]
    pub fn lines(&self) -> Vec<LineRun> {
        lines::runs(&self.segments())
    }

    /// The branches in the text of its functions, without those in macros: they belong to where the macro is used.
    pub fn counted_branches(&self) -> impl Iterator<Item = &'a CountedRegion> {
        let branches = self.functions.iter().flat_map(|function| self.of_file(function, &function.branches));
        // LLVM tells an expansion's text by its index being another than 0.
        branches.filter(|branch| branch.file == 0)
    }

    /// MC/DC of the decisions in its text.
    pub fn mcdc_records(&self) -> impl Iterator<Item = &'a McdcRecord> {
        self.functions.iter().flat_map(|function| {
            let is_here = |record: &&McdcRecord| function.file_name(record.file) == Some(self.name);
            function.mcdc_records.iter().filter(is_here)
        })
    }

    /// The expansions in the bodies of its functions.
    pub fn expansions(&self) -> impl Iterator<Item = Expansion<'a>> {
        self.functions.iter().flat_map(|function| {
            self.main_file(function).into_iter().flat_map(|main| function.expansions(main))
        })
    }

    /// Its branches in the order of lines and columns, those in macros where the macro is used; those of one place in
    /// the order of llvm-cov's own sorting.
    #[must_use]
    pub fn branches(&self) -> Vec<FileBranch> {
        let branch = |start, branch: &CountedRegion| FileBranch {
            start,
            count: branch.count,
            false_count: branch.false_count,
            is_folded: branch.is_folded,
        };
        let direct = self.counted_branches().map(|region| branch(region.start, region));
        let expanded = self.functions.iter().flat_map(|function| {
            let main = self.main_file(function);
            main.into_iter().flat_map(|main| function.expanded_branches(main))
        });
        let expanded = expanded
            .map(|(outer, region)| branch(LineCol { line: outer.line, col: region.start.col }, region));
        let mut branches: Vec<FileBranch> = direct.chain(expanded).collect();
        unstable::sort_by_key(&mut branches, |branch| branch.start);
        branches
    }

    /// The lines and branches of one function's body; none if the body is in another file.
    #[must_use]
    pub fn body_of(&self, function: &FunctionCoverage) -> (Vec<LineRun>, Vec<FileBranch>) {
        let Some(_) = self.main_file(function) else { return Default::default() };
        let alone = FileCoverage { functions: vec![function], ..*self };
        (function.lines(), alone.branches())
    }

    /// How much of it ran.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        statistics::of_file(self)
    }

    /// The index of the file of the function's body, if that is this one.
    pub(super) fn main_file(&self, function: &FunctionCoverage) -> Option<u32> {
        function.main_file().filter(|main| function.file_name(*main) == Some(self.name))
    }

    fn of_file(
        &self,
        function: &'a FunctionCoverage,
        regions: &'a [CountedRegion],
    ) -> impl Iterator<Item = &'a CountedRegion> {
        regions.iter().filter(|region| function.file_name(region.file) == Some(self.name))
    }
}
