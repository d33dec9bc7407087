//! When counters are read, and whether what was read can be believed.
//!
//! What enters is a [link](covtap_link::Link) and a list of [counter regions](crate::locate::CounterRegion);
//! what leaves is a stream of [`Snapshot`]s. Nothing here knows LLVM, gcov, or which link it is.
//!
//! What always holds:
//! - a snapshot that leaves here is whole, and no counter in it is behind the one before, unless it was moved or the target
//!   lost updates of its own;
//! - counters that belong together are of one moment, where somebody [can tell](Coherence);
//! - counters that the target has moved are followed, and read where it counts now;
//! - a reader thread takes the snapshots and never waits for whoever writes them;
//! - a target that was reset ends the session, and what was read while it happened is thrown away.

mod carry;
mod coherence;
mod counters;
mod error;
pub mod find_image;
mod identity;
mod image_memory;
mod lists;
mod loaded;
mod lost;
mod metered;
mod physical;
mod places;
mod reader;
mod schedule;
mod session;

pub use coherence::{Checked, Coherence, Group, Incoherent, Part};
pub use counters::{Counters, Delta};
pub use error::{CollectError, ResetEvidence};
pub use identity::check_identity;
pub use image_memory::{ImageMemory, MemoryPart, read_image_memory};
pub use lists::{FollowedList, ListFault};
pub use loaded::{Loaded, find_loaded};
pub use metered::MeteredLink;
pub use physical::PhysicalLink;
pub use reader::{Reader, Snapshot};
pub use schedule::Schedule;
pub use session::{Ended, Session, Stop, Summary};
