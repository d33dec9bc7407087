//! A file that is kept up to date in place (`%c`).
//!
//! What enters is what fills the file, and then again and again those parts of it that changed: nothing of it is kept here.
//! What leaves is one file with the latest of them, which can be read at any moment. What always holds: the file comes to
//! be whole or not at all; after that each of its 8-byte words, and so each counter, is as it was or as it is to be, also
//! if this process is killed in the middle of a write; and nothing is written but what was given.
//!
//! It is written and not mapped: where the disk is full, or somebody has cut the file, a write is an error, and a store
//! into a mapping ends the process. A kernel copies what is written page by page, and a process that is killed ends
//! between two pages; no counter lies in two. Nothing waits for the disk: only a host that crashes loses by that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};

use super::WriteFileError;
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
    len_bytes: u64,
}

/// Bytes of the file that changed.
#[derive(Clone, Copy, Debug)]
pub struct Change<'b> {
    /// Where they are in it.
    pub offset: usize,
    /// As they are to be.
    pub bytes: &'b [u8],
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

    /// Puts what `fill` writes there, whole.
    ///
    /// # Errors
    ///
    /// It cannot be written; what was there before is there still.
    pub fn put(&mut self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteFileError> {
        let file = put_whole(&self.path, fill)?;
        let len_bytes = file.metadata().map_err(failed(&self.path, "ask for its length"))?.len();
        reserve(&file, len_bytes);
        self.file = Some(Kept { file, len_bytes });
        Ok(())
    }

    /// Writes what changed. Nothing is done before it was put there.
    ///
    /// # Errors
    ///
    /// It cannot be written. Every word is as before or as it is to be, and nobody knows which.
    pub fn update<'b>(
        &mut self,
        changes: impl IntoIterator<Item = Change<'b>>,
    ) -> Result<(), WriteFileError> {
        let Some(kept) = &self.file else { return Ok(()) };
        for Change { offset, bytes } in changes {
            let written = kept.file.write_all_at(bytes, offset as u64);
            written.map_err(failed(&self.path, "update it in place"))?;
        }
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
fn reserve(file: &File, len_bytes: u64) {
    if let Ok(len) = i64::try_from(len_bytes) {
        let _ = fallocate(file, FallocateFlags::empty(), 0, len);
    }
}

/// Whether that file is still the one at `path`, and as long as it was.
fn is_at(file: &File, path: &Path, len_bytes: u64) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino(), ours.len()) == (there.dev(), there.ino(), len_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        _dir: tempfile::TempDir,
        path: PathBuf,
        file: Continuous,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.profraw");
            let file = Continuous::new(path.clone());
            Self { _dir: dir, path, file }
        }

        /// As a session does it; the file that is there then.
        fn write(&mut self, bytes: &[u8], offset: usize) -> Result<u64, WriteFileError> {
            if self.file.is_there() {
                self.file.update([Change { offset, bytes: &bytes[offset..] }])?;
            } else {
                self.file.put(|out| out.write_all(bytes))?;
            }
            assert_eq!(fs::read(&self.path).unwrap(), bytes);
            Ok(fs::metadata(&self.path).unwrap().ino())
        }
    }

    #[test]
    fn it_stays_the_same_file() {
        let mut scene = Scene::new();
        let mut bytes = vec![7; 4096];
        let first = scene.write(&bytes, 0).unwrap();
        for at in [0, 8, 2048, 4088] {
            bytes[at] += 1;
            assert_eq!(scene.write(&bytes, at).unwrap(), first);
        }
        scene.file.sync().unwrap();
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut scene = Scene::new();
        scene.write(&[0; 4096], 0).unwrap();
        // Somebody else's byte, where nothing changes, stays.
        let other = fs::OpenOptions::new().write(true).open(&scene.path).unwrap();
        other.write_all_at(b"x", 4000).unwrap();
        scene.file.update([Change { offset: 8, bytes: &[1; 8] }]).unwrap();
        let found = fs::read(&scene.path).unwrap();
        assert_eq!((found[7], found[8], found[15], found[16], found[4000]), (0, 1, 1, 0, b'x'));
    }

    #[test]
    fn one_that_was_cut_removed_or_replaced_is_put_there_whole() {
        let mut scene = Scene::new();
        let mut bytes = vec![3; 1000];
        scene.write(&bytes, 0).unwrap();
        let spoil: [&dyn Fn(&Path); 3] =
            [&|path| fs::write(path, "").unwrap(), &|path| fs::remove_file(path).unwrap(), &|path| {
                fs::remove_file(path).unwrap();
                fs::write(path, vec![9; 1000]).unwrap();
            }];
        for spoil in spoil {
            spoil(&scene.path);
            bytes[0] += 1;
            let inode = scene.write(&bytes, 0).unwrap();
            bytes[0] += 1;
            assert_eq!(scene.write(&bytes, 0).unwrap(), inode);
        }
    }

    #[test]
    fn a_write_that_fails_says_so() {
        let mut scene = Scene::new();
        scene.write(&[0; 64], 0).unwrap();
        scene.file.file.as_mut().unwrap().file = File::open(&scene.path).unwrap();
        let error = scene.write(&[1; 64], 0).unwrap_err().to_string();
        assert!(error.contains("a.profraw: update it in place: Bad file descriptor"), "{error}");
        assert_eq!(fs::read(&scene.path).unwrap(), [0; 64]);
    }
}
