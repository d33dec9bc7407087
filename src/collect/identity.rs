//! Whether the target runs the image whose counters are to be read.

use covtap_link::{LinkError, ReadRequest};

use super::{CollectError, MeteredLink};
use crate::image::identity::Verdict;
use crate::image::{Identity, Image, Slide};

/// Reads what identifies `image` from the target and compares it.
///
/// # Errors
///
/// [`CollectError::WrongImage`] if the target runs something else or nothing could be compared; a link error
/// only if the link can no longer be used.
pub fn check_identity(link: &mut MeteredLink, image: &Image, slide: Slide) -> Result<Verdict, CollectError> {
    let identity = image.identity();
    let Compared { verdict, unread } = compare(link, &identity, image, slide)?;
    if !verdict.is_mismatch() && verdict != Verdict::Unknown {
        return Ok(verdict);
    }
    let difference = match (&verdict, &identity.build_id) {
        (Verdict::OtherBytes(_) | Verdict::Unknown, Some(expected)) => {
            let at = slide.apply(expected.address, image.pointer_width());
            format!("the image has the build id {}, the target has none at {at}; {verdict}", expected.id)
        }
        _ => verdict.to_string(),
    };
    // Where nothing could be read, why says more than that.
    let unread = unread.filter(|_| verdict == Verdict::Unknown);
    let difference = unread.map_or_else(|| difference.clone(), |error| format!("{difference}: {error}"));
    Err(CollectError::WrongImage {
        endpoint: link.info().endpoint,
        image: image.name().to_owned(),
        difference,
    })
}

/// What a comparison with the target came to.
pub(super) struct Compared {
    pub(super) verdict: Verdict,
    /// Why a part of the target could not be read, if one could not.
    unread: Option<LinkError>,
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
) -> Result<Compared, LinkError> {
    let (found, unread) = read_places(link, identity, image, slide)?;
    Ok(Compared { verdict: identity.compare(&found), unread })
}

/// Bytes by place, and why the first that is missing is.
type Found = (Vec<Option<Vec<u8>>>, Option<LinkError>);

/// The bytes at each of the identity's places, `None` where the target has no memory.
fn read_places(
    link: &mut MeteredLink,
    identity: &Identity,
    image: &Image,
    slide: Slide,
) -> Result<Found, LinkError> {
    let places = identity.places(image, slide);
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
