//! Many files at a time, each there whole or not at all.
//!
//! What enters is paths and bytes; what leaves is files with those bytes. What always holds: what
//! [`write_whole`](super::write_whole) promises for each of them; and no file is in its place before all are on the
//! disk, which is waited for once, not once for each file.
//!
//! Whole disks are waited for before the files are renamed, and their folders alone after it. Of a thousand files of 4 kB
//! on ext4, while another program wrote without a rest, syncing each for itself took 3 to 6 s and the disk at once 0.03 to
//! 0.4 s; after renaming, 30 folders took 0.07 s or less in most tries, and the disk 0.13 s. Without the other program the
//! disk took 10 ms, each file for itself 65 ms, and folders and the disk 1 ms.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;

use super::WriteFileError;
use super::whole_file::{check_writable, failed, filled, folder, remove_leftovers_in};

/// Puts all the bytes at their paths.
///
/// # Errors
///
/// A folder cannot be written to, or a disk is full. Nothing has changed then, but if a file could not be renamed:
/// those before it are in place.
pub fn write_all_whole(files: &[(PathBuf, Vec<u8>)]) -> Result<(), WriteFileError> {
    let mut temporary = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        temporary.push(filled(path, |out| out.write_all(bytes))?);
    }
    let folders: BTreeSet<&Path> = files.iter().map(|(path, _)| folder(path)).collect();
    send_disks(&folders)?;
    for ((path, _), file) in files.iter().zip(temporary) {
        file.persist(path).map_err(|error| failed(path, "rename the temporary file")(error.error))?;
    }
    send_folders(&folders)
}

/// Waits for the names in some folders, and for nothing else.
fn send_folders(folders: &BTreeSet<&Path>) -> Result<(), WriteFileError> {
    for folder in folders {
        let sent = File::open(folder).and_then(|opened| opened.sync_all());
        sent.map_err(failed(folder, "send the folder to the disk"))?;
    }
    Ok(())
}

/// Waits for the disks of some folders, for each once.
fn send_disks(folders: &BTreeSet<&Path>) -> Result<(), WriteFileError> {
    let mut disks = BTreeSet::new();
    for folder in folders {
        let fail = |step| failed(folder, step);
        let opened = File::open(folder).map_err(fail("open the folder"))?;
        let disk = opened.metadata().map_err(fail("look at the folder"))?.dev();
        if disks.insert(disk) {
            syncfs(&opened).map_err(|errno| fail("send it to the disk")(errno.into()))?;
        }
    }
    Ok(())
}

/// Makes the folders of all paths, checks early that files in them can be written, and clears away what killed
/// processes left there of such files.
///
/// # Errors
///
/// A folder cannot be made or written to, or a path is a directory; no file has changed in any case.
pub fn check_all_writable<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<(), WriteFileError> {
    let mut by_folder: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    paths.into_iter().for_each(|path| by_folder.entry(folder(path)).or_default().push(path));
    for (folder, paths) in by_folder {
        fs::create_dir_all(folder).map_err(failed(folder, "make the folder"))?;
        let names: BTreeSet<&OsStr> = paths.iter().filter_map(|path| path.file_name()).collect();
        remove_leftovers_in(folder, |temporary| {
            let (name, owner) = temporary.strip_prefix('.')?.rsplit_once(".covtap-")?;
            names.contains(OsStr::new(name)).then_some(owner)
        });
        for path in &paths {
            if path.is_dir() {
                check_writable(path)?;
            }
        }
        paths.first().map_or(Ok(()), |path| check_writable(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_there_in_new_folders_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<_> = ["a/x.gcda", "a/y.gcda", "b/c/z.gcda"]
            .map(|name| (dir.path().join(name), name.as_bytes().to_vec()))
            .into();
        check_all_writable(files.iter().map(|(path, _)| &**path)).unwrap();
        fs::write(&files[0].0, b"old").unwrap();
        write_all_whole(&files).unwrap();
        for (path, bytes) in &files {
            assert_eq!(fs::read(path).unwrap(), *bytes, "{}", path.display());
        }
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 2);
    }

    #[test]
    fn one_that_cannot_be_filled_leaves_all_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        fs::write(path("a"), b"old").unwrap();
        let files = [(path("a"), b"new".to_vec()), (path("missing/b"), Vec::new())];
        assert!(write_all_whole(&files).unwrap_err().to_string().contains("missing/b"));
        assert_eq!(fs::read(path("a")).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_processes_left_is_cleared_and_a_directory_in_the_way_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let [ours, others] = ["a.gcda", "c.gcda"].map(|name| {
            let path = dir.path().join(format!(".{name}.covtap-{}-x", ended.id()));
            fs::write(&path, b"part").unwrap();
            path
        });
        let [a, b] = ["a.gcda", "b.gcda"].map(|name| dir.path().join(name));
        check_all_writable([&*a, &*b]).unwrap();
        assert!(!ours.exists() && others.exists());
        fs::create_dir(&b).unwrap();
        let error = check_all_writable([&*a, &*b]).unwrap_err();
        assert_eq!(error.path, b);
    }
}
