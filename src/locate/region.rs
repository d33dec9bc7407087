//! A run of counters in target memory: where it is, how wide its elements are, how two readings combine.

use covtap_link::{AddrRange, Endianness};

/// How two readings of one counter combine into one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeRule {
    /// Counts that only grow: the sum, saturating.
    Add,
    /// One byte that is cleared when its code runs: the bitwise and.
    ClearedWhenHit,
    /// Bits that are set when their condition was seen: the bitwise or.
    BitmapOr,
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
    /// How two readings combine.
    pub merge: MergeRule,
    /// The section or symbol it was found by, for messages.
    pub name: String,
}
