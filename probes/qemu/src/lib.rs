//! Reads a QEMU guest's memory through its monitor and its process, without stopping it.
//!
//! What enters is where the monitor (QMP) listens; what leaves is a [`covtap_link::Link`]. The monitor only
//! translates addresses; the bytes come straight out of the QEMU process, or out of the file behind the guest's
//! memory, or, where the host refuses both, by QEMU's own `pmemsave` and `memsave`.
//!
//! What always holds:
//! - the guest is never stopped, resumed or reset by reading: no command that a link sends for it changes its run state.
//!   Only when a [log of its code](covtap_link::LogBlocks) begins it stands still for a moment. One that was
//!   [started here](launch) is let go when it is told to, and ended with its link;
//! - bytes are only taken from a process or file that was seen to hold the guest's memory;
//! - a range is read whole or not at all, and where part of it is no RAM the error names the address;
//! - a virtual address that the guest's page tables do not map is an error, never read as a physical one;
//! - what the server prints is parsed strictly, and every wait has a limit.
//!
//! ```text
//! address ──gva2gpa──▶ physical ──info mtree -f, gpa2hva──▶ QEMU's address ──process_vm_readv──▶ bytes
//!                         │                 └──region, offset──▶ shared file ──pread──▶ bytes
//!                         └──pmemsave, memsave, xp──▶ bytes
//! ```
//!
//! What it costs the guest, by method:
//!
//! | method | the guest meanwhile |
//! |---|---|
//! | `process_vm_readv`, shared file | nothing waits for the copy; memory bandwidth is shared |
//! | `pmemsave`, `memsave`, `xp` | runs, but QEMU's big lock is held while it copies: a CPU that needs it waits |
//!
//! ```no_run
//! use covtap_link::{Link, ReadMemory, TargetAddr};
//! use covtap_qemu::{Options, QemuLink};
//!
//! let mut link = QemuLink::connect(&"/run/vm/qmp.sock".parse()?, &Options::default())?;
//! let mut counters = vec![0; 4096];
//! let report = link.read(TargetAddr::new(0x2000_0000), &mut counters)?;
//! assert!(report.pause.is_zero());
//! println!("{} ({:?})", link.info().server, link.fallback_reason());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Virtual addresses are those of one CPU at the moment it is asked: where a kernel keeps its own memory out of
//! the page tables that user code runs on, a question at the wrong moment has no answer.

mod actions;
mod architecture;
mod copy;
mod dump;
mod endpoint;
mod evidence;
mod failure;
mod handed;
mod host;
mod human;
mod launch;
mod link;
mod log;
mod options;
mod qmp;
mod trace_file;
mod translate;
mod watched;

pub use endpoint::{ParseEndpointError, QmpEndpoint};
pub use launch::{LaunchError, StartedQemu, launch};
pub use link::QemuLink;
pub use options::{AddressSpace, MethodChoice, Options, ParseOptionError};
pub use trace_file::TraceFile;
