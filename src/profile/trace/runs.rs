//! Overlapping blocks made into runs that are apart, each with the sum of its blocks' counts.

use super::Run;

/// Adds up what overlaps.
pub(super) fn sum(blocks: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut blocks: Vec<Run> = blocks.filter(|block| block.start <= block.last).collect();
    blocks.sort_unstable_by_key(|block| block.start);
    // Where the count changes, and by how much; a block that ends with memory never goes down again.
    let mut ends: Vec<(u64, u64)> =
        blocks.iter().filter_map(|block| Some((block.last.checked_add(1)?, block.count))).collect();
    ends.sort_unstable();
    let mut edges = Edges { starts: blocks.into_iter().peekable(), ends: ends.into_iter().peekable() };
    let (mut runs, mut count, mut from) = (Vec::new(), 0u128, 0u64);
    while let Some((at, more, less)) = edges.next() {
        if let Some(last) = at.checked_sub(1).filter(|last| count > 0 && *last >= from) {
            runs.push(Run { start: from, last, count: narrow(count) });
        }
        count = count.saturating_add(more).saturating_sub(less);
        from = at;
    }
    if count > 0 {
        runs.push(Run { start: from, last: u64::MAX, count: narrow(count) });
    }
    joined(runs.into_iter())
}

/// Makes neighbours with equal counts one run.
pub(super) fn joined(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(before) if before.last.checked_add(1) == Some(run.start) && before.count == run.count => {
                before.last = run.last;
            }
            _ => joined.push(run),
        }
    }
    joined
}

fn narrow(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Beginnings and ends of blocks by address.
struct Edges<S: Iterator<Item = Run>, E: Iterator<Item = (u64, u64)>> {
    starts: std::iter::Peekable<S>,
    ends: std::iter::Peekable<E>,
}

impl<S: Iterator<Item = Run>, E: Iterator<Item = (u64, u64)>> Edges<S, E> {
    /// The next address where the count changes, what begins there and what ends.
    fn next(&mut self) -> Option<(u64, u128, u128)> {
        let start = self.starts.peek().map(|block| block.start);
        let end = self.ends.peek().map(|(at, _)| *at);
        let at = match (start, end) {
            (Some(start), Some(end)) => start.min(end),
            (start, end) => start.or(end)?,
        };
        let (mut more, mut less) = (0u128, 0u128);
        while let Some(block) = self.starts.next_if(|block| block.start == at) {
            more = more.saturating_add(block.count.into());
        }
        while let Some((_, count)) = self.ends.next_if(|(end, _)| *end == at) {
            less = less.saturating_add(count.into());
        }
        Some((at, more, less))
    }
}
