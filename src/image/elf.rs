//! From bytes to the tables of an [`Image`](super::Image), once per file, for both classes and byte orders.
//!
//! What enters is a file's bytes, of which only the tables are read; what leaves is tables that hold numbers only:
//! names and contents stay ranges of the file, so that what is allocated is bounded by the file's length.
//!
//! Source: System V ABI, chapters 4 and 5, read by the `object` crate.

use std::ops::Range;

use covtap_link::{Endianness, PointerWidth};
use object::elf;
use object::read::elf::{CompressionHeader, FileHeader, ProgramHeader, Sym};

use super::bytes::FileBytes;
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
    pub(super) memory_bytes: u64,
}

/// Everything that is read when an image is made.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) endianness: Endianness,
    pub(super) pointer_width: PointerWidth,
    pub(super) machine: elf::Machine,
    pub(super) file_type: elf::FileType,
    /// Where it begins; 0 for nowhere.
    pub(super) entry: u64,
    pub(super) sections: Vec<SectionHeader>,
    /// The string table that their names are in.
    pub(super) section_names: Range<u64>,
    /// Where in the file sections are, or segments if there are no section headers, in order and without those that
    /// overlap others.
    pub(super) extents: Vec<Range<u64>>,
    pub(super) segments: Vec<Segment>,
    pub(super) symbols: Vec<SymbolEntry>,
    /// The string tables that the names of static and of dynamic symbols are in.
    pub(super) symbol_names: [Range<u64>; 2],
    pub(super) relocs: Vec<DynamicReloc>,
}

pub(super) fn parse<Elf>(file: &FileBytes) -> Result<Parts, Fault>
where
    Elf: FileHeader<Endian = object::Endianness>,
{
    let header = Elf::parse(file).map_err(fault("ELF header", 0))?;
    let endian = header.endian().map_err(fault("ELF header", 0))?;
    let machine = header.e_machine(endian);
    let (sections, section_names) = sections(header, endian, file)?;
    let (symbols, symbol_names) = symbols(header, endian, file)?;
    let relocs = relocs::read(header, endian, file)?;
    let segments = segments(header, endian, file)?;
    Ok(Parts {
        endianness: match endian {
            object::Endianness::Little => Endianness::Little,
            object::Endianness::Big => Endianness::Big,
        },
        pointer_width: if header.is_class_64() { PointerWidth::Bits64 } else { PointerWidth::Bits32 },
        machine,
        file_type: header.e_type(endian),
        entry: header.e_entry(endian).into(),
        extents: extents(&sections, &segments, file.len_bytes()),
        segments,
        sections,
        section_names,
        symbols,
        symbol_names,
        relocs,
    })
}

fn segments<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    file: &FileBytes,
) -> Result<Vec<Segment>, Fault> {
    let at = header.e_phoff(endian).into();
    let headers = header.program_headers(endian, file).map_err(fault("program headers", at))?;
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
            memory_bytes: segment.p_memsz(endian).into(),
        })
        .collect())
}

fn sections<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    file: &FileBytes,
) -> Result<(Vec<SectionHeader>, Range<u64>), Fault> {
    let at = header.e_shoff(endian).into();
    let headers = header.section_headers(endian, file).map_err(fault("section headers", at))?;
    if headers.is_empty() {
        return Ok((Vec::new(), 0..0));
    }
    let names = header.section_strings_index(endian, file).map_err(fault("section names", at))?;
    let names = headers.get(names.0).map(|section| extent(section, endian));
    let names = names.ok_or_else(|| fault("section names", at)("there is no section of that index"))?;
    let texts = file.clipped(names.clone());
    let sections: Result<_, _> =
        headers.iter().map(|section| one_section(section, texts, endian, file)).collect();
    Ok((sections?, names))
}

/// Where in the file a section says it is.
fn extent<S: object::read::elf::SectionHeader>(section: &S, endian: S::Endian) -> Range<u64> {
    let start: u64 = section.sh_offset(endian).into();
    start..start.saturating_add(section.sh_size(endian).into())
}

fn one_section<S: object::read::elf::SectionHeader>(
    section: &S,
    texts: &[u8],
    endian: S::Endian,
    file: &FileBytes,
) -> Result<SectionHeader, Fault> {
    let offset = section.sh_offset(endian).into();
    let compression =
        section.compression(endian, file).map_err(fault("compression header of a section", offset))?;
    Ok(SectionHeader {
        name: string(texts, section.sh_name(endian)),
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

/// Where in a file of that length sections are, or segments if there are none, each at another place.
fn extents(sections: &[SectionHeader], segments: &[Segment], file_len_bytes: u64) -> Vec<Range<u64>> {
    let of_sections = sections
        .iter()
        .filter(|section| section.kind != elf::SHT_NOBITS)
        .map(|section| (section.offset, section.size));
    let of_segments = segments
        .iter()
        .filter(|segment| segment.kind == elf::PT_LOAD && sections.is_empty())
        .map(|segment| (segment.offset, segment.file_bytes));
    let is_inside = |extent: &Range<u64>| extent.start < extent.end && extent.end <= file_len_bytes;
    let all = of_sections.chain(of_segments).map(|(start, len)| start..start.saturating_add(len));
    let mut extents: Vec<Range<u64>> = all.filter(is_inside).collect();
    extents.sort_by_key(|extent| extent.start);
    extents.dedup_by(|next, kept| next.start < kept.end);
    extents
}

/// The longest section name that is looked at.
const MAX_NAME_BYTES: usize = 1024;

/// Where in a string table the string at `index` is; empty if it is not in there.
fn string(texts: &[u8], index: u32) -> Range<usize> {
    let Ok(start) = usize::try_from(index) else { return 0..0 };
    let rest = texts.get(start..).unwrap_or_default();
    match rest.iter().take(MAX_NAME_BYTES).position(|byte| *byte == 0) {
        Some(len) => start..start.saturating_add(len),
        None => 0..0,
    }
}

/// The entries of `.symtab`, then those of `.dynsym`, and where the names of either are. Undefined ones are kept:
/// relocations count them.
fn symbols<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    file: &FileBytes,
) -> Result<(Vec<SymbolEntry>, [Range<u64>; 2]), Fault> {
    let at = header.e_shoff(endian).into();
    let table = header.sections(endian, file).map_err(fault("section headers", at))?;
    let (mut entries, mut names) = (Vec::new(), [0..0, 0..0]);
    for (kind, names) in [elf::SHT_SYMTAB, elf::SHT_DYNSYM].into_iter().zip(&mut names) {
        let found = table.symbols(endian, file, kind).map_err(fault("symbol table", at))?;
        if found.is_empty() {
            continue;
        }
        let strings = table.section(found.string_section()).map_err(fault("symbol names", at))?;
        *names = extent(strings, endian);
        entries.extend(found.iter().map(|symbol| SymbolEntry {
            is_dynamic: kind == elf::SHT_DYNSYM,
            name: symbol.st_name(endian),
            kind: symbol.st_type(),
            section: symbol.st_shndx(endian),
            address: symbol.st_value(endian).into(),
            size: symbol.st_size(endian).into(),
        }));
    }
    Ok((entries, names))
}
