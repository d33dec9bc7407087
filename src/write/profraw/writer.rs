//! The file as it grows: numbers in the target's byte order, parts padded to 8.

use std::borrow::Cow;
use std::io;

use super::records::Records;
use crate::locate::llvm::{HeaderField, LlvmImage, RawVersion, magic, put_uint};

/// The numbers of a header that are not always 0.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Header {
    pub(super) version_word: u64,
    pub(super) binary_ids_size: u64,
    pub(super) num_data: u64,
    pub(super) num_counters: u64,
    pub(super) pad_after_counters: u64,
    pub(super) num_bitmap_bytes: u64,
    pub(super) pad_after_bitmap: u64,
    pub(super) names_size: u64,
    pub(super) counters_delta: u64,
    pub(super) bitmap_delta: u64,
    pub(super) names_delta: u64,
}

impl Header {
    fn get(&self, field: HeaderField, value_kind_last: u16) -> u64 {
        match field {
            HeaderField::BinaryIdsSize => self.binary_ids_size,
            HeaderField::NumData => self.num_data,
            HeaderField::NumCounters => self.num_counters,
            HeaderField::PadAfterCounters => self.pad_after_counters,
            HeaderField::NumBitmapBytes => self.num_bitmap_bytes,
            HeaderField::PadAfterBitmap => self.pad_after_bitmap,
            HeaderField::NamesSize => self.names_size,
            HeaderField::CountersDelta => self.counters_delta,
            HeaderField::BitmapDelta => self.bitmap_delta,
            HeaderField::NamesDelta => self.names_delta,
            HeaderField::ValueKindLast => value_kind_last.into(),
            // On ELF targets outside of continuous mode the counters follow the data directly. Uniform counters
            // are an offload target's, vtables need value profiling.
            HeaderField::PadBeforeCounters
            | HeaderField::NumUniformCounters
            | HeaderField::PadAfterUniform
            | HeaderField::UniformCountersDelta
            | HeaderField::NumVTables
            | HeaderField::VNamesSize => 0,
        }
    }
}

/// A profile in parts: what is in the image or in the snapshot as it is in the file is not copied.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    parts: Vec<Part<'a>>,
    /// Where its counters and its bitmap begin: multiples of 8. They are as in the snapshot, byte for byte.
    pub region_offsets: [usize; 2],
}

#[derive(Clone, Debug)]
enum Part<'a> {
    Bytes(Cow<'a, [u8]>),
    Records(Records<'a>),
}

impl Part<'_> {
    fn len_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Records(records) => records.len_bytes(),
        }
    }
}

impl Encoded<'_> {
    /// Writes the file.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.parts.iter().try_for_each(|part| match part {
            Part::Bytes(bytes) => out.write_all(bytes),
            Part::Records(records) => records.write_to(out),
        })
    }

    /// The file's length.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.len_bytes()))
    }
}

/// A growing file in the target's byte order.
pub(super) struct Writer<'a> {
    image: &'a LlvmImage,
    parts: Vec<Part<'a>>,
    /// The length of the parts.
    parts_len: usize,
    /// The part that grows.
    bytes: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// An empty file.
    pub(super) fn new(image: &'a LlvmImage) -> Self {
        Self { image, parts: Vec::new(), parts_len: 0, bytes: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.parts_len.saturating_add(self.bytes.len())
    }

    fn u64(&mut self, value: u64) {
        let mut bytes = [0; 8];
        put_uint(&mut bytes, value, self.image.endianness());
        self.bytes.extend(bytes);
    }

    /// Begins the file: header, and binary ids where the version has them.
    pub(super) fn begin(&mut self, version: RawVersion, header: &Header) {
        self.u64(magic(self.image.pointer_width()));
        self.u64(header.version_word);
        let layout = version.layout();
        for field in layout.header {
            self.u64(header.get(*field, layout.value_kind_last));
        }
        let has_ids = layout.has(HeaderField::BinaryIdsSize);
        for id in self.image.binary_ids().iter().filter(|_| has_ids) {
            let id = id.as_bytes();
            self.u64(id.len() as u64);
            self.padded(id);
        }
    }

    /// Appends `bytes`, which stay where they are.
    pub(super) fn part(&mut self, bytes: impl Into<Cow<'a, [u8]>>) {
        self.push(Part::Bytes(bytes.into()));
    }

    /// Appends data records.
    pub(super) fn records(&mut self, records: Records<'a>) {
        self.push(Part::Records(records));
    }

    fn push(&mut self, part: Part<'a>) {
        let begun = std::mem::take(&mut self.bytes);
        for part in [Part::Bytes(begun.into()), part] {
            self.parts_len = self.parts_len.saturating_add(part.len_bytes());
            self.parts.push(part);
        }
    }

    /// As [`part`](Self::part), and zeros up to a multiple of 8 of their own length.
    pub(super) fn padded(&mut self, bytes: &'a [u8]) {
        self.part(bytes);
        self.zeros(pad(bytes.len()));
    }

    pub(super) fn zeros(&mut self, len: usize) {
        self.bytes.resize(self.bytes.len().saturating_add(len), 0);
    }

    pub(super) fn finish(mut self, region_offsets: [usize; 2]) -> Encoded<'a> {
        self.parts.push(Part::Bytes(self.bytes.into()));
        Encoded { parts: self.parts, region_offsets }
    }
}

/// How many bytes complete `len` to a multiple of 8.
pub(super) const fn pad(len: usize) -> usize {
    len.wrapping_neg() % 8
}

pub(super) fn binary_ids_size(image: &LlvmImage) -> u64 {
    image.binary_ids().iter().fold(0u64, |size, id| {
        let len = id.as_bytes().len();
        size.saturating_add(8).saturating_add(len.saturating_add(pad(len)) as u64)
    })
}
