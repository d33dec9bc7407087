//! What the reader gives away: a snapshot, or why there is none.

use std::sync::Arc;
use std::time::Duration;

use covtap_link::ReadReport;

use super::{Changes, Checked, Counters, Delta, FollowedList};

/// One believable reading of all regions, and what earlier runs of the target counted.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// Counted from 1 in a session.
    pub number: u64,
    /// When it was due, from the session's start.
    pub at: Duration,
    /// What was counted in all runs of the target since the baseline.
    pub counters: Arc<Counters>,
    /// How the reading differs from the one before.
    pub delta: Delta,
    /// Where it differs from an earlier one, that before nearly always; `None` if it may differ everywhere.
    pub changes: Option<Changes>,
    /// What it cost, readings that were thrown away included.
    pub report: ReadReport,
    /// How many readings were done again: they went backwards, were made while a counter carried into its upper half, or
    /// missed counters that had moved.
    pub rereads: u32,
    /// How many counters have the value of the snapshot before: no reading showed both of their halves of one moment.
    pub unsettled: u64,
    /// How many counts the target itself has lost in this session so far, at least: it counts with several processors, or
    /// in interrupts, and not atomically.
    pub lost: u64,
    /// How often the target was reset in this session so far, as far as that was noticed.
    pub resets: u64,
    /// How often counting began anew by [`Reader::reset`](super::Reader::reset): counters of one era only grow.
    pub era: u64,
    /// Whether the target counts elsewhere than at the snapshot before. What it counted there is in this one as far
    /// as the target copied it, as LLVM's runtime does.
    pub moved: bool,
    /// What was found of counters that belong together; `None` if [nobody can tell](super::Reader::with_checks).
    pub checked: Option<Checked>,
    /// The lists that were to be [followed](super::Reader::with_lists), in the same order.
    pub lists: Vec<FollowedList>,
}

impl Snapshot {
    /// Where it differs from the snapshot of that number; `None` if nobody knows.
    #[must_use]
    pub fn changes_since(&self, number: u64) -> Option<&Changes> {
        self.changes.as_ref().filter(|changes| changes.since == number)
    }

    /// Takes the place of an earlier one that nobody has seen.
    pub(super) fn overtake(&mut self, earlier: &Self) {
        let later = self.changes.take().filter(|changes| changes.since == earlier.number);
        self.changes = earlier.changes.as_ref().zip(later).map(|(first, then)| first.followed_by(&then));
    }
}

/// What taking a snapshot came to.
#[derive(Debug)]
pub enum Taken {
    /// A snapshot.
    Snapshot(Box<Snapshot>),
    /// None: the target was reset, and its new run has not begun to count.
    Restarting,
    /// None: the target has ended.
    Ended,
}

impl Taken {
    /// The snapshot, if there is one.
    #[must_use]
    pub fn snapshot(self) -> Option<Snapshot> {
        match self {
            Self::Snapshot(snapshot) => Some(*snapshot),
            Self::Restarting | Self::Ended => None,
        }
    }
}
