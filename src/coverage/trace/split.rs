//! Debug information that compilers leave in files beside objects (`.dwo`), and packages of such files (`.dwp`).
//!
//! What enters is the sections of an image that has skeletons of units, and files that may have the rest of them; what
//! leaves is that rest, by the number that both have. Lines are in the image; functions, and what was inlined into them, are
//! in such a file.
//!
//! ```text
//! image   .debug_info       DW_UT_skeleton with a dwo_id; DWARF 4: DW_TAG_compile_unit with DW_AT_GNU_dwo_id, and in both
//!                           DW_AT_dwo_name, DW_AT_comp_dir, DW_AT_stmt_list, DW_AT_addr_base; DWARF 4: DW_AT_GNU_ranges_base
//!         .debug_addr, .debug_line; DWARF 4: .debug_ranges
//! .dwo    .debug_info.dwo   DW_UT_split_compile, or DW_TAG_compile_unit, with the same number
//!         .debug_abbrev.dwo, .debug_str.dwo, .debug_str_offsets.dwo, .debug_rnglists.dwo
//! .dwp    the same sections of many, behind each other; .debug_cu_index says for each number where its parts are
//! ```
//!
//! What always holds: a unit is taken once, for one skeleton; what is read of a file comes to no more than [`MAX_OVERLAP`]
//! times its length, however its units overlap; what a file lacks is missing, and no error.
//!
//! Source: DWARF 5, sections 3.1.2, 3.1.3 and 7.3; GCC's wiki, DebugFission and DebugFissionDWP, for DWARF 4.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugCuIndex, DebugInfo, EndianSlice,
    IndexSectionId, UnitHeader, UnitIndex, UnitType,
};

use super::entries;
use super::sections::{DebugSections, Slice};
use crate::image::Image;

/// What is read of a file is no longer than so many times the file: units may have parts in common.
const MAX_OVERLAP: usize = 4;

/// As many tables of abbreviations of one file are read to find out the numbers of its units. Compilers make one.
const MAX_TABLES: usize = 64;

/// A unit whose debug information is in another file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SplitUnit {
    /// The number that both parts have.
    pub id: u64,
    /// The name of the file, as the compiler was told it: from the root, or from the folder on.
    pub name: Vec<u8>,
    /// The folder that the compiler ran in.
    pub folder: Vec<u8>,
    /// Where the skeleton is in `.debug_info`.
    pub(super) skeleton: usize,
}

/// The units of an image that are in other files, in the image's order; each number once.
#[must_use]
pub fn split_units(image: &Image) -> Vec<SplitUnit> {
    // What is elsewhere has its addresses here. Without any, nothing need be decompressed.
    if image.section(".debug_addr").is_none() {
        return Vec::new();
    }
    DebugSections::of(image).map(|sections| entries::skeletons(&sections)).unwrap_or_default()
}

/// Which of these units a package has.
#[must_use]
pub fn packaged(package: &Image, wanted: &[SplitUnit]) -> Vec<u64> {
    let Ok(file) = SplitFile::of(package) else { return Vec::new() };
    let Some(Ok(index)) = file.index() else { return Vec::new() };
    wanted.iter().map(|unit| unit.id).filter(|id| index.find(*id).is_some()).collect()
}

/// A file that has the rest of units.
pub(super) struct SplitFile<'f> {
    name: &'f str,
    sections: DebugSections<'f>,
    /// `.debug_cu_index`, in a package.
    index: Cow<'f, [u8]>,
}

impl<'f> SplitFile<'f> {
    /// Takes the sections of a file.
    ///
    /// # Errors
    ///
    /// One cannot be read: the text says which and why.
    pub(super) fn of(file: &'f Image) -> Result<Self, String> {
        let (sections, index) = DebugSections::of_split(file)?;
        Ok(Self { name: file.name(), sections, index })
    }

    fn index(&self) -> Option<gimli::Result<UnitIndex<Slice<'_>>>> {
        let index = DebugCuIndex::new(&self.index, self.sections.endian);
        (!self.index.is_empty()).then(|| index.index())
    }
}

/// The rest of a unit.
pub(super) struct SplitPart<'a> {
    pub(super) sections: DebugSections<'a>,
    pub(super) header: UnitHeader<Slice<'a>>,
    /// Where the skeleton is.
    skeleton: usize,
    /// What is added to offsets there: no other unit has them then.
    pub(super) base: usize,
}

/// The rests of units.
#[derive(Default)]
pub(super) struct SplitParts<'a> {
    by_id: BTreeMap<u64, SplitPart<'a>>,
    /// What is wrong with files.
    pub(super) problems: Vec<String>,
}

impl<'a> SplitParts<'a> {
    /// Looks for units in files; the first that has one counts.
    pub(super) fn find(
        image: &'a DebugSections<'_>,
        files: &'a [SplitFile<'_>],
        wanted: &[SplitUnit],
    ) -> Self {
        let mut parts = Self::default();
        let mut base = image.info.len();
        for file in files {
            let len_bytes = file.sections.info.len().saturating_add(file.sections.abbrev.len());
            let mut finder =
                Finder { parts: &mut parts, image, file, left: len_bytes.saturating_mul(MAX_OVERLAP), base };
            let done = match file.index() {
                Some(Ok(index)) => finder.in_package(&index, wanted),
                Some(Err(error)) => Err(error.to_string()),
                None => finder.in_object(wanted),
            };
            base = finder.base.saturating_add(file.sections.info.len());
            if let Err(detail) = done {
                parts.problems.push(format!("{}: {detail}", file.name));
            }
        }
        parts
    }

    /// The rest of the unit whose skeleton is at an offset.
    pub(super) fn get(&self, id: u64, skeleton: usize) -> Option<&SplitPart<'a>> {
        self.by_id.get(&id).filter(|part| part.skeleton == skeleton)
    }
}

/// Looks for units in a file.
struct Finder<'w, 'a, 'f> {
    parts: &'w mut SplitParts<'a>,
    image: &'a DebugSections<'a>,
    file: &'a SplitFile<'f>,
    /// How much more of it may be read.
    left: usize,
    base: usize,
}

impl<'a> Finder<'_, 'a, '_> {
    fn in_package(&mut self, index: &UnitIndex<Slice<'_>>, wanted: &[SplitUnit]) -> Result<(), String> {
        let file: &'a SplitFile<'_> = self.file;
        let whole = &file.sections;
        for unit in wanted {
            if self.parts.by_id.contains_key(&unit.id) {
                continue;
            }
            let Some(row) = index.find(unit.id) else { continue };
            let mut sections = self.sections();
            (sections.info, sections.abbrev) = (Cow::default(), Cow::default());
            (sections.string_offsets, sections.range_lists) = (Cow::default(), Cow::default());
            for part in index.sections(row).map_err(|error| error.to_string())? {
                let of = |section: &'a [u8]| {
                    let start = usize::try_from(part.offset).ok()?;
                    section.get(start..start.checked_add(usize::try_from(part.size).ok()?)?)
                };
                let (from, to) = match part.section {
                    IndexSectionId::DebugInfo => (&whole.info, &mut sections.info),
                    IndexSectionId::DebugAbbrev => (&whole.abbrev, &mut sections.abbrev),
                    IndexSectionId::DebugStrOffsets => (&whole.string_offsets, &mut sections.string_offsets),
                    IndexSectionId::DebugRngLists => (&whole.range_lists, &mut sections.range_lists),
                    _ => continue,
                };
                *to = Cow::Borrowed(of(from).ok_or("its index points outside of it")?);
            }
            let info: &'a [u8] = borrowed(&sections.info);
            let header = DebugInfo::new(info, whole.endian).units().next();
            let header = header.map_err(|error| error.to_string())?.ok_or("a unit in it is empty")?;
            let table = borrowed(&sections.abbrev).get(header.debug_abbrev_offset().0..);
            sections.abbrev = Cow::Borrowed(table.unwrap_or_default());
            let len_bytes = info.len();
            self.take(unit, sections, header)?;
            self.base = self.base.saturating_add(len_bytes);
        }
        Ok(())
    }

    fn in_object(&mut self, wanted: &[SplitUnit]) -> Result<(), String> {
        let file: &'a SplitFile<'_> = self.file;
        let whole = &file.sections;
        let mut headers = Vec::new();
        let mut all = DebugInfo::new(&whole.info, whole.endian).units();
        // What is damaged ends it.
        while let Ok(Some(header)) = all.next() {
            headers.push(header);
        }
        let mut starts: Vec<usize> = headers.iter().map(|header| header.debug_abbrev_offset().0).collect();
        starts.sort_unstable();
        starts.dedup();
        let table = |header: &UnitHeader<Slice<'a>>| {
            let start = header.debug_abbrev_offset().0;
            let next = starts.partition_point(|other| *other <= start);
            let end = starts.get(next).copied().unwrap_or(whole.abbrev.len());
            whole.abbrev.get(start..end).unwrap_or_default()
        };
        let mut tables = Tables::default();
        let by_id: HashMap<u64, &SplitUnit> = wanted.iter().map(|unit| (unit.id, unit)).collect();
        for header in headers {
            let id = match header.type_() {
                UnitType::SplitCompilation(id) => Some(id.0),
                UnitType::Compilation => {
                    tables.id_of(&header, EndianSlice::new(table(&header), whole.endian))
                }
                _ => None,
            };
            let Some(unit) = id.and_then(|id| by_id.get(&id)) else { continue };
            if !self.parts.by_id.contains_key(&unit.id) {
                let sections = DebugSections { abbrev: Cow::Borrowed(table(&header)), ..self.sections() };
                self.take(unit, sections, header)?;
            }
        }
        Ok(())
    }

    /// The file's sections, with those that are in the image.
    fn sections(&self) -> DebugSections<'a> {
        let (of_file, of_image) = (&self.file.sections, self.image);
        DebugSections {
            endian: of_file.endian,
            info: Cow::Borrowed(&of_file.info),
            abbrev: Cow::Borrowed(&of_file.abbrev),
            line: Cow::default(),
            strings: Cow::Borrowed(&of_file.strings),
            line_strings: Cow::default(),
            string_offsets: Cow::Borrowed(&of_file.string_offsets),
            addresses: Cow::Borrowed(&of_image.addresses),
            ranges: Cow::Borrowed(&of_image.ranges),
            range_lists: Cow::Borrowed(&of_file.range_lists),
        }
    }

    fn take(
        &mut self,
        unit: &SplitUnit,
        sections: DebugSections<'a>,
        header: UnitHeader<Slice<'a>>,
    ) -> Result<(), String> {
        let cost = header.length_including_self().saturating_add(sections.abbrev.len());
        self.left = self.left.checked_sub(cost).ok_or("its units overlap")?;
        let part = SplitPart { sections, header, skeleton: unit.skeleton, base: self.base };
        self.parts.by_id.insert(unit.id, part);
        Ok(())
    }
}

/// What a copy-on-write slice borrows; nothing, if it owns.
fn borrowed<'a>(bytes: &Cow<'a, [u8]>) -> &'a [u8] {
    match bytes {
        Cow::Borrowed(bytes) => bytes,
        Cow::Owned(_) => &[],
    }
}

/// Tables of abbreviations that were read, by where they begin.
#[derive(Default)]
struct Tables(HashMap<usize, Option<Abbreviations>>);

impl Tables {
    /// The number in the first entry of a unit of DWARF 4.
    fn id_of(&mut self, header: &UnitHeader<Slice<'_>>, table: Slice<'_>) -> Option<u64> {
        let start = header.debug_abbrev_offset().0;
        if self.0.len() >= MAX_TABLES && !self.0.contains_key(&start) {
            return None;
        }
        let parse = || DebugAbbrev::from(table).abbreviations(DebugAbbrevOffset(0)).ok();
        let abbreviations = self.0.entry(start).or_insert_with(parse);
        let mut entries = header.entries_raw(abbreviations.as_ref()?, None).ok()?;
        let root = entries.read_abbreviation().ok()??;
        root.attributes().iter().find_map(|spec| match entries.read_attribute(*spec).ok()?.value() {
            AttributeValue::DwoId(id) => Some(id.0),
            _ => None,
        })
    }
}
