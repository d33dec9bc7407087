//! What the target counted over all of its runs, and since when.
//!
//! What enters is the last reading of each run of the target (from one reset to the next) and the newest one; what leaves
//! is their sum by each region's [merge rule](MergeRule), and that sum less what was there when somebody said that
//! counting begins: the *baseline*, which exists on the host alone. Nothing is ever written into the target.
//!
//! What always holds: a run is added once, when the next one has begun. Sums stop at the largest number that an element
//! holds. Values that replace each other ([`MergeRule::Latest`]) are those of the newest run.
//!
//! Limits: a byte or a bit tells that something ran, not when. What was so before the baseline counts as not run since,
//! also if it ran again.

use std::sync::Arc;

use covtap_link::Endianness;

use super::Counters;
use crate::locate::{CounterRegion, MergeRule};

/// The sum of the runs that ended, and the baseline.
#[derive(Default)]
pub(super) struct Sums {
    /// `None` as long as the target has not been reset.
    ended: Option<Counters>,
    /// Runs of which it is in doubt whether they have ended; `None` if there are none.
    doubtful: Option<Counters>,
    /// `None` if everything counts.
    baseline: Option<Arc<Counters>>,
}

impl Sums {
    /// Adds a run whose last reading is `last`. The first is taken as it is.
    pub(super) fn end_run(&mut self, regions: &[CounterRegion], last: &Counters) {
        add(regions, &mut self.ended, last);
    }

    /// Keeps the last reading of a run aside that may not have ended: what comes after may hold it.
    pub(super) fn doubt_run(&mut self, regions: &[CounterRegion], last: &Counters) {
        add(regions, &mut self.doubtful, last);
    }

    /// All runs that were in doubt have ended.
    pub(super) fn believe_doubtful(&mut self, regions: &[CounterRegion]) {
        if let Some(doubtful) = self.doubtful.take() {
            add(regions, &mut self.ended, &doubtful);
        }
    }

    /// What was in doubt is in another run's last reading as well: it counts there alone.
    pub(super) fn forget_doubtful(&mut self) {
        self.doubtful = None;
    }

    /// Whether there were runs before this one.
    pub(super) fn has_ended_runs(&self) -> bool {
        self.ended.is_some()
    }

    /// All that was counted, whatever the baseline: in `all`, or `reading` itself if there was one run only.
    pub(super) fn all(
        &self,
        regions: &[CounterRegion],
        reading: &Arc<Counters>,
        mut all: Arc<Counters>,
    ) -> Arc<Counters> {
        let Some(ended) = &self.ended else { return Arc::clone(reading) };
        let sum = Arc::make_mut(&mut all);
        sum.copy_from(ended);
        combine_all(regions, sum, reading, merged);
        all
    }

    /// Lets counting begin at `all`.
    pub(super) fn set_baseline(&mut self, all: Arc<Counters>) {
        self.baseline = Some(all);
    }

    /// Whether not everything counts.
    pub(super) fn has_baseline(&self) -> bool {
        self.baseline.is_some()
    }

    /// What of `all` was counted since the baseline: in `since`, or `all` itself if there is none.
    pub(super) fn since_baseline(
        &self,
        regions: &[CounterRegion],
        all: &Arc<Counters>,
        mut since: Arc<Counters>,
    ) -> Arc<Counters> {
        let Some(baseline) = &self.baseline else { return Arc::clone(all) };
        let less = Arc::make_mut(&mut since);
        less.copy_from(all);
        combine_all(regions, less, baseline, without);
        since
    }
}

fn add(regions: &[CounterRegion], sum: &mut Option<Counters>, last: &Counters) {
    match sum {
        Some(sum) => combine_all(regions, sum, last, merged),
        None => *sum = Some(last.clone()),
    }
}

/// How an element of one reading and of another combine into a third: by rule, and the largest number it holds.
type Combine = fn(MergeRule, u64, u64, u64) -> u64;

/// The sum of an element over two runs, of which `new` is the later one.
pub(super) fn merged(rule: MergeRule, most: u64, old: u64, new: u64) -> u64 {
    match rule {
        MergeRule::Add => old.saturating_add(new).min(most),
        MergeRule::ClearedWhenHit => old & new,
        MergeRule::BitmapOr => old | new,
        MergeRule::Minimum if old == 0 || new == 0 => old | new,
        MergeRule::Minimum => old.min(new),
        MergeRule::Latest => new,
    }
}

/// What of an element was counted since it was `before`.
pub(super) fn without(rule: MergeRule, most: u64, now: u64, before: u64) -> u64 {
    match rule {
        MergeRule::Add => now.saturating_sub(before),
        // Not cleared, unless it was not yet.
        MergeRule::ClearedWhenHit => now | (!before & most),
        MergeRule::BitmapOr => now & !before,
        MergeRule::Minimum | MergeRule::Latest => now,
    }
}

/// Combines each element of `into` with that of `other`, both readings of `regions`.
fn combine_all(regions: &[CounterRegion], into: &mut Counters, other: &Counters, combine: Combine) {
    for (region, (into, other)) in regions.iter().zip(into.regions_mut().iter_mut().zip(other.regions())) {
        match (region.element_bytes, region.endianness) {
            (8, Endianness::Little) => {
                each(into, other, u64::from_le_bytes, u64::to_le_bytes, |a, b| {
                    combine(region.merge, u64::MAX, a, b)
                });
            }
            (8, Endianness::Big) => {
                each(into, other, u64::from_be_bytes, u64::to_be_bytes, |a, b| {
                    combine(region.merge, u64::MAX, a, b)
                });
            }
            (4, Endianness::Little) => {
                each(into, other, u32::from_le_bytes, u32::to_le_bytes, |a, b| {
                    narrow(combine(region.merge, u32::MAX.into(), a.into(), b.into()))
                });
            }
            (4, Endianness::Big) => {
                each(into, other, u32::from_be_bytes, u32::to_be_bytes, |a, b| {
                    narrow(combine(region.merge, u32::MAX.into(), a.into(), b.into()))
                });
            }
            _ => each(into, other, u8::from_le_bytes, u8::to_le_bytes, |a, b| {
                u8::try_from(combine(region.merge, u8::MAX.into(), a.into(), b.into())).unwrap_or(u8::MAX)
            }),
        }
    }
}

/// What fits: results are at most the largest number of the element.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn each<const N: usize, T>(
    into: &mut [u8],
    other: &[u8],
    read: fn([u8; N]) -> T,
    write: fn(T) -> [u8; N],
    combine: impl Fn(T, T) -> T,
) {
    for (into, other) in into.as_chunks_mut().0.iter_mut().zip(other.as_chunks().0) {
        *into = write(combine(read(*into), read(*other)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::region;
    use super::*;

    struct Scene {
        regions: Vec<CounterRegion>,
        sums: Sums,
    }

    impl Scene {
        fn new(merge: MergeRule, endianness: Endianness, element_bytes: usize) -> Self {
            let regions = vec![CounterRegion { element_bytes, ..region(0, 16, merge, endianness) }];
            Self { regions, sums: Sums::default() }
        }

        fn room(&self) -> Arc<Counters> {
            Arc::new(Counters::for_regions(&self.regions).expect("room"))
        }

        fn reading(&self, bytes: [u8; 16]) -> Arc<Counters> {
            let mut counters = Counters::for_regions(&self.regions).expect("room");
            counters.regions_mut()[0].copy_from_slice(&bytes);
            Arc::new(counters)
        }

        fn end_run(&mut self, bytes: [u8; 16]) {
            let last = self.reading(bytes);
            self.sums.end_run(&self.regions, &last);
        }

        fn all(&self, bytes: [u8; 16]) -> Arc<Counters> {
            self.sums.all(&self.regions, &self.reading(bytes), self.room())
        }

        fn counted(&self, bytes: [u8; 16]) -> Vec<u8> {
            let all = self.all(bytes);
            self.sums.since_baseline(&self.regions, &all, self.room()).regions()[0].clone()
        }
    }

    fn pair(a: u64, b: u64, bytes: impl Fn(u64) -> [u8; 8]) -> [u8; 16] {
        let mut pair = [0; 16];
        pair[..8].copy_from_slice(&bytes(a));
        pair[8..].copy_from_slice(&bytes(b));
        pair
    }

    #[test]
    fn counts_of_all_runs_are_added_in_the_targets_byte_order() {
        for (endianness, bytes) in [
            (Endianness::Little, u64::to_le_bytes as fn(u64) -> [u8; 8]),
            (Endianness::Big, u64::to_be_bytes),
        ] {
            let mut scene = Scene::new(MergeRule::Add, endianness, 8);
            assert_eq!(scene.counted(pair(5, 0xff, bytes)), pair(5, 0xff, bytes));
            scene.end_run(pair(5, 0xff, bytes));
            scene.end_run(pair(1, u64::MAX - 0x100, bytes));
            assert_eq!(scene.counted(pair(2, 7, bytes)), pair(8, u64::MAX, bytes));
        }
    }

    #[test]
    fn narrow_counts_stop_at_their_own_largest_number() {
        let mut scene = Scene::new(MergeRule::Add, Endianness::Little, 4);
        scene.end_run([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let sum = scene.counted([9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sum, [0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn bytes_bits_and_orders_combine_by_their_rules() {
        let sum = |merge, old: u8, new: u8| {
            let mut scene = Scene::new(merge, Endianness::Little, 1);
            scene.end_run([old; 16]);
            scene.counted([new; 16])[0]
        };
        assert_eq!(sum(MergeRule::ClearedWhenHit, 0xff, 0), 0);
        assert_eq!(sum(MergeRule::ClearedWhenHit, 0xff, 0xff), 0xff);
        assert_eq!(sum(MergeRule::BitmapOr, 0b01, 0b10), 0b11);
        assert_eq!(sum(MergeRule::Minimum, 3, 2), 2);
        assert_eq!(sum(MergeRule::Minimum, 3, 0), 3);
        assert_eq!(sum(MergeRule::Minimum, 0, 2), 2);
        assert_eq!(sum(MergeRule::Latest, 3, 2), 2);
    }

    #[test]
    fn what_was_there_at_the_baseline_does_not_count() {
        let counted = |merge, before: u8, now: u8| {
            let mut scene = Scene::new(merge, Endianness::Little, 1);
            let all = scene.all([before; 16]);
            scene.sums.set_baseline(all);
            scene.counted([now; 16])[0]
        };
        assert_eq!(counted(MergeRule::Add, 3, 10), 7);
        assert_eq!(counted(MergeRule::ClearedWhenHit, 0xff, 0), 0);
        assert_eq!(counted(MergeRule::ClearedWhenHit, 0, 0), 0xff);
        assert_eq!(counted(MergeRule::BitmapOr, 0b01, 0b11), 0b10);
        assert_eq!(counted(MergeRule::Latest, 5, 4), 4);
    }

    #[test]
    fn a_baseline_outlives_the_run_that_it_was_set_in() {
        let mut scene = Scene::new(MergeRule::Add, Endianness::Little, 1);
        let all = scene.all([3; 16]);
        scene.sums.set_baseline(all);
        scene.end_run([10; 16]);
        assert_eq!(scene.counted([2; 16])[0], 9);
    }
}
