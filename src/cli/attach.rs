//! From a target's address to a reader of its programs' counters.
//!
//! What enters is arguments; what leaves is the programs, located, and a [`Reader`]. What always holds: no counter is read
//! of a target that does not run these ELFs, unless the user forces it. A link is opened before the programs are located
//! only where the target is asked where something is: where an image lies (`--find-image`, or what a process has mapped),
//! or gcov's structures (`--scan`).

use std::cell::RefCell;

use anyhow::Result;
use covtap_link::{AddrRange, Link};

use super::hints;
use super::programs::{Program, Programs, Scanned};
use super::status::Status;
use super::tap::{Target, Task};
use super::target::OpenLink;
use crate::collect::find_image::{self, Found};
use crate::collect::{self, Coherence, CollectError, Expected, Loaded, MeteredLink, PhysicalLink, Reader};
use crate::image::identity::Agreement;
use crate::image::{Image, Slide};
use crate::locate::gcov::{self, Piece};

/// What of a target is open before its programs are located.
pub(super) enum Early {
    /// Nothing.
    Closed,
    /// Its physical memory, which images are searched for in.
    Physical(Box<PhysicalLink>),
    /// Its memory: it may tell what it has mapped, and gcov's structures are searched for in it.
    Open(MeteredLink),
}

impl Early {
    /// Connects, if the target has to be asked.
    ///
    /// # Errors
    ///
    /// It could not be reached.
    pub(super) fn open(task: Task<'_>, target: &mut dyn Target, status: &Status) -> Result<Self> {
        if target.finds_images() {
            return Ok(Self::Physical(Box::new(PhysicalLink::new(open(target, status)?)?)));
        }
        if task.scan || target.may_tell_mapped_files() {
            return Ok(Self::Open(MeteredLink::new(open(target, status)?)));
        }
        Ok(Self::Closed)
    }

    /// Reads the ELFs and finds their counters, with the target's help.
    ///
    /// # Errors
    ///
    /// As [`Programs::load`].
    pub(super) fn load(&mut self, task: Task<'_>, status: &Status) -> Result<Programs> {
        let (mut physical, open) = match self {
            Self::Closed => (None, None),
            Self::Physical(link) => (Some(link), None),
            Self::Open(link) => (None, Some(RefCell::new(link))),
        };
        let place = |image: &Image| match (&mut physical, &open) {
            (Some(link), _) => find(link, image, status),
            (None, Some(link)) => find_loaded(&mut link.borrow_mut(), image, status),
            (None, None) => Ok(Slide::ZERO),
        };
        let scanned = open.as_ref().filter(|_| task.scan);
        let scan = scanned
            .map(|link| |image: &Image, slide| scan(task, &mut link.borrow_mut(), image, slide, status));
        Programs::load(task.elves, place, scan)
    }

    /// Connects if nothing is open yet, makes sure that the target runs the programs, and reads their counters once.
    ///
    /// # Errors
    ///
    /// It could not be reached or read, or runs something else.
    pub(super) fn reader(
        self,
        task: Task<'_>,
        target: &mut dyn Target,
        programs: &Programs,
        checks: Option<Box<dyn Coherence>>,
        status: &Status,
    ) -> Result<Reader> {
        // Nodes of lists are at the target's own addresses, which a link to physical ones does not read.
        let (lists, movable) = match &self {
            Self::Physical(_) => (Vec::new(), programs.movable()),
            Self::Closed | Self::Open(_) => (programs.lists(), Vec::new()),
        };
        let mut link = match self {
            Self::Closed => MeteredLink::new(open(target, status)?),
            Self::Physical(link) => MeteredLink::new(link),
            Self::Open(link) => link,
        };
        let regions = programs.regions();
        let counters: Vec<AddrRange> = regions.iter().map(|region| region.range).collect();
        let expected = |program: &Program| (program.is_scanned, Expected::of(&program.image, program.slide));
        let expected: Vec<(bool, Expected)> = programs.iter().map(expected).collect();
        let places: Vec<AddrRange> = expected.iter().flat_map(|(_, expected)| expected.places()).collect();
        link.may_read(&places, &counters)?;
        for (_, expected) in expected.iter().filter(|(is_scanned, _)| !is_scanned) {
            check(task, &mut link, expected, status)?;
        }
        let mut reader = Reader::new(link, regions)?.with_lists(lists).finding_again(movable);
        if !task.options.force {
            reader = reader.expecting(expected.into_iter().map(|(_, expected)| expected).collect());
        }
        Ok(match checks {
            Some(checks) => reader.with_checks(checks),
            None => reader,
        })
    }
}

/// Connects.
pub(super) fn open(target: &mut dyn Target, status: &Status) -> Result<Box<dyn Link>> {
    let OpenLink { link, fallback, notes } = target.open(status)?;
    status.attached(&link.info());
    notes.iter().for_each(|note| status.note(note));
    if let Some(reason) = fallback {
        status.note(&format!("memory is not read in the fastest way: {reason}"));
        status.note(hints::FOR_FALLBACK);
    }
    Ok(link)
}

/// Finds out where the target has `image`.
fn find(link: &mut PhysicalLink, image: &Image, status: &Status) -> Result<Slide> {
    let found = find_image::find(link, image)?;
    let Found { slide, at, agreement } = found;
    let (name, Agreement { equal, of }) = (image.name(), agreement);
    status.note(&format!(
        "{name} is loaded at {at}, slide {slide}: {equal} of {of} samples are as in the image"
    ));
    Ok(slide)
}

/// Finds out where a target that tells what it has mapped has `image`. What cannot be moved is where it was linked.
fn find_loaded(link: &mut MeteredLink, image: &Image, status: &Status) -> Result<Slide> {
    if !image.is_position_independent() {
        return Ok(Slide::ZERO);
    }
    let Some(Loaded { slide, at, path }) = collect::find_loaded(link, image)? else { return Ok(Slide::ZERO) };
    status.note(&format!("{} is {path}, loaded at {at}, slide {slide}", image.name()));
    Ok(slide)
}

/// Makes sure that the target runs what is expected.
fn check(task: Task<'_>, link: &mut MeteredLink, expected: &Expected, status: &Status) -> Result<()> {
    match expected.check(link) {
        Ok(_) => Ok(()),
        Err(wrong @ CollectError::WrongImage { .. }) if task.options.force => {
            status.note(&format!("{wrong}; going on, as --force says"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Searches the target's memory of `image` for gcov's structures.
fn scan(task: Task<'_>, link: &mut MeteredLink, image: &Image, slide: Slide, status: &Status) -> Scanned {
    check(task, link, &Expected::of(image, slide), status)?;
    let memory = collect::read_image_memory(link, image, slide)?;
    let (name, len_bytes, unread_bytes) = (image.name(), memory.len_bytes(), memory.unread_bytes);
    if unread_bytes > 0 {
        status.note(&format!(
            "{name}: {unread_bytes} bytes of its memory could not be read, and are not searched"
        ));
    }
    let parts = memory.parts.iter();
    let pieces =
        parts.map(|part| Piece { start: part.start, bytes: &part.bytes, is_writable: part.is_writable });
    let pieces: Vec<_> = pieces.collect();
    let found = gcov::locate_in_memory(name, &pieces, image.endianness(), image.pointer_width());
    if let Ok(located) = &found {
        let objects = located.image.objects.len();
        status.note(&format!(
            "{name}: gcov's counters of {objects} object files were found in {len_bytes} bytes of memory"
        ));
    }
    Ok(found)
}
