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

    /// Copies as many bytes of `other` as there is room for, which is all of them if both are of the same regions.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for (into, from) in self.regions.iter_mut().zip(&other.regions) {
            into.iter_mut().zip(from).for_each(|(into, from)| *into = *from);
        }
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
        let mut delta = Self::default();
        let pairs = before.regions.iter().zip(&after.regions);
        for (region, (old, new)) in regions.iter().zip(pairs) {
            delta.add_part(region, old, new);
        }
        delta
    }

    /// Adds how two readings of the same elements of a region differ.
    pub(super) fn add_part(&mut self, region: &CounterRegion, old: &[u8], new: &[u8]) {
        for (_, old, new) in differing(region, old, new) {
            self.changed += 1;
            self.backwards += u64::from(moved_backwards(region, old, new));
        }
    }
}

/// So many bytes are compared at once: a multiple of every element's width.
const BLOCK_BYTES: usize = 1024;

/// The elements that differ between two readings of the same part of a region: the index of the first byte of each, and
/// its bytes. Most of a snapshot is as it was, and is passed over in blocks.
pub(super) fn differing<'b>(
    region: &CounterRegion,
    old: &'b [u8],
    new: &'b [u8],
) -> impl Iterator<Item = (usize, &'b [u8], &'b [u8])> {
    let width = region.element_bytes.max(1);
    let blocks = old.chunks(BLOCK_BYTES).zip(new.chunks(BLOCK_BYTES)).enumerate();
    blocks.filter(|(_, (old, new))| old != new).flat_map(move |(block, (old, new))| {
        let elements = old.chunks_exact(width).zip(new.chunks_exact(width)).enumerate();
        let changed = elements.filter(|(_, (old, new))| old != new);
        changed.map(move |(index, (old, new))| (block * BLOCK_BYTES + index * width, old, new))
    })
}

/// Whether an element moved against its merge rule.
pub(super) fn moved_backwards(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    match region.merge {
        MergeRule::Add => match region.endianness {
            Endianness::Little => new.iter().rev().lt(old.iter().rev()),
            Endianness::Big => new.lt(old),
        },
        MergeRule::ClearedWhenHit => old.iter().zip(new).any(|(old, new)| *new & !*old != 0),
        MergeRule::BitmapOr => old.iter().zip(new).any(|(old, new)| *old & !*new != 0),
        MergeRule::Minimum => old.iter().any(|byte| *byte != 0),
        MergeRule::Latest => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use covtap_link::{AddrRange, PointerWidth, TargetAddr};

    pub(crate) fn region(addr: u64, len: u64, merge: MergeRule, endianness: Endianness) -> CounterRegion {
        CounterRegion {
            range: AddrRange::new(TargetAddr::new(addr), len).expect("range"),
            element_bytes: if matches!(merge, MergeRule::Add | MergeRule::Minimum) { 8 } else { 1 },
            endianness,
            pointer_width: PointerWidth::Bits32,
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
    fn a_number_that_is_set_once_never_changes() {
        let (none, first, other) = ([0; 8], [1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]);
        let minimum = |old: &[u8], new: &[u8]| delta(MergeRule::Minimum, Endianness::Little, old, new);
        assert_eq!(minimum(&none, &first), Delta { changed: 1, backwards: 0 });
        assert_eq!(minimum(&first, &other), Delta { changed: 1, backwards: 1 });
        assert_eq!(minimum(&first, &none), Delta { changed: 1, backwards: 1 });
    }

    #[test]
    fn elements_are_found_in_whatever_block_they_are() {
        let counts = region(0, 4096, MergeRule::Add, Endianness::Little);
        let old = vec![0; 4096];
        let mut new = old.clone();
        for at in [0, 1016, 1024, 4095] {
            new[at] = 1;
        }
        let found: Vec<_> = differing(&counts, &old, &new).map(|(at, ..)| at).collect();
        assert_eq!(found, [0, 1016, 1024, 4088]);
    }

    #[test]
    fn the_latest_of_values_is_never_backwards() {
        let replaced = delta(MergeRule::Latest, Endianness::Little, &[9, 7], &[1, 7]);
        assert_eq!(replaced, Delta { changed: 1, backwards: 0 });
    }
}
