//! Where images are after a reset that may have loaded them elsewhere, as a kernel does that chooses its place at random.
//!
//! What enters is the images that were [found](super::find_image) when covtap attached, and a target that was reset; what
//! leaves is a reader that reads them where the new run has them.
//!
//! A reset leaves memory as it was: the copy of the run that ended may stay there whole, with its build id and its counters.
//! So all memory is searched again, wherever the image was, and of all that is found this is the new run's:
//!
//! - a copy that was nowhere to be seen at the search before, if there is one such;
//! - else the only copy that counts: of which counters changed since the search before;
//! - else the one at the old place, if there is no other. That it is the new run's is for its counters to
//!   [show](super::restart), and the search goes on for [`SEEKS_FOR`]: the next boot may not have come so far.
//!
//! What always holds: nothing is read at a place that is not the new run's by these rules; one call makes one search, and
//! searches take no more than a third of the time; what a run counted is added once, also where a copy of it was read
//! meanwhile.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::time::{Duration, Instant};

use covtap_link::{AddrRange, ReadRequest, TargetAddr};

use super::find_image::{self, FindError, Found};
use super::places::Places;
use super::reader::{Reader, room};
use super::restart::Restart;
use super::{CollectError, Expected, MeteredLink, Notice, ResetEvidence};
use crate::image::wrap;
use crate::locate::CounterRegion;

/// How long to wait before the second search.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Waits double up to this, however short a search is.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Waits are so many times as long as the search before, at least.
const PAUSE_BY_SEARCH: u32 = 2;

/// An image at its old place may be the run that ended for so long: the next boot has yet to load its own.
const SEEKS_FOR: Duration = Duration::from_secs(120);

/// An image that a reset may move.
#[derive(Clone, Debug)]
pub struct Movable {
    /// Its number among those that the reader [expects](Reader::expecting), if it expects any.
    pub program: usize,
    /// What it is known by, and where it is.
    pub expected: Expected,
    /// Which of the reader's regions are its own.
    pub regions: Range<usize>,
}

/// Where an image is since the reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nobody knows.
    Unknown,
    /// Where it was, as far as the last search could tell: what is there may be what the run that ended left.
    Old,
    /// Where the new run has it.
    Sure,
}

/// An image, and the copies of it that are known.
struct Sought {
    image: Movable,
    /// Copies by their slides, and what their counters came to at the last search, if they could be read.
    known: BTreeMap<u64, Option<u64>>,
    place: Place,
}

/// The images that a reset may move, and when to search for them.
pub(super) struct FindAgain {
    images: Vec<Sought>,
    /// Which of them is searched for next.
    turn: usize,
    next: Instant,
    pause: Duration,
    /// When images at their old places are believed to be the new run's.
    until: Option<Instant>,
    is_missing_said: bool,
}

impl FindAgain {
    fn new(images: Vec<Movable>) -> Self {
        let sought = |image: Movable| {
            let known = BTreeMap::from([(image.expected.slide.get(), None)]);
            Sought { image, known, place: Place::Sure }
        };
        Self {
            images: images.into_iter().map(sought).collect(),
            turn: 0,
            next: Instant::now(),
            pause: FIRST_PAUSE,
            until: None,
            is_missing_said: false,
        }
    }

    /// The target was reset: nothing is known of any place.
    pub(super) fn begin(&mut self) {
        self.images.iter_mut().for_each(|sought| sought.place = Place::Unknown);
        self.until = Some(Instant::now() + SEEKS_FOR);
        self.wait_anew();
        self.is_missing_said = false;
    }

    fn wait_anew(&mut self) {
        (self.next, self.pause) = (Instant::now(), FIRST_PAUSE);
    }

    /// Sets when to look next, after a look that took so long.
    fn wait_after(&mut self, took: Duration) {
        self.next = Instant::now() + self.pause.max(took.saturating_mul(PAUSE_BY_SEARCH));
        self.pause = LONGEST_PAUSE.min(self.pause.saturating_mul(2));
    }

    fn are_sure(&self) -> bool {
        self.images.iter().all(|sought| sought.place == Place::Sure)
    }

    /// Whether every image is somewhere.
    fn are_placed(&self) -> bool {
        self.images.iter().all(|sought| sought.place != Place::Unknown)
    }

    /// The image whose turn it is of those that may be anywhere.
    fn next_image(&mut self) -> Option<usize> {
        let len = self.images.len();
        let is_open =
            |index: &usize| self.images.get(*index).is_some_and(|sought| sought.place != Place::Sure);
        let index = (self.turn..len).chain(0..self.turn.min(len)).find(is_open)?;
        self.turn = index.saturating_add(1);
        Some(index)
    }
}

impl Sought {
    /// Which of the copies is the new run's, if that can be told.
    fn choose(&mut self, found: &[(Found, Option<u64>)]) -> Option<Found> {
        let here = self.image.expected.slide.get();
        let known = std::mem::take(&mut self.known);
        self.known = found.iter().map(|(found, counters)| (found.slide.get(), *counters)).collect();
        self.known.entry(here).or_insert(None);
        let only = |is_it: &dyn Fn(u64, Option<u64>) -> bool| {
            let mut chosen = found.iter().filter(|(found, counters)| is_it(found.slide.get(), *counters));
            chosen.next().map(|(found, _)| *found).filter(|_| chosen.next().is_none())
        };
        let has_changed = |slide, now: Option<u64>| {
            let before = known.get(&slide).copied().flatten();
            before.zip(now).is_some_and(|(before, now)| before != now)
        };
        only(&|slide, _| !known.contains_key(&slide))
            .or_else(|| only(&has_changed))
            .or_else(|| only(&|_, _| true).filter(|found| found.slide.get() == here))
    }
}

impl Reader {
    /// Lets images be searched for again when the target was reset, or is reached over another link. The link must read
    /// at physical addresses.
    #[must_use]
    pub fn finding_again(mut self, images: Vec<Movable>) -> Self {
        self.find_again = (!images.is_empty()).then(|| FindAgain::new(images));
        self
    }

    /// Whether every image is where the run that begins has it, as far as can be told.
    pub(super) fn are_images_placed(&mut self, restart: &mut Restart) -> Result<bool, CollectError> {
        let Some(mut again) = self.find_again.take() else { return Ok(true) };
        if std::mem::take(&mut self.is_reset_told) {
            // Reset once more: what was found is of a run that nothing was read of.
            again.begin();
            restart.moved = None;
        }
        let placed = self.place_next(&mut again, Some(restart));
        self.find_again = Some(again);
        placed
    }

    /// Whether there is to be searched now, between two snapshots.
    pub(super) fn is_search_due(&self) -> bool {
        self.find_again.as_ref().is_some_and(|again| {
            let is_wanted = self.restart.is_some() || again.until.is_some() && !again.are_sure();
            is_wanted && again.next <= Instant::now()
        })
    }

    /// Searches while the run has begun, or seems never to have ended: if what is read is a copy that the target left
    /// behind, it goes on elsewhere.
    pub(super) fn search_on(&mut self) -> Result<(), CollectError> {
        let Some(mut again) = self.find_again.take() else { return Ok(()) };
        if again.until.is_some_and(|until| until <= Instant::now()) {
            again.until = None;
        }
        let placed = self.place_next(&mut again, None);
        self.find_again = Some(again);
        match placed {
            Ok(_) => Ok(()),
            // What is read is read on; only the search is put off.
            Err(CollectError::Link(error)) if !error.is_fatal() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Searches for one image that may be anywhere, if it is time; whether all are placed.
    fn place_next(
        &mut self,
        again: &mut FindAgain,
        restart: Option<&mut Restart>,
    ) -> Result<bool, CollectError> {
        let began = Instant::now();
        if again.are_sure() {
            again.wait_after(Duration::ZERO);
            return Ok(true);
        }
        if began < again.next {
            return Ok(false);
        }
        let Some(index) = again.next_image() else { return Ok(true) };
        let Some(sought) = again.images.get_mut(index) else { return Ok(true) };
        let chosen = look_for(&mut self.link, sought, self.places.regions());
        again.wait_after(began.elapsed());
        let Some(sought) = again.images.get_mut(index) else { return Ok(true) };
        match chosen? {
            Ok(found) if found.slide == sought.image.expected.slide => sought.place = Place::Old,
            Ok(found) => self.go_on_at(sought, found, restart),
            Err(missing) => {
                sought.place = Place::Unknown;
                if restart.is_some() && !std::mem::replace(&mut again.is_missing_said, true) {
                    self.notices.push(Notice::OtherImage { error: missing.to_string() });
                }
            }
        }
        if again.are_sure() {
            again.wait_anew();
        }
        Ok(again.are_placed())
    }

    /// Has an image read where it was found, as that of a run that begins.
    fn go_on_at(&mut self, sought: &mut Sought, found: Found, restart: Option<&mut Restart>) {
        let image = &mut sought.image;
        let by = found.slide.get().wrapping_sub(image.expected.slide.get());
        let mut regions = self.places.regions().to_vec();
        for region in regions.get_mut(image.regions.clone()).unwrap_or_default() {
            // That it fits was seen when it was chosen.
            *region = moved(region, by).unwrap_or_else(|| region.clone());
        }
        self.places = Places::new(regions);
        image.expected = image.expected.at(found.slide);
        if let Some(expected) = self.expected.get_mut(image.program) {
            *expected = image.expected.clone();
        }
        sought.place = Place::Sure;
        let (image, at, slide) = (image.expected.image.clone(), found.at, found.slide);
        self.notices.push(Notice::Moved { image, at, slide });
        match restart {
            Some(restart) => restart.move_on(),
            None => {
                // What was read since the reset is a copy of the run that ended, which holds what was in doubt.
                self.sums.forget_doubtful();
                let mut restart = Restart::after(&self.previous, self.is_exact);
                restart.move_on();
                self.restart = Some(restart);
            }
        }
    }

    /// Finds images over another link: the target may have been reset while there was none.
    ///
    /// # Errors
    ///
    /// One is not there, or not yet, or the link failed.
    pub(super) fn find_after_link_loss(&mut self, link: &mut MeteredLink) -> Result<(), CollectError> {
        let Some(mut again) = self.find_again.take() else { return Ok(()) };
        again.begin();
        let found = again.images.iter_mut().try_for_each(|sought| {
            match look_for(link, sought, self.places.regions())? {
                Ok(found) if found.slide != sought.image.expected.slide => {
                    self.begin_elsewhere(sought, found);
                }
                Ok(_) => sought.place = Place::Old,
                Err(_) if sought.image.expected.check(link).is_ok() => sought.place = Place::Old,
                Err(missing) => return Err(missing.into()),
            }
            Ok(())
        });
        again.wait_after(Duration::ZERO);
        self.find_again = Some(again);
        found
    }

    /// As [`go_on_at`](Self::go_on_at), where nobody told of a reset.
    fn begin_elsewhere(&mut self, sought: &mut Sought, found: Found) {
        let mut restart = self.restart.take();
        if restart.is_none() {
            self.resets += 1;
            self.notices.push(Notice::Reset { after: self.taken, evidence: ResetEvidence::Moved });
        }
        self.go_on_at(sought, found, restart.as_mut());
        self.restart = restart.or_else(|| self.restart.take());
    }
}

/// Searches all memory for an image, and for which of its copies is the new run's.
fn look_for(
    link: &mut MeteredLink,
    sought: &mut Sought,
    regions: &[CounterRegion],
) -> Result<Result<Found, FindError>, CollectError> {
    let candidates = find_image::find_all(link, &sought.image.expected)?;
    let regions = regions.get(sought.image.regions.clone()).unwrap_or_default();
    let here = sought.image.expected.slide.get();
    let mut found = Vec::with_capacity(candidates.found.len());
    for candidate in &candidates.found {
        let by = candidate.slide.get().wrapping_sub(here);
        let there: Option<Vec<_>> = regions.iter().map(|region| moved(region, by)).collect();
        // No counters can be there: it is no place for the image.
        let Some(there) = there else { continue };
        found.push((*candidate, fingerprint(link, &there)?));
    }
    if let Some(chosen) = sought.choose(&found) {
        return Ok(Ok(chosen));
    }
    let (image, endpoint) = (sought.image.expected.image.as_str(), link.info().endpoint);
    Ok(Err(match candidates.only(image, endpoint.clone()) {
        Err(missing) => missing,
        Ok(Found { at, .. }) => FindError::LeftBehind { image: image.to_owned(), endpoint, at },
    }))
}

/// What the bytes of regions come to; `None` if they cannot be read.
fn fingerprint(link: &mut MeteredLink, regions: &[CounterRegion]) -> Result<Option<u64>, CollectError> {
    let mut counters = room(regions)?;
    let reads = regions.iter().zip(counters.regions_mut());
    let mut reads: Vec<_> = reads
        .filter(|(region, _)| !region.range.is_empty())
        .map(|(region, buf)| ReadRequest { addr: region.range.start(), buf })
        .collect();
    match link.read_many(&mut reads) {
        Ok(_) => {}
        Err(error) if error.is_fatal() => return Err(error.into()),
        Err(_) => return Ok(None),
    }
    let mut hasher = DefaultHasher::new();
    counters.regions().iter().for_each(|bytes| hasher.write(bytes));
    Ok(Some(hasher.finish()))
}

/// Where a region is in an image that lies further on by so much; `None` if that passes the end of memory.
fn moved(region: &CounterRegion, by: u64) -> Option<CounterRegion> {
    let further = |range: AddrRange, width| {
        let start = wrap(range.start().get().wrapping_add(by), width);
        AddrRange::new(TargetAddr::new(start), range.len_bytes())
    };
    let mut bias = region.bias;
    if let Some(word) = &mut bias {
        word.range = further(word.range, word.pointer_width)?;
    }
    Some(CounterRegion { range: further(region.range, region.pointer_width)?, bias, ..region.clone() })
}

#[cfg(test)]
#[path = "find_again_tests.rs"]
mod tests;
