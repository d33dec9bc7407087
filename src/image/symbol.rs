//! Symbols by name.

use object::elf;

use super::{Image, ImageAddr};

/// A symbol table entry. The name is a file offset, 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SymbolEntry {
    pub(super) is_dynamic: bool,
    pub(super) name: u64,
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
        self.parts.symbols.iter().filter(|entry| entry.is_defined()).map(|entry| self.view(entry))
    }

    /// The defined symbol of that name; the first one, where several have it.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<Symbol<'_>> {
        let is_named = |entry: &&SymbolEntry| entry.is_defined() && self.has_name(entry, name);
        self.parts.symbols.iter().find(is_named).map(|entry| self.view(entry))
    }

    /// Compares without looking for the end of the entry's name, which a hostile file puts far away.
    fn has_name(&self, entry: &SymbolEntry, name: &str) -> bool {
        let rest = usize::try_from(entry.name).ok().and_then(|start| self.bytes.get(start..));
        entry.name != 0
            && rest.and_then(|rest| rest.strip_prefix(name.as_bytes())).and_then(<[u8]>::first) == Some(&0)
    }

    fn view(&self, entry: &SymbolEntry) -> Symbol<'_> {
        Symbol {
            name: self.c_string(entry.name),
            address: ImageAddr::new(entry.address),
            len_bytes: entry.size,
            kind: match entry.kind {
                elf::STT_FUNC | elf::STT_GNU_IFUNC => SymbolKind::Function,
                elf::STT_OBJECT => SymbolKind::Object,
                _ => SymbolKind::Other,
            },
        }
    }

    fn c_string(&self, offset: u64) -> &str {
        if offset == 0 {
            return "";
        }
        let rest = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}
