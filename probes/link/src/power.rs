//! Powers that a link may have beside reading.

use std::ops::AddAssign;
use std::time::Duration;

use crate::{AddrRange, LinkError, ReadReport, ReadRequest, TargetAddr};

/// Whether the target executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunState {
    /// It executes.
    Running,
    /// It is stopped.
    Stopped,
}

/// Stop, resume, step, breakpoints and registers.
pub trait RunControl {
    /// Whether the target executes, as far as the link was told.
    fn state(&self) -> RunState;

    /// Stops the target and waits until it has stopped.
    ///
    /// # Errors
    ///
    /// The target did not confirm.
    fn stop(&mut self) -> Result<(), LinkError>;

    /// Lets the target run on.
    ///
    /// # Errors
    ///
    /// The request could not be sent.
    fn resume(&mut self) -> Result<(), LinkError>;

    /// Executes one instruction of the stopped target, in the [selected](RunControl::select_thread) thread, and waits for
    /// its end. One that waits for an interrupt, and gets none, is left before its end.
    ///
    /// # Errors
    ///
    /// The target is not stopped, or did not confirm.
    fn step(&mut self) -> Result<(), LinkError>;

    /// Sets a breakpoint: in memory, or in hardware where the server refuses that. `kind` is the architecture's breakpoint
    /// size, as the `Z0` packet has it.
    ///
    /// # Errors
    ///
    /// The target is not stopped, or refused.
    fn set_breakpoint(&mut self, addr: TargetAddr, kind: u8) -> Result<(), LinkError>;

    /// Clears a breakpoint that [`set_breakpoint`](RunControl::set_breakpoint) set.
    ///
    /// # Errors
    ///
    /// The target is not stopped, or refused.
    fn clear_breakpoint(&mut self, addr: TargetAddr, kind: u8) -> Result<(), LinkError>;

    /// The value of a register of the stopped target, by the server's own name for it.
    ///
    /// # Errors
    ///
    /// The target is not stopped, or has no such register of at most 64 bits.
    fn read_register(&mut self, name: &str) -> Result<u64, LinkError>;

    /// Waits until the target has stopped, at a breakpoint say, at most so long; whether it has.
    ///
    /// # Errors
    ///
    /// The link failed, or the target has ended.
    fn wait_for_stop(&mut self, patience: Duration) -> Result<bool, LinkError>;

    /// How many threads, or processors, the stopped target has.
    ///
    /// # Errors
    ///
    /// The target is not stopped, or did not answer.
    fn num_threads(&mut self) -> Result<usize, LinkError>;

    /// From now on steps and registers are those of this thread, of those that were counted last, from 0.
    ///
    /// # Errors
    ///
    /// The target is not stopped, has no such thread, or refused.
    fn select_thread(&mut self, index: usize) -> Result<(), LinkError>;

    /// Has a stopped target stay so when it is left, as if it had been found so.
    fn leave_stopped(&mut self);
}

/// Writing target memory.
pub trait WriteMemory {
    /// Writes all of `bytes` at `addr`.
    ///
    /// # Errors
    ///
    /// The range could not be written whole; part of it may have been.
    fn write(&mut self, addr: TargetAddr, bytes: &[u8]) -> Result<(), LinkError>;
}

/// The target's RAM by physical addresses, whatever its page tables say.
pub trait PhysicalMemory {
    /// Where there is memory that can be read: in order, without overlaps, neighbours joined. Memory that shows at
    /// several addresses is named once, by the lowest.
    ///
    /// # Errors
    ///
    /// The server does not tell where it has memory, or did not answer.
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError>;

    /// As [`ReadMemory::read_many`](crate::ReadMemory::read_many), at physical addresses.
    ///
    /// # Errors
    ///
    /// Any range that could not be read whole; the buffers then hold nothing of use.
    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError>;
}

/// Program counters of a target that is not halted for it.
pub trait SamplePc {
    /// Appends program counters to `samples`, as many as one burst of the link gives, and tells what the burst was.
    ///
    /// # Errors
    ///
    /// The target could not be sampled.
    fn sample(&mut self, samples: &mut Vec<TargetAddr>) -> Result<Burst, LinkError>;
}

/// How many samples there were, and should have been.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Burst {
    /// How many came, also those that showed no place.
    pub num: u64,
    /// How many were due: as many as came where each is asked for, and what its rate comes to where the target sends them.
    /// In one burst fewer may be due than come late from the one before.
    pub due: u64,
    /// How often the target said that it had to drop some.
    pub overflows: u64,
    /// How many bytes came that mean nothing.
    pub undecoded_bytes: u64,
}

impl Burst {
    /// How many did not come that were due.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.due.saturating_sub(self.num)
    }
}

impl AddAssign for Burst {
    fn add_assign(&mut self, other: Self) {
        self.num = self.num.saturating_add(other.num);
        self.due = self.due.saturating_add(other.due);
        self.overflows = self.overflows.saturating_add(other.overflows);
        self.undecoded_bytes = self.undecoded_bytes.saturating_add(other.undecoded_bytes);
    }
}

/// A log of which code the target executes: what its server translates, in the server's own text.
///
/// The target runs on, at its own speed. A log that was begun is ended by [`Link::detach`](crate::Link::detach) too.
pub trait LogBlocks {
    /// From now on each block of `code` is logged when it is executed next, whether it was executed before or not; once
    /// for all times that it is.
    ///
    /// # Errors
    ///
    /// The server cannot log, or not where this process can read it.
    fn begin(&mut self, code: &[AddrRange]) -> Result<LogBegun, LinkError>;

    /// Appends what was logged since, after waiting for it no longer than `wait`.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn next(&mut self, wait: Duration, log: &mut Vec<u8>) -> Result<(), LinkError>;

    /// Ends it, and appends the rest, which is there also if this fails.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer: it may still log.
    fn end(&mut self, log: &mut Vec<u8>) -> Result<(), LinkError>;
}

/// What it took to begin a log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LogBegun {
    /// For how long the workload stood still.
    pub pause: Duration,
    /// How much of the code the server had no memory for: what was executed there before may not be logged.
    pub missed_bytes: u64,
}

/// Something that happened to the target by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TargetEvent {
    /// The target was reset: counters start again.
    Reset,
    /// The target is about to be reset, and stands still before it until it is [released](HoldBeforeLoss::release).
    AboutToReset,
    /// The target is about to end, and stands still before it until it is [released](HoldBeforeLoss::release).
    AboutToExit,
    /// The target ended, and its server said so; no memory can be read any more. A server that just goes away
    /// is an error.
    Exited,
    /// The target was stopped by somebody else.
    Stopped,
    /// The target was resumed by somebody else.
    Resumed,
    /// The target printed something.
    Console(Vec<u8>),
}

/// Holding a target in the moment before a reset or its end takes its memory away, so that it can be read a last time.
pub trait HoldBeforeLoss {
    /// From now on the target is held there, and [`TargetEvent::AboutToReset`] or [`TargetEvent::AboutToExit`] told.
    ///
    /// # Errors
    ///
    /// The server cannot hold its target there.
    fn arm(&mut self) -> Result<(), LinkError>;

    /// Lets what was held happen: the reset, or the end. Returns for how long the workload stood still; zero if nothing
    /// was held.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer.
    fn release(&mut self) -> Result<Duration, LinkError>;
}

/// A file, or a part of one, that is mapped into the target's memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedFile {
    /// Where it is in the target's memory.
    pub range: AddrRange,
    /// Where in the file the range begins, in bytes.
    pub file_offset: u64,
    /// The file as the target knows it: on another host, or replaced since, for all that is known.
    pub path: Vec<u8>,
}

/// Which files a target has mapped into its memory: how a process tells where its programs and libraries are.
pub trait MappedFiles {
    /// All of them, by address.
    ///
    /// # Errors
    ///
    /// The list could not be read.
    fn files(&mut self) -> Result<Vec<MappedFile>, LinkError>;
}

/// What a link is told by its target.
pub trait TargetEvents {
    /// The next event that has already arrived, without waiting for one.
    ///
    /// # Errors
    ///
    /// The link failed while it looked.
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError>;

    /// How often somebody who waits is to look. Short, since after a reset the target's old memory is not there for long.
    fn look_every(&self) -> Duration {
        Duration::from_millis(5)
    }
}

/// Reading that halts the workload where nobody has allowed it yet.
pub trait HaltToRead {
    /// For how long the workload would stand still while these are read at once, at most; it is not halted to find that out.
    /// `None` if it stands still now.
    ///
    /// # Errors
    ///
    /// The link failed.
    fn pause_of(&mut self, ranges: &[AddrRange]) -> Result<Option<Duration>, LinkError>;
}
