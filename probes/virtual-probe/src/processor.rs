//! A processor's run control: the halts, steps, resumes and resets by which a debugger reaches its target.
//!
//! What enters are a debugger's requests; what leaves are the same requests to the target, and counts of them. A request
//! that changes nothing is not counted.

use crate::stats::Stats;
use crate::target::{Target, TargetError};

/// Why an access did not come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BusError {
    /// Nothing is there.
    Fault,
    /// The target is gone.
    Gone,
}

/// A processor and the target that it stands for.
pub(crate) struct Processor {
    target: Box<dyn Target>,
    is_halted: bool,
    /// The reset pin is low: it executes nothing until it is released.
    is_held: bool,
}

impl Processor {
    /// A processor that runs.
    pub(crate) fn new(target: Box<dyn Target>) -> Self {
        Self { target, is_halted: false, is_held: false }
    }

    pub(crate) fn target(&mut self) -> &mut dyn Target {
        &mut *self.target
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// Whether it is held in reset.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Halts it or lets it run on, and tells whether that was a change.
    pub(crate) fn set_halted(&mut self, is_halted: bool, stats: &mut Stats) -> bool {
        if self.is_held || is_halted == self.is_halted {
            return false;
        }
        self.is_halted = is_halted;
        let done = if is_halted {
            stats.halts += 1;
            self.target.halt()
        } else {
            stats.resumes += 1;
            self.target.resume()
        };
        note(done, stats);
        true
    }

    /// One instruction of a halted processor.
    pub(crate) fn step(&mut self, stats: &mut Stats) {
        stats.steps += 1;
        let done = self.target.step();
        note(done, stats);
    }

    /// Holds it in reset, and tells whether that was a change. What happens when it is released is a reset.
    pub(crate) fn hold(&mut self, stats: &mut Stats) -> bool {
        if std::mem::replace(&mut self.is_held, true) {
            return false;
        }
        if std::mem::take(&mut self.is_halted) {
            // It leaves its debug state, though not for running.
            stats.resumes += 1;
        } else {
            let done = self.target.halt();
            note(done, stats);
        }
        true
    }

    /// A reset. One that is caught ends halted, before the first instruction.
    pub(crate) fn reset(&mut self, is_caught: bool, stats: &mut Stats) {
        let was_stopped = self.is_halted || self.is_held;
        if is_caught && !was_stopped {
            // Stopped before, it executes nothing after.
            let done = self.target.halt();
            note(done, stats);
        }
        stats.resets += 1;
        let done = self.target.reset();
        note(done, stats);
        if was_stopped && !is_caught {
            let done = self.target.resume();
            note(done, stats);
        }
        match (self.is_halted, is_caught) {
            (false, true) => stats.halts += 1,
            (true, false) => stats.resumes += 1,
            _ => {}
        }
        (self.is_halted, self.is_held) = (is_caught, false);
    }
}

/// Counts what the target could not do.
pub(crate) fn note(done: Result<(), TargetError>, stats: &mut Stats) {
    // There is nobody on the bus to be told.
    let _ = bus(done, stats);
}

/// What the bus says to what the target said. A failure that is no bus fault is counted.
pub(crate) fn bus<T>(done: Result<T, TargetError>, stats: &mut Stats) -> Result<T, BusError> {
    done.map_err(|error| match error {
        TargetError::Unmapped { .. } => BusError::Fault,
        error => {
            stats.target_errors += 1;
            stats.last_target_error = Some(words(&error));
            BusError::Gone
        }
    })
}

fn words(error: &TargetError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
