//! `.profraw` read back: what a runtime, or covtap, wrote.
//!
//! What enters is a file's bytes: one profile or several behind each other, of any raw version that is known, any
//! pointer width and byte order; what leaves is a [`StoredProfile`]. The parts of the file are drawn in
//! `src/write/profraw.rs`, the fields of header and records are in the tables of `src/locate/llvm/layout.rs`.
//!
//! What always holds: the counts of all functions together are no more than the file has counters, so that
//! records which share them cannot make a small file large. Byte counters become counts of 1 (covered) and 0,
//! value data is passed by its lengths and counted, and all-zero records are padding.
//!
//! Source: `RawInstrProfReader` in `llvm/lib/ProfileData/InstrProfReader.cpp`, llvmorg-14.0.6 and llvmorg-19.1.7.

use covtap_link::{Endianness, PointerWidth};

use super::correlate::{Counters, correlate};
use super::cursor::{Cursor, Fault};
use super::stats::MAX_COUNT;
use super::stored::StoredProfile;
use crate::image::{uint, wrap};
use crate::locate::llvm::{
    CounterPtr, HeaderField, Layout, LlvmImage, NameRef, Names, RawVersion, RecordLayout, TextBudget,
    Variant, magic, version_number,
};

/// Whether a raw profile begins here.
pub(super) fn is_raw(bytes: &[u8]) -> bool {
    target(bytes).is_some()
}

/// Reads all profiles in a file; those without records with the help of `images`.
pub(super) fn read(bytes: &[u8], images: &[&LlvmImage]) -> Result<StoredProfile, Fault> {
    let (mut cursor, mut budget) = (Cursor::new(bytes), TextBudget::of(bytes.len()));
    let mut sum: Option<StoredProfile> = None;
    while !cursor.is_at_end() {
        let offset = cursor.offset();
        let profile = one(&mut cursor, images, &mut budget)?;
        match &mut sum {
            None => sum = Some(profile),
            Some(sum) => {
                sum.merge(profile).map_err(|error| Fault { offset, detail: error.to_string() })?;
            }
        }
        // The magic of a little-endian profile does not begin with a zero, nor does that of a big-endian one.
        cursor.pass_zeros();
    }
    sum.ok_or_else(|| cursor.fault("there is no profile"))
}

/// Pointer width and byte order, by the magic.
fn target(bytes: &[u8]) -> Option<(PointerWidth, Endianness)> {
    let found = bytes.get(..8)?;
    [PointerWidth::Bits32, PointerWidth::Bits64].into_iter().find_map(|width| {
        let orders = [Endianness::Little, Endianness::Big];
        let endianness = orders.into_iter().find(|order| uint(found, *order) == magic(width))?;
        Some((width, endianness))
    })
}

/// What the parts of a profile are read with.
pub(super) struct Header {
    pub(super) layout: &'static Layout,
    pub(super) version: RawVersion,
    pub(super) variant: Variant,
    pub(super) width: PointerWidth,
    pub(super) endianness: Endianness,
    fields: Vec<u64>,
}

impl Header {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let found = target(cursor.rest());
        let (width, endianness) = found.ok_or_else(|| cursor.fault("no raw profile begins here"))?;
        cursor.take(8, "magic")?;
        let at_version = cursor.offset();
        let word = cursor.u64(endianness, "version")?;
        let fault = |detail| Fault { offset: at_version, detail };
        let (number, variant) = (version_number(word), Variant::of_word(word));
        let version = RawVersion::from_number(number)
            .ok_or_else(|| fault(format!("raw profile version {number} is not known")))?;
        for (bit, what) in NOT_READ {
            if variant.contains(bit) {
                return Err(fault(format!("{what} are not read")));
            }
        }
        let layout = version.layout();
        let mut fields = Vec::with_capacity(layout.header.len());
        for _ in layout.header {
            fields.push(cursor.u64(endianness, "header")?);
        }
        Ok(Self { layout, version, variant, width, endianness, fields })
    }

    /// The value of a field; 0 where the version does not have it, which is what its absence means.
    pub(super) fn get(&self, field: HeaderField) -> u64 {
        let fields = self.layout.header.iter().zip(&self.fields);
        fields.into_iter().find(|(known, _)| **known == field).map_or(0, |(_, value)| *value)
    }

    pub(super) fn record(&self) -> &'static RecordLayout {
        self.layout.record(self.width)
    }

    /// The width of a counter in bytes.
    pub(super) fn counter_bytes(&self) -> usize {
        if self.variant.contains(Variant::BYTE_COVERAGE) { 1 } else { 8 }
    }

    /// The length of a vtable's record: a u64, a pointer and a u32, aligned to 8.
    fn vtable_bytes(&self) -> usize {
        match self.width {
            PointerWidth::Bits32 => 16,
            PointerWidth::Bits64 => 24,
        }
    }
}

/// What a profile may be and is not read.
const NOT_READ: [(Variant, &str); 2] =
    [(Variant::TEMPORAL, "temporal profiles"), (Variant::MEMORY, "memory profiles")];

/// The parts of a profile that are used.
struct Parts<'b> {
    binary_ids: &'b [u8],
    data: &'b [u8],
    data_offset: usize,
    counters: &'b [u8],
    bitmap: &'b [u8],
    names: Names,
}

fn parts<'b>(cursor: &mut Cursor<'b>, header: &Header, budget: &mut TextBudget) -> Result<Parts<'b>, Fault> {
    use HeaderField as H;
    let binary_ids = cursor.array(header.get(H::BinaryIdsSize), 1, "binary ids")?;
    let data_offset = cursor.offset();
    let data = cursor.array(header.get(H::NumData), header.record().stride, "data records")?;
    cursor.skip(header.get(H::PadBeforeCounters), "padding before counters")?;
    let counters = cursor.array(header.get(H::NumCounters), header.counter_bytes(), "counters")?;
    cursor.skip(header.get(H::PadAfterCounters), "padding after counters")?;
    let bitmap = cursor.array(header.get(H::NumBitmapBytes), 1, "bitmap")?;
    cursor.skip(header.get(H::PadAfterBitmap), "padding after bitmap")?;
    cursor.array(header.get(H::NumUniformCounters), 8, "uniform counters")?;
    cursor.skip(header.get(H::PadAfterUniform), "padding after uniform counters")?;
    let names_offset = cursor.offset();
    let names = cursor.padded(header.get(H::NamesSize), 1, "names")?;
    let names = Names::decode_within(names, budget).map_err(|fault| Fault {
        offset: names_offset.saturating_add(fault.offset),
        detail: format!("names: {}", fault.detail),
    })?;
    cursor.padded(header.get(H::NumVTables), header.vtable_bytes(), "vtables")?;
    cursor.padded(header.get(H::VNamesSize), 1, "vtable names")?;
    Ok(Parts { binary_ids, data, data_offset, counters, bitmap, names })
}

/// Whether the first profile has counters and no functions.
pub(super) fn is_counters_alone(bytes: &[u8]) -> bool {
    use HeaderField::{NumBitmapBytes, NumCounters, NumData};
    let is_alone = |header: Header| {
        header.get(NumData) == 0 && (header.get(NumCounters), header.get(NumBitmapBytes)) != (0, 0)
    };
    Header::read(&mut Cursor::new(bytes)).is_ok_and(is_alone)
}

fn one(
    cursor: &mut Cursor<'_>,
    images: &[&LlvmImage],
    budget: &mut TextBudget,
) -> Result<StoredProfile, Fault> {
    let header = Header::read(cursor)?;
    let parts = parts(cursor, &header, budget)?;
    // Binary correlation sets no bit in the version word, and LLVM's reader takes such a profile for an empty one.
    if parts.data.is_empty() && !(parts.counters.is_empty() && parts.bitmap.is_empty()) {
        let counters = Counters {
            variant: header.variant,
            endianness: header.endianness,
            width: header.width,
            binary_ids: parts.binary_ids,
            counters: parts.counters,
            bitmap: parts.bitmap,
        };
        return correlate(&counters, images).map_err(|detail| cursor.fault(detail));
    }
    let mut profile = StoredProfile::new(header.variant);
    let mut reader = Records {
        header: &header,
        parts: &parts,
        counts_left: parts.counters.len(),
        bitmap_left: parts.bitmap.len(),
    };
    let stride = header.record().stride;
    for (index, bytes) in parts.data.chunks_exact(stride).enumerate() {
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let start = index.saturating_mul(stride);
        let offset = parts.data_offset.saturating_add(start);
        let fault = |detail| Fault { offset, detail: format!("record {index}: {detail}") };
        let sites = reader.add(Record { bytes, start, header: &header }, &mut profile).map_err(fault)?;
        if sites > 0 {
            skip_values(cursor, header.endianness)?;
            profile.leave_out_value_sites(sites);
        }
    }
    Ok(profile)
}

/// Passes a function's `ValueProfData { u32 TotalSize, u32 NumKinds, .. }`.
fn skip_values(cursor: &mut Cursor<'_>, endianness: Endianness) -> Result<(), Fault> {
    let head = cursor.rest().get(..4).ok_or_else(|| cursor.fault("truncated value data"))?;
    let total = uint(head, endianness);
    if total < 8 || !total.is_multiple_of(8) {
        return Err(cursor.fault(format!("value data of {total} bytes")));
    }
    cursor.skip(total, "value data")
}

/// Makes functions of records, and keeps account of the counters that they take.
struct Records<'p> {
    header: &'p Header,
    parts: &'p Parts<'p>,
    counts_left: usize,
    bitmap_left: usize,
}

impl Records<'_> {
    /// Adds a record's function, and gives its number of value sites.
    fn add(&mut self, record: Record<'_>, profile: &mut StoredProfile) -> Result<u64, String> {
        let (header, fields) = (self.header, self.header.record());
        let name_ref = NameRef::new(record.uint(RecordLayout::NAME_REF, 8));
        let name = self.parts.names.get(name_ref);
        let name = name.ok_or_else(|| format!("no name has the reference {name_ref}"))?;
        let num_counters = record.uint(fields.num_counters, 4);
        if num_counters == 0 {
            return Err("number of counters is zero".into());
        }
        let len = num_counters.saturating_mul(header.counter_bytes() as u64);
        let start = record.target(RecordLayout::COUNTER_PTR, HeaderField::CountersDelta);
        let counters = part("counters", self.parts.counters, start, len, &mut self.counts_left)?;
        let bitmap_len = fields.num_bitmap_bytes.map_or(0, |at| record.uint(at, 4));
        let bitmap = match fields.bitmap_ptr {
            Some(at) if bitmap_len > 0 => {
                let start = record.target(at, HeaderField::BitmapDelta);
                part("bitmap", self.parts.bitmap, start, bitmap_len, &mut self.bitmap_left)?
            }
            _ => &[],
        };
        let counts: Vec<u64> = match header.counter_bytes() {
            1 => counters.iter().map(|byte| u64::from(*byte == 0)).collect(),
            width => counters.chunks_exact(width).map(|bytes| uint(bytes, header.endianness)).collect(),
        };
        if let Some(count) = counts.iter().find(|count| **count > MAX_COUNT) {
            return Err(format!("excessively large counter value {count}"));
        }
        let func_hash = record.uint(RecordLayout::FUNC_HASH, 8);
        profile.add_known(name, name_ref, func_hash, counts, bitmap.to_vec());
        Ok(record.value_sites())
    }
}

/// `len` bytes of a section from `start` on, and out of what is `left` to functions.
fn part<'b>(
    what: &str,
    section: &'b [u8],
    start: u64,
    len: u64,
    left: &mut usize,
) -> Result<&'b [u8], String> {
    let range = || {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        section.get(start..end)
    };
    let bytes = range().ok_or_else(|| {
        format!(
            "its {what}, {len} bytes at {start:#x}, are not in the {} bytes that there are",
            section.len()
        )
    })?;
    let rest = left.checked_sub(bytes.len());
    *left = rest.ok_or_else(|| format!("its {what} overlap those of other records"))?;
    Ok(bytes)
}

/// A data record.
#[derive(Clone, Copy)]
pub(super) struct Record<'p> {
    pub(super) bytes: &'p [u8],
    /// Where it begins, in bytes from the first one.
    pub(super) start: usize,
    pub(super) header: &'p Header,
}

impl Record<'_> {
    /// A number; 0 outside of the record, where no layout has a field.
    pub(super) fn uint(&self, at: usize, len: usize) -> u64 {
        let bytes = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        uint(bytes.unwrap_or_default(), self.header.endianness)
    }

    /// Where in its section a pointer leads. LLVM's reader does not let 32-bit differences wrap, which makes it
    /// refuse what its own runtime wrote where counters lie below data.
    pub(super) fn target(&self, at: usize, delta: HeaderField) -> u64 {
        let pointer = self.uint(at, self.header.width.bytes());
        let before = match self.header.layout.counter_ptr {
            CounterPtr::Absolute => 0,
            CounterPtr::Relative => self.start as u64,
        };
        wrap(pointer.wrapping_sub(self.header.get(delta)).wrapping_add(before), self.header.width)
    }

    fn value_sites(&self) -> u64 {
        let (first, last) = (self.header.record().value_sites, self.header.layout.value_kind_last);
        (0..=usize::from(last)).map(|kind| self.uint(first.saturating_add(kind.saturating_mul(2)), 2)).sum()
    }
}

#[cfg(test)]
mod tests;
