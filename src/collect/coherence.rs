//! Counters that belong together, and whether what was read of them can be of one moment.
//!
//! A reading takes time, and the target counts on meanwhile: of two counters that it increments one after the other a
//! reading may show the second without the first. What enters is a reading and a [`Coherence`], which knows what the
//! counters count; what leaves is the same reading, with the groups that were not of one moment read again.
//!
//! What always holds: each group that leaves here is coherent; one that never was in `MAX_ROUNDS` readings is as in the
//! snapshot before, 0 if there was none, and is named. No counter that was read again is behind the snapshot before. A
//! group need only be coherent with itself: it may be younger than others in the snapshot.
//!
//! A target that [loses updates](super::lost) may have counters that are never coherent again: their function stays as it
//! was when they last were.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use covtap_link::{Effect, ReadReport};

use super::places::Places;
use super::{CollectError, Counters, Delta, MeteredLink, torn};
use crate::locate::CounterRegion;

/// How often what is not coherent is read again while the target runs. A guest that never rests was found in the middle
/// of a function in half of its snapshots; they settled after five further readings on average, all but one in a hundred
/// of them within these (`cargo xtask soak gcov`).
const MAX_ROUNDS: u32 = 16;

/// The same where a reading stops the target. Such a reading is of one moment, in which a function may be half done.
const MAX_ROUNDS_PAUSING: u32 = 2;

/// How long to wait before a round if the target counted nothing since the one before: it has not had a processor.
const FIRST_WAIT: Duration = Duration::from_micros(50);

/// Waits double up to this: they come to 23 ms together at most.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Bytes of one region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Part {
    /// The index of the region. Its counters must not move: it has no [`bias`](CounterRegion::bias).
    pub region: usize,
    /// In bytes from the region's start: a multiple of its elements.
    pub offset: usize,
    /// A multiple of the region's elements.
    pub len_bytes: usize,
}

impl Part {
    /// Its bytes in a reading of all regions; none if they are of other regions.
    #[must_use]
    pub fn of<'r>(&self, regions: &'r [Vec<u8>]) -> &'r [u8] {
        let end = self.offset.checked_add(self.len_bytes);
        let bytes = regions.get(self.region).zip(end).and_then(|(bytes, end)| bytes.get(self.offset..end));
        bytes.unwrap_or_default()
    }

    /// Replaces them by as many others.
    pub(super) fn put(&self, regions: &mut [Vec<u8>], bytes: &[u8]) {
        let end = self.offset.checked_add(self.len_bytes);
        let room =
            regions.get_mut(self.region).zip(end).and_then(|(room, end)| room.get_mut(self.offset..end));
        room.into_iter().flatten().zip(bytes).for_each(|(old, new)| *old = *new);
    }
}

/// Counters that only make sense together, such as those of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// What people call it.
    pub name: Arc<[u8]>,
    /// Where its counters are.
    pub parts: Vec<Part>,
}

/// Knows which counters belong together, and what the target can have left in them.
pub trait Coherence: Send {
    /// The groups, no two of which share bytes.
    fn groups(&self) -> &[Group];

    /// Why the counters of that group cannot be of one moment; `None` if they can. Counters that are all 0 always can.
    fn fault(&self, group: usize, regions: &[Vec<u8>]) -> Option<String>;
}

/// A group that was never read as it was at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoherent {
    /// The index in [`Coherence::groups`].
    pub group: usize,
    /// What people call it.
    pub name: Arc<[u8]>,
    /// What is wrong with its last reading. The snapshot has what the one before had.
    pub detail: String,
}

/// What checking came to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Checked {
    /// How many groups had changed, and so were checked.
    pub changed: usize,
    /// How many of those were read again.
    pub read_again: usize,
    /// How many further readings that took.
    pub rounds: u32,
    /// The groups that no reading helped.
    pub incoherent: Vec<Incoherent>,
}

/// A group that must be read again, and what was read of each of its parts last.
struct Suspect {
    group: usize,
    last: Vec<Vec<u8>>,
    detail: String,
}

/// Takes from `reading` the groups that cannot be of one moment: they are 0.
pub(super) fn clear(checks: &dyn Coherence, reading: &mut Counters) {
    for (index, group) in checks.groups().iter().enumerate() {
        if checks.fault(index, reading.regions()).is_some() {
            for part in &group.parts {
                let zeros = vec![0; part.of(reading.regions()).len()];
                part.put(reading.regions_mut(), &zeros);
            }
        }
    }
}

/// Checks what changed in `reading` since `previous`, and reads again what is not coherent.
pub(super) fn settle(
    checks: &dyn Coherence,
    (link, places): (&mut MeteredLink, &Places),
    previous: &Counters,
    reading: &mut Counters,
    report: &mut ReadReport,
) -> Result<Checked, CollectError> {
    let mut checked = Checked::default();
    let mut suspects = suspects(checks, previous, reading, &mut checked.changed);
    checked.read_again = suspects.len();
    let max_rounds = if link.info().effect == Effect::Free { MAX_ROUNDS } else { MAX_ROUNDS_PAUSING };
    let mut wait = FIRST_WAIT;
    while !suspects.is_empty() && checked.rounds < max_rounds {
        let again = read(checks, (link, places), &suspects, report)?;
        checked.rounds += 1;
        if suspects.iter().map(|suspect| &suspect.last).eq(&again) {
            thread::sleep(wait);
            wait = LONGEST_WAIT.min(wait.saturating_mul(2));
        }
        let pairs = suspects.into_iter().zip(again);
        let before = (places.regions(), previous);
        let left = pairs.filter_map(|(suspect, again)| look(checks, before, suspect, again, reading));
        suspects = left.collect();
    }
    checked.incoherent =
        suspects.into_iter().map(|suspect| give_up(checks, suspect, previous, reading)).collect();
    Ok(checked)
}

fn suspects(
    checks: &dyn Coherence,
    previous: &Counters,
    reading: &Counters,
    changed: &mut usize,
) -> Vec<Suspect> {
    let (old, new) = (previous.regions(), reading.regions());
    let mut suspects = Vec::new();
    for (index, group) in checks.groups().iter().enumerate() {
        if group.parts.iter().all(|part| part.of(old) == part.of(new)) {
            continue;
        }
        *changed += 1;
        if let Some(detail) = checks.fault(index, new) {
            let last = group.parts.iter().map(|part| part.of(new).to_vec()).collect();
            suspects.push(Suspect { group: index, last, detail });
        }
    }
    suspects
}

fn parts<'c>(checks: &'c dyn Coherence, suspect: &Suspect) -> &'c [Part] {
    checks.groups().get(suspect.group).map(|group| group.parts.as_slice()).unwrap_or_default()
}

/// Reads all suspects in one go.
fn read(
    checks: &dyn Coherence,
    (link, places): (&mut MeteredLink, &Places),
    suspects: &[Suspect],
    report: &mut ReadReport,
) -> Result<Vec<Vec<Vec<u8>>>, CollectError> {
    let room = |suspect: &Suspect| suspect.last.iter().map(|bytes| vec![0; bytes.len()]).collect();
    let mut again: Vec<Vec<Vec<u8>>> = suspects.iter().map(room).collect();
    let all = suspects.iter().flat_map(|suspect| parts(checks, suspect));
    *report += places.read_parts(link, all.copied().zip(again.iter_mut().flatten()))?;
    Ok(again)
}

/// Takes a further reading of a group; `None` if that settles it. A reading that carried, or is behind the one before
/// or the snapshot before, may be torn or of a target that was reset, and is only compared with.
fn look(
    checks: &dyn Coherence,
    (regions, previous): (&[CounterRegion], &Counters),
    suspect: Suspect,
    again: Vec<Vec<u8>>,
    reading: &mut Counters,
) -> Option<Suspect> {
    let parts = parts(checks, &suspect);
    let is_torn = parts.iter().zip(suspect.last.iter().zip(&again)).any(|(part, (old, new))| {
        regions.get(part.region).is_none_or(|region| {
            torn::has_carried_in(region, old, new)
                || is_behind(region, old, new)
                || is_behind(region, part.of(previous.regions()), new)
        })
    });
    let mut detail = suspect.detail;
    if !is_torn {
        for (part, bytes) in parts.iter().zip(&again) {
            part.put(reading.regions_mut(), bytes);
        }
        detail = checks.fault(suspect.group, reading.regions())?;
    }
    Some(Suspect { last: again, detail, ..suspect })
}

fn is_behind(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    let mut delta = Delta::default();
    delta.add_part(region, old, new);
    delta.backwards > 0
}

/// Leaves a group as it was in the snapshot before.
fn give_up(
    checks: &dyn Coherence,
    suspect: Suspect,
    previous: &Counters,
    reading: &mut Counters,
) -> Incoherent {
    for part in parts(checks, &suspect) {
        part.put(reading.regions_mut(), part.of(previous.regions()));
    }
    let name = checks.groups().get(suspect.group).map(|group| Arc::clone(&group.name));
    Incoherent { group: suspect.group, name: name.unwrap_or_default(), detail: suspect.detail }
}

#[cfg(test)]
#[path = "coherence_tests.rs"]
mod tests;
