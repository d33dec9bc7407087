//! What can end a session early.

use covtap_link::{LinkError, TargetAddr};

use super::find_image::FindError;
use super::function::CallError;

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
    /// The calls of a function cannot be met.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The link does not hold its target.
    #[error("hold {endpoint} before each reset: this way to it cannot")]
    NoHold {
        /// Where the target is.
        endpoint: String,
    },
    /// There is no way to its memory beside its processor, and nobody has allowed that it is halted.
    #[error(
        "read the counters through {endpoint}: there is no way to them beside the processor, which would be halted for up to \
         {each_ms} ms at each snapshot, and once for up to {once_ms} ms to see that it runs the ELF"
    )]
    WouldHalt {
        /// Where the target is.
        endpoint: String,
        /// For how long to compare memory with the ELF, as the link has measured it without a halt.
        once_ms: u64,
        /// And for how long to read the counters.
        each_ms: u64,
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
