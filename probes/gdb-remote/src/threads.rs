//! Waiting for a target that runs, and its threads one by one.
//!
//! What always holds: whoever waits here has the target's file operations done meanwhile, since it would not go on
//! without them.

use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation};

use crate::core::resume::{self, Actions};
use crate::link::{GdbRemote, Hold};

impl GdbRemote {
    /// Waits until somebody holds the target, at most so long; whether anybody does.
    pub(crate) fn wait_until_held(&mut self, patience: Duration) -> Result<bool, LinkError> {
        let operation = Operation::Command("wait for a stop".into());
        self.ready(&operation)?;
        let until = Instant::now() + patience;
        while self.hold == Hold::Nobody {
            if self.has_ended {
                return Err(self.wire.refused(&operation, "the target has ended"));
            }
            self.answer_file_io(&operation)?;
            let left = until.saturating_duration_since(Instant::now());
            match self.wire.next_within(&operation, left)? {
                Some(incoming) => self.absorb(incoming, &operation)?,
                None => return Ok(false),
            }
        }
        if self.has_ended { Err(self.wire.refused(&operation, "the target has ended")) } else { Ok(true) }
    }

    /// Asks for the threads anew. A server that does not speak of threads has one.
    pub(crate) fn count_threads(&mut self) -> Result<usize, LinkError> {
        let operation = Operation::Command("list the threads".into());
        self.need_stopped(&operation)?;
        self.counted_threads = self.threads(&operation)?.into_iter().collect();
        if self.counted_threads.len() > 1 && self.thread_actions.is_none() {
            self.thread_actions = Some(Actions::parse(&self.exchange(&operation, b"vCont?")?));
        }
        Ok(self.counted_threads.len().max(1))
    }

    /// Has steps and registers be those of one of the threads that were counted.
    pub(crate) fn select_counted(&mut self, index: usize) -> Result<(), LinkError> {
        let operation = Operation::Command("select a thread".into());
        self.need_stopped(&operation)?;
        match self.counted_threads.get(index).cloned() {
            Some(thread) => {
                self.told_registers.clear();
                self.expect_ok(&operation, &resume::select(&thread))?;
                self.thread = Some(thread);
                Ok(())
            }
            None if index == 0 && self.counted_threads.is_empty() => Ok(()),
            None => Err(self.wire.refused(&operation, format!("there is no thread {index}"))),
        }
    }
}
