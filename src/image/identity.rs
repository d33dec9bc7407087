//! Whether what runs in a target is this image.
//!
//! What enters is an [`Image`], and later the bytes that a target has at the [`places`](Identity::places) that
//! the image's [`Identity`] names; what leaves is a [`Verdict`].
//!
//! What always holds:
//! - a build id that was found in the target decides, whatever else was read: linkers give every image its own;
//! - without one, samples of code and constants decide by a clear majority: [`NEEDED_QUARTERS`] of 4 must be
//!   equal. Not all, because some programs patch themselves (Linux: alternatives, ftrace, static calls), set
//!   breakpoints, or are being debugged; and not a bare half, because two builds of one program share much;
//! - bytes that a loader relocates are never sampled, and neither are runs of one repeated byte, which an
//!   erased or cleared memory has as well;
//! - of a kernel, addresses of its own are never sampled: it changes them itself when it goes elsewhere (KASLR), by a
//!   list that is not in the ELF; and neither is what it gives back once it is up (Linux: `__init`);
//! - what could not be read counts neither for nor against.

use std::fmt;
use std::ops::Range;

use covtap_link::{AddrRange, Endianness, PointerWidth};
use object::elf;

use super::{BuildId, Image, ImageAddr, Section, Slide, notes, uint};

/// How many samples are taken at most.
const MAX_SAMPLES: u64 = 64;

/// The length of a sample: long enough to tell builds apart, short enough to lie between patched sites.
const SAMPLE_BYTES: u64 = 16;

/// Shorter ones, at the end of a range, are left out.
const MIN_SAMPLE_BYTES: usize = 8;

/// What Linux gives back once it is up, and what it uses then for something else: from one symbol to the other.
const GIVEN_BACK: [[&str; 2]; 2] = [["__init_begin", "__init_end"], ["__smp_locks", "__smp_locks_end"]];

/// What Linux does not write any more once it is up, although its sections may be written.
const READ_ONLY: [[&str; 2]; 1] = [["__start_rodata", "__end_rodata"]];

/// How many quarters of the samples must be equal.
pub const NEEDED_QUARTERS: usize = 3;

/// A build id and the loaded note that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadedBuildId {
    /// The id in the file.
    pub id: BuildId,
    /// Where the note is loaded, with its header.
    pub address: ImageAddr,
    /// The whole note as the file has it.
    pub note: Vec<u8>,
}

/// What tells an image from others, in memory that programs do not write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The build id, where the image has one in loaded memory.
    pub build_id: Option<LoadedBuildId>,
    /// Bytes of code and constants, spread evenly.
    pub samples: Vec<(ImageAddr, Vec<u8>)>,
    /// Bytes that are in the file and never loaded, at the addresses that they would have if the file lay in memory
    /// as it is on disk, with most of the samples where they belong. So a loaded image is told from a copy of its file.
    pub unloaded: Vec<(ImageAddr, Vec<u8>)>,
    endianness: Endianness,
}

/// What the comparison came to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// The target has this build id.
    SameBuildId(BuildId),
    /// The target has another build id.
    OtherBuildId {
        /// The image's.
        expected: BuildId,
        /// The target's.
        found: BuildId,
    },
    /// No build id was found in the target, and enough samples are equal.
    SameBytes(Agreement),
    /// No build id was found in the target, and too few samples are equal.
    OtherBytes(Agreement),
    /// There was nothing to compare, or nothing of it could be read.
    Unknown,
}

/// How many samples are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// So many are equal.
    pub equal: usize,
    /// Of so many that were read.
    pub of: usize,
}

impl Agreement {
    /// Counts samples, for each whether it is equal.
    pub(crate) fn of(samples: impl Iterator<Item = bool>) -> Self {
        samples.fold(Self { equal: 0, of: 0 }, |sum, is_equal| Self {
            equal: sum.equal.saturating_add(usize::from(is_equal)),
            of: sum.of.saturating_add(1),
        })
    }

    /// Whether enough are equal for the same image; not if there is none.
    pub(crate) fn is_enough(self) -> bool {
        self.of > 0 && self.equal.saturating_mul(4) >= self.of.saturating_mul(NEEDED_QUARTERS)
    }
}

impl Verdict {
    /// Whether the target runs something else.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::OtherBuildId { .. } | Self::OtherBytes(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameBuildId(id) => write!(f, "the target has the build id {id}"),
            Self::OtherBuildId { expected, found } => {
                write!(f, "the target has the build id {found}, the image {expected}")
            }
            Self::SameBytes(Agreement { equal, of }) | Self::OtherBytes(Agreement { equal, of }) => {
                write!(f, "{equal} of {of} samples of code and constants are as in the image")
            }
            Self::Unknown => f.write_str("nothing could be compared with the target"),
        }
    }
}

impl Identity {
    /// Where the target is to be read, for [`compare`](Identity::compare), in its order. A place that wraps
    /// around the target's address space is `None`.
    pub fn places(&self, image: &Image, slide: Slide) -> Vec<Option<AddrRange>> {
        self.places_by(slide, image.pointer_width())
    }

    /// The same in a target with pointers of `width`.
    pub(crate) fn places_by(&self, slide: Slide, width: PointerWidth) -> Vec<Option<AddrRange>> {
        let note = self.build_id.iter().map(|build_id| (build_id.address, build_id.note.len()));
        let samples = self.samples.iter().map(|(addr, bytes)| (*addr, bytes.len()));
        note.chain(samples).map(|(addr, len)| AddrRange::new(slide.apply(addr, width), len as u64)).collect()
    }

    /// Compares what the target has at the [`places`](Identity::places), `None` for what could not be read.
    pub fn compare<B: AsRef<[u8]>>(&self, found: &[Option<B>]) -> Verdict {
        let mut found = found.iter().map(|bytes| bytes.as_ref().map(AsRef::as_ref));
        if let Some(expected) = &self.build_id {
            let note = found.next().flatten();
            // What is no build id note was overwritten or never loaded there; then the samples tell.
            let id =
                note.and_then(|note| notes::split_note(note, self.endianness)).and_then(|note| note.build_id);
            match id.map(BuildId::new) {
                Some(id) if id == expected.id => return Verdict::SameBuildId(id),
                Some(found) => return Verdict::OtherBuildId { expected: expected.id.clone(), found },
                None => {}
            }
        }
        let read = self.samples.iter().zip(found).filter_map(|((_, bytes), found)| Some((bytes, found?)));
        let agreement = Agreement::of(read.map(|(bytes, found)| bytes == found));
        if agreement.of == 0 {
            Verdict::Unknown
        } else if agreement.is_enough() {
            Verdict::SameBytes(agreement)
        } else {
            Verdict::OtherBytes(agreement)
        }
    }
}

impl Image {
    /// What tells this image from others in a target's memory.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let build_id = self.build_id_notes().into_iter().find_map(|note| {
            Some(LoadedBuildId { id: note.id, address: note.address?, note: note.note.to_vec() })
        });
        let samples = self.samples();
        let unloaded = self.unloaded(&samples);
        Identity { build_id, samples, unloaded, endianness: self.endianness() }
    }

    /// The beginnings of the ELF header and of sections that are not loaded, as [`Identity::unloaded`] has them.
    fn unloaded(&self, samples: &[(ImageAddr, Vec<u8>)]) -> Vec<(ImageAddr, Vec<u8>)> {
        const MAX_UNLOADED: usize = 8;
        let loads = || self.parts.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD);
        let holds = |start: u64, len: u64, at: u64| at.checked_sub(start).is_some_and(|offset| offset < len);
        let Some(main) = loads().max_by_key(|segment| {
            let is_in = |at: ImageAddr| holds(segment.address, segment.file_bytes, at.get());
            samples.iter().filter(|(addr, _)| is_in(*addr)).count()
        }) else {
            return Vec::new();
        };
        let sections = self.sections().filter(|section| !section.is_loaded() && !section.is_nobits());
        sections
            .map(|section| section.header.offset)
            .chain([0])
            .filter(|offset| !loads().any(|segment| holds(segment.offset, segment.file_bytes, *offset)))
            .filter_map(|offset| {
                let bytes = self.file_range(offset, SAMPLE_BYTES)?;
                let addr = main.address.wrapping_sub(main.offset).wrapping_add(offset);
                (!is_plain(bytes)).then(|| (ImageAddr::new(addr), bytes.to_vec()))
            })
            .take(MAX_UNLOADED)
            .collect()
    }

    /// Half of the samples from constants, which no program patches, and half from code, which differs most
    /// between builds.
    fn samples(&self) -> Vec<(ImageAddr, Vec<u8>)> {
        let (code, constants): (Vec<_>, Vec<_>) =
            self.constant_ranges().into_iter().partition(|range| range.is_code);
        let mut samples = self.spread(&constants);
        samples.extend(self.spread(&code));
        samples
    }

    fn spread(&self, ranges: &[ConstantRange]) -> Vec<(ImageAddr, Vec<u8>)> {
        const WANTED: u64 = MAX_SAMPLES / 2;
        let total = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.end - range.start));
        let step = (total / WANTED).max(SAMPLE_BYTES);
        (0..WANTED)
            .filter_map(|n| nth_byte(ranges, n.checked_mul(step)?))
            .filter_map(|(at, end)| self.sample(at, end))
            .collect()
    }

    fn sample(&self, at: u64, end: u64) -> Option<(ImageAddr, Vec<u8>)> {
        let addr = ImageAddr::new(at);
        let len = (end - at).min(SAMPLE_BYTES);
        let bytes = self.bytes_at(addr, len).filter(|bytes| bytes.len() >= MIN_SAMPLE_BYTES)?;
        // A relocated word may begin up to 7 bytes before.
        let before = ImageAddr::new(at.saturating_sub(7));
        let is_relocated = self.relocated_words(before, SAMPLE_BYTES + 7).next().is_some();
        (!is_plain(bytes) && !is_relocated && !self.has_own_address(at, len)).then(|| (addr, bytes.to_vec()))
    }

    /// Whether any part of the `len` bytes at `at` belongs to an address of the image itself: a whole one, or the lower
    /// half that instructions have. Only in the upper half of 64 bits, where kernels are, are addresses told from other
    /// numbers.
    fn has_own_address(&self, at: u64, len: u64) -> bool {
        const UPPER_HALF: u64 = 1 << 63;
        let loads = self.parts.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD);
        let own: Vec<_> = loads.filter(|segment| segment.address >= UPPER_HALF).collect();
        if own.is_empty() {
            return false;
        }
        let holds = |value: u64| {
            own.iter().any(|s| value.checked_sub(s.address).is_some_and(|offset| offset < s.memory_bytes))
        };
        // One may begin before the sample, and end behind it.
        let around = self.bytes_at(ImageAddr::new(at.saturating_sub(7)), len.saturating_add(14));
        let bytes = around.or_else(|| self.bytes_at(ImageAddr::new(at), len)).unwrap_or_default();
        let number = |bytes: &[u8]| uint(bytes, self.endianness());
        bytes.windows(8).any(|whole| holds(number(whole)))
            || bytes.windows(4).any(|half| holds(number(half) | u64::MAX << 32))
    }

    /// From one symbol to another, for each pair of those that the image has.
    fn between(&self, symbols: &[[&str; 2]]) -> Vec<Range<u64>> {
        let at = |name| self.symbol(name).map(|symbol| symbol.address.get());
        symbols.iter().filter_map(|[start, end]| Some(at(start)?..at(end)?)).collect()
    }

    /// The loaded ranges that the program does not write.
    ///
    /// Sections tell more than segments: bare-metal linker scripts often make one segment of everything, readable,
    /// writable and executable. Segments serve an image without section headers.
    fn constant_ranges(&self) -> Vec<ConstantRange> {
        let [given_back, read_only] = [&GIVEN_BACK[..], &READ_ONLY].map(|symbols| self.between(symbols));
        let is_in = |ranges: &[Range<u64>], section: &Section<'_>| {
            ranges.iter().any(|range| range.contains(&section.header.address))
        };
        let of_sections: Vec<ConstantRange> = self
            .sections()
            .filter(|section| section.header.kind == elf::SHT_PROGBITS)
            .filter(|section| section.is_loaded() && !is_in(&given_back, section))
            .filter(|section| !section.is_writable() || is_in(&read_only, section))
            .filter_map(|s| ConstantRange::new(s.header.address, s.header.size, s.is_executable()))
            .collect();
        if !of_sections.is_empty() {
            return of_sections;
        }
        let segments = self.parts.segments.iter();
        segments
            .filter(|segment| segment.kind == elf::PT_LOAD && !segment.is_writable)
            .filter_map(|s| ConstantRange::new(s.address, s.file_bytes, s.is_executable))
            .collect()
    }
}

/// Whether it is one byte over and over.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| bytes.first() == Some(byte))
}

/// Loaded bytes that the program does not write; never empty.
struct ConstantRange {
    start: u64,
    end: u64,
    is_code: bool,
}

impl ConstantRange {
    fn new(start: u64, len: u64, is_code: bool) -> Option<Self> {
        start.checked_add(len).filter(|_| len > 0).map(|end| Self { start, end, is_code })
    }
}

/// The address of the `n`-th byte of all ranges, with the end of the range that it is in.
fn nth_byte(ranges: &[ConstantRange], mut n: u64) -> Option<(u64, u64)> {
    for range in ranges {
        let len = range.end - range.start;
        if n < len {
            return Some((range.start + n, range.end));
        }
        n -= len;
    }
    None
}
