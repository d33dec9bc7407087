//! Updates that the target lost, told from a target that was reset.
//!
//! A counter that is not atomic is loaded, added to and stored. If another processor counts in between, or an interrupt
//! or a thread that is run instead, the store takes back what was counted there: the count is smaller than one that was
//! read before, and stays so. What enters is a reading that is behind the snapshot before; what leaves is
//! whether lost updates explain it, and how much is gone.
//!
//! The rule, and why. A store that comes late takes back one counter, and as many can come late as there are processors
//! and interrupted threads; everything else goes on forwards. What it stores is what it loaded and one more, which
//! is never 0. A reset sets counters to 0, and takes back every one that has not yet caught up. So counters were lost if
//! - none of them fell to 0, and no byte is uncovered again: those are cleared by storing a constant, which nothing takes
//!   back;
//! - no more than two, or one in [`CHANGED_PER_BACKWARDS`] of all that changed, are behind, and at least as many went
//!   forwards;
//! - no more than two, or one in [`CHANGED_PER_LARGE`], lost much. A thread that waits for a processor between load and
//!   store takes back all that others counted meanwhile, but few can wait just there.
//!
//! Everything else is a reset. A counter that is [torn](super::carry) is wrong by 2^32, so small losses are no tears,
//! and large ones are believed only if they stay however often they are read.
//!
//! What always holds: the counts are the target's own, and what was reached before is reached still, but for bits of
//! bitmaps.
//!
//! Limits. A reset is not noticed if by the next reading all but so few counters have caught up, none
//! is 0, and no link tells: the counts are those of the new run then. Lost updates of a program with so few counters that
//! nothing else goes forwards end the session as a reset. Losses that are made up for between two snapshots are not
//! seen, so that what is counted here is the least that was lost.

use super::Counters;
use super::counters::differing;
use crate::image::uint;
use crate::locate::{CounterRegion, MergeRule};

/// So few counters may always be behind, however few there are.
const ALWAYS_POSSIBLE: u64 = 2;

/// Of so many counters that changed one may be behind. After a reset nearly all of them are: before they have caught up,
/// those alone are not that differ from run to run.
const CHANGED_PER_BACKWARDS: u64 = 16;

/// The same for those that lost much.
const CHANGED_PER_LARGE: u64 = 256;

/// A loss is small up to this part of the count, and [`SMALL_COUNTS`].
const SMALL_PART: u64 = 16;

/// Of young counters any loss is a large part.
const SMALL_COUNTS: u64 = 16;

/// A torn counter is 2^32 off, less what is counted between two readings: no loss above half of that is small.
const SMALL_AT_MOST: u64 = 1 << 31;

/// What is behind in a reading.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Losses {
    /// Elements that changed in any way.
    changed: u64,
    /// Those that are behind.
    backwards: u64,
    /// Those of them that lost much.
    large: u64,
    /// Those of them that no lost update leaves so.
    begun_again: u64,
    /// By how many counts, or bits, all of them are behind.
    pub(super) counts: u64,
}

impl Losses {
    /// Compares two readings of `regions`. Where a region was moved in between, nothing is behind.
    pub(super) fn between(
        regions: &[CounterRegion],
        before: &Counters,
        after: &Counters,
        moved: &[bool],
    ) -> Self {
        let mut losses = Self::default();
        let pairs = before.regions().iter().zip(after.regions());
        for ((region, is_moved), (old, new)) in regions.iter().zip(moved).zip(pairs) {
            if !*is_moved && old != new {
                losses.add_region(region, old, new);
            }
        }
        losses
    }

    fn add_region(&mut self, region: &CounterRegion, old: &[u8], new: &[u8]) {
        for (_, old, new) in differing(region, old, new) {
            self.changed += 1;
            self.add(region.merge, uint(old, region.endianness), uint(new, region.endianness));
        }
    }

    fn add(&mut self, merge: MergeRule, old: u64, new: u64) {
        let (lost, is_large) = match merge {
            MergeRule::Add => {
                let lost = old.saturating_sub(new);
                (lost, lost > SMALL_AT_MOST.min(old / SMALL_PART + SMALL_COUNTS))
            }
            MergeRule::BitmapOr => (u64::from((old & !new).count_ones()), false),
            MergeRule::ClearedWhenHit => (u64::from((new & !old).count_ones()), true),
            MergeRule::Minimum => (u64::from(old != 0), false),
            MergeRule::Latest => (0, false),
        };
        if lost > 0 {
            self.backwards += 1;
            self.large += u64::from(is_large);
            self.begun_again += u64::from(new == 0 || merge == MergeRule::ClearedWhenHit);
            self.counts = self.counts.saturating_add(lost);
        }
    }

    /// Whether they are all small, and so cannot be tears.
    pub(super) fn are_small(&self) -> bool {
        self.large == 0 && self.begun_again == 0
    }

    /// Whether lost updates explain them; also if there are none.
    pub(super) fn are_lost_updates(&self) -> bool {
        let one_in = |changed_per| ALWAYS_POSSIBLE.max(self.changed / changed_per);
        self.begun_again == 0
            && self.backwards <= one_in(CHANGED_PER_BACKWARDS)
            && self.large <= one_in(CHANGED_PER_LARGE)
            && self.backwards <= self.changed - self.backwards
    }
}

#[cfg(test)]
#[path = "lost_tests.rs"]
mod tests;
