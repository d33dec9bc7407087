//! Counters of many functions as few regions.
//!
//! What enters is where each function has its counters; what leaves is [`CounterRegion`]s, by address, and in which of
//! them each of the counters is. What always holds: each counter is in one region, and no two share bytes; what is
//! between two arrays of counters is in a region only if symbols show that it is padding.

use covtap_link::{AddrRange, PointerWidth};

use super::layout::CounterKind;
use super::objects::COUNTER_BYTES;
use super::{GcovError, Place, Subject};
use crate::image::{Image, ImageAddr};
use crate::locate::{CounterRegion, MergeRule};

/// Compilers align arrays to a cache line at most.
const MAX_PADDING_BYTES: u64 = 64;

/// A region larger than this belongs to a damaged file: no program has a gibibyte of counters.
const MAX_REGION_BYTES: u64 = 1 << 30;

/// The counters of one kind of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Array {
    pub(super) start: u64,
    pub(super) len_bytes: u64,
    pub(super) rule: MergeRule,
}

impl Array {
    fn end(self) -> u64 {
        self.start.saturating_add(self.len_bytes)
    }
}

/// How two readings of counters of one kind combine. That is not how files combine: a running program replaces what
/// the most frequent values are, and adds negative values to sums.
pub(super) fn rule(kind: CounterKind) -> MergeRule {
    match kind {
        CounterKind::Arcs | CounterKind::Interval | CounterKind::Pow2 => MergeRule::Add,
        CounterKind::TimeProfile => MergeRule::Minimum,
        CounterKind::Ior | CounterKind::Conditions | CounterKind::Paths => MergeRule::BitmapOr,
        CounterKind::TopN
        | CounterKind::Delta
        | CounterKind::IndirectCall
        | CounterKind::Average
        | CounterKind::IndirectCallTopN => MergeRule::Latest,
    }
}

/// Regions by address.
#[derive(Debug)]
pub(super) struct Regions {
    arrays: Vec<Array>,
}

impl Regions {
    /// Joins arrays of counters.
    pub(super) fn of(subject: &Subject<'_>, mut arrays: Vec<Array>) -> Result<Self, GcovError> {
        arrays.sort_by_key(|array| array.start);
        for (first, second) in arrays.iter().zip(arrays.iter().skip(1)) {
            if second.start < first.end() {
                let (first, second) = (ImageAddr::new(first.start), ImageAddr::new(second.start));
                return Err(GcovError::Overlap { image: subject.name.to_owned(), first, second });
            }
        }
        let symbols = subject.image.map(Symbols::of).unwrap_or_default();
        let mut joined: Vec<Array> = Vec::new();
        let mut last_start = 0;
        for array in arrays {
            match joined.last_mut() {
                Some(region)
                    if region.rule == array.rule && symbols.join(last_start, region.end(), array) =>
                {
                    region.len_bytes = array.end().saturating_sub(region.start);
                }
                _ => joined.push(array),
            }
            last_start = array.start;
        }
        Ok(Self { arrays: joined })
    }

    /// Where counters are; `None` if they were not among those that were joined.
    pub(super) fn place(&self, address: u64) -> Option<Place> {
        let region = self.arrays.partition_point(|region| region.start <= address).checked_sub(1)?;
        let array = self.arrays.get(region).filter(|array| address < array.end())?;
        let offset = address.checked_sub(array.start)?;
        Some(Place { region, offset: usize::try_from(offset).ok()? })
    }

    /// The regions in the target's memory.
    pub(super) fn loaded(self, subject: &Subject<'_>) -> Result<Vec<CounterRegion>, GcovError> {
        let region = |array: Array| {
            Ok(CounterRegion {
                range: range(subject, array)?,
                element_bytes: usize::try_from(COUNTER_BYTES).unwrap_or(8),
                endianness: subject.endianness,
                pointer_width: subject.pointer_width,
                merge: array.rule,
                bias: None,
                name: "gcov".to_owned(),
            })
        };
        self.arrays.into_iter().map(region).collect()
    }
}

/// A range of the target's memory, checked.
fn range(subject: &Subject<'_>, array: Array) -> Result<AddrRange, GcovError> {
    let width = subject.pointer_width;
    let (start, len_bytes) = (subject.slide.apply(ImageAddr::new(array.start), width), array.len_bytes);
    let last = match width {
        PointerWidth::Bits32 => u64::from(u32::MAX),
        PointerWidth::Bits64 => u64::MAX,
    };
    let fits = |range: &AddrRange| range.end().get().saturating_sub(1) <= last;
    let range = AddrRange::new(start, len_bytes).filter(|_| len_bytes <= MAX_REGION_BYTES).filter(fits);
    range.ok_or_else(|| GcovError::NoRange { image: subject.name.to_owned(), start, len_bytes })
}

/// Where symbols are that have a length: start and end, by start.
#[derive(Default)]
struct Symbols(Vec<(u64, u64)>);

impl Symbols {
    fn of(image: &Image) -> Self {
        let sized = image.symbols().filter(|symbol| symbol.len_bytes > 0);
        let range = |start: u64, len: u64| (start, start.saturating_add(len));
        let mut all: Vec<_> = sized.map(|s| range(s.address.get(), s.len_bytes)).collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    /// Whether what is between counters, the last of which start at `before` and end at `end`, and the next ones is
    /// counters or padding. Padding is what compilers leave between two variables that symbols name, with none between.
    fn join(&self, before: u64, end: u64, next: Array) -> bool {
        let gap = next.start.saturating_sub(end);
        if gap == 0 {
            return true;
        }
        let starts = |address: u64| self.0.partition_point(|(start, _)| *start < address);
        let is_followed = || {
            let named = self.0.get(starts(before)..starts(next.start.saturating_add(1))).unwrap_or_default();
            matches!(named, [(first, first_end), (second, _)]
                if *first == before && *first_end <= end && *second == next.start)
        };
        gap < MAX_PADDING_BYTES && gap.is_multiple_of(COUNTER_BYTES) && is_followed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::gcov::{MergeFn, Version};

    /// Whether counters at 0x100, 24 bytes, and at `next` become one region, with those symbols.
    fn joins(symbols: &[(u64, u64)], next: u64) -> bool {
        let next = Array { start: next, len_bytes: 16, rule: MergeRule::Add };
        Symbols(symbols.to_vec()).join(0x100, 0x118, next)
    }

    #[test]
    fn only_padding_is_in_a_region() {
        let (first, second) = ((0x100, 0x118), (0x120, 0x130));
        assert!(joins(&[], 0x118), "they follow each other");
        assert!(joins(&[(0x80, 0x100), first, second, (0x130, 0x140)], 0x120));
        assert!(!joins(&[], 0x120), "nothing tells what is between");
        assert!(!joins(&[first], 0x120));
        assert!(!joins(&[second], 0x120));
        assert!(!joins(&[first, (0x118, 0x11c), second], 0x120), "a variable is");
        assert!(!joins(&[(0x100, 0x11c), second], 0x120), "it is longer than its counters");
        assert!(!joins(&[first, (0x11c, 0x12c)], 0x11c), "no multiple of an element");
        assert!(!joins(&[first, (0x158, 0x168)], 0x158), "too far for padding");
    }

    #[test]
    fn what_may_go_backwards_is_never_added() {
        let version = Version::from_word(u32::from_be_bytes(*b"B53*")).unwrap();
        for (kind, merge) in version.layout().unwrap().counters {
            let expected = match merge {
                MergeFn::Ior => MergeRule::BitmapOr,
                MergeFn::TopN => MergeRule::Latest,
                _ if *kind == CounterKind::Average => MergeRule::Latest,
                _ if *kind == CounterKind::TimeProfile => MergeRule::Minimum,
                _ => MergeRule::Add,
            };
            assert_eq!(rule(*kind), expected, "{kind:?}");
        }
    }
}
