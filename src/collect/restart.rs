//! What happens between two runs of a target: the end of one is kept, the beginning of the next is waited for.
//!
//! What enters is evidence of a reset; what leaves is a target whose counters are those of the new run alone.
//!
//! What always holds: the last reading of a run is added to the sums once. Nothing of the old run is taken for the new
//! one's: start-up code sets counters to zero one after the other, and a reading that comes meanwhile shows some of the old
//! ones. So a run begins with the first two readings of which the later is nowhere behind the earlier, and shows that
//! something counts, or that nothing has changed for [`QUIET`].
//!
//! A reset that is told need not show: counters may be kept, or have come as far again before they were read. It has been
//! seen to show or not: a target whose counters fell once after a reset that was told begins each of its runs at zero, and
//! what was in doubt until then is believed. Until that is seen, what the run before counted is left out: so sums may be
//! too small, and never too large.
//!
//! An image that a reset may load elsewhere is [searched for](super::find_again) first. A told reset of such a target always
//! ends its run, and what is left at the old place is read only once most of its counters have fallen.
//!
//! Limits: a run that is over, rests, and is ahead of the one before in every counter by the time of its first reading is
//! taken for that one, unless the target was [held](covtap_link::HoldBeforeLoss) before the reset, or stopped [where its
//! program begins](super::calls) after it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use covtap_link::TargetEvent;

use super::reader::{Reader, nothing};
use super::sure::Found;
use super::torn::Standing;
use super::{CollectError, Counters, Delta, Notice, ResetEvidence};

/// How long counters that do not change must be at rest.
const QUIET: Duration = Duration::from_millis(10);

/// How long a target that starts is watched at a time.
const PATIENCE: Duration = Duration::from_millis(200);

/// From one look to the next.
const LOOK: Duration = Duration::from_micros(500);

/// How long counters that are elsewhere must have counted, and none have fallen.
const STEADY: Duration = Duration::from_millis(50);

/// For how long it takes more than a change to believe that an image that may be elsewhere is where it was: the next boot
/// loads its own in that time.
const WARY_FOR: Duration = Duration::from_secs(20);

/// After this long a reset that does not show is in doubt.
const SHOWS_WITHIN: Duration = Duration::from_secs(1);

/// A run that has ended, while the next one has not begun.
pub(super) struct Restart {
    /// The last reading of the run that ended.
    last: Arc<Counters>,
    /// Whether the target counted nothing between that reading and its reset.
    is_exact: bool,
    /// Whether its counters have been set back.
    has_shown: bool,
    /// Most counters have been seen to be behind, where they were.
    has_fallen: bool,
    /// When an image was found elsewhere than in the run that ended: its counters are none of that one's.
    pub(super) moved: Option<Instant>,
    since: Instant,
}

impl Restart {
    /// A run has ended with the reading `last`.
    pub(super) fn after(last: &Arc<Counters>, is_exact: bool) -> Self {
        let last = Arc::clone(last);
        Self { last, is_exact, has_shown: false, has_fallen: false, moved: None, since: Instant::now() }
    }

    /// The new run is where the old one was not.
    pub(super) fn move_on(&mut self) {
        self.has_shown = true;
        self.moved = Some(Instant::now());
    }

    /// Whether a reading is of the new run. `first` is the first one since the reset.
    fn shows_in(&self, reader: &Reader, first: &Counters, reading: &Counters) -> bool {
        let delta = Delta::between(reader.places.regions(), &self.last, reading);
        if self.moved.is_none() && reader.find_again.is_some() && self.since.elapsed() < WARY_FOR {
            return self.has_fallen || is_mostly_behind(&delta);
        }
        let stale = if self.is_exact { &*self.last } else { first };
        self.has_shown
            || reader.calls.is_past_start()
            || delta.backwards > 0
            || reader.begins_at_zero && reading != stale
    }

    /// Whether counters that nothing was behind in for so long, and that have counted or not, are those of the run.
    fn is_steady(&self, quiet: Duration, has_counted: bool) -> bool {
        match self.moved {
            None => has_counted || quiet >= QUIET,
            // Memory that was any other's is set to zero by the image's own start-up code.
            Some(moved) => {
                has_counted && quiet >= STEADY || moved.elapsed() >= SHOWS_WITHIN && quiet >= QUIET
            }
        }
    }

    /// How long a reset may take to show.
    fn shows_within(reader: &Reader) -> Duration {
        if reader.find_again.is_some() { WARY_FOR } else { SHOWS_WITHIN }
    }
}

/// Whether counters are those of a run that begins. A target that loads its image elsewhere may write anything over the
/// old one: then most of them grow.
fn is_mostly_behind(delta: &Delta) -> bool {
    delta.backwards > delta.changed / 2
}

impl Reader {
    /// Has the target's run end with the last reading. Whether counters fell, or the reset was only told.
    pub(super) fn end_run(&mut self, evidence: ResetEvidence, has_shown: bool) {
        if has_shown && evidence == ResetEvidence::Event && !self.begins_at_zero {
            self.begins_at_zero = true;
            self.is_followed = false;
            self.sums.believe_doubtful(self.places.regions());
        }
        if self.at_rest.as_ref() != Some(&self.previous) {
            self.notices.push(Notice::Reset { after: self.taken, evidence });
            self.resets += 1;
        }
        self.is_reset_told = false;
        self.restart = Some(Restart { has_shown, ..Restart::after(&self.previous, self.is_exact) });
        if let Some(again) = &mut self.find_again {
            again.begin();
        }
    }

    /// Waits until the counters are those of the new run; whether they are.
    pub(super) fn begin_run(&mut self) -> Result<bool, CollectError> {
        if self.is_reset_told && self.ends_when_told() && self.restart.is_none() {
            self.end_run(ResetEvidence::Event, false);
        }
        let Some(mut restart) = self.restart.take() else { return Ok(true) };
        let begun = self.is_started(&mut restart);
        match begun {
            Ok(true) => {
                if self.at_rest.take().is_none_or(|nothing| nothing != restart.last) {
                    self.sums.end_run(self.places.regions(), &restart.last);
                }
                self.previous = Arc::new(nothing(self.places.regions())?);
                (self.is_first, self.is_followed) = (true, false);
                self.is_exact = false;
                self.standing = Standing::default();
                self.calls.note_reset();
                return Ok(true);
            }
            // Memory may not be there yet, nor the word that says where counters are.
            Ok(false) | Err(CollectError::Misplaced { .. } | CollectError::NeverAtRest { .. }) => {}
            Err(CollectError::Link(error)) if !error.is_fatal() => {}
            Err(error) => {
                self.restart = Some(restart);
                return Err(error);
            }
        }
        if restart.has_shown || restart.since.elapsed() < Restart::shows_within(self) {
            self.restart = Some(restart);
            return Ok(false);
        }
        self.doubt_run();
        Ok(true)
    }

    /// Whether a reset that is told ends a run though no counter shows it.
    fn ends_when_told(&self) -> bool {
        self.begins_at_zero || self.find_again.is_some()
    }

    /// Whether the target runs the same programs, and its counters are those of the new run.
    fn is_started(&mut self, restart: &mut Restart) -> Result<bool, CollectError> {
        self.look_whether_fallen(restart)?;
        Ok(self.are_images_placed(restart)? && self.watch_start(restart)? && self.runs_the_same()?)
    }

    /// Looks at counters that may be elsewhere where they were, before a search gives them the time to come as far again.
    fn look_whether_fallen(&mut self, restart: &mut Restart) -> Result<(), CollectError> {
        if self.find_again.is_none() || restart.moved.is_some() || restart.has_fallen {
            return Ok(());
        }
        let mut reading = self.buffer()?;
        let read = self.places.read(&mut self.link, Arc::make_mut(&mut reading));
        let delta = Delta::between(self.places.regions(), &restart.last, &reading);
        restart.has_fallen = read.is_ok() && is_mostly_behind(&delta);
        self.pool.push(reading);
        read.map(|_| ())
    }

    /// Goes on as if the target had not been reset; what it had counted by then is kept aside.
    fn doubt_run(&mut self) {
        self.sums.doubt_run(self.places.regions(), &self.previous);
        self.notices.push(Notice::ResetUnseen { after: self.taken });
        self.is_reset_told = false;
        self.is_exact = false;
        self.calls.note_reset();
    }

    /// Whether the target runs the same programs as before the reset; said once if not.
    fn runs_the_same(&mut self) -> Result<bool, CollectError> {
        match self.check_identity() {
            Ok(()) => {
                self.is_other_said = false;
                Ok(true)
            }
            Err(other @ CollectError::WrongImage { .. }) => {
                if !std::mem::replace(&mut self.is_other_said, true) {
                    self.notices.push(Notice::OtherImage { error: other.to_string() });
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether readings are steady, and of the new run.
    fn watch_start(&mut self, restart: &Restart) -> Result<bool, CollectError> {
        let mut readings = [self.buffer()?, self.buffer()?, self.buffer()?];
        let watched = self.watch_readings(restart, readings.each_mut().map(Arc::make_mut));
        self.pool.extend(readings);
        watched
    }

    fn watch_readings(
        &mut self,
        restart: &Restart,
        [first, mut earlier, mut later]: [&mut Counters; 3],
    ) -> Result<bool, CollectError> {
        let started = Instant::now();
        let (mut since_fall, mut has_counted) = (started, false);
        self.places.read(&mut self.link, earlier)?;
        first.copy_from(earlier);
        loop {
            thread::sleep(LOOK);
            self.places.read(&mut self.link, later)?;
            self.look_for_events()?;
            if self.is_reset_told && self.find_again.is_some() {
                // It may be anywhere now.
                return Ok(false);
            }
            let delta = Delta::between(self.places.regions(), earlier, later);
            // A target that was reset once more begins once more.
            let is_again = std::mem::take(&mut self.is_reset_told);
            if delta.backwards > 0 || is_again {
                (since_fall, has_counted) = (Instant::now(), false);
            } else {
                has_counted |= delta.changed > 0;
                if restart.shows_in(self, first, later)
                    && restart.is_steady(since_fall.elapsed(), has_counted)
                {
                    return Ok(true);
                }
            }
            if self.ended || started.elapsed() > PATIENCE {
                return Ok(false);
            }
            std::mem::swap(&mut earlier, &mut later);
        }
    }

    /// Looks for what the target tells between two snapshots. After a reset the beginning of the new run is caught here,
    /// before it has come far. Whether a snapshot is due at once: the target is held before a reset or its end, or has ended.
    ///
    /// # Errors
    ///
    /// The link failed.
    pub fn watch(&mut self) -> Result<bool, CollectError> {
        self.look_for_events()?;
        if self.held.is_some() {
            return Ok(true);
        }
        self.rearm_if_due()?;
        if self.is_reset_told && self.restart.is_none() {
            if self.ends_when_told() {
                self.begin_run()?;
            } else {
                self.look_for_fall()?;
            }
        } else if self.is_search_due() {
            if self.restart.is_none() {
                self.search_on()?;
            }
            self.begin_run()?;
        }
        Ok(self.held.is_some() || self.ended)
    }

    /// Looks whether a reset that was told shows.
    pub(super) fn look_for_fall(&mut self) -> Result<(), CollectError> {
        let mut reading = self.buffer()?;
        let found = self.read_surely(Arc::make_mut(&mut reading));
        self.pool.push(reading);
        match found {
            Ok(Found::Reset(evidence)) => {
                self.end_run(evidence, true);
                self.begin_run().map(|_| ())
            }
            Ok(Found::Sure(_)) => Ok(()),
            Err(CollectError::Link(error)) if !error.is_fatal() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a snapshot of a target that is held: lets it be reset, or end.
    pub(super) fn release(&mut self) -> Result<(), CollectError> {
        match self.held.take() {
            None => Ok(()),
            Some(held) => {
                self.ended |= held == TargetEvent::AboutToExit;
                // It has stood still since before the snapshot.
                self.is_exact = true;
                Ok(self.link.release()?)
            }
        }
    }

    /// A reset was told, and a snapshot has nothing behind: if something was counted meanwhile, it will never show.
    pub(super) fn see_whether_shown(&mut self, delta: &Delta) {
        if self.is_reset_told && delta.changed > 0 {
            self.doubt_run();
        }
    }
}
