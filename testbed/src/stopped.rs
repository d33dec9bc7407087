//! A program of the host that has stopped itself, so that its memory can be read while nothing changes in it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A process that has sent `SIGSTOP` to itself. Dropping it ends it.
#[derive(Debug)]
pub struct Stopped {
    child: Child,
    pid: Pid,
    has_ended: bool,
}

impl Stopped {
    /// Starts a program and waits until it has stopped itself.
    ///
    /// # Errors
    ///
    /// It could not be started, or ended without stopping.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("process id")?);
        let mut stopped = Self { child, pid, has_ended: false };
        match waitpid(pid, Some(WaitPidFlag::WUNTRACED)).with_context(|| format!("wait for {command:?}"))? {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Ok(stopped),
            other => {
                stopped.has_ended = matches!(other, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
                bail!("{command:?} did not stop itself: {other:?}")
            }
        }
    }

    /// Where its program begins in memory: the start of the first mapping of the file.
    ///
    /// # Errors
    ///
    /// The process has no such mapping.
    pub fn load_address(&self) -> Result<u64> {
        let of = |file: &str| format!("/proc/{}/{file}", self.pid);
        let exe = fs::read_link(of("exe")).with_context(|| format!("read {}", of("exe")))?;
        let maps = fs::read_to_string(of("maps")).with_context(|| format!("read {}", of("maps")))?;
        let exe = exe.to_string_lossy();
        let first = maps.lines().find(|line| line.ends_with(&*exe)).context("the program is not mapped")?;
        let start = first.split('-').next().unwrap_or_default();
        u64::from_str_radix(start, 16).with_context(|| format!("the address of a mapping in {first:?}"))
    }

    /// Its memory, by address.
    ///
    /// # Errors
    ///
    /// It has none any more.
    pub fn memory(&self) -> Result<File> {
        let path = format!("/proc/{}/mem", self.pid);
        File::open(&path).with_context(|| format!("open {path}"))
    }

    /// Fills `bytes` from its memory at `address`.
    ///
    /// # Errors
    ///
    /// Not all of that is memory of the process.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        let len = bytes.len();
        self.memory()?
            .read_exact_at(bytes, address)
            .with_context(|| format!("read {len} bytes at {address:#x}"))
    }

    /// Lets it run on to its end.
    ///
    /// # Errors
    ///
    /// It could not be continued or waited for.
    pub fn finish(mut self) -> Result<ExitStatus> {
        kill(self.pid, Signal::SIGCONT).context("let a stopped program run on")?;
        let status = self.child.wait().context("wait for a program's end")?;
        self.has_ended = true;
        Ok(status)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.has_ended {
            // Already ended is as good as ended now.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
