//! Reads the memory of a chip through a debug probe, without halting its processor.
//!
//! What enters is which probe, and perhaps which chip; what leaves is a [`covtap_link::Link`] whose addresses are those of the
//! bus behind the chip's memory access port, and program counters, where the processor has a register that shows them, or sends
//! them by one wire ([`Swo`]).
//! The wire is `probe-rs`'s part: its drivers know the probes, and its tables the chips.
//!
//! What always holds:
//! - the processor is not halted: its debug control register is not even written. `probe-rs` has no such way with a
//!   `Session`, which halts when it begins and when it ends, so access port and debug module are used below it;
//! - only where a RISC-V chip has no system bus is it halted, if that was allowed, and for how long is measured;
//! - a read is believed only if afterwards an address that counts up has come to its end, no error is kept, the debug logic
//!   still has its power, and a word that is known reads as it did: else there may be zeros, or another's words, for what
//!   was refused or lost;
//! - who waits for the probe stops waiting when nothing comes any more, whatever a driver does meanwhile;
//! - what was changed for samples is changed back.
//!
//! ```no_run
//! use covtap_debug_probe::{DebugProbe, Options};
//! use covtap_link::{Link, ReadMemory, TargetAddr};
//!
//! let mut link = DebugProbe::open(&Options::default())?;
//! let mut counters = vec![0; 4096];
//! link.read(TargetAddr::new(0x2000_0000), &mut counters)?;
//! # Ok::<(), covtap_link::LinkError>(())
//! ```

mod access;
mod arm;
mod attach;
mod changed;
mod chip;
mod choose;
mod link;
mod memory;
mod options;
mod riscv;
mod swo;
mod worker;

pub use choose::{ENDPOINT, ProbeInfo, list};
pub use link::{BY_SWO, DebugProbe};
pub use memory::NEEDS_HALT;
pub use options::{Options, Protocol, Selector};
pub use swo::Swo;
pub use worker::THREAD;
