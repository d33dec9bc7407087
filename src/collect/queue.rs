//! What waits for the writer.
//!
//! When the writer falls behind, the oldest snapshot that waits gives way to the one after it and is counted: counters only
//! grow, so the newer one holds what the older one held. Large ones give way sooner, for the memory that they hold. One that a [reset](super::Reader::reset) came after is kept, and
//! so is every notice. Nobody who puts something here waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Notice, Snapshot};

/// How many snapshots may wait for the writer.
const QUEUE_LEN: usize = 8;

/// How much they may hold together, unless it is one.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// What a session tells.
#[derive(Debug)]
pub enum Told {
    /// A snapshot.
    Snapshot(Box<Snapshot>),
    /// What is to be known beside them.
    Notice(Notice),
}

/// The way from the reader to the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    has_more: Condvar,
}

#[derive(Default)]
struct Waiting {
    told: VecDeque<Told>,
    overtaken: u64,
    is_finished: bool,
}

impl Queue {
    pub(super) fn push(&self, told: Told) {
        let mut waiting = self.lock();
        waiting.told.push_back(told);
        waiting.make_room();
        self.has_more.notify_one();
    }

    /// Takes what waits, in order; `None` once it has ended and is empty.
    pub(super) fn next(&self) -> Option<Told> {
        let mut waiting = self.lock();
        loop {
            if let Some(told) = waiting.told.pop_front() {
                return Some(told);
            }
            if waiting.is_finished {
                return None;
            }
            waiting = self.has_more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&self) {
        self.lock().is_finished = true;
        self.has_more.notify_all();
    }

    /// Drops the snapshots that wait.
    pub(super) fn discard(&self) {
        let mut waiting = self.lock();
        let before = waiting.told.len();
        waiting.told.retain(|told| matches!(told, Told::Notice(_)));
        waiting.overtaken += (before - waiting.told.len()) as u64;
    }

    pub(super) fn overtaken(&self) -> u64 {
        self.lock().overtaken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that is done under the lock can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// How many snapshots may wait: all of a session are as large.
    fn room(&self) -> usize {
        let snapshot = self.told.iter().find_map(|told| match told {
            Told::Snapshot(snapshot) => Some(snapshot),
            Told::Notice(_) => None,
        });
        let regions = snapshot.map_or(&[][..], |snapshot| snapshot.counters.regions());
        let len_bytes = regions.iter().fold(0usize, |sum, region| sum.saturating_add(region.len()));
        MAX_WAITING_BYTES.checked_div(len_bytes).map_or(QUEUE_LEN, |room| room.clamp(1, QUEUE_LEN))
    }

    fn make_room(&mut self) {
        let snapshots = || {
            self.told.iter().enumerate().filter_map(|(index, told)| match told {
                Told::Snapshot(snapshot) => Some((index, snapshot.era)),
                Told::Notice(_) => None,
            })
        };
        if snapshots().count() <= self.room() {
            return;
        }
        let pairs = snapshots().zip(snapshots().skip(1));
        let overtaken = pairs.filter(|((_, era), (_, next))| era == next).map(|((index, _), _)| index).next();
        if let Some(index) = overtaken {
            self.told.remove(index);
            self.overtaken += 1;
        }
    }
}
