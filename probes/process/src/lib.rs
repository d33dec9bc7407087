//! Reads the memory of a process of this host, without stopping it.
//!
//! What enters is a process id; what leaves is a [`covtap_link::Link`] whose addresses are the process's own, and which
//! tells what files are mapped where, so that programs and libraries are found wherever they were loaded.
//!
//! What always holds:
//! - the process is never stopped, traced or changed: nothing is attached to it, its memory is only read;
//! - bytes come from the process that was opened, never from a later one with the same id;
//! - a range is read whole or not at all, and the error names the address that is not mapped;
//! - a process that has ended says so as an event, and is no error.
//!
//! ```no_run
//! use covtap_link::{Link, ReadMemory, TargetAddr};
//! use covtap_process::ProcessLink;
//!
//! let mut link = ProcessLink::attach(1234)?;
//! let mut counters = vec![0; 4096];
//! link.read(TargetAddr::new(0x5555_5555_8000), &mut counters)?;
//! # Ok::<(), covtap_link::LinkError>(())
//! ```

mod family;
mod link;
mod memory;
mod program;
mod refusal;

pub use link::ProcessLink;
pub use memory::{CopyError, ProcessMemory};
