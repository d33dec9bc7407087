//! A file without a name, through which a QEMU that is started here hands out what its guest executes.
//!
//! What leaves is a path by which QEMU finds it, as long as this process has it, and bytes of it at any time: while the
//! guest runs, and when QEMU has ended, whatever ended it. What always holds: nothing is left behind.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Memory that is shared with a plugin of QEMU's, through a file in the folder for temporary files.
#[derive(Debug)]
pub struct TraceFile(File);

impl TraceFile {
    /// Makes one that is empty.
    ///
    /// # Errors
    ///
    /// The folder for temporary files cannot be written to.
    pub fn create() -> io::Result<Self> {
        tempfile::tempfile().map(Self)
    }

    /// Where processes of the same user find it. It has no comma, at which QEMU would end it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Fills `bytes` with those from `offset` on.
    ///
    /// # Errors
    ///
    /// It ends before.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}
