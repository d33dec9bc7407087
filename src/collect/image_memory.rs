//! The memory of an image, as the target has it.
//!
//! What enters is a link, an [`Image`] and its [`Slide`]; what leaves is what is in the target where the image's program
//! headers load anything, for what the file does not have: data that start-up code unpacks.
//!
//! What always holds: it is read in pieces of bounded size, each a pause of its own where reading pauses; what could not
//! be read is missing and counted, and what was read on both sides of it is apart.

use covtap_link::{LinkError, ReadRequest, TargetAddr};

use super::{CollectError, MeteredLink};
use crate::image::{Extent, Image, Slide};

/// How much is read at once, and missing at once if it cannot be: short enough for a pause. Pieces end at multiples of it,
/// so that a page that cannot be read is in one of them alone.
const CHUNK_BYTES: u64 = 1 << 18;

/// The most that is read: a kernel with all that it has zeroed is smaller.
const MAX_BYTES: u64 = 1 << 30;

/// What was read in one piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryPart {
    /// The address of its first byte.
    pub start: TargetAddr,
    /// What is there.
    pub bytes: Vec<u8>,
    /// Whether the program may write it.
    pub is_writable: bool,
}

/// What was read of an image.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ImageMemory {
    /// By the image's addresses; what borders on each other and is alike is one.
    pub parts: Vec<MemoryPart>,
    /// So many bytes could not be read.
    pub unread_bytes: u64,
}

impl ImageMemory {
    /// How much was read.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// Reads one extent.
    fn read(&mut self, link: &mut MeteredLink, extent: &Extent, start: TargetAddr) -> Result<(), LinkError> {
        let (mut at, mut left) = (start.get(), extent.len_bytes);
        // Where the bytes go that border on those before.
        let mut part: Option<MemoryPart> = None;
        while left > 0 {
            let len = left.min(CHUNK_BYTES - at % CHUNK_BYTES);
            let mut buf = vec![0; usize::try_from(len).unwrap_or_default()];
            match link.read_many(&mut [ReadRequest { addr: TargetAddr::new(at), buf: &mut buf }]) {
                Ok(_) => match &mut part {
                    Some(part) => part.bytes.append(&mut buf),
                    None => {
                        let (start, is_writable) = (TargetAddr::new(at), extent.is_writable);
                        part = Some(MemoryPart { start, bytes: buf, is_writable });
                    }
                },
                Err(error) if error.is_fatal() => return Err(error),
                Err(_) => {
                    self.unread_bytes = self.unread_bytes.saturating_add(len);
                    self.parts.extend(part.take());
                }
            }
            at = at.saturating_add(len);
            left = left.saturating_sub(len);
        }
        self.parts.extend(part);
        Ok(())
    }
}

/// Reads all that the program headers of `image` load, once.
///
/// # Errors
///
/// [`CollectError::TooMuchMemory`] if that is more than 1 GiB; [`CollectError::Link`] if the link can no longer be used.
pub fn read_image_memory(
    link: &mut MeteredLink,
    image: &Image,
    slide: Slide,
) -> Result<ImageMemory, CollectError> {
    let extents = image.extents();
    let len_bytes = extents.iter().map(|extent| extent.len_bytes).fold(0, u64::saturating_add);
    if len_bytes > MAX_BYTES {
        let image = image.name().to_owned();
        return Err(CollectError::TooMuchMemory { image, len_bytes, limit_bytes: MAX_BYTES });
    }
    let mut memory = ImageMemory::default();
    for extent in extents {
        memory.read(link, &extent, slide.apply(extent.start, image.pointer_width()))?;
    }
    Ok(memory)
}

#[cfg(test)]
#[path = "image_memory_tests.rs"]
mod tests;
