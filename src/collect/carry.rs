//! Carries from the lower half of a 64-bit counter into its upper half.
//!
//! A 32-bit target writes a counter in two halves. A reading that comes between them shows a count that is too small by
//! 2^32, which the next comparison finds, or, if the upper half was written first, one that is too large by 2^32, which
//! looks like any other count. So a count whose upper half changed is believed only once it was read again and the
//! upper half was the same.

use covtap_link::Endianness;

use super::Counters;
use crate::locate::{CounterRegion, MergeRule};

/// The width of a counter that has two halves.
const COUNTER_BYTES: usize = 8;

/// Whether the upper half of some counter is another one in `after` than in `before`, both readings of `regions`.
pub(super) fn between(regions: &[CounterRegion], before: &Counters, after: &Counters) -> bool {
    let pairs = before.regions().iter().zip(after.regions());
    regions.iter().zip(pairs).any(|(region, (old, new))| in_part(region, old, new))
}

/// The same of some elements of one region.
pub(super) fn in_part(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    let has_halves = region.merge == MergeRule::Add && region.element_bytes == COUNTER_BYTES;
    has_halves && old != new && in_counters(region.endianness, old, new)
}

fn in_counters(endianness: Endianness, old: &[u8], new: &[u8]) -> bool {
    let upper = |counter: &[u8]| -> Option<[u8; 4]> {
        match endianness {
            Endianness::Little => counter.last_chunk().copied(),
            Endianness::Big => counter.first_chunk().copied(),
        }
    };
    let mut pairs = old.chunks_exact(COUNTER_BYTES).zip(new.chunks_exact(COUNTER_BYTES));
    pairs.any(|(old, new)| upper(old) != upper(new))
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::region;
    use super::*;

    #[test]
    fn only_the_upper_half_of_a_counter_carries() {
        let (old, new) = (0x1_ffff_ffff_u64, 0x2_0000_0000_u64);
        let counters = |bytes: [u8; 8], merge, endianness| {
            let region = region(0, 8, merge, endianness);
            let mut counters = Counters::for_regions(std::slice::from_ref(&region)).expect("room");
            counters.regions_mut()[0].copy_from_slice(&bytes);
            (region, counters)
        };
        let carries = |merge, endianness, old, new| {
            let (region, old) = counters(old, merge, endianness);
            between(&[region], &old, &counters(new, merge, endianness).1)
        };
        use Endianness::{Big, Little};
        assert!(carries(MergeRule::Add, Little, old.to_le_bytes(), new.to_le_bytes()));
        assert!(carries(MergeRule::Add, Big, old.to_be_bytes(), new.to_be_bytes()));
        assert!(!carries(MergeRule::Add, Little, old.to_le_bytes(), (old - 1).to_le_bytes()));
        assert!(!carries(MergeRule::Add, Big, old.to_be_bytes(), (old - 1).to_be_bytes()));
        assert!(!carries(MergeRule::BitmapOr, Little, old.to_le_bytes(), new.to_le_bytes()));
    }
}
