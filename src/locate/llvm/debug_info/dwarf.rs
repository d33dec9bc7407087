//! What clang leaves in DWARF for debug-info correlation.
//!
//! What enters is the debug sections of an image; what leaves is a [`Probe`] for each `__profc_*` variable:
//!
//! ```text
//! DW_TAG_variable         DW_AT_location (DW_OP_addr ADDRESS, or DW_OP_addrx INDEX in DWARF 5)
//!   DW_TAG_LLVM_annotation  DW_AT_name "Function Name"  DW_AT_const_value: the name, as a data record refers to it
//!   DW_TAG_LLVM_annotation  DW_AT_name "CFG Hash"       DW_AT_const_value: the record's func_hash
//!   DW_TAG_LLVM_annotation  DW_AT_name "Num Counters"   DW_AT_const_value: how many
//! ```
//!
//! What always holds: the work is proportional to the sections' length, whatever they say. A table of abbreviations
//! ends where the next one begins, no entry has more attributes than the unit's bytes warrant, and no string is looked
//! at before it is asked for. A damaged unit is left where the damage is, and the damage is told.
//!
//! Entries are read one by one, without gimli's `Unit`, which would read each unit's line table as well.
//! Source: `DwarfInstrProfCorrelator` in `llvm/lib/ProfileData/InstrProfCorrelator.cpp` and `createDebugInfo` in
//! `llvm/lib/Transforms/Instrumentation/InstrProfiling.cpp`, llvmorg-19.1.7; DWARF 5, sections 7.4 to 7.6.

use std::borrow::Cow;

use covtap_link::Endianness;
use gimli::{
    Abbreviation, Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugAddr, DebugAddrBase,
    DebugInfo, DebugInfoOffset, DebugStrOffsets, DebugStrOffsetsBase, Encoding, EndianSlice, EntriesRaw,
    Operation, RunTimeEndian, UnitHeader, constants as dw,
};

use super::super::LocateError;
use super::super::zlib::TextBudget;
use crate::image::Image;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// LLVM's own tag (`llvm/include/llvm/BinaryFormat/Dwarf.def`).
const DW_TAG_LLVM_ANNOTATION: dw::DwTag = dw::DwTag(0x6000);

/// More attributes for each byte of a unit are a decompression bomb of a kind: most take bytes, and the few that take
/// none stand beside others.
const MAX_ATTRIBUTES_PER_BYTE: usize = 16;

/// The sections that are needed, decompressed.
#[derive(Debug, Default)]
pub(super) struct DebugSections<'a> {
    info: Cow<'a, [u8]>,
    abbrev: Cow<'a, [u8]>,
    strings: Cow<'a, [u8]>,
    line_strings: Cow<'a, [u8]>,
    string_offsets: Cow<'a, [u8]>,
    addresses: Cow<'a, [u8]>,
}

impl<'a> DebugSections<'a> {
    /// Takes the sections of an image; those that are absent are empty.
    pub(super) fn of(image: &'a Image) -> Result<Self, LocateError> {
        let mut budget = TextBudget::of(usize::try_from(image.file_len_bytes()).unwrap_or(usize::MAX));
        let mut data = |name: &'static str| {
            let Some(section) = image.section(name) else { return Ok(Cow::default()) };
            let len = usize::try_from(section.data_len_bytes()).unwrap_or(usize::MAX);
            let fault = |detail| LocateError::DebugInfo {
                image: image.name().to_owned(),
                section: name,
                offset: 0,
                detail,
            };
            budget.take(len).map_err(fault)?;
            Ok::<_, LocateError>(section.data()?)
        };
        Ok(Self {
            info: data(".debug_info")?,
            abbrev: data(".debug_abbrev")?,
            strings: data(".debug_str")?,
            line_strings: data(".debug_line_str")?,
            string_offsets: data(".debug_str_offsets")?,
            addresses: data(".debug_addr")?,
        })
    }
}

/// What an annotated variable says of its counters. What it does not say is `None`.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Probe<'a> {
    /// Where it stands in `.debug_info`.
    pub(super) offset: usize,
    /// Where the counters are; not in their section if the linker dropped them.
    pub(super) address: Option<u64>,
    /// What begins with the function's name, and goes on behind the NUL that ends it.
    pub(super) name: Option<&'a [u8]>,
    pub(super) func_hash: Option<u64>,
    pub(super) num_counters: Option<u64>,
}

/// What a unit says of itself.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct UnitRoot<'a> {
    /// The compiler: clang as `.comment` has it, GCC with the options it was given.
    pub(super) producer: Option<&'a [u8]>,
    /// The source file.
    pub(super) name: Option<&'a [u8]>,
    /// The file that holds the rest of the unit, where debug information is split.
    pub(super) dwo_name: Option<&'a [u8]>,
}

/// What is damaged, and where in `.debug_info`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DwarfFault {
    pub(super) offset: usize,
    pub(super) detail: String,
}

/// Takes what is found.
pub(super) trait Sink<'a> {
    /// Whether only what units say of themselves is asked for.
    const ONLY_ROOTS: bool = false;
    /// A unit begins.
    fn unit(&mut self, root: &UnitRoot<'a>);
    /// A variable of that unit has annotations.
    fn probe(&mut self, _probe: &Probe<'a>) {}
}

/// Passes all entries of all units, or the first of each if no more are asked for; gives the first damage.
pub(super) fn walk<'a, S: Sink<'a>>(
    sections: &'a DebugSections<'_>,
    endianness: Endianness,
    sink: &mut S,
) -> Option<DwarfFault> {
    let endian = match endianness {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    };
    let info = DebugInfo::new(&sections.info, endian);
    let (units, mut fault) = units(&info);
    let walk = Walk {
        sections,
        string_offsets: EndianSlice::new(&sections.string_offsets, endian).into(),
        addresses: EndianSlice::new(&sections.addresses, endian).into(),
    };
    let mut tables = units.chunk_by(|a, b| a.table == b.table).peekable();
    while let Some(units) = tables.next() {
        let start = units.first().map_or(0, |unit| unit.table);
        let next = tables.peek().and_then(|units| units.first());
        let end = next.map_or(sections.abbrev.len(), |unit| unit.table);
        let table = sections.abbrev.get(start..end).unwrap_or_default();
        let abbreviations = DebugAbbrev::new(table, endian).abbreviations(DebugAbbrevOffset(0));
        for unit in units {
            let done = match &abbreviations {
                Ok(abbreviations) => walk.unit(&info, unit.offset, abbreviations, sink),
                Err(error) => Err(DwarfFault { offset: unit.offset, detail: error.to_string() }),
            };
            fault = fault.or(done.err());
        }
    }
    fault
}

/// Where a unit is, and its table of abbreviations in its own section.
struct UnitPlace {
    table: usize,
    offset: usize,
}

/// All units, those with one table together; and what ended them early.
fn units(info: &DebugInfo<Slice<'_>>) -> (Vec<UnitPlace>, Option<DwarfFault>) {
    let (mut places, mut fault, mut end) = (Vec::new(), None, 0);
    for header in info.units() {
        match header {
            Ok(header) => {
                let offset = header.offset().0;
                end = offset.saturating_add(header.length_including_self());
                places.push(UnitPlace { table: header.debug_abbrev_offset().0, offset });
            }
            Err(error) => fault = Some(DwarfFault { offset: end, detail: error.to_string() }),
        }
    }
    places.sort_by_key(|unit| unit.table);
    (places, fault)
}

/// What all units refer to.
struct Walk<'a, 's> {
    sections: &'a DebugSections<'s>,
    string_offsets: DebugStrOffsets<Slice<'a>>,
    addresses: DebugAddr<Slice<'a>>,
}

/// What references of one unit start from.
struct Bases {
    encoding: Encoding,
    strings: DebugStrOffsetsBase<usize>,
    addresses: DebugAddrBase<usize>,
}

impl<'a> Walk<'a, '_> {
    fn unit<S: Sink<'a>>(
        &self,
        info: &DebugInfo<Slice<'a>>,
        offset: usize,
        abbreviations: &Abbreviations,
        sink: &mut S,
    ) -> Result<(), DwarfFault> {
        let fault = |offset, detail| DwarfFault { offset, detail };
        let damaged = |at: usize| move |error: gimli::Error| fault(at, error.to_string());
        let header = info.header_from_offset(DebugInfoOffset(offset)).map_err(damaged(offset))?;
        let mut entries = header.entries_raw(abbreviations, None).map_err(damaged(offset))?;
        let mut reader = UnitReader::new(self, &header);
        let mut attributes_left = header.unit_length().saturating_mul(MAX_ATTRIBUTES_PER_BYTE);
        while !entries.is_empty() {
            let at = offset.saturating_add(entries.next_offset().0);
            let depth = entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation().map_err(damaged(at))? else { continue };
            let left = attributes_left.checked_sub(abbreviation.attributes().len());
            attributes_left =
                left.ok_or_else(|| fault(at, "more attributes than the unit's bytes warrant".into()))?;
            reader.entry(&mut entries, abbreviation, (at, depth), sink).map_err(damaged(at))?;
            if S::ONLY_ROOTS {
                break;
            }
        }
        reader.finish(sink);
        Ok(())
    }
}

/// Reads the entries of a unit.
struct UnitReader<'w, 'a, 's> {
    walk: &'w Walk<'a, 's>,
    bases: Bases,
    /// The variable whose annotations are read, and its depth.
    probe: Option<(Probe<'a>, isize)>,
}

impl<'w, 'a, 's> UnitReader<'w, 'a, 's> {
    fn new(walk: &'w Walk<'a, 's>, header: &UnitHeader<Slice<'a>>) -> Self {
        let (strings, addresses) = (DebugStrOffsetsBase(0), DebugAddrBase(0));
        Self { walk, bases: Bases { encoding: header.encoding(), strings, addresses }, probe: None }
    }

    /// Reads the attributes of an entry, or passes them.
    fn entry(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
        (offset, depth): (usize, isize),
        sink: &mut impl Sink<'a>,
    ) -> gimli::Result<()> {
        match abbreviation.tag() {
            dw::DW_TAG_compile_unit | dw::DW_TAG_skeleton_unit if depth == 0 => {
                let root = self.root(entries, abbreviation)?;
                sink.unit(&root);
                Ok(())
            }
            dw::DW_TAG_variable if abbreviation.has_children() => {
                self.finish(sink);
                let address = self.location(entries, abbreviation)?;
                self.probe = Some((Probe { offset, address, ..Probe::default() }, depth));
                Ok(())
            }
            DW_TAG_LLVM_ANNOTATION => self.annotation(entries, abbreviation, depth),
            _ => entries.skip_attributes(abbreviation.attributes()),
        }
    }

    /// Gives away the variable that was read, if any.
    fn finish(&mut self, sink: &mut impl Sink<'a>) {
        if let Some((probe, _)) = self.probe.take() {
            sink.probe(&probe);
        }
    }

    fn root(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
    ) -> gimli::Result<UnitRoot<'a>> {
        let (mut producer, mut name, mut dwo_name) = (None, None, None);
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            match (attribute.name(), attribute.value()) {
                (_, AttributeValue::DebugStrOffsetsBase(base)) => self.bases.strings = base,
                (_, AttributeValue::DebugAddrBase(base)) => self.bases.addresses = base,
                (dw::DW_AT_producer, value) => producer = Some(value),
                (dw::DW_AT_name, value) => name = Some(value),
                (dw::DW_AT_dwo_name | dw::DW_AT_GNU_dwo_name, value) => dwo_name = Some(value),
                _ => {}
            }
        }
        // The bases may stand behind what needs them.
        let text = |value: Option<_>| value.and_then(|value| self.text(value));
        Ok(UnitRoot { producer: text(producer), name: text(name), dwo_name: text(dwo_name) })
    }

    fn location(
        &self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
    ) -> gimli::Result<Option<u64>> {
        let mut address = None;
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            if attribute.name() == dw::DW_AT_location {
                address = attribute.exprloc_value().and_then(|expression| {
                    let mut operations = expression.operations(self.bases.encoding);
                    let operation = operations.next().ok()??;
                    self.address(&operation)
                });
            }
        }
        Ok(address)
    }

    fn address(&self, operation: &Operation<Slice<'a>>) -> Option<u64> {
        match operation {
            Operation::Address { address } => Some(*address),
            Operation::AddressIndex { index } => {
                let (size, base) = (self.bases.encoding.address_size, self.bases.addresses);
                self.walk.addresses.get_address(size, base, *index).ok()
            }
            _ => None,
        }
    }

    fn annotation(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
        depth: isize,
    ) -> gimli::Result<()> {
        let (mut name, mut value) = (None, None);
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            match attribute.name() {
                dw::DW_AT_name => name = self.text(attribute.value()),
                dw::DW_AT_const_value => value = Some(attribute),
                _ => {}
            }
        }
        let (Some(name), Some(value)) = (name, value) else { return Ok(()) };
        let text = self.text(value.value());
        let is_child = |of: isize| of.checked_add(1) == Some(depth);
        let Some((probe, _)) = self.probe.as_mut().filter(|(_, of)| is_child(*of)) else { return Ok(()) };
        if is_text(name, b"Function Name") {
            probe.name = text;
        } else if is_text(name, b"CFG Hash") {
            probe.func_hash = value.udata_value();
        } else if is_text(name, b"Num Counters") {
            probe.num_counters = value.udata_value();
        }
        Ok(())
    }

    /// What begins with the text of an attribute, and may go on behind its NUL.
    fn text(&self, value: AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        let Walk { sections, string_offsets, .. } = self.walk;
        match value {
            AttributeValue::String(text) => Some(text.slice()),
            AttributeValue::DebugStrRef(offset) => sections.strings.get(offset.0..),
            AttributeValue::DebugLineStrRef(offset) => sections.line_strings.get(offset.0..),
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let (format, base) = (self.bases.encoding.format, self.bases.strings);
                sections.strings.get(string_offsets.get_str_offset(format, base, index).ok()?.0..)
            }
            _ => None,
        }
    }
}

/// Whether what begins with a text begins with this one.
fn is_text(tail: &[u8], text: &[u8]) -> bool {
    tail.strip_prefix(text).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Found {
        units: usize,
        addresses: Vec<Option<u64>>,
        names: Vec<Option<Vec<u8>>>,
        hashes: Vec<Option<u64>>,
    }

    impl<'a> Sink<'a> for Found {
        fn unit(&mut self, _: &UnitRoot<'a>) {
            self.units += 1;
        }

        fn probe(&mut self, probe: &Probe<'a>) {
            self.addresses.push(probe.address);
            self.names.push(probe.name.map(<[u8]>::to_vec));
            self.hashes.push(probe.func_hash);
        }
    }

    /// A unit of DWARF 4 with its table of abbreviations at `table`.
    fn unit(table: u8, entries: &[u8]) -> Vec<u8> {
        let len = u8::try_from(7 + entries.len()).unwrap();
        [&[len, 0, 0, 0, 4, 0, table, 0, 0, 0, 8][..], entries].concat()
    }

    fn sections(info: Vec<u8>, abbrev: &[u8]) -> DebugSections<'static> {
        DebugSections { info: info.into(), abbrev: abbrev.to_vec().into(), ..DebugSections::default() }
    }

    fn walked(sections: &DebugSections<'_>) -> (Found, Option<DwarfFault>) {
        let mut found = Found::default();
        let fault = walk(sections, Endianness::Little, &mut found);
        (found, fault)
    }

    /// 1: a compile unit; 2: a variable with a location and children; 3: an annotation, its value a number; 4: the same,
    /// its value a string.
    const ABBREV: &[u8] = &[
        1, 0x11, 1, 0, 0, //
        2, 0x34, 1, 0x02, 0x18, 0, 0, //
        3, 0x80, 0xc0, 0x01, 0, 0x03, 0x08, 0x1c, 0x0f, 0, 0, //
        4, 0x80, 0xc0, 0x01, 0, 0x03, 0x08, 0x1c, 0x08, 0, 0, //
        0,
    ];

    #[test]
    fn annotations_are_of_the_variable_above_them() {
        let location = [&[2, 9, 0x03][..], &0x1234u64.to_le_bytes()].concat();
        let name = b"\x04Function Name\0main\0";
        let hash = b"\x03CFG Hash\0\x18";
        // The second hash is below no variable.
        let entries = [&[1], &location[..], name, hash, &[0], hash, &[0]].concat();
        let sections = sections(unit(0, &entries), ABBREV);
        let (found, fault) = walked(&sections);
        assert_eq!((found.units, fault), (1, None));
        assert_eq!(found.addresses, [Some(0x1234)]);
        assert_eq!((found.names, found.hashes), (vec![Some(b"main".to_vec())], vec![Some(0x18)]));
        assert!(is_text(b"CFG Hash\0more", b"CFG Hash") && !is_text(b"CFG Hashes", b"CFG Hash"));
    }

    #[test]
    fn a_table_ends_where_the_next_begins() {
        let info = [unit(0, &[1, 0]), unit(3, &[2, 0, 0]), unit(0, &[1, 0])].concat();
        let (found, fault) = walked(&sections(info, ABBREV));
        // The first table ends within its first entry.
        assert_eq!(found.units, 0);
        assert_eq!(fault.map(|fault| fault.offset), Some(0));
    }

    #[test]
    fn attributes_without_bytes_are_counted() {
        let mut abbrev = vec![1, 0x34, 0];
        (0..200).for_each(|_| abbrev.extend([0x3f, 0x19]));
        abbrev.extend([0, 0, 0]);
        let (_, fault) = walked(&sections(unit(0, &[1; 20]), &abbrev));
        assert_eq!(fault.unwrap().detail, "more attributes than the unit's bytes warrant");
    }

    #[test]
    fn a_unit_that_is_cut_is_told_and_the_one_before_is_read() {
        let mut info = [unit(0, &[1, 0]), unit(0, &[1, 0])].concat();
        info.pop();
        let (found, fault) = walked(&sections(info, ABBREV));
        assert_eq!((found.units, fault.unwrap().offset), (1, 13));
    }
}
