//! Why an image gives no LLVM counters.

use covtap_link::TargetAddr;

use crate::image::ImageError;

/// The LLVM counters of an image could not be found or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// There is no trace of instrumentation.
    #[error("find counters in {image}: it has no __llvm_prf_* section or symbol")]
    NotInstrumented {
        /// The image's name.
        image: String,
    },
    /// The coverage mapping is there and nothing to count with.
    #[error("find counters in {image}: it has a coverage mapping ({section}) and no __llvm_prf_* sections")]
    MappingOnly {
        /// The image's name.
        image: String,
        /// The section of the mapping that was found.
        section: String,
    },
    /// It is instrumented for gcov.
    #[error("find counters in {image}: it is instrumented for gcov ({evidence}), not for LLVM")]
    Gcov {
        /// The image's name.
        image: String,
        /// The symbol or section that shows it.
        evidence: String,
    },
    /// There are neither section headers nor symbols to find anything by.
    #[error("find counters in {image}: it was stripped of section headers and symbols")]
    Stripped {
        /// The image's name.
        image: String,
    },
    /// It is an object file, whose addresses are not known yet.
    #[error("find counters in {image}: it is a relocatable object, not linked yet")]
    Relocatable {
        /// The image's name.
        image: String,
    },
    /// There are data records and no counters.
    #[error("find counters in {image}: it has {section} and no __llvm_prf_cnts")]
    NoCounters {
        /// The image's name.
        image: String,
        /// The section that was found.
        section: String,
    },
    /// There are counters and nothing that tells what they count: no data records, and no debug information with
    /// what `-profile-correlate=debug-info` puts there.
    #[error(
        "find what the counters of {image} count: it has no __llvm_prf_data, and no debug information that tells"
    )]
    NoData {
        /// The image's name.
        image: String,
    },
    /// Debug information tells what the counters count, and is not in the image.
    #[error(
        "find what the counters of {image} count: its debug information is split off, to {dwo} and the like"
    )]
    SplitDebugInfo {
        /// The image's name.
        image: String,
        /// The first file of the debug information.
        dwo: String,
    },
    /// The debug information that tells what the counters count is damaged.
    #[error("read {section} of {image} at offset {offset:#x}: {detail}")]
    DebugInfo {
        /// The image's name.
        image: String,
        /// The section.
        section: &'static str,
        /// Where in the section.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// There are data records and no names.
    #[error("find the function names of {image}: it has {section} and no names section")]
    NoNames {
        /// The image's name.
        image: String,
        /// The section of the data records.
        section: String,
    },
    /// A section that tells what is counted takes no space in the file.
    #[error("read {section} of {image}: the file has no bytes for it")]
    NotInFile {
        /// The image's name.
        image: String,
        /// The section.
        section: String,
    },
    /// Byte counters mean "covered" when they are 0, which is what memory holds that comes from no file.
    #[error(
        "find counters in {image}: they are bytes that begin at 0xff and {section} has none in the file, so that \
         everything would look covered"
    )]
    ByteCountersNotInFile {
        /// The image's name.
        image: String,
        /// The section of the counters.
        section: String,
    },
    /// Several sections have one name.
    #[error("find counters in {image}: {count} sections are named {section}")]
    SeveralSections {
        /// The image's name.
        image: String,
        /// The name.
        section: String,
        /// How many there are.
        count: usize,
    },
    /// The image says that it has a raw version that is not known here.
    #[error("read the records of {image}: raw profile version {version} is not known")]
    UnknownVersion {
        /// The image's name.
        image: String,
        /// The version's number.
        version: u64,
    },
    /// The data records fit no version; what is told is how the likeliest one failed.
    #[error(
        "read {section} of {image} as raw version {version}: record {index} at offset {offset:#x}: {detail}"
    )]
    Record {
        /// The image's name.
        image: String,
        /// The section of the data records.
        section: String,
        /// The version's number.
        version: u64,
        /// The record's index, from 0.
        index: usize,
        /// The record's offset in its section.
        offset: u64,
        /// What does not fit.
        detail: String,
    },
    /// The names do not decode.
    #[error("read {section} of {image} at offset {offset:#x}: {detail}")]
    Names {
        /// The image's name.
        image: String,
        /// The section of the names.
        section: String,
        /// Where in the section.
        offset: usize,
        /// What is wrong.
        detail: String,
    },
    /// A region passes the end of the target's address space or is larger than any program's.
    #[error("find counters in {image}: {section}, {len_bytes} bytes at {start}, is no range of memory")]
    NoRange {
        /// The image's name.
        image: String,
        /// The section.
        section: String,
        /// Where it would begin.
        start: TargetAddr,
        /// How long it would be.
        len_bytes: u64,
    },
    /// The ELF itself is damaged there.
    #[error(transparent)]
    Image(#[from] ImageError),
}
