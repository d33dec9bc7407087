//! What can be wrong with an ELF.

/// An ELF could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file is something else.
    #[error("read {image}: not an ELF file: it begins with {begins_with}")]
    NotElf {
        /// The file's name.
        image: String,
        /// Its first bytes, in hex.
        begins_with: String,
    },
    /// A table does not fit its description or the file.
    #[error("read the {what} of {image} at file offset {offset:#x}: {detail}")]
    Malformed {
        /// The file's name.
        image: String,
        /// What was read: `section headers`.
        what: &'static str,
        /// Where the file says it is.
        offset: u64,
        /// What was wrong.
        detail: String,
    },
    /// A section's bytes are not where its header says.
    #[error("read section {section} of {image} at file offset {offset:#x}: {detail}")]
    Section {
        /// The file's name.
        image: String,
        /// The section's name.
        section: String,
        /// Where the file says it is.
        offset: u64,
        /// What was wrong.
        detail: String,
    },
}
