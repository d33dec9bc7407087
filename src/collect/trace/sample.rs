//! Where the target is now and then, by halting it.
//!
//! What always holds: the next halt waits until it fits the budget, if it takes as long as the last one; a target that was
//! halted back to back would get nowhere.

use std::time::{Duration, Instant};

use super::{Ended, TraceError, Tracer};

impl Tracer<'_> {
    /// Halts the target within the budget, and counts where each of its threads is.
    ///
    /// # Errors
    ///
    /// The target does not halt, or is gone: what was seen before is there.
    pub fn sample(&mut self) -> Result<Ended, TraceError> {
        let mut last = Duration::ZERO;
        self.control()?.resume()?;
        loop {
            if let Some(ended) = self.wait_for_budget(last)? {
                if ended != Ended::StoppedByOther {
                    self.leave(None)?;
                }
                return Ok(ended);
            }
            let began = Instant::now();
            self.control()?.stop()?;
            for at in self.all_counters()? {
                self.seen.sampled(at);
            }
            self.resume(began)?;
            last = began.elapsed();
        }
    }

    /// Waits until a pause as long as the last one fits the budget; or it has to end.
    fn wait_for_budget(&mut self, last: Duration) -> Result<Option<Ended>, TraceError> {
        let then = self.when_affordable(last);
        loop {
            if let Some(ended) = self.limit() {
                return Ok(Some(ended));
            }
            let patience = self.patience(Some(then));
            if self.control()?.wait_for_stop(patience)? {
                return Ok(Some(Ended::StoppedByOther));
            }
            if Instant::now() >= then {
                return Ok(None);
            }
        }
    }

    /// When one more pause of that length is within the budget.
    pub(super) fn when_affordable(&self, pause: Duration) -> Instant {
        let all = self.paused.saturating_add(pause).as_secs_f64() / self.limits.budget;
        let wait = Duration::try_from_secs_f64(all).unwrap_or(Duration::MAX);
        // So far away that it never comes.
        self.began.checked_add(wait).unwrap_or_else(|| self.began + Duration::from_secs(u64::from(u32::MAX)))
    }
}
