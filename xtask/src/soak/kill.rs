//! `cargo xtask soak kill`: recordings that are ended by SIGKILL at random moments.
//!
//! What enters is how many; what leaves is a table, by what becomes of the file and by link. What always holds: the
//! guest's own memory, read beside covtap, says what a file must have at least and can have at most. At least: what
//! was in memory before a snapshot was begun that covtap said it had written; so only the snapshot at work is
//! missing. At most: what is in memory after the kill; so nothing was added twice.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use ::covtap::image::{Image, Slide};
use ::covtap::locate::llvm::locate;
use ::covtap::profile::pool::RawParts;
use anyhow::{Context, Result, bail, ensure};
use covtap_link::AddrRange;
use covtap_testbed::{Guest, Machine, Monitor, fixture, tool};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::PATIENCE;
use crate::{Outcome, child, covtap};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many recordings are killed in each mode, half of them over each link
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Repeats an earlier sequence of moments
    #[arg(long)]
    seed: Option<u64>,
}

/// Kills come between a covtap's start and this much later: attaching takes part of it, writing most.
const LATEST_KILL_MS: u64 = 400;

/// From one snapshot to the next.
const EVERY: Duration = Duration::from_millis(10);

/// How often it is looked whether covtap has said something, and how often the guest's memory is read.
const TICK: Duration = Duration::from_millis(1);
const SAMPLE_EVERY: Duration = Duration::from_millis(15);

/// What becomes of the file: replaced by each snapshot, kept up to date, or merged into.
const MODES: [(&str, &str); 3] =
    [("plain", "spin.profraw"), ("%c", "%cspin.profraw"), ("%4m", "%4mspin.profraw")];

/// One mode's and link's row of the summary.
#[derive(Debug)]
struct Row {
    mode: &'static str,
    pattern: &'static str,
    /// The flag, and where the target is.
    target: [String; 2],
    dir: TempDir,
    runs: u32,
    /// Runs that had written before they were killed.
    wrote: u32,
    /// Runs after which memory said what the file must have at least.
    bounded: u32,
    /// Runs that had ended before they were killed, with an error of their own.
    failed: u32,
    /// Runs after which the file could not be read.
    broken: u32,
    /// Runs after which the file lacked more than the snapshot at work.
    behind: u32,
    /// Runs after which the file had more than was counted.
    ahead: u32,
    /// Runs after which the guest stood still.
    paused: u32,
}

/// The guest, and how its counters are read beside covtap.
struct Witness {
    elf: PathBuf,
    guest: Guest,
    monitor: Monitor,
    counters: AddrRange,
}

impl Row {
    fn new((mode, pattern): (&'static str, &'static str), flag: &str, address: String) -> Result<Self> {
        let dir = TempDir::with_prefix("covtap-soak-").context("make a folder")?;
        let target = [flag.to_owned(), address];
        let (runs, wrote, bounded, failed, broken, behind, ahead, paused) = Default::default();
        Ok(Self { mode, pattern, target, dir, runs, wrote, bounded, failed, broken, behind, ahead, paused })
    }

    /// The profile, whatever it is called; one at most.
    fn profile(&self) -> Result<Option<PathBuf>> {
        let entries = fs::read_dir(self.dir.path()).context("list a folder")?.flatten();
        let mut profiles = entries.map(|entry| entry.path()).filter(|path| is_profile(path));
        let first = profiles.next();
        ensure!(profiles.next().is_none(), "there is more than one profile in {}", self.dir.path().display());
        Ok(first)
    }

    /// Files beside the profile, which killed runs left.
    fn leftovers(&self) -> Result<usize> {
        Ok(fs::read_dir(self.dir.path())?.flatten().filter(|entry| !is_profile(&entry.path())).count())
    }

    fn bad(&self) -> u32 {
        // A killed client of a GDB server cannot resume the guest.
        let paused = if self.target[0] == "--gdb" { 0 } else { self.paused };
        self.failed + self.broken + self.behind + self.ahead + paused
    }
}

fn is_profile(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "profraw")
}

impl Witness {
    fn start() -> Result<Self> {
        let elf = fixture("x86-pvh/spin.elf");
        let image = Image::parse("spin.elf", fs::read(&elf).context("read the guest")?)?;
        let located = locate(&image, Slide::ZERO)?;
        let counters = located.regions.first().context("the guest has no counters")?.range;
        let guest = Guest::builder(Machine::X86Pvh, &elf).start()?;
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase"))?;
        let monitor = Monitor::connect(guest.control())?;
        Ok(Self { elf, guest, monitor, counters })
    }

    /// All counters, and when that was known.
    fn read(&mut self) -> Result<(Instant, Vec<u64>)> {
        // The guest's addresses are physical ones.
        let memory = self.monitor.physical_memory(self.counters.start().get(), self.counters.len_bytes())?;
        Ok((Instant::now(), numbers(&memory)))
    }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|it| u64::from_le_bytes(it.try_into().unwrap_or_default())).collect()
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let mut witness = Witness::start()?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut moments = fastrand::Rng::with_seed(seed);
    let mut rows = Vec::new();
    for mode in MODES {
        rows.push(Row::new(mode, "--gdb", witness.guest.gdb().to_string())?);
        rows.push(Row::new(mode, "--qemu", witness.guest.qmp().display().to_string())?);
    }
    for run in 0..args.runs {
        for row in rows.iter_mut().skip(usize::from(run % 2 == 1)).step_by(2) {
            let moment = Duration::from_micros(moments.u64(..LATEST_KILL_MS * 1000));
            kill_once(&covtap, &mut witness, row, moment)
                .with_context(|| format!("run {run}, {}, {} after {moment:?}", row.mode, row.target[0]))?;
        }
    }
    for row in &rows {
        record_well(&covtap, &witness.elf, row)
            .with_context(|| format!("a whole run, {}, over {} after all", row.mode, row.target[0]))?;
    }
    summarise(&rows)
}

fn record(covtap: &Path, elf: &Path, row: &Row) -> Command {
    let mut command = Command::new(covtap);
    let every = format!("{}ms", EVERY.as_millis());
    command.arg("record").args(&row.target).arg(elf).args(["--every", &every, "-o"]);
    command.arg(row.dir.path().join(row.pattern));
    command
}

/// Starts a recording, kills it and judges what it left. A recording has no end of its own: one that was quicker has
/// failed.
fn kill_once(covtap: &Path, witness: &mut Witness, row: &mut Row, moment: Duration) -> Result<()> {
    if row.mode == "%4m" {
        // Each run is to be the only one that adds.
        row.profile()?.map(fs::remove_file).transpose().context("remove a profile")?;
    }
    let before = inode(row)?;
    let mut samples = vec![witness.read()?];
    let start = Instant::now();
    let mut group = child::Group::spawn(record(covtap, &witness.elf, row).stderr(Stdio::piped()))?;
    let mut said = Said::new(group.stderr()?)?;
    while start.elapsed() < moment {
        said.listen()?;
        let (last, _) = samples.last().context("a sample")?;
        if last.elapsed() > SAMPLE_EVERY {
            samples.push(witness.read()?);
        }
        child::sleep(TICK.min(moment.saturating_sub(start.elapsed())))?;
    }
    let failed = group.ended()?;
    if failed.is_none() {
        group.signal(Signal::SIGKILL)?;
        group.wait()?;
    }
    said.listen()?;
    if let Some(status) = failed {
        eprintln!("{} failed within {moment:?}: {status}: {}", row.target[0], said.text);
        row.failed += 1;
    }
    row.runs += 1;
    row.wrote += u32::from(inode(row)? != before);
    judge(row, witness, &said, &samples)
}

/// What covtap says, and what follows from that.
struct Said {
    stderr: ChildStderr,
    text: String,
    /// The latest moment at which the session had not yet begun.
    not_before: Instant,
}

impl Said {
    fn new(stderr: ChildStderr) -> Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&stderr, FcntlArg::F_GETFL)?);
        fcntl(&stderr, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { stderr, text: String::new(), not_before: Instant::now() })
    }

    /// Takes all that was said up to now.
    fn listen(&mut self) -> Result<()> {
        let (now, mut chunk) = (Instant::now(), [0; 4096]);
        loop {
            match self.stderr.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    self.text.push_str(&String::from_utf8_lossy(chunk.get(..len).unwrap_or_default()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => bail!("read what covtap says: {error}"),
            }
        }
        // It is said before the session begins.
        if !self.text.contains("attached to ") {
            self.not_before = now;
        }
        Ok(())
    }

    /// A moment before the last snapshot was begun that was said to be written. Whatever the n-th one is due for, n - 1
    /// intervals had passed by then since the session began.
    fn last_snapshot(&self) -> Option<Instant> {
        let whole = self.text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut numbers =
            whole.lines().filter_map(|line| line.strip_prefix("snapshot ")?.split(' ').next()?.parse().ok());
        let last: u32 = numbers.next_back()?;
        self.not_before.checked_add(EVERY.checked_mul(last.checked_sub(1)?)?)
    }
}

/// Which file is in place, and when it was written last.
fn inode(row: &Row) -> Result<Option<(u64, i64, i64)>> {
    let meta = row.profile()?.and_then(|path| fs::metadata(path).ok());
    Ok(meta.map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec())))
}

fn judge(row: &mut Row, witness: &mut Witness, said: &Said, samples: &[(Instant, Vec<u64>)]) -> Result<()> {
    let (_, most) = witness.read()?;
    if let Some(path) = row.profile()? {
        if valid(&path)? {
            let found = counters(&path)?;
            let last = said.last_snapshot();
            let least = samples.iter().rev().find(|(at, _)| last.is_some_and(|last| *at <= last));
            row.bounded += u32::from(least.is_some());
            let is_behind = least.is_some_and(|(_, least)| is_less(&found, least));
            row.behind += u32::from(is_behind);
            row.ahead += u32::from(is_less(&most, &found));
        } else {
            row.broken += 1;
            // Each broken file counts once.
            fs::remove_file(path).context("remove a broken profile")?;
        }
    } else if said.last_snapshot().is_some() {
        row.behind += 1;
    }
    if witness.monitor.status()? != "running" {
        row.paused += 1;
        witness.monitor.execute("cont", &json!({}))?;
    }
    Ok(())
}

/// Whether any counter is smaller, or there are fewer.
fn is_less(these: &[u64], than: &[u64]) -> bool {
    these.len() != than.len() || these.iter().zip(than).any(|(this, than)| this < than)
}

/// The counters of a profile, in the order in which memory has them.
fn counters(path: &Path) -> Result<Vec<u64>> {
    let bytes = fs::read(path).context("read a profile")?;
    let parts = RawParts::of(&bytes)?;
    Ok(numbers(bytes.get(parts.counters).unwrap_or_default()))
}

/// LLVM's own opinion.
fn valid(profraw: &Path) -> Result<bool> {
    let mut command = Command::new(tool("llvm-profdata-19")?);
    Ok(child::output(command.arg("show").arg(profraw))?.status.success())
}

/// What killed runs left behind must not keep the next one from its work.
fn record_well(covtap: &Path, elf: &Path, row: &Row) -> Result<()> {
    row.profile()?.map(fs::remove_file).transpose().context("remove a profile")?;
    child::run_well(record(covtap, elf, row).args(["--snapshots", "3", "--quiet"]).stderr(Stdio::inherit()))?;
    let profile = row.profile()?.context("no profile was written")?;
    ensure!(valid(&profile)?, "no valid profile was written");
    Ok(())
}

fn summarise(rows: &[Row]) -> Result<Outcome> {
    println!(
        "{:7}{:8}{:>6}{:>13}{:>10}{:>8}{:>8}{:>7}{:>8}{:>17}{:>19}",
        "mode",
        "link",
        "runs",
        "had written",
        "compared",
        "broken",
        "behind",
        "ahead",
        "failed",
        "files left over",
        "guest left paused"
    );
    for row in rows {
        let [flag, _] = &row.target;
        let Row { mode, runs, wrote, bounded, failed, broken, behind, ahead, paused, .. } = row;
        let leftovers = row.leftovers()?;
        println!(
            "{mode:7}{flag:8}{runs:>6}{wrote:>13}{bounded:>10}{broken:>8}{behind:>8}{ahead:>7}{failed:>8}{leftovers:>17}\
             {paused:>19}"
        );
    }
    println!(
        "behind: more than the snapshot at work is missing; ahead: there is more than the guest counted"
    );
    println!("a killed client of a GDB server cannot resume the guest; --qemu never stops it");
    let bad: u32 = rows.iter().map(Row::bad).sum();
    Ok(if bad == 0 { Outcome::Passed } else { Outcome::Failed })
}
