//! The bytes of one reading of all regions, and what changed between two readings.

use covtap_link::Endianness;

use crate::locate::{CounterRegion, MergeRule};

/// The bytes of every region at one moment, in the order of the regions.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    regions: Vec<Vec<u8>>,
}

impl Counters {
    /// Zeroed room for one reading of `regions`, or `None` if the host has not that much memory.
    #[must_use]
    pub fn for_regions(regions: &[CounterRegion]) -> Option<Self> {
        let mut all = Vec::with_capacity(regions.len());
        for region in regions {
            let len = usize::try_from(region.range.len_bytes()).ok()?;
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len).ok()?;
            bytes.resize(len, 0);
            all.push(bytes);
        }
        Some(Self { regions: all })
    }

    /// The bytes of each region.
    #[must_use]
    pub fn regions(&self) -> &[Vec<u8>] {
        &self.regions
    }

    pub(super) fn regions_mut(&mut self) -> &mut [Vec<u8>] {
        &mut self.regions
    }
}

/// How one reading differs from the one before, over all regions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Delta {
    /// Elements with another value than before.
    pub changed: u64,
    /// Elements that moved against their merge rule, which a running program cannot do: a count that is
    /// smaller, a byte that is uncovered again, a bit that is gone.
    pub backwards: u64,
}

impl Delta {
    /// What changed from `before` to `after`, both readings of `regions`.
    #[must_use]
    pub fn between(regions: &[CounterRegion], before: &Counters, after: &Counters) -> Self {
        Self::following(regions, before, after, &vec![false; regions.len()])
    }

    /// As [`between`](Self::between); nothing is backwards in a region that was moved in between. The target
    /// counts in other memory since, and what that held before is its own affair: usually a copy of the counts,
    /// without those that came while it was made.
    pub(super) fn following(
        regions: &[CounterRegion],
        before: &Counters,
        after: &Counters,
        moved: &[bool],
    ) -> Self {
        let mut delta = Self::default();
        let pairs = before.regions.iter().zip(&after.regions);
        for ((region, is_moved), (old, new)) in regions.iter().zip(moved).zip(pairs) {
            // Most of a snapshot is as it was: look at elements only where the bytes differ.
            if old != new {
                let backwards = delta.backwards;
                delta.add_part(region, old, new);
                if *is_moved {
                    delta.backwards = backwards;
                }
            }
        }
        delta
    }

    /// Adds how two readings of the same elements of a region differ.
    pub(super) fn add_part(&mut self, region: &CounterRegion, old: &[u8], new: &[u8]) {
        let width = region.element_bytes.max(1);
        for (old, new) in old.chunks_exact(width).zip(new.chunks_exact(width)) {
            if old != new {
                self.changed += 1;
                self.backwards += u64::from(moved_backwards(region, old, new));
            }
        }
    }
}

fn moved_backwards(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    match region.merge {
        MergeRule::Add => match region.endianness {
            Endianness::Little => new.iter().rev().lt(old.iter().rev()),
            Endianness::Big => new.lt(old),
        },
        MergeRule::ClearedWhenHit => old.iter().zip(new).any(|(old, new)| *new & !*old != 0),
        MergeRule::BitmapOr => old.iter().zip(new).any(|(old, new)| *old & !*new != 0),
        MergeRule::Latest => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use covtap_link::{AddrRange, TargetAddr};

    pub(crate) fn region(addr: u64, len: u64, merge: MergeRule, endianness: Endianness) -> CounterRegion {
        CounterRegion {
            range: AddrRange::new(TargetAddr::new(addr), len).expect("range"),
            element_bytes: if merge == MergeRule::Add { 8 } else { 1 },
            endianness,
            merge,
            bias: None,
            name: "test".into(),
        }
    }

    fn delta(merge: MergeRule, endianness: Endianness, old: &[u8], new: &[u8]) -> Delta {
        let region = region(0, old.len() as u64, merge, endianness);
        let counters = |bytes: &[u8]| Counters { regions: vec![bytes.to_vec()] };
        Delta::between(&[region], &counters(old), &counters(new))
    }

    #[test]
    fn counts_compare_in_the_targets_byte_order() {
        let small = 0x00ff_u64;
        let large = 0x0100_u64;
        for (endianness, small, large) in [
            (Endianness::Little, small.to_le_bytes(), large.to_le_bytes()),
            (Endianness::Big, small.to_be_bytes(), large.to_be_bytes()),
        ] {
            let up = delta(MergeRule::Add, endianness, &small, &large);
            assert_eq!(up, Delta { changed: 1, backwards: 0 });
            let down = delta(MergeRule::Add, endianness, &large, &small);
            assert_eq!(down, Delta { changed: 1, backwards: 1 });
        }
    }

    #[test]
    fn a_torn_carry_is_seen_as_backwards() {
        let before = 0x1_ffff_ffff_u64.to_le_bytes();
        let torn = 0x1_0000_0000_u64.to_le_bytes();
        assert_eq!(delta(MergeRule::Add, Endianness::Little, &before, &torn).backwards, 1);
    }

    #[test]
    fn bytes_and_bits_only_move_one_way() {
        let hit = delta(MergeRule::ClearedWhenHit, Endianness::Little, &[0xff, 0xff], &[0xff, 0]);
        assert_eq!(hit, Delta { changed: 1, backwards: 0 });
        let unhit = delta(MergeRule::ClearedWhenHit, Endianness::Little, &[0, 0xff], &[0xff, 0xff]);
        assert_eq!(unhit, Delta { changed: 1, backwards: 1 });
        let set = delta(MergeRule::BitmapOr, Endianness::Little, &[0b0101], &[0b0111]);
        assert_eq!(set, Delta { changed: 1, backwards: 0 });
        let lost = delta(MergeRule::BitmapOr, Endianness::Little, &[0b0101], &[0b1110]);
        assert_eq!(lost, Delta { changed: 1, backwards: 1 });
    }

    #[test]
    fn the_latest_of_values_is_never_backwards() {
        let replaced = delta(MergeRule::Latest, Endianness::Little, &[9, 7], &[1, 7]);
        assert_eq!(replaced, Delta { changed: 1, backwards: 0 });
    }
}
