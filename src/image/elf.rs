//! From bytes to the tables of an [`Image`](super::Image), once per file, for both classes and byte orders.
//!
//! What enters is a file's bytes; what leaves is tables that hold numbers only: names and contents stay
//! ranges of the file, so that what is allocated is bounded by the file's length. Source: System V ABI, chapters
//! 4 and 5, read by the `object` crate.

use std::ops::Range;

use covtap_link::{Endianness, PointerWidth};
use object::elf;
use object::read::elf::{CompressionHeader, FileHeader, ProgramHeader, SectionHeader as _, Sym};

use super::fault::{Fault, fault};
use super::relocs::{self, DynamicReloc};
use super::section::{Compression, SectionHeader};
use super::symbol::SymbolEntry;

/// A program header of a kind that is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) kind: elf::ProgramType,
    pub(super) is_writable: bool,
    pub(super) is_executable: bool,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) file_bytes: u64,
}

/// Everything that is read when an image is made.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) endianness: Endianness,
    pub(super) pointer_width: PointerWidth,
    pub(super) machine: elf::Machine,
    pub(super) file_type: elf::FileType,
    pub(super) sections: Vec<SectionHeader>,
    pub(super) segments: Vec<Segment>,
    pub(super) symbols: Vec<SymbolEntry>,
    pub(super) relocs: Vec<DynamicReloc>,
}

pub(super) fn parse<Elf>(bytes: &[u8]) -> Result<Parts, Fault>
where
    Elf: FileHeader<Endian = object::Endianness>,
{
    let header = Elf::parse(bytes).map_err(fault("ELF header", 0))?;
    let endian = header.endian().map_err(fault("ELF header", 0))?;
    let machine = header.e_machine(endian);
    let sections = sections(header, endian, bytes)?;
    let symbols = symbols(header, endian, bytes)?;
    let relocs = relocs::read(header, endian, bytes)?;
    Ok(Parts {
        endianness: match endian {
            object::Endianness::Little => Endianness::Little,
            object::Endianness::Big => Endianness::Big,
        },
        pointer_width: if header.is_class_64() { PointerWidth::Bits64 } else { PointerWidth::Bits32 },
        machine,
        file_type: header.e_type(endian),
        segments: segments(header, endian, bytes)?,
        sections,
        symbols,
        relocs,
    })
}

fn segments<Elf: FileHeader>(header: &Elf, endian: Elf::Endian, bytes: &[u8]) -> Result<Vec<Segment>, Fault> {
    let at = header.e_phoff(endian).into();
    let headers = header.program_headers(endian, bytes).map_err(fault("program headers", at))?;
    let used = |kind| kind == elf::PT_LOAD || kind == elf::PT_NOTE;
    Ok(headers
        .iter()
        .filter(|segment| used(segment.p_type(endian)))
        .map(|segment| Segment {
            kind: segment.p_type(endian),
            is_writable: segment.p_flags(endian).contains(elf::PF_W),
            is_executable: segment.p_flags(endian).contains(elf::PF_X),
            address: segment.p_vaddr(endian).into(),
            offset: segment.p_offset(endian).into(),
            file_bytes: segment.p_filesz(endian).into(),
        })
        .collect())
}

fn sections<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    bytes: &[u8],
) -> Result<Vec<SectionHeader>, Fault> {
    let at = header.e_shoff(endian).into();
    let headers = header.section_headers(endian, bytes).map_err(fault("section headers", at))?;
    if headers.is_empty() {
        return Ok(Vec::new());
    }
    let names = header.section_strings_index(endian, bytes).map_err(fault("section names", at))?;
    let names = headers
        .get(names.0)
        .map(|section| (section.sh_offset(endian).into(), section.sh_size(endian).into()))
        .ok_or_else(|| fault("section names", at)("there is no section of that index"))?;
    headers.iter().map(|section| one_section(section, names, endian, bytes)).collect()
}

fn one_section<S: object::read::elf::SectionHeader>(
    section: &S,
    names: (u64, u64),
    endian: S::Endian,
    bytes: &[u8],
) -> Result<SectionHeader, Fault> {
    let offset = section.sh_offset(endian).into();
    let compression =
        section.compression(endian, bytes).map_err(fault("compression header of a section", offset))?;
    Ok(SectionHeader {
        name: string(bytes, names, section.sh_name(endian)),
        kind: section.sh_type(endian),
        flags: section.sh_flags(endian),
        address: section.sh_addr(endian).into(),
        offset,
        size: section.sh_size(endian).into(),
        alignment: section.sh_addralign(endian).into(),
        compression: compression.map(|(header, start, len)| Compression {
            format: header.ch_type(endian),
            bytes: start..start.saturating_add(len),
            uncompressed_bytes: header.ch_size(endian).into(),
        }),
    })
}

/// The longest section name that is looked at.
const MAX_NAME_BYTES: usize = 1024;

/// Where in the file the string at `index` of a string table is; empty if it is not in the file.
fn string(bytes: &[u8], (table, len): (u64, u64), index: u32) -> Range<usize> {
    let start = table.checked_add(index.into()).and_then(|start| usize::try_from(start).ok());
    let end = table.checked_add(len).and_then(|end| usize::try_from(end).ok());
    let (Some(start), Some(end)) = (start, end) else { return 0..0 };
    let end = end.min(bytes.len()).min(start.saturating_add(MAX_NAME_BYTES));
    match bytes.get(start..end).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        Some(len) => start..start.saturating_add(len),
        None => 0..0,
    }
}

/// The entries of `.symtab`, then those of `.dynsym`. Undefined ones are kept: relocations count them.
fn symbols<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    bytes: &[u8],
) -> Result<Vec<SymbolEntry>, Fault> {
    let at = header.e_shoff(endian).into();
    let table = header.sections(endian, bytes).map_err(fault("section headers", at))?;
    let mut entries = Vec::new();
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let found = table.symbols(endian, bytes, kind).map_err(fault("symbol table", at))?;
        if found.is_empty() {
            continue;
        }
        let strings = table
            .section(found.string_section())
            .map(|strings| (strings.sh_offset(endian).into(), strings.sh_size(endian).into()))
            .map_err(fault("symbol names", at))?;
        entries.extend(found.iter().map(|symbol| SymbolEntry {
            is_dynamic: kind == elf::SHT_DYNSYM,
            name: name_start(strings, symbol.st_name(endian)),
            kind: symbol.st_type(),
            section: symbol.st_shndx(endian),
            address: symbol.st_value(endian).into(),
            size: symbol.st_size(endian).into(),
        }));
    }
    Ok(entries)
}

fn name_start((table, len): (u64, u64), index: u32) -> u64 {
    // 0 is inside the ELF header, where no name can be: an entry without a name.
    if index == 0 || u64::from(index) >= len { 0 } else { table.saturating_add(index.into()) }
}
