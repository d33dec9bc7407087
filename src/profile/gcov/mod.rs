//! gcov's counters in files: `.gcda`, as libgcov writes it.
//!
//! What enters is a file's bytes, or what was read from a target; what leaves is a [`GcdaFile`], which
//! [`merge`](GcdaFile::merge)s by libgcov's rules and which `src/write/gcda.rs` writes. What always holds: a file's
//! version has a [`Layout`](crate::locate::gcov::Layout).

mod gcda;
mod merge;
mod read;
mod target;
#[cfg(test)]
mod tests;
mod topn;

pub use gcda::{GcdaCounters, GcdaFile, GcdaFunction, GcdaSummary};
pub use merge::MergeGcdaError;
pub use read::{ReadGcdaError, read};
pub use target::{GcovProfile, TargetError};

/// `gcda` in a word: what a file begins with.
pub(crate) const MAGIC: u32 = 0x6763_6461;
/// The tag of a function.
pub(crate) const TAG_FUNCTION: u32 = 0x0100_0000;
/// The tag of the counters of index 0.
pub(crate) const TAG_COUNTER_BASE: u32 = 0x01a1_0000;
/// The distance of the tags of two indices that follow each other, as a power of two.
pub(crate) const TAG_COUNTER_SHIFT: u32 = 17;
