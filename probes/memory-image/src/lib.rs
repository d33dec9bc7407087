//! Reads dumps of a target's memory, so that one that has crashed is read like one that runs.
//!
//! What enters is files: raw ranges of memory, each with its address (QEMU's `pmemsave`, a debugger's `dump`), or an ELF
//! core (of a process, of QEMU's `dump-guest-memory`, of a kernel's `/proc/vmcore`). What leaves is a
//! [`covtap_link::Link`]: bytes by address, by physical address where the dump has those, and the files that a process had
//! mapped.
//!
//! What always holds:
//! - what is not in the dump is refused with what the dump has instead, and never read as zeros;
//! - files are read where something is asked for, never as a whole, and never written;
//! - the dump is not trusted: sizes, counts and offsets are checked, and what is allocated is bounded.

mod core;
mod error;
mod link;
mod map;
mod notes;
mod raw;

pub use error::DumpError;
pub use link::MemoryImage;
pub use raw::{ParseRawFileError, RawFile};
