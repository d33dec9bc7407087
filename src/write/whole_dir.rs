//! Directories that are there whole or not at all.
//!
//! What enters is a path and the files below it; what leaves is a directory with those files and no others. What
//! always holds: whoever opens the path sees the old directory or the new one; what is not known to be an older one
//! of the same kind is never replaced; a directory that could not be written leaves the old one as it was. Files are
//! not sent to the disk one by one, so after a power failure a directory may have to be made again.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use super::whole_file::{WriteFileError, folder, prefix, remove_leftovers};

/// How a directory of covtap's is recognised, so that it may be replaced by a newer one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The file that has the mark.
    pub(super) index: &'static str,
    /// What stands within its first [`MARK_WITHIN`] bytes.
    pub(super) mark: &'static str,
    /// What else may be at the top of such a directory.
    pub(super) beside: &'static [&'static str],
}

/// As much of a file as is searched for the mark.
const MARK_WITHIN: u64 = 1024;

/// A directory could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteDirError {
    /// A file in it, or itself, could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// There is something else already.
    #[error("write {}: not replaced, since {found}", path.display())]
    NotOurs {
        /// The directory that was to be written.
        path: PathBuf,
        /// What there is.
        found: String,
    },
}

/// A directory that is being filled, out of sight until [`WholeDir::finish`].
pub(super) struct WholeDir {
    path: PathBuf,
    kind: Kind,
    filling: TempDir,
}

impl WholeDir {
    /// Makes an empty directory beside `path`, where its folder must be already.
    ///
    /// # Errors
    ///
    /// There is something at `path` that is neither empty nor of that kind, or its folder cannot be written to.
    pub(super) fn begin(path: &Path, kind: Kind) -> Result<Self, WriteDirError> {
        let fail = |step| move |source| WriteFileError { path: path.to_owned(), step, source };
        // A link is followed, so that it stays and what it points to is replaced.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            found => found.map_err(fail("look at it"))?,
        };
        check_replaceable(&path, kind)?;
        remove_leftovers(&path);
        let filling = tempfile::Builder::new()
            .prefix(&format!("{}{}-", prefix(&path), std::process::id()))
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(folder(&path))
            .map_err(|error| io::Error::from(error.kind()))
            .map_err(|source| WriteFileError {
                path: path.clone(),
                step: "make a temporary directory beside it",
                source,
            })?;
        Ok(Self { path, kind, filling })
    }

    /// Makes a directory in it.
    pub(super) fn make_dir(&self, name: &'static str) -> Result<(), WriteDirError> {
        let made = fs::create_dir(self.filling.path().join(name));
        Ok(made.map_err(|source| self.failed("make a directory in it", source))?)
    }

    /// Writes a file; `dir` is `None` at the top. `name` is one that [`super::html`] made, never one of a program's.
    pub(super) fn write(&self, dir: Option<&str>, name: &str, bytes: &[u8]) -> Result<(), WriteDirError> {
        let dir = dir.map_or_else(|| self.filling.path().to_owned(), |dir| self.filling.path().join(dir));
        let written = fs::write(dir.join(name), bytes);
        Ok(written.map_err(|source| self.failed("fill the temporary directory", source))?)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    ///
    /// Meanwhile something else came to be there, or its folder refuses; nothing at the path has changed then.
    pub(super) fn finish(self) -> Result<(), WriteDirError> {
        check_replaceable(&self.path, self.kind)?;
        // Over nothing, or over an empty directory.
        let Err(error) = fs::rename(self.filling.path(), &self.path) else {
            // What is at the temporary path now is nobody's.
            let _ = self.filling.keep();
            return Ok(());
        };
        if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) {
            return Err(self.failed("rename the temporary directory", error).into());
        }
        // What was there is then at the temporary path, and goes with it.
        self.exchange().map_err(|source| self.failed("exchange it for the temporary directory", source))?;
        Ok(())
    }

    fn exchange(&self) -> io::Result<()> {
        let new = self.filling.path();
        match renameat_with(CWD, new, CWD, &self.path, RenameFlags::EXCHANGE) {
            // Not every file system can: then there is a moment without either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                let aside = new.with_extension("old");
                fs::rename(&self.path, &aside)?;
                fs::rename(new, &self.path).inspect_err(|_| {
                    let _ = fs::rename(&aside, &self.path);
                })?;
                fs::rename(&aside, new)
            }
            exchanged => Ok(exchanged?),
        }
    }

    fn failed(&self, step: &'static str, source: io::Error) -> WriteFileError {
        WriteFileError { path: self.path.clone(), step, source }
    }
}

/// Refuses what a user may have put there.
fn check_replaceable(path: &Path, kind: Kind) -> Result<(), WriteDirError> {
    let not_ours = |found: String| WriteDirError::NotOurs { path: path.to_owned(), found };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            let step = "look at it";
            return Err(WriteFileError { path: path.to_owned(), step, source }.into());
        }
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let is_known = |name: &OsStr| {
        name == OsStr::new(kind.index) || kind.beside.iter().any(|known| name == OsStr::new(known))
    };
    if let Some(foreign) = names.iter().find(|name| !is_known(name)) {
        return Err(not_ours(format!("it holds {}", foreign.to_string_lossy())));
    }
    if !names.is_empty() && !has_mark(&path.join(kind.index), kind.mark) {
        return Err(not_ours(format!("its {} is not by covtap", kind.index)));
    }
    Ok(())
}

fn has_mark(index: &Path, mark: &str) -> bool {
    let is_file = fs::symlink_metadata(index).is_ok_and(|metadata| metadata.is_file());
    let mut start = Vec::new();
    let read = || File::open(index)?.take(MARK_WITHIN).read_to_end(&mut start);
    let is_read = is_file && { read }().is_ok();
    is_read && start.windows(mark.len()).any(|window| window == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { index: "index.html", mark: "by covtap", beside: &["files"] };

    fn write(path: &Path, text: &str) -> Result<(), WriteDirError> {
        let dir = WholeDir::begin(path, KIND)?;
        dir.make_dir("files")?;
        dir.write(Some("files"), text, b"")?;
        dir.write(None, "index.html", format!("by covtap: {text}").as_bytes())?;
        dir.finish()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_directory_replaces_the_old_one_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site");
        fs::create_dir(&path).unwrap();
        for text in ["old", "new"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(path.join("index.html")).unwrap(), format!("by covtap: {text}"));
            assert_eq!(names(&path.join("files")), [text]);
            assert_eq!(names(dir.path()), ["site"]);
        }
        let plain = dir.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        write(&dir.path().join("site"), "old").unwrap();
        std::os::unix::fs::symlink("site", &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("site"));
        assert_eq!(names(&dir.path().join("site/files")), ["new"]);
    }

    #[test]
    fn what_a_user_put_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| write(path, "new").unwrap_err().to_string();
        let path = dir.path().join("site");
        let start = format!("write {}: not replaced, since ", path.display());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("index.html"), "mine").unwrap();
        assert_eq!(refused(&path), format!("{start}its index.html is not by covtap"));
        fs::remove_dir_all(&path).unwrap();
        write(&path, "old").unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        assert_eq!(refused(&path), format!("{start}it holds notes.txt"));
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert_eq!(
            refused(&file),
            format!("write {}: look at it: Not a directory (os error 20)", file.display())
        );
        assert_eq!(names(dir.path()), ["file", "site"]);
        assert_eq!(fs::read_to_string(path.join("index.html")).unwrap(), "by covtap: old");
    }

    #[test]
    fn what_comes_to_be_there_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site");
        let filling = WholeDir::begin(&path, KIND).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("index.html"), "mine").unwrap();
        assert!(matches!(filling.finish(), Err(WriteDirError::NotOurs { .. })));
        assert_eq!(names(dir.path()), ["site"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/site");
        assert_eq!(
            write(&path, "new").unwrap_err().to_string(),
            format!("write {}: make a temporary directory beside it: entity not found", path.display())
        );
    }
}
