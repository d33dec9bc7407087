//! A recording that outlives a reset after which the kernel is elsewhere.
//!
//! What enters is a kernel; what leaves is one [`Comparison`] with the kernel's own files for each of two boots. Of the
//! second, what covtap has more than at the reset is compared: the guest stood still from the last snapshot before that on,
//! so nothing may be missing, and nothing be there twice.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use covtap_testbed::Console;
use nix::sys::signal::Signal;

use super::Run;
use super::compare::{self, Comparison, Files};
use super::guest::LinuxGuest;
use super::kernel::Kernel;
use crate::child::{self, Group};
use crate::figures::time;

/// For how long the guest works in each boot.
const WORK: Duration = Duration::from_secs(3);

/// A kernel that was not found by then is not found.
const PATIENCE: Duration = Duration::from_secs(120);

/// The control socket's name, in the folder that covtap runs in.
const SOCKET: &str = "control";

/// A recording that goes on.
struct Recording<'r> {
    run: &'r Run,
    group: Group,
    said: Console,
    dir: PathBuf,
}

/// Records over two boots.
pub(super) fn run(run: &Run, kernel: &Kernel) -> Result<[Comparison; 2]> {
    let mut guest = LinuxGuest::start_for_resets(kernel)?;
    let recording = Recording::start(run, &guest)?;
    let [before, kernels, after] = recording.at_rest(&mut guest)?;
    let first = compare::compare(&before, &kernels, &after);
    println!("first boot: {first}");

    guest.halt()?;
    let last = recording.snapshot()?;
    let started = Instant::now();
    guest.reset()?;
    let moved = recording.said.lines_until(PATIENCE, |line| line.contains(" since the reset, slide "));
    let moved = moved.context("covtap does not say that the kernel is elsewhere since the reset")?;
    println!("{} ({} after the reset)", moved.last().context("a line")?, time(started.elapsed()));

    let [before, kernels, after] = recording.at_rest(&mut guest)?;
    let [before, after] = [before, after].map(|sum| compare::since(&last, &sum));
    let (before, after) = (before.context("since the reset")?, after.context("since the reset")?);
    let second = compare::compare(&before, &kernels, &after);
    println!("second boot, beside the first one's counts: {second}");
    recording.end()?;
    Ok([first, second])
}

impl<'r> Recording<'r> {
    fn start(run: &'r Run, guest: &LinuxGuest) -> Result<Self> {
        let args = ["--every", "1s", "--control", SOCKET];
        let (mut command, dir) = run.covtap(guest, "resets", "record", &args);
        let mut group = Group::spawn(command.stderr(Stdio::piped()))?;
        let said = Console::new(group.stderr()?);
        said.wait_for(PATIENCE, |line| line.starts_with("snapshot ")).context("covtap begins to record")?;
        Ok(Self { run, group, said, dir })
    }

    /// Has the guest work for a while, and gives what covtap has before and after the kernel is asked, and what that
    /// answers in between.
    fn at_rest(&self, guest: &mut LinuxGuest) -> Result<[Files; 3]> {
        guest.work()?;
        child::sleep(WORK)?;
        guest.rest()?;
        let before = self.snapshot()?;
        let kernels = guest.serve()?;
        Ok([before, kernels, self.snapshot()?])
    }

    /// All files as of a snapshot that is taken now. The next one may be written while they are read: of each unit it is
    /// one or the other.
    fn snapshot(&self) -> Result<Files> {
        let mut command = Command::new(&self.run.covtap);
        child::capture(command.args(["ctl", SOCKET, "snapshot"]).current_dir(&self.run.dir))?;
        compare::read_files(&self.dir)
    }

    /// Ends the session, which says what it went through.
    fn end(mut self) -> Result<()> {
        self.group.signal(Signal::SIGINT)?;
        let summary = self.said.wait_for(PATIENCE, |line| line.contains(" the workload was paused for "))?;
        let status = self.group.wait()?;
        ensure!(status.success(), "covtap ended with {status}");
        ensure!(summary.contains(" over 1 reset,"), "covtap saw other resets: {summary}");
        println!("{summary}");
        Ok(())
    }
}
