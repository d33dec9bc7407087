//! What counters count, in the tool's own terms.
//!
//! What enters is the static side of an image and a snapshot of its counter regions; what leaves is counts by
//! function. Nothing here does I/O.

pub mod llvm;
