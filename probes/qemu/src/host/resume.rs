//! Lets a traced thread that has stopped go on: the two `ptrace` requests that nix has no safe form of.
//!
//! nix's `cont` takes only the signals that have a name, and a process may be sent real-time ones, which have none;
//! `PTRACE_LISTEN` it does not have at all. Neither request reads or writes memory of this process: address and data are
//! a null pointer and a number.
#![allow(unsafe_code, reason = "nix has no safe form of these two requests")]

use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

/// Lets a stopped thread run on, and take `signal` (0: none) as if nobody traced it.
pub(super) fn go_on(thread: Pid, signal: i32) -> Result<(), Errno> {
    request(libc::PTRACE_CONT, thread, signal)
}

/// Leaves a thread stopped that a signal such as SIGSTOP has stopped with its whole process, until SIGCONT.
pub(super) fn stay_stopped(thread: Pid) -> Result<(), Errno> {
    request(libc::PTRACE_LISTEN, thread, 0)
}

fn request(request: libc::c_uint, thread: Pid, data: i32) -> Result<(), Errno> {
    let data = libc::c_long::from(data);
    // SAFETY: both requests take the address as nothing and the data as a number; no memory of this process is touched.
    let outcome = unsafe { libc::ptrace(request, thread.as_raw(), ptr::null_mut::<libc::c_void>(), data) };
    Errno::result(outcome).map(drop)
}
