//! Counts on source by gcov's rules: from a unit's notes and its counters to lines, branches and functions.
//!
//! What enters is a [`Notes`] file and the [`FunctionCounters`] of the functions in it, wherever those were read; what
//! leaves is a [`UnitCoverage`], which equals what `gcov --json-format --branch-probabilities --conditions
//! --prime-paths` prints of the two.
//!
//! What always holds: nothing here does I/O; no count is negative; counters of another compile are never used, and the
//! function is named in [`UnitCoverage::mismatches`]; work and memory are bounded by the size of the notes.

mod bits;
mod check;
mod conservation;
mod cycles;
mod evaluate;
mod gcno;
mod lines;
mod notes_layout;
mod solve;
mod sums;

pub use bits::{ConditionCount, PathCount};
pub use check::{FlowCheck, Unchecked, UncheckedReason};
pub use evaluate::{FunctionCounters, Mismatch, MismatchReason, UnitCoverage};
pub use gcno::{Arc, Condition, Damage, Function, Location, Notes, NotesError};
pub use lines::{Branch, Call, FunctionCount, LineCount, SourceCount};
pub use solve::Incoherence;
pub use sums::{FunctionSum, LineSum, SourceSum};

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod tests;
