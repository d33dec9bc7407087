//! What a link knows of its target before anything is read.

use std::fmt;
use std::time::Duration;

/// What reading through a link does to the workload.
///
/// A link claims no less than was measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// The workload is never stopped.
    Free,
    /// Each read stops the workload; how long is measured and reported.
    Pauses,
    /// The target was halted when it was found and stays so; reading a running one would not be possible.
    NeedsHalt,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "the workload is not stopped",
            Self::Pauses => "each read pauses the workload",
            Self::NeedsHalt => "the target is halted and stays so",
        })
    }
}

/// The order of the bytes in a word of the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endianness {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl fmt::Display for Endianness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        })
    }
}

/// The width of a pointer in the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PointerWidth {
    /// Four bytes.
    Bits32,
    /// Eight bytes.
    Bits64,
}

impl PointerWidth {
    /// The width in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }
}

impl fmt::Display for PointerWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-bit", self.bytes() * 8)
    }
}

/// What is known of a target and of the way to it. What the server did not tell is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Where the target is, as the user wrote it.
    pub endpoint: String,
    /// The server and how memory is read, for a person: `QEMU 10.0.2, process_vm_readv`.
    pub server: String,
    /// The architecture by the server's own name for it: `arm`, `i386:x86-64`.
    pub architecture: Option<String>,
    /// Byte order, where the server told.
    pub endianness: Option<Endianness>,
    /// Pointer width, where the server told.
    pub pointer_width: Option<PointerWidth>,
    /// What reading does to the workload.
    pub effect: Effect,
    /// For how long the workload was stopped while the link was made.
    pub attach_pause: Duration,
}
