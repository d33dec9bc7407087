//! What can end a session early.

use std::fmt;

use covtap_link::{LinkError, TargetAddr};

use super::find_image::FindError;

/// How a reset of the target was noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetEvidence {
    /// The link was told.
    Event,
    /// This many counters were behind their last value, and stayed so when they were read again.
    Backwards {
        /// How many counters.
        counters: u64,
        /// How often they were read again.
        rereads: u32,
    },
}

impl fmt::Display for ResetEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("the server reported a reset"),
            Self::Backwards { counters, rereads } => {
                write!(f, "{counters} counters went backwards and stayed so when read again {rereads} times")
            }
        }
    }
}

/// Collecting counters failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The image was not found in the target's memory.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The target started again while its counters were being collected.
    #[error("snapshot {number} of {endpoint}: the target was reset ({evidence})")]
    Reset {
        /// The snapshot that was thrown away, counted from 1.
        number: u64,
        /// Where the target is.
        endpoint: String,
        /// How it was noticed.
        evidence: ResetEvidence,
    },
    /// The target says that it counts where there can be no memory.
    #[error(
        "find the counters of {endpoint}: {region}, moved by {bias:#x} as {word} says, passes the end of memory"
    )]
    Misplaced {
        /// Where the target is.
        endpoint: String,
        /// The section or symbol of the counters.
        region: String,
        /// Where the target keeps how far they were moved.
        word: TargetAddr,
        /// How far.
        bias: u64,
    },
    /// The counters were elsewhere every time that they were read.
    #[error("read the counters of {endpoint}: {region} was moved during each of {times} readings")]
    NeverAtRest {
        /// Where the target is.
        endpoint: String,
        /// The section or symbol of the counters.
        region: String,
        /// How often they were read again.
        times: u32,
    },
    /// Counters carried into their upper halves during every reading, so that none is sure.
    #[error("read the counters of {endpoint}: upper halves changed during each of {times} readings")]
    NeverSure {
        /// Where the target is.
        endpoint: String,
        /// How often they were read again.
        times: u32,
    },
    /// The regions are larger than this host can hold.
    #[error("make room for {len_bytes} bytes of counters: the limit is {limit_bytes} bytes")]
    TooLarge {
        /// What the image asks for.
        len_bytes: u64,
        /// The most that is accepted.
        limit_bytes: u64,
    },
    /// An image has more memory in the target than is read of any.
    #[error("read the memory of {image}: it has {len_bytes} bytes, the limit is {limit_bytes} bytes")]
    TooMuchMemory {
        /// The image, as the user wrote it.
        image: String,
        /// What its program headers load.
        len_bytes: u64,
        /// The most that is accepted.
        limit_bytes: u64,
    },
    /// The target does not run the image.
    #[error("check that {endpoint} runs {image}: {difference}")]
    WrongImage {
        /// Where the target is.
        endpoint: String,
        /// The image, as the user wrote it.
        image: String,
        /// How the two differ.
        difference: String,
    },
}
