//! What counters count, in the tool's own terms.
//!
//! What enters is the static side of an image and a snapshot of its counter regions, or a profile's bytes from a
//! file; what leaves is counts by function. Nothing here does I/O.

mod correlate;
mod cursor;
pub mod gcov;
mod indexed;
pub mod llvm;
pub mod pool;
mod profraw;
mod proftext;
mod read;
mod running;
mod stats;
mod stored;
pub mod test_index;

pub use read::{ReadProfileError, needs_image, read, read_of};
pub use running::{RunningSummary, Summary};
pub use stats::Stats;
pub(crate) use stored::shown;
pub use stored::{Conflict, MergeError, StoredProfile};
