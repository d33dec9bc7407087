//! What is wrong with a dump before anything is read of it.

use std::io;

use covtap_link::AddrRange;

/// A dump cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The file cannot be read.
    #[error("read {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The file has nothing, or more than there are addresses for.
    #[error("read {file}: its {len_bytes} bytes are no memory at {addr:#x}")]
    Extent {
        /// The file.
        file: String,
        /// Its length.
        len_bytes: u64,
        /// Where it was said to be.
        addr: u64,
    },
    /// Two files have the same memory.
    #[error("read {first} and {second}: both have {range}")]
    Overlap {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// What both have.
        range: AddrRange,
    },
    /// It is no ELF core.
    #[error("read {file} as an ELF core: it is {kind}")]
    OtherKind {
        /// The file.
        file: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// It is an ELF core, and damaged.
    #[error("read {what} of the core {file}: {detail}")]
    Malformed {
        /// The file.
        file: String,
        /// What part of it.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}
