//! A file that is kept up to date in place (`%c`).
//!
//! What enters is the file's bytes, and then again and again those parts of it that may have changed, as they were and as
//! they are: nothing of it is kept here. What leaves is one file with the latest of them, which can be read at any moment. What always holds: the file comes to be whole or not at all; after that each of its 8-byte
//! words, and so each counter, is as it was or as it is to be, also if this process is killed in the middle of a
//! write; and what did not change is not written, but for short gaps.
//!
//! It is written and not mapped: where the disk is full, or somebody has cut the file, a write is an error, and a store
//! into a mapping ends the process. A kernel copies what is written page by page, and a process that is killed ends
//! between two pages; no counter lies in two. Nothing waits for the disk: only a host that crashes loses by that.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};

use super::WriteFileError;
use super::runs::changed;
use super::whole_file::{failed, put_whole};

/// A file that is kept up to date.
#[derive(Debug)]
pub struct Continuous {
    path: PathBuf,
    /// `None` until it was written once.
    file: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    len_bytes: usize,
    /// A write failed, and nobody knows how much of it arrived.
    is_uncertain: bool,
}

/// Bytes of the file that may have changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'b> {
    /// Where they are in it: a multiple of 8.
    pub offset: usize,
    /// As they were when the file was last written.
    pub old: &'b [u8],
    /// As they are to be: as many.
    pub new: &'b [u8],
}

impl Continuous {
    /// A file that is to be; nothing is done yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Whether it is there as it was left, so that it can be [updated](Self::update).
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.file.as_ref().is_some_and(|kept| is_at(&kept.file, &self.path, kept.len_bytes))
    }

    /// Puts it there whole.
    ///
    /// # Errors
    ///
    /// It cannot be written; what was there before is there still.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), WriteFileError> {
        let file = put_whole(&self.path, |out| out.write_all(bytes))?;
        reserve(&file, bytes.len());
        self.file = Some(Kept { file, len_bytes: bytes.len(), is_uncertain: false });
        Ok(())
    }

    /// Writes what changed. Nothing is done before it was put there.
    ///
    /// # Errors
    ///
    /// It cannot be written. Every word is as before or as it is to be; the next update writes all that it is given.
    pub fn update(&mut self, changes: &[Change<'_>]) -> Result<(), WriteFileError> {
        let Some(kept) = &mut self.file else { return Ok(()) };
        let was_uncertain = std::mem::replace(&mut kept.is_uncertain, true);
        for change in changes {
            let all = std::iter::once(0..change.new.len()).collect();
            let runs = if was_uncertain { all } else { changed(change.old, change.new) };
            for run in runs {
                let at = change.offset.saturating_add(run.start) as u64;
                let written = kept.file.write_all_at(change.new.get(run).unwrap_or_default(), at);
                written.map_err(failed(&self.path, "update it in place"))?;
            }
        }
        kept.is_uncertain = false;
        Ok(())
    }

    /// Waits until the content is on the disk.
    ///
    /// # Errors
    ///
    /// Some of it never got there.
    pub fn sync(&self) -> Result<(), WriteFileError> {
        let Some(kept) = &self.file else { return Ok(()) };
        kept.file.sync_data().map_err(failed(&self.path, "send it to the disk"))
    }
}

/// Has the file system keep room for what is written later. Where it does not offer that, or writes elsewhere each
/// time, a write may find the disk full, and says so then.
fn reserve(file: &File, len_bytes: usize) {
    if let Ok(len) = i64::try_from(len_bytes) {
        let _ = fallocate(file, FallocateFlags::empty(), 0, len);
    }
}

/// Whether that file is still the one at `path`, and as long as it was.
fn is_at(file: &File, path: &Path, len_bytes: usize) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino(), ours.len()) == (there.dev(), there.ino(), len_bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        _dir: tempfile::TempDir,
        path: PathBuf,
        file: Continuous,
        last: Vec<u8>,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.profraw");
            let file = Continuous::new(path.clone());
            Self { _dir: dir, path, file, last: Vec::new() }
        }

        fn update(&mut self, bytes: &[u8]) -> u64 {
            self.write(bytes).unwrap();
            assert_eq!(fs::read(&self.path).unwrap(), bytes);
            fs::metadata(&self.path).unwrap().ino()
        }

        /// As a session does it.
        fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFileError> {
            if self.last.len() == bytes.len() && self.file.is_there() {
                self.file.update(&[Change { offset: 0, old: &self.last, new: bytes }])?;
            } else {
                self.file.put(bytes)?;
            }
            self.last = bytes.to_vec();
            Ok(())
        }
    }

    #[test]
    fn it_stays_the_same_file() {
        let mut scene = Scene::new();
        let mut bytes = vec![7; 4096];
        let first = scene.update(&bytes);
        for at in [0, 8, 2048, 4095] {
            bytes[at] += 1;
            assert_eq!(scene.update(&bytes), first);
        }
        scene.file.sync().unwrap();
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut scene = Scene::new();
        let mut bytes = vec![0; 4096];
        scene.update(&bytes);
        // Somebody else's byte, where nothing changes, stays.
        let other = fs::OpenOptions::new().write(true).open(&scene.path).unwrap();
        other.write_all_at(b"x", 4000).unwrap();
        bytes[8] = 1;
        scene.write(&bytes).unwrap();
        let found = fs::read(&scene.path).unwrap();
        assert_eq!((found[8], found[4000]), (1, b'x'));
    }

    #[test]
    fn one_that_was_cut_removed_or_replaced_is_put_there_whole() {
        let mut scene = Scene::new();
        let mut bytes = vec![3; 1000];
        scene.update(&bytes);
        let spoil: [&dyn Fn(&Path); 3] =
            [&|path| fs::write(path, "").unwrap(), &|path| fs::remove_file(path).unwrap(), &|path| {
                fs::remove_file(path).unwrap();
                fs::write(path, vec![9; 1000]).unwrap();
            }];
        for spoil in spoil {
            spoil(&scene.path);
            bytes[0] += 1;
            let inode = scene.update(&bytes);
            bytes[0] += 1;
            assert_eq!(scene.update(&bytes), inode);
        }
        // So is one of another length.
        bytes.push(1);
        scene.update(&bytes);
    }

    #[test]
    fn after_a_write_that_failed_everything_is_written_that_is_missing() {
        let mut scene = Scene::new();
        let mut bytes = vec![0; 4096];
        scene.update(&bytes);
        let writable =
            std::mem::replace(&mut scene.file.file.as_mut().unwrap().file, File::open(&scene.path).unwrap());
        bytes[0] = 1;
        bytes[2048] = 1;
        let error = scene.write(&bytes).unwrap_err().to_string();
        assert!(error.contains("a.profraw: update it in place: Bad file descriptor"), "{error}");
        assert_eq!(fs::read(&scene.path).unwrap(), vec![0; 4096]);
        scene.file.file.as_mut().unwrap().file = writable;
        bytes[4088] = 1;
        scene.update(&bytes);
    }
}
