//! Why an image gives no counters of gcov.

use covtap_link::TargetAddr;

use super::Version;
use crate::image::ImageAddr;

/// The counters of gcov could not be found or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GcovError {
    /// There is no structure of gcov.
    #[error("find gcov's counters in {image}: it has no gcov_info")]
    NotInstrumented {
        /// The image's name.
        image: String,
    },
    /// There is no structure of gcov in what was read from the target.
    #[error("find gcov's counters in the memory of {image}: there is no gcov_info")]
    NotInMemory {
        /// What the memory is of.
        image: String,
    },
    /// clang made its counters and optimised the tables of them away.
    #[error(
        "find gcov's counters in {image}: they are clang's ({evidence}), whose tables are there at -O0 alone"
    )]
    Clang {
        /// The image's name.
        image: String,
        /// The symbol that shows it.
        evidence: String,
    },
    /// It is an object file, whose addresses are not known yet.
    #[error("find gcov's counters in {image}: it is a relocatable object, not linked yet")]
    Relocatable {
        /// The image's name.
        image: String,
    },
    /// All that looks like a structure of gcov does not fit; what is told is the first one.
    #[error("read the gcov_info of {image} at {address}, GCC {version}, for {filename}: {detail}")]
    Object {
        /// The image's name.
        image: String,
        /// Where it is.
        address: ImageAddr,
        /// The compiler's version.
        version: Version,
        /// The file that it is written to, with control characters escaped.
        filename: String,
        /// What does not fit.
        detail: String,
    },
    /// Counters of two functions are in one place.
    #[error("find gcov's counters in {image}: those at {first} and at {second} overlap")]
    Overlap {
        /// The image's name.
        image: String,
        /// The first ones.
        first: ImageAddr,
        /// The second ones.
        second: ImageAddr,
    },
    /// Structures refer to more than a file of that length can hold.
    #[error("find gcov's counters in {image}: its structures refer to each other over and over")]
    Implausible {
        /// The image's name.
        image: String,
    },
    /// Counters pass the end of the target's address space or are more than any program's.
    #[error("find gcov's counters in {image}: {len_bytes} bytes at {start} are no range of memory")]
    NoRange {
        /// The image's name.
        image: String,
        /// Where they would begin.
        start: TargetAddr,
        /// How long they would be.
        len_bytes: u64,
    },
}
