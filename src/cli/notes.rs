//! Finds the notes (`.gcno`) of what was counted, among files that the user names and beside the data file.
//!
//! What enters is notes files, and the name and stamp of a unit as a data file or an image has them; what leaves is the
//! path of its notes. What always holds: notes of another stamp are never given out; of each file only the head is
//! read, once, and only when something is not beside its data file: a kernel has thousands.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::coverage::gcov::{Notes, NotesError};

/// As much as stamps need of a file.
const HEAD_BYTES: u64 = 12;

/// A unit that was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    /// The name of its data file, as the image has it or where it is: its notes have the same but for the extension.
    pub(super) name: &'w Path,
    /// The compile.
    pub(super) stamp: u32,
}

/// Notes could not be found, or not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotesFileError {
    /// There are some of that name.
    #[error(
        "find the notes of {}: {} is of another compile: its stamp is {there:#010x}, not {here:#010x}",
        name.display(), path.display()
    )]
    OtherCompile {
        /// The unit.
        name: PathBuf,
        /// The notes of its name.
        path: PathBuf,
        /// The unit's stamp.
        here: u32,
        /// That of the notes.
        there: u32,
    },
    /// There are none.
    #[error(
        "find the notes of {}: no {} beside it, and none of {searched} other notes files has its stamp {stamp:#010x}",
        name.display(), beside.display()
    )]
    Nowhere {
        /// The unit.
        name: PathBuf,
        /// The name of the notes beside it.
        beside: PathBuf,
        /// How many others were looked at.
        searched: usize,
        /// The unit's stamp.
        stamp: u32,
    },
    /// There are several, and nothing tells which.
    #[error(
        "find the notes of {}: {} and {} both have its stamp {stamp:#010x}",
        name.display(), first.display(), second.display()
    )]
    Several {
        /// The unit.
        name: PathBuf,
        /// The first.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// The stamp.
        stamp: u32,
    },
    /// A file cannot be read.
    #[error("read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// A file has no notes that can be read.
    #[error("{}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NotesError,
    },
}

/// Notes files that the user named, by stamp.
#[derive(Default)]
pub(super) struct NotesFiles {
    paths: Vec<PathBuf>,
    /// The stamp of each file, or why it has none.
    stamps: OnceLock<Stamps>,
    /// The files of each name without its extension: indices.
    by_stem: OnceLock<HashMap<OsString, Vec<usize>>>,
}

/// The files of each stamp: indices.
type Stamps = HashMap<u32, Vec<usize>>;

impl NotesFiles {
    /// For these files.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, ..Self::default() }
    }

    /// The files.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The notes of a unit: beside its data file, else among the files. Of several with its stamp (two compiles within
    /// a millisecond have one) the one whose path ends most like the unit's name.
    ///
    /// # Errors
    ///
    /// There are none, or only of another compile; or several, and none has more of the unit's name.
    pub(super) fn find(&self, wanted: Wanted<'_>) -> Result<PathBuf, NotesFileError> {
        let beside = wanted.name.with_extension("gcno");
        let stamp_beside = stamp_of(&beside).ok();
        if stamp_beside == Some(wanted.stamp) {
            return Ok(beside);
        }
        let with_stamp = self.stamps().get(&wanted.stamp).map_or(&[][..], Vec::as_slice);
        let paths = || with_stamp.iter().filter_map(|index| self.paths.get(*index));
        let alike = |path: &&PathBuf| num_shared(path, wanted.name);
        let Some(best) = paths().max_by_key(alike) else { return Err(self.missing(wanted, beside)) };
        match paths().find(|path| *path != best && alike(path) == alike(&best) && differ(path, best)) {
            None => Ok(best.clone()),
            Some(second) => Err(NotesFileError::Several {
                name: wanted.name.to_owned(),
                first: best.clone(),
                second: second.clone(),
                stamp: wanted.stamp,
            }),
        }
    }

    fn stamps(&self) -> &Stamps {
        self.stamps.get_or_init(|| {
            let stamps: Vec<_> = self.paths.par_iter().map(|path| stamp_of(path)).collect();
            let mut by_stamp = Stamps::new();
            for (index, stamp) in stamps.into_iter().enumerate() {
                // What has no stamp is said when it is read, or is not wanted.
                stamp.into_iter().for_each(|stamp| by_stamp.entry(stamp).or_default().push(index));
            }
            by_stamp
        })
    }

    /// The file whose name is most like that of a data file, whatever its stamp; `None` if none is.
    pub(super) fn of_name(&self, name: &Path) -> Option<&PathBuf> {
        let alike = self.by_stem().get(unmangled(name).file_stem()?)?;
        alike.iter().filter_map(|index| self.paths.get(*index)).max_by_key(|path| num_shared(path, name))
    }

    fn by_stem(&self) -> &HashMap<OsString, Vec<usize>> {
        self.by_stem.get_or_init(|| {
            let mut by_stem: HashMap<OsString, Vec<usize>> = HashMap::new();
            for (index, path) in self.paths.iter().enumerate() {
                let stem = path.file_stem().map(OsString::from);
                stem.into_iter().for_each(|stem| by_stem.entry(stem).or_default().push(index));
            }
            by_stem
        })
    }

    fn missing(&self, wanted: Wanted<'_>, beside: PathBuf) -> NotesFileError {
        let of_name = self.of_name(wanted.name).unwrap_or(&beside);
        let (name, stamp) = (wanted.name.to_owned(), wanted.stamp);
        match stamp_of(of_name) {
            Ok(there) => NotesFileError::OtherCompile { name, path: of_name.clone(), here: stamp, there },
            Err(_) => NotesFileError::Nowhere { name, beside, searched: self.paths.len(), stamp },
        }
    }
}

/// Reads a notes file.
///
/// # Errors
///
/// It cannot be read, or has no notes.
pub(super) fn read(path: &Path) -> Result<Notes, NotesFileError> {
    let bytes = fs::read(path).map_err(|source| failed(path, source))?;
    Notes::parse(&bytes).map_err(|source| NotesFileError::Content { path: path.to_owned(), source })
}

fn stamp_of(path: &Path) -> Result<u32, NotesFileError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_err(|source| failed(path, source))?;
    Notes::stamp_of(&head).map_err(|source| NotesFileError::Content { path: path.to_owned(), source })
}

fn failed(path: &Path, source: io::Error) -> NotesFileError {
    NotesFileError::File { path: path.to_owned(), source }
}

/// How many components two names share, from the last on, without the extension.
fn num_shared(notes: &Path, data: &Path) -> usize {
    let (notes, data) = (notes.with_extension(""), unmangled(data).with_extension(""));
    notes.components().rev().zip(data.components().rev()).take_while(|(a, b)| a == b).count()
}

/// The path that a data file's name stands for: with -fprofile-dir it is the file's name, with # for slashes.
fn unmangled(data: &Path) -> PathBuf {
    match data.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with('#')) {
        Some(mangled) => PathBuf::from(mangled.replace('#', "/")),
        None => data.to_owned(),
    }
}

/// Whether two files have other content; copies do not.
fn differ(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one != other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a header alone.
    fn notes(dir: &Path, name: &str, stamp: u32, more: &[u8]) -> PathBuf {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let head = [&b"oncg*22B"[..], &stamp.to_le_bytes(), &[0; 12], more].concat();
        fs::write(&path, head).unwrap();
        path
    }

    #[test]
    fn names_are_compared_from_their_end() {
        let shared = |notes: &str, data: &str| num_shared(Path::new(notes), Path::new(data));
        assert_eq!(shared("/build/lib/a.gcno", "/gcda/build/lib/a.gcda"), 3);
        assert_eq!(shared("/build/lib/a.gcno", "/gcda/lib/b.gcda"), 0);
        assert_eq!(shared("/build/lib/a.gcno", "/cov/#build#lib#a.gcda"), 4);
        assert_eq!(shared("a.gcno", "a.gcda"), 1);
    }

    #[test]
    fn notes_are_found_by_name_whatever_their_stamp() {
        let paths = ["one/a.gcno", "two/a.gcno", "two/b.c.gcno"].map(PathBuf::from);
        let files = NotesFiles::new(paths.to_vec());
        let found = |name: &str| files.of_name(Path::new(name));
        assert_eq!(found("/gcda/one/a.gcda"), Some(&paths[0]));
        assert_eq!(found("/gcda/#build#one#a.gcda"), Some(&paths[0]));
        assert_eq!(found("/gcda/two/a.gcda"), Some(&paths[1]));
        assert_eq!(found("b.c.gcda"), Some(&paths[2]));
        assert_eq!([found("/gcda/one/b.gcda"), found("/")], [None, None]);
    }

    #[test]
    fn notes_are_found_by_stamp_and_then_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let one = notes(dir.path(), "one/a.gcno", 7, b"1");
        let two = notes(dir.path(), "two/a.gcno", 7, b"2");
        let copy = notes(dir.path(), "copies/a.gcno", 7, b"2");
        let other = notes(dir.path(), "one/b.gcno", 8, b"");
        let beside = notes(dir.path(), "data/c.gcno", 9, b"");
        fs::write(dir.path().join("one/junk.gcno"), "junk").unwrap();
        let junk = dir.path().join("one/junk.gcno");
        let find = |files: &[&PathBuf], name: &str, stamp| {
            let files = NotesFiles::new(files.iter().map(|path| (*path).clone()).collect());
            files.find(Wanted { name: Path::new(name), stamp }).map_err(|error| error.to_string())
        };
        let all = [&one, &two, &other, &junk];
        assert_eq!(find(&all, "/gcda/one/a.gcda", 7), Ok(one.clone()));
        assert_eq!(find(&all, "/gcda/two/a.gcda", 7), Ok(two.clone()));
        // By the stamp alone.
        assert_eq!(find(&all, "/gcda/x.gcda", 8), Ok(other.clone()));
        let said = find(&all, "/gcda/x.gcda", 7).unwrap_err();
        assert!(said.contains("both have its stamp 0x00000007"), "{said}");
        assert!(find(&[&two, &copy], "/gcda/x.gcda", 7).is_ok());
        let data = dir.path().join("data/c.gcda").display().to_string();
        assert_eq!(find(&[], &data, 9), Ok(beside.clone()));
        let said = find(&all, &data, 10).unwrap_err();
        let expected =
            format!("{} is of another compile: its stamp is 0x00000009, not 0x0000000a", beside.display());
        assert!(said.ends_with(&expected), "{said}");
        let said = find(&all, "/gcda/x.gcda", 10).unwrap_err();
        assert!(
            said.contains("no /gcda/x.gcno beside it, and none of 4 other notes files has its stamp"),
            "{said}"
        );
    }
}
