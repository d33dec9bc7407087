//! A raw profile that several programs merge into (`%m`): covtap, and real programs with LLVM's runtime.
//!
//! What enters is a program's profile as it is now, again and again; what leaves is a file to which each time is
//! added what was counted since the last time. What always holds: a counter in the file is as it was or has its share
//! added, also if this process is killed in the middle of a write; nothing is added twice, and nothing is ever taken
//! away; a file of another program is left as it is.
//!
//! As LLVM's runtime does, the file is locked as a whole, by a record lock for writing, then read and written in
//! place: another file in its place would be missed by a program that waits for the lock of this one. The runtime's
//! lock is a process's (`F_SETLKW`), this one is a descriptor's (`F_OFD_SETLKW`). The two exclude each other, and
//! this one does not go when another descriptor of the file is closed, and holds between threads.
//!
//! The runtime makes a new file by opening it empty, and locks it after that. Here it is filled beside its place and
//! linked there, if nobody was quicker. An empty file is filled in place, its first word last: what a killed process
//! left of that is known by the zeros there, and filled anew.
//!
//! Source: `openFileForMerging` in `compiler-rt/lib/profile/InstrProfilingFile.c`, `lprofOpenFileEx` and
//! `lprofLockFd` in `InstrProfilingUtil.c`, llvmorg-19.1.7.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::WriteFileError;
use super::runs::changed;
use super::whole_file::{failed, filled, send_folder};
use crate::profile::pool::{OtherProfile, RawParts, account, add, same_parts};

/// The width of the magic, which a file has once all else is in it.
const MAGIC_BYTES: usize = 8;

/// How often a file may be replaced while its lock is waited for.
const MAX_TRIES: usize = 100;

/// A profile could not be merged into.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] WriteFileError),
    /// It is of another program, or damaged. It is as it was.
    #[error("merge into {}: it is no profile of this program: {source}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is different.
        source: OtherProfile,
    },
}

/// What one program adds to a file.
#[derive(Default, Debug)]
pub struct Pool {
    path: PathBuf,
    /// The counters that were added to the file.
    added: Vec<u8>,
    /// Whether they were, for a first time.
    is_begun: bool,
}

/// A program's profile, in one of the forms that the file may have.
struct Form<'b> {
    bytes: &'b [u8],
    parts: RawParts,
}

impl Pool {
    /// Checks early that the file at `path`, if there is one, can be merged into. `forms` are as in [`add`](Self::add).
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is of another program.
    pub fn check(path: &Path, forms: &[Vec<u8>]) -> Result<(), PoolError> {
        let Some(file) = open_locked(path)? else { return Ok(()) };
        Content::read(&file, path, forms).map(drop)
    }

    /// Adds to the file at `path` what was counted since the last time, or all if nothing was added to it yet.
    /// `forms` are the program's profile as it is now, with all that it counted: the file comes to be in the first
    /// form, and may be there in any of them.
    ///
    /// # Errors
    ///
    /// The file is of another program, or cannot be read or written. What is missing is added the next time.
    pub fn add(&mut self, path: &Path, forms: &[Vec<u8>]) -> Result<(), PoolError> {
        if self.path != path {
            *self = Self { path: path.to_owned(), ..Self::default() };
        }
        for _ in 0..MAX_TRIES {
            if let Some(file) = open_locked(path)? {
                match Content::read(&file, path, forms)? {
                    Content::None(form) => self.fill(&file, &form)?,
                    Content::Some { bytes, form } => self.merge(&file, &bytes, &form)?,
                }
                self.is_begun = true;
                return Ok(());
            }
            if self.create(&first(path, forms)?)? {
                self.is_begun = true;
                return Ok(());
            }
        }
        Err(failed(path, "open it to merge")(io::Error::other("it comes and goes")).into())
    }

    /// Whether the file has a share of this program's.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The program counts from zero again: all of its next profile is to be added.
    pub fn begin_anew(&mut self) {
        self.added.clear();
    }

    /// What the file is to have if it has nothing yet.
    fn share(&self, form: &Form<'_>) -> Vec<u8> {
        let mut share = form.bytes.to_vec();
        let none = if form.parts.counter_bytes() == 1 { 0xff } else { 0 };
        for (part, value) in [(&form.parts.counters, none), (&form.parts.bitmap, 0)] {
            share.get_mut(part.clone()).unwrap_or_default().fill(value);
        }
        add(&form.parts, &mut share, form.bytes, &self.added);
        share
    }

    /// Puts the file there, if nobody else has meanwhile.
    fn create(&mut self, form: &Form<'_>) -> Result<bool, WriteFileError> {
        let fail = |step| failed(&self.path, step);
        let share = self.share(form);
        let file = filled(&self.path, |out| out.write_all(&share))?;
        file.as_file().sync_all().map_err(fail("send the temporary file to the disk"))?;
        match file.persist_noclobber(&self.path) {
            Ok(_) => send_folder(&self.path)?,
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(fail("link the temporary file")(error.error)),
        }
        self.account_all(form);
        Ok(true)
    }

    /// Fills a file that has nothing yet.
    fn fill(&mut self, file: &File, form: &Form<'_>) -> Result<(), WriteFileError> {
        let share = self.share(form);
        let (magic, rest) = share.split_at_checked(MAGIC_BYTES).unwrap_or_default();
        let written = file
            .write_all_at(rest, MAGIC_BYTES as u64)
            .and_then(|()| file.set_len(share.len() as u64))
            .and_then(|()| file.write_all_at(magic, 0));
        if let Err(error) = written {
            // A runtime takes an empty file, but none that is filled in part.
            let _ = file.set_len(0);
            return Err(failed(&self.path, "fill it")(error));
        }
        self.account_all(form);
        Ok(())
    }

    /// Adds to what is in the file.
    fn merge(&mut self, file: &File, bytes: &[u8], form: &Form<'_>) -> Result<(), WriteFileError> {
        let Form { bytes: now, parts } = form;
        let mut sum = bytes.to_vec();
        add(parts, &mut sum, now, &self.added);
        for run in changed(bytes, &sum) {
            let (at, new) = (run.start as u64, sum.get(run.clone()).unwrap_or_default());
            if let Err(error) = file.write_all_at(new, at) {
                for arrived in arrived(file, at, bytes.get(run.clone()).unwrap_or_default()) {
                    let within_file =
                        run.start.saturating_add(arrived.start)..run.start.saturating_add(arrived.end);
                    account(parts, &mut self.added, now, &within_file);
                }
                return Err(failed(&self.path, "add to it in place")(error));
            }
            account(parts, &mut self.added, now, &run);
        }
        self.account_all(form);
        Ok(())
    }

    fn account_all(&mut self, form: &Form<'_>) {
        account(&form.parts, &mut self.added, form.bytes, &form.parts.counters);
    }
}

/// What may have arrived of a write that failed: where the file is not as `before` any more. What cannot be read may
/// have arrived, too: better lost than added twice.
fn arrived(file: &File, at: u64, before: &[u8]) -> Vec<Range<usize>> {
    let mut found = before.to_vec();
    match file.read_exact_at(&mut found, at) {
        Ok(()) => changed(before, &found),
        Err(_) => std::iter::once(0..before.len()).collect(),
    }
}

/// What a file that is merged into has.
enum Content<'b> {
    /// Nothing, or what a killed process left that had begun to fill it.
    None(Form<'b>),
    /// A profile of this program in this form.
    Some { bytes: Vec<u8>, form: Form<'b> },
}

impl<'b> Content<'b> {
    fn read(file: &File, path: &Path, forms: &'b [Vec<u8>]) -> Result<Self, PoolError> {
        let own = first(path, forms)?;
        let longest = forms.iter().map(Vec::len).max().unwrap_or_default();
        // Values that a runtime wrote behind the names are not looked at.
        let mut bytes = Vec::new();
        file.take(longest as u64).read_to_end(&mut bytes).map_err(failed(path, "read it to merge"))?;
        if bytes.is_empty() || is_half_filled(&bytes, &own) {
            return Ok(Self::None(own));
        }
        let mut reason = None;
        for form in forms {
            match same_parts(form, &bytes) {
                Ok(parts) => return Ok(Self::Some { bytes, form: Form { bytes: form, parts } }),
                Err(error) => reason = reason.or(Some(error)),
            }
        }
        let source = reason.unwrap_or_else(OtherProfile::none);
        Err(PoolError::Other { path: path.to_owned(), source })
    }
}

/// The form that a new file has.
fn first<'b>(path: &Path, forms: &'b [Vec<u8>]) -> Result<Form<'b>, PoolError> {
    let other = |source| PoolError::Other { path: path.to_owned(), source };
    let bytes = forms.first().ok_or_else(|| other(OtherProfile::none()))?;
    Ok(Form { bytes, parts: RawParts::of(bytes).map_err(other)? })
}

/// Whether somebody was killed who filled an empty file with this form: everything up to where it ends was written
/// but for the first word.
fn is_half_filled(bytes: &[u8], own: &Form<'_>) -> bool {
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC_BYTES) else { return false };
    let header = own.bytes.get(MAGIC_BYTES..own.parts.header_bytes.end).unwrap_or_default();
    magic.iter().all(|byte| *byte == 0) && rest.iter().zip(header).all(|(found, own)| found == own)
}

/// Opens the file at `path` and waits for its lock, which goes when it is closed. `None` if there is none.
fn open_locked(path: &Path) -> Result<Option<File>, WriteFileError> {
    let fail = |step| failed(path, step);
    for _ in 0..MAX_TRIES {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("open it to merge")(error)),
        };
        let ours = file.metadata().map_err(fail("look at it"))?;
        if !ours.is_file() {
            return Err(fail("open it to merge")(io::Error::other("it is no regular file")));
        }
        lock(&file).map_err(fail("lock it"))?;
        // Somebody may have taken it away, or put another in its place, meanwhile.
        let there = fs::metadata(path).ok();
        if there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Some(file));
        }
    }
    Err(fail("lock it")(io::Error::other("it comes and goes")))
}

fn lock(file: &File) -> io::Result<()> {
    let whole = libc::flock {
        #[expect(clippy::cast_possible_truncation, reason = "small constants")]
        l_type: libc::F_WRLCK as i16,
        #[expect(clippy::cast_possible_truncation, reason = "small constants")]
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        // Up to the end, wherever that comes to be.
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&whole)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests;
