//! Every instruction, by single steps.
//!
//! What always holds: the target does nothing but what is counted; threads take their steps in turn. Interrupts come as the
//! server lets them: QEMU holds back interrupts and timers while it steps.

use std::time::Instant;

use super::{Ended, TraceError, Tracer};

impl Tracer<'_> {
    /// Steps the target, and counts where it goes. How many steps that were [`Seen`](super::Seen) knows.
    ///
    /// # Errors
    ///
    /// The target does not step, or is gone: what was seen before is there.
    pub fn step(&mut self) -> Result<Ended, TraceError> {
        let began = Instant::now();
        self.control()?.stop()?;
        let ended = self.step_all();
        match ended {
            Ok(ended) => self.leave(Some(began)).map(|()| ended),
            Err(error) => {
                self.add_pause(began);
                Err(error)
            }
        }
    }

    fn step_all(&mut self) -> Result<Ended, TraceError> {
        let mut at = self.all_counters()?;
        let has_several = at.len() > 1;
        loop {
            for (index, at) in at.iter_mut().enumerate() {
                if let Some(ended) = self.limit() {
                    return Ok(ended);
                }
                let control = self.control()?;
                if has_several {
                    control.select_thread(index)?;
                }
                control.step()?;
                let next = self.counter()?;
                self.seen.stepped(*at, next);
                *at = next;
            }
        }
    }
}
