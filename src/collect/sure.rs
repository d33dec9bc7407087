//! One reading, repeated until every counter of it can be believed, or is left as it was.
//!
//! What enters is the reader's link and the reading that was believed last; what leaves is a reading, or the evidence that
//! the target was reset. What always holds: no more than [`MAX_REREADS`] further readings are made; a counter that none of
//! them settled keeps its last good value and is counted; a target that only [lost updates](super::lost) is no target
//! that was reset.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use covtap_link::{Effect, ReadReport};

use super::lost::Losses;
use super::reader::{Reader, room};
use super::torn::{Context, Doubt, Examined, STANDS_FOR};
use super::{Changes, CollectError, Counters, Delta, ResetEvidence};

/// How often a reading is repeated before what is behind counts as a reset. One torn carry settles with the next two
/// readings.
const MAX_REREADS: u32 = 4;

/// The same where nothing stops the target for it: a thread that waits for its processor between two stores needs more.
const MAX_REREADS_FREE: u32 = 12;

/// How often a reading is repeated whose losses are all small. They cannot be tears, but a reset that has just begun may
/// look like them.
const MIN_REREADS_OF_LOST: u32 = 1;

/// How long to wait before a reading if nothing that is doubtful changed.
const FIRST_WAIT: Duration = Duration::from_micros(50);

/// Waits double up to this: they come to 11 ms together at most.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// The same after those of a first reading, where there is nothing to keep instead: what stands may have to for long.
const LONGEST_WAIT_OF_FIRST: Duration = Duration::from_millis(100);

/// A first reading takes no longer than this, whatever the target does.
const FIRST_WITHIN: Duration = STANDS_FOR.saturating_mul(2);

/// A reading in which no counter is torn.
#[derive(Default)]
pub(super) struct Sure {
    pub(super) delta: Delta,
    pub(super) changes: Changes,
    /// How many counts the target has lost since the snapshot before.
    pub(super) lost: u64,
    /// How many counters keep their last good value.
    pub(super) unsettled: u64,
    pub(super) report: ReadReport,
    pub(super) rereads: u32,
    /// By region.
    pub(super) moved: Vec<bool>,
}

/// What reading came to.
pub(super) enum Found {
    Sure(Sure),
    Reset(ResetEvidence),
}

impl Reader {
    /// Reads all regions until no counter may be torn.
    pub(super) fn read_surely(&mut self, reading: &mut Counters) -> Result<Found, CollectError> {
        let mut sure = Sure::default();
        let mut doubts = self.read_anew(reading, &mut sure)?;
        let mut scratch = None;
        let (mut wait, started) = (FIRST_WAIT, Instant::now());
        let max_rereads =
            if self.link.info().effect == Effect::Free { MAX_REREADS_FREE } else { MAX_REREADS };
        while !doubts.is_empty()
            && (sure.rereads < max_rereads || self.waits_for_first(&doubts, started))
            && !self.is_small_loss(reading, &doubts, &sure)
        {
            let again = match &mut scratch {
                Some(again) => again,
                None => scratch.insert(room(self.places.regions())?),
            };
            let biases = self.places.biases().to_vec();
            let once = self.places.read(&mut self.link, again)?;
            sure.report += once.report;
            sure.rereads += 1 + once.rereads;
            self.look_for_events()?;
            if self.places.biases() != biases {
                // The counters are elsewhere now: all of the reading is of the past.
                std::mem::swap(reading, again);
                doubts = self.examine(reading, &mut sure);
                continue;
            }
            self.add_newly_behind(&mut doubts, again, &sure.moved);
            self.look(&mut doubts, reading, again, &sure.moved);
            if doubts.iter().all(|doubt| doubt.stood) {
                thread::sleep(wait);
                let longest = if sure.rereads < max_rereads { LONGEST_WAIT } else { LONGEST_WAIT_OF_FIRST };
                wait = longest.min(wait.saturating_mul(2));
            }
        }
        Ok(self.judge(&doubts, reading, sure))
    }

    /// Whether a first reading goes on until what stands has stood for long.
    fn waits_for_first(&self, doubts: &[Doubt], started: Instant) -> bool {
        self.is_first && started.elapsed() < FIRST_WITHIN && doubts.iter().any(Doubt::may_be_whole)
    }

    /// The first reading, and what of it is doubtful.
    fn read_anew(&mut self, reading: &mut Counters, sure: &mut Sure) -> Result<Vec<Doubt>, CollectError> {
        let biases = self.places.biases().to_vec();
        let once = self.places.read(&mut self.link, reading)?;
        sure.report += once.report;
        sure.rereads += once.rereads;
        sure.moved = self.places.moved_since(&biases);
        self.look_for_events()?;
        Ok(self.examine(reading, sure))
    }

    fn context<'c>(&'c self, moved: &'c [bool]) -> Context<'c> {
        let (regions, before) = (self.places.regions(), &*self.previous);
        Context { regions, before, is_first: self.is_first, moved, standing: &self.standing }
    }

    fn examine(&self, reading: &Counters, sure: &mut Sure) -> Vec<Doubt> {
        let Examined { delta, changes, doubts } = self.context(&sure.moved).examine(reading);
        (sure.delta, sure.changes) = (delta, changes);
        doubts
    }

    /// A reset that comes between two readings leaves more behind than there was.
    fn add_newly_behind(&self, doubts: &mut Vec<Doubt>, again: &Counters, moved: &[bool]) {
        let Examined { delta, doubts: found, .. } = self.context(moved).examine(again);
        if delta.backwards > 0 {
            let known: HashSet<_> = doubts.iter().map(Doubt::place).collect();
            doubts.extend(
                found.into_iter().filter(|doubt| doubt.has_fallen() && !known.contains(&doubt.place())),
            );
        }
    }

    /// Takes a further reading of what is doubtful, and keeps what is so still.
    fn look(&mut self, doubts: &mut Vec<Doubt>, reading: &mut Counters, again: &Counters, moved: &[bool]) {
        let context = self.context(moved);
        let mut fast = Vec::new();
        doubts.retain_mut(|doubt| {
            let value = context.look(doubt, again);
            fast.extend(doubt.is_fast().then(|| doubt.place()));
            match value {
                Some(value) => doubt.put(context.regions, reading, value),
                None if doubt.is_behind() => doubt.put_last(context.regions, reading),
                None => {}
            }
            value.is_none()
        });
        self.standing.mark_fast(fast);
    }

    /// Whether all that is doubtful are losses too small for tears.
    fn is_small_loss(&self, reading: &Counters, doubts: &[Doubt], sure: &Sure) -> bool {
        sure.rereads >= MIN_REREADS_OF_LOST
            && !self.is_reset_told
            && doubts.iter().all(Doubt::is_behind)
            && self.losses(reading, &sure.moved).are_small()
            && self.losses(reading, &sure.moved).are_lost_updates()
    }

    fn losses(&self, reading: &Counters, moved: &[bool]) -> Losses {
        Losses::between(self.places.regions(), &self.previous, reading, moved)
    }

    /// What the readings together say.
    fn judge(&mut self, doubts: &[Doubt], reading: &mut Counters, mut sure: Sure) -> Found {
        let regions = self.places.regions();
        let (mut behind, mut torn) = (0u64, 0u64);
        for doubt in doubts {
            if doubt.is_behind() {
                behind += 1;
            } else {
                torn += u64::from(doubt.looks_torn());
                doubt.put_before(regions, reading);
            }
        }
        let is_reset = if self.is_reset_told {
            behind + torn > 0
        } else {
            behind > 0 && !self.losses(reading, &sure.moved).are_lost_updates()
        };
        if is_reset {
            return Found::Reset(match self.is_reset_told {
                true => ResetEvidence::Event,
                false => ResetEvidence::Backwards { counters: behind + torn, rereads: sure.rereads },
            });
        }
        sure.unsettled = doubts.len() as u64 - behind;
        if self.is_first {
            // What is kept, zeros, was never seen to be before them.
            self.standing.mark_fast(doubts.iter().map(Doubt::place));
        }
        self.standing.keep(doubts);
        if sure.rereads > 0 {
            self.compare_anew(reading, &mut sure);
        }
        Found::Sure(sure)
    }

    /// Takes into account that parts were read anew.
    pub(super) fn compare_anew(&self, reading: &Counters, sure: &mut Sure) {
        self.examine(reading, sure);
        // Nearly always there are none, and looking for them takes longer.
        sure.lost = match sure.delta.backwards {
            0 => 0,
            _ => self.losses(reading, &sure.moved).counts,
        };
    }
}
