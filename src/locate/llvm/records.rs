//! Data records: what is read from the image for each instrumented function, checked.
//!
//! What always holds of a [`DataRecord`] that was decoded: its name is in the names section, its counters lie
//! inside the counters section and its bitmap inside the bitmap section. All-zero records, which are padding,
//! are left out: readers reject a whole profile for one ("number of counters is zero").

use covtap_link::{Endianness, PointerWidth};

use super::NameRef;
use super::layout::{CounterPtr, RawVersion, RecordLayout};
use super::names::Names;
use crate::image::{ImageAddr, uint, wrap};

/// The number of value kinds that the newest version has.
pub(crate) const MAX_VALUE_KINDS: usize = 3;

/// An instrumented function, as its data record describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataRecord {
    /// The function's name.
    pub name_ref: NameRef,
    /// The hash of the function's control flow, by which the coverage mapping finds its counters.
    pub func_hash: u64,
    /// Where its counters begin, in bytes from the start of the counters section.
    pub counters_offset: usize,
    /// How many counters it has; never 0.
    pub num_counters: usize,
    /// Where its MC/DC bitmap begins, in bytes from the start of the bitmap section; 0 where it has none.
    pub bitmap_offset: usize,
    /// The length of its MC/DC bitmap in bytes, 0 where it has none.
    pub num_bitmap_bytes: usize,
    /// The number of value profiling sites of each kind.
    pub value_sites: [u16; MAX_VALUE_KINDS],
    /// The function's address as the image has it; 0 where the record does not tell.
    pub function: ImageAddr,
}

/// What the records are checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) data_address: u64,
    pub(super) counters_address: u64,
    pub(super) counters_len: usize,
    pub(super) bitmap_address: u64,
    pub(super) bitmap_len: usize,
    pub(super) names: &'a Names,
    pub(super) endianness: Endianness,
    pub(super) width: PointerWidth,
    /// Pointers are absolute whatever the version says.
    pub(super) is_correlated: bool,
}

/// One way to read the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    pub(super) version: RawVersion,
    /// 8, or 1 for byte coverage.
    pub(super) counter_bytes: usize,
}

/// The record that does not fit, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RecordFault {
    pub(super) index: usize,
    pub(super) offset: u64,
    pub(super) detail: String,
}

/// Decodes and checks all records.
pub(super) fn decode(around: &Surroundings<'_>, reading: Reading) -> Result<Vec<DataRecord>, RecordFault> {
    let layout = reading.version.layout().record(around.width);
    let mut records = Vec::new();
    for (index, bytes) in around.bytes.chunks(layout.stride).enumerate() {
        let offset = index.saturating_mul(layout.stride) as u64;
        let fault = |detail| RecordFault { index, offset, detail };
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let padded = whole(bytes, layout.stride, around.width).map_err(fault)?;
        let raw = Raw { bytes: &padded, layout, around };
        records.push(raw.check(reading, offset).map_err(fault)?);
    }
    check_overlaps(&records, reading.counter_bytes)?;
    Ok(records)
}

/// Checks that no two records share counters or a bitmap.
pub(super) fn check_overlaps(records: &[DataRecord], counter_bytes: usize) -> Result<(), RecordFault> {
    let counters = |r: &DataRecord| (r.counters_offset, r.num_counters.saturating_mul(counter_bytes));
    let bitmaps = |r: &DataRecord| (r.bitmap_offset, r.num_bitmap_bytes);
    let faults = [overlap(records, "counters", counters), overlap(records, "bitmap", bitmaps)];
    faults.into_iter().flatten().next().map_or(Ok(()), Err)
}

/// The record's bytes at full length. i386 aligns a u64 to 4, so that the last record may lack the padding
/// at its end.
fn whole(bytes: &[u8], stride: usize, width: PointerWidth) -> Result<Vec<u8>, String> {
    let is_short_tail = width == PointerWidth::Bits32 && bytes.len().checked_add(4) == Some(stride);
    if bytes.len() != stride && !is_short_tail {
        return Err(format!("{} bytes are left for a record of {stride}", bytes.len()));
    }
    let mut padded = bytes.to_vec();
    padded.resize(stride, 0);
    Ok(padded)
}

/// Functions share neither counters nor bitmaps: where they seem to, the records were read the wrong way. It also
/// bounds what a profile holds by the length of its sections.
fn overlap(
    records: &[DataRecord],
    what: &str,
    span: impl Fn(&DataRecord) -> (usize, usize),
) -> Option<RecordFault> {
    let spans = records.iter().map(span).enumerate().filter(|(_, (_, len))| *len > 0);
    let mut spans: Vec<(usize, usize, usize)> =
        spans.map(|(index, (start, len))| (start, start.saturating_add(len), index)).collect();
    spans.sort_unstable();
    spans.windows(2).find_map(|pair| match pair {
        [(_, end, first), (start, _, second)] if start < end => Some(RecordFault {
            index: *second,
            offset: 0,
            detail: format!("its {what} overlaps that of record {first}"),
        }),
        _ => None,
    })
}

/// A record's bytes, with what is needed to read them.
struct Raw<'a> {
    bytes: &'a [u8],
    layout: &'a RecordLayout,
    around: &'a Surroundings<'a>,
}

impl Raw<'_> {
    fn check(&self, reading: Reading, record_offset: u64) -> Result<DataRecord, String> {
        let around = self.around;
        let name_ref = NameRef::new(self.uint(RecordLayout::NAME_REF, 8)?);
        if around.names.get(name_ref).is_none() {
            return Err(format!("no name has the reference {name_ref}"));
        }
        let num_counters = self.length(self.layout.num_counters, 4)?;
        if num_counters == 0 {
            return Err("it has no counters".into());
        }
        let record = around.data_address.wrapping_add(record_offset);
        let is_absolute =
            around.is_correlated || reading.version.layout().counter_ptr == CounterPtr::Absolute;
        let base = if is_absolute { 0 } else { record };
        let target = |pointer: u64| wrap(base.wrapping_add(pointer), around.width);
        let counters_len = num_counters.checked_mul(reading.counter_bytes).ok_or("too many counters")?;
        let counters_offset = inside(
            "counters",
            target(self.pointer(RecordLayout::COUNTER_PTR)?),
            counters_len,
            (around.counters_address, around.counters_len),
        )?;
        let num_bitmap_bytes = self.layout.num_bitmap_bytes.map_or(Ok(0), |at| self.length(at, 4))?;
        let bitmap_offset = match self.layout.bitmap_ptr {
            Some(at) if num_bitmap_bytes > 0 => {
                let bitmap = (around.bitmap_address, around.bitmap_len);
                inside("bitmap", target(self.pointer(at)?), num_bitmap_bytes, bitmap)?
            }
            _ => 0,
        };
        Ok(DataRecord {
            name_ref,
            func_hash: self.uint(RecordLayout::FUNC_HASH, 8)?,
            counters_offset,
            num_counters,
            bitmap_offset,
            num_bitmap_bytes,
            value_sites: self.value_sites(reading.version)?,
            function: ImageAddr::new(self.pointer(self.layout.function_ptr)?),
        })
    }

    fn value_sites(&self, version: RawVersion) -> Result<[u16; MAX_VALUE_KINDS], String> {
        let mut sites = [0; MAX_VALUE_KINDS];
        let kinds = usize::from(version.layout().value_kind_last).saturating_add(1);
        for (kind, sites) in sites.iter_mut().take(kinds).enumerate() {
            let value = self.uint(self.layout.value_sites.saturating_add(kind.saturating_mul(2)), 2)?;
            *sites = u16::try_from(value).map_err(|error| error.to_string())?;
        }
        Ok(sites)
    }

    fn pointer(&self, at: usize) -> Result<u64, String> {
        self.uint(at, self.around.width.bytes())
    }

    fn length(&self, at: usize, len: usize) -> Result<usize, String> {
        usize::try_from(self.uint(at, len)?).map_err(|error| error.to_string())
    }

    fn uint(&self, at: usize, len: usize) -> Result<u64, String> {
        let bytes = at.checked_add(len).and_then(|end| self.bytes.get(at..end));
        bytes
            .map(|bytes| uint(bytes, self.around.endianness))
            .ok_or_else(|| format!("it has no {len} bytes at {at}"))
    }
}

/// The offset of `len` bytes at `address` in a section.
fn inside(what: &str, address: u64, len: usize, section: (u64, usize)) -> Result<usize, String> {
    let (start, section_len) = section;
    address
        .checked_sub(start)
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| offset.checked_add(len).is_some_and(|end| end <= section_len))
        .ok_or_else(|| {
            format!(
                "its {what}, {len} bytes at {address:#x}, are not in the {what} section, {section_len} bytes \
                 at {start:#x}"
            )
        })
}
