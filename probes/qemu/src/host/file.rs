//! Copies bytes out of the file behind a guest's memory.
//!
//! A guest started with `-object memory-backend-file,share=on,mem-path=...` or `memory-backend-memfd` has its
//! memory in a file that others can read. The file is found by the path that QEMU tells, or, where that names
//! none (a memfd, a folder with an unlinked file in it), through the process's own maps and descriptors. Small
//! boards have RAM outside of it: the memory region's name, which is the backend's id, decides.
//!
//! What always holds: the file is a regular one, opened for reading only and without blocking; a read past its
//! end is an error, not zeros.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use procfs::process::Process;

use crate::failure::Failure;
use crate::translate::Backing;

/// A file that holds one memory region.
#[derive(Debug)]
pub(crate) struct SharedFile {
    region: String,
    file: File,
    /// Where the region's first byte is in the file.
    offset: u64,
    /// Whether bytes other than zero were seen to be the guest's.
    pub(crate) proven: bool,
}

impl SharedFile {
    /// Opens the file at `path` that holds `region` from `offset` on.
    pub(crate) fn open(region: &str, path: &Path, offset: u64) -> Result<Self, String> {
        let file = open_regular(path).map_err(|error| format!("open {}: {error}", path.display()))?;
        Ok(Self { region: region.to_owned(), file, offset, proven: false })
    }

    /// Opens the file that process `pid` has mapped where `backing` is in it.
    pub(crate) fn open_through(pid: i32, backing: &Backing) -> Result<Self, String> {
        let region = &backing.region;
        let fail = |what: &str, error: &dyn std::fmt::Display| format!("{what} of process {pid}: {error}");
        let process = Process::new(pid).map_err(|error| fail("status", &error))?;
        let maps = process.maps().map_err(|error| fail("maps", &error))?;
        let map = maps
            .into_iter()
            .find(|map| map.address.0 <= backing.hva && backing.hva < map.address.1 && map.inode != 0)
            .ok_or_else(|| format!("process {pid} has no file mapped for {region}"))?;
        let at_backing = map.offset.checked_add(backing.hva - map.address.0);
        let offset = at_backing.and_then(|at| at.checked_sub(backing.region_offset?));
        let offset = offset.ok_or_else(|| format!("where {region} starts in its file is not known"))?;
        for fd in process.fd().map_err(|error| fail("descriptors", &error))?.flatten() {
            let path = format!("/proc/{pid}/fd/{}", fd.fd);
            let same = std::fs::metadata(&path).is_ok_and(|meta| {
                meta.ino() == map.inode && (major(meta.dev()), minor(meta.dev())) == map.dev
            });
            if same {
                return Self::open(region, Path::new(&path), offset);
            }
        }
        Err(format!("process {pid} has no descriptor of the file behind {region}"))
    }

    /// The memory region that the file holds.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Fills `buf` from the region's byte `region_offset` on.
    pub(crate) fn copy(&self, region_offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let at = self.offset.checked_add(region_offset);
        let at = at.ok_or_else(|| Failure::Protocol(format!("offset in {} too large", self.region)))?;
        self.file.read_exact_at(buf, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Failure::Refused(format!("the file behind {} ends before offset {at:#x}", self.region))
            }
            _ => Failure::Io(error),
        })
    }
}

/// Opens a file that a server named: whatever it is, opening must neither block nor change anything.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

fn major(dev: u64) -> i32 {
    i32::try_from(rustix::fs::major(dev)).unwrap_or(-1)
}

fn minor(dev: u64) -> i32 {
    i32::try_from(rustix::fs::minor(dev)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_region_is_read_from_its_place_in_the_file() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&[1, 2, 3, 4, 5, 6, 7, 8]).expect("write");
        let shared = SharedFile::open("ram", file.path(), 2).expect("open");
        let mut buf = [0; 3];
        shared.copy(1, &mut buf).expect("within");
        assert_eq!(buf, [4, 5, 6]);
        let failure = shared.copy(4, &mut buf).expect_err("past the end").words();
        assert_eq!(failure, "the file behind ram ends before offset 0x6");
        assert!(shared.copy(u64::MAX, &mut buf).is_err());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(SharedFile::open("ram", dir.path(), 0).is_err());
        assert!(SharedFile::open("ram", Path::new("/dev/null"), 0).is_err());
        let missing = SharedFile::open("ram", &dir.path().join("none"), 0).expect_err("missing");
        assert!(missing.contains("No such file"), "{missing}");
    }
}
