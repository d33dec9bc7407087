//! What happens between two runs of a target: the end of one is kept, the beginning of the next is waited for.
//!
//! What enters is evidence of a reset; what leaves is a target whose counters are those of the new run alone.
//!
//! What always holds: the last reading of a run is added to the sums once. Nothing of the old run is taken for the new
//! one's: start-up code sets counters to zero one after the other, and a reading that comes meanwhile shows some of the old
//! ones. So a run begins with the first two readings of which the later is nowhere behind the earlier, and shows that
//! something counts, or that nothing has changed for [`QUIET`]. A reset that was told, and after which counters go on
//! where they were, has left them alone: then no run has ended.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use covtap_link::TargetEvent;

use super::reader::{Reader, room};
use super::sure::Found;
use super::torn::Standing;
use super::{CollectError, Delta, Notice, ResetEvidence};

/// How long counters that do not change must be at rest.
const QUIET: Duration = Duration::from_millis(10);

/// How long a target that starts is watched at a time.
const PATIENCE: Duration = Duration::from_millis(200);

/// From one look to the next.
const LOOK: Duration = Duration::from_micros(500);

impl Reader {
    /// Keeps what the run that ended had counted.
    pub(super) fn end_run(&mut self, evidence: ResetEvidence) -> Result<(), CollectError> {
        let regions = self.places.regions();
        self.sums.end_run(regions, &self.previous);
        self.resets += 1;
        self.is_reset_told = false;
        self.is_restarting = true;
        self.is_first = true;
        self.standing = Standing::default();
        self.previous = Arc::new(room(regions)?);
        self.notices.push(Notice::Reset { after: self.taken, evidence });
        Ok(())
    }

    /// Waits until the counters are those of the new run; whether they are.
    pub(super) fn begin_run(&mut self) -> Result<bool, CollectError> {
        if !self.is_restarting {
            return Ok(true);
        }
        match self.watch_start().and_then(|is_steady| Ok(is_steady && self.runs_the_same()?)) {
            Ok(has_begun) => {
                self.is_restarting = !has_begun;
                Ok(has_begun)
            }
            // Memory may not be there yet, nor the word that says where counters are.
            Err(CollectError::Link(error)) if !error.is_fatal() => Ok(false),
            Err(CollectError::Misplaced { .. } | CollectError::NeverAtRest { .. }) => Ok(false),
            Err(error) => Err(error),
        }
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

    fn watch_start(&mut self) -> Result<bool, CollectError> {
        let started = Instant::now();
        let mut at_rest = started;
        let (mut earlier, mut later) = (room(self.places.regions())?, room(self.places.regions())?);
        self.places.read(&mut self.link, &mut earlier)?;
        loop {
            thread::sleep(LOOK);
            self.places.read(&mut self.link, &mut later)?;
            self.look_for_events()?;
            let delta = Delta::between(self.places.regions(), &earlier, &later);
            // A target that was reset once more begins once more.
            let is_again = std::mem::take(&mut self.is_reset_told);
            if delta.backwards > 0 || is_again {
                at_rest = Instant::now();
            } else if delta.changed > 0 || at_rest.elapsed() >= QUIET {
                return Ok(true);
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
        if self.is_reset_told && !self.is_restarting && self.held.is_none() {
            let mut reading = self.buffer()?;
            let found = self.read_surely(Arc::make_mut(&mut reading));
            self.pool.push(reading);
            match found {
                Ok(Found::Reset(evidence)) => {
                    self.end_run(evidence)?;
                    self.begin_run()?;
                }
                Ok(Found::Sure(_)) => {}
                Err(CollectError::Link(error)) if !error.is_fatal() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.held.is_some() || self.ended)
    }

    /// After a snapshot of a target that is held: lets it be reset, or end.
    pub(super) fn release(&mut self) -> Result<(), CollectError> {
        match self.held.take() {
            None => Ok(()),
            Some(held) => {
                self.ended |= held == TargetEvent::AboutToExit;
                Ok(self.link.release()?)
            }
        }
    }

    /// A reset was told, and a snapshot has nothing behind: if something was counted meanwhile, counters were kept.
    pub(super) fn see_whether_kept(&mut self, delta: &Delta) {
        if self.is_reset_told && delta.changed > 0 {
            self.is_reset_told = false;
            self.notices.push(Notice::CountersKept { after: self.taken });
        }
    }
}
