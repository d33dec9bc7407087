//! When snapshots are due.

use std::time::Duration;

/// When snapshots are taken and when a session ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// From one snapshot to the next.
    pub every: Duration,
    /// For how long; for ever if `None`.
    pub duration: Option<Duration>,
    /// How many snapshots; no limit if `None`.
    pub snapshots: Option<u64>,
}

impl Schedule {
    /// One snapshot, at once.
    #[must_use]
    pub fn once() -> Self {
        Self { every: Duration::ZERO, duration: None, snapshots: Some(1) }
    }

    /// When the next snapshot is due, counted from the session's start, given that `taken` were taken and it
    /// is `now`; `None` when the session is over.
    ///
    /// The first is due at once. A reading that takes longer than `every` skips the moments it missed: what
    /// was missed cannot be read any more. The last one is due when the time is up.
    #[must_use]
    pub fn next_due(&self, taken: u64, now: Duration) -> Option<Duration> {
        if self.snapshots.is_some_and(|most| taken >= most) {
            return None;
        }
        if taken == 0 {
            return Some(Duration::ZERO);
        }
        let every_ns = self.every.as_nanos().max(1);
        let due_ns = (now.as_nanos() / every_ns + 1).saturating_mul(every_ns);
        let due = Duration::from_nanos(u64::try_from(due_ns).unwrap_or(u64::MAX));
        match self.duration {
            Some(end) if now >= end => None,
            Some(end) => Some(due.min(end)),
            None => Some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn once_is_now_and_never_again() {
        assert_eq!(Schedule::once().next_due(0, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(Schedule::once().next_due(1, Duration::ZERO), None);
    }

    #[test]
    fn missed_moments_are_skipped() {
        let schedule = Schedule { every: SECOND, duration: None, snapshots: None };
        assert_eq!(schedule.next_due(1, Duration::from_millis(10)), Some(SECOND));
        assert_eq!(schedule.next_due(2, Duration::from_millis(3500)), Some(SECOND * 4));
    }

    #[test]
    fn ten_seconds_at_one_second_end_with_a_snapshot_at_the_end() {
        let schedule = Schedule { every: SECOND, duration: Some(SECOND * 10), snapshots: None };
        let mut now = Duration::ZERO;
        let mut taken = 0;
        while let Some(due) = schedule.next_due(taken, now) {
            now = due + Duration::from_millis(1);
            taken += 1;
        }
        assert_eq!(taken, 11);
        let uneven = Schedule { duration: Some(Duration::from_millis(1500)), ..schedule };
        assert_eq!(uneven.next_due(2, SECOND), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn the_number_of_snapshots_ends_it_too() {
        let schedule = Schedule { every: SECOND, duration: Some(SECOND * 10), snapshots: Some(2) };
        assert_eq!(schedule.next_due(2, SECOND), None);
    }
}
