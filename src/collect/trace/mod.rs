//! What a target executes that was not instrumented, by its debugger's means: stepping, breakpoints, halting it now and
//! then; by its server's [log](covtap_link::LogBlocks); or by [samples](covtap_link::SamplePc) without a halt.
//!
//! What enters is a link that [controls](covtap_link::RunControl) its target, or logs, and limits; what leaves is what was
//! [seen](Seen), and what that did to the target. One file per method. What always holds: what was seen is kept, also when
//! the target goes away in the middle; the time for which the target stood still is measured; a target that ran is
//! running again, and one that was halted is halted again, whatever the method has ended by, as long as its server answers.

mod breakpoints;
mod log;
mod pcsr;
mod sample;
mod seen;
mod step;

use std::time::{Duration, Instant};

use covtap_insn::Insn;
use covtap_link::{LinkError, RunControl, RunState};

use super::MeteredLink;
use super::abi::Abi;
use super::function::read_any;
use crate::image::Image;
use crate::profile::trace::import::ImportError;
use crate::profile::trace::{Counting, Trace, TraceTooLarge};

pub use breakpoints::{Watch, Watched};
pub use log::LogTrace;
pub use pcsr::PcSamples;
pub use seen::{Code, Seen};

/// How long a wait lasts before it is looked whether the user asks for an end.
const LOOK: Duration = Duration::from_millis(50);

/// When a trace ends, and how much it may disturb.
pub struct Limits<'a> {
    /// For how long.
    pub duration: Option<Duration>,
    /// Whether the user asks for an end.
    pub is_asked: &'a dyn Fn() -> bool,
    /// The share of time, up to 1, for which the target may be stopped to be sampled, or to have other blocks watched.
    pub budget: f64,
    /// How many breakpoints are set at a time; without, as many as the server is known to bear.
    pub window: Option<usize>,
}

impl Limits<'_> {
    /// Why a trace that began then has to end now, if it has.
    fn reached(&self, began: Instant) -> Option<Ended> {
        if (self.is_asked)() {
            return Some(Ended::Asked);
        }
        let is_over = self.duration.is_some_and(|duration| began.elapsed() >= duration);
        is_over.then_some(Ended::Elapsed)
    }

    /// How long may be waited before that is to be looked at again.
    fn patience(&self, began: Instant) -> Duration {
        self.duration.map_or(LOOK, |duration| duration.saturating_sub(began.elapsed()).min(LOOK))
    }
}

/// Why a trace has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The user asked for it.
    Asked,
    /// The time is over.
    Elapsed,
    /// There is nothing left to be reached.
    AllReached,
    /// Somebody else has stopped the target; it is left so.
    StoppedByOther,
    /// The target has ended, and its server said so.
    Exited,
}

/// A target cannot be traced, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It cannot be kept.
    #[error("trace {endpoint}: {source}")]
    TooLarge {
        /// Where the target is.
        endpoint: String,
        /// Why.
        source: TraceTooLarge,
    },
    /// The link does not control its target.
    #[error("trace {endpoint}: this way to the target has no steps, breakpoints or registers")]
    NoControl {
        /// Where the target is.
        endpoint: String,
    },
    /// The link has no log.
    #[error("trace {endpoint}: this way to the target has no log of what it executes")]
    NoLog {
        /// Where the target is.
        endpoint: String,
    },
    /// The link shows no program counters of a target that runs.
    #[error("trace {endpoint}: this way to the target does not show where it is while it runs")]
    NoSamples {
        /// Where the target is.
        endpoint: String,
    },
    /// The log is not what it should be.
    #[error("trace {endpoint}: its log: {source}")]
    Log {
        /// Where the target is.
        endpoint: String,
        /// What is wrong with it.
        source: ImportError,
    },
    /// What the register is called that is to be read is not known.
    #[error("trace {image}: where {architecture} has the address of the next instruction is not known")]
    NoCounter {
        /// The image's name.
        image: String,
        /// Its architecture.
        architecture: &'static str,
    },
    /// The server sets none.
    #[error("trace by breakpoints: {0}")]
    NoBreakpoints(#[source] LinkError),
    /// There is no code.
    #[error("trace {endpoint}: no ELF has a function with code")]
    NoBlocks {
        /// Where the target is.
        endpoint: String,
    },
}

/// A trace that is being made.
pub struct Tracer<'a> {
    link: &'a mut MeteredLink,
    limits: Limits<'a>,
    counters: &'static [&'static str],
    began: Instant,
    /// The target ran before.
    ran: bool,
    /// What was seen so far.
    pub seen: Seen,
    /// For how long the target was stopped, as it was seen from here; steps are in it.
    pub paused: Duration,
}

impl<'a> Tracer<'a> {
    /// Of a target that runs `image`, which tells what its registers are called. The time begins now.
    ///
    /// # Errors
    ///
    /// The link does not control its target, or registers of that architecture are not known.
    pub fn new(link: &'a mut MeteredLink, image: &Image, limits: Limits<'a>) -> Result<Self, TraceError> {
        let endpoint = link.info().endpoint;
        let Some(control) = link.control() else { return Err(TraceError::NoControl { endpoint }) };
        let ran = control.state() == RunState::Running;
        let no_counter =
            || TraceError::NoCounter { image: image.name().to_owned(), architecture: image.architecture() };
        let counters = Abi::of(image.machine()).ok_or_else(no_counter)?.counters;
        let (seen, paused) = (Seen::default(), Duration::ZERO);
        Ok(Self { link, limits, counters, began: Instant::now(), ran, seen, paused })
    }

    /// What was seen, by the code of the images.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn trace<I: Iterator<Item = Insn>>(
        &self,
        counting: Counting,
        codes: impl IntoIterator<Item = Code<I>>,
    ) -> Result<Trace, TraceError> {
        let too_large = |source| TraceError::TooLarge { endpoint: self.link.info().endpoint, source };
        self.seen.trace(counting, codes).map_err(too_large)
    }

    /// For how long it lasts already.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the target was found halted.
    #[must_use]
    pub fn was_halted(&self) -> bool {
        !self.ran
    }

    fn control(&mut self) -> Result<&mut dyn RunControl, TraceError> {
        let endpoint = self.link.info().endpoint;
        self.link.control().ok_or(TraceError::NoControl { endpoint })
    }

    /// Why it has to end now, if it has.
    fn limit(&self) -> Option<Ended> {
        self.limits.reached(self.began)
    }

    /// How long may be waited before there is something to look at, and not longer than until `then`.
    fn patience(&self, then: Option<Instant>) -> Duration {
        let then = then.map_or(LOOK, |then| then.saturating_duration_since(Instant::now()));
        self.limits.patience(self.began).min(then)
    }

    /// Where the selected thread is.
    fn counter(&mut self) -> Result<u64, TraceError> {
        let names = self.counters;
        Ok(read_any(self.control()?, names)?)
    }

    /// Where each thread of the stopped target is.
    fn all_counters(&mut self) -> Result<Vec<u64>, TraceError> {
        let num_threads = self.control()?.num_threads()?;
        let mut counters = Vec::with_capacity(num_threads);
        for index in 0..num_threads {
            if num_threads > 1 {
                self.control()?.select_thread(index)?;
            }
            counters.push(self.counter()?);
        }
        Ok(counters)
    }

    /// A pause that began then is over.
    fn add_pause(&mut self, began: Instant) {
        let pause = began.elapsed();
        self.paused += pause;
        self.link.add_pause(pause);
    }

    /// Lets a target run on that stands still since then.
    fn resume(&mut self, stopped: Instant) -> Result<(), TraceError> {
        self.control()?.resume()?;
        self.add_pause(stopped);
        Ok(())
    }

    /// Leaves a target as it was found that stands still since then, or runs. Breakpoints are gone.
    fn leave(&mut self, stopped: Option<Instant>) -> Result<(), TraceError> {
        match stopped {
            Some(stopped) if self.ran => self.resume(stopped),
            _ if self.ran => Ok(()),
            stopped => {
                let control = self.control()?;
                control.stop()?;
                control.leave_stopped();
                stopped.into_iter().for_each(|stopped| self.add_pause(stopped));
                Ok(())
            }
        }
    }
}
