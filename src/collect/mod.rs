//! When counters are read, and whether what was read can be believed.
//!
//! What enters is a [link](covtap_link::Link) and a list of [counter regions](crate::locate::CounterRegion);
//! what leaves is a stream of [`Snapshot`]s. Nothing here knows LLVM, gcov, or which link it is.
//!
//! What always holds:
//! - a snapshot that leaves here is whole, and no counter in it is behind the one before, unless it was moved, the target
//!   lost updates of its own, or counting began anew;
//! - a counter of which no reading can be believed keeps its last good value, and is counted;
//! - counters that belong together are of one moment, where somebody [can tell](Coherence);
//! - counters that the target has moved are followed, and read where it counts now;
//! - a reader thread takes the snapshots and never waits for whoever writes them;
//! - a target that was reset ends a run and begins another: what its runs counted is added up, and what was read while it
//!   happened is thrown away;
//! - nothing of the target's changes: counting anew is a baseline on the host. Only a [trace] writes at all: breakpoints,
//!   and code as it is there, so that QEMU translates it anew.

mod abi;
mod calls;
mod changes;
mod coherence;
mod counters;
mod error;
mod find_again;
pub mod find_image;
mod function;
mod identity;
mod image_memory;
mod label_on;
mod labels;
mod lists;
mod loaded;
mod lost;
mod metered;
mod notice;
mod physical;
mod places;
mod queue;
mod reader;
mod request;
mod restart;
mod schedule;
mod serve;
mod session;
mod snapshot;
mod sums;
mod sure;
mod torn;
pub mod trace;

pub use changes::Changes;
pub use coherence::{Checked, Coherence, Group, Incoherent, Part};
pub use counters::{Counters, Delta};
pub use error::CollectError;
pub use find_again::Movable;
pub use function::{CallError, ResetOn, Wanted};
pub use identity::{Expected, check_identity};
pub use image_memory::{ImageMemory, MemoryPart, read_image_memory};
pub use label_on::{LabelOn, LabelSpec};
pub use labels::{MAX_TEST_NAME_BYTES, TestCounts, TestError};
pub use lists::{FollowedList, ListFault};
pub use loaded::{Loaded, find_loaded};
pub use metered::MeteredLink;
pub use notice::{Notice, ResetEvidence};
pub use physical::PhysicalLink;
pub use queue::Told;
pub use reader::Reader;
pub use request::{Answer, Ask, Pending, Progress, Request};
pub use schedule::Schedule;
pub use session::{Ended, Reconnect, Session, Stop, Summary};
pub use snapshot::{Snapshot, Taken};
