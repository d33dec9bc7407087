//! Whether the target runs the image whose counters are to be read.

use covtap_link::{AddrRange, LinkError, PointerWidth, ReadRequest, TargetAddr};

use super::{CollectError, MeteredLink};
use crate::image::identity::Verdict;
use crate::image::{Identity, Image, Slide};

/// What tells that a target runs an image.
#[derive(Clone, Debug)]
pub struct Expected {
    pub(super) image: String,
    pub(super) identity: Identity,
    pub(super) slide: Slide,
    pub(super) pointer_width: PointerWidth,
    /// Where the target has what the identity is made of.
    places: Vec<Option<AddrRange>>,
    /// Where it has the build id, if the image has one.
    build_id_at: Option<TargetAddr>,
}

impl Expected {
    /// What a target has that runs `image`, moved by `slide`.
    #[must_use]
    pub fn of(image: &Image, slide: Slide) -> Self {
        Self::moved(image.name().to_owned(), image.identity(), slide, image.pointer_width())
    }

    /// What is read of the target for it, all at once.
    pub fn places(&self) -> impl Iterator<Item = AddrRange> {
        self.places.iter().flatten().copied()
    }

    /// The same image, moved by another slide.
    #[must_use]
    pub(super) fn at(&self, slide: Slide) -> Self {
        Self::moved(self.image.clone(), self.identity.clone(), slide, self.pointer_width)
    }

    fn moved(image: String, identity: Identity, slide: Slide, pointer_width: PointerWidth) -> Self {
        let places = identity.places_by(slide, pointer_width);
        let build_id_at =
            identity.build_id.as_ref().map(|expected| slide.apply(expected.address, pointer_width));
        Self { image, identity, slide, pointer_width, places, build_id_at }
    }

    /// Reads it from the target and compares it.
    ///
    /// # Errors
    ///
    /// [`CollectError::WrongImage`] if the target runs something else or nothing could be compared; a link error
    /// only if the link can no longer be used.
    pub fn check(&self, link: &mut MeteredLink) -> Result<Verdict, CollectError> {
        let (found, unread) = read_places(link, &self.places)?;
        let verdict = self.identity.compare(&found);
        if !verdict.is_mismatch() && verdict != Verdict::Unknown {
            return Ok(verdict);
        }
        let build_id = self.identity.build_id.as_ref().zip(self.build_id_at);
        let difference = match (&verdict, build_id) {
            (Verdict::OtherBytes(_) | Verdict::Unknown, Some((expected, at))) => {
                format!("the image has the build id {}, the target has none at {at}; {verdict}", expected.id)
            }
            _ => verdict.to_string(),
        };
        // Where nothing could be read, why says more than that.
        let unread = unread.filter(|_| verdict == Verdict::Unknown);
        let difference = unread.map_or_else(|| difference.clone(), |error| format!("{difference}: {error}"));
        let (endpoint, image) = (link.info().endpoint, self.image.clone());
        Err(CollectError::WrongImage { endpoint, image, difference })
    }
}

/// Reads what identifies `image` from the target and compares it.
///
/// # Errors
///
/// As [`Expected::check`].
pub fn check_identity(link: &mut MeteredLink, image: &Image, slide: Slide) -> Result<Verdict, CollectError> {
    Expected::of(image, slide).check(link)
}

/// Compares what identifies `image` with what the target has.
///
/// # Errors
///
/// The link can no longer be used.
pub(super) fn compare(
    link: &mut MeteredLink,
    identity: &Identity,
    image: &Image,
    slide: Slide,
) -> Result<Verdict, LinkError> {
    let (found, _) = read_places(link, &identity.places(image, slide))?;
    Ok(identity.compare(&found))
}

/// Bytes by place, and why the first that is missing is.
type Found = (Vec<Option<Vec<u8>>>, Option<LinkError>);

/// The bytes at each of the identity's places, `None` where the target has no memory.
fn read_places(link: &mut MeteredLink, places: &[Option<AddrRange>]) -> Result<Found, LinkError> {
    let mut found: Vec<Option<Vec<u8>>> = places
        .iter()
        .map(|place| Some(vec![0; usize::try_from(place.as_ref()?.len_bytes()).ok()?]))
        .collect();
    let mut reads: Vec<ReadRequest<'_>> = places
        .iter()
        .zip(&mut found)
        .filter_map(|(place, buf)| Some(ReadRequest { addr: place.as_ref()?.start(), buf: buf.as_mut()? }))
        .collect();
    // All at once costs one pause where reading pauses.
    match link.read_many(&mut reads) {
        Ok(_) => return Ok((found, None)),
        Err(error) if error.is_fatal() => return Err(error),
        Err(_) => {}
    }
    let mut unread = None;
    for (place, buf) in places.iter().zip(&mut found) {
        let (Some(place), Some(bytes)) = (place, buf.as_mut()) else { continue };
        match link.read_many(&mut [ReadRequest { addr: place.start(), buf: bytes }]) {
            Ok(_) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                *buf = None;
                unread.get_or_insert(error);
            }
        }
    }
    Ok((found, unread))
}
