//! A profile on disk, whichever of LLVM's forms it has: told apart by content, as LLVM's tools do.
//!
//! What enters is a file's bytes; what leaves is a [`StoredProfile`].
//! Source: `InstrProfReader::create` in `llvm/lib/ProfileData/InstrProfReader.cpp`, llvmorg-19.1.7.

use super::cursor::Fault;
use super::stored::StoredProfile;
use super::{indexed, profraw, proftext};
use crate::locate::llvm::LlvmImage;

/// A profile could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProfileError {
    /// The content is none of the forms that are read.
    #[error("read {profile}: it is no raw (.profraw), indexed (.profdata) or text profile (.proftext)")]
    NotAProfile {
        /// The profile's name.
        profile: String,
    },
    /// A raw or an indexed profile is damaged or of a kind that is not read.
    #[error("read {profile} at offset {offset:#x}: {detail}")]
    Binary {
        /// The profile's name.
        profile: String,
        /// Where in the file, in bytes.
        offset: usize,
        /// What is wrong.
        detail: String,
    },
    /// A text profile is damaged or of a kind that is not read.
    #[error("read {profile}, line {line}: {detail}")]
    Text {
        /// The profile's name.
        profile: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
}

/// Reads a raw profile, or several in one file, an indexed profile, or a text profile. `profile` is what errors call
/// it.
///
/// # Errors
///
/// The content is no profile, or a damaged one.
pub fn read(profile: &str, bytes: &[u8]) -> Result<StoredProfile, ReadProfileError> {
    read_of(profile, bytes, &[])
}

/// Whether a profile has counters alone, and only [`read_of`] can tell what they count.
#[must_use]
pub fn needs_image(bytes: &[u8]) -> bool {
    profraw::is_counters_alone(bytes)
}

/// As [`read`], of programs that are known: a raw profile of counters alone, as binary and debug-info correlation leave
/// it, takes its functions from the one of `images` that its counters fit.
///
/// # Errors
///
/// As [`read`], or such counters fit none of the images, or several.
pub fn read_of(
    profile: &str,
    bytes: &[u8],
    images: &[&LlvmImage],
) -> Result<StoredProfile, ReadProfileError> {
    let binary = |fault: Fault| ReadProfileError::Binary {
        profile: profile.to_owned(),
        offset: fault.offset,
        detail: fault.detail,
    };
    if indexed::is_indexed(bytes) {
        indexed::read(bytes).map_err(binary)
    } else if profraw::is_raw(bytes) {
        profraw::read(bytes, images).map_err(binary)
    } else if proftext::is_text(bytes) {
        proftext::read(bytes).map_err(|fault| ReadProfileError::Text {
            profile: profile.to_owned(),
            line: fault.line,
            detail: fault.detail,
        })
    } else {
        Err(ReadProfileError::NotAProfile { profile: profile.to_owned() })
    }
}
