//! What waits for the writer.
//!
//! When the writer falls behind, the oldest snapshot that waits gives way to the one after it and is counted: counters only
//! grow, so the newer one holds what the older one held. Large ones give way sooner, for the memory that they hold. One
//! that a [reset](super::Reader::reset) came after is kept, and so is every notice. Nobody who puts something here waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Notice, Pending, Snapshot, TestCounts};

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
    /// What a test counted that has ended.
    Test(Box<TestCounts>),
    /// Somebody waits for all of the above to be written.
    Answer(Pending),
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
        waiting.told.retain(|told| !matches!(told, Told::Snapshot(_)));
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
            Told::Notice(_) | Told::Test(_) | Told::Answer(_) => None,
        });
        let regions = snapshot.map_or(&[][..], |snapshot| snapshot.counters.regions());
        let len_bytes = regions.iter().fold(0usize, |sum, region| sum.saturating_add(region.len()));
        MAX_WAITING_BYTES.checked_div(len_bytes).map_or(QUEUE_LEN, |room| room.clamp(1, QUEUE_LEN))
    }

    fn make_room(&mut self) {
        let snapshots = || {
            self.told.iter().enumerate().filter_map(|(index, told)| match told {
                Told::Snapshot(snapshot) => Some((index, snapshot.era)),
                Told::Notice(_) | Told::Test(_) | Told::Answer(_) => None,
            })
        };
        if snapshots().count() <= self.room() {
            return;
        }
        let mut pairs = snapshots().zip(snapshots().skip(1));
        let overtaken = pairs.find(|((_, era), (_, next))| era == next);
        if let Some(((old, _), (new, _))) = overtaken {
            self.overtake(old, new);
        }
    }

    /// Lets the snapshot at `old` give way to the next one, at `new`.
    fn overtake(&mut self, old: usize, new: usize) {
        // Whoever waits for the older one waits for the newer one from now on.
        let between: Vec<_> = self.told.drain(old + 1..new).collect();
        let (answers, others): (Vec<_>, Vec<_>) =
            between.into_iter().partition(|told| matches!(told, Told::Answer(_)));
        let overtaken = self.told.remove(old);
        if let (Some(Told::Snapshot(overtaken)), Some(Told::Snapshot(newer))) =
            (overtaken, self.told.get_mut(old))
        {
            newer.overtake(&overtaken);
        }
        let newer = old + others.len();
        insert_all(&mut self.told, old, others.into_iter());
        insert_all(&mut self.told, newer + 1, answers.into_iter());
        self.overtaken += 1;
    }
}

/// Puts several things at `index`, in their order.
fn insert_all(told: &mut VecDeque<Told>, index: usize, more: impl DoubleEndedIterator<Item = Told>) {
    more.rev().for_each(|one| told.insert(index, one));
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Changes, ResetEvidence};
    use super::*;

    fn snapshot(number: u64, era: u64) -> Told {
        Told::Snapshot(Box::new(Snapshot { number, era, ..Snapshot::default() }))
    }

    fn answer(number: u64) -> Told {
        let (reply, _) = crossbeam_channel::bounded(1);
        Told::Answer(Pending { reply, answer: Answer::Snapshot { number, files: Vec::new() } })
    }

    fn order(queue: &Queue) -> Vec<String> {
        queue.finish();
        let name = |told| match told {
            Told::Snapshot(snapshot) => snapshot.number.to_string(),
            Told::Answer(Pending { answer: Answer::Snapshot { number, .. }, .. }) => {
                format!("answer {number}")
            }
            Told::Notice(_) => "notice".to_owned(),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| queue.next()).map(name).collect()
    }

    #[test]
    fn an_answer_comes_after_a_snapshot_that_holds_what_it_speaks_of() {
        let queue = Queue::default();
        queue.push(snapshot(1, 0));
        queue.push(answer(1));
        queue.push(Told::Notice(Notice::Reset { after: 1, evidence: ResetEvidence::Event }));
        (2..=9).for_each(|number| queue.push(snapshot(number, 0)));
        assert_eq!(queue.overtaken(), 1);
        assert_eq!(order(&queue), ["notice", "2", "answer 1", "3", "4", "5", "6", "7", "8", "9"]);
    }

    #[test]
    fn what_an_overtaken_snapshot_changed_is_changed_in_the_next_one() {
        let queue = Queue::default();
        for number in 1..=10 {
            let mut changes = Changes::default();
            changes.since = number - 1;
            let known = (number != 2).then_some(changes);
            queue.push(Told::Snapshot(Box::new(Snapshot { number, changes: known, ..Snapshot::default() })));
        }
        queue.finish();
        let since = std::iter::from_fn(|| queue.next()).map(|told| match told {
            Told::Snapshot(snapshot) => snapshot.changes.map(|changes| changes.since),
            other => panic!("{other:?}"),
        });
        // The first two were overtaken, and of the second nothing was known.
        assert_eq!(since.take(3).collect::<Vec<_>>(), [None, Some(3), Some(4)]);
    }

    #[test]
    fn the_last_snapshot_before_a_reset_is_never_overtaken() {
        let queue = Queue::default();
        (1..=30).for_each(|number| queue.push(snapshot(number, number / 10)));
        let kept = order(&queue);
        assert_eq!(queue.overtaken(), 22);
        for last in ["9", "19", "29", "30"] {
            assert!(kept.iter().any(|number| number == last), "{last} in {kept:?}");
        }
    }
}
