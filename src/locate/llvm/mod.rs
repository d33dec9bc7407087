//! LLVM's counters: which bytes of a target they are, and what they count.
//!
//! What enters is an [`Image`] and its [`Slide`]; what leaves is the [`CounterRegion`]s to read from the target
//! and an [`LlvmImage`], the static side, which a profile needs beside the counters and which never changes at
//! run time. Metadata is taken from the file, never from the target: it may lie in sections that are not
//! loaded at all.
//!
//! What always holds: every record's counters and bitmap lie inside the regions; see
//! [`DataRecord`].

mod debug_info;
mod error;
mod layout;
mod names;
mod records;
mod sections;
mod signature;
mod version;
mod zlib;

use std::borrow::Cow;

use covtap_link::{AddrRange, Endianness, PointerWidth};

use super::{BiasWord, CounterRegion, MergeRule};
use crate::image::{BuildId, Image, ImageAddr, Slide, Symbol};

pub(crate) use debug_info::each_unit;
pub use error::LocateError;
pub(crate) use layout::{CounterPtr, HeaderField, Layout, RecordLayout, magic, version_number};
pub use layout::{RawVersion, Variant};
pub use names::{NameRef, Names};
pub use records::DataRecord;

pub(crate) use version::VERSION_SYMBOL;
pub(crate) use zlib::TextBudget;

use records::Surroundings;
pub(in crate::locate) use sections::COUNTERS;
use sections::{Found, Sections, Told};

/// A region larger than this belongs to a damaged file: no program has a gibibyte of counters.
const MAX_REGION_BYTES: u64 = 1 << 30;

/// What was found in an image.
#[derive(Clone, Debug)]
pub struct Located {
    /// The counters; then, where the image has MC/DC bitmaps, the bitmaps.
    pub regions: Vec<CounterRegion>,
    /// What they count.
    pub image: LlvmImage,
    /// What is to be known about the result.
    pub cautions: Vec<Caution>,
}

/// Something that the image alone cannot settle.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Caution {
    /// The compiler also profiles values (call targets, sizes), which are not read.
    ValueSitesNotRead,
    /// Counters of IR-level instrumentation may be kept in registers while a loop runs and stored when it ends: clang and
    /// rustc promote them wherever they optimise, unless updates are atomic (which clang heeds from 19 on) or
    /// `-do-counter-promotion=false` was given; the image does not tell. Front-end counters are stored at every step.
    StoredAfterLoops,
    /// The code counts as far from the sections as a variable in the target says
    /// (`-runtime-counter-relocation`), which is read with every snapshot. A function looks there when it is entered,
    /// and counts at the old place until it returns (`InstrProfiling.cpp`: "Bias doesn't change after startup").
    RelocatedAtRunTime,
    /// Debug information does not tell of all counters what they count: it is missing for part of the program, or the
    /// compiler left it out.
    UnknownCounters,
    /// There are MC/DC bitmaps, and debug information does not tell whose they are, up to LLVM 19 at least.
    UnknownBitmaps,
    /// Debug information tells what is counted, and no compiler that is known here is named: the raw version is
    /// assumed.
    AssumedVersion,
}

/// Where an image has what its counters count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Correlation {
    /// Data and names are loaded.
    None,
    /// Data and names are in sections that are never loaded (`-profile-correlate=binary`).
    Binary,
    /// There are no data and names, only debug information (`-profile-correlate=debug-info`, up to LLVM 17
    /// `-debug-info-correlate`).
    DebugInfo,
}

/// The static side of an image's profile.
#[derive(Clone, Debug)]
pub struct LlvmImage {
    name: String,
    version: RawVersion,
    variant: Variant,
    endianness: Endianness,
    pointer_width: PointerWidth,
    records: Vec<DataRecord>,
    counter_bytes: usize,
    counters_len: usize,
    bitmap_len: usize,
    names: Names,
    names_section: Vec<u8>,
    binary_ids: Vec<BuildId>,
    loaded: LoadedSections,
}

/// The sections as the profiling runtime sees them, for a profile that is byte-identical to its own.
#[derive(Clone, Debug)]
pub(crate) struct LoadedSections {
    /// The data section's bytes in the file.
    pub(crate) data: Vec<u8>,
    /// The pointers in it that the loader changes: offset, and value before the slide if it is known.
    pub(crate) pointers: Vec<(usize, Option<ImageAddr>)>,
    pub(crate) data_address: ImageAddr,
    pub(crate) counters_address: ImageAddr,
    /// The section's length, which the runtime rounds up to whole counters.
    pub(crate) counters_len: usize,
    pub(crate) bitmap_address: Option<ImageAddr>,
    pub(crate) names_address: ImageAddr,
    /// How much of [`LlvmImage::names_section`] the target has.
    pub(crate) names_len: usize,
    pub(crate) correlation: Correlation,
    pub(crate) has_vtables: bool,
    pub(crate) num_value_nodes: u64,
}

impl LlvmImage {
    /// What messages call the image.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The raw version that the image's compiler and its tools speak.
    #[must_use]
    pub fn version(&self) -> RawVersion {
        self.version
    }

    /// The version word's other bits.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Whether a counter is one byte, 0xff until its code runs, 0 afterwards.
    #[must_use]
    pub fn is_byte_coverage(&self) -> bool {
        self.counter_bytes == 1
    }

    /// The order of the bytes in a counter.
    #[must_use]
    pub fn endianness(&self) -> Endianness {
        self.endianness
    }

    /// The width of a pointer.
    #[must_use]
    pub fn pointer_width(&self) -> PointerWidth {
        self.pointer_width
    }

    /// The instrumented functions, in the data section's order.
    #[must_use]
    pub fn records(&self) -> &[DataRecord] {
        &self.records
    }

    /// The functions' names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names section as it is in the file, or as it would be, encoded.
    #[must_use]
    pub fn names_section(&self) -> &[u8] {
        &self.names_section
    }

    /// The image's build ids, by which tools match a profile to its binary.
    #[must_use]
    pub fn binary_ids(&self) -> &[BuildId] {
        &self.binary_ids
    }

    /// The width of a counter in bytes: 8, or 1 for byte coverage.
    #[must_use]
    pub fn counter_bytes(&self) -> usize {
        self.counter_bytes
    }

    /// The length of the counters region in bytes.
    #[must_use]
    pub fn counters_len_bytes(&self) -> usize {
        self.counters_len
    }

    /// The length of the bitmap region in bytes, 0 where there is none.
    #[must_use]
    pub fn bitmap_len_bytes(&self) -> usize {
        self.bitmap_len
    }

    /// Where the image has what its counters count.
    #[must_use]
    pub fn correlation(&self) -> Correlation {
        self.loaded.correlation
    }

    /// Whether data and names are not in the target's memory, and so not in its runtime's profile.
    #[must_use]
    pub fn is_correlated(&self) -> bool {
        self.correlation() != Correlation::None
    }

    pub(crate) fn loaded(&self) -> &LoadedSections {
        &self.loaded
    }
}

/// Finds the counters of an image that is loaded with `slide`, and what they count.
///
/// # Errors
///
/// The image is not instrumented, or in a way that is not read here, or its metadata is damaged; the variants
/// of [`LocateError`] say which.
pub fn locate(image: &Image, slide: Slide) -> Result<Located, LocateError> {
    let sections = Sections::find(image)?;
    let (llvm_image, mut cautions) = match &sections.told {
        Some(told) => (static_side(image, &sections, told)?, Vec::new()),
        None => debug_info::static_side(image, &sections)?,
    };
    let regions = regions(image, slide, &sections, &llvm_image)?;
    cautions.splice(0..0, self::cautions(&llvm_image, &regions));
    Ok(Located { cautions, regions, image: llvm_image })
}

/// The names of an image's functions, whether or not its counters can be understood.
///
/// # Errors
///
/// It has none, or they are damaged.
pub fn names(image: &Image) -> Result<Names, LocateError> {
    match sections::names(image)? {
        sections::Names::Section(found) => decode_names(image, found.name, found.bytes(image)?),
        sections::Names::OfCounters(counters) => debug_info::names(image, &counters),
    }
}

fn decode_names(image: &Image, section: &str, bytes: &[u8]) -> Result<Names, LocateError> {
    Names::decode(bytes).map_err(|fault| LocateError::Names {
        image: image.name().to_owned(),
        section: section.to_owned(),
        offset: fault.offset,
        detail: fault.detail,
    })
}

fn static_side(image: &Image, sections: &Sections<'_>, told: &Told<'_>) -> Result<LlvmImage, LocateError> {
    let names_section = told.names.bytes(image)?.to_vec();
    let names = decode_names(image, told.names.name, &names_section)?;
    let loaded = loaded_sections(image, sections, told, names_section.len())?;
    let bitmap_len = bitmap_len(image, sections)?;
    let around = Surroundings {
        bytes: &relocated(&loaded, Slide::ZERO, image.endianness(), image.pointer_width()),
        data_address: loaded.data_address.get(),
        counters_address: loaded.counters_address.get(),
        counters_len: loaded.counters_len,
        bitmap_address: loaded.bitmap_address.map_or(0, ImageAddr::get),
        bitmap_len,
        names: &names,
        endianness: image.endianness(),
        width: image.pointer_width(),
        is_correlated: told.is_correlated,
    };
    let inferred = version::infer(version::stated(image), &image.producers(), &around)
        .map_err(|fault| version::error(fault, image, told.data.name))?;
    if inferred.records.is_empty() {
        return Err(LocateError::NoData { image: image.name().to_owned() });
    }
    let counter_bytes = inferred.reading.counter_bytes;
    check_in_file(image, &sections.counters, counter_bytes)?;
    Ok(LlvmImage {
        name: image.name().to_owned(),
        version: inferred.reading.version,
        variant: inferred.variant,
        endianness: image.endianness(),
        pointer_width: image.pointer_width(),
        records: inferred.records,
        counter_bytes,
        counters_len: loaded.counters_len - loaded.counters_len % counter_bytes,
        bitmap_len,
        names,
        names_section,
        binary_ids: image.build_ids(),
        loaded,
    })
}

/// Byte counters that begin at 0 would all look covered.
fn check_in_file(image: &Image, counters: &Found<'_>, counter_bytes: usize) -> Result<(), LocateError> {
    if counter_bytes == 1 && !counters.is_in_file {
        let (image, section) = (image.name().to_owned(), counters.name.to_owned());
        return Err(LocateError::ByteCountersNotInFile { image, section });
    }
    Ok(())
}

fn bitmap_len(image: &Image, sections: &Sections<'_>) -> Result<usize, LocateError> {
    sections.bitmap.as_ref().map_or(Ok(0), |bitmap| len(image, bitmap))
}

fn loaded_sections(
    image: &Image,
    sections: &Sections<'_>,
    told: &Told<'_>,
    names_len: usize,
) -> Result<LoadedSections, LocateError> {
    let data = told.data.bytes(image)?.to_vec();
    let address = told.data.address;
    let pointers = if told.is_correlated {
        Vec::new()
    } else {
        let words = image.relocated_words(address, told.data.len_bytes);
        words
            .filter_map(|(at, value)| {
                Some((usize::try_from(at.get().checked_sub(address.get())?).ok()?, value))
            })
            .collect()
    };
    Ok(LoadedSections {
        data,
        pointers,
        data_address: address,
        counters_address: sections.counters.address,
        counters_len: len(image, &sections.counters)?,
        bitmap_address: sections.bitmap.as_ref().map(|bitmap| bitmap.address),
        names_address: told.names.address,
        names_len: if told.is_correlated { 0 } else { names_len },
        correlation: if told.is_correlated { Correlation::Binary } else { Correlation::None },
        has_vtables: sections.vtables.is_some(),
        num_value_nodes: signature::num_value_nodes(image),
    })
}

/// The data section as a loader leaves it in memory.
pub(crate) fn relocated(
    loaded: &LoadedSections,
    slide: Slide,
    endianness: Endianness,
    width: PointerWidth,
) -> Cow<'_, [u8]> {
    if loaded.pointers.is_empty() {
        return Cow::Borrowed(&loaded.data);
    }
    let mut data = loaded.data.clone();
    for (offset, value) in &loaded.pointers {
        let Some(value) = value else { continue };
        let value = slide.apply(*value, width).get();
        let slot = offset.checked_add(width.bytes()).and_then(|end| data.get_mut(*offset..end));
        if let Some(slot) = slot {
            put_uint(slot, value, endianness);
        }
    }
    Cow::Owned(data)
}

/// Fills `slot`, at most 8 bytes, with the low bytes of `value`.
pub(crate) fn put_uint(slot: &mut [u8], value: u64, endianness: Endianness) {
    let bytes = value.to_le_bytes();
    let low = bytes.iter().take(slot.len());
    match endianness {
        Endianness::Little => slot.iter_mut().zip(low).for_each(|(to, from)| *to = *from),
        Endianness::Big => slot.iter_mut().rev().zip(low).for_each(|(to, from)| *to = *from),
    }
}

fn len(image: &Image, found: &Found<'_>) -> Result<usize, LocateError> {
    let too_long = || LocateError::NoRange {
        image: image.name().to_owned(),
        section: found.name.to_owned(),
        start: Slide::ZERO.apply(found.address, image.pointer_width()),
        len_bytes: found.len_bytes,
    };
    if found.len_bytes > MAX_REGION_BYTES {
        return Err(too_long());
    }
    usize::try_from(found.len_bytes).map_err(|_| too_long())
}

fn cautions(image: &LlvmImage, regions: &[CounterRegion]) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if image.records.iter().any(|record| record.value_sites.iter().any(|sites| *sites > 0)) {
        cautions.push(Caution::ValueSitesNotRead);
    }
    if image.variant.contains(Variant::IR_LEVEL) {
        cautions.push(Caution::StoredAfterLoops);
    }
    if regions.iter().any(|region| region.bias.is_some()) {
        cautions.push(Caution::RelocatedAtRunTime);
    }
    cautions
}

fn regions(
    image: &Image,
    slide: Slide,
    sections: &Sections<'_>,
    llvm_image: &LlvmImage,
) -> Result<Vec<CounterRegion>, LocateError> {
    let region = |found: &Found<'_>, len_bytes: usize, element_bytes, merge, bias: Option<Symbol<'_>>| {
        Ok::<_, LocateError>(CounterRegion {
            range: range(image, slide, found.name, found.address, len_bytes as u64)?,
            element_bytes,
            endianness: image.endianness(),
            pointer_width: image.pointer_width(),
            merge,
            bias: bias.map(|symbol| bias_word(image, slide, &symbol)).transpose()?,
            name: found.name.into(),
        })
    };
    let merge = if llvm_image.is_byte_coverage() { MergeRule::ClearedWhenHit } else { MergeRule::Add };
    let (len, width) = (llvm_image.counters_len, llvm_image.counter_bytes);
    let mut regions = vec![region(&sections.counters, len, width, merge, sections::counter_bias(image))?];
    if let Some(bitmap) = &sections.bitmap {
        let bias = sections::bitmap_bias(image);
        regions.push(region(bitmap, llvm_image.bitmap_len, 1, MergeRule::BitmapOr, bias)?);
    }
    Ok(regions)
}

/// The compiler's variable has eight bytes for every target and its code adds as many of them as a pointer has; a
/// runtime's has the length of a pointer. (`InstrProfiling.cpp`, `InstrProfilingFile.c`, llvmorg-19.1.7)
fn bias_word(image: &Image, slide: Slide, symbol: &Symbol<'_>) -> Result<BiasWord, LocateError> {
    let len_bytes = if symbol.len_bytes == 4 { 4 } else { 8 };
    Ok(BiasWord {
        range: range(image, slide, symbol.name, symbol.address, len_bytes)?,
        endianness: image.endianness(),
        pointer_width: image.pointer_width(),
    })
}

/// A range of the target's memory, checked.
fn range(
    image: &Image,
    slide: Slide,
    name: &str,
    address: ImageAddr,
    len_bytes: u64,
) -> Result<AddrRange, LocateError> {
    let width = image.pointer_width();
    let start = slide.apply(address, width);
    AddrRange::new(start, len_bytes).filter(|range| fits(*range, width)).ok_or_else(|| LocateError::NoRange {
        image: image.name().to_owned(),
        section: name.to_owned(),
        start,
        len_bytes,
    })
}

/// Whether a range lies in the address space of pointers of `width`.
fn fits(range: AddrRange, width: PointerWidth) -> bool {
    match width {
        PointerWidth::Bits32 => range.end().get() <= 1 << 32,
        PointerWidth::Bits64 => true,
    }
}

#[cfg(test)]
mod tests;
