//! What programs do that merge into one raw profile (`%m`): whether a file is of the same program, and the sum.
//!
//! What enters is the bytes of raw profiles, one's own and one from disk; what leaves is bytes of the same form, in
//! which nothing but counters and bitmap has changed. What always holds: files that are found to be of one program
//! have their parts at the same places, whoever wrote them and wherever the program was loaded.
//!
//! A runtime that merges into a file compares magic, version word, the numbers of records, counters and bitmap bytes,
//! the length of the names, and of each record `NameRef`, `FuncHash`, `NumCounters` and `NumBitmapBytes`; it adds
//! what the file has to its own counters, and writes header, binary ids, records, counters and bitmap anew, but not
//! the names. So a file that it can share must have names of the same bytes and binary ids of the same length; which
//! ids those are, it does not compare, nor do we. Addresses (the deltas, function pointers) are of whoever wrote
//! last.
//!
//! Source: `__llvm_profile_check_compatibility` and `__llvm_profile_merge_from_buffer` in
//! `compiler-rt/lib/profile/InstrProfilingMerge.c`, `lprofWriteDataImpl` in `InstrProfilingWriter.c`, llvmorg-19.1.7.

use std::ops::Range;

use covtap_link::{Endianness, PointerWidth};

use super::cursor::{Cursor, Fault};
use super::profraw::{Header, Record};
use crate::image::uint;
use crate::locate::llvm::{CounterPtr, HeaderField, RecordLayout, put_uint};

/// Where the parts of a raw profile are.
pub struct RawParts {
    header: Header,
    /// All of the header's fields.
    pub header_bytes: Range<usize>,
    /// The counters.
    pub counters: Range<usize>,
    /// The bitmap.
    pub bitmap: Range<usize>,
    data: Range<usize>,
    names: Range<usize>,
}

/// A file is not one that this program's counters can be added to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OtherProfile(String);

impl OtherProfile {
    /// There is no form that it could have.
    pub(crate) fn none() -> Self {
        Self("there is nothing to compare it with".into())
    }
}

impl From<Fault> for OtherProfile {
    fn from(fault: Fault) -> Self {
        Self(format!("at offset {:#x}: {}", fault.offset, fault.detail))
    }
}

/// What must be the same in both headers.
const COMPARED: [HeaderField; 10] = [
    HeaderField::BinaryIdsSize,
    HeaderField::NumData,
    HeaderField::PadBeforeCounters,
    HeaderField::NumCounters,
    HeaderField::PadAfterCounters,
    HeaderField::NumBitmapBytes,
    HeaderField::PadAfterBitmap,
    HeaderField::NumUniformCounters,
    HeaderField::NamesSize,
    HeaderField::ValueKindLast,
];

impl RawParts {
    /// Finds the parts of one raw profile, the first of `bytes`.
    ///
    /// # Errors
    ///
    /// It is none, or not all of it is there.
    pub fn of(bytes: &[u8]) -> Result<Self, OtherProfile> {
        use HeaderField as H;
        let mut cursor = Cursor::new(bytes);
        let header = Header::read(&mut cursor)?;
        let header_bytes = 0..cursor.offset();
        cursor.skip(header.get(H::BinaryIdsSize), "binary ids")?;
        let data = array(&mut cursor, header.get(H::NumData), header.record().stride, "data records")?;
        cursor.skip(header.get(H::PadBeforeCounters), "padding before counters")?;
        let width = header.counter_bytes();
        let counters = array(&mut cursor, header.get(H::NumCounters), width, "counters")?;
        cursor.skip(header.get(H::PadAfterCounters), "padding after counters")?;
        let bitmap = array(&mut cursor, header.get(H::NumBitmapBytes), 1, "bitmap")?;
        cursor.skip(header.get(H::PadAfterBitmap), "padding after bitmap")?;
        array(&mut cursor, header.get(H::NumUniformCounters), 8, "uniform counters")?;
        cursor.skip(header.get(H::PadAfterUniform), "padding after uniform counters")?;
        let names = array(&mut cursor, header.get(H::NamesSize), 1, "names")?;
        cursor.skip((names.len().wrapping_neg() % 8) as u64, "padding after names")?;
        Ok(Self { header, header_bytes, counters, bitmap, data, names })
    }

    /// The width of a counter in bytes: 8, or 1 for those that are cleared when their code runs.
    #[must_use]
    pub fn counter_bytes(&self) -> usize {
        self.header.counter_bytes()
    }

    fn endianness(&self) -> Endianness {
        self.header.endianness
    }

    fn records<'p>(&'p self, bytes: &'p [u8]) -> impl Iterator<Item = Record<'p>> {
        let stride = self.header.record().stride;
        let data = bytes.get(self.data.clone()).unwrap_or_default().chunks_exact(stride).enumerate();
        data.map(move |(index, bytes)| Record {
            bytes,
            start: index.saturating_mul(stride),
            header: &self.header,
        })
    }

    /// Whether LLVM's reader finds every record's counters. It lets no 32-bit difference wrap, which those do where
    /// counters lie below their records.
    #[must_use]
    pub fn is_read_by_llvm(&self, bytes: &[u8]) -> bool {
        let Header { width, layout, .. } = self.header;
        if width == PointerWidth::Bits64 || layout.counter_ptr == CounterPtr::Absolute {
            return true;
        }
        let delta = self.header.get(HeaderField::CountersDelta);
        self.records(bytes).all(|record| {
            let pointer = record.uint(RecordLayout::COUNTER_PTR, width.bytes());
            let offset = pointer.wrapping_sub(delta.wrapping_sub(record.start as u64));
            offset < self.counters.len() as u64
        })
    }
}

/// Passes an array and tells where it is.
fn array(cursor: &mut Cursor<'_>, count: u64, width: usize, what: &str) -> Result<Range<usize>, Fault> {
    let start = cursor.offset();
    cursor.array(count, width, what)?;
    Ok(start..cursor.offset())
}

/// Finds the parts of `ours`, which are those of `theirs` as well.
///
/// # Errors
///
/// `theirs` is damaged or of another program.
pub fn same_parts(ours: &[u8], theirs: &[u8]) -> Result<RawParts, OtherProfile> {
    let (our, their) = (RawParts::of(ours)?, header_of(theirs)?);
    let other = |what: String| Err(OtherProfile(what));
    if (their.width, their.endianness) != (our.header.width, our.endianness()) {
        return other("it is of another kind of target".into());
    }
    if (their.version, their.variant) != (our.header.version, our.header.variant) {
        let word = |header: &Header| header.version.number() | header.variant.bits();
        return other(format!("its version word is {:#x}, not {:#x}", word(&their), word(&our.header)));
    }
    for field in COMPARED {
        let (theirs, ours) = (their.get(field), our.header.get(field));
        if theirs != ours {
            return other(format!("its {field:?} is {theirs}, not {ours}"));
        }
    }
    let their = RawParts::of(theirs)?;
    let same = |part: &Range<usize>| ours.get(part.clone()) == theirs.get(part.clone());
    let mut records = our.records(ours).zip(their.records(theirs));
    let differing = records.position(|(ours, theirs)| identity(&ours) != identity(&theirs));
    drop(records);
    if let Some(index) = differing {
        return other(format!("its record {index} is of another function"));
    }
    if !same(&our.names) {
        return other("its names are others".into());
    }
    Ok(our)
}

fn header_of(bytes: &[u8]) -> Result<Header, Fault> {
    Header::read(&mut Cursor::new(bytes))
}

/// What a record says of its function, but for addresses.
fn identity(record: &Record<'_>) -> [u64; 6] {
    let fields = record.header.record();
    let num_bitmap_bytes = fields.num_bitmap_bytes.map_or(0, |at| record.uint(at, 4));
    let bitmap = fields.bitmap_ptr.filter(|_| num_bitmap_bytes > 0);
    [
        record.uint(RecordLayout::NAME_REF, 8),
        record.uint(RecordLayout::FUNC_HASH, 8),
        record.uint(fields.num_counters, 4),
        record.target(RecordLayout::COUNTER_PTR, HeaderField::CountersDelta),
        num_bitmap_bytes,
        bitmap.map_or(0, |at| record.target(at, HeaderField::BitmapDelta)),
    ]
}

/// Adds to the counters and the bitmap of `file` what `now` has more than `added`, the counters of `now` that were
/// added before; nothing is ever taken away. `parts` are those of `file` and `now`.
pub fn add(parts: &RawParts, file: &mut [u8], now: &[u8], added: &[u8]) {
    let (counters, bitmap) = (parts.counters.clone(), parts.bitmap.clone());
    let order = parts.endianness();
    if let (Some(sums), Some(now)) = (file.get_mut(counters.clone()), now.get(counters)) {
        match parts.counter_bytes() {
            1 => sums.iter_mut().zip(now).for_each(|(sum, now)| *sum &= now),
            width => {
                let counters = sums.chunks_exact_mut(width).zip(now.chunks_exact(width));
                // Of what is missing in `added`, nothing was added.
                let added =
                    added.chunks_exact(width).map(|added| uint(added, order)).chain(std::iter::repeat(0));
                for ((sum, now), added) in counters.zip(added) {
                    let more = uint(now, order).saturating_sub(added);
                    let value = uint(sum, order).saturating_add(more);
                    put_uint(sum, value, order);
                }
            }
        }
    }
    if let (Some(sums), Some(now)) = (file.get_mut(bitmap.clone()), now.get(bitmap)) {
        sums.iter_mut().zip(now).for_each(|(sum, now)| *sum |= now);
    }
}

/// Keeps account of what was added: of each counter of `now` in `range`, of the file's bytes, the larger one.
pub fn account(parts: &RawParts, added: &mut Vec<u8>, now: &[u8], range: &Range<usize>) {
    let (width, order) = (parts.counter_bytes(), parts.endianness());
    added.resize(parts.counters.len(), 0);
    let within = |at: usize| at.saturating_sub(parts.counters.start);
    let range = within(range.start.max(parts.counters.start))..within(range.end.min(parts.counters.end));
    let now = now.get(parts.counters.clone()).and_then(|now| now.get(range.clone()));
    let (Some(now), Some(added)) = (now, added.get_mut(range)) else { return };
    for (added, now) in added.chunks_exact_mut(width).zip(now.chunks_exact(width)) {
        if uint(added, order) < uint(now, order) {
            added.copy_from_slice(now);
        }
    }
}

#[cfg(test)]
mod tests;
