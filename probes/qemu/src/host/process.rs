//! Copies bytes out of the QEMU process with `process_vm_readv`.
//!
//! Measured beside `pread` of `/proc/PID/mem` and a copy by two threads (QEMU 10.0.2, Linux 6.18): at 4 KiB the
//! call and `pread` cost the same, at 16 MiB the call copies about as fast as `memcpy` and `pread` half as fast,
//! for it goes through a bounce page; a second thread gains nothing where the host has no idle processor.
//!
//! What always holds: bytes come from the process that was opened, never from a later one with the same id. A
//! descriptor of the process (`pidfd`) is held and looked at after each copy: as long as the process has not
//! ended, its id belongs to it.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::event::{PollFlags, Timespec};
use rustix::process::{PidfdFlags, pidfd_open};

use super::Piece;
use crate::failure::Failure;
use crate::qmp::is_ready;

/// How many pieces go into one call: Linux's `IOV_MAX`.
const MAX_PIECES: usize = 1024;

/// The memory of a process.
#[derive(Debug)]
pub(crate) struct ProcessMemory {
    pid: Pid,
    pidfd: OwnedFd,
}

impl ProcessMemory {
    /// Opens a process by its id.
    pub(crate) fn open(pid: i32) -> Result<Self, Failure> {
        let raw = rustix::process::Pid::from_raw(pid)
            .ok_or_else(|| Failure::Unsupported(format!("{pid} is not a process id")))?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty())
            .map_err(|error| Failure::Unsupported(format!("pidfd_open of process {pid}: {error}")))?;
        Ok(Self { pid: Pid::from_raw(pid), pidfd })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Fills every piece from the process's address that it names.
    pub(crate) fn copy(&self, pieces: &mut [Piece<'_, u64>]) -> Result<(), Failure> {
        let mut rest: Vec<(u64, &mut [u8])> = pieces
            .iter_mut()
            .map(|piece| (piece.place, &mut *piece.buf))
            .filter(|(_, b)| !b.is_empty())
            .collect();
        let mut start = 0;
        while let Some(left) = rest.get_mut(start..).filter(|left| !left.is_empty()) {
            let copied = self.copy_once(left)?;
            start += consume(left, copied);
        }
        if self.has_ended()? { Err(Failure::Closed) } else { Ok(()) }
    }

    fn copy_once(&self, pieces: &mut [(u64, &mut [u8])]) -> Result<usize, Failure> {
        let first = pieces.first().map_or(0, |(hva, _)| *hva);
        let mut remote = Vec::new();
        let mut local = Vec::new();
        for (hva, buf) in pieces.iter_mut().take(MAX_PIECES) {
            let base = usize::try_from(*hva).map_err(|_| Failure::Stale { hva: *hva })?;
            remote.push(RemoteIoVec { base, len: buf.len() });
            local.push(IoSliceMut::new(buf));
        }
        match process_vm_readv(self.pid, &mut local, &remote) {
            Ok(0) => Err(Failure::Stale { hva: first }),
            Ok(copied) => Ok(copied),
            Err(Errno::ESRCH) => Err(Failure::Closed),
            Err(Errno::EFAULT) if self.has_ended()? => Err(Failure::Closed),
            Err(Errno::EFAULT) => Err(Failure::Stale { hva: first }),
            Err(error @ (Errno::EPERM | Errno::EACCES)) => Err(Failure::NotPermitted(self.refused(error))),
            Err(error @ Errno::ENOSYS) => Err(Failure::Unsupported(self.refused(error))),
            Err(error) => Err(Failure::Io(error.into())),
        }
    }

    fn refused(&self, error: Errno) -> String {
        let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let yama = match scope.as_deref().map(str::trim) {
            Some("0") | None => String::new(),
            Some(scope) => format!(" (kernel.yama.ptrace_scope is {scope})"),
        };
        let words = io::Error::from(error).to_string();
        let words = words.split(" (os error").next().unwrap_or_default();
        format!("process_vm_readv of process {}: {words}{yama}", self.pid)
    }

    fn has_ended(&self) -> Result<bool, Failure> {
        is_ready(self.pidfd.as_fd(), PollFlags::IN, &Timespec { tv_sec: 0, tv_nsec: 0 }).map_err(Failure::Io)
    }
}

/// Takes `copied` bytes off the front of `pieces` and returns how many of them are whole now. A call may end
/// within a piece: at 2 GiB, or where a page could not be read; the next call then says why.
fn consume(pieces: &mut [(u64, &mut [u8])], mut copied: usize) -> usize {
    let mut whole = 0;
    for (hva, buf) in pieces {
        if copied < buf.len() {
            let taken = std::mem::take(buf);
            *buf = taken.get_mut(copied..).unwrap_or_default();
            *hva = hva.wrapping_add(copied as u64);
            break;
        }
        copied -= buf.len();
        whole += 1;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ProcessMemory {
        ProcessMemory::open(i32::try_from(std::process::id()).expect("a process id")).expect("this process")
    }

    fn hva(bytes: &[u8]) -> u64 {
        bytes.as_ptr().addr() as u64
    }

    #[test]
    fn more_pieces_than_one_call_takes_are_copied_whole() {
        let source: Vec<u8> = (0..5000u32).map(|i| u8::try_from(i % 251).expect("small")).collect();
        let mut target = vec![0; source.len()];
        let mut pieces: Vec<_> = target
            .chunks_mut(2)
            .zip((hva(&source)..).step_by(2))
            .map(|(buf, place)| Piece { place, buf })
            .collect();
        assert!(pieces.len() > MAX_PIECES * 2);
        own().copy(&mut pieces).expect("own memory");
        assert_eq!(source, target);
    }

    #[test]
    fn what_is_not_mapped_is_an_error_with_its_address() {
        let source = [7u8; 8];
        let mut buf = [0; 16];
        let (a, b) = buf.split_at_mut(8);
        let mut pieces = [Piece { place: hva(&source), buf: a }, Piece { place: 0x10, buf: b }];
        let failure = own().copy(&mut pieces).expect_err("nothing is mapped at 0x10");
        assert!(matches!(failure, Failure::Stale { hva: 0x10 }), "{failure:?}");
    }

    #[test]
    fn a_call_that_ends_within_a_piece_is_taken_up_there() {
        let (mut a, mut b) = ([0; 4], [0; 4]);
        let mut pieces = [(0x100u64, &mut a[..]), (0x200, &mut b[..])];
        assert_eq!(consume(&mut pieces, 6), 1);
        assert_eq!((pieces[1].0, pieces[1].1.len()), (0x202, 2));
        assert_eq!(consume(&mut pieces[1..], 2), 1);
    }

    #[test]
    fn a_process_that_ended_is_closed_and_not_another_one() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("start sleep");
        let memory = ProcessMemory::open(i32::try_from(child.id()).expect("a process id")).expect("open");
        assert!(!memory.has_ended().expect("poll"));
        child.kill().expect("kill");
        child.wait().expect("wait");
        let failure = memory.copy(&mut [Piece { place: 0x1000, buf: &mut [0; 4] }]).expect_err("ended");
        assert!(matches!(failure, Failure::Closed), "{failure:?}");
    }
}
