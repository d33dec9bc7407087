//! What people look at in a source: the macros used in it, with what they expand to, and the branches of its own text.
//!
//! What enters is the functions of a file; what leaves is expansions and branches by place, those of one place in
//! several functions (instantiations of a template) added up as segments are. What always holds: expansions form
//! trees, since a mapping in which they do not was refused.
//! Source: `getCoverageForFile` and `getCoverageForExpansion` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use std::collections::BTreeMap;

use super::branch::{FileBranch, Ways};
use super::by_file::of_file;
use super::file::FileCoverage;
use super::function::FunctionCoverage;
use super::lines::{self, LineRun};
use super::mapping::{FileName, LineCol, RegionKind};
use super::mcdc::McdcRecord;
use super::segments::{self, Segment};
use super::whole_lines;

/// A macro or an include at the place where it is used.
#[derive(Clone, Debug)]
pub struct MacroUse<'a> {
    /// Where the use begins.
    pub start: LineCol,
    /// Where the use ends: behind its last column.
    pub end: LineCol,
    /// The file that has the text it expands to.
    pub file: &'a FileName,
    text: Text<'a>,
}

/// A piece of text: in each function that has it, the file of that index.
#[derive(Clone, Debug)]
struct Text<'a> {
    parts: Vec<(&'a FunctionCoverage, u32)>,
    is_byte_coverage: bool,
}

impl<'a> FileCoverage<'a> {
    /// The macros used in its text, by place.
    #[must_use]
    pub fn macro_uses(&self) -> Vec<MacroUse<'a>> {
        self.text().uses()
    }

    /// The branches of its text, but not those in macros, by place; those of several functions at one place are one. The
    /// one that gcov has of a line stands before LLVM's.
    #[must_use]
    pub fn own_branches(&self) -> Vec<FileBranch<'a>> {
        let mut branches = self.text().branches();
        branches.extend(whole_lines::branches(self.whole_lines()));
        branches.sort_by_key(|branch| branch.start);
        branches
    }

    /// MC/DC of the decisions of its text, but not of those in macros, by place; one for each function.
    #[must_use]
    pub fn own_decisions(&self) -> Vec<&'a McdcRecord> {
        self.text().decisions()
    }

    fn text(&self) -> Text<'a> {
        let bodies =
            self.functions.iter().filter_map(|function| Some((*function, self.main_file(function)?)));
        Text { parts: bodies.collect(), is_byte_coverage: self.is_byte_coverage }
    }
}

impl<'a> MacroUse<'a> {
    /// The segments of what it expands to, in the lines and columns of [`MacroUse::file`].
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        let regions = self.text.parts.iter().flat_map(|(function, file)| of_file(&function.regions, *file));
        segments::build(regions, self.text.is_byte_coverage)
    }

    /// The lines of what it expands to.
    #[must_use]
    pub fn lines(&self) -> Vec<LineRun> {
        lines::runs(&self.segments())
    }

    /// The branches of what it expands to, but not those of macros in it.
    #[must_use]
    pub fn own_branches(&self) -> Vec<FileBranch<'a>> {
        self.text.branches()
    }

    /// MC/DC of the decisions of what it expands to, as [`FileCoverage::own_decisions`].
    #[must_use]
    pub fn own_decisions(&self) -> Vec<&'a McdcRecord> {
        self.text.decisions()
    }

    /// The macros used in what it expands to.
    #[must_use]
    pub fn macro_uses(&self) -> Vec<MacroUse<'a>> {
        self.text.uses()
    }
}

impl<'a> Text<'a> {
    fn uses(&self) -> Vec<MacroUse<'a>> {
        let mut by_place: BTreeMap<(LineCol, LineCol, &FileName), Vec<_>> = BTreeMap::new();
        for (function, file) in &self.parts {
            for region in of_file(&function.regions, *file) {
                if let RegionKind::Expansion { file } = region.kind
                    && let Some(name) = function.file_name(file)
                {
                    by_place.entry((region.start, region.end, name)).or_default().push((*function, file));
                }
            }
        }
        let of_place = |((start, end, file), parts)| MacroUse {
            start,
            end,
            file,
            text: Self { parts, is_byte_coverage: self.is_byte_coverage },
        };
        by_place.into_iter().map(of_place).collect()
    }

    fn branches(&self) -> Vec<FileBranch<'a>> {
        let branches = self.parts.iter().flat_map(|(function, file)| of_file(&function.branches, *file));
        let mut branches: Vec<FileBranch<'a>> = branches.map(FileBranch::from).collect();
        branches.sort_by_key(|branch| (branch.start, branch.end));
        branches.dedup_by(|next, kept| merge(kept, next, self.is_byte_coverage));
        branches
    }

    fn decisions(&self) -> Vec<&'a McdcRecord> {
        let of_part = |(function, file): &(&'a FunctionCoverage, u32)| {
            let (function, file) = (*function, *file);
            function.mcdc_records.iter().filter(move |record| record.file == file)
        };
        let mut decisions: Vec<&McdcRecord> = self.parts.iter().flat_map(of_part).collect();
        decisions.sort_by_key(|record| (record.start, record.end));
        decisions
    }
}

/// Adds up the counts of one condition, if it is one; what one function folds another may count.
fn merge(kept: &mut FileBranch<'_>, next: &FileBranch<'_>, is_byte_coverage: bool) -> bool {
    let (
        Ways::Condition { count, false_count },
        Ways::Condition { count: more, false_count: false_more },
        true,
    ) = (&mut kept.ways, next.ways, (kept.start, kept.end) == (next.start, next.end))
    else {
        return false;
    };
    *count = segments::sum(*count, more, is_byte_coverage);
    *false_count = segments::sum(*false_count, false_more, is_byte_coverage);
    kept.is_folded &= next.is_folded;
    true
}
