//! Where a snapshot differs from an earlier one.
//!
//! What enters is the elements that differ, in order; what leaves is runs of bytes, so that whoever keeps something up to
//! date need not compare all of both again. What always holds: everything outside of the runs is equal; runs are in order
//! and apart, and begin and end with an element.

use std::ops::Range;

/// Elements that are nearer to each other than this are in one run: what is between them costs less than another run.
const GAP_BYTES: usize = 256;

/// Where a snapshot differs from an earlier one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Changes {
    /// The number of the earlier one.
    pub since: u64,
    /// By region.
    runs: Vec<Vec<Range<usize>>>,
}

impl Changes {
    /// The runs of one region that may differ, as bytes from its beginning.
    #[must_use]
    pub fn of_region(&self, region: usize) -> &[Range<usize>] {
        self.runs.get(region).map(Vec::as_slice).unwrap_or_default()
    }

    /// Begins the next region.
    pub(super) fn begin_region(&mut self) {
        self.runs.push(Vec::new());
    }

    /// Adds an element of the region that was begun last, which comes after those that were added before.
    pub(super) fn add(&mut self, element: Range<usize>) {
        if let Some(runs) = self.runs.last_mut() {
            append(runs, element);
        }
    }

    /// Where the later of two snapshots differs from what the earlier one differs from.
    #[must_use]
    pub(super) fn followed_by(&self, later: &Self) -> Self {
        let num_regions = self.runs.len().max(later.runs.len());
        let runs = (0..num_regions).map(|region| joined(self.of_region(region), later.of_region(region)));
        Self { since: self.since, runs: runs.collect() }
    }
}

fn append(runs: &mut Vec<Range<usize>>, next: Range<usize>) {
    match runs.last_mut() {
        Some(last) if next.start.saturating_sub(last.end) < GAP_BYTES => last.end = last.end.max(next.end),
        _ => runs.push(next),
    }
}

fn joined(some: &[Range<usize>], others: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut all: Vec<_> = some.iter().chain(others).cloned().collect();
    all.sort_unstable_by_key(|run| run.start);
    let mut runs = Vec::with_capacity(all.len());
    all.into_iter().for_each(|run| append(&mut runs, run));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(regions: &[&[usize]]) -> Changes {
        let mut changes = Changes { since: 1, ..Changes::default() };
        for elements in regions {
            changes.begin_region();
            elements.iter().for_each(|at| changes.add(*at..at + 8));
        }
        changes
    }

    #[test]
    fn near_elements_are_one_run() {
        let changes = changes(&[&[0, 8, 200, 1000], &[], &[16]]);
        assert_eq!(changes.of_region(0), [0..208, 1000..1008]);
        assert!(changes.of_region(1).is_empty());
        assert_eq!(changes.of_region(2).first(), Some(&(16..24)));
        assert!(changes.of_region(3).is_empty());
    }

    #[test]
    fn what_follows_is_added() {
        let first = changes(&[&[0, 5000], &[8]]);
        let second = Changes { since: 2, ..changes(&[&[2000, 4992], &[]]) };
        let both = first.followed_by(&second);
        assert_eq!(both, changes(&[&[0, 2000, 4992, 5000], &[8]]));
        assert_eq!(second.followed_by(&first).since, 2);
    }

    #[test]
    fn a_run_within_another_does_not_shorten_it() {
        let wide = changes(&[&[0, 100, 200, 300]]);
        assert_eq!(wide.followed_by(&changes(&[&[8]])), wide);
    }
}
