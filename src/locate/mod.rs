//! Which bytes of a target hold counters.
//!
//! What enters is an [image](crate::image); what leaves is a list of [`CounterRegion`]s and, for the format
//! that was found, what the counters mean.

pub mod gcov;
pub mod llvm;
mod region;

pub use region::{BiasWord, CounterRegion, MergeRule};
