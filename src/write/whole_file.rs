//! Files that are there whole or not at all.
//!
//! What enters is a path and bytes, at once or as they come; what leaves is a file with those bytes. What always holds:
//! whoever opens the path sees the old file or the new one, never a part of one, whatever happens to this process, and a
//! file that could not be written leaves the old one as it was. What is no regular file, as `/dev/null`, a terminal or a
//! pipe, is never replaced by one.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}: {step}: {source}", path.display())]
pub struct WriteFileError {
    /// The file that was to be written.
    pub path: PathBuf,
    /// What was being done.
    pub step: &'static str,
    /// What the operating system answered.
    pub source: io::Error,
}

/// Puts `bytes` at `path`: into a temporary file beside it, to the disk, and then in its place.
///
/// # Errors
///
/// The folder cannot be written to, or the disk is full; nothing at `path` has changed then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteFileError> {
    write_whole_with(path, |out| out.write_all(bytes))
}

/// Puts what `fill` writes at `path`, as [`write_whole`] does; it need not be in memory all at once.
///
/// # Errors
///
/// As [`write_whole`].
pub fn write_whole_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteFileError> {
    if is_to_stay(path) {
        return write_into(path, fill);
    }
    put(path, into_temporary(path, fill)?).map(drop)
}

/// Whether what is at `path` must not be replaced by a file: a device, a pipe, or a name in `/dev` or `/proc` for one that
/// is open, as `/dev/stdout`, whatever that is.
fn is_to_stay(path: &Path) -> bool {
    let is_other = |found: Metadata| !found.is_file() && !found.is_dir();
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let is_name = |folder: PathBuf| folder == Path::new("/dev") || folder.starts_with("/proc");
            fs::canonicalize(folder(path)).is_ok_and(is_name) || fs::metadata(path).is_ok_and(is_other)
        }
        found => found.is_ok_and(is_other),
    }
}

/// Writes into what is there, which takes what it is given.
fn write_into(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteFileError> {
    let opened = OpenOptions::new().write(true).truncate(true).open(path);
    let mut out = BufWriter::new(opened.map_err(failed(path, "open it"))?);
    fill(&mut out).and_then(|()| out.flush()).map_err(failed(path, "write into it"))
}

/// As [`write_whole_with`], of a regular file alone, and gives it, to be read and written.
pub(super) fn put_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<File, WriteFileError> {
    put(path, filled(path, fill)?)
}

/// Puts a temporary file that is beside `path` there.
fn put(path: &Path, file: tempfile::NamedTempFile) -> Result<File, WriteFileError> {
    let fail = |step| failed(path, step);
    file.as_file().sync_all().map_err(fail("send the temporary file to the disk"))?;
    let file = file.persist(path).map_err(|error| fail("rename the temporary file")(error.error))?;
    send_folder(path)?;
    Ok(file)
}

/// A name is on the disk once its folder is.
pub(super) fn send_folder(path: &Path) -> Result<(), WriteFileError> {
    let sent = File::open(folder(path)).and_then(|folder| folder.sync_all());
    sent.map_err(failed(path, "send its folder to the disk"))
}

/// What a step that did not succeed comes to.
pub(super) fn failed(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> WriteFileError {
    move |source| WriteFileError { path: path.to_owned(), step, source }
}

/// A temporary file beside `path`, with what `fill` writes; none beside what must not be replaced.
pub(super) fn filled(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<tempfile::NamedTempFile, WriteFileError> {
    if is_to_stay(path) {
        let no_file = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(failed(path, "put a file there")(no_file));
    }
    into_temporary(path, fill)
}

fn into_temporary(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<tempfile::NamedTempFile, WriteFileError> {
    let file = temporary(path).map_err(failed(path, "make a temporary file beside it"))?;
    let mut out = BufWriter::new(file);
    let file = fill(&mut out).and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error));
    file.map_err(failed(path, "fill the temporary file"))
}

/// Checks early that `path` can be written, and clears away what a killed process left beside it.
///
/// # Errors
///
/// As [`write_whole`]; nothing at `path` has changed in any case.
pub fn check_writable(path: &Path) -> Result<(), WriteFileError> {
    if path.is_dir() {
        return Err(failed(path, "look at it")(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    if is_to_stay(path) {
        return Ok(());
    }
    remove_leftovers(path);
    temporary(path).map_err(failed(path, "make a temporary file beside it"))?;
    Ok(())
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The start of the names of temporary files for `path`; the process id and a random part follow.
pub(super) fn prefix(path: &Path) -> String {
    format!(".{}.covtap-", path.file_name().unwrap_or_default().to_string_lossy())
}

fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(&format!("{}{}-", prefix(path), std::process::id()))
        // As any other new file: what the umask leaves of it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder(path))
        // `tempfile` adds the temporary file's name, which says nothing to a user.
        .map_err(|error| io::Error::from(error.kind()))
}

/// Removes temporary files and directories for `path` whose process is gone. One that cannot be removed does no harm.
pub(super) fn remove_leftovers(path: &Path) {
    let prefix = prefix(path);
    remove_leftovers_in(folder(path), |name| name.strip_prefix(&prefix));
}

/// Removes what processes left in a folder that are gone. `of_ours` gives what follows the start of the name that
/// temporary files of ours have.
pub(super) fn remove_leftovers_in(folder: &Path, of_ours: impl Fn(&str) -> Option<&str>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| of_ours(name)?.split_once('-')?.0.parse::<i32>().ok())
            .filter(|pid| *pid > 0);
        if owner.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_file_replaces_the_old_one_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.profraw");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.profraw"]);
    }

    #[test]
    fn a_pipe_is_written_into_and_never_replaced() {
        use std::io::Read;
        use std::os::unix::fs::FileTypeExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut bytes = Vec::new();
                File::open(path).unwrap().read_to_end(&mut bytes).map(|_| bytes).unwrap()
            }
        });
        check_writable(&path).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        let error = put_whole(&path, |out| out.write_all(b"new")).unwrap_err().to_string();
        assert!(error.ends_with("put a file there: it is no regular file"), "{error}");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(names(dir.path()), ["pipe"]);
        assert!(is_to_stay(Path::new("/dev/null")) && is_to_stay(Path::new("/dev/fd/1")));
        assert!(!is_to_stay(Path::new("/dev/shm/a.profraw")));
    }

    #[test]
    fn a_new_file_has_ordinary_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| dir.path().join(name));
        write_whole(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/a.profraw");
        let error = write_whole(&path, b"new").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("write {}: make a temporary file beside it: entity not found", path.display())
        );
    }

    #[test]
    fn what_a_killed_process_left_is_cleared_and_a_living_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.profraw");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let gone = format!(".a.profraw.covtap-{}-x", ended.id());
        let alive = format!(".a.profraw.covtap-{}-x", std::process::id());
        let gone_dir = format!(".a.profraw.covtap-{}-dir", ended.id());
        fs::create_dir_all(dir.path().join(&gone_dir).join("files")).unwrap();
        for name in [&gone, &alive, &".a.profraw.covtap-other".to_owned()] {
            fs::write(dir.path().join(name), b"part").unwrap();
        }
        check_writable(&path).unwrap();
        let mut expected = [alive, ".a.profraw.covtap-other".to_owned()];
        expected.sort();
        assert_eq!(names(dir.path()), expected);
    }
}
