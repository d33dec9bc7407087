//! The sections of debug information that lines and functions are in.
//!
//! What enters is an [`Image`]; what leaves is its sections, decompressed, and the texts and ranges in them. What always
//! holds: a section that is absent is empty; together they are no longer than is plausible for the file; no text is
//! looked at before it is asked for, and of none more than [`MAX_TEXT_BYTES`].

use std::borrow::Cow;

use covtap_link::Endianness;
use gimli::{
    AttributeValue, DebugAddr, DebugAddrBase, DebugRanges, DebugRngLists, DebugRngListsBase, DebugStrOffsets,
    DebugStrOffsetsBase, Encoding, EndianSlice, RangeLists, RangeListsOffset, Reader, RunTimeEndian,
};

use crate::image::Image;
use crate::locate::llvm::TextBudget;

pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// A longer name is none.
const MAX_TEXT_BYTES: usize = 4096;

/// The sections.
#[derive(Debug)]
pub(super) struct DebugSections<'a> {
    pub(super) endian: RunTimeEndian,
    pub(super) info: Cow<'a, [u8]>,
    pub(super) abbrev: Cow<'a, [u8]>,
    pub(super) line: Cow<'a, [u8]>,
    pub(super) strings: Cow<'a, [u8]>,
    pub(super) line_strings: Cow<'a, [u8]>,
    pub(super) string_offsets: Cow<'a, [u8]>,
    pub(super) addresses: Cow<'a, [u8]>,
    pub(super) ranges: Cow<'a, [u8]>,
    pub(super) range_lists: Cow<'a, [u8]>,
}

/// Where references of a unit start from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bases {
    pub(super) encoding: Encoding,
    pub(super) strings: DebugStrOffsetsBase<usize>,
    pub(super) addresses: DebugAddrBase<usize>,
    pub(super) range_lists: DebugRngListsBase<usize>,
    /// Where references into `.debug_ranges` start from: elsewhere in split DWARF 4 alone.
    pub(super) ranges: usize,
    /// Where addresses in ranges start from.
    pub(super) low_pc: u64,
}

/// Reads sections of a file, within what is plausible for it.
struct Reading<'a> {
    image: &'a Image,
    budget: TextBudget,
}

impl<'a> Reading<'a> {
    fn of(image: &'a Image) -> Self {
        let len_bytes = usize::try_from(image.file_len_bytes()).unwrap_or(usize::MAX);
        Self { image, budget: TextBudget::of(len_bytes) }
    }

    fn section(&mut self, name: &str) -> Result<Cow<'a, [u8]>, String> {
        let Some(section) = self.image.section(name) else { return Ok(Cow::default()) };
        let len = usize::try_from(section.data_len_bytes()).unwrap_or(usize::MAX);
        let read = |detail| format!("read {name} of {}: {detail}", self.image.name());
        self.budget.take(len).map_err(read)?;
        section.data().map_err(|error| error.to_string())
    }
}

fn endian(image: &Image) -> RunTimeEndian {
    match image.endianness() {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    }
}

impl<'a> DebugSections<'a> {
    /// Takes the sections of an image.
    ///
    /// # Errors
    ///
    /// One cannot be read, or is larger than is plausible: the text says which and why.
    pub(super) fn of(image: &'a Image) -> Result<Self, String> {
        let mut data = Reading::of(image);
        Ok(Self {
            endian: endian(image),
            info: data.section(".debug_info")?,
            abbrev: data.section(".debug_abbrev")?,
            line: data.section(".debug_line")?,
            strings: data.section(".debug_str")?,
            line_strings: data.section(".debug_line_str")?,
            string_offsets: data.section(".debug_str_offsets")?,
            addresses: data.section(".debug_addr")?,
            ranges: data.section(".debug_ranges")?,
            range_lists: data.section(".debug_rnglists")?,
        })
    }

    /// Takes the sections of a file that has units of another image, without those that are in the image; and its index,
    /// which packages have.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub(super) fn of_split(image: &'a Image) -> Result<(Self, Cow<'a, [u8]>), String> {
        let mut data = Reading::of(image);
        let sections = Self {
            endian: endian(image),
            info: data.section(".debug_info.dwo")?,
            abbrev: data.section(".debug_abbrev.dwo")?,
            line: Cow::default(),
            strings: data.section(".debug_str.dwo")?,
            line_strings: Cow::default(),
            string_offsets: data.section(".debug_str_offsets.dwo")?,
            addresses: Cow::default(),
            ranges: Cow::default(),
            range_lists: data.section(".debug_rnglists.dwo")?,
        };
        Ok((sections, data.section(".debug_cu_index")?))
    }

    /// How long the program of line numbers at an offset is, by its head.
    pub(super) fn len_of_lines(&self, offset: usize) -> usize {
        let mut head = EndianSlice::new(self.line.get(offset..).unwrap_or_default(), self.endian);
        let rest = head.len();
        let len = head.read_initial_length().map_or(0, |(len_bytes, _)| len_bytes);
        len.saturating_add(rest.saturating_sub(head.len()))
    }

    /// A text.
    pub(super) fn text(&'a self, value: &AttributeValue<Slice<'a>>, bases: &Bases) -> Option<&'a [u8]> {
        let tail = match value {
            AttributeValue::String(text) => text.slice(),
            AttributeValue::DebugStrRef(offset) => self.strings.get(offset.0..)?,
            AttributeValue::DebugLineStrRef(offset) => self.line_strings.get(offset.0..)?,
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offsets = DebugStrOffsets::from(EndianSlice::new(&self.string_offsets, self.endian));
                let offset = offsets.get_str_offset(bases.encoding.format, bases.strings, *index).ok()?;
                self.strings.get(offset.0..)?
            }
            _ => return None,
        };
        let tail = tail.get(..MAX_TEXT_BYTES).unwrap_or(tail);
        tail.split(|byte| *byte == 0).next()
    }

    /// An address.
    pub(super) fn address(&'a self, value: &AttributeValue<Slice<'a>>, bases: &Bases) -> Option<u64> {
        match value {
            AttributeValue::Addr(address) => Some(*address),
            AttributeValue::DebugAddrIndex(index) => {
                let size = bases.encoding.address_size;
                self.addresses().get_address(size, bases.addresses, *index).ok()
            }
            _ => None,
        }
    }

    /// Ranges, first and behind the last address, as far as they are whole, and no more than `max`.
    pub(super) fn ranges(
        &'a self,
        value: &AttributeValue<Slice<'a>>,
        bases: &Bases,
        max: usize,
    ) -> Option<Vec<(u64, u64)>> {
        let lists = RangeLists::new(
            DebugRanges::from(EndianSlice::new(&self.ranges, self.endian)),
            DebugRngLists::from(EndianSlice::new(&self.range_lists, self.endian)),
        );
        let offset = match value {
            AttributeValue::RangeListsRef(offset) => RangeListsOffset(offset.0.checked_add(bases.ranges)?),
            AttributeValue::SecOffset(offset) => RangeListsOffset(offset.checked_add(bases.ranges)?),
            AttributeValue::DebugRngListsIndex(index) => {
                lists.get_offset(bases.encoding, bases.range_lists, *index).ok()?
            }
            _ => return None,
        };
        let list = lists.ranges(offset, bases.encoding, bases.low_pc, &self.addresses(), bases.addresses);
        let mut list = list.ok()?;
        let ranges = std::iter::from_fn(|| list.next().ok().flatten());
        Some(ranges.take(max).map(|range| (range.begin, range.end)).collect())
    }

    fn addresses(&'a self) -> DebugAddr<Slice<'a>> {
        DebugAddr::from(EndianSlice::new(&self.addresses, self.endian))
    }
}
