//! A run of counters in target memory: where it is, how wide its elements are, how two readings combine.

use covtap_link::{AddrRange, Endianness, PointerWidth, TargetAddr};

use crate::image::{uint, wrap};

/// How two readings of one counter combine into one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeRule {
    /// Counts that only grow: the sum, saturating.
    Add,
    /// One byte that is cleared when its code runs: the bitwise and.
    ClearedWhenHit,
    /// Bits that are set when their condition was seen: the bitwise or.
    BitmapOr,
    /// Numbers that are set once, as the order of first calls is: the smaller one, 0 being none.
    Minimum,
    /// Values that may become any other, as lists of values and sums with a sign do: the latest.
    Latest,
}

/// A run of counters in target memory.
///
/// This is all that collecting needs to know of a coverage format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterRegion {
    /// Where it is in the target.
    pub range: AddrRange,
    /// The width of one element in bytes: 8, 4 or 1. The range's length is a multiple of it.
    pub element_bytes: usize,
    /// The order of the bytes in an element.
    pub endianness: Endianness,
    /// The width of the target's pointers. A wider element is written in two halves, one after the other.
    pub pointer_width: PointerWidth,
    /// How two readings combine.
    pub merge: MergeRule,
    /// Where the target keeps how far from `range` it counts, if it may count elsewhere.
    pub bias: Option<BiasWord>,
    /// The section or symbol it was found by, for messages.
    pub name: String,
}

impl CounterRegion {
    /// Whether elements are counts that the target writes in two halves, so that a reading may come between them.
    #[must_use]
    pub fn has_halves(&self) -> bool {
        self.merge == MergeRule::Add && self.element_bytes > self.pointer_width.bytes()
    }
}

/// A number in the target's memory that its code adds to the address of every counter of a region.
///
/// The sum wraps at the pointer width, as the target's own does: a move downwards is its two's complement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BiasWord {
    /// Where the number is. Its length is 4 or 8 bytes.
    pub range: AddrRange,
    /// The order of its bytes.
    pub endianness: Endianness,
    /// The width of the target's pointers.
    pub pointer_width: PointerWidth,
}

impl BiasWord {
    /// Where `region` is when the number is `bias`; `None` if that passes the end of the target's address space.
    #[must_use]
    pub fn moved(&self, region: AddrRange, bias: u64) -> Option<AddrRange> {
        let start = wrap(region.start().get().wrapping_add(bias), self.pointer_width);
        let range = AddrRange::new(TargetAddr::new(start), region.len_bytes())?;
        (wrap(u64::MAX, self.pointer_width) >= range.end().get().saturating_sub(1)).then_some(range)
    }

    /// The number, cut to the width of a pointer, from the bytes of [`range`](Self::range).
    #[must_use]
    pub fn value(&self, bytes: &[u8]) -> u64 {
        wrap(uint(bytes, self.endianness), self.pointer_width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(pointer_width: PointerWidth, endianness: Endianness) -> BiasWord {
        let range = AddrRange::new(TargetAddr::new(0x1000), 8).expect("a range");
        BiasWord { range, endianness, pointer_width }
    }

    fn range(start: u64, len_bytes: u64) -> AddrRange {
        AddrRange::new(TargetAddr::new(start), len_bytes).expect("a range")
    }

    #[test]
    fn a_region_moves_up_and_down_and_never_past_the_end() {
        let narrow = word(PointerWidth::Bits32, Endianness::Little);
        let region = range(0x2000_0000, 16);
        assert_eq!(narrow.moved(region, 0x100), Some(range(0x2000_0100, 16)));
        assert_eq!(narrow.moved(region, 0xffff_ff00), Some(range(0x1fff_ff00, 16)));
        assert_eq!(narrow.moved(region, 0xdfff_fff0), Some(range(0xffff_fff0, 16)));
        assert_eq!(narrow.moved(region, 0xdfff_fff8), None);
        let wide = word(PointerWidth::Bits64, Endianness::Little);
        assert_eq!(wide.moved(region, 0x100_0000_0000), Some(range(0x100_2000_0000, 16)));
        assert_eq!(wide.moved(region, 0u64.wrapping_sub(0x2000_0008)), None);
    }

    #[test]
    fn the_number_is_cut_to_the_pointer_as_the_targets_code_does() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let value = |width, order| word(width, order).value(&bytes);
        assert_eq!(value(PointerWidth::Bits32, Endianness::Little), 0x0403_0201);
        assert_eq!(value(PointerWidth::Bits32, Endianness::Big), 0x0506_0708);
        assert_eq!(value(PointerWidth::Bits64, Endianness::Big), 0x0102_0304_0506_0708);
    }
}
