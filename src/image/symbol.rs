//! Symbols by name.

use object::elf;

use super::section::SectionHeader;
use super::{Image, ImageAddr};

/// A symbol table entry. The name is an offset into the string table of its kind, 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SymbolEntry {
    pub(super) is_dynamic: bool,
    pub(super) name: u32,
    pub(super) kind: elf::SymbolType,
    pub(super) section: elf::SymbolSection,
    pub(super) address: u64,
    pub(super) size: u64,
}

impl SymbolEntry {
    pub(super) fn is_defined(&self) -> bool {
        self.section != elf::SHN_UNDEF
    }
}

/// What a symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolKind {
    /// Code (`STT_FUNC`, `STT_GNU_IFUNC`).
    Function,
    /// Data (`STT_OBJECT`).
    Object,
    /// A section, a file, thread-local data, or something that the ELF does not tell, such as a linker script's
    /// assignment.
    Other,
}

/// A symbol that the image defines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// Its name, as the linker has it; empty if it is not UTF-8.
    pub name: &'a str,
    /// Its value. Bit 0 of a function's is set where the code is Thumb.
    pub address: ImageAddr,
    /// Its length in bytes, 0 where the ELF does not tell.
    pub len_bytes: u64,
    /// What it names.
    pub kind: SymbolKind,
}

impl Image {
    /// The defined symbols, those of `.symtab` before those of `.dynsym`.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        let names = self.symbol_names();
        self.parts.symbols.iter().filter(|entry| entry.is_defined()).map(move |entry| view(entry, names))
    }

    /// As [`symbols`](Self::symbols), without those of sections that are known to have no code: compilers mark data in debug
    /// information too, where an address is an offset.
    pub(super) fn symbols_of_code(&self) -> impl Iterator<Item = Symbol<'_>> {
        let names = self.symbol_names();
        let entries = self.parts.symbols.iter().filter(|entry| entry.is_defined() && self.may_be_code(entry));
        entries.map(move |entry| view(entry, names))
    }

    fn may_be_code(&self, entry: &SymbolEntry) -> bool {
        let is_executable =
            |header: &SectionHeader| header.flags.contains(elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        self.parts.sections.get(usize::from(entry.section.0)).is_none_or(is_executable)
    }

    /// The defined symbol of that name; the first one, where several have it.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<Symbol<'_>> {
        let names = self.symbol_names();
        let is_named = |entry: &&SymbolEntry| entry.is_defined() && has_name(entry, name, names);
        self.parts.symbols.iter().find(is_named).map(|entry| view(entry, names))
    }

    /// The names of static symbols, and those of dynamic ones.
    fn symbol_names(&self) -> [&[u8]; 2] {
        self.parts.symbol_names.each_ref().map(|names| self.file.clipped(names.clone()))
    }
}

/// Compares without looking for the end of the entry's name, which a hostile file puts far away.
fn has_name(entry: &SymbolEntry, name: &str, names: [&[u8]; 2]) -> bool {
    let rest = from_name_on(entry, names);
    rest.strip_prefix(name.as_bytes()).and_then(<[u8]>::first) == Some(&0)
}

fn view<'a>(entry: &SymbolEntry, names: [&'a [u8]; 2]) -> Symbol<'a> {
    let name = from_name_on(entry, names).split(|byte| *byte == 0).next().unwrap_or_default();
    Symbol {
        name: std::str::from_utf8(name).unwrap_or_default(),
        address: ImageAddr::new(entry.address),
        len_bytes: entry.size,
        kind: match entry.kind {
            elf::STT_FUNC | elf::STT_GNU_IFUNC => SymbolKind::Function,
            elf::STT_OBJECT => SymbolKind::Object,
            _ => SymbolKind::Other,
        },
    }
}

/// The string table from the entry's name on; nothing if it has none.
fn from_name_on<'a>(entry: &SymbolEntry, [of_static, of_dynamic]: [&'a [u8]; 2]) -> &'a [u8] {
    let names = if entry.is_dynamic { of_dynamic } else { of_static };
    let start = usize::try_from(entry.name).ok().filter(|start| *start > 0);
    start.and_then(|start| names.get(start..)).unwrap_or_default()
}
