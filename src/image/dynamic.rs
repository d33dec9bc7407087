//! Relocations of files without section headers, from what `PT_DYNAMIC` says to loaders.
//!
//! What enters is a file's bytes; what leaves is [`DynamicReloc`]s by address. What always holds: tables are in the
//! bytes that the file has for a loaded segment; symbols are resolved here, since without section headers nothing says
//! how many there are. Relocations of procedure calls (`DT_JMPREL`) are no pointers to data, and left out.
//!
//! Source: System V ABI, chapter 5; the `object` crate for its structures.

use std::ops::Range;

use object::ReadRef;
use object::elf::{self, DynamicTag};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, RelrIterator, Sym};

use super::bytes::FileBytes;
use super::fault::{Fault, fault};
use super::relocs::{DynamicReloc, RelocValue, kinds, of_rel, of_rela};

/// A file's loaded segments and what `PT_DYNAMIC` has.
struct Tables<'f, Elf: FileHeader> {
    file: &'f FileBytes,
    endian: Elf::Endian,
    segments: &'f [Elf::ProgramHeader],
    entries: &'f [Elf::Dyn],
}

impl<'f, Elf: FileHeader> Tables<'f, Elf> {
    /// The value of the first entry of that tag.
    fn value(&self, tag: DynamicTag) -> Option<u64> {
        let entries = self.entries.iter().take_while(|entry| entry.tag(self.endian) != elf::DT_NULL);
        entries.into_iter().find(|entry| entry.tag(self.endian) == tag).map(|entry| entry.val(self.endian))
    }

    /// Where in the file an address is, and the end of what the file has behind it.
    fn place(&self, address: u64) -> Option<Range<u64>> {
        let loaded = self.segments.iter().filter(|segment| segment.p_type(self.endian) == elf::PT_LOAD);
        loaded.into_iter().find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr(self.endian).into())?;
            let left = Into::<u64>::into(segment.p_filesz(self.endian)).checked_sub(inside)?;
            let offset = segment.p_offset(self.endian).into().checked_add(inside)?;
            Some(offset..offset.checked_add(left)?).filter(|range| !range.is_empty())
        })
    }

    /// The table whose address and length in bytes are entries; empty if there is none.
    fn table<T: object::pod::Pod>(&self, address: DynamicTag, len: DynamicTag) -> Result<&'f [T], Fault> {
        let Some((address, len_bytes)) = self.value(address).zip(self.value(len).filter(|len| *len > 0))
        else {
            return Ok(&[]);
        };
        let wrong = fault("relocations", address);
        let place = self.place(address).filter(|place| place.end.saturating_sub(place.start) >= len_bytes);
        let Some(Range { start: offset, .. }) = place else {
            return Err(wrong("PT_DYNAMIC has them where no segment is loaded from the file"));
        };
        let count = usize::try_from(len_bytes).ok().and_then(|len| len.checked_div(size_of::<T>()));
        let table = self.file.read_slice_at(offset, count.unwrap_or(0));
        table.map_err(|()| fault("relocations", offset)("they pass the end of the file"))
    }

    /// The value of a dynamic symbol, if it is defined; `symbols` is where they are in the file.
    fn symbol(&self, symbols: &Range<u64>, index: u32) -> Option<u64> {
        let len_bytes = size_of::<Elf::Sym>() as u64;
        let offset = symbols.start.checked_add(u64::from(index).checked_mul(len_bytes)?)?;
        let is_inside = offset.checked_add(len_bytes)? <= symbols.end;
        let symbol: &Elf::Sym = self.file.read_at(Some(offset).filter(|_| is_inside)?).ok()?;
        let is_defined = symbol.st_shndx(self.endian) != elf::SHN_UNDEF;
        is_defined.then(|| symbol.st_value(self.endian).into())
    }

    fn resolved(&self, symbols: Option<&Range<u64>>, reloc: DynamicReloc) -> DynamicReloc {
        let value = match reloc.value {
            RelocValue::Symbol(index, addend) => symbols
                .and_then(|symbols| self.symbol(symbols, index))
                .map_or(RelocValue::Unknown, |value| RelocValue::Addend(value.wrapping_add(addend))),
            other => other,
        };
        DynamicReloc { value, ..reloc }
    }
}

/// All relocations that the loader is told of, by address.
pub(super) fn relocs<Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    file: &FileBytes,
) -> Result<Vec<DynamicReloc>, Fault> {
    let at = header.e_phoff(endian).into();
    let segments = header.program_headers(endian, file).map_err(fault("program headers", at))?;
    let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, file).transpose());
    let Some(entries) = dynamic.transpose().map_err(fault("dynamic segment", at))? else {
        return Ok(Vec::new());
    };
    let tables = Tables::<Elf> { file, endian, segments, entries };
    let kinds = kinds(header.e_machine(endian), header.is_class_64());
    let is_mips64el = header.is_mips64el(endian);
    let rela: &[Elf::Rela] = tables.table(elf::DT_RELA, elf::DT_RELASZ)?;
    let rel: &[Elf::Rel] = tables.table(elf::DT_REL, elf::DT_RELSZ)?;
    let relr: &[Elf::Relr] = tables.table(elf::DT_RELR, elf::DT_RELRSZ)?;
    let rela = rela.iter().map(|rela| of_rela(rela, kinds, endian, is_mips64el));
    let rel = rel.iter().map(|rel| of_rel(rel, kinds, endian));
    let relr = RelrIterator::<Elf>::new(endian, relr)
        .map(|at| DynamicReloc { address: at.into(), value: RelocValue::InPlace });
    let symbols = tables.value(elf::DT_SYMTAB).and_then(|address| tables.place(address));
    let resolved = |reloc| tables.resolved(symbols.as_ref(), reloc);
    let mut all: Vec<_> = rela.chain(rel).chain(relr).map(resolved).collect();
    all.sort_by_key(|reloc| reloc.address);
    Ok(all)
}
