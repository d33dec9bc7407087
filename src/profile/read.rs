//! A profile on disk, whichever of LLVM's forms it has: told apart by content, as LLVM's tools do.
//!
//! What enters is a file's bytes; what leaves is a [`StoredProfile`].
//! Source: `InstrProfReader::create` in `llvm/lib/ProfileData/InstrProfReader.cpp`, llvmorg-19.1.7.

use super::stored::StoredProfile;
use super::{profraw, proftext};

/// `ff 6c 70 72 6f 66 69 81`, the beginning of an indexed profile (`.profdata`).
const INDEXED_MAGIC: &[u8] = b"\xfflprofi\x81";

/// A profile could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProfileError {
    /// The content is none of the forms that are read.
    #[error("read {profile}: it is no raw profile (.profraw) and no text profile (.proftext)")]
    NotAProfile {
        /// The profile's name.
        profile: String,
    },
    /// It is an indexed profile.
    #[error("read {profile}: it is an indexed profile (.profdata), which is not read yet")]
    Indexed {
        /// The profile's name.
        profile: String,
    },
    /// A raw profile is damaged or of a kind that is not read.
    #[error("read {profile} at offset {offset:#x}: {detail}")]
    Raw {
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

/// Reads a raw profile, or several in one file, or a text profile. `profile` is what errors call it.
///
/// # Errors
///
/// The content is no profile, or a damaged one.
pub fn read(profile: &str, bytes: &[u8]) -> Result<StoredProfile, ReadProfileError> {
    let profile = profile.to_owned();
    if bytes.starts_with(INDEXED_MAGIC) {
        Err(ReadProfileError::Indexed { profile })
    } else if profraw::is_raw(bytes) {
        profraw::read(bytes).map_err(|fault| ReadProfileError::Raw {
            profile,
            offset: fault.offset,
            detail: fault.detail,
        })
    } else if proftext::is_text(bytes) {
        proftext::read(bytes).map_err(|fault| ReadProfileError::Text {
            profile,
            line: fault.line,
            detail: fault.detail,
        })
    } else {
        Err(ReadProfileError::NotAProfile { profile })
    }
}
