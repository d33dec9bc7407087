//! Sections: their headers, and their bytes in the file.

use std::borrow::Cow;
use std::ops::Range;

use object::elf;

use super::{Image, ImageAddr, ImageError};

/// More than this is not decompressed, whatever a header says: the largest debug section seen in the wild is a
/// tenth of it.
const MAX_DECOMPRESSED_BYTES: u64 = 8 << 30;

/// The best that deflate can do is 1032 to 1; zstd can do better, and is held to the same.
const MAX_RATIO: u64 = 1032;

/// How a section is compressed in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Compression {
    pub(super) format: elf::CompressionType,
    pub(super) bytes: Range<u64>,
    pub(super) uncompressed_bytes: u64,
}

/// What a section header says. The name is a range of the table of names, so that many headers cannot multiply one
/// long name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SectionHeader {
    pub(super) name: Range<usize>,
    pub(super) kind: elf::SectionType,
    pub(super) flags: elf::SectionFlags,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) alignment: u64,
    pub(super) compression: Option<Compression>,
}

/// A section of an image.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    pub(super) image: &'a Image,
    pub(super) header: &'a SectionHeader,
}

impl<'a> Section<'a> {
    /// Its name; empty if it is not UTF-8.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let names = self.image.file.clipped(self.image.parts.section_names.clone());
        let bytes = names.get(self.header.name.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Its address; 0 for a section that is not loaded.
    #[must_use]
    pub fn address(&self) -> ImageAddr {
        ImageAddr::new(self.header.address)
    }

    /// Its length in the target's memory, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.header.size
    }

    /// Its alignment in bytes, a power of two in a well-formed file.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.header.alignment
    }

    /// Whether it is part of the loaded program (`SHF_ALLOC`), as against metadata such as debug information.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.header.flags.contains(elf::SHF_ALLOC)
    }

    /// Whether the program may write it (`SHF_WRITE`).
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.header.flags.contains(elf::SHF_WRITE)
    }

    /// Whether it holds code (`SHF_EXECINSTR`).
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.header.flags.contains(elf::SHF_EXECINSTR)
    }

    /// Whether it takes no space in the file (`SHT_NOBITS`), as `.bss` does.
    #[must_use]
    pub fn is_nobits(&self) -> bool {
        self.header.kind == elf::SHT_NOBITS
    }

    /// Whether its bytes are compressed in the file (`SHF_COMPRESSED`).
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.header.compression.is_some()
    }

    /// Where its bytes begin in the file.
    #[must_use]
    pub fn file_offset(&self) -> u64 {
        self.header.offset
    }

    /// The length of [`Self::data`] in bytes, as its header has it: it may not be true, and costs nothing to ask.
    #[must_use]
    pub fn data_len_bytes(&self) -> u64 {
        match &self.header.compression {
            Some(compression) => compression.uncompressed_bytes,
            None if self.is_nobits() => 0,
            None => self.header.size,
        }
    }

    /// Its bytes as the file stores them, compressed or not; empty for a NOBITS section.
    ///
    /// # Errors
    ///
    /// The header points outside the file.
    pub fn file_bytes(&self) -> Result<&'a [u8], ImageError> {
        if self.is_nobits() {
            return Ok(&[]);
        }
        self.check_in_file()?;
        let size = self.header.size;
        self.image
            .file_range(self.header.offset, size)
            .ok_or_else(|| self.error(format!("{size} bytes cannot be read")))
    }

    /// Makes sure that the file has its bytes, without reading them.
    ///
    /// # Errors
    ///
    /// The header points outside the file.
    pub fn check_in_file(&self) -> Result<(), ImageError> {
        let (size, file_len) = (self.header.size, self.image.file_len_bytes());
        let end = self.header.offset.checked_add(size);
        if self.is_nobits() || end.is_some_and(|end| end <= file_len) {
            return Ok(());
        }
        Err(self.error(format!("{size} bytes are said to be there, the file has {file_len}")))
    }

    /// Its bytes, decompressed where the file stores them compressed; empty for a NOBITS section.
    ///
    /// # Errors
    ///
    /// The header points outside the file, or the bytes do not decompress to the stated length.
    pub fn data(&self) -> Result<Cow<'a, [u8]>, ImageError> {
        let Some(compression) = &self.header.compression else {
            return self.file_bytes().map(Cow::Borrowed);
        };
        let len = compression.bytes.end.saturating_sub(compression.bytes.start);
        let data = self
            .image
            .file_range(compression.bytes.start, len)
            .ok_or_else(|| self.error("the compressed bytes pass the end of the file".into()))?;
        let size = compression.uncompressed_bytes;
        if size > MAX_DECOMPRESSED_BYTES.min(len.saturating_mul(MAX_RATIO)) {
            return Err(self.error(format!("{len} compressed bytes are said to hold {size}")));
        }
        let format = match compression.format {
            elf::ELFCOMPRESS_ZLIB => object::CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => object::CompressionFormat::Zstandard,
            other => return Err(self.error(format!("compression type {} is not known", other.0))),
        };
        object::CompressedData { format, data, uncompressed_size: size }
            .decompress()
            .map_err(|error| self.error(error.to_string()))
    }

    fn error(&self, detail: String) -> ImageError {
        ImageError::Section {
            image: self.image.name.clone(),
            section: self.name().to_owned(),
            offset: self.header.offset,
            detail,
        }
    }
}
