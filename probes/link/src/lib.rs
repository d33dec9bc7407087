//! The seam between covtap and a target.
//!
//! A *link* is one way to reach a target: a GDB remote server, QEMU's monitor, a debug probe. It knows
//! addresses and bytes, never a coverage format. What enters is a list of address ranges; what leaves is
//! the bytes that were there and a [`ReadReport`] of what the reading did to the workload.
//!
//! What always holds:
//! - a read fills the whole buffer or fails, it is never short;
//! - the time for which the workload was stopped is measured and reported, never assumed;
//! - a power that a link may lack (stopping, writing, sampling, events) is a method that returns an
//!   `Option`, so that a caller can ask before it plans.

use std::time::Duration;

mod addr;
mod error;
mod info;
mod memory;
mod power;
mod rewrite;
pub mod scripted;
mod word_by_word;

pub use addr::{AddrRange, TargetAddr};
pub use error::{LinkError, Operation};
pub use info::{Effect, Endianness, LinkInfo, PointerWidth};
pub use memory::{ReadMemory, ReadReport, ReadRequest};
pub use power::{
    Burst, HaltToRead, HoldBeforeLoss, LogBegun, LogBlocks, MappedFile, MappedFiles, PhysicalMemory,
    RunControl, RunState, SamplePc, TargetEvent, TargetEvents, WriteMemory,
};
pub use rewrite::rewrite;
pub use word_by_word::WordByWord;

/// One way to reach one target.
///
/// Dropping a link leaves the target as it was found, as [`detach`](Link::detach) does, but has nobody to
/// tell when that fails.
pub trait Link: ReadMemory + Send {
    /// What is known of the target and of what reading does to its workload.
    fn info(&self) -> LinkInfo;

    /// Leaves the target as it was found: running if it ran, without our breakpoints. Returns for how long the
    /// workload was stopped for that.
    ///
    /// Nothing may be read afterwards. Calling it again does nothing.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer; the target may then have stayed stopped.
    fn detach(&mut self) -> Result<Duration, LinkError>;

    /// For how long the workload was stopped by what failed, and so had no report, since this was asked last.
    fn pause_of_failures(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Stop, resume, step, breakpoints and registers, where the link has them.
    fn control(&mut self) -> Option<&mut dyn RunControl> {
        None
    }

    /// Writing target memory, where the link can.
    fn writer(&mut self) -> Option<&mut dyn WriteMemory> {
        None
    }

    /// Reading at physical addresses, where the link can.
    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        None
    }

    /// Program counters without a halt, where the link can.
    fn sampler(&mut self) -> Option<&mut dyn SamplePc> {
        None
    }

    /// Holding the target before a reset or its end takes its memory away, where the link can.
    fn hold(&mut self) -> Option<&mut dyn HoldBeforeLoss> {
        None
    }

    /// What it would cost to read, where that halts the workload and nobody has allowed it: reads are refused until then.
    fn halting(&mut self) -> Option<&mut dyn HaltToRead> {
        None
    }

    /// A log of which code is executed, where the link has one.
    fn block_log(&mut self) -> Option<&mut dyn LogBlocks> {
        None
    }

    /// Which files the target has mapped, where it is a process.
    fn mapped_files(&mut self) -> Option<&mut dyn MappedFiles> {
        None
    }

    /// Resets, exits and console output, where the link is told of them.
    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        None
    }
}
