//! Counts of LLVM-instrumented functions.
//!
//! What enters is an [`LlvmImage`] and a snapshot: the bytes of its regions, in the order in which
//! [`locate`](crate::locate::llvm::locate) gave them. What leaves is an [`LlvmProfile`].
//!
//! What always holds: a profile has one function for each data record, with as many counts as the record has
//! counters. Byte coverage is turned into counts of 1 (covered) and 0, as LLVM's own reader does
//! (`InstrProfReader.cpp`, llvmorg-19.1.7).

use std::ops::Range;

use super::stats::{self, Stats};
use crate::image::uint;
use crate::locate::llvm::{DataRecord, LlvmImage, NameRef};

/// A snapshot does not fit the image.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read the {region} of {image}: the snapshot has {found} bytes, the image {expected}")]
pub struct SnapshotError {
    /// The image's name.
    pub image: String,
    /// `counters` or `bitmap`.
    pub region: &'static str,
    /// How many bytes the image has there.
    pub expected: usize,
    /// How many bytes the snapshot has there.
    pub found: usize,
}

/// The counts of an image's functions at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LlvmProfile {
    functions: Vec<Entry>,
    counts: Vec<u64>,
    bitmaps: Vec<u8>,
    is_byte_coverage: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    name_ref: NameRef,
    func_hash: u64,
    counts: Range<usize>,
    bitmap: Range<usize>,
}

/// A function's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'a> {
    /// The function's name, by its reference.
    pub name_ref: NameRef,
    /// The hash of its control flow.
    pub func_hash: u64,
    /// Its counters; never empty.
    pub counts: &'a [u64],
    /// Its MC/DC bitmap; empty where it has none.
    pub bitmap: &'a [u8],
}

impl LlvmProfile {
    /// Reads the counts out of a snapshot of the image's regions.
    ///
    /// # Errors
    ///
    /// A region's bytes are missing or of another length than the image's.
    pub fn new<R: AsRef<[u8]>>(image: &LlvmImage, regions: &[R]) -> Result<Self, SnapshotError> {
        let (counters, bitmap) = split(image, regions)?;
        let mut profile = Self {
            functions: Vec::with_capacity(image.records().len()),
            counts: Vec::with_capacity(counters.len() / image.counter_bytes().max(1)),
            bitmaps: Vec::with_capacity(bitmap.len()),
            is_byte_coverage: image.is_byte_coverage(),
        };
        for record in image.records() {
            profile.push(image, record, counters, bitmap);
        }
        Ok(profile)
    }

    fn push(&mut self, image: &LlvmImage, record: &DataRecord, counters: &[u8], bitmap: &[u8]) {
        let (first_count, first_bit) = (self.counts.len(), self.bitmaps.len());
        let counters = counters.get(record.counters_offset..).unwrap_or_default();
        let elements = counters.chunks(image.counter_bytes().max(1)).take(record.num_counters);
        if image.is_byte_coverage() {
            self.counts.extend(elements.map(|byte| u64::from(byte == [0])));
        } else {
            self.counts.extend(elements.map(|bytes| uint(bytes, image.endianness())));
        }
        let bitmap = bitmap.get(record.bitmap_offset..).unwrap_or_default();
        self.bitmaps.extend(bitmap.iter().take(record.num_bitmap_bytes));
        self.functions.push(Entry {
            name_ref: record.name_ref,
            func_hash: record.func_hash,
            counts: first_count..self.counts.len(),
            bitmap: first_bit..self.bitmaps.len(),
        });
    }

    /// The functions, in the order of the image's records.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Function<'_>> {
        self.functions.iter().map(|entry| Function {
            name_ref: entry.name_ref,
            func_hash: entry.func_hash,
            counts: self.counts.get(entry.counts.clone()).unwrap_or_default(),
            bitmap: self.bitmaps.get(entry.bitmap.clone()).unwrap_or_default(),
        })
    }

    /// Whether a count of 1 says only that the code ran, not how often.
    #[must_use]
    pub fn is_byte_coverage(&self) -> bool {
        self.is_byte_coverage
    }

    /// How many counts are larger than any run makes them: the memory was not set to zero, or is not theirs.
    #[must_use]
    pub fn num_unbelievable(&self) -> usize {
        stats::num_unbelievable(&self.counts)
    }

    /// How much was reached.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.functions().map(|function| Stats::of_function(function.counts)).sum()
    }
}

/// The counters and the bitmap of a snapshot, their lengths checked.
pub(crate) fn split<'r, R: AsRef<[u8]>>(
    image: &LlvmImage,
    regions: &'r [R],
) -> Result<(&'r [u8], &'r [u8]), SnapshotError> {
    let region = |index: usize, region: &'static str, expected: usize| {
        let bytes = regions.get(index).map(AsRef::as_ref).unwrap_or_default();
        if bytes.len() == expected {
            return Ok(bytes);
        }
        Err(SnapshotError { image: image.name().to_owned(), region, expected, found: bytes.len() })
    };
    Ok((region(0, "counters", image.counters_len_bytes())?, region(1, "bitmap", image.bitmap_len_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, Slide};
    use crate::locate::llvm::{Located, locate};

    fn located(elf: &[u8]) -> Located {
        locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::ZERO).unwrap()
    }

    /// Zeros for a counters region but for the given counters, by record and index.
    fn snapshot(located: &Located, width: usize, fill: u8, set: &[(usize, usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![fill; located.image.counters_len_bytes()];
        for (record, index, value) in set {
            let at = located.image.records()[*record].counters_offset + index * width;
            bytes[at..][..width].copy_from_slice(value);
        }
        bytes
    }

    #[test]
    fn a_function_is_entered_when_any_counter_of_it_is_not_zero() {
        let located = located(include_bytes!("../../tests/fixtures/hosted/clang-19.elf"));
        let (five, top) = (5u64.to_le_bytes(), u64::MAX.to_le_bytes());
        let counters = snapshot(&located, 8, 0, &[(1, 1, &five), (2, 0, &top)]);
        let profile = LlvmProfile::new(&located.image, std::slice::from_ref(&counters)).unwrap();
        assert_eq!(profile.num_unbelievable(), 1);
        let functions: Vec<Function<'_>> = profile.functions().collect();
        assert_eq!(functions[1].counts, [0, 5]);
        assert_eq!(functions[2].counts[0], u64::MAX);
        let stats = profile.stats();
        assert_eq!((stats.counters_hit, stats.functions_entered, stats.functions), (2, 2, 3));
        assert_eq!((stats + stats).counters, 2 * stats.counters);
    }

    #[test]
    fn a_byte_counter_is_covered_when_it_is_zero() {
        let located = located(include_bytes!("../../tests/fixtures/hosted/bytes.elf"));
        let counters = snapshot(&located, 1, 0xff, &[(1, 0, &[0])]);
        let profile = LlvmProfile::new(&located.image, std::slice::from_ref(&counters)).unwrap();
        let counts: Vec<u64> = profile.functions().flat_map(|function| function.counts.to_vec()).collect();
        assert_eq!(counts.iter().sum::<u64>(), 1);
        assert_eq!((profile.stats().counters_hit, profile.stats().functions_entered), (1, 1));
    }

    #[test]
    fn a_snapshot_without_the_bitmap_is_refused() {
        let located = located(include_bytes!("../../tests/fixtures/hosted/mcdc.elf"));
        let error = LlvmProfile::new(&located.image, &[snapshot(&located, 8, 0, &[])]).unwrap_err();
        assert_eq!((error.region, error.expected, error.found), ("bitmap", 1, 0));
    }
}
