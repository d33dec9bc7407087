//! What an ELF says: sections, segments, symbols, build id, producers.
//!
//! What enters is a file, 32- or 64-bit, little- or big-endian, as bytes or as something to read them from; what leaves
//! is an [`Image`] that owns it, and of the second kind reads and keeps what is asked for.
//!
//! What always holds:
//! - nothing here opens a file or reads a target;
//! - the file is not trusted: a table that does not fit is a one-line [`ImageError`] that says what was read
//!   and where, and what is allocated is bounded by the file's length;
//! - addresses are [`ImageAddr`]s, as the ELF writes them; a [`Slide`] makes target addresses of them.

mod addr;
mod arch;
mod bytes;
mod code;
mod dynamic;
mod elf;
mod error;
mod fault;
pub mod identity;
mod loaded;
mod notes;
mod relocs;
mod section;
mod symbol;

use std::fmt;

use covtap_link::{Endianness, PointerWidth};

pub use addr::{ImageAddr, Slide};
pub(crate) use addr::{uint, wrap};
pub use bytes::Source;
pub use code::CodePart;
pub use error::ImageError;
pub use identity::Identity;
pub(crate) use loaded::Loaded;
pub use loaded::{Extent, FileSegment};
pub use notes::BuildId;
pub use section::Section;
pub use symbol::{Symbol, SymbolKind};

use bytes::FileBytes;
use relocs::{DynamicReloc, RelocValue};

/// An ELF file and the tables in it.
pub struct Image {
    name: String,
    file: FileBytes,
    parts: elf::Parts,
}

impl fmt::Debug for Image {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("name", &self.name)
            .field("len_bytes", &self.file_len_bytes())
            .field("architecture", &self.architecture())
            .finish_non_exhaustive()
    }
}

/// How an image is to be loaded (`e_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageType {
    /// It runs where it was linked (`ET_EXEC`).
    Fixed,
    /// It can be moved (`ET_DYN`): a position-independent executable, a shared library.
    PositionIndependent,
    /// It is not linked yet (`ET_REL`): an object file, a kernel module.
    Relocatable,
    /// Something else, by its number.
    Other(u16),
}

impl Image {
    /// Reads the tables of an ELF file. `name` is what messages call it, normally its path.
    ///
    /// # Errors
    ///
    /// The bytes are no ELF file, or a table is damaged or cut off.
    pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, ImageError> {
        Self::new(name, FileBytes::Whole(bytes))
    }

    /// As [`parse`](Self::parse), without having all of the file in memory: what is looked at later is read then, and
    /// missing if it cannot be.
    ///
    /// # Errors
    ///
    /// It is no ELF file, or a table is damaged, cut off or not to be read.
    pub fn read(name: &str, source: impl Source + 'static) -> Result<Self, ImageError> {
        Self::new(name, FileBytes::in_parts(Box::new(source)))
    }

    fn new(name: &str, file: FileBytes) -> Result<Self, ImageError> {
        use object::{Endianness, FileKind, elf::FileHeader32, elf::FileHeader64};
        let parts = match FileKind::parse(&file) {
            Ok(FileKind::Elf32) => elf::parse::<FileHeader32<Endianness>>(&file),
            Ok(FileKind::Elf64) => elf::parse::<FileHeader64<Endianness>>(&file),
            _ => return Err(not_elf(name, file.clipped(0..4))),
        };
        match parts {
            Ok(parts) => Ok(Self { name: name.to_owned(), file, parts }),
            Err(fault::Fault { what, offset, detail }) => {
                Err(ImageError::Malformed { image: name.to_owned(), what, offset, detail })
            }
        }
    }

    /// Gives back the memory of what was read of the file so far. Its tables stay; what else is asked for later is read
    /// again, so this is for when most will not be.
    pub(crate) fn forget(&mut self) {
        self.file.forget();
    }

    /// What messages call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The order of the bytes in a word of the target.
    #[must_use]
    pub fn endianness(&self) -> Endianness {
        self.parts.endianness
    }

    /// The width of a pointer in the target.
    #[must_use]
    pub fn pointer_width(&self) -> PointerWidth {
        self.parts.pointer_width
    }

    /// The architecture, by the name that compilers have for it: `x86_64`, `thumb`-capable ones are `arm`.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        arch::name(self.parts.machine, self.parts.pointer_width, self.parts.endianness)
    }

    /// The architecture's number (`e_machine`).
    #[must_use]
    pub fn machine(&self) -> u16 {
        self.parts.machine.0
    }

    /// How it is to be loaded.
    #[must_use]
    pub fn image_type(&self) -> ImageType {
        match self.parts.file_type {
            object::elf::ET_EXEC => ImageType::Fixed,
            object::elf::ET_DYN => ImageType::PositionIndependent,
            object::elf::ET_REL => ImageType::Relocatable,
            other => ImageType::Other(other.0),
        }
    }

    /// Where it begins (`e_entry`), with the bit that an Arm processor tells its instruction sets apart by; `None` if it
    /// does not say.
    #[must_use]
    pub fn entry(&self) -> Option<ImageAddr> {
        Some(self.parts.entry).filter(|entry| *entry != 0).map(ImageAddr::new)
    }

    /// Whether it may be loaded elsewhere than it was linked, so that a [`Slide`] is needed.
    #[must_use]
    pub fn is_position_independent(&self) -> bool {
        self.image_type() == ImageType::PositionIndependent
    }

    /// The length of the file.
    #[must_use]
    pub fn file_len_bytes(&self) -> u64 {
        self.file.len_bytes()
    }

    /// The sections, in the file's order.
    pub fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        self.parts.sections.iter().map(|header| Section { image: self, header })
    }

    /// The section of that name; the first one, where several have it.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Section<'_>> {
        self.sections().find(|section| section.name() == name)
    }

    /// Whether there are neither section headers nor symbols, so that nothing can be found by name.
    #[must_use]
    pub fn is_stripped_of_names(&self) -> bool {
        self.parts.sections.is_empty() && self.parts.symbols.is_empty()
    }

    /// The `len_bytes` bytes that the file has for `addr`, before any relocation; `None` where it has none, as
    /// for `.bss`.
    #[must_use]
    pub fn bytes_at(&self, addr: ImageAddr, len_bytes: u64) -> Option<&[u8]> {
        let inside = |start: u64, size: u64| -> Option<u64> {
            let offset = addr.get().checked_sub(start)?;
            (offset.checked_add(len_bytes)? <= size).then_some(offset)
        };
        let segments = self.parts.segments.iter().filter(|segment| segment.kind == object::elf::PT_LOAD);
        let by_segment = segments
            .filter_map(|s| s.offset.checked_add(inside(s.address, s.file_bytes)?))
            .find_map(|offset| self.file_range(offset, len_bytes));
        by_segment.or_else(|| {
            self.sections()
                .filter(|section| section.is_loaded() && !section.is_nobits())
                .filter_map(|s| s.header.offset.checked_add(inside(s.header.address, s.header.size)?))
                .find_map(|offset| self.file_range(offset, len_bytes))
        })
    }

    /// The compilers and linkers that made it, from `.comment`: `clang version 19.1.7`,
    /// `rustc version 1.95.0 (59807616e 2026-04-14)`. Each once, in the file's order.
    #[must_use]
    pub fn producers(&self) -> Vec<&str> {
        /// A link of many languages names a handful.
        const MAX_PRODUCERS: usize = 64;
        let bytes =
            self.section(".comment").and_then(|section| section.file_bytes().ok()).unwrap_or_default();
        let mut producers: Vec<&str> = Vec::new();
        for text in bytes.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok()) {
            if !text.is_empty() && !producers.contains(&text) && producers.len() < MAX_PRODUCERS {
                producers.push(text);
            }
        }
        producers
    }

    /// The words of `range_len_bytes` bytes from `start` that the loader changes, with their values before
    /// the slide; `None` for a value that is not known here.
    pub(crate) fn relocated_words(
        &self,
        start: ImageAddr,
        range_len_bytes: u64,
    ) -> impl Iterator<Item = (ImageAddr, Option<ImageAddr>)> {
        let end = start.get().saturating_add(range_len_bytes);
        let relocs = &self.parts.relocs;
        let first = relocs.partition_point(|reloc| reloc.address < start.get());
        let relocs = relocs.get(first..).unwrap_or_default();
        relocs
            .iter()
            .take_while(move |reloc| reloc.address < end)
            .map(|reloc| (ImageAddr::new(reloc.address), self.reloc_value(reloc)))
    }

    fn reloc_value(&self, reloc: &DynamicReloc) -> Option<ImageAddr> {
        match reloc.value {
            RelocValue::Addend(value) => Some(ImageAddr::new(value)),
            RelocValue::InPlace => self.word_at(ImageAddr::new(reloc.address)),
            RelocValue::Symbol(index, addend) => {
                // The dynamic symbols come last.
                let first = self.parts.symbols.partition_point(|entry| !entry.is_dynamic);
                let index = first.checked_add(usize::try_from(index).ok()?)?;
                let symbol = self.parts.symbols.get(index).filter(|entry| entry.is_defined())?;
                Some(ImageAddr::new(symbol.address.wrapping_add(addend)))
            }
            RelocValue::Unknown => None,
        }
    }

    /// The pointer that the file has at `addr`.
    fn word_at(&self, addr: ImageAddr) -> Option<ImageAddr> {
        let len = self.pointer_width().bytes();
        let bytes = self.bytes_at(addr, u64::try_from(len).ok()?)?;
        let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(ImageAddr::new(match self.endianness() {
            Endianness::Little => bytes.iter().rev().fold(0, append),
            Endianness::Big => bytes.iter().fold(0, append),
        }))
    }

    /// A range of the file. The section that it is in is read as a whole: who wants a word of it wants more of them.
    fn file_range(&self, offset: u64, len_bytes: u64) -> Option<&[u8]> {
        let end = offset.checked_add(len_bytes)?;
        let extents = &self.parts.extents;
        let before = extents.partition_point(|extent| extent.start <= offset);
        let around = before.checked_sub(1).and_then(|index| extents.get(index));
        let Some(around) = around.filter(|around| end <= around.end) else {
            return self.file.get(offset..end);
        };
        let first = usize::try_from(offset.checked_sub(around.start)?).ok()?;
        let last = first.checked_add(usize::try_from(len_bytes).ok()?)?;
        self.file.get(around.clone())?.get(first..last)
    }
}

fn not_elf(name: &str, bytes: &[u8]) -> ImageError {
    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let begins_with = if first.is_empty() { "nothing: it is empty".to_owned() } else { first.join(" ") };
    ImageError::NotElf { image: name.to_owned(), begins_with }
}

#[cfg(test)]
mod tests;
