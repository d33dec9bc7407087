//! Elements of a reading that are not believed yet, and what makes them believed.
//!
//! A 32-bit target writes a counter in two halves. A reading that comes between them shows a count that is too small by
//! 2^32, which is behind the one before, or, if the upper half was written first, one that is too large by 2^32, which
//! looks like any other count. What enters is a reading, the believed one before it, and further readings; what leaves is
//! a value for each doubtful element, or that there is none.
//!
//! The rule, and why. A count whose upper half changed, or that is behind, is read again.
//! - If the next reading has the same upper half and a larger lower one, the target has finished what it was at: whatever
//!   the order of its two stores, the earlier of the two readings is a count that it passed between them.
//! - If the next reading is the same, the target may rest, or may have been interrupted between two stores. A count that
//!   rests is less than 2^32 above the one before; one that is torn upwards is more, and so is one that a target counted
//!   far up meanwhile: that is believed once it has stood so for [`STANDS_FOR`].
//! - If the upper half changes again, nothing is known.
//!
//! That takes for granted that less than 2^32 is counted between two snapshots. A count whose upper half was seen two
//! further on at once is *fast*: for the rest of the run any change of it is read again, and it may be torn however near
//! to the one before, on either side. The same holds of what a first reading finds, which nothing is known to be before.
//! Both are believed once they have gone on within an upper half, or stood for [`STANDS_FOR`].
//!
//! What always holds: an element that is never believed keeps the value that was believed last. Elements that are no
//! halves are believed as soon as they are not behind.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use covtap_link::Endianness;

use super::counters::{Delta, differing, moved_backwards};
use super::{Changes, Counters};
use crate::image::uint;
use crate::locate::CounterRegion;

/// Threads wait this long for a processor between two stores at most.
pub(super) const STANDS_FOR: Duration = Duration::from_secs(1);

/// One more in the upper half.
const CARRY: u64 = 1 << 32;

/// An element that is not believed yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    place: Place,
    /// What was believed before.
    before: u64,
    /// What was read last.
    last: u64,
    has_halves: bool,
    /// Whether it moved against its merge rule.
    is_behind: bool,
    /// Whether the last two readings were the same.
    pub(super) stood: bool,
    /// Since when it is as it was read last.
    since: Instant,
    /// Whether it was seen to count so far at once that it may be torn however near to `before`.
    is_fast: bool,
}

/// The index of a region, and of the first byte of an element in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    region: usize,
    at: usize,
}

/// What is known of elements from one snapshot to the next.
#[derive(Default)]
pub(super) struct Standing {
    /// Values that are not believed yet, and since when they stand.
    values: HashMap<Place, (u64, Instant)>,
    /// The elements that were fast once.
    fast: HashSet<Place>,
}

/// What enters beside readings.
pub(super) struct Context<'c> {
    pub(super) regions: &'c [CounterRegion],
    /// The reading that was believed last: zeros if there is none.
    pub(super) before: &'c Counters,
    /// Whether there was none.
    pub(super) is_first: bool,
    /// By region, whether it was moved since: nothing is behind there.
    pub(super) moved: &'c [bool],
    pub(super) standing: &'c Standing,
}

/// What a reading is beside the believed one.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) delta: Delta,
    pub(super) changes: Changes,
    pub(super) doubts: Vec<Doubt>,
}

impl Context<'_> {
    /// How a reading differs from the believed one, and what of it is not believed. Nothing is behind in a region that was
    /// moved in between: the target counts in other memory since, and what that held before is its own affair, usually a
    /// copy of the counts without those that came while it was made.
    pub(super) fn examine(&self, reading: &Counters) -> Examined {
        let Examined { mut delta, mut changes, mut doubts } = Examined::default();
        let pairs = self.before.regions().iter().zip(reading.regions());
        for ((index, region), (old, new)) in self.regions.iter().enumerate().zip(pairs) {
            let is_moved = self.moved.get(index).is_some_and(|moved| *moved);
            changes.begin_region();
            for (at, old, new) in differing(region, old, new) {
                delta.changed += 1;
                changes.add(at..at + region.element_bytes.max(1));
                let is_behind = !is_moved && moved_backwards(region, old, new);
                delta.backwards += u64::from(is_behind);
                let place = Place { region: index, at };
                if is_behind || has_carried(region, old, new) || self.standing.is_fast(place) {
                    doubts.push(self.doubt(region, place, [old, new], is_behind));
                }
            }
        }
        Examined { delta, changes, doubts }
    }

    fn doubt(&self, region: &CounterRegion, place: Place, [old, new]: [&[u8]; 2], is_behind: bool) -> Doubt {
        let last = uint(new, region.endianness);
        Doubt {
            place,
            before: uint(old, region.endianness),
            last,
            has_halves: region.has_halves(),
            is_behind,
            stood: false,
            since: self.standing.since(place, last).unwrap_or_else(Instant::now),
            is_fast: self.standing.is_fast(place),
        }
    }

    /// Takes a further reading of an element: its value, if that makes it believed.
    pub(super) fn look(&self, doubt: &mut Doubt, again: &Counters) -> Option<u64> {
        let region = self.regions.get(doubt.place.region)?;
        let bytes = doubt.place.of(region, again)?;
        let now = uint(bytes, region.endianness);
        let previous = std::mem::replace(&mut doubt.last, now);
        doubt.stood = previous == now;
        if !doubt.stood {
            doubt.since = Instant::now();
        }
        if !doubt.has_halves {
            let mut before = [0; 8];
            write_uint(&mut before, region, doubt.before);
            let before = before.get(..region.element_bytes)?;
            doubt.is_behind = moved_backwards(region, before, bytes);
            return (!doubt.is_behind).then_some(now);
        }
        doubt.is_behind = now < doubt.before;
        // Halves that are torn never make it more carries than there were.
        doubt.is_fast |= !self.is_first && upper(now) > upper(doubt.before).saturating_add(1);
        if doubt.is_behind || now < previous || upper(now) != upper(previous) {
            return None;
        }
        if !doubt.stood {
            // A lower half that was behind only can have been torn, and the new one still can.
            let is_between = previous >= doubt.before;
            return if is_between {
                Some(previous)
            } else {
                (upper(now) == upper(doubt.before)).then_some(now)
            };
        }
        let is_near = !self.is_first && !doubt.is_fast && now - doubt.before < CARRY;
        (is_near || doubt.since.elapsed() >= STANDS_FOR).then_some(now)
    }
}

impl Place {
    fn of<'r>(self, region: &CounterRegion, counters: &'r Counters) -> Option<&'r [u8]> {
        let end = self.at.checked_add(region.element_bytes)?;
        counters.regions().get(self.region)?.get(self.at..end)
    }
}

impl Doubt {
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn is_fast(&self) -> bool {
        self.is_fast
    }

    /// Whether it stands, and is whole if it does so for long.
    pub(super) fn may_be_whole(&self) -> bool {
        self.has_halves && self.stood && !self.is_behind
    }

    /// Whether it is behind in any way.
    pub(super) fn has_fallen(&self) -> bool {
        self.is_behind
    }

    /// Whether it is behind as a count is that was read between the stores of its halves.
    pub(super) fn looks_torn(&self) -> bool {
        let behind_by = self.before.wrapping_sub(self.last);
        let least = if self.is_fast { 0 } else { CARRY / 2 };
        self.is_behind && self.has_halves && behind_by > least && behind_by <= CARRY
    }

    /// Whether it is behind in any other way.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind && !self.looks_torn()
    }

    /// Puts a value for it into a reading.
    pub(super) fn put(&self, regions: &[CounterRegion], reading: &mut Counters, value: u64) {
        let Some(region) = regions.get(self.place.region) else { return };
        let end = self.place.at.saturating_add(region.element_bytes);
        let bytes = reading.regions_mut().get_mut(self.place.region);
        if let Some(bytes) = bytes.and_then(|bytes| bytes.get_mut(self.place.at..end)) {
            write_uint(bytes, region, value);
        }
    }

    /// Puts what was believed before into a reading.
    pub(super) fn put_before(&self, regions: &[CounterRegion], reading: &mut Counters) {
        self.put(regions, reading, self.before);
    }

    /// Puts what was read last into a reading.
    pub(super) fn put_last(&self, regions: &[CounterRegion], reading: &mut Counters) {
        self.put(regions, reading, self.last);
    }
}

impl Standing {
    fn since(&self, place: Place, value: u64) -> Option<Instant> {
        self.values.get(&place).filter(|(stands, _)| *stands == value).map(|(_, since)| *since)
    }

    fn is_fast(&self, place: Place) -> bool {
        self.fast.contains(&place)
    }

    /// From now on these may be torn however near they are.
    pub(super) fn mark_fast(&mut self, places: impl IntoIterator<Item = Place>) {
        self.fast.extend(places);
    }

    /// Remembers the doubtful elements of a snapshot, and since when each is as it is.
    pub(super) fn keep(&mut self, doubts: &[Doubt]) {
        let kept = doubts.iter().filter(|doubt| doubt.may_be_whole());
        self.values = kept.map(|doubt| (doubt.place, (doubt.last, doubt.since))).collect();
    }
}

/// Whether the upper half of some count among these elements of a region is another one.
pub(super) fn has_carried_in(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    differing(region, old, new).any(|(_, old, new)| has_carried(region, old, new))
}

fn has_carried(region: &CounterRegion, old: &[u8], new: &[u8]) -> bool {
    region.has_halves() && upper(uint(old, region.endianness)) != upper(uint(new, region.endianness))
}

fn upper(count: u64) -> u64 {
    count >> 32
}

/// Writes a number in the target's byte order; what is too wide for `bytes` is cut.
pub(super) fn write_uint(bytes: &mut [u8], region: &CounterRegion, value: u64) {
    let le = value.to_le_bytes();
    let width = region.element_bytes.min(bytes.len());
    let digits = bytes.iter_mut().take(width);
    match region.endianness {
        Endianness::Little => digits.zip(le).for_each(|(byte, digit)| *byte = digit),
        Endianness::Big => digits.rev().zip(le).for_each(|(byte, digit)| *byte = digit),
    }
}

#[cfg(test)]
#[path = "torn_tests.rs"]
mod tests;
