//! Where a `.gcda` file goes.
//!
//! What enters is the name that the compiler put into the image, which may be anything, and what the user says:
//! `GCOV_PREFIX`, `GCOV_PREFIX_STRIP` and the output directory; what leaves is a path. What always holds: it is below
//! the directory that the user named, by its parts alone; symbolic links there are the user's.
//!
//! Parts of a name are dropped as libgcov does. Names that `-fprofile-dir` made, such as `/cov/#tmp#x#m.gcda`, are
//! kept as they are. `%p` and `%q{...}`, which libgcov replaces from its own process, are not replaced.
//!
//! Source: `allocate_filename_struct` and `gcov_exit_open_gcda_file` in `libgcc/libgcov-driver-system.c`,
//! releases/gcc-12.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A name that no file below the directory can have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
#[error("place {name:?} below the output directory: {reason}")]
pub struct GcdaPathError {
    /// The name, as far as it is text; its beginning if it is long.
    pub name: String,
    /// Why not.
    pub reason: &'static str,
}

/// The longest name of a file, and the longest path, that Linux takes, in bytes.
const MAX_PART: usize = 255;
const MAX_PATH: usize = 4095;

/// Where files go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcdaPlace {
    root: PathBuf,
    strip: usize,
}

impl GcdaPlace {
    /// Below `prefix` (`GCOV_PREFIX`), or below `output` if that is not given or empty; of each name so many leading
    /// directories are dropped as `strip` says (`GCOV_PREFIX_STRIP`), which is a number as C's `atoi` reads it.
    #[must_use]
    pub fn new(output: &Path, prefix: Option<&OsStr>, strip: Option<&OsStr>) -> Self {
        let root = prefix.filter(|prefix| !prefix.is_empty()).map_or(output, Path::new);
        Self { root: root.to_owned(), strip: strip.map_or(0, |strip| atoi(strip.as_bytes())) }
    }

    /// The directory that all paths are below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of the file of that name.
    ///
    /// # Errors
    ///
    /// As [`relative`].
    pub fn path(&self, name: &[u8]) -> Result<PathBuf, GcdaPathError> {
        relative(name, self.strip).map(|path| self.root.join(path))
    }
}

/// The number that the text begins with, and 0 for a negative one.
fn atoi(text: &[u8]) -> usize {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

/// The path below any directory for a name from an image, of which `strip` leading directories are dropped: all of
/// them if there are fewer.
///
/// # Errors
///
/// Nothing is left, it leads out of the directory, or no file system takes it.
pub fn relative(name: &[u8], strip: usize) -> Result<PathBuf, GcdaPathError> {
    let refused = |reason| {
        let name: String = String::from_utf8_lossy(name).chars().take(200).collect();
        GcdaPathError { name, reason }
    };
    if name.contains(&0) {
        return Err(refused("it has a zero byte"));
    }
    let (path, is_dos) = without_drive(name);
    let is_separator = |byte: &u8| *byte == b'/' || (is_dos && *byte == b'\\');
    // A leading separator is not counted.
    let rest = path.get(1..).unwrap_or_default();
    let separators = rest.iter().enumerate().filter(|(_, byte)| is_separator(byte));
    let start = separators.take(strip).last().map_or(0, |(at, _)| at.saturating_add(1));
    let left = path.get(start..).unwrap_or_default();
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in left.split(is_separator) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or_else(|| refused("it leads out of it"))?),
            part if part.len() > MAX_PART => return Err(refused("a part of it is longer than 255 bytes")),
            part => parts.push(part),
        }
    }
    let is_directory =
        left.split(is_separator).next_back().is_none_or(|last| matches!(last, b"" | b"." | b".."));
    if parts.is_empty() || is_directory {
        return Err(refused("it names no file"));
    }
    let path = parts.join(&b'/');
    if path.len() > MAX_PATH {
        return Err(refused("it is longer than 4095 bytes"));
    }
    Ok(PathBuf::from(OsStr::from_bytes(&path)))
}

/// Without the drive of a name from Windows, and whether there was one.
fn without_drive(name: &[u8]) -> (&[u8], bool) {
    match name {
        [drive, b':', path @ ..] if drive.is_ascii_alphabetic() && path.starts_with(b"\\") => (path, true),
        [drive, b':', path @ ..] if drive.is_ascii_alphabetic() && path.starts_with(b"/") => (path, true),
        name => (name, false),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leading_directories_are_dropped_as_libgcov_does() {
        for (name, strip, path) in [
            ("/a/b/c.gcda", 0, "a/b/c.gcda"),
            ("/a/b/c.gcda", 1, "b/c.gcda"),
            ("/a/b/c.gcda", 2, "c.gcda"),
            ("/a/b/c.gcda", 9, "c.gcda"),
            ("a/b/c.gcda", 1, "b/c.gcda"),
            ("/c.gcda", 1, "c.gcda"),
            ("c.gcda", 3, "c.gcda"),
            // Each separator counts.
            ("/a//b/c.gcda", 2, "b/c.gcda"),
            ("/a/b/../c.gcda", 0, "a/c.gcda"),
            ("/a/../b/c.gcda", 1, "refused: it leads out of it"),
            ("./c.gcda", 0, "c.gcda"),
            ("/cov/#tmp#x#m.gcda", 0, "cov/#tmp#x#m.gcda"),
            ("/cov/#tmp#x#m.gcda", 1, "#tmp#x#m.gcda"),
            ("C:\\work\\..\\x\\m.gcda", 0, "x/m.gcda"),
            ("C:/build/m.gcda", 1, "m.gcda"),
            ("back\\slash.gcda", 0, "back\\slash.gcda"),
            ("../m.gcda", 0, "refused: it leads out of it"),
            ("/a/../../m.gcda", 0, "refused: it leads out of it"),
            ("C:\\..\\m.gcda", 0, "refused: it leads out of it"),
            ("a\0b", 0, "refused: it has a zero byte"),
            ("", 0, "refused: it names no file"),
            ("/a/", 0, "refused: it names no file"),
            ("/a/", 5, "refused: it names no file"),
            ("/a/..", 0, "refused: it names no file"),
        ] {
            let found = match relative(name.as_bytes(), strip) {
                Ok(path) => path.to_str().unwrap().to_owned(),
                Err(error) => format!("refused: {}", error.reason),
            };
            assert_eq!(found, path, "{name} {strip}");
        }
        let long =
            |part: usize, count: usize| relative(vec!["x".repeat(part); count].join("/").as_bytes(), 0);
        assert!(long(255, 15).is_ok());
        assert_eq!(long(256, 1).unwrap_err().reason, "a part of it is longer than 255 bytes");
        assert_eq!(long(255, 17).unwrap_err().reason, "it is longer than 4095 bytes");
    }

    #[test]
    fn the_prefix_stands_before_the_output_directory() {
        let place = |prefix: Option<&str>, strip: Option<&str>| {
            let place = GcdaPlace::new(Path::new("out"), prefix.map(OsStr::new), strip.map(OsStr::new));
            place.path(b"/a/b/c.gcda").unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(place(None, None), "out/a/b/c.gcda");
        assert_eq!(place(Some("/p/"), None), "/p/a/b/c.gcda");
        assert_eq!(place(Some(""), Some("1")), "out/b/c.gcda");
        assert_eq!(place(Some("p"), Some(" +2x")), "p/c.gcda");
        for none in ["-1", "x", "", " - 2"] {
            assert_eq!(place(Some("p"), Some(none)), "p/a/b/c.gcda");
        }
        assert_eq!(place(None, Some("99999999999999999999999")), "out/c.gcda");
    }

    fn a_name() -> impl Strategy<Value = Vec<u8>> {
        let parts =
            prop::sample::select(&["..", ".", "", "a", "b.gcda", "C:", "\\", "..\\", "\0", "\u{ff}"][..]);
        let pieces = prop::collection::vec((parts, prop::sample::select(&["/", "\\", "//", ""][..])), 0..12);
        let built = pieces.prop_map(|pieces| {
            pieces.into_iter().flat_map(|(part, end)| [part, end].concat().into_bytes()).collect()
        });
        prop_oneof![built, prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in a_name(), strip in 0usize..9) {
            if let Ok(path) = relative(&name, strip) {
                prop_assert!(path.components().count() > 0);
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
                prop_assert!(!path.as_os_str().as_bytes().contains(&0));
            }
        }
    }
}
