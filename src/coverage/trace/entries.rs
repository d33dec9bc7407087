//! The entries of a unit that make functions: what is declared, and where instances of it are.
//!
//! What enters is the debug sections of an image, and those of files that have the rest of its units; what leaves is a
//! [`Unit`] for each unit. What always holds: the work is proportional to the sections' length, whatever they say: no entry
//! has more attributes, and no unit more ranges, than the unit's bytes warrant, and a table of abbreviations ends where the
//! next one begins. A damaged unit is left where the damage is, and the damage is told.
//!
//! ```text
//! DW_TAG_subprogram              DW_AT_name, DW_AT_linkage_name, DW_AT_decl_file, DW_AT_decl_line: what is declared;
//!                                DW_AT_low_pc and DW_AT_high_pc, or DW_AT_ranges: an instance out of line
//!   DW_TAG_inlined_subroutine    DW_AT_abstract_origin: of what; DW_AT_ranges or the like: an instance
//! ```
//!
//! Source: DWARF 5, sections 3.3 and 7.5; DWARF 2 to 4, the same.

use gimli::{
    Abbreviation, Abbreviations, Attribute, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfo,
    DebugInfoOffset, EntriesRaw, UnitHeader, UnitType, constants as dw,
};
use rayon::prelude::*;

use super::code::Code;
use super::sections::{DebugSections, Slice};
use super::segments::Extent;
use super::split::{SplitParts, SplitUnit};
use super::unit::{Declaration, Instance, Split, Unit};

/// More attributes for each byte of a unit are a decompression bomb of a kind.
const MAX_ATTRIBUTES_PER_BYTE: usize = 16;

/// More ranges for each byte of a unit are: lists of ranges are elsewhere, and may be referred to by many entries.
const MAX_RANGES_PER_BYTE: usize = 16;

/// The heads of units, and the tables of abbreviations that they refer to.
struct Heads<'a> {
    headers: Vec<UnitHeader<Slice<'a>>>,
    /// Where the tables begin, each once.
    tables: Vec<usize>,
    /// What ended the units early.
    fault: Option<String>,
}

impl<'a> Heads<'a> {
    fn of(sections: &'a DebugSections<'_>) -> Self {
        let info = DebugInfo::new(&sections.info, sections.endian);
        let (mut headers, mut fault) = (Vec::new(), None);
        for header in info.units() {
            match header {
                Ok(header) => headers.push(header),
                Err(error) => fault = Some(format!("the units of .debug_info end early: {error}")),
            }
        }
        let mut tables: Vec<usize> = headers.iter().map(|header| header.debug_abbrev_offset().0).collect();
        tables.sort_unstable();
        tables.dedup();
        Self { headers, tables, fault }
    }

    fn table(&self, header: &UnitHeader<Slice<'_>>) -> Option<usize> {
        self.tables.binary_search(&header.debug_abbrev_offset().0).ok()
    }
}

/// Reads all units, in the order of their offsets; and what ended them early.
pub(super) fn units<'a>(
    sections: &'a DebugSections<'a>,
    parts: &'a SplitParts<'a>,
    code: &Code<'_>,
    has_run: impl Fn(u64, u64) -> bool + Sync,
) -> (Vec<Unit<'a>>, Option<String>) {
    let heads = Heads::of(sections);
    let tables = 0..heads.tables.len();
    let parsed: Vec<_> = tables.into_par_iter().map(|index| table(sections, &heads.tables, index)).collect();
    let read = |header: &UnitHeader<Slice<'a>>| {
        let abbreviations = heads.table(header).and_then(|index| parsed.get(index));
        let mut unit = Unit::new(header, sections);
        let mut done = match abbreviations {
            Some(Ok(abbreviations)) => Reader::new(&mut unit).read(header, abbreviations),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(()),
        };
        let part = unit.split.id.and_then(|id| parts.get(id, unit.offset));
        if let Some(part) = part.filter(|_| done.is_ok()) {
            unit = Unit::rest_of(&unit, part);
            let abbreviations = table(&part.sections, &[0], 0).map_err(|error| error.to_string());
            done = abbreviations.and_then(|table| Reader::new(&mut unit).read(&part.header, &table));
        }
        unit.fault = done.err().map(|detail| {
            let section = if unit.is_found { ".debug_info.dwo" } else { ".debug_info" };
            format!("a unit at {:#x} of {section}: {detail}", unit.offset.saturating_sub(unit.first))
        });
        unit.leave_out_discarded(code);
        unit.note_what_ran(&has_run);
        unit
    };
    let mut units: Vec<_> = heads.headers.par_iter().map(read).collect();
    units.sort_by_key(|unit| unit.offset);
    (units, heads.fault)
}

/// The units whose rest is in another file, in the order of their offsets; each number once.
pub(super) fn skeletons(sections: &DebugSections<'_>) -> Vec<SplitUnit> {
    let heads = Heads::of(sections);
    let mut parsed = std::collections::HashMap::new();
    let mut known = std::collections::HashSet::new();
    let mut skeletons = Vec::new();
    for header in &heads.headers {
        if header.version() >= 5 && !matches!(header.type_(), UnitType::Skeleton(_)) {
            continue;
        }
        let Some(index) = heads.table(header) else { continue };
        let abbreviations = parsed.entry(index).or_insert_with(|| table(sections, &heads.tables, index).ok());
        let Some(abbreviations) = abbreviations else { continue };
        let mut unit = Unit::new(header, sections);
        let _ = Reader::new(&mut unit).read_root(header, abbreviations);
        let Split { name: Some(name), id: Some(id) } = unit.split else { continue };
        if known.insert(id) {
            let folder = unit.folder.unwrap_or_default().to_owned();
            skeletons.push(SplitUnit { id, name: name.to_owned(), folder, skeleton: unit.offset });
        }
    }
    skeletons
}

/// A table of abbreviations, up to the next.
fn table(sections: &DebugSections<'_>, tables: &[usize], index: usize) -> gimli::Result<Abbreviations> {
    let start = tables.get(index).copied().unwrap_or_default();
    let end = tables.get(index + 1).copied().unwrap_or(usize::MAX).min(sections.abbrev.len());
    let bytes = sections.abbrev.get(start..end).unwrap_or_default();
    DebugAbbrev::new(bytes, sections.endian).abbreviations(DebugAbbrevOffset(0))
}

/// What an entry says that is of interest.
#[derive(Default)]
struct Place<'a> {
    low_pc: Option<AttributeValue<Slice<'a>>>,
    high_pc: Option<AttributeValue<Slice<'a>>>,
    ranges: Option<AttributeValue<Slice<'a>>>,
    entry_pc: Option<AttributeValue<Slice<'a>>>,
}

struct Reader<'w, 'a> {
    unit: &'w mut Unit<'a>,
    /// The instances out of line around what is read, with their depths.
    around: Vec<(isize, u32)>,
    ranges_left: usize,
}

impl<'w, 'a> Reader<'w, 'a> {
    fn new(unit: &'w mut Unit<'a>) -> Self {
        Self { unit, around: Vec::new(), ranges_left: 0 }
    }

    /// Reads the first entry alone.
    fn read_root(
        &mut self,
        header: &UnitHeader<Slice<'a>>,
        abbreviations: &Abbreviations,
    ) -> gimli::Result<()> {
        let mut entries = header.entries_raw(abbreviations, None)?;
        match entries.read_abbreviation()? {
            Some(abbreviation) => self.root(&mut entries, abbreviation),
            None => Ok(()),
        }
    }

    fn read(&mut self, header: &UnitHeader<Slice<'a>>, abbreviations: &Abbreviations) -> Result<(), String> {
        let damaged = |error: gimli::Error| error.to_string();
        let len_bytes = header.length_including_self();
        self.ranges_left = len_bytes.saturating_mul(MAX_RANGES_PER_BYTE);
        let mut attributes_left = len_bytes.saturating_mul(MAX_ATTRIBUTES_PER_BYTE);
        let mut entries = header.entries_raw(abbreviations, None).map_err(damaged)?;
        while !entries.is_empty() {
            let at = self.unit.offset.saturating_add(entries.next_offset().0);
            let depth = entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation().map_err(damaged)? else { continue };
            let left = attributes_left.checked_sub(abbreviation.attributes().len());
            attributes_left = left.ok_or("more attributes than the unit's bytes warrant")?;
            self.entry(&mut entries, abbreviation, at, depth).map_err(damaged)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
        at: usize,
        depth: isize,
    ) -> gimli::Result<()> {
        match abbreviation.tag() {
            _ if depth == 0 => self.root(entries, abbreviation),
            dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => {
                let is_inlined = abbreviation.tag() == dw::DW_TAG_inlined_subroutine;
                self.function(entries, abbreviation, (at, depth), is_inlined)
            }
            _ => entries.skip_attributes(abbreviation.attributes()),
        }
    }

    fn root(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
    ) -> gimli::Result<()> {
        let (mut folder, mut name, mut low_pc, mut file) = (None, None, None, None);
        let unit = &mut *self.unit;
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            match (attribute.name(), attribute.value()) {
                (_, AttributeValue::DebugStrOffsetsBase(base)) => unit.bases.strings = base,
                (_, AttributeValue::DebugAddrBase(base)) => unit.bases.addresses = base,
                (_, AttributeValue::DebugRngListsBase(base)) => unit.bases.range_lists = base,
                (dw::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) if !unit.is_found => {
                    unit.line_program = Some(offset.0);
                }
                (dw::DW_AT_comp_dir, value) => folder = Some(value),
                (dw::DW_AT_name, value) => name = Some(value),
                (dw::DW_AT_low_pc, value) => low_pc = Some(value),
                (dw::DW_AT_dwo_name | dw::DW_AT_GNU_dwo_name, value) => file = Some(value),
                (dw::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) => unit.split.id = Some(id.0),
                _ => {}
            }
        }
        // The bases may stand behind what needs them.
        let (bases, sections) = (unit.bases, unit.sections);
        let text = |value: Option<_>| value.and_then(|value| sections.text(&value, &bases));
        unit.folder = text(folder).or(unit.folder);
        unit.name = text(name).or(unit.name);
        let low_pc = low_pc.and_then(|value| sections.address(&value, &bases));
        unit.bases.low_pc = low_pc.unwrap_or(unit.bases.low_pc);
        if unit.is_found {
            unit.split = Split::default();
        } else {
            unit.split.name = text(file);
            unit.line_bases = unit.bases;
        }
        Ok(())
    }

    fn function(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
        (at, depth): (usize, isize),
        is_inlined: bool,
    ) -> gimli::Result<()> {
        let mut declaration =
            Declaration { offset: at, origin: None, name: None, linkage_name: None, file: None, line: None };
        let mut place = Place::default();
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            self.attribute(&attribute, &mut declaration, &mut place);
        }
        while self.around.pop_if(|(of, _)| *of >= depth).is_some() {}
        let of = if is_inlined { declaration.origin } else { Some(at) };
        if !is_inlined {
            self.unit.declarations.push(declaration);
        }
        if let Some(of) = of {
            self.instance(of, &place, depth, is_inlined);
        }
        Ok(())
    }

    fn attribute(
        &self,
        attribute: &Attribute<Slice<'a>>,
        declaration: &mut Declaration<'a>,
        place: &mut Place<'a>,
    ) {
        let value = attribute.value();
        match attribute.name() {
            dw::DW_AT_name => declaration.name = Some(value),
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => declaration.linkage_name = Some(value),
            dw::DW_AT_decl_file => {
                declaration.file = match value {
                    AttributeValue::FileIndex(index) => Some(index),
                    value => value.udata_value(),
                }
            }
            dw::DW_AT_decl_line => declaration.line = value.udata_value(),
            dw::DW_AT_abstract_origin | dw::DW_AT_specification => {
                declaration.origin = match value {
                    AttributeValue::UnitRef(offset) => self.unit.offset.checked_add(offset.0),
                    AttributeValue::DebugInfoRef(DebugInfoOffset(offset)) => {
                        self.unit.first.checked_add(offset)
                    }
                    _ => None,
                }
            }
            dw::DW_AT_low_pc => place.low_pc = Some(value),
            dw::DW_AT_high_pc => place.high_pc = Some(value),
            dw::DW_AT_ranges => place.ranges = Some(value),
            dw::DW_AT_entry_pc => place.entry_pc = Some(value),
            _ => {}
        }
    }

    /// Takes an instance, if the entry has addresses.
    fn instance(&mut self, declaration: usize, place: &Place<'a>, depth: isize, is_inlined: bool) {
        let ranges = self.ranges(place);
        let Some((first, _)) = ranges.first().copied() else { return };
        let Ok(number) = u32::try_from(self.unit.instances.len()) else { return };
        self.ranges_left = self.ranges_left.saturating_sub(ranges.len());
        let entry = self.entry_address(place).filter(|entry| is_in(&ranges, *entry)).unwrap_or(first);
        let around = match self.around.last() {
            Some((_, around)) if is_inlined => *around,
            _ => number,
        };
        if !is_inlined {
            self.around.push((depth, number));
        }
        self.unit.instances.push(Instance { declaration, entry, is_live: false, has_run: false, around });
        let extent = |(start, end)| Extent { start, end, depth, instance: number };
        self.unit.extents.extend(ranges.into_iter().map(extent));
    }

    fn ranges(&self, place: &Place<'a>) -> Vec<(u64, u64)> {
        let (sections, bases) = (self.unit.sections, &self.unit.bases);
        if let Some(value) = &place.ranges {
            let ranges = sections.ranges(value, bases, self.ranges_left).unwrap_or_default();
            return ranges.into_iter().filter(|(start, end)| start < end).collect();
        }
        let address = |value: &Option<AttributeValue<Slice<'a>>>| sections.address(value.as_ref()?, bases);
        let Some(low) = address(&place.low_pc) else { return Vec::new() };
        let len_bytes = place.high_pc.as_ref().and_then(AttributeValue::udata_value);
        let high = address(&place.high_pc).or_else(|| low.checked_add(len_bytes?));
        high.filter(|high| low < *high && self.ranges_left > 0).map(|high| (low, high)).into_iter().collect()
    }

    /// Where an instance is entered, as an address or, as GCC has it, from its low address on.
    fn entry_address(&self, place: &Place<'a>) -> Option<u64> {
        let value = place.entry_pc.as_ref()?;
        let (sections, bases) = (self.unit.sections, &self.unit.bases);
        sections.address(value, bases).or_else(|| {
            let low = place.low_pc.as_ref().and_then(|low| sections.address(low, bases));
            low.unwrap_or(bases.low_pc).checked_add(value.udata_value()?)
        })
    }
}

fn is_in(ranges: &[(u64, u64)], address: u64) -> bool {
    ranges.iter().any(|(start, end)| (*start..*end).contains(&address))
}
