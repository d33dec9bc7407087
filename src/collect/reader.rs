//! Takes one snapshot after another, and believes none that went backwards, but where the target [lost
//! updates](super::lost): the counts that it has are the ones there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use covtap_link::TargetEvent;

use super::calls::Calls;
use super::find_again::FindAgain;
use super::places::Places;
use super::restart::Restart;
use super::sums::Sums;
use super::sure::{Found, Sure};
use super::torn::Standing;
use super::{
    Checked, Coherence, CollectError, Counters, Expected, FollowedList, MeteredLink, Notice, ResetEvidence,
    Snapshot, Taken, coherence, lists,
};
use crate::locate::{CounterRegion, ListHead, MergeRule};

/// The most that all regions together may hold. An image chooses the size, and it may be damaged.
const MAX_COUNTER_BYTES: u64 = 1 << 30;

/// Counters of so many bytes are not kept a third time so as not to wait for the writer.
const MANY_BYTES: u64 = 4 << 20;

/// How often a snapshot is begun anew because the target was reset meanwhile.
const MAX_RESTARTS: u32 = 4;

/// Reads the regions of one target, again and again.
pub struct Reader {
    pub(super) link: MeteredLink,
    pub(super) places: Places,
    pub(super) expected: Vec<Expected>,
    checks: Option<Box<dyn Coherence>>,
    lists: Vec<ListHead>,
    /// The reading that was believed last, of this run of the target.
    pub(super) previous: Arc<Counters>,
    /// Whether there was none: it is that of a target in which nothing has run.
    pub(super) is_first: bool,
    /// Buffers handed out in earlier snapshots; one that came back is used again.
    pub(super) pool: Vec<Arc<Counters>>,
    pub(super) standing: Standing,
    pub(super) sums: Sums,
    pub(super) taken: u64,
    /// Whether what was read last is all that the last snapshot differs by from the next.
    pub(super) is_followed: bool,
    lost: u64,
    pub(super) resets: u64,
    era: u64,
    /// The target said that it was reset, and nothing has shown it yet.
    pub(super) is_reset_told: bool,
    /// After a reset that was told, counters have been seen to fall.
    pub(super) begins_at_zero: bool,
    /// The target has counted nothing since `previous`: it was held, and then reset.
    pub(super) is_exact: bool,
    pub(super) restart: Option<Restart>,
    /// The images that a reset may move.
    pub(super) find_again: Option<FindAgain>,
    /// What there was before anything was executed.
    pub(super) at_rest: Option<Arc<Counters>>,
    /// It was told that the target runs something else since the reset.
    pub(super) is_other_said: bool,
    /// What the target is held before.
    pub(super) held: Option<TargetEvent>,
    /// Where it is stopped by calls.
    pub(super) calls: Calls,
    pub(super) ended: bool,
    pub(super) notices: Vec<Notice>,
}

impl Reader {
    /// A reader of `regions` over `link`. Reads everything once, so that even the first snapshot has a
    /// reading to be compared with.
    ///
    /// # Errors
    ///
    /// The regions are too large, or the link failed.
    pub fn new(link: MeteredLink, regions: Vec<CounterRegion>) -> Result<Self, CollectError> {
        let (nothing, mut first) = (nothing(&regions)?, room(&regions)?);
        let mut reader = Self {
            link,
            places: Places::new(regions),
            expected: Vec::new(),
            checks: None,
            lists: Vec::new(),
            previous: Arc::new(nothing),
            is_first: true,
            pool: Vec::new(),
            standing: Standing::default(),
            sums: Sums::default(),
            taken: 0,
            is_followed: false,
            lost: 0,
            resets: 0,
            era: 0,
            is_reset_told: false,
            begins_at_zero: false,
            is_exact: false,
            restart: None,
            find_again: None,
            at_rest: None,
            is_other_said: false,
            held: None,
            calls: Calls::default(),
            ended: false,
            notices: Vec::new(),
        };
        for _ in 0..MAX_RESTARTS {
            // Nothing is behind a first reading: a reset while it is made shows in the next one.
            if let Found::Sure(_) = reader.read_surely(&mut first)? {
                break;
            }
        }
        reader.believe(Arc::new(first));
        // Whatever happened to the target before is none of this session's.
        reader.is_reset_told = false;
        Ok(reader)
    }

    /// What the target must run when it was reset, or is reached over another link.
    #[must_use]
    pub fn expecting(mut self, expected: Vec<Expected>) -> Self {
        self.expected = expected;
        self
    }

    /// Lets every snapshot be checked for counters that cannot be of one moment; those are read again.
    #[must_use]
    pub fn with_checks(mut self, checks: Box<dyn Coherence>) -> Self {
        coherence::clear(&*checks, Arc::make_mut(&mut self.previous));
        self.checks = Some(checks);
        self
    }

    /// Lets every snapshot have the values of lists that begin in its regions. Their nodes are at the target's own
    /// addresses: a link that reads others, physical ones say, must not be given any.
    #[must_use]
    pub fn with_lists(mut self, lists: Vec<ListHead>) -> Self {
        self.lists = lists;
        self
    }

    /// Lets counting begin with what the target has counted by now, which is the baseline from here on.
    #[must_use]
    pub fn with_baseline(mut self) -> Self {
        self.sums.set_baseline(Arc::clone(&self.previous));
        self
    }

    /// The target has not executed anything yet: what it has in place of counters, until start-up code sets them, is no
    /// run of its own.
    #[must_use]
    pub fn at_rest(mut self) -> Self {
        self.at_rest = Some(Arc::clone(&self.previous));
        self
    }

    /// Has the target held before a reset or its end, for a last snapshot.
    ///
    /// # Errors
    ///
    /// The link cannot do it.
    pub fn hold_before_loss(&mut self) -> Result<(), CollectError> {
        self.link.arm()
    }

    /// How many snapshots were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How often the target was reset, as far as that was noticed.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// For how long the workload was stopped so far, attaching included.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.link.pause()
    }

    /// Whether the target has said that it ended, or was let go to its end.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// How often what happens to the target is to be looked for; `None` where the link is not told of it.
    #[must_use]
    pub(super) fn look_every(&mut self) -> Option<Duration> {
        self.link.look_every()
    }

    /// Whether the writer still has what the next reading would be put into, and more memory is not to be had lightly.
    #[must_use]
    pub(super) fn waits_for_writer(&self) -> bool {
        if self.pool.is_empty() || self.pool.iter().any(is_free) {
            return false;
        }
        len_bytes(self.places.regions()) >= MANY_BYTES
    }

    /// What is to be known and was not told yet.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes a snapshot that was due at `at`. A target that is held before a reset or its end is let go after it.
    ///
    /// # Errors
    ///
    /// The link failed: nothing of that reading is kept.
    pub fn take(&mut self, at: Duration) -> Result<Taken, CollectError> {
        for _ in 0..MAX_RESTARTS {
            self.look_for_events()?;
            if self.ended {
                return Ok(Taken::Ended);
            }
            if !self.begin_run()? {
                break;
            }
            // What is read before the target is held need not be the last.
            let is_last = self.held.is_some();
            let mut reading = self.buffer()?;
            match self.read(Arc::make_mut(&mut reading)) {
                Ok(Read::Sure(sure, checked, lists)) => {
                    let snapshot = self.snapshot(at, reading, *sure, checked, lists)?;
                    if is_last {
                        self.release()?;
                    }
                    return Ok(Taken::Snapshot(Box::new(snapshot)));
                }
                Ok(Read::Reset(evidence)) => self.end_run(evidence, true),
                Err(error) => return self.unless_ended(error),
            }
        }
        if self.ended { Ok(Taken::Ended) } else { Ok(Taken::Restarting) }
    }

    /// Lets counting begin anew at the last snapshot that was taken: on the host alone.
    ///
    /// # Errors
    ///
    /// The host has no memory for it.
    pub fn reset(&mut self) -> Result<(), CollectError> {
        let all = self.counted()?;
        self.sums.set_baseline(all);
        self.is_followed = false;
        self.era += 1;
        Ok(())
    }

    /// Where the target is.
    pub(super) fn target(&self) -> String {
        self.link.info().endpoint
    }

    pub(super) fn era(&self) -> u64 {
        self.era
    }

    pub(super) fn is_restarting(&self) -> bool {
        self.restart.is_some()
    }

    pub(super) fn regions(&self) -> &[CounterRegion] {
        self.places.regions()
    }

    /// All that was counted by the last snapshot, whatever the baseline.
    pub(super) fn counted(&mut self) -> Result<Arc<Counters>, CollectError> {
        let last = Arc::clone(&self.previous);
        self.all(&last)
    }

    /// One reading that can be believed, whole.
    fn read(&mut self, reading: &mut Counters) -> Result<Read, CollectError> {
        let mut sure = match self.read_surely(reading)? {
            Found::Sure(sure) => sure,
            Found::Reset(evidence) => return Ok(Read::Reset(evidence)),
        };
        let checked = self.settle(reading, &mut sure)?;
        let lists = self.follow(reading, &mut sure)?;
        Ok(Read::Sure(Box::new(sure), checked, lists))
    }

    /// Makes a snapshot of a reading.
    fn snapshot(
        &mut self,
        at: Duration,
        reading: Arc<Counters>,
        sure: Sure,
        checked: Option<Checked>,
        lists: Vec<FollowedList>,
    ) -> Result<Snapshot, CollectError> {
        let Sure { delta, mut changes, lost, unsettled, report, rereads, moved } = sure;
        self.see_whether_shown(&delta);
        let is_followed = std::mem::replace(&mut self.is_followed, true);
        changes.since = self.taken;
        self.taken += 1;
        self.lost = self.lost.saturating_add(lost);
        let all = self.all(&reading)?;
        let counters = self.since_baseline(all)?;
        self.believe(reading);
        Ok(Snapshot {
            number: self.taken,
            at,
            counters,
            delta,
            changes: is_followed.then_some(changes),
            report,
            rereads,
            unsettled,
            lost: self.lost,
            resets: self.resets,
            era: self.era,
            moved: moved.contains(&true),
            checked,
            lists,
        })
    }

    /// From now on readings are compared with this one.
    fn believe(&mut self, reading: Arc<Counters>) {
        self.is_first = false;
        self.pool.push(std::mem::replace(&mut self.previous, reading));
    }

    /// What was counted in all runs, with `reading` of this one.
    fn all(&mut self, reading: &Arc<Counters>) -> Result<Arc<Counters>, CollectError> {
        if !self.sums.has_ended_runs() {
            return Ok(Arc::clone(reading));
        }
        let all = self.buffer()?;
        Ok(self.sums.all(self.places.regions(), reading, all))
    }

    /// What of it counts.
    fn since_baseline(&mut self, all: Arc<Counters>) -> Result<Arc<Counters>, CollectError> {
        if !self.sums.has_baseline() {
            return Ok(all);
        }
        let since = self.buffer()?;
        let counted = self.sums.since_baseline(self.places.regions(), &all, since);
        self.pool.push(all);
        Ok(counted)
    }

    /// Reads again what is not coherent, if somebody can tell.
    fn settle(&mut self, reading: &mut Counters, sure: &mut Sure) -> Result<Option<Checked>, CollectError> {
        let Some(checks) = &self.checks else { return Ok(None) };
        let target = (&mut self.link, &self.places);
        let checked = coherence::settle(&**checks, target, &self.previous, reading, &mut sure.report)?;
        if checked.read_again > 0 {
            self.look_for_events()?;
            self.compare_anew(reading, sure);
        }
        Ok(Some(checked))
    }

    /// Follows the lists that begin in the regions.
    fn follow(&mut self, reading: &mut Counters, sure: &mut Sure) -> Result<Vec<FollowedList>, CollectError> {
        if self.lists.is_empty() {
            return Ok(Vec::new());
        }
        let target = (&mut self.link, &self.places);
        let followed = lists::follow(&self.lists, target, reading, &mut sure.report)?;
        self.look_for_events()?;
        self.compare_anew(reading, sure);
        Ok(followed)
    }

    /// Leaves the target as it was found.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer.
    pub fn detach(&mut self) -> Result<(), CollectError> {
        Ok(self.link.detach()?)
    }

    /// Goes on over another link to the same target.
    ///
    /// # Errors
    ///
    /// The target runs something else, or that link fails too.
    pub fn reconnect(&mut self, mut link: MeteredLink) -> Result<(), CollectError> {
        self.find_after_link_loss(&mut link)?;
        check_all(&self.expected, &mut link)?;
        self.calls.again(&mut link)?;
        self.link = link.after(&self.link);
        self.held = None;
        Ok(())
    }

    /// Makes sure that the target runs what it did.
    pub(super) fn check_identity(&mut self) -> Result<(), CollectError> {
        check_all(&self.expected, &mut self.link)
    }

    /// What a failed reading comes to: nothing, if the target has just said that it ended.
    fn unless_ended(&mut self, error: CollectError) -> Result<Taken, CollectError> {
        match self.look_for_events() {
            Ok(()) if self.ended => Ok(Taken::Ended),
            Ok(()) | Err(_) => Err(error),
        }
    }

    /// Takes note of what the target told.
    pub(super) fn look_for_events(&mut self) -> Result<(), CollectError> {
        let began = Instant::now();
        while let Some(event) = self.link.poll()? {
            match event {
                TargetEvent::Reset => self.is_reset_told = true,
                TargetEvent::AboutToReset | TargetEvent::AboutToExit => self.held = Some(event),
                TargetEvent::Exited => self.ended = true,
                TargetEvent::Stopped => self.calls.note_stop(),
                _ => {}
            }
        }
        self.calls.note_look(began);
        Ok(())
    }

    /// Room for a reading that nobody else holds.
    pub(super) fn buffer(&mut self) -> Result<Arc<Counters>, CollectError> {
        let free = self.pool.iter().position(is_free);
        if let Some(free) = free {
            return Ok(self.pool.swap_remove(free));
        }
        // The writer still holds them all: they live on with it, and come not back here.
        self.pool.clear();
        room(self.places.regions()).map(Arc::new)
    }
}

fn len_bytes(regions: &[CounterRegion]) -> u64 {
    regions.iter().fold(0, |sum, region| sum.saturating_add(region.range.len_bytes()))
}

/// Whether nobody else holds it.
fn is_free(counters: &Arc<Counters>) -> bool {
    Arc::strong_count(counters) == 1
}

fn check_all(expected: &[Expected], link: &mut MeteredLink) -> Result<(), CollectError> {
    expected.iter().try_for_each(|expected| expected.check(link).map(|_| ()))
}

/// What one reading came to.
enum Read {
    Sure(Box<Sure>, Option<Checked>, Vec<FollowedList>),
    Reset(ResetEvidence),
}

/// The reading of a target in which nothing has run.
pub(super) fn nothing(regions: &[CounterRegion]) -> Result<Counters, CollectError> {
    let mut counters = room(regions)?;
    for (region, bytes) in regions.iter().zip(counters.regions_mut()) {
        if region.merge == MergeRule::ClearedWhenHit {
            bytes.fill(u8::MAX);
        }
    }
    Ok(counters)
}

/// Room for one reading, as far as the host has it.
pub(super) fn room(regions: &[CounterRegion]) -> Result<Counters, CollectError> {
    let len_bytes = len_bytes(regions);
    let fitting = Some(regions).filter(|_| len_bytes <= MAX_COUNTER_BYTES);
    fitting
        .and_then(Counters::for_regions)
        .ok_or(CollectError::TooLarge { len_bytes, limit_bytes: MAX_COUNTER_BYTES })
}

#[cfg(test)]
#[path = "reader_tests.rs"]
pub(super) mod tests;
