//! What all programs of line numbers say of one source file, added up.
//!
//! What enters is lines and hits by program, and functions; what leaves is sources as [`Coverage`](super::Coverage)
//! takes them. What always holds: files are in the order of their names, lines and functions in theirs; a line is there
//! once. A line is in the function that begins last before it, in the text. Where a function begins ran at least as often
//! as the function was entered: what is inlined has no row for it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::functions::FunctionAt;
use super::lines::{FileLines, Hit, sum_hits};
use crate::coverage::FileName;
use crate::coverage::gcov::{FunctionCount, LineCount, SourceCount};

/// What is known of source files.
#[derive(Default)]
pub(super) struct Sources<'w> {
    by_path: BTreeMap<FileName, Source<'w>>,
}

#[derive(Default)]
struct Source<'w> {
    lines: Vec<&'w FileLines>,
    functions: Vec<FunctionAt>,
}

impl<'w> Sources<'w> {
    /// Adds what a program says of a file.
    pub(super) fn add_lines(&mut self, path: FileName, lines: &'w FileLines) {
        self.by_path.entry(path).or_default().lines.push(lines);
    }

    /// Adds functions.
    pub(super) fn add_functions(&mut self, functions: Vec<FunctionAt>) {
        for function in functions {
            self.by_path.entry(FileName::clone(&function.path)).or_default().functions.push(function);
        }
    }

    /// Adds up; `max` is the largest count that there is.
    pub(super) fn finish(self, max: u64) -> Vec<SourceCount> {
        let all: Vec<_> = self.by_path.into_iter().collect();
        all.into_par_iter().map(|(name, source)| source.finish(name, max)).collect()
    }
}

impl Source<'_> {
    fn finish(mut self, name: FileName, max: u64) -> SourceCount {
        self.functions.sort_unstable();
        let mut lines: Vec<u32> = self.lines.iter().flat_map(|lines| lines.lines.iter().copied()).collect();
        lines.sort_unstable();
        lines.dedup();
        let mut hits: Vec<Hit> = self.lines.iter().flat_map(|lines| lines.hits.iter().copied()).collect();
        sum_hits(&mut hits);
        let mut hits = hits.as_slice();
        let mut counted = Vec::with_capacity(lines.len());
        let mut functions = self.functions.iter().peekable();
        let mut inside: Option<&FunctionAt> = None;
        for line in lines {
            let mut entered: u64 = 0;
            while let Some(begun) = functions.next_if(|function| function.line <= line) {
                // Of those that begin on one line the first has it.
                inside = inside.filter(|inside| inside.line == begun.line).or(Some(begun));
                entered = entered.saturating_add(if begun.line == line { begun.count() } else { 0 });
            }
            let function_name = inside.map(|function| FileName::clone(&function.name));
            counted.push(line_count(line, function_name, count(&mut hits, line).max(entered).min(max)));
        }
        let (mut functions, mut next, mut begun) = (Vec::new(), None, None);
        for function in self.functions.iter().rev() {
            if begun != Some(function.line) {
                next = begun.replace(function.line);
            }
            functions.push(function_count(function, end(&counted, function.line, next), max));
        }
        functions.reverse();
        SourceCount { name, functions, lines: counted }
    }
}

/// How often a line ran, over all instances; hits of lines before it are left behind.
fn count(hits: &mut &[Hit], line: u32) -> u64 {
    let first = hits.partition_point(|hit| hit.line < line);
    let behind = hits.partition_point(|hit| hit.line <= line);
    let of_line = hits.get(first..behind).unwrap_or_default();
    let sum = |of: fn(&Hit) -> u64| of_line.iter().map(of).fold(0, u64::saturating_add);
    let count = sum(|hit| hit.by_bytes).max(sum(|hit| hit.by_anchors));
    *hits = hits.get(behind..).unwrap_or_default();
    count
}

/// The last line with code before the next function.
fn end(lines: &[LineCount], start: u32, next: Option<u32>) -> u32 {
    let behind = next.map_or(lines.len(), |next| lines.partition_point(|line| line.line_number < next));
    let last = behind.checked_sub(1).and_then(|index| lines.get(index));
    last.map_or(start, |line| line.line_number.max(start))
}

fn line_count(line_number: u32, function_name: Option<FileName>, count: u64) -> LineCount {
    LineCount {
        line_number,
        function_name,
        count,
        unexecuted_block: count == 0,
        is_exceptional: false,
        is_cut: false,
        branches: Vec::new(),
        calls: Vec::new(),
        conditions: Vec::new(),
    }
}

fn function_count(function: &FunctionAt, end_line: u32, max: u64) -> FunctionCount {
    let execution_count = function.count().min(max);
    FunctionCount {
        name: FileName::clone(&function.name),
        start_line: function.line,
        start_column: None,
        end_line: Some(end_line),
        end_column: None,
        // Flow graphs are the compiler's alone.
        blocks: 0,
        blocks_executed: 0,
        execution_count,
        paths: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(line: u32, instance: u64, by_bytes: u64, by_anchors: u64) -> Hit {
        Hit { line, instance, by_bytes, by_anchors }
    }

    #[test]
    fn counts_are_the_largest_of_an_instance_and_the_sum_over_them() {
        let one = FileLines {
            file: 1,
            lines: vec![2, 3, 4, 9],
            hits: vec![hit(3, 1, 5, 0), hit(3, 1, 0, 7), hit(3, 1, 2, 0), hit(3, 2, 4, 4), hit(5, 1, 1, 1)],
        };
        // A copy of the same in another unit.
        let other = FileLines { file: 4, lines: vec![3, 7], hits: vec![hit(3, 2, 4, 4)] };
        let at = |line, name: &str, entries: &[(u64, u64)]| FunctionAt {
            path: b"a.c"[..].into(),
            line,
            name: name.as_bytes().into(),
            entries: entries.to_vec(),
        };
        let mut sources = Sources::default();
        sources.add_lines(b"a.c"[..].into(), &one);
        sources.add_lines(b"a.c"[..].into(), &other);
        sources.add_functions(vec![at(7, "g", &[(8, 0)]), at(2, "f", &[(0, 3), (16, 8)])]);
        let [source] = &sources.finish(u64::MAX)[..] else { panic!("one source") };
        let lines: Vec<_> =
            source.lines.iter().map(|it| (it.line_number, it.count, it.function_name.as_deref())).collect();
        let (f, g) = (Some(&b"f"[..]), Some(&b"g"[..]));
        assert_eq!(lines, [(2, 11, f), (3, 11, f), (4, 0, f), (7, 0, g), (9, 0, g)]);
        let functions: Vec<_> =
            source.functions.iter().map(|it| (it.start_line, it.end_line, it.execution_count)).collect();
        assert_eq!(functions, [(2, Some(4), 11), (7, Some(9), 0)]);
    }

    #[test]
    fn what_says_no_times_counts_once() {
        let lines = FileLines { file: 1, lines: vec![1], hits: vec![hit(1, 1, 1, 1), hit(1, 2, 1, 0)] };
        let mut sources = Sources::default();
        sources.add_lines(b"a.c"[..].into(), &lines);
        assert_eq!(sources.finish(1)[0].lines[0].count, 1);
    }
}
