//! The bytes that a target begins with, by address: what the file has, with the loader's changes; or what was read
//! from a target that runs.
//!
//! What enters is an [`Image`] or [`Piece`]s; what leaves is words and pointers at a [`Place`]. What always holds:
//! nothing is read beyond the section, segment or piece that a place is in.

use covtap_link::{Endianness, PointerWidth, TargetAddr};

use super::layout::Version;
use crate::image::{Image, ImageAddr, Loaded, uint, wrap};
use crate::locate::llvm;

/// How much is looked through at once for anything like a version, without a branch for each word.
const BLOCK_BYTES: usize = 64;

/// A part of a target's memory, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The address of its first byte, as the target's own pointers have it.
    pub start: TargetAddr,
    /// What is there.
    pub bytes: &'a [u8],
    /// Whether the target may write it: `true` where that is not known.
    pub is_writable: bool,
}

/// The section of pointers to gcov's structures (`-fprofile-info-section`), which a linker script may also use for the
/// structures themselves.
pub(super) const INFO_SECTION: &str = ".gcov_info";

/// An address in one of two spaces: the target's memory, or a `.gcov_info` that is never loaded. The linker gives
/// that one addresses from 0 on, which the target may have for something else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    is_aside: bool,
    address: u64,
}

impl Place {
    /// The address `address` of the target's memory.
    pub(super) fn loaded(address: u64) -> Self {
        Self { is_aside: false, address }
    }

    pub(super) fn address(self) -> u64 {
        self.address
    }

    pub(super) fn before(self, len_bytes: u64) -> Option<Self> {
        Some(Self { address: self.address.checked_sub(len_bytes)?, ..self })
    }

    pub(super) fn after(self, len_bytes: u64) -> Option<Self> {
        Some(Self { address: self.address.checked_add(len_bytes)?, ..self })
    }
}

/// What a pointer is when the program starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointer {
    /// It points nowhere.
    Null,
    /// To this address of the image.
    To(u64),
    /// To something that the loader finds elsewhere.
    Elsewhere,
}

impl Pointer {
    pub(super) fn address(self) -> Option<u64> {
        match self {
            Self::To(address) => Some(address),
            Self::Null | Self::Elsewhere => None,
        }
    }
}

/// Memory that is in one piece.
#[derive(Clone, Copy, Debug)]
struct Run<'a> {
    start: u64,
    /// The first address behind it.
    end: u64,
    content: Content<'a>,
    is_writable: bool,
}

/// What is known of a run, from its start on.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Known(&'a [u8]),
    /// A section that no structure is in: it is read only if one points there. That is code, beside which linker scripts
    /// may put constants, and so the names of files; and LLVM's counters, of which there may be many.
    OnDemand(Loaded<'a>),
}

impl<'a> Run<'a> {
    fn bytes(&self) -> &'a [u8] {
        match &self.content {
            Content::Known(bytes) => bytes,
            Content::OnDemand(loaded) => loaded.bytes(),
        }
    }

    /// What may have structures in it.
    fn scanned(&self) -> &'a [u8] {
        match &self.content {
            Content::Known(bytes) => bytes,
            Content::OnDemand(_) => &[],
        }
    }
}

/// What is loaded, and what is not loaded and has structures all the same.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    endianness: Endianness,
    pointer_width: PointerWidth,
    /// What the loader makes of the runs' words, where they are a file's.
    image: Option<&'a Image>,
    /// By address, none of which overlap.
    runs: Vec<Run<'a>>,
    aside: Option<(u64, &'a [u8])>,
}

impl<'a> Memory<'a> {
    pub(super) fn of(image: &'a Image) -> Self {
        let counters = image.section(llvm::COUNTERS).map(|section| section.address().get());
        let has_none = |run: &Loaded<'a>| run.is_code || counters == Some(run.start);
        let content = |run| if has_none(&run) { Content::OnDemand(run) } else { Content::Known(run.bytes()) };
        let run = |run: Loaded<'a>| Run {
            start: run.start,
            end: run.end(),
            content: content(run),
            is_writable: run.is_writable,
        };
        let aside = image.section(INFO_SECTION).filter(|section| !section.is_loaded());
        Self {
            endianness: image.endianness(),
            pointer_width: image.pointer_width(),
            image: Some(image),
            runs: image.loaded().into_iter().map(run).collect(),
            aside: aside.map(|s| (s.address().get(), s.file_bytes().unwrap_or_default())),
        }
    }

    /// Of pieces that overlap only the first is there.
    pub(super) fn of_pieces(
        pieces: &[Piece<'a>],
        endianness: Endianness,
        pointer_width: PointerWidth,
    ) -> Self {
        let run = |piece: &Piece<'a>| {
            let start = piece.start.get();
            let end = start.saturating_add(piece.bytes.len() as u64);
            Run { start, end, content: Content::Known(piece.bytes), is_writable: piece.is_writable }
        };
        let mut runs: Vec<_> = pieces.iter().map(run).filter(|run| run.start < run.end).collect();
        runs.sort_by_key(|run| run.start);
        runs.dedup_by(|next, kept| next.start < kept.end);
        Self { endianness, pointer_width, image: None, runs, aside: None }
    }

    /// How much there is to read, in bytes: of a file all of it.
    pub(super) fn len_bytes(&self) -> u64 {
        let known = || self.runs.iter().map(|run| run.scanned().len() as u64).fold(0, u64::saturating_add);
        self.image.map_or_else(known, Image::file_len_bytes)
    }

    /// The width of a pointer in bytes.
    pub(super) fn pointer_bytes(&self) -> u64 {
        self.pointer_width.bytes() as u64
    }

    /// All places whose address is a multiple of 4 and that have the word of a version: before the loader's changes,
    /// which are of no interest to words that are no pointers.
    pub(super) fn versions(&self) -> impl Iterator<Item = (Place, Version)> {
        let loaded = self.runs.iter().map(|run| (false, run.start, run.scanned()));
        let aside = self.aside.iter().map(|(start, bytes)| (true, *start, *bytes));
        loaded.chain(aside).flat_map(move |(is_aside, start, bytes)| {
            let skipped = start.wrapping_neg() % 4;
            let aligned = bytes.get(usize::try_from(skipped).unwrap_or(0)..).unwrap_or_default();
            let first = start.saturating_add(skipped);
            let blocks = (0u64..).step_by(BLOCK_BYTES).zip(aligned.chunks(BLOCK_BYTES));
            blocks.filter(|(_, block)| may_have_version(block)).flat_map(move |(offset, block)| {
                let words = (offset..).step_by(4).zip(block.chunks_exact(4));
                words.filter_map(move |(offset, word)| {
                    let place = Place { is_aside, address: first.saturating_add(offset) };
                    Some((place, Version::from_word(self.number(word))?))
                })
            })
        })
    }

    fn number(&self, bytes: &[u8]) -> u32 {
        let bytes = bytes.try_into().unwrap_or_default();
        match self.endianness {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The places that may be meant by an address of a structure, the likelier one first.
    pub(super) fn places(&self, address: u64) -> impl Iterator<Item = Place> {
        let both = [true, false].map(|is_aside| Place { is_aside, address });
        both.into_iter().filter(|place| !self.rest(*place).is_empty())
    }

    /// What the file has from a place to the end of what that is in.
    pub(super) fn rest(&self, at: Place) -> &'a [u8] {
        let (start, bytes) = match (at.is_aside, self.aside) {
            (true, Some(aside)) => aside,
            (true, None) => return &[],
            (false, _) => match self.run(at.address) {
                Some(run) => (run.start, run.bytes()),
                None => return &[],
            },
        };
        let offset = at.address.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| bytes.get(offset..)).unwrap_or_default()
    }

    fn run(&self, address: u64) -> Option<&Run<'a>> {
        let after = self.runs.partition_point(|run| run.start <= address);
        self.runs.get(after.checked_sub(1)?).filter(|run| address < run.end)
    }

    /// Whether the program may write all of it.
    pub(super) fn is_writable(&self, address: u64, len_bytes: u64) -> bool {
        let end = address.checked_add(len_bytes);
        let run = self.run(address).filter(|run| run.is_writable);
        run.zip(end).is_some_and(|(run, end)| end <= run.end)
    }

    pub(super) fn u32(&self, at: Place) -> Option<u32> {
        self.rest(at).get(..4).map(|bytes| self.number(bytes))
    }

    pub(super) fn pointer(&self, at: Place) -> Option<Pointer> {
        let bytes = self.rest(at).get(..self.pointer_width.bytes())?;
        let known = |value| if value == 0 { Pointer::Null } else { Pointer::To(value) };
        Some(match self.relocated(at) {
            Some(Some(value)) => known(wrap(value.get(), self.pointer_width)),
            Some(None) => Pointer::Elsewhere,
            None => known(uint(bytes, self.endianness)),
        })
    }

    /// What the loader makes of the word there, if it changes it.
    fn relocated(&self, at: Place) -> Option<Option<ImageAddr>> {
        let image = self.image.filter(|_| !at.is_aside)?;
        image.relocated_words(ImageAddr::new(at.address), 1).next().map(|(_, value)| value)
    }

    /// The pointers in `.gcov_info`, where that is loaded.
    pub(super) fn listed(&self) -> impl Iterator<Item = u64> {
        let section = self.image.and_then(|image| image.section(INFO_SECTION));
        let range = section.filter(|section| section.is_loaded()).map_or(0..0, |s| {
            let start = s.address().get();
            start..start.saturating_add(s.data_len_bytes().min(self.len_bytes()))
        });
        let step = usize::try_from(self.pointer_bytes()).unwrap_or(8);
        range.step_by(step).filter_map(|address| self.pointer(Place::loaded(address))?.address())
    }
}

/// Whether any of the words has digits in the middle, as those of versions have in both byte orders.
fn may_have_version(block: &[u8]) -> bool {
    let [mask, digits] = [[0, 0xf0, 0xf0, 0], [0, 0x30, 0x30, 0]].map(u32::from_ne_bytes);
    let (words, _) = block.as_chunks();
    words.iter().fold(false, |has, word| has | (u32::from_ne_bytes(*word) & mask == digits))
}

/// Reads a structure field by field, each aligned by its width.
#[derive(Clone, Debug)]
pub(super) struct Fields<'m, 'a> {
    memory: &'m Memory<'a>,
    at: Place,
    offset: u64,
}

impl<'m, 'a> Fields<'m, 'a> {
    pub(super) fn new(memory: &'m Memory<'a>, at: Place) -> Self {
        Self { memory, at, offset: 0 }
    }

    /// Goes to where a structure with a pointer in it begins, if it is not there already.
    pub(super) fn align(&mut self) -> Option<()> {
        self.offset = self.offset.checked_next_multiple_of(self.memory.pointer_bytes())?;
        Some(())
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let at = self.next(4)?;
        self.memory.u32(at)
    }

    pub(super) fn pointer(&mut self) -> Option<Pointer> {
        let at = self.next(self.memory.pointer_bytes())?;
        self.memory.pointer(at)
    }

    fn next(&mut self, len_bytes: u64) -> Option<Place> {
        let offset = self.offset.checked_next_multiple_of(len_bytes)?;
        self.offset = offset.checked_add(len_bytes)?;
        self.at.after(offset)
    }
}
