//! Where in a target's memory an image was loaded, by what the target says of the files that it has mapped.
//!
//! What enters is a link that tells [which files are mapped](covtap_link::MappedFiles) and an [`Image`]; what leaves is its
//! [`Slide`]. Every mapping that has the beginning of the image's first segment is a candidate, and the image's
//! [identity](crate::image::Identity) decides: the build id, else samples of its code and constants. The path never does,
//! so that an ELF with symbols serves for a stripped one elsewhere, and a file that was replaced since is not taken for
//! what runs.
//!
//! What always holds: the image is found at exactly one place or not at all. A file that is mapped as a whole as well, to
//! be read, is told from the loaded one by where its other segments are.

use covtap_link::{LinkError, MappedFile, TargetAddr};

use super::find_image::{FindError, Places};
use super::{CollectError, MeteredLink, identity};
use crate::image::identity::Verdict;
use crate::image::{FileSegment, Identity, Image, Slide};

/// Where an image was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// How far it is from its own addresses.
    pub slide: Slide,
    /// Where its first segment begins.
    pub at: TargetAddr,
    /// The file by the target's own words, made printable.
    pub path: String,
}

/// Looks for `image` among the files that the target has mapped; `None` where the target does not tell of files.
///
/// # Errors
///
/// [`CollectError::Find`] if it is not there, or more than once; [`CollectError::Link`] if the link failed.
pub fn find_loaded(link: &mut MeteredLink, image: &Image) -> Result<Option<Loaded>, CollectError> {
    let Some(files) = link.mapped_files()? else { return Ok(None) };
    let segments = image.file_segments();
    let Some(first) = segments.first() else {
        return Err(FindError::Nameless { image: image.name().to_owned() }.into());
    };
    let identity = image.identity();
    let mut search = Search { link, image, identity: &identity, nearest: None };
    let mut found: Vec<Loaded> = Vec::new();
    for candidate in files.iter().filter_map(|file| candidate(file, first)) {
        let is_known = found.iter().any(|known| known.slide == candidate.slide);
        if !is_known && search.agrees(&candidate)? {
            found.push(candidate);
        }
    }
    if found.len() > 1 {
        let whole =
            |loaded: &Loaded| segments.iter().all(|segment| is_mapped(segment, loaded, image, &files));
        let (loaded, others): (Vec<_>, Vec<_>) = found.into_iter().partition(whole);
        found = if loaded.is_empty() { others } else { loaded };
    }
    search.conclude(found, &files).map(Some)
}

/// Where the image is if `file` has the beginning of its first segment.
fn candidate(file: &MappedFile, first: &FileSegment) -> Option<Loaded> {
    let inside =
        first.offset.checked_sub(file.file_offset).filter(|inside| *inside < file.range.len_bytes())?;
    let at = file.range.start().checked_add(inside)?;
    let path = String::from_utf8_lossy(&file.path).into_owned();
    Some(Loaded { slide: Slide::between(first.start, at), at, path })
}

/// Whether the beginning of `segment` is mapped where `loaded` would have it.
fn is_mapped(segment: &FileSegment, loaded: &Loaded, image: &Image, files: &[MappedFile]) -> bool {
    let at = loaded.slide.apply(segment.start, image.pointer_width());
    let around = files.iter().find(|file| file.range.contains(at));
    around.is_some_and(|file| {
        file.file_offset.checked_add(at.get() - file.range.start().get()) == Some(segment.offset)
    })
}

/// A search under way.
struct Search<'a> {
    link: &'a mut MeteredLink,
    image: &'a Image,
    identity: &'a Identity,
    /// What was compared with a file of the image's name, in words.
    nearest: Option<String>,
}

impl Search<'_> {
    /// Whether the target has the image where `candidate` says.
    fn agrees(&mut self, candidate: &Loaded) -> Result<bool, LinkError> {
        let verdict = identity::compare(self.link, self.identity, self.image, candidate.slide)?;
        let agrees = matches!(verdict, Verdict::SameBuildId(_) | Verdict::SameBytes(_));
        if !agrees && file_name(&candidate.path) == file_name(self.image.name()) {
            self.nearest.get_or_insert_with(|| format!("{} at {}: {verdict}", candidate.path, candidate.at));
        }
        Ok(agrees)
    }

    fn conclude(self, mut found: Vec<Loaded>, files: &[MappedFile]) -> Result<Loaded, CollectError> {
        let (image, endpoint) = (self.image.name().to_owned(), self.link.info().endpoint);
        match (found.pop(), found.len()) {
            (Some(loaded), 0) => Ok(loaded),
            (Some(last), _) => {
                let mut slides = Places::default();
                found.iter().chain([&last]).for_each(|one| slides.insert(TargetAddr::new(one.slide.get())));
                Err(FindError::Ambiguous { image, endpoint, slides }.into())
            }
            (None, _) => {
                let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
                paths.sort_unstable();
                paths.dedup();
                let nearest = self.nearest.map(|words| format!("; {words}")).unwrap_or_default();
                Err(FindError::NotMapped { image, endpoint, files: paths.len(), nearest }.into())
            }
        }
    }
}

fn file_name(path: &str) -> &str {
    // What was replaced since is shown so by Linux.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
#[path = "loaded_tests.rs"]
mod tests;
