//! `cargo xtask bench session`: what a session costs the host, with 16 MiB of counters of which few change.
//!
//! The target is a process that changes some of its counters a thousand times a second; covtap takes ten snapshots of it in
//! a second. Its processor time is that of all its threads over a window, system calls included; time in which it waits for
//! the disk is none. Its memory is the peak of what it had resident.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use covtap_testbed::tool;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::disturbance::{is_snapshot, processor_time, wait_for_snapshot};
use crate::figures::{median, size, three_digits};
use crate::{Outcome, child, covtap};

mod target;

use target::{COUNTERS_LEN_BYTES, Target};

/// Arguments of `cargo xtask bench session`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Windows for each way to keep a file
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of a window, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    window_s: u64,
    /// How many counters change
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    changing: u32,
    /// How many counters a function has
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    counters_per_function: u32,
}

/// What becomes of the file: replaced by each snapshot, or kept up to date.
const MODES: [(&str, &str); 2] = [("plain", "session.profraw"), ("%c", "%csession.profraw")];

/// What one window took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Of one processor.
    share: f64,
    snapshots_per_s: f64,
    peak_bytes: f64,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let per_function = usize::try_from(args.counters_per_function)?;
    let target = Target::start(dir.path(), per_function, usize::try_from(args.changing)?)?;
    let window = Duration::from_secs(args.window_s);
    let bench = Bench { covtap, dir: dir.path(), target, window };
    let mut costs = MODES.map(|_| Vec::new());
    for round in 1..=args.rounds {
        for ((_, pattern), costs) in MODES.iter().zip(&mut costs) {
            costs.push(bench.window(pattern)?);
        }
        eprintln!("turn {round} of {} done", args.rounds);
    }
    println!(
        "{} of counters, {} of them changing, {} in a function, a snapshot every 100 ms; medians of {} windows of {} s",
        size(COUNTERS_LEN_BYTES),
        args.changing,
        args.counters_per_function,
        args.rounds,
        args.window_s
    );
    print(&costs).context("nothing was measured")?;
    Ok(Outcome::Passed)
}

fn print(costs: &[Vec<Cost>]) -> Option<()> {
    println!(
        "{:8}{:>14}{:>22}{:>14}{:>22}",
        "mode", "snapshots/s", "of one processor", "peak MiB", "peak : counters"
    );
    for ((mode, _), costs) in MODES.iter().zip(costs) {
        let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value));
        let peak = of(|cost| cost.peak_bytes)?;
        // 16 MiB are far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
        let ratio = peak / COUNTERS_LEN_BYTES as f64;
        println!(
            "{mode:8}{:>14}{:>20} %{:>14}{:>22}",
            three_digits(of(|cost| cost.snapshots_per_s)?),
            three_digits(of(|cost| cost.share)? * 100.0),
            three_digits(peak / f64::from(1 << 20)),
            three_digits(ratio)
        );
    }
    println!("goals: 5 % of one processor, 3 times the counters");
    Some(())
}

struct Bench<'a> {
    covtap: PathBuf,
    dir: &'a Path,
    target: Target,
    window: Duration,
}

impl Bench<'_> {
    /// One session, measured from its first snapshot on for a window.
    fn window(&self, pattern: &str) -> Result<Cost> {
        let mut command = Command::new(&self.covtap);
        command.args(["record", "--pid", &self.target.pid().to_string()]).arg(&self.target.program);
        command.args(["--every", "100ms", "-o"]).arg(self.dir.join(pattern)).stderr(Stdio::piped());
        let mut group = child::Group::spawn(&mut command)?;
        let status = child::lines(group.stderr()?);
        wait_for_snapshot(&status)?;
        let (start, before) = (Instant::now(), processor_time(group.pid())?);
        child::sleep(self.window)?;
        let used = processor_time(group.pid())?.saturating_sub(before);
        let elapsed = start.elapsed().as_secs_f64();
        let snapshots = u32::try_from(status.try_iter().filter(|line| is_snapshot(line)).count())?;
        let peak_bytes = peak_bytes(group.pid())?;
        group.signal(Signal::SIGINT)?;
        let ended = group.wait()?;
        ensure!(
            ended.success(),
            "covtap ended with {ended}: {}",
            status.try_iter().collect::<Vec<_>>().join("\n")
        );
        self.look_at(&self.dir.join(pattern.trim_start_matches("%c")))?;
        let (share, snapshots_per_s) = (used.as_secs_f64() / elapsed, f64::from(snapshots) / elapsed);
        Ok(Cost { share, snapshots_per_s, peak_bytes })
    }

    /// What was written is a profile, by LLVM's own opinion.
    fn look_at(&self, profile: &Path) -> Result<()> {
        let mut command = Command::new(tool("llvm-profdata-19")?);
        let output = child::output(command.arg("show").arg(profile))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "llvm-profdata: {}", complaint.trim());
        Ok(())
    }
}

/// The most that a process had resident so far: `VmHWM` of its status, in units of 1024 bytes (proc_pid_status(5)).
fn peak_bytes(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .with_context(|| format!("no VmHWM in {path}"))?;
    Ok(kib * 1024.0)
}
