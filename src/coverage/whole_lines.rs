//! Lines that are counted as wholes, as gcov has them, beside LLVM's regions.
//!
//! What enters is lines in order, and the runs and segments of the same file, if LLVM has any; what leaves is both
//! together, and what the lines have of branches and conditions. What always holds: a line that both count has the sum of both, and the segments of LLVM alone, which say
//! more.

use super::branch::FileBranch;
use super::gcov::{ConditionCount, LineSum};
use super::lines::LineRun;
use super::mapping::LineCol;
use super::segments::Segment;

/// Runs, with the counts of `lines` in them.
pub(super) fn runs(runs: Vec<LineRun>, lines: &[LineSum]) -> Vec<LineRun> {
    let mut joined = Vec::with_capacity(runs.len().saturating_add(lines.len()));
    let mut runs = runs.into_iter();
    let mut current = runs.next();
    for line in lines {
        let number = line.line_number;
        while let Some(run) = current.take_if(|run| *run.lines.end() < number) {
            joined.push(run);
            current = runs.next();
        }
        let mut count = line.count;
        if let Some(run) = current.take_if(|run| *run.lines.start() <= number) {
            let (start, end) = run.lines.into_inner();
            if start < number {
                joined.push(LineRun { lines: start..=number.saturating_sub(1), count: run.count });
            }
            count = count.saturating_add(run.count);
            current = if number < end {
                Some(LineRun { lines: number.saturating_add(1)..=end, count: run.count })
            } else {
                runs.next()
            };
        }
        joined.push(LineRun { lines: number..=number, count });
    }
    joined.extend(current);
    joined.extend(runs);
    joined
}

/// Segments, with one from its first column on for each of `lines` that is in none of the segments' `runs`.
pub(super) fn segments(mut segments: Vec<Segment>, runs: &[LineRun], lines: &[LineSum]) -> Vec<Segment> {
    let is_alone = |line: &&LineSum| {
        let run = runs.get(runs.partition_point(|run| *run.lines.end() < line.line_number));
        run.is_none_or(|run| !run.lines.contains(&line.line_number))
    };
    let of_llvm = segments.len();
    let mut lines = lines.iter().filter(is_alone).peekable();
    while let Some(line) = lines.next() {
        segments.push(segment(line.line_number, Some(line.count)));
        let Some(behind) = line.line_number.checked_add(1) else { continue };
        if lines.peek().is_none_or(|next| next.line_number != behind) {
            segments.push(segment(behind, None));
        }
    }
    if of_llvm > 0 {
        // What LLVM says of a place stands behind what ends there.
        segments.rotate_left(of_llvm);
        segments.sort_by_key(|segment| segment.start);
    }
    segments
}

fn segment(line: u32, count: Option<u64>) -> Segment {
    let (count, has_count) = (count.unwrap_or_default(), count.is_some());
    Segment { start: LineCol { line, col: 1 }, count, has_count, is_region_entry: has_count, is_gap: false }
}

/// The branches on lines: one for each that has any.
pub(super) fn branches(lines: &[LineSum]) -> impl Iterator<Item = FileBranch<'_>> {
    let with_branches = lines.iter().filter(|line| !line.branches.is_empty());
    with_branches.map(|line| {
        let at = LineCol { line: line.line_number, col: 0 };
        FileBranch::arcs(at, &line.branches, line.is_reached)
    })
}

/// The decisions on lines.
pub(super) fn conditions(lines: &[LineSum]) -> impl Iterator<Item = (u32, &[ConditionCount])> {
    let with_conditions = lines.iter().filter(|line| !line.conditions.is_empty());
    with_conditions.map(|line| (line.line_number, &*line.conditions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::lines;

    fn line((line_number, count): (u32, u64)) -> LineSum {
        LineSum { line_number, count, is_reached: true, branches: Vec::new(), conditions: Vec::new() }
    }

    fn lines_of(all: &[(u32, u64)]) -> Vec<LineSum> {
        all.iter().copied().map(line).collect()
    }

    fn shown(runs: &[LineRun]) -> Vec<(u32, u32, u64)> {
        runs.iter().map(|run| (*run.lines.start(), *run.lines.end(), run.count)).collect()
    }

    #[test]
    fn a_line_of_both_has_the_sum() {
        let run = |lines, count| LineRun { lines, count };
        let llvm = vec![run(2..=6, 5), run(7..=7, 1), run(9..=u32::MAX, 3)];
        let gcov = lines_of(&[(1, 8), (2, 1), (4, 2), (7, 0), (8, 6), (u32::MAX, 1)]);
        assert_eq!(
            shown(&runs(llvm.clone(), &gcov)),
            [
                (1, 1, 8),
                (2, 2, 6),
                (3, 3, 5),
                (4, 4, 7),
                (5, 6, 5),
                (7, 7, 1),
                (8, 8, 6),
                (9, u32::MAX - 1, 3),
                (u32::MAX, u32::MAX, 4),
            ]
        );
        assert_eq!(runs(llvm.clone(), &[]), llvm);
    }

    #[test]
    fn a_line_alone_ends_where_no_other_follows() {
        let gcov = lines_of(&[(2, 1), (3, 0), (7, 6), (u32::MAX, 1)]);
        let segments = segments(Vec::new(), &[], &gcov);
        let places: Vec<_> =
            segments.iter().map(|it| (it.start.line, it.has_count.then_some(it.count))).collect();
        assert_eq!(
            places,
            [(2, Some(1)), (3, Some(0)), (4, None), (7, Some(6)), (8, None), (u32::MAX, Some(1))]
        );
    }

    #[test]
    fn segments_of_llvm_stay_where_both_count() {
        let llvm = vec![segment(3, Some(7)), segment(5, None)];
        let of_llvm = lines::runs(&llvm);
        let joined = segments(llvm, &of_llvm, &lines_of(&[(2, 1), (4, 9), (6, 0)]));
        let places: Vec<_> =
            joined.iter().map(|it| (it.start.line, it.has_count.then_some(it.count))).collect();
        assert_eq!(places, [(2, Some(1)), (3, None), (3, Some(7)), (5, None), (6, Some(0)), (7, None)]);
    }
}
