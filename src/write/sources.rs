//! The text of source files, for writers that show it.
//!
//! What enters is a file's name as the coverage has it; what leaves is its bytes. What always holds: only regular files
//! are read, up to [`MAX_BYTES`]: the name comes from an ELF, which may say anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest source that is read.
pub const MAX_BYTES: u64 = 64 << 20;

/// A source cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is not there, or not to be read.
    #[error("read the source {}: {error}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// A device, a folder, a pipe.
    #[error("read the source {}: not a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// No person wrote that.
    #[error("read the source {}: longer than {} MiB", path.display(), MAX_BYTES >> 20)]
    TooLong {
        /// Its path.
        path: PathBuf,
    },
}

/// The bytes of the source of that name.
///
/// # Errors
///
/// It is not there, or it is no file that a compiler would have read.
pub fn read(name: &[u8]) -> Result<Vec<u8>, SourceError> {
    let path = Path::new(OsStr::from_bytes(name));
    let failed = |error| SourceError::Read { path: path.to_owned(), error };
    // Opening a pipe would wait for a writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(SourceError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SourceError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_sources() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.c");
        std::fs::write(&path, "int main(void) {}\n").unwrap();
        assert_eq!(read(path.as_os_str().as_bytes()).unwrap(), b"int main(void) {}\n");
        let refused = |name: &str| read(name.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused("/dev/zero"), "read the source /dev/zero: not a regular file");
        let missing = dir.path().join("gone.c").display().to_string();
        assert_eq!(
            refused(&missing),
            format!("read the source {missing}: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn a_source_without_end_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endless.c");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let error = read(path.as_os_str().as_bytes()).unwrap_err();
        assert!(matches!(error, SourceError::TooLong { .. }), "{error}");
    }
}
