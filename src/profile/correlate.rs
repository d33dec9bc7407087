//! Raw profiles without records: binary and debug-info correlation keep the records out of the target's memory, and so
//! out of what its runtime writes.
//!
//! What enters is the counters of such a profile and the images that they may be of; what leaves is a
//! [`StoredProfile`], as `llvm-profdata merge --binary-file` or `--debug-info` makes it.
//!
//! What always holds: the counters are those of an image that has as many of them, of the same kind and for the same
//! kind of target, and the same build id where both have one. If several images do, none is taken.
//!
//! Source: `RawInstrProfReader::readHeader` and `BinaryInstrProfCorrelator` in `llvm/lib/ProfileData`, llvmorg-19.1.7,
//! which compare no lengths and no build ids.

use covtap_link::{Endianness, PointerWidth};

use super::cursor::Cursor;
use super::llvm::LlvmProfile;
use super::stored::StoredProfile;
use crate::locate::llvm::{LlvmImage, Variant};

/// What a raw profile has without records.
pub(super) struct Counters<'b> {
    pub(super) variant: Variant,
    pub(super) endianness: Endianness,
    pub(super) width: PointerWidth,
    pub(super) binary_ids: &'b [u8],
    pub(super) counters: &'b [u8],
    pub(super) bitmap: &'b [u8],
}

/// Gives the counters the names of the image that they are of.
pub(super) fn correlate(alone: &Counters<'_>, images: &[&LlvmImage]) -> Result<StoredProfile, String> {
    if images.is_empty() {
        return Err(
            "the profile has only counters; its functions are in the binary or its debug information".into(),
        );
    }
    let mut fitting = images.iter().filter(|image| alone.fits(image));
    let (counters, bitmap) = (alone.counters.len(), alone.bitmap.len());
    let what = format!("{counters} bytes of counters and {bitmap} of bitmap without functions");
    let image =
        fitting.next().ok_or_else(|| format!("the profile has {what}, which fit no program given"))?;
    if fitting.next().is_some() {
        return Err(format!("the profile has {what}, which fit several programs given"));
    }
    // The runtime rounds up to whole counters what a linker may have left odd.
    let counters = alone.counters.get(..image.counters_len_bytes()).unwrap_or_default();
    let counts = LlvmProfile::new(image, &[counters, alone.bitmap]).map_err(|error| error.to_string())?;
    let mut profile = StoredProfile::new(alone.variant);
    for function in counts.functions() {
        let name = image.names().get(function.name_ref);
        let name = name.ok_or_else(|| format!("no name has the reference {}", function.name_ref))?;
        let (counts, bitmap) = (function.counts.to_vec(), function.bitmap.to_vec());
        profile.add_known(name, function.name_ref, function.func_hash, counts, bitmap);
    }
    for record in image.records() {
        profile.leave_out_value_sites(record.value_sites.iter().map(|sites| u64::from(*sites)).sum());
    }
    Ok(profile)
}

impl Counters<'_> {
    fn fits(&self, image: &LlvmImage) -> bool {
        let is_byte_coverage = self.variant.contains(Variant::BYTE_COVERAGE);
        let more = self.counters.len().checked_sub(image.counters_len_bytes());
        (image.endianness(), image.pointer_width(), image.is_byte_coverage())
            == (self.endianness, self.width, is_byte_coverage)
            && more.is_some_and(|more| more < image.counter_bytes())
            && self.bitmap.len() == image.bitmap_len_bytes()
            && self.is_of_build(image)
    }

    /// Whether the build ids are the same, if both have one.
    fn is_of_build(&self, image: &LlvmImage) -> bool {
        let ids = self.ids();
        let mut images = image.binary_ids().iter().map(|id| id.as_bytes()).peekable();
        ids.is_empty() || images.peek().is_none() || images.any(|id| ids.contains(&id))
    }

    /// The ids, each behind its length and padded; what is damaged ends the list.
    fn ids(&self) -> Vec<&[u8]> {
        let mut cursor = Cursor::new(self.binary_ids);
        let mut ids = Vec::new();
        while let Ok(id) =
            cursor.u64(self.endianness, "binary id").and_then(|len| cursor.padded(len, 1, "binary id"))
        {
            ids.push(id);
        }
        ids
    }
}
