//! `.profraw`: LLVM's raw profile, as compiler-rt's runtime writes it and `llvm-profdata` reads it.
//!
//! What enters is an [`LlvmImage`] and the bytes of its regions; what leaves is a file's bytes, in the target's
//! byte order and pointer width.
//!
//! ```text
//! | header | binary ids | data records | pad | counters | pad | bitmap | pad | names | pad |
//!   u64s     v7 on                                            v9 on
//!
//! header:    | magic | version word | the version's fields, each a u64                         |
//! magic:     ff 6c 70 72 6f 66 72 81 with 64-bit pointers ("lprofr"), .. 52 .. with 32-bit ("lprofR"),
//!            most significant byte first
//! binary id: | u64 length | bytes | pad to 8 |
//! ```
//!
//! Every pad is to a multiple of 8. Version 11 has uniform counters and 10 and 11 have vtables after the
//! bitmap and the names; both are left out, with lengths of 0, and so is value profiling data after them. The
//! fields and records of each version are in the table of `src/locate/llvm/layout.rs`.
//!
//! Three styles:
//! - [`Style::Normalised`] depends on nothing but the image and the counts, so that the same run gives the same
//!   bytes wherever it was loaded. The sections are laid out anew, data at 0 with the counters right behind,
//!   and the bitmap behind those: `CountersDelta = n * stride`, and record `i` has `CounterPtr = n * stride +
//!   offset_i - i * stride`. That also keeps 32-bit differences from wrapping, which readers get wrong when
//!   metadata lies at address 0 and counters below it in the 2^32 circle. Function pointers and value sites
//!   are 0: with value sites and no value data, readers say "truncated profile data".
//! - [`Style::Transcoded`] is the same in another raw version.
//! - [`Style::RuntimeIdentical`] is what compiler-rt would write in the target, byte for byte.
//!
//! Source: `lprofWriteDataImpl` in `compiler-rt/lib/profile/InstrProfilingWriter.c` and `InstrProfData.inc`,
//! llvmorg-14.0.6 and llvmorg-19.1.7; `RawInstrProfReader` in `llvm/lib/ProfileData/InstrProfReader.cpp`.

mod records;
mod writer;

use crate::image::{Slide, wrap};
use crate::locate::llvm::{Correlation, CounterPtr, HeaderField, LlvmImage, RawVersion, Variant, relocated};
use crate::profile::llvm::{SnapshotError, split};

use records::Records;
pub use writer::Encoded;
use writer::{Header, Writer, binary_ids_size, pad};

/// How the bytes are chosen where the format leaves room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Independent of where the image was loaded.
    Normalised,
    /// As `Normalised`, in another raw version than the image's own, for a reader of another LLVM release.
    Transcoded {
        /// The version to write.
        version: RawVersion,
    },
    /// As the runtime writes it in a target where the image is loaded with this slide.
    RuntimeIdentical {
        /// How far the image was moved.
        slide: Slide,
    },
}

/// A profile cannot be written as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfrawError {
    /// The snapshot does not fit the image.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The version has no place for it.
    #[error("write the profile of {image} as raw version {version}: the version has no {what}")]
    NotInVersion {
        /// The image's name.
        image: String,
        /// The version's number.
        version: u64,
        /// What cannot be written.
        what: &'static str,
    },
    /// The runtime would write what is only in the target's heap.
    #[error("write the profile of {image} as its runtime does: {what} are not read from the target")]
    NotRead {
        /// The image's name.
        image: String,
        /// What is missing.
        what: &'static str,
    },
    /// What the runtime would write, no tool reads.
    #[error(
        "write the profile of {image} as its runtime does: for debug-info correlation runtimes up to LLVM 17 write \
         nothing, or what no tool reads"
    )]
    NoneByRuntime {
        /// The image's name.
        image: String,
    },
    /// Data, counters and bitmap do not fit into the address space of 32-bit pointers.
    #[error("write the profile of {image}: {len_bytes} bytes are more than its pointers reach")]
    TooLong {
        /// The image's name.
        image: String,
        /// The length of data, counters and bitmap together.
        len_bytes: u64,
    },
}

/// Writes a profile in the image's own raw version. `regions` is a snapshot of the regions that
/// [`locate`](crate::locate::llvm::locate) gave, in their order.
///
/// # Errors
///
/// The snapshot does not fit the image, or the style cannot be kept.
pub fn encode<R: AsRef<[u8]>>(
    image: &LlvmImage,
    regions: &[R],
    style: Style,
) -> Result<Vec<u8>, ProfrawError> {
    let file = encode_parts(image, regions, style)?;
    let mut bytes = Vec::with_capacity(file.len_bytes());
    // A vector takes all that it is given.
    let _ = file.write_to(&mut bytes);
    Ok(bytes)
}

/// [`encode`], without a copy of what is in the file as it is in the snapshot, and says where that is. Data records are made
/// when they are written.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_parts<'a, R: AsRef<[u8]>>(
    image: &'a LlvmImage,
    regions: &'a [R],
    style: Style,
) -> Result<Encoded<'a>, ProfrawError> {
    let (counters, bitmap) = split(image, regions)?;
    match style {
        Style::Normalised => normalised(image, counters, bitmap, image.version()),
        Style::Transcoded { version } => normalised(image, counters, bitmap, version),
        Style::RuntimeIdentical { slide } => runtime_identical(image, counters, bitmap, slide),
    }
}

/// [`encode`] with [`Style::Transcoded`].
///
/// # Errors
///
/// As [`encode`], or the version has no place for byte counters or bitmaps.
pub fn encode_as<R: AsRef<[u8]>>(
    image: &LlvmImage,
    regions: &[R],
    version: RawVersion,
) -> Result<Vec<u8>, ProfrawError> {
    encode(image, regions, Style::Transcoded { version })
}

/// Checks that profiles of the image can be written in this style, whatever its counters are.
///
/// # Errors
///
/// As [`encode`], without a snapshot.
pub fn check(image: &LlvmImage, style: Style) -> Result<(), ProfrawError> {
    match style {
        Style::Normalised => check_expressible(image, image.version()),
        Style::Transcoded { version } => check_expressible(image, version),
        Style::RuntimeIdentical { .. } => check_static(image),
    }
}

fn normalised<'a>(
    image: &'a LlvmImage,
    counters: &'a [u8],
    bitmap: &'a [u8],
    version: RawVersion,
) -> Result<Encoded<'a>, ProfrawError> {
    check_expressible(image, version)?;
    let stride = version.layout().record(image.pointer_width()).stride;
    let data_len = image.records().len().saturating_mul(stride);
    let bitmap_start = data_len.saturating_add(counters.len());
    let whole = bitmap_start.saturating_add(bitmap.len()) as u64;
    if wrap(whole, image.pointer_width()) != whole {
        return Err(ProfrawError::TooLong { image: image.name().to_owned(), len_bytes: whole });
    }
    let header = Header {
        version_word: version.number() | image.variant().without(Variant::CORRELATE).bits(),
        num_data: image.records().len() as u64,
        num_counters: (counters.len() / image.counter_bytes().max(1)) as u64,
        names_size: image.names_section().len() as u64,
        counters_delta: data_len as u64,
        bitmap_delta: bitmap_start as u64,
        names_delta: 0,
        ..lengths(image, counters.len(), bitmap.len())
    };
    let mut writer = Writer::new(image);
    writer.begin(version, &header);
    writer.records(Records { image, version, counters_start: data_len, bitmap_start });
    let counters_at = writer.len();
    writer.padded(counters);
    let bitmap_at = writer.len();
    writer.padded(bitmap);
    writer.padded(image.names_section());
    Ok(writer.finish([counters_at, bitmap_at]))
}

/// The fields that follow from the lengths of the parts.
fn lengths(image: &LlvmImage, counters_len: usize, bitmap_len: usize) -> Header {
    Header {
        binary_ids_size: binary_ids_size(image),
        pad_after_counters: pad(counters_len) as u64,
        num_bitmap_bytes: bitmap_len as u64,
        pad_after_bitmap: pad(bitmap_len) as u64,
        ..Header::default()
    }
}

fn check_expressible(image: &LlvmImage, version: RawVersion) -> Result<(), ProfrawError> {
    let missing = |what| {
        Err(ProfrawError::NotInVersion { image: image.name().to_owned(), version: version.number(), what })
    };
    if image.bitmap_len_bytes() > 0 && !version.layout().has(HeaderField::NumBitmapBytes) {
        return missing("MC/DC bitmaps");
    }
    if image.is_byte_coverage() && version < RawVersion::V8 {
        return missing("byte counters");
    }
    Ok(())
}

fn runtime_identical<'a>(
    image: &'a LlvmImage,
    counters: &'a [u8],
    bitmap: &'a [u8],
    slide: Slide,
) -> Result<Encoded<'a>, ProfrawError> {
    check_static(image)?;
    let (loaded, width) = (image.loaded(), image.pointer_width());
    let stride = image.version().layout().record(width).stride;
    // With correlation there are no data in the target's memory, and few names if any.
    let mut data = relocated(loaded, slide, image.endianness(), width).into_owned();
    if image.is_correlated() {
        data.clear();
    }
    let names = image.names_section().get(..loaded.names_len).unwrap_or_default();
    data.resize(data.len().next_multiple_of(stride), 0);
    let counter_bytes = image.counter_bytes().max(1);
    let counters_len = loaded.counters_len.next_multiple_of(counter_bytes);
    let header = Header {
        version_word: image.version().number() | image.variant().bits(),
        num_data: (data.len() / stride) as u64,
        num_counters: (counters_len / counter_bytes) as u64,
        names_size: names.len() as u64,
        ..deltas(image, slide, lengths(image, counters_len, bitmap.len()))
    };
    let mut writer = Writer::new(image);
    writer.begin(image.version(), &header);
    writer.part(data);
    let counters_at = writer.len();
    writer.part(counters);
    writer.zeros(counters_len.saturating_sub(counters.len()));
    writer.zeros(pad(counters_len));
    let bitmap_at = writer.len();
    writer.padded(bitmap);
    writer.padded(names);
    Ok(writer.finish([counters_at, bitmap_at]))
}

/// Refuses what the runtime would take from its heap.
fn check_static(image: &LlvmImage) -> Result<(), ProfrawError> {
    let not_read = |what| Err(ProfrawError::NotRead { image: image.name().to_owned(), what });
    if image.records().iter().any(|record| record.value_sites.iter().any(|sites| *sites > 0)) {
        return not_read("values");
    }
    if image.loaded().has_vtables {
        return not_read("vtables");
    }
    // Without the bit in the version word the runtime of LLVM 14 writes an empty file, and that of LLVM 16 one that its
    // reader refuses ("debug info for correlation is not necessary"). Since binary correlation came the bit is needless.
    let is_marked = image.variant().contains(Variant::CORRELATE) || image.version() > RawVersion::V8;
    if image.correlation() == Correlation::DebugInfo && !is_marked {
        return Err(ProfrawError::NoneByRuntime { image: image.name().to_owned() });
    }
    Ok(())
}

/// The distances between the sections as they are loaded. Where a section is absent, its address is 0, as that of
/// an undefined weak symbol.
fn deltas(image: &LlvmImage, slide: Slide, header: Header) -> Header {
    let (loaded, width) = (image.loaded(), image.pointer_width());
    let at = |address| slide.apply(address, width).get();
    let bitmap_at = loaded.bitmap_address.map_or(0, at);
    // Debug-info correlation leaves the names of functions that no unit uses, and with them the runtime takes the
    // distances from data that are not there.
    if image.is_correlated() && loaded.names_len == 0 {
        return Header { bitmap_delta: bitmap_at, ..header };
    }
    let data_at = if image.is_correlated() { 0 } else { at(loaded.data_address) };
    let counters_at = at(loaded.counters_address);
    let counters_delta = match image.version().layout().counter_ptr {
        CounterPtr::Absolute => counters_at,
        CounterPtr::Relative => wrap(counters_at.wrapping_sub(data_at), width),
    };
    Header {
        counters_delta,
        bitmap_delta: wrap(bitmap_at.wrapping_sub(data_at), width),
        names_delta: at(loaded.names_address),
        ..header
    }
}

#[cfg(test)]
mod tests;
