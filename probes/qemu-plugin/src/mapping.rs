//! Pieces of a file as words in memory that are there as long as the process.
#![allow(unsafe_code, reason = "mappings are made by pointers and lengths")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::AtomicU64;

use crate::layout::WORD;

const ACCESS: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// The length of a page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: it takes a number and gives one.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).unwrap_or(4096)
}

/// Makes room in the file, on the disk too, so that no later store can fail for want of it, and maps it.
pub(crate) fn map(file: &File, offset: usize, len: usize) -> io::Result<&'static [AtomicU64]> {
    let (start, size) = (off_t(offset)?, off_t(len)?);
    // SAFETY: it takes a descriptor that is open and numbers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), start, size) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    // SAFETY: the kernel chooses a place where nothing is.
    let place =
        unsafe { libc::mmap(ptr::null_mut(), len, ACCESS, libc::MAP_SHARED, file.as_raw_fd(), start) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has `len` bytes that any value is valid for, begins on a page, and is never undone. Others write
    // it too, which atomics allow.
    Ok(unsafe { std::slice::from_raw_parts(place.cast::<AtomicU64>(), len / WORD) })
}

/// Puts a piece of the file in the place of the pages at `place`, whose values are lost.
///
/// # Safety
///
/// `len` bytes from `place` on, which is on a page's start, belong to the caller, and whoever else uses them wants the
/// file's words there.
pub(crate) unsafe fn replace(place: usize, len: usize, file: &File, offset: usize) -> io::Result<()> {
    let start = off_t(offset)?;
    let wanted = ptr::with_exposed_provenance_mut::<libc::c_void>(place);
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    // SAFETY: the caller owns what is replaced.
    let got = unsafe { libc::mmap(wanted, len, ACCESS, flags, file.as_raw_fd(), start) };
    if got == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn off_t(number: usize) -> io::Result<libc::off_t> {
    number.try_into().map_err(|_| io::ErrorKind::InvalidInput.into())
}
