//! `cargo xtask bench disturbance`: how much slower a guest is while covtap takes 100 snapshots a second of it.
//!
//! The guest counts its own loops in a word of memory. Windows with and without covtap follow one another, in
//! alternating order, and each pair gives two ratios: of loops in a second, which is what a user sees and what
//! everything else on the machine sees to as well, and of loops in a second of QEMU's processor time, which
//! leaves out who else had the processors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use nix::sys::signal::Signal;
use object::{Object, ObjectSymbol};
use tempfile::TempDir;

use crate::figures::{median, quartiles, three_digits};
use crate::{Outcome, child, covtap};

/// Arguments of `cargo xtask bench disturbance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs of windows
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Length of a window, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    window_s: u64,
}

/// A guest or a covtap that does not come up within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// The guest's speed in one window.
#[derive(Clone, Copy, Debug)]
struct Speed {
    loops_per_s: f64,
    /// Loops in a second of the time that QEMU's threads had a processor.
    loops_per_processor_s: f64,
}

/// One window with covtap at work.
#[derive(Debug)]
struct Recorded {
    speed: Speed,
    snapshots_per_s: f64,
    /// Snapshots whose status line tells another pause than 0.
    paused: usize,
}

/// What all pairs gave.
#[derive(Default, Debug)]
struct Figures {
    ratios: Vec<f64>,
    processor_ratios: Vec<f64>,
    snapshots_per_s: Vec<f64>,
    paused: usize,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut bench = Bench::start(Duration::from_secs(args.window_s))?;
    let mut figures = Figures::default();
    println!(
        "{:>5}{:>16}{:>16}{:>9}{:>20}{:>14}{:>9}",
        "pair", "alone loops/s", "tapped loops/s", "ratio", "per processor time", "snapshots/s", "paused"
    );
    for pair in 0..args.pairs {
        let (alone, tapped) = bench.pair(pair % 2 == 1)?;
        figures.add(pair + 1, alone, &tapped);
    }
    figures.print().context("nothing was measured")?;
    println!("QEMU's query-status: {}, STOP events: {}", bench.monitor.status()?, bench.stops());
    Ok(Outcome::Passed)
}

impl Figures {
    fn add(&mut self, pair: u32, alone: Speed, tapped: &Recorded) {
        let ratio = tapped.speed.loops_per_s / alone.loops_per_s;
        let processor_ratio = tapped.speed.loops_per_processor_s / alone.loops_per_processor_s;
        println!(
            "{pair:>5}{:>16.0}{:>16.0}{ratio:>9.3}{processor_ratio:>20.3}{:>14.1}{:>9}",
            alone.loops_per_s, tapped.speed.loops_per_s, tapped.snapshots_per_s, tapped.paused
        );
        self.ratios.push(ratio);
        self.processor_ratios.push(processor_ratio);
        self.snapshots_per_s.push(tapped.snapshots_per_s);
        self.paused += tapped.paused;
    }

    fn print(&self) -> Option<()> {
        let [low, middle, high] = quartiles(&self.ratios)?;
        println!(
            "\nguest's speed while tapped, of its speed alone: {middle:.3} (half of the pairs: {low:.3} to {high:.3})"
        );
        let [low, middle, high] = quartiles(&self.processor_ratios)?;
        println!(
            "the same for QEMU's processor time: {middle:.3} (half of the pairs: {low:.3} to {high:.3})"
        );
        println!("snapshots per second: {}", three_digits(median(self.snapshots_per_s.iter().copied())?));
        println!("snapshots with a pause, as covtap reports: {}", self.paused);
        Some(())
    }
}

struct Bench {
    window: Duration,
    covtap: PathBuf,
    elf: PathBuf,
    loops: Loops,
    dir: TempDir,
    monitor: Monitor,
    guest: Guest,
}

impl Bench {
    fn start(window: Duration) -> Result<Self> {
        let covtap = covtap::build()?;
        let elf = fixture("x86-pvh/spin.elf");
        let loops = Loops::of(&elf)?;
        let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
        let guest = Guest::builder(Machine::X86Pvh, &elf).start()?;
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase"))?;
        let monitor = Monitor::connect(guest.control())?;
        Ok(Self { window, covtap, elf, loops, dir, monitor, guest })
    }

    /// One window alone and one tapped, in this order or in the other.
    fn pair(&mut self, tapped_first: bool) -> Result<(Speed, Recorded)> {
        if tapped_first {
            let tapped = self.tapped()?;
            return Ok((self.speed()?, tapped));
        }
        let alone = self.speed()?;
        Ok((alone, self.tapped()?))
    }

    /// The guest's speed over a window that begins now.
    fn speed(&mut self) -> Result<Speed> {
        let (start, before) = (Instant::now(), self.loops.read(&mut self.monitor)?);
        let processor_before = processor_time(self.guest.pid())?;
        child::sleep(self.window)?;
        let (elapsed, after) = (start.elapsed(), self.loops.read(&mut self.monitor)?);
        let processor = processor_time(self.guest.pid())?.saturating_sub(processor_before);
        // Counts of a few minutes are far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let loops = after.wrapping_sub(before) as f64;
        Ok(Speed {
            loops_per_s: loops / elapsed.as_secs_f64(),
            loops_per_processor_s: loops / processor.as_secs_f64(),
        })
    }

    fn tapped(&mut self) -> Result<Recorded> {
        let mut command = Command::new(&self.covtap);
        command
            .arg("record")
            .arg("--qemu")
            .arg(self.guest.qmp())
            .arg(&self.elf)
            .args(["--every", "10ms", "-o"]);
        command.arg(self.dir.path().join("spin.profraw")).stderr(Stdio::piped());
        let mut group = child::Group::spawn(&mut command)?;
        let status = child::lines(group.stderr()?);
        wait_for_snapshot(&status)?;
        let speed = self.speed()?;
        let lines: Vec<String> = status.try_iter().filter(|line| is_snapshot(line)).collect();
        group.signal(Signal::SIGINT)?;
        let ended = group.wait()?;
        if !ended.success() {
            bail!("covtap ended with {ended}: {}", status.try_iter().collect::<Vec<_>>().join("\n"));
        }
        // A window has at most some ten thousand snapshots.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let snapshots_per_s = lines.len() as f64 / self.window.as_secs_f64();
        let paused = lines.iter().filter(|line| !line.contains("pause 0")).count();
        Ok(Recorded { speed, snapshots_per_s, paused })
    }

    fn stops(&self) -> usize {
        self.monitor.events().iter().filter(|event| *event == "STOP").count()
    }
}

/// The time that all threads of a process had a processor: the first number, in nanoseconds, of each schedstat
/// (Linux, Documentation/scheduler/sched-stats.rst).
pub(super) fn processor_time(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut total_ns = 0;
    for task in std::fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
        // A thread that ended meanwhile had next to no time.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let ns: u64 = stat.split(' ').next().and_then(|ns| ns.parse().ok()).context("read schedstat")?;
        total_ns += ns;
    }
    anyhow::ensure!(total_ns > 0, "this kernel keeps no processor times in {tasks}");
    Ok(Duration::from_nanos(total_ns))
}

/// Whether a line of status is about a snapshot.
pub(super) fn is_snapshot(line: &str) -> bool {
    line.starts_with("snapshot ")
}

/// Waits until there is a snapshot.
pub(super) fn wait_for_snapshot(status: &Receiver<String>) -> Result<()> {
    let mut said = Vec::new();
    while let Ok(line) = status.recv_timeout(PATIENCE) {
        if is_snapshot(&line) {
            return Ok(());
        }
        said.push(line);
    }
    bail!("covtap took no snapshot; it said: {}", said.join("\n"))
}

/// The word in which the guest counts its loops.
#[derive(Debug)]
struct Loops {
    addr: u64,
}

impl Loops {
    /// Its symbol, `LOOPS`: 64 bits on this guest.
    fn of(elf: &Path) -> Result<Self> {
        let bytes = std::fs::read(elf).with_context(|| format!("read {}", elf.display()))?;
        let file = object::File::parse(bytes.as_slice())?;
        let symbol =
            file.symbol_by_name("LOOPS").with_context(|| format!("no LOOPS in {}", elf.display()))?;
        Ok(Self { addr: symbol.address() })
    }

    /// One read through the human monitor, which does not stop the guest: `000000000010a3c8: 0x0000000000004e20`
    fn read(&self, monitor: &mut Monitor) -> Result<u64> {
        let printed = monitor.human(&format!("xp /1gx {:#x}", self.addr))?;
        let word = printed.trim().rsplit_once("0x").map(|(_, word)| word);
        word.and_then(|word| u64::from_str_radix(word, 16).ok())
            .with_context(|| format!("xp printed {printed:?}"))
    }
}
