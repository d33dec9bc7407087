//! Takes one snapshot after another, and believes none that went backwards, but where the target [lost
//! updates](super::lost): the counts that it has are the ones there are.

use std::sync::Arc;
use std::time::Duration;

use covtap_link::{ReadReport, TargetEvent};

use super::lost::Losses;
use super::places::Places;
use super::{
    Checked, Coherence, CollectError, Counters, Delta, FollowedList, MeteredLink, ResetEvidence, carry,
    coherence, lists,
};
use crate::locate::{CounterRegion, ListHead};

/// How often a reading that went backwards is repeated before the target counts as reset. One torn carry
/// settles with the next reading.
const MAX_REREADS: u32 = 4;

/// How often a reading is repeated whose losses are all small. They cannot be tears, but a reset that has just begun may
/// look like them.
const MIN_REREADS_OF_LOST: u32 = 1;

/// The most that all regions together may hold. An image chooses the size, and it may be damaged.
const MAX_COUNTER_BYTES: u64 = 1 << 30;

/// One believable reading of all regions.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counted from 1 in a session.
    pub number: u64,
    /// When it was due, from the session's start.
    pub at: Duration,
    /// The bytes.
    pub counters: Arc<Counters>,
    /// How it differs from the reading before.
    pub delta: Delta,
    /// What it cost, readings that were thrown away included.
    pub report: ReadReport,
    /// How many readings were done again: they went backwards, were made while a counter carried into its upper half, or
    /// missed counters that had moved.
    pub rereads: u32,
    /// How many counts the target itself has lost in this session so far, at least: it counts with several processors, or
    /// in interrupts, and not atomically.
    pub lost: u64,
    /// Whether the target counts elsewhere than at the snapshot before. What it counted there is in this one as far
    /// as the target copied it, as LLVM's runtime does.
    pub moved: bool,
    /// What was found of counters that belong together; `None` if [nobody can tell](Reader::with_checks).
    pub checked: Option<Checked>,
    /// The lists that were to be [followed](Reader::with_lists), in the same order.
    pub lists: Vec<FollowedList>,
}

/// A reading in which no counter is torn.
struct Sure {
    delta: Delta,
    /// How many counts the target has lost since the snapshot before.
    lost: u64,
    report: ReadReport,
    rereads: u32,
    /// By region.
    moved: Vec<bool>,
}

/// Reads the regions of one target, again and again.
pub struct Reader {
    link: MeteredLink,
    endpoint: String,
    places: Places,
    checks: Option<Box<dyn Coherence>>,
    lists: Vec<ListHead>,
    previous: Arc<Counters>,
    /// Buffers handed out in earlier snapshots; one that came back is used again.
    pool: Vec<Arc<Counters>>,
    taken: u64,
    lost: u64,
    ended: bool,
    /// Whether the target is held at its end.
    held: bool,
    /// Whether the last snapshot was read while it was.
    was_held: bool,
}

impl Reader {
    /// A reader of `regions` over `link`. Reads everything once, so that even the first snapshot has a
    /// reading to be compared with.
    ///
    /// # Errors
    ///
    /// The regions are too large, or the link failed.
    pub fn new(link: MeteredLink, regions: Vec<CounterRegion>) -> Result<Self, CollectError> {
        let (zeros, mut first) = (room(&regions)?, room(&regions)?);
        let endpoint = link.info().endpoint;
        let places = Places::new(regions);
        let previous = Arc::new(zeros);
        let mut reader = Self {
            link,
            endpoint,
            places,
            checks: None,
            lists: Vec::new(),
            previous,
            pool: Vec::new(),
            taken: 0,
            lost: 0,
            ended: false,
            held: false,
            was_held: false,
        };
        let (mut unsure, mut rereads) = (None, 0);
        loop {
            reader.places.read(&mut reader.link, &mut first)?;
            if reader.is_sure(&first, &mut unsure) {
                break;
            }
            if rereads == MAX_REREADS {
                return Err(reader.never_sure(rereads));
            }
            rereads += 1;
        }
        reader.previous = Arc::new(first);
        Ok(reader)
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

    /// How many snapshots were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// For how long the workload was stopped so far, attaching included.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.link.pause()
    }

    /// Takes a snapshot that was due at `at`; `None` if the target has ended.
    ///
    /// # Errors
    ///
    /// The link failed, or the target was reset: nothing of that reading is kept.
    pub fn take(&mut self, at: Duration) -> Result<Option<Snapshot>, CollectError> {
        if self.look_for_events()? {
            return Ok(None);
        }
        let was_held = self.held;
        let mut counters = self.buffer()?;
        let taken = self.read_surely(Arc::make_mut(&mut counters)).and_then(|mut sure| {
            let checked = self.settle(Arc::make_mut(&mut counters), &mut sure)?;
            let lists = self.follow(Arc::make_mut(&mut counters), &mut sure)?;
            Ok((sure, checked, lists))
        });
        let (Sure { delta, lost, report, rereads, moved }, checked, lists) = match taken {
            Ok(taken) => taken,
            Err(reset @ CollectError::Reset { .. }) => return Err(reset),
            Err(error) => return self.unless_ended(error),
        };
        self.taken += 1;
        self.was_held = was_held;
        self.lost = self.lost.saturating_add(lost);
        self.pool.push(std::mem::replace(&mut self.previous, Arc::clone(&counters)));
        let (number, lost, moved) = (self.taken, self.lost, moved.contains(&true));
        Ok(Some(Snapshot { number, at, counters, delta, report, rereads, lost, moved, checked, lists }))
    }

    /// Reads all regions until no counter may be torn.
    fn read_surely(&mut self, room: &mut Counters) -> Result<Sure, CollectError> {
        let mut report = ReadReport::default();
        let (mut rereads, mut again, mut unsure) = (0, 0, None);
        let biases = self.places.biases().to_vec();
        loop {
            let once = self.places.read(&mut self.link, room)?;
            report += once.report;
            again += once.rereads;
            let moved = self.places.moved_since(&biases);
            let (delta, losses) = self.compare(room, &moved);
            self.look_for_events()?;
            let enough = match delta.backwards {
                0 => 0,
                _ if losses.are_small() => MIN_REREADS_OF_LOST,
                _ => MAX_REREADS,
            };
            if losses.are_lost_updates() && self.is_sure(room, &mut unsure) && rereads >= enough {
                return Ok(Sure { delta, lost: losses.counts, report, rereads: rereads + again, moved });
            }
            if rereads == MAX_REREADS {
                return Err(match delta.backwards {
                    0 => self.never_sure(rereads),
                    counters => self.reset(ResetEvidence::Backwards { counters, rereads }),
                });
            }
            rereads += 1;
        }
    }

    /// How a reading differs from the snapshot before, and what of that is behind it.
    fn compare(&self, reading: &Counters, moved: &[bool]) -> (Delta, Losses) {
        let regions = self.places.regions();
        let delta = Delta::following(regions, &self.previous, reading, moved);
        // Nearly always there are none, and looking for them takes longer.
        let losses = match delta.backwards {
            0 => Losses::default(),
            _ => Losses::between(regions, &self.previous, reading, moved),
        };
        (delta, losses)
    }

    /// Takes into account that parts were read anew, none of which is behind the snapshot before.
    fn compare_anew(&self, reading: &Counters, sure: &mut Sure) {
        let (delta, losses) = self.compare(reading, &sure.moved);
        (sure.delta, sure.lost) = (delta, losses.counts);
    }

    /// Reads again what is not coherent, if somebody can tell.
    fn settle(&mut self, room: &mut Counters, sure: &mut Sure) -> Result<Option<Checked>, CollectError> {
        let Some(checks) = &self.checks else { return Ok(None) };
        let target = (&mut self.link, &self.places);
        let checked = coherence::settle(&**checks, target, &self.previous, room, &mut sure.report)?;
        if checked.read_again > 0 {
            self.look_for_events()?;
            self.compare_anew(room, sure);
        }
        Ok(Some(checked))
    }

    /// Follows the lists that begin in the regions.
    fn follow(&mut self, room: &mut Counters, sure: &mut Sure) -> Result<Vec<FollowedList>, CollectError> {
        if self.lists.is_empty() {
            return Ok(Vec::new());
        }
        let target = (&mut self.link, &self.places);
        let followed = lists::follow(&self.lists, target, room, &mut sure.report)?;
        self.look_for_events()?;
        self.compare_anew(room, sure);
        Ok(followed)
    }

    /// Whether no counter of a reading may be torn upwards: none carried since the snapshot before, or the reading
    /// before this one, which is `unsure`, already had these upper halves, and no counts so much larger that they were torn.
    fn is_sure(&self, reading: &Counters, unsure: &mut Option<Counters>) -> bool {
        let regions = self.places.regions();
        let is_sure = match unsure {
            None => !carry::between(regions, &self.previous, reading),
            Some(unsure) => {
                let unmoved = vec![false; regions.len()];
                !carry::between(regions, unsure, reading)
                    && Losses::between(regions, unsure, reading, &unmoved).are_small()
            }
        };
        if !is_sure {
            *unsure = Some(reading.clone());
        }
        is_sure
    }

    /// Whether the target is held at its end, and whether the last snapshot was read then: there is nothing more to read.
    pub(super) fn is_held(&self) -> (bool, bool) {
        (self.held, self.was_held)
    }

    /// Lets the target end.
    pub(super) fn release(&mut self) -> Result<(), CollectError> {
        Ok(self.link.release()?)
    }

    /// Leaves the target as it was found.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer.
    pub fn detach(&mut self) -> Result<(), CollectError> {
        Ok(self.link.detach()?)
    }

    /// What a failed reading comes to: nothing, if the target has just said that it ended.
    fn unless_ended(&mut self, error: CollectError) -> Result<Option<Snapshot>, CollectError> {
        match self.look_for_events() {
            Ok(true) => Ok(None),
            Err(reset @ CollectError::Reset { .. }) => Err(reset),
            Ok(false) | Err(_) => Err(error),
        }
    }

    /// Whether the target has ended; an error if it was reset.
    fn look_for_events(&mut self) -> Result<bool, CollectError> {
        while let Some(event) = self.link.poll()? {
            match event {
                TargetEvent::Reset => return Err(self.reset(ResetEvidence::Event)),
                TargetEvent::Exited => self.ended = true,
                TargetEvent::AboutToExit => self.held = true,
                _ => {}
            }
        }
        Ok(self.ended)
    }

    fn reset(&self, evidence: ResetEvidence) -> CollectError {
        CollectError::Reset { number: self.taken + 1, endpoint: self.endpoint.clone(), evidence }
    }

    fn never_sure(&self, times: u32) -> CollectError {
        CollectError::NeverSure { endpoint: self.endpoint.clone(), times }
    }

    /// Room for a reading that nobody else holds.
    fn buffer(&mut self) -> Result<Arc<Counters>, CollectError> {
        let free = self.pool.iter().position(|counters| Arc::strong_count(counters) == 1);
        if let Some(free) = free {
            return Ok(self.pool.swap_remove(free));
        }
        // The writer still holds them all: they live on with it, and come not back here.
        self.pool.clear();
        room(self.places.regions()).map(Arc::new)
    }
}

/// Room for one reading, as far as the host has it.
fn room(regions: &[CounterRegion]) -> Result<Counters, CollectError> {
    let len_bytes = regions.iter().fold(0u64, |sum, region| sum.saturating_add(region.range.len_bytes()));
    let fitting = Some(regions).filter(|_| len_bytes <= MAX_COUNTER_BYTES);
    fitting
        .and_then(Counters::for_regions)
        .ok_or(CollectError::TooLarge { len_bytes, limit_bytes: MAX_COUNTER_BYTES })
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::region;
    use super::*;
    use crate::locate::{BiasWord, MergeRule};
    use covtap_link::scripted::{Fault, ScriptedLink};
    use covtap_link::{Endianness, TargetAddr};

    const BASE: TargetAddr = TargetAddr::new(0x2000_0000);

    fn bytes(counts: &[u64]) -> Vec<u8> {
        counts.iter().flat_map(|count| count.to_le_bytes()).collect()
    }

    fn reader(link: ScriptedLink) -> Reader {
        let regions = vec![region(BASE.get(), 16, MergeRule::Add, Endianness::Little)];
        Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading")
    }

    fn link() -> ScriptedLink {
        ScriptedLink::new([(BASE, bytes(&[5, 0xffff_fff0]))])
    }

    fn take(reader: &mut Reader) -> Snapshot {
        reader.take(Duration::ZERO).expect("a snapshot").expect("the target goes on")
    }

    // Read 0 is the one made by `Reader::new`.

    #[test]
    fn a_snapshot_says_what_changed() {
        let mut reader = reader(link().with_fault(2, Fault::Change(BASE, bytes(&[6]))));
        assert_eq!(take(&mut reader).delta, Delta::default());
        let second = take(&mut reader);
        assert_eq!((second.number, second.delta), (2, Delta { changed: 1, backwards: 0 }));
        assert_eq!(second.counters.regions(), [bytes(&[6, 0xffff_fff0])]);
    }

    #[test]
    fn a_torn_counter_is_read_again() {
        let high = BASE.checked_add(8).expect("in range");
        let torn = link()
            .with_fault(1, Fault::Change(high, bytes(&[0])))
            .with_fault(2, Fault::Change(high, bytes(&[0x1_0000_0000])));
        let mut reader = reader(torn);
        let snapshot = take(&mut reader);
        // Once because it went backwards, and once because it carried.
        assert_eq!(snapshot.rereads, 2);
        assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0000])]);
    }

    /// The target has written the upper half and not yet the lower one.
    #[test]
    fn a_counter_that_is_torn_upwards_is_not_believed() {
        let high = BASE.checked_add(8).expect("in range");
        let torn = link()
            .with_fault(1, Fault::Change(high, bytes(&[0x1_ffff_ffff])))
            .with_fault(2, Fault::Change(high, bytes(&[0x1_0000_0002])));
        let mut reader = reader(torn);
        let snapshot = take(&mut reader);
        assert_eq!(snapshot.rereads, 2);
        assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0002])]);
        assert_eq!(take(&mut reader).rereads, 0);
    }

    /// What is torn when covtap attaches would make all that comes later look too small.
    #[test]
    fn the_first_reading_may_be_torn_as_well() {
        let high = BASE.checked_add(8).expect("in range");
        let torn = ScriptedLink::new([(BASE, bytes(&[5, 0x1_ffff_ffff]))])
            .with_fault(1, Fault::Change(high, bytes(&[0x1_0000_0002])));
        let snapshot = take(&mut reader(torn));
        assert_eq!(snapshot.rereads, 0);
        assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0002])]);
    }

    #[test]
    fn counters_that_carry_in_every_reading_are_no_counters() {
        let carrying = (1..=MAX_REREADS + 1).fold(link(), |link, read| {
            link.with_fault(read.into(), Fault::Change(BASE, bytes(&[u64::from(read) << 32])))
        });
        let error = reader(carrying).take(Duration::ZERO).expect_err("no snapshot");
        assert!(matches!(error, CollectError::NeverSure { times: MAX_REREADS, .. }), "{error}");
    }

    #[test]
    fn a_reset_in_mid_snapshot_is_an_error_and_no_snapshot() {
        let mut reader = reader(link().with_fault(2, Fault::Reset { after_bytes: 3 }));
        take(&mut reader);
        let error = reader.take(Duration::ZERO).expect_err("no snapshot");
        assert_eq!(
            error.to_string(),
            "snapshot 2 of scripted: the target was reset (the server reported a reset)"
        );
    }

    #[test]
    fn a_target_that_ends_in_mid_snapshot_gives_none_and_no_error() {
        let mut reader = reader(link().with_fault(2, Fault::End));
        take(&mut reader);
        assert!(reader.take(Duration::ZERO).expect("no error").is_none());
        assert_eq!(reader.taken(), 1);
    }

    #[test]
    fn counters_that_stay_behind_mean_a_reset_even_without_an_event() {
        let mut reader = reader(link().with_fault(1, Fault::Change(BASE, bytes(&[1, 1]))));
        let error = reader.take(Duration::ZERO).expect_err("no snapshot");
        let evidence = ResetEvidence::Backwards { counters: 2, rereads: MAX_REREADS };
        assert!(matches!(error, CollectError::Reset { number: 1, evidence: found, .. } if found == evidence));
    }

    /// The target copied its counters, went on where they were, and then moved.
    #[test]
    fn counters_that_move_are_followed_and_that_is_no_reset() {
        let (elsewhere, word) = (TargetAddr::new(0x1000_0000), TargetAddr::new(0x2000_0100));
        let link =
            ScriptedLink::new([(BASE, bytes(&[5, 9])), (elsewhere, bytes(&[4, 9])), (word, vec![0; 8])]);
        let moved = link.with_fault(2, Fault::Change(word, vec![0, 0, 0, 0xf0, 0, 0, 0, 0]));
        let restarted = moved
            .with_fault(5, Fault::Change(word, vec![0; 8]))
            .with_fault(5, Fault::Change(BASE, vec![0; 16]));
        let bias = BiasWord {
            range: covtap_link::AddrRange::new(word, 8).expect("a range"),
            endianness: Endianness::Little,
            pointer_width: covtap_link::PointerWidth::Bits32,
        };
        let counters = region(BASE.get(), 16, MergeRule::Add, Endianness::Little);
        let regions = vec![CounterRegion { bias: Some(bias), ..counters }];
        let mut reader = Reader::new(MeteredLink::new(Box::new(restarted)), regions).expect("first reading");
        assert!(!take(&mut reader).moved);
        let there = take(&mut reader);
        assert_eq!((there.moved, there.rereads), (true, 1));
        assert_eq!(there.counters.regions(), [bytes(&[4, 9])]);
        assert!(!take(&mut reader).moved);
        let error = reader.take(Duration::ZERO).expect_err("no snapshot");
        assert!(matches!(error, CollectError::Reset { number: 4, .. }), "{error}");
    }

    #[test]
    fn a_link_that_fails_once_leaves_the_next_snapshot_right() {
        let mut reader = reader(link().with_fault(1, Fault::Refuse).with_fault(2, Fault::ShortRead));
        assert!(matches!(reader.take(Duration::ZERO), Err(CollectError::Link(_))));
        assert!(matches!(reader.take(Duration::ZERO), Err(CollectError::Link(_))));
        assert_eq!(take(&mut reader).counters.regions(), [bytes(&[5, 0xffff_fff0])]);
    }

    #[test]
    fn buffers_come_back_once_nobody_holds_them() {
        let mut reader = reader(link());
        let seen: std::collections::BTreeSet<_> =
            (0..6).map(|_| Arc::as_ptr(&take(&mut reader).counters)).collect();
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_snapshot_that_somebody_holds_stays_as_it_was() {
        let mut reader = reader(link().with_fault(2, Fault::Change(BASE, bytes(&[9]))));
        let held = take(&mut reader);
        for _ in 0..3 {
            take(&mut reader);
        }
        assert_eq!(held.counters.regions(), [bytes(&[5, 0xffff_fff0])]);
    }

    #[test]
    fn an_absurd_region_is_refused_before_any_memory_is_taken() {
        let regions = vec![region(0, 1 << 40, MergeRule::Add, Endianness::Little)];
        let error = Reader::new(MeteredLink::new(Box::new(link())), regions).err().expect("refused");
        assert_eq!(
            error.to_string(),
            "make room for 1099511627776 bytes of counters: the limit is 1073741824 bytes"
        );
    }
}
