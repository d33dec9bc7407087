//! Debug-info correlation: an image with counters, whose functions only its debug information names.
//!
//! What enters is an image and where its counters are; what leaves is what data records and a names section would say
//! (an [`LlvmImage`]), or why that cannot be known.
//!
//! What always holds: the counters of every record lie inside the section and are no other record's. Of several
//! variables at one place, as inline functions of several units have them, the first one counts. A variable outside of
//! the section is that of a function which the linker dropped: its name is kept, for the coverage mapping still has it.
//! Functions that no unit uses have no variable, and their names are in a names section all the same.
//!
//! Source: `DwarfInstrProfCorrelator` in `llvm/lib/ProfileData/InstrProfCorrelator.cpp`, llvmorg-19.1.7.

mod dwarf;
mod units;

use std::collections::HashSet;

use super::layout::{RawVersion, Variant};
use super::names::{NameRef, Names, NamesBuilder};
use super::records::{DataRecord, RecordFault, check_overlaps};
use super::sections::{Found, Sections};
use super::zlib::TextBudget;
use super::{
    Caution, Correlation, LlvmImage, LoadedSections, LocateError, bitmap_len, check_in_file, decode_names,
    len, sections, signature, version,
};
use crate::image::{Image, ImageAddr};

pub(crate) use units::each_unit;

use dwarf::{DebugSections, DwarfFault, Probe, Sink, UnitRoot};

/// A producer's text, or a file's name, is not looked at beyond that.
const MAX_TEXT_BYTES: usize = 4096;

/// The version to assume where no compiler is named: the one that most releases speak of those that have
/// `-profile-correlate`.
const ASSUMED: RawVersion = RawVersion::V10;

/// The static side of an image that has counters and no data records.
pub(super) fn static_side(
    image: &Image,
    sections: &Sections<'_>,
) -> Result<(LlvmImage, Vec<Caution>), LocateError> {
    let counters = &sections.counters;
    let counters_len = len(image, counters)?;
    let names = sections::find(image, sections::NAMES)?;
    let mut collected = Collector::of(image, (counters.address, counters_len), names.as_ref())?;
    if collected.records.is_empty() {
        return Err(missing(image, collected));
    }
    let stated = version::stated(image);
    let records = std::mem::take(&mut collected.records);
    let (counter_bytes, records) = fit(stated, records, counters_len).map_err(|fault| {
        let (image, section) = (image.name().to_owned(), ".debug_info");
        LocateError::DebugInfo { image, section, offset: fault.offset, detail: fault.detail }
    })?;
    check_in_file(image, counters, counter_bytes)?;
    let counted: usize = records.iter().map(|record| record.num_counters).sum();
    let has_unknown_counters = counted < counters_len / counter_bytes;
    if has_unknown_counters && (collected.dwo_name.is_some() || collected.fault.is_some()) {
        return Err(missing(image, collected));
    }
    let version = raw_version(image, stated, &collected)?;
    let mut names_section = names.as_ref().map_or(Ok(&[][..]), |names| names.bytes(image))?.to_vec();
    let loaded = loaded_sections(image, sections, names.as_ref(), names_section.len())?;
    append_chunk(&mut names_section, &collected.added);
    let bitmap_len = bitmap_len(image, sections)?;
    let cautions = [
        (has_unknown_counters, Caution::UnknownCounters),
        (bitmap_len > 0, Caution::UnknownBitmaps),
        (version.is_none(), Caution::AssumedVersion),
    ];
    let llvm_image = LlvmImage {
        name: image.name().to_owned(),
        version: version.unwrap_or(ASSUMED),
        variant: version::variant(stated, counter_bytes),
        endianness: image.endianness(),
        pointer_width: image.pointer_width(),
        records,
        counter_bytes,
        counters_len: counters_len - counters_len % counter_bytes,
        bitmap_len,
        names: collected.names.finish(),
        names_section,
        binary_ids: image.build_ids(),
        loaded,
    };
    Ok((llvm_image, cautions.into_iter().filter_map(|(is_so, caution)| is_so.then_some(caution)).collect()))
}

/// The raw version that the image states, or else its compilers.
fn raw_version(
    image: &Image,
    stated: Option<u64>,
    collected: &Collector,
) -> Result<Option<RawVersion>, LocateError> {
    match stated {
        Some(word) => version::of_word(word).map(Some).map_err(|fault| version::error(fault, image, "")),
        None => Ok(collected.version.or_else(|| version::of_producers(&image.producers()))),
    }
}

/// The sections as the runtime sees them: without data.
fn loaded_sections(
    image: &Image,
    sections: &Sections<'_>,
    names: Option<&Found<'_>>,
    names_len: usize,
) -> Result<LoadedSections, LocateError> {
    Ok(LoadedSections {
        data: Vec::new(),
        pointers: Vec::new(),
        data_address: ImageAddr::new(0),
        counters_address: sections.counters.address,
        counters_len: len(image, &sections.counters)?,
        bitmap_address: sections.bitmap.as_ref().map(|bitmap| bitmap.address),
        names_address: names.map_or(ImageAddr::new(0), |names| names.address),
        names_len,
        correlation: Correlation::DebugInfo,
        has_vtables: sections.vtables.is_some(),
        num_value_nodes: signature::num_value_nodes(image),
    })
}

/// The names of all functions that were instrumented, whether or not their counters are still there.
pub(super) fn names(image: &Image, counters: &Found<'_>) -> Result<Names, LocateError> {
    let section = sections::find(image, sections::NAMES)?;
    let collected = Collector::of(image, (counters.address, len(image, counters)?), section.as_ref())?;
    if collected.names.is_empty() {
        return Err(missing(image, collected));
    }
    Ok(collected.names.finish())
}

/// Appends names, separated by 0x01, to a names section.
fn append_chunk(section: &mut Vec<u8>, names: &[u8]) {
    if names.is_empty() {
        return;
    }
    let mut len = names.len();
    loop {
        let [low, ..] = len.to_le_bytes();
        len >>= 7;
        if len == 0 {
            section.extend([low & 0x7f, 0]);
            break;
        }
        section.push(low | 0x80);
    }
    section.extend_from_slice(names);
}

/// Why functions are missing.
fn missing(image: &Image, collected: Collector) -> LocateError {
    let image = image.name().to_owned();
    match (collected.dwo_name, collected.fault) {
        (Some(dwo), _) => LocateError::SplitDebugInfo { image, dwo },
        (None, Some(DwarfFault { offset, detail })) => {
            LocateError::DebugInfo { image, section: ".debug_info", offset: offset as u64, detail }
        }
        (None, None) => LocateError::NoData { image },
    }
}

/// Takes counters to be wide unless that does not fit or the image says otherwise, as with data records.
fn fit(
    stated: Option<u64>,
    mut records: Vec<(u64, DataRecord)>,
    counters_len: usize,
) -> Result<(usize, Vec<DataRecord>), RecordFault> {
    records.sort_by_key(|(_, record)| record.counters_offset);
    let (offsets, records): (Vec<u64>, Vec<DataRecord>) = records.into_iter().unzip();
    let fault = |index: usize, detail| RecordFault {
        index,
        offset: offsets.get(index).copied().unwrap_or_default(),
        detail,
    };
    let check = |counter_bytes: usize| {
        let end = |record: &DataRecord| {
            record.counters_offset.saturating_add(record.num_counters.saturating_mul(counter_bytes))
        };
        if let Some(index) = records.iter().position(|record| end(record) > counters_len) {
            return Err(fault(
                index,
                format!("its counters pass the end of the section, which has {counters_len} bytes"),
            ));
        }
        check_overlaps(&records, counter_bytes).map_err(|found| fault(found.index, found.detail))?;
        Ok(counter_bytes)
    };
    let counter_bytes = match stated {
        Some(word) if Variant::of_word(word).contains(Variant::BYTE_COVERAGE) => check(1)?,
        Some(_) => check(8)?,
        None => check(8).or_else(|fault| check(1).map_err(|_| fault))?,
    };
    Ok((counter_bytes, records))
}

/// Keeps what the walk through the debug information finds.
struct Collector {
    counters: (ImageAddr, usize),
    records: Vec<(u64, DataRecord)>,
    taken: HashSet<usize>,
    names: NamesBuilder,
    /// Those of them that the names section does not have, separated by 0x01.
    added: Vec<u8>,
    budget: TextBudget,
    /// Of the unit that is being read.
    unit_version: Option<RawVersion>,
    /// The newest of those units that have records.
    version: Option<RawVersion>,
    dwo_name: Option<String>,
    fault: Option<DwarfFault>,
}

impl Collector {
    fn of(
        image: &Image,
        counters: (ImageAddr, usize),
        names: Option<&Found<'_>>,
    ) -> Result<Self, LocateError> {
        let sections = DebugSections::of(image)?;
        let names = names.map(|names| decode_names(image, names.name, names.bytes(image)?)).transpose()?;
        let mut collector = Self {
            counters,
            records: Vec::new(),
            taken: HashSet::new(),
            names: names.unwrap_or_default().into(),
            added: Vec::new(),
            budget: TextBudget::of(usize::try_from(image.file_len_bytes()).unwrap_or(usize::MAX)),
            unit_version: None,
            version: None,
            dwo_name: None,
            fault: None,
        };
        let fault = dwarf::walk(&sections, image.endianness(), &mut collector);
        collector.fault = collector.fault.or(fault);
        Ok(collector)
    }

    /// Where in their section the counters of a variable begin.
    fn offset(&self, probe: &Probe<'_>) -> Option<usize> {
        let (start, len) = self.counters;
        let offset = usize::try_from(probe.address?.checked_sub(start.get())?).ok()?;
        (offset < len).then_some(offset)
    }

    /// The reference to a function's name, which is kept.
    fn name(&mut self, tail: &[u8]) -> Result<NameRef, String> {
        let name = until_nul(tail, self.budget.left());
        if name.is_empty() || name.contains(&1) {
            return Err("its function's name is none".into());
        }
        // With the NUL, so that no name is kept that was cut.
        self.budget.take(name.len().saturating_add(1))?;
        if self.names.add(name, &mut self.budget)? {
            if !self.added.is_empty() {
                self.added.push(1);
            }
            self.added.extend_from_slice(name);
        }
        Ok(NameRef::of(name))
    }

    fn add(&mut self, probe: &Probe<'_>) -> Result<(), String> {
        let Some(name) = probe.name else { return Ok(()) };
        let name_ref = self.name(name)?;
        let (Some(offset), Some(func_hash)) = (self.offset(probe), probe.func_hash) else { return Ok(()) };
        let Some(num_counters) = probe.num_counters.filter(|count| *count > 0) else { return Ok(()) };
        if !self.taken.insert(offset) {
            return Ok(());
        }
        let num_counters = usize::try_from(num_counters).map_err(|error| error.to_string())?;
        let record = DataRecord {
            name_ref,
            func_hash,
            counters_offset: offset,
            num_counters,
            bitmap_offset: 0,
            num_bitmap_bytes: 0,
            value_sites: Default::default(),
            function: ImageAddr::new(0),
        };
        self.records.push((probe.offset as u64, record));
        self.version = self.version.max(self.unit_version);
        Ok(())
    }
}

impl<'a> Sink<'a> for Collector {
    fn unit(&mut self, root: &UnitRoot<'a>) {
        let text = |tail| std::str::from_utf8(until_nul(tail, MAX_TEXT_BYTES)).unwrap_or_default();
        self.unit_version = root.producer.and_then(|tail| version::of_producer(text(tail)));
        if let (Some(name), None) = (root.dwo_name, &self.dwo_name) {
            self.dwo_name = Some(text(name).escape_debug().to_string());
        }
    }

    fn probe(&mut self, probe: &Probe<'a>) {
        if self.fault.is_none()
            && let Err(detail) = self.add(probe)
        {
            self.fault = Some(DwarfFault { offset: probe.offset, detail });
        }
    }
}

/// A text up to its NUL, or as much of it as may be looked at.
fn until_nul(tail: &[u8], max: usize) -> &[u8] {
    let tail = tail.get(..max).unwrap_or(tail);
    tail.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_names_are_a_chunk() {
        let long = [b'x'; 200];
        for names in [&[&b"main"[..]][..], &[b"main", &long, b"a.c:local"]] {
            let mut section = vec![4, 0, b'b', b'o', b'o', b't', 0];
            append_chunk(&mut section, &names.join(&1));
            let decoded = Names::decode(&section).unwrap();
            assert_eq!(decoded.len(), names.len() + 1);
            assert!(names.iter().all(|name| decoded.get(NameRef::of(name)) == Some(name)));
        }
    }
}
