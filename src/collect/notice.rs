//! What happens to a target or to the way to it while a session goes on: not an error, and to be known.

use std::fmt;
use std::time::Duration;

use covtap_link::TargetAddr;

use crate::image::Slide;

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
    /// An image is loaded elsewhere now.
    Moved,
}

impl fmt::Display for ResetEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("the target was seen to begin anew"),
            Self::Moved => f.write_str("an image is loaded elsewhere now"),
            Self::Backwards { counters, rereads } => {
                write!(f, "{counters} counters went backwards and stayed so when read again {rereads} times")
            }
        }
    }
}

/// What is to be known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The target was reset: what it counted until the last snapshot is kept, and what it counts now is added.
    Reset {
        /// The number of that snapshot; 0 if there was none.
        after: u64,
        /// How it was noticed.
        evidence: ResetEvidence,
    },
    /// The target said that it was reset, and no counter shows it.
    ResetUnseen {
        /// The number of the snapshot before.
        after: u64,
    },
    /// After a reset the target does not run the programs, or not yet: it is watched.
    OtherImage {
        /// How it differs.
        error: String,
    },
    /// An image was found at another place than before the reset.
    Moved {
        /// The image, as the user wrote it.
        image: String,
        /// Where it is.
        at: TargetAddr,
        /// How far that is from where the ELF says.
        slide: Slide,
    },
    /// The link failed; another one is sought.
    LinkLost {
        /// What failed, where, and what came back.
        error: String,
        /// For how long it is sought.
        patience: Duration,
    },
    /// There is a link again, and the target still runs the programs.
    LinkBack {
        /// How long there was none.
        after: Duration,
    },
    /// A call was met, and something is to be known of it.
    Call {
        /// The function.
        symbol: String,
        /// What.
        fault: String,
    },
    /// The session ends, and not all was said of calls.
    CallsUntold {
        /// How often.
        faults: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset { after, evidence } => write!(
                f,
                "the target was reset after snapshot {after} ({evidence}); what it counts now is added to that"
            ),
            Self::ResetUnseen { after } => write!(
                f,
                "the target was reset after snapshot {after}, and no counter shows it: they were kept, or have come as far \
                 again; what they had then is added when a later reset shows that they begin at zero"
            ),
            Self::OtherImage { error } => write!(f, "{error}; waiting for it"),
            Self::Moved { image, at, slide } => {
                write!(f, "{image} is loaded at {at} since the reset, slide {slide}")
            }
            Self::LinkLost { error, patience } => {
                write!(f, "{error}; trying again for {} s", patience.as_secs_f32())
            }
            Self::Call { symbol, fault } => write!(f, "a call of {symbol}: {fault}"),
            Self::CallsUntold { faults } => {
                write!(f, "{faults} more times there was something to say of a call")
            }
            Self::LinkBack { after } => {
                write!(f, "the target is there again after {:.1} s, and runs the same", after.as_secs_f32())
            }
        }
    }
}
