//! `cargo xtask bench disturbance`: how much slower a guest is while covtap takes 100 snapshots a second of it.
//!
//! The guest counts its own loops in a word of memory. Windows with and without covtap follow one another, in
//! alternating order, and each pair gives one ratio. The machine's processors serve both QEMU and covtap.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use nix::sys::signal::Signal;
use object::{Object, ObjectSymbol};
use tempfile::TempDir;

use super::figures::{median, three_digits};
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

/// One window with covtap at work.
#[derive(Debug)]
struct Recorded {
    loops_per_s: f64,
    snapshots_per_s: f64,
    /// Snapshots whose status line tells another pause than 0.
    paused: usize,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut bench = Bench::start(Duration::from_secs(args.window_s))?;
    println!(
        "{:>5}{:>16}{:>16}{:>9}{:>14}{:>9}",
        "pair", "alone loops/s", "tapped loops/s", "ratio", "snapshots/s", "paused"
    );
    let (mut ratios, mut rates, mut paused) = (Vec::new(), Vec::new(), 0);
    for pair in 0..args.pairs {
        let (alone, tapped) = bench.pair(pair % 2 == 1)?;
        let ratio = tapped.loops_per_s / alone;
        let (rate, pauses) = (tapped.snapshots_per_s, tapped.paused);
        println!(
            "{:>5}{alone:>16.0}{:>16.0}{ratio:>9.4}{rate:>14.1}{pauses:>9}",
            pair + 1,
            tapped.loops_per_s
        );
        ratios.push(ratio);
        rates.push(rate);
        paused += pauses;
    }
    let ratio = median(ratios).context("nothing was measured")?;
    let rate = median(rates).context("nothing was measured")?;
    println!("\nguest's speed while tapped: {ratio:.4} of its speed alone (median of {} pairs)", args.pairs);
    println!("snapshots per second: {} (median)", three_digits(rate));
    println!("snapshots with a pause, as covtap reports: {paused}");
    println!("QEMU's query-status: {}, STOP events: {}", bench.monitor.status()?, bench.stops());
    Ok(Outcome::Passed)
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
    fn pair(&mut self, tapped_first: bool) -> Result<(f64, Recorded)> {
        if tapped_first {
            let tapped = self.tapped()?;
            return Ok((self.loops_per_s()?, tapped));
        }
        let alone = self.loops_per_s()?;
        Ok((alone, self.tapped()?))
    }

    /// The guest's speed over a window that begins now.
    fn loops_per_s(&mut self) -> Result<f64> {
        let (start, before) = (Instant::now(), self.loops.read(&mut self.monitor)?);
        child::sleep(self.window)?;
        let (elapsed, after) = (start.elapsed(), self.loops.read(&mut self.monitor)?);
        // Counts of a few minutes are far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let loops = after.wrapping_sub(before) as f64;
        Ok(loops / elapsed.as_secs_f64())
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
        let status = status_lines(group.stderr()?);
        wait_for_snapshot(&status)?;
        let loops_per_s = self.loops_per_s()?;
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
        Ok(Recorded { loops_per_s, snapshots_per_s, paused })
    }

    fn stops(&self) -> usize {
        self.monitor.events().iter().filter(|event| *event == "STOP").count()
    }
}

fn status_lines(stderr: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn is_snapshot(line: &str) -> bool {
    line.starts_with("snapshot ")
}

fn wait_for_snapshot(status: &Receiver<String>) -> Result<()> {
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
