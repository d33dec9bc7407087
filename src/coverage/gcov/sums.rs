//! What units say of one source file, added up: a header is in many of them.
//!
//! What enters is a [`SourceCount`] of each unit; what leaves is a [`SourceSum`]. What always holds: a line is there
//! once, and so is a function of one name and place; both are in order.
//!
//! As lcov and gcovr have it, counts of a line add up, also those of instantiations of a template, and branches of a
//! line by their number: where a unit has more of them than another, the further ones stand behind. So it is with
//! decisions, of which an outcome was seen if one unit saw it. Of prime paths the best copy of a function counts.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::bits::{ConditionCount, PathCount};
use super::lines::{Branch, FunctionCount, LineCount, SourceCount};
use crate::coverage::FileName;

/// One source file, as all units together have it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SourceSum {
    functions: Vec<FunctionSum>,
    lines: Vec<LineSum>,
}

/// One function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionSum {
    /// The name that the linker knows.
    pub name: FileName,
    /// The first line.
    pub start_line: u32,
    /// The column that it starts in; 0 before GCC 8.
    pub start_column: u32,
    /// The last line; the first one before GCC 8.
    pub end_line: u32,
    /// How often it was called.
    pub count: u64,
    /// Its prime paths, if they were counted (from GCC 15, with `-fpath-coverage`).
    pub paths: Option<PathCount>,
    /// The lines that it has code on.
    pub lines: Vec<LineSum>,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineSum {
    /// Its number, from 1.
    pub line_number: u32,
    /// How often it ran.
    pub count: u64,
    /// Some of it ran, or none of it was left out: otherwise branches on it were not reached.
    pub is_reached: bool,
    /// The branches that end on it.
    pub branches: Vec<Branch>,
    /// The decisions that are taken on it (from GCC 14, with `-fcondition-coverage`).
    pub conditions: Vec<ConditionCount>,
}

impl SourceCount {
    /// Whether the unit names it and has nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.lines.is_empty()
    }
}

impl SourceSum {
    /// Adds what a unit says of the file.
    pub(in crate::coverage) fn add(&mut self, source: &SourceCount) {
        let mut own: HashMap<&FileName, Vec<LineSum>> = HashMap::new();
        for line in &source.lines {
            if let Some(name) = &line.function_name {
                own.entry(name).or_default().push(line.into());
            }
        }
        let functions = source
            .functions
            .iter()
            .map(|function| FunctionSum::new(function, own.remove(&function.name).unwrap_or_default()));
        merge(&mut self.functions, functions, FunctionSum::order, FunctionSum::add);
        merge(&mut self.lines, source.lines.iter().map(LineSum::from), LineSum::order, LineSum::add);
    }

    /// The functions that begin in it, by place and name.
    #[must_use]
    pub fn functions(&self) -> &[FunctionSum] {
        &self.functions
    }

    /// The lines that have code.
    #[must_use]
    pub fn lines(&self) -> &[LineSum] {
        &self.lines
    }
}

impl FunctionSum {
    fn new(function: &FunctionCount, mut lines: Vec<LineSum>) -> Self {
        // Of two functions of one name the lines of both are here.
        merge(&mut lines, [], LineSum::order, LineSum::add);
        Self {
            name: FileName::clone(&function.name),
            start_line: function.start_line,
            start_column: function.start_column.unwrap_or_default(),
            end_line: function.end_line.unwrap_or(function.start_line),
            count: function.execution_count,
            paths: function.paths,
            lines,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let place = |function: &Self| (function.start_line, function.start_column);
        place(self).cmp(&place(other)).then_with(|| self.name.cmp(&other.name))
    }

    fn add(&mut self, other: &mut Self) {
        self.count = self.count.saturating_add(other.count);
        self.end_line = self.end_line.max(other.end_line);
        self.paths = match (self.paths, other.paths) {
            (Some(own), Some(other)) => Some(own.better(other)),
            (own, other) => own.or(other),
        };
        merge(&mut self.lines, std::mem::take(&mut other.lines), LineSum::order, LineSum::add);
    }
}

impl LineSum {
    fn order(&self, other: &Self) -> Ordering {
        self.line_number.cmp(&other.line_number)
    }

    fn add(&mut self, other: &mut Self) {
        self.count = self.count.saturating_add(other.count);
        self.is_reached |= other.is_reached;
        for (sum, branch) in self.branches.iter_mut().zip(&other.branches) {
            sum.count = sum.count.saturating_add(branch.count);
            sum.is_reached |= branch.is_reached;
        }
        self.branches.extend(other.branches.iter().skip(self.branches.len()).copied().collect::<Vec<_>>());
        for (sum, decision) in self.conditions.iter_mut().zip(&other.conditions) {
            sum.add(decision);
        }
        self.conditions.extend_from_slice(other.conditions.get(self.conditions.len()..).unwrap_or_default());
    }
}

impl From<&LineCount> for LineSum {
    fn from(line: &LineCount) -> Self {
        Self {
            line_number: line.line_number,
            count: line.count,
            is_reached: line.count > 0 || !line.unexecuted_block,
            branches: line.branches.clone(),
            conditions: line.conditions.clone(),
        }
    }
}

/// Adds `more` to what is in order already; what is equal becomes one.
fn merge<T>(
    sums: &mut Vec<T>,
    more: impl IntoIterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
    add: impl Fn(&mut T, &mut T),
) {
    sums.extend(more);
    // Both parts are in order, as a rule, which is quickly sorted.
    sums.sort_by(&order);
    sums.dedup_by(|next, kept| {
        let is_same = order(next, kept).is_eq();
        if is_same {
            add(kept, next);
        }
        is_same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line_number: u32, count: u64, function: Option<&str>, branches: &[u64]) -> LineCount {
        let branch =
            |count: &u64| Branch { count: *count, is_reached: *count > 0, throw: false, fallthrough: false };
        LineCount {
            line_number,
            function_name: function.map(|name| name.as_bytes().into()),
            count,
            unexecuted_block: count == 0,
            is_exceptional: false,
            is_cut: false,
            branches: branches.iter().map(branch).collect(),
            calls: Vec::new(),
            conditions: Vec::new(),
        }
    }

    fn function(name: &str, start_line: u32, execution_count: u64) -> FunctionCount {
        FunctionCount {
            name: name.as_bytes().into(),
            start_line,
            start_column: Some(1),
            end_line: Some(start_line + 1),
            end_column: Some(1),
            blocks: 1,
            blocks_executed: 1,
            execution_count,
            paths: None,
        }
    }

    fn source(functions: Vec<FunctionCount>, lines: Vec<LineCount>) -> SourceCount {
        SourceCount { name: b"h.h"[..].into(), functions, lines }
    }

    #[test]
    fn units_add_up_and_the_longer_list_of_branches_stays() {
        let mut sum = SourceSum::default();
        let first = [line(3, 5, Some("b"), &[4, 1]), line(7, 0, None, &[0])];
        sum.add(&source(vec![function("b", 3, 5)], first.to_vec()));
        let second =
            [line(1, 1, Some("a"), &[]), line(3, 2, Some("b"), &[0, 1, 1]), line(7, 2, None, &[1, 1])];
        sum.add(&source(vec![function("a", 1, 1), function("b", 3, 2)], second.to_vec()));
        let shown = |lines: &[LineSum]| -> Vec<(u32, u64, bool, Vec<u64>)> {
            let counts = |line: &LineSum| line.branches.iter().map(|branch| branch.count).collect();
            lines.iter().map(|line| (line.line_number, line.count, line.is_reached, counts(line))).collect()
        };
        let b = (3, 7, true, vec![4, 2, 1]);
        assert_eq!(shown(sum.lines()), [(1, 1, true, vec![]), b.clone(), (7, 2, true, vec![1, 1])]);
        let functions: Vec<_> = sum.functions().iter().map(|it| (it.start_line, it.count)).collect();
        assert_eq!(functions, [(1, 1), (3, 7)]);
        assert_eq!(shown(&sum.functions()[1].lines), [b]);
    }

    #[test]
    fn decisions_add_up_by_their_number() {
        let with = |conditions: &[(u32, u64, u64)]| {
            let conditions = conditions
                .iter()
                .map(|(num, is_true, is_false)| ConditionCount::new(*num, *is_true, *is_false));
            LineCount { conditions: conditions.collect(), ..line(3, 1, None, &[]) }
        };
        let mut sum = SourceSum::default();
        sum.add(&source(Vec::new(), vec![with(&[(2, 0b01, 0)])]));
        sum.add(&source(Vec::new(), vec![with(&[(2, 0b10, 0b11), (1, 1, 0)])]));
        sum.add(&source(Vec::new(), vec![with(&[])]));
        let counts: Vec<_> = sum.lines()[0].conditions.iter().map(|it| (it.covered(), it.count())).collect();
        assert_eq!(counts, [(4, 4), (1, 2)]);
    }

    /// Instantiations have a line once each, the file has it once.
    #[test]
    fn instantiations_keep_their_own_counts() {
        let mut sum = SourceSum::default();
        let lines = vec![line(2, 0, Some("f<int>"), &[0, 0]), line(2, 4, Some("f<char>"), &[3, 1])];
        sum.add(&source(vec![function("f<int>", 2, 0), function("f<char>", 2, 4)], lines));
        let counts: Vec<_> = sum.functions().iter().map(|it| it.lines[0].count).collect();
        assert_eq!(counts, [4, 0]);
        let [line] = sum.lines() else { panic!("{sum:?}") };
        assert_eq!((line.count, line.branches.len(), line.is_reached), (4, 2, true));
    }
}
