//! Where in a target's physical memory an image was loaded, with nothing asked of the target.
//!
//! What enters is a [`PhysicalLink`] and an [`Image`]; what leaves is how far the image's addresses are from the physical
//! ones. All memory is searched for the build id note, then, if that is nowhere or the image has none, for samples of its
//! constants and code. Every place where one is found is a candidate, and confirmed or not at once:
//!
//! - what [identifies](crate::image::Identity) the image must be there: the build id, if a note with one is at its
//!   place, and enough of the samples, each at its own distance. Bytes that a loader relocates are none of them;
//! - what is in the file and never loaded must not be there: a copy of the file itself (an initial ramdisk, what a
//!   bootloader read) has its sections at other distances than the loaded image, or its headers and symbols around them.
//!
//! What always holds: the image is found at exactly one place or not at all; memory is read in pieces of bounded size,
//! and what is kept of candidates is bounded too, whatever the target holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use covtap_link::{AddrRange, Link, LinkError, PhysicalMemory, ReadReport, ReadRequest, TargetAddr};
use memchr::memmem::Finder;

use super::{CollectError, Expected, PhysicalLink};
use crate::image::identity::{Agreement, Verdict};
use crate::image::{Identity, Image, ImageAddr, Slide};

/// How much is searched at once: the search then runs in the processor's cache.
const CHUNK_BYTES: usize = 1 << 20;

/// How many samples are searched for. More than one, since a target may have changed some.
const MAX_NEEDLES: usize = 3;

/// How many different bytes a sample has that is worth searching for.
const MIN_DISTINCT_BYTES: usize = 6;

/// How many places are kept for a message.
const MAX_PLACES: usize = 16;

/// Where an image was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// How far its physical addresses are from those in the ELF.
    pub slide: Slide,
    /// Where its build id note is, or else its first sample, by its physical address.
    pub at: TargetAddr,
    /// How many samples of code and constants are as in the image.
    pub agreement: Agreement,
}

/// How much was searched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Searched {
    /// So many bytes.
    pub bytes: u64,
    /// So many more could not be read.
    pub unread_bytes: u64,
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of physical memory", self.bytes)?;
        if self.unread_bytes > 0 {
            write!(f, " ({} more could not be read)", self.unread_bytes)?;
        }
        Ok(())
    }
}

/// Places in memory, the first few by their addresses.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Places(BTreeSet<u64>);

impl Places {
    pub(super) fn insert(&mut self, place: TargetAddr) {
        if self.0.len() < MAX_PLACES {
            self.0.insert(place.get());
        }
    }

    /// How many there are, [`MAX_PLACES`] at most.
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len() == MAX_PLACES {
            f.write_str("at least ")?;
        }
        let places = if self.len() == 1 { "place" } else { "places" };
        write!(f, "{} {places}", self.len())?;
        let mut separator = ": ";
        for place in &self.0 {
            write!(f, "{separator}{place:#x}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// An image was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The image has nothing to search for.
    #[error("find {image} in memory: it has no build id and no constants to know it by")]
    Nameless {
        /// The image, as the user wrote it.
        image: String,
    },
    /// It is nowhere.
    #[error("find {image} in {endpoint}: it is nowhere in {searched}")]
    Nowhere {
        /// The image, as the user wrote it.
        image: String,
        /// Where the target is.
        endpoint: String,
        /// Where was searched.
        searched: Searched,
    },
    /// Something of it is there, but never the loaded image.
    #[error(
        "find {image} in {endpoint}: not loaded anywhere in {searched}; parts or copies of its file are at {places}"
    )]
    OnlyCopies {
        /// The image, as the user wrote it.
        image: String,
        /// Where the target is.
        endpoint: String,
        /// Where was searched.
        searched: Searched,
        /// Where its build id or a sample is.
        places: Places,
    },
    /// None of the files that the target has mapped is it.
    #[error(
        "find {image} in {endpoint}: none of the {files} files that it has mapped is this build{nearest}"
    )]
    NotMapped {
        /// The image, as the user wrote it.
        image: String,
        /// Where the target is.
        endpoint: String,
        /// How many files.
        files: usize,
        /// What a file of its name is instead, if there is one.
        nearest: String,
    },
    /// After a reset: what is there was there before it, and nothing has counted in it since.
    #[error("find {image} in {endpoint}: after the reset only a copy of an earlier run is there, at {at}")]
    LeftBehind {
        /// The image, as the user wrote it.
        image: String,
        /// Where the target is.
        endpoint: String,
        /// Where the copy is.
        at: TargetAddr,
    },
    /// It is loaded more than once.
    #[error("find {image} in {endpoint}: it is loaded more than once, by slide at {slides}")]
    Ambiguous {
        /// The image, as the user wrote it.
        image: String,
        /// Where the target is.
        endpoint: String,
        /// How far each is from the addresses in the ELF.
        slides: Places,
    },
}

/// Searches all memory for `image`.
///
/// # Errors
///
/// [`CollectError::Find`] if it is not there, or more than once; [`CollectError::Link`] if the link failed.
pub fn find(link: &mut PhysicalLink, image: &Image) -> Result<Found, CollectError> {
    let endpoint = link.info().endpoint;
    let candidates = find_all(link.memory()?, &Expected::of(image, Slide::ZERO))?;
    Ok(candidates.only(image.name(), endpoint)?)
}

/// Searches all memory for every place where the image is loaded, whatever its slide is expected to be.
///
/// # Errors
///
/// The image has nothing to search for, or the link failed.
pub(super) fn find_all(
    memory: &mut dyn PhysicalMemory,
    image: &Expected,
) -> Result<Candidates, CollectError> {
    let identity = &image.identity;
    let passes = [note(identity), rarest_samples(identity)];
    if passes.iter().all(Vec::is_empty) {
        return Err(FindError::Nameless { image: image.image.clone() }.into());
    }
    let ranges = memory.ranges()?;
    let mut search = Search { memory, image, ranges: &ranges, found: Vec::new(), refused: BTreeMap::new() };
    let (mut searched, mut copies) = (Searched::default(), Places::default());
    for needles in passes.iter().filter(|needles| !needles.is_empty()) {
        searched = search.pass(needles)?;
        if !search.found.is_empty() {
            break;
        }
        // Where its build id is tells more than where a sample is, which other builds may share.
        let refused = std::mem::take(&mut search.refused);
        if copies.len() == 0 {
            copies = Places(refused.into_values().collect());
        }
    }
    Ok(Candidates { found: search.found, searched, copies })
}

/// What a search came to.
pub(super) struct Candidates {
    /// Where the image is loaded, the first few.
    pub(super) found: Vec<Found>,
    searched: Searched,
    /// Where there is something of it that is not the loaded image.
    copies: Places,
}

impl Candidates {
    /// The one place where `image` is.
    ///
    /// # Errors
    ///
    /// It is nowhere, or at several.
    pub(super) fn only(self, image: &str, endpoint: String) -> Result<Found, FindError> {
        let (image, Self { found, searched, copies: places }) = (image.to_owned(), self);
        match found.as_slice() {
            [found] => Ok(*found),
            [] if places.len() == 0 => Err(FindError::Nowhere { image, endpoint, searched }),
            [] => Err(FindError::OnlyCopies { image, endpoint, searched, places }),
            several => {
                let slides = Places(several.iter().map(|found| found.slide.get()).collect());
                Err(FindError::Ambiguous { image, endpoint, slides })
            }
        }
    }
}

/// Bytes to search for, and where the image has them.
struct Needle<'a> {
    addr: ImageAddr,
    bytes: &'a [u8],
}

fn note(identity: &Identity) -> Vec<Needle<'_>> {
    identity.build_id.iter().map(|id| Needle { addr: id.address, bytes: &id.note }).collect()
}

/// The samples that are the least likely to be anywhere else.
fn rarest_samples(identity: &Identity) -> Vec<Needle<'_>> {
    let mut samples: Vec<(usize, Needle<'_>)> = identity
        .samples
        .iter()
        .map(|(addr, bytes)| (bytes.iter().collect::<BTreeSet<_>>().len(), Needle { addr: *addr, bytes }))
        .filter(|(num_distinct, _)| *num_distinct >= MIN_DISTINCT_BYTES)
        .collect();
    // Constants come first, and stay so among equals: code is patched more often.
    samples.sort_by_key(|(num_distinct, _)| std::cmp::Reverse(*num_distinct));
    samples.into_iter().map(|(_, needle)| needle).take(MAX_NEEDLES).collect()
}

/// A search under way.
struct Search<'a> {
    memory: &'a mut dyn PhysicalMemory,
    image: &'a Expected,
    ranges: &'a [AddrRange],
    /// The confirmed places, each once; two are enough to know that it is not one.
    found: Vec<Found>,
    /// Slides of this pass that were not confirmed, the first few, and the place that led to each.
    refused: BTreeMap<u64, u64>,
}

impl Search<'_> {
    /// Goes through all memory once.
    fn pass(&mut self, needles: &[Needle<'_>]) -> Result<Searched, LinkError> {
        let finders: Vec<(ImageAddr, Finder<'_>)> =
            needles.iter().map(|needle| (needle.addr, Finder::new(needle.bytes))).collect();
        // What begins in one chunk may end in the next.
        let overlap = needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or_default();
        let mut buf = vec![0; CHUNK_BYTES.saturating_add(overlap)];
        let mut searched = Searched::default();
        for range in self.ranges {
            let (mut at, end) = (range.start().get(), range.end().get());
            while at < end {
                let own = (end - at).min(CHUNK_BYTES as u64);
                let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
                let chunk = buf.get_mut(..len).unwrap_or_default();
                match self.read(TargetAddr::new(at), chunk) {
                    Ok(_) => {
                        searched.bytes = searched.bytes.saturating_add(own);
                        self.look(TargetAddr::new(at), chunk, &finders)?;
                    }
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(_) => searched.unread_bytes = searched.unread_bytes.saturating_add(own),
                }
                at += own;
            }
        }
        Ok(searched)
    }

    /// Looks at every place in `chunk`, which is at `at`, that has one of the needles.
    fn look(
        &mut self,
        at: TargetAddr,
        chunk: &[u8],
        finders: &[(ImageAddr, Finder<'_>)],
    ) -> Result<(), LinkError> {
        for (addr, finder) in finders {
            for offset in finder.find_iter(chunk) {
                let Some(place) = at.checked_add(offset as u64) else { continue };
                self.consider(Slide::between(*addr, place), place)?;
            }
        }
        Ok(())
    }

    /// Confirms the image at `slide`, where it has a needle at `place`, or refuses it.
    fn consider(&mut self, slide: Slide, place: TargetAddr) -> Result<(), LinkError> {
        if self.found.iter().any(|found| found.slide == slide) || self.refused.contains_key(&slide.get()) {
            return Ok(());
        }
        match self.confirm(slide)? {
            Some(agreement) => {
                let at = self.first(slide).unwrap_or(place);
                if self.found.len() < MAX_PLACES {
                    self.found.push(Found { slide, at, agreement });
                }
            }
            None if self.refused.len() < MAX_PLACES => {
                self.refused.insert(slide.get(), place.get());
            }
            None => {}
        }
        Ok(())
    }

    fn places(&self, slide: Slide) -> Vec<Option<AddrRange>> {
        self.image.identity.places_by(slide, self.image.pointer_width)
    }

    fn first(&self, slide: Slide) -> Option<TargetAddr> {
        self.places(slide).first().copied().flatten().map(AddrRange::start)
    }

    /// How many samples are equal, if the image is loaded at `slide`.
    fn confirm(&mut self, slide: Slide) -> Result<Option<Agreement>, LinkError> {
        let found = self.read_places(&self.places(slide))?;
        if matches!(self.image.identity.compare(&found), Verdict::OtherBuildId { .. }) {
            return Ok(None);
        }
        let note = usize::from(self.image.identity.build_id.is_some());
        let agreement = agreement(&self.image.identity.samples, found.get(note..).unwrap_or_default());
        Ok((agreement.is_enough() && !self.is_file(slide)?).then_some(agreement))
    }

    /// Whether what is at `slide` is a copy of the whole file.
    fn is_file(&mut self, slide: Slide) -> Result<bool, LinkError> {
        let unloaded = &self.image.identity.unloaded;
        let width = self.image.pointer_width;
        let places: Vec<Option<AddrRange>> = unloaded
            .iter()
            .map(|(addr, bytes)| AddrRange::new(slide.apply(*addr, width), bytes.len() as u64))
            .collect();
        let found = self.read_places(&places)?;
        Ok(agreement(unloaded, &found).is_enough())
    }

    /// The bytes at each place, `None` where there is no memory. Only memory that is known to be there is asked for: a
    /// candidate may lead anywhere.
    fn read_places(&mut self, places: &[Option<AddrRange>]) -> Result<Vec<Option<Vec<u8>>>, LinkError> {
        let mut found: Vec<Option<Vec<u8>>> = places
            .iter()
            .map(|place| {
                let place = place.filter(|place| self.is_memory(*place))?;
                Some(vec![0; usize::try_from(place.len_bytes()).ok()?])
            })
            .collect();
        let mut reads: Vec<ReadRequest<'_>> = places
            .iter()
            .zip(&mut found)
            .filter_map(|(place, buf)| {
                Some(ReadRequest { addr: place.as_ref()?.start(), buf: buf.as_mut()? })
            })
            .collect();
        match self.memory.read_physical(&mut reads) {
            Ok(_) => Ok(found),
            Err(error) if error.is_fatal() => Err(error),
            Err(_) => Ok(vec![None; places.len()]),
        }
    }

    fn is_memory(&self, place: AddrRange) -> bool {
        let before = self.ranges.partition_point(|range| range.start() <= place.start());
        let range = before.checked_sub(1).and_then(|index| self.ranges.get(index));
        range.is_some_and(|range| place.end() <= range.end())
    }

    fn read(&mut self, addr: TargetAddr, buf: &mut [u8]) -> Result<ReadReport, LinkError> {
        self.memory.read_physical(&mut [ReadRequest { addr, buf }])
    }
}

/// How many of what was expected were found. What could not be read is not equal: an image is loaded whole.
fn agreement(expected: &[(ImageAddr, Vec<u8>)], found: &[Option<Vec<u8>>]) -> Agreement {
    Agreement::of(expected.iter().zip(found).map(|((_, bytes), found)| found.as_ref() == Some(bytes)))
}

#[cfg(test)]
#[path = "find_image_tests.rs"]
pub(super) mod tests;
