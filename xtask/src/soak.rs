//! `cargo xtask soak`: what a user may do to covtap, very often.

mod gcov;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use covtap_testbed::{Guest, Machine, Monitor, fixture, tool};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::provision::{self, Need};
use crate::{Outcome, child, covtap};

/// Arguments of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End covtap by SIGKILL at random moments of a recording; no profile may break, no tapped guest stand still
    Kill(KillArgs),
    /// Read a guest that counts without a rest; no count may be negative, here or in gcov
    Gcov(gcov::Args),
}

#[derive(Debug, clap::Args)]
struct KillArgs {
    /// How many recordings are killed, half of them over each link
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Repeats an earlier sequence of moments
    #[arg(long)]
    seed: Option<u64>,
}

/// A guest that does not come up within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills come between a covtap's start and this much later: attaching takes part of it, writing most.
const LATEST_KILL_MS: u64 = 400;

pub(crate) fn run(args: &Args) -> Result<Outcome> {
    provision::ensure(Need::Soak)?;
    match &args.what {
        What::Kill(args) => kill(args),
        What::Gcov(args) => gcov::run(args),
    }
}

/// One link's row of the summary.
#[derive(Debug)]
struct Row {
    /// The flag, and where the target is.
    target: [String; 2],
    dir: TempDir,
    runs: u32,
    /// Runs that put a profile in place before they were killed.
    wrote: u32,
    /// Runs that had ended before they were killed, with an error of their own.
    failed: u32,
    /// Runs after which the profile was not one.
    broken: u32,
    /// Runs after which the guest stood still.
    paused: u32,
}

impl Row {
    fn new(flag: &str, address: String) -> Result<Self> {
        let dir = TempDir::with_prefix("covtap-soak-").context("make a folder")?;
        Ok(Self {
            target: [flag.to_owned(), address],
            dir,
            runs: 0,
            wrote: 0,
            failed: 0,
            broken: 0,
            paused: 0,
        })
    }

    fn profraw(&self) -> PathBuf {
        self.dir.path().join("spin.profraw")
    }

    /// Files beside the profile, which killed runs left.
    fn leftovers(&self) -> Result<usize> {
        Ok(fs::read_dir(self.dir.path())?.flatten().filter(|entry| entry.path() != self.profraw()).count())
    }
}

fn kill(args: &KillArgs) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let elf = fixture("x86-pvh/spin.elf");
    let guest = Guest::builder(Machine::X86Pvh, &elf).start()?;
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase"))?;
    let mut monitor = Monitor::connect(guest.control())?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut moments = fastrand::Rng::with_seed(seed);
    let mut rows =
        [Row::new("--gdb", guest.gdb().to_string())?, Row::new("--qemu", guest.qmp().display().to_string())?];
    for run in 0..args.runs {
        let [gdb, qemu] = &mut rows;
        let row = if run % 2 == 0 { gdb } else { qemu };
        let moment = Duration::from_micros(moments.u64(..LATEST_KILL_MS * 1000));
        kill_once(&covtap, &elf, row, moment)
            .with_context(|| format!("run {run}, {} after {moment:?}", row.target[0]))?;
        judge(row, &mut monitor)?;
    }
    for row in &rows {
        record_well(&covtap, &elf, row)
            .with_context(|| format!("a whole run over {} after all", row.target[0]))?;
    }
    summarise(&rows)
}

fn record(covtap: &Path, elf: &Path, row: &Row) -> Command {
    let mut command = Command::new(covtap);
    command
        .arg("record")
        .args(&row.target)
        .arg(elf)
        .args(["--every", "10ms", "--quiet", "-o"])
        .arg(row.profraw());
    command
}

/// Starts a recording and kills it. A recording has no end of its own: one that was quicker has failed.
fn kill_once(covtap: &Path, elf: &Path, row: &mut Row, moment: Duration) -> Result<()> {
    let before = inode(&row.profraw());
    let mut group = child::Group::spawn(&mut record(covtap, elf, row))?;
    child::sleep(moment)?;
    if let Some(status) = group.ended()? {
        eprintln!("{} failed within {moment:?}: {status}", row.target[0]);
        row.failed += 1;
    } else {
        group.signal(Signal::SIGKILL)?;
        group.wait()?;
    }
    row.runs += 1;
    row.wrote += u32::from(inode(&row.profraw()) != before);
    Ok(())
}

/// Which file is in place: a profile replaces the one before by rename.
fn inode(path: &Path) -> Option<(u64, i64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.ino(), meta.mtime_nsec()))
}

fn judge(row: &mut Row, monitor: &mut Monitor) -> Result<()> {
    if row.profraw().exists() && !valid(&row.profraw())? {
        row.broken += 1;
        // Each broken file counts once.
        fs::remove_file(row.profraw()).context("remove a broken profile")?;
    }
    if monitor.status()? != "running" {
        row.paused += 1;
        monitor.execute("cont", &json!({}))?;
    }
    Ok(())
}

/// LLVM's own opinion.
fn valid(profraw: &Path) -> Result<bool> {
    let mut command = Command::new(tool("llvm-profdata-19")?);
    Ok(child::output(command.arg("show").arg(profraw))?.status.success())
}

/// What killed runs left behind must not keep the next one from its work.
fn record_well(covtap: &Path, elf: &Path, row: &Row) -> Result<()> {
    let before = inode(&row.profraw());
    child::run_well(record(covtap, elf, row).args(["--snapshots", "3"]).stderr(Stdio::inherit()))?;
    ensure!(inode(&row.profraw()) != before && valid(&row.profraw())?, "no valid profile was written");
    Ok(())
}

fn summarise(rows: &[Row; 2]) -> Result<Outcome> {
    println!(
        "{:8}{:>6}{:>13}{:>13}{:>8}{:>17}{:>19}",
        "link", "runs", "had written", "had failed", "broken", "files left over", "guest left paused"
    );
    for row in rows {
        let [flag, _] = &row.target;
        let Row { runs, wrote, failed, broken, paused, .. } = row;
        let leftovers = row.leftovers()?;
        println!("{flag:8}{runs:>6}{wrote:>13}{failed:>13}{broken:>8}{leftovers:>17}{paused:>19}");
    }
    println!("a killed client of a GDB server cannot resume the guest; --qemu never stops it");
    let [gdb, qemu] = rows;
    let bad = gdb.broken + gdb.failed + qemu.broken + qemu.failed + qemu.paused;
    Ok(if bad == 0 { Outcome::Passed } else { Outcome::Failed })
}
