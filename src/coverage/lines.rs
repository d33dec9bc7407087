//! From segments to lines.
//!
//! What always holds: lines come in runs of equal ones, as many as there are segments at most, however long the
//! runs are. Source: `LineCoverageStats` and `LineCoverageIterator` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use std::ops::RangeInclusive;

use super::segments::Segment;
use super::statistics::Tally;

/// Lines that ran equally often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineRun {
    /// The lines, from 1.
    pub lines: RangeInclusive<u32>,
    /// How often they ran.
    pub count: u64,
}

impl LineRun {
    /// How many lines it has.
    #[must_use]
    pub fn num_lines(&self) -> u64 {
        u64::from(self.lines.end().saturating_sub(*self.lines.start())).saturating_add(1)
    }

    /// How many of its lines ran.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let total = self.num_lines();
        Tally { covered: if self.count > 0 { total } else { 0 }, total }
    }
}

/// The lines of a file that have code, in order; the segments are those of one file, in order.
pub(super) fn runs(segments: &[Segment]) -> Vec<LineRun> {
    let mut runs = Vec::new();
    let mut wrapped: Option<&Segment> = None;
    let mut next_line = 1u32;
    for on_line in segments.chunk_by(|a, b| a.start.line == b.start.line) {
        let Some(line) = on_line.first().map(|segment| segment.start.line) else { continue };
        // Lines on which nothing begins are as the line before them ended.
        if next_line < line
            && let Some(wrapped) = wrapped.filter(|wrapped| wrapped.has_count)
        {
            runs.push(LineRun { lines: next_line..=line.saturating_sub(1), count: wrapped.count });
        }
        if let Some(count) = count(on_line, wrapped) {
            runs.push(LineRun { lines: line..=line, count });
        }
        wrapped = on_line.last();
        next_line = line.saturating_add(1);
    }
    runs
}

/// How often a line ran on which `segments` begin, and into which `wrapped` reaches; `None` if it has no code.
fn count(segments: &[Segment], wrapped: Option<&Segment>) -> Option<u64> {
    let entries = || segments.iter().filter(|s| s.is_region_entry && s.has_count && !s.is_gap);
    let is_skipped = segments.first().is_some_and(|s| !s.has_count && s.is_region_entry);
    let has_entry = segments.iter().any(|s| s.is_region_entry && s.has_count);
    let goes_on = wrapped.is_some_and(|wrapped| wrapped.has_count) || entries().next().is_some();
    if !has_entry && (is_skipped || !goes_on) {
        return None;
    }
    let wrapped = wrapped.map_or(0, |wrapped| wrapped.count);
    Some(entries().map(|s| s.count).fold(wrapped, u64::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::LineCol;

    fn segment(line: u32, count: Option<u64>, is_region_entry: bool) -> Segment {
        let start = LineCol { line, col: 1 };
        Segment {
            start,
            count: count.unwrap_or(0),
            has_count: count.is_some(),
            is_region_entry,
            is_gap: false,
        }
    }

    fn shown(segments: &[Segment]) -> Vec<(u32, u32, u64)> {
        runs(segments).iter().map(|run| (*run.lines.start(), *run.lines.end(), run.count)).collect()
    }

    #[test]
    fn a_line_has_the_largest_count_that_begins_on_it_or_reaches_into_it() {
        let segments = [
            segment(2, Some(5), true),
            segment(4, Some(1), true),
            segment(4, Some(9), true),
            segment(6, Some(3), false),
            segment(8, None, false),
        ];
        assert_eq!(
            shown(&segments),
            [(2, 2, 5), (3, 3, 5), (4, 4, 9), (5, 5, 9), (6, 6, 9), (7, 7, 3), (8, 8, 3)]
        );
    }

    #[test]
    fn a_line_that_begins_with_what_was_left_out_has_no_code() {
        let segments = [segment(1, Some(5), true), segment(2, None, true), segment(4, Some(5), false)];
        assert_eq!(shown(&segments), [(1, 1, 5)]);
    }
}
