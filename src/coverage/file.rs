//! One source file's share of the functions that have code in it, and what gcov's units have of it.
//!
//! Source: `getCoverageForFile` and `getInstantiationGroups` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use std::collections::BTreeMap;

use super::branch::FileBranch;
use super::file_function::FileFunction;
use super::function::{CountedRegion, Expansion, FunctionCoverage};
use super::gcov::{ConditionCount, FunctionSum, LineSum, SourceSum};
use super::lines::{self, LineRun};
use super::mapping::{FileName, LineCol};
use super::mcdc::McdcRecord;
use super::segments::{self, Segment};
use super::statistics::{self, Statistics};
use super::{unstable, whole_lines};

/// A source file and the functions that have code in it.
#[derive(Clone, Debug)]
pub struct FileCoverage<'a> {
    pub(super) name: &'a FileName,
    pub(super) functions: Vec<&'a FunctionCoverage>,
    pub(super) is_byte_coverage: bool,
    /// What gcov counted.
    pub(super) sum: Option<&'a SourceSum>,
}

impl<'a> FileCoverage<'a> {
    /// Its path, as the compiler had it.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The same with LLVM's part alone; `None` if there is none.
    #[must_use]
    pub fn llvm_part(&self) -> Option<Self> {
        (!self.functions.is_empty()).then(|| Self { sum: None, ..self.clone() })
    }

    /// Whether gcov counted any of it.
    #[must_use]
    pub fn has_gcov_part(&self) -> bool {
        self.sum.is_some()
    }

    /// The functions whose body is in the file's text: LLVM's in the order of the mapping, then gcov's in the order of
    /// lines.
    pub fn functions(&self) -> impl Iterator<Item = FileFunction<'a>> {
        // LLVM goes by the first file, even where that is an expansion's.
        let of_llvm =
            self.functions.iter().copied().filter(|function| function.files.first() == Some(self.name));
        of_llvm.map(FileFunction::from).chain(self.of_gcov().iter().map(FileFunction::from))
    }

    /// The functions that gcov counted.
    fn of_gcov(&self) -> &'a [FunctionSum] {
        self.sum.map_or(&[], SourceSum::functions)
    }

    /// The lines that gcov counted.
    pub(super) fn whole_lines(&self) -> &'a [LineSum] {
        self.sum.map_or(&[], SourceSum::lines)
    }

    /// The functions by the place where they begin: those of one place are instantiations of one piece of source.
    #[must_use]
    pub fn instantiation_groups(&self) -> BTreeMap<LineCol, Vec<FileFunction<'a>>> {
        let mut groups: BTreeMap<LineCol, Vec<FileFunction<'_>>> = BTreeMap::new();
        for (start, group) in self.llvm_groups() {
            groups.insert(start, group.into_iter().map(FileFunction::from).collect());
        }
        for function in self.of_gcov() {
            let start = LineCol { line: function.start_line, col: function.start_column };
            groups.entry(start).or_default().push(function.into());
        }
        groups
    }

    /// The same of LLVM's functions.
    pub(super) fn llvm_groups(&self) -> BTreeMap<LineCol, Vec<&'a FunctionCoverage>> {
        let mut groups: BTreeMap<LineCol, Vec<&FunctionCoverage>> = BTreeMap::new();
        for function in &self.functions {
            let Some(main) = self.main_file(function) else { continue };
            if let Some(first) = function.regions.iter().find(|region| region.file == main) {
                groups.entry(first.start).or_default().push(function);
            }
        }
        groups
    }

    /// The segments of all functions together; a line that gcov alone counted is one.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        let segments = self.llvm_segments();
        match self.whole_lines() {
            [] => segments,
            lines => {
                let runs = lines::runs(&segments);
                whole_lines::segments(segments, &runs, lines)
            }
        }
    }

    /// Its lines that have code, with their counts.
    #[must_use]
    pub fn lines(&self) -> Vec<LineRun> {
        let runs = lines::runs(&self.llvm_segments());
        match self.whole_lines() {
            [] => runs,
            lines => whole_lines::runs(runs, lines),
        }
    }

    fn llvm_segments(&self) -> Vec<Segment> {
        let regions = self.functions.iter().flat_map(|function| self.of_file(function, &function.regions));
        segments::build(regions, self.is_byte_coverage)
    }

    /// The branches in the text of its functions, without those in macros: they belong to where the macro is used.
    pub fn counted_branches(&self) -> impl Iterator<Item = &'a CountedRegion> {
        let branches = self.functions.iter().flat_map(|function| self.of_file(function, &function.branches));
        // LLVM tells an expansion's text by its index being another than 0.
        branches.filter(|branch| branch.file == 0)
    }

    /// The same with those that gcov has on its lines, which stand before LLVM's of the line.
    #[must_use]
    pub fn shown_branches(&self) -> Vec<FileBranch<'a>> {
        let of_llvm = self.counted_branches().map(FileBranch::from);
        let mut branches: Vec<_> = whole_lines::branches(self.whole_lines()).chain(of_llvm).collect();
        if !self.whole_lines().is_empty() {
            branches.sort_by_key(|branch| branch.start.line);
        }
        branches
    }

    /// What gcov counted of decisions, by the lines that they are taken on.
    pub fn conditions(&self) -> impl Iterator<Item = (u32, &'a [ConditionCount])> + use<'a> {
        whole_lines::conditions(self.whole_lines())
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
    /// the order of llvm-cov's own sorting. The one that gcov has of a line stands before LLVM's.
    #[must_use]
    pub fn branches(&self) -> Vec<FileBranch<'a>> {
        let mut branches = self.llvm_branches(&self.functions);
        if !self.whole_lines().is_empty() {
            branches.extend(whole_lines::branches(self.whole_lines()));
            branches.sort_by_key(|branch| branch.start);
        }
        branches
    }

    /// The branches of one function's body; none if the body is in another file.
    pub(super) fn branches_of(&self, function: &'a FunctionCoverage) -> Vec<FileBranch<'a>> {
        if self.main_file(function).is_some() { self.llvm_branches(&[function]) } else { Vec::new() }
    }

    fn llvm_branches(&self, functions: &[&'a FunctionCoverage]) -> Vec<FileBranch<'a>> {
        let in_text = functions.iter().flat_map(|function| self.of_file(function, &function.branches));
        let direct = in_text.filter(|branch| branch.file == 0).map(FileBranch::from);
        let expanded = functions.iter().flat_map(|function| {
            let main = self.main_file(function);
            main.into_iter().flat_map(|main| function.expanded_branches(main))
        });
        let expanded = expanded.map(|(outer, region)| {
            let start = LineCol { line: outer.line, col: region.start.col };
            FileBranch { start, end: start, ..FileBranch::from(region) }
        });
        let mut branches: Vec<FileBranch<'_>> = direct.chain(expanded).collect();
        unstable::sort_by_key(&mut branches, |branch| branch.start);
        branches
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
