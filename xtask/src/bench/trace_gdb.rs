//! `cargo xtask bench trace-gdb`: what `covtap trace` does to the speed of a running guest, and how fast it steps.
//!
//! The guest counts its turns in a word of memory, and a timer of its machine counts down; both are read through a second
//! monitor. Windows with covtap lie between two without; steps are taken in turns with GDB's own `stepi`.
//!
//! Turns are set against QEMU's processor time, which leaves out who else had the processors. Time in which the guest was
//! halted is none of it: how much that was says the timer, which then stands still, against the host's clock.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use covtap_testbed::{self as testbed, GdbSocket, Guest, Machine, Monitor};
use nix::sys::signal::Signal;
use object::{Object, ObjectSymbol};
use tempfile::TempDir;

use super::disturbance::processor_time;
use crate::figures::{median, three_digits};
use crate::{Outcome, child, covtap};

/// Arguments of `cargo xtask bench trace-gdb`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Length of a window, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    window_s: u64,
    /// How long breakpoints may take to meet all that runs, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    settle_s: u64,
}

/// How a guest is traced, how much of its speed is left at least, and for how much of the time it stands still at most.
const METHODS: [(&str, &str, &str); 3] =
    [("log", "", ""), ("breakpoints", "0.98", ""), ("sample", "", "5.0 %")];

/// The value of the machine's timer, and how often a second it counts.
const TIMER_AT: u64 = 0x4000_0004;
const TIMER_HZ: f64 = 25e6;

/// What happened in a window.
#[derive(Clone, Copy)]
struct Window {
    turns_per_s: f64,
    halted: f64,
}

/// How often GDB steps.
const GDB_STEPS: u32 = 300;

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut bench = Bench::new(args)?;
    let mut windows: [Vec<Window>; METHODS.len()] = Default::default();
    let (mut steps, mut gdb_steps, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..args.turns {
        println!("turn {} of {}", turn + 1, args.turns);
        for ((method, ..), windows) in METHODS.iter().zip(&mut windows) {
            windows.push(bench.window_with(method)?);
        }
        let (ours, theirs) = (bench.steps()?, bench.gdb_steps()?);
        steps.push(ours);
        gdb_steps.push(theirs);
        ratios.push(ours / theirs);
    }
    let of =
        |values: &[f64]| median(values.iter().copied()).map(three_digits).context("nothing was measured");
    println!("{:<14}{:>18}{:>8}{:>20}{:>8}", "", "of its speed", "goal", "stands still", "goal");
    for ((method, least, most), windows) in METHODS.iter().zip(&windows) {
        let of =
            |value: fn(&Window) -> f64| median(windows.iter().map(value)).context("nothing was measured");
        let (speed, halted) = (of(|window| window.turns_per_s)?, of(|window| window.halted)? * 100.0);
        println!("{method:<14}{speed:>18.3}{least:>8}{halted:>18.1} %{most:>8}");
    }
    println!("{:<40}{:>10}", "steps a second", of(&steps)?);
    println!("{:<40}{:>10}", "steps a second, gdb's stepi", of(&gdb_steps)?);
    println!("{:<40}{:>10}{:>8}", "ratio", of(&ratios)?, "8");
    Ok(Outcome::Passed)
}

struct Bench {
    covtap: PathBuf,
    guest: Guest,
    monitor: Monitor,
    elf: PathBuf,
    turns_at: u64,
    window: Duration,
    settle: Duration,
    dir: TempDir,
}

impl Bench {
    fn new(args: &Args) -> Result<Self> {
        let covtap = covtap::build()?;
        let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
        let elf = build(dir.path())?;
        let turns_at = symbol(&elf, "turns")?;
        let guest = Guest::builder(Machine::An385, &elf).start()?;
        let monitor = Monitor::connect(guest.control())?;
        let (window, settle) = (Duration::from_secs(args.window_s), Duration::from_secs(args.settle_s));
        Ok(Self { covtap, guest, monitor, elf, turns_at, window, settle, dir })
    }

    /// A window of now: turns a second of processor time.
    fn window(&mut self) -> Result<Window> {
        let (since, before) = (Instant::now(), (self.word(self.turns_at)?, self.word(TIMER_AT)?));
        let used = processor_time(self.guest.pid())?;
        child::sleep(self.window)?;
        let used = processor_time(self.guest.pid())?.saturating_sub(used);
        let (after, elapsed) = ((self.word(self.turns_at)?, self.word(TIMER_AT)?), since.elapsed());
        let ran_s = f64::from(before.1.wrapping_sub(after.1)) / TIMER_HZ;
        let turns_per_s = f64::from(after.0.wrapping_sub(before.0)) / used.as_secs_f64();
        Ok(Window { turns_per_s, halted: 1.0 - ran_s / elapsed.as_secs_f64() })
    }

    fn word(&mut self, at: u64) -> Result<u32> {
        let bytes = self.monitor.physical_memory(at, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().ok().context("four bytes")?))
    }

    /// A window in which it is traced: its speed is that of what is had before and after.
    fn window_with(&mut self, method: &str) -> Result<Window> {
        let before = self.window()?;
        let mut command = self.trace(method);
        let mut group = child::Group::spawn(command.stderr(Stdio::piped()))?;
        let mut said = BufReader::new(group.stderr()?).lines();
        // The pipe is large enough for what else it says.
        ensure!(said.any(|line| line.is_ok_and(|line| line.contains("tracing by"))), "covtap does not trace");
        child::sleep(self.settle)?;
        let with = self.window()?;
        group.signal(Signal::SIGINT)?;
        let ended = group.wait()?;
        if !ended.success() {
            bail!("covtap ended with {ended}");
        }
        let without = f64::midpoint(before.turns_per_s, self.window()?.turns_per_s);
        Ok(Window { turns_per_s: with.turns_per_s / without, ..with })
    }

    fn trace(&self, method: &str) -> Command {
        let mut command = Command::new(&self.covtap);
        command.arg("trace");
        match method {
            "log" => command.arg("--qemu").arg(self.guest.qmp()),
            _ => command.arg("--gdb").arg(self.guest.gdb().to_string()),
        };
        command.arg(&self.elf).args(["--method", method, "-o"]).arg(self.dir.path().join("trace"));
        command
    }

    /// How many steps covtap takes in a second.
    fn steps(&self) -> Result<f64> {
        let mut command = self.trace("step");
        let output = child::output(command.args(["--for", "3s"]))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let rate = said.split(" a second").next().and_then(|said| said.rsplit(' ').next());
        rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("covtap said {said:?}"))
    }

    /// How many GDB takes.
    fn gdb_steps(&self) -> Result<f64> {
        let server = match self.guest.gdb() {
            GdbSocket::Tcp(addr) => addr.to_string(),
            GdbSocket::Unix(path) => path.display().to_string(),
        };
        let script = format!(
            "import gdb, time\ngdb.execute('target remote {server}', to_string=True)\nstart = time.perf_counter()\n\
             for _ in range({GDB_STEPS}): gdb.execute('stepi', to_string=True)\n\
             print('rate', {GDB_STEPS} / (time.perf_counter() - start))\ngdb.execute('detach', to_string=True)\n"
        );
        let path = self.dir.path().join("steps.py");
        std::fs::write(&path, script).context("write GDB's script")?;
        let mut command = Command::new(testbed::tool("gdb-multiarch")?);
        let printed =
            child::capture(command.args(["-nx", "-quiet", "-batch", "-x"]).arg(&path).arg(&self.elf))?;
        let rate = printed.lines().find_map(|line| line.strip_prefix("rate ")?.parse().ok());
        rate.with_context(|| format!("gdb printed {printed:?}"))
    }
}

/// Builds the guest that goes round for ever.
fn build(dir: &Path) -> Result<PathBuf> {
    let tests = testbed::workspace_root().join("tests");
    let (object, elf) = (dir.join("guest.o"), dir.join("guest.elf"));
    let [source, object, shown] =
        [&tests.join("trace_gdb/guest.c"), &object, &elf].map(|path| path.display().to_string());
    let flags =
        ["-DCLOCK", "-mcpu=cortex-m3", "-std=c17", "-O1", "-ffreestanding", "-c", &source, "-o", &object];
    testbed::run("clang-19", ["--target=thumbv7m-none-eabi"].iter().chain(&flags))?;
    let script = format!("-T{}", tests.join("run/guest.x").display());
    testbed::run(
        "ld.lld-19",
        ["--build-id=sha1", "--nmagic", "--defsym=BASE=0", &script, "-o", &shown, &object],
    )?;
    Ok(elf)
}

fn symbol(elf: &Path, name: &str) -> Result<u64> {
    let bytes = std::fs::read(elf).context("read the guest's ELF")?;
    let file = object::File::parse(&*bytes).context("parse the guest's ELF")?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    Ok(symbol.with_context(|| format!("the guest has no symbol {name}"))?.address())
}
