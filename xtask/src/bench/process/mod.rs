//! `cargo xtask bench process`: how much slower a server of this host is while covtap takes 10 snapshots a second of it,
//! and whether what covtap reads when the load has stopped is what the server writes itself when it ends.
//!
//! The server is nginx, from Debian's source package, with clang's coverage; what is tapped is its worker, a forked
//! process. wrk asks it for one small file, over 127.0.0.1. Windows with and without covtap follow one another, in
//! alternating order, and each pair gives two ratios: of requests in a second, and of requests in a second of the worker's
//! processor time, which leaves out who else had the processors. The worker has the second processor for its own and wrk the
//! first, since their speed varies by half with where they are; covtap may use any.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use covtap_testbed::tool;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::disturbance::{is_snapshot, processor_time, status_lines, wait_for_snapshot};
use crate::figures::{median, quartiles, three_digits};
use crate::{Outcome, child, covtap};

mod nginx;

use nginx::Server;

/// Arguments of `cargo xtask bench process`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs of windows
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Length of a window, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    window_s: u64,
    /// Have the profile kept up to date in place (%c): without, each snapshot goes to the disk before the next
    #[arg(long)]
    in_place: bool,
}

/// A server that does not do what it is to do within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it has.
const TICK: Duration = Duration::from_millis(10);

/// The server's speed in one window.
#[derive(Clone, Copy, Debug)]
struct Speed {
    requests_per_s: f64,
    requests_per_processor_s: f64,
}

/// One window with covtap at work.
#[derive(Clone, Copy, Debug)]
struct Tapped {
    speed: Speed,
    snapshots_per_s: f64,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let program = nginx::build()?;
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let server = Server::start(&program, dir.path())?;
    let bench =
        Bench { window_s: args.window_s, in_place: args.in_place, covtap, program, dir: dir.path(), server };
    println!(
        "{:>5}{:>20}{:>20}{:>9}{:>20}{:>14}",
        "pair", "alone requests/s", "tapped requests/s", "ratio", "per processor time", "snapshots/s"
    );
    let mut pairs = Vec::new();
    for pair in 1..=args.pairs {
        let (alone, tapped) = bench.pair(pair % 2 == 0)?;
        let [ratio, processor_ratio] = ratios(alone, tapped);
        println!(
            "{pair:>5}{:>20.0}{:>20.0}{ratio:>9.3}{processor_ratio:>20.3}{:>14.1}",
            alone.requests_per_s, tapped.speed.requests_per_s, tapped.snapshots_per_s
        );
        pairs.push((alone, tapped));
    }
    print(&pairs).context("nothing was measured")?;
    bench.compare_at_rest()?;
    Ok(Outcome::Passed)
}

/// The server's speed while tapped, of its speed alone: by the clock, and by its processor time.
fn ratios(alone: Speed, tapped: Tapped) -> [f64; 2] {
    let Tapped { speed, .. } = tapped;
    [
        speed.requests_per_s / alone.requests_per_s,
        speed.requests_per_processor_s / alone.requests_per_processor_s,
    ]
}

fn print(pairs: &[(Speed, Tapped)]) -> Option<()> {
    let of = |value: fn(&(Speed, Tapped)) -> f64| median(pairs.iter().map(value)).map(three_digits);
    println!(
        "\nmedians: {} requests/s alone, {} tapped, {} snapshots/s",
        of(|(alone, _)| alone.requests_per_s)?,
        of(|(_, tapped)| tapped.speed.requests_per_s)?,
        of(|(_, tapped)| tapped.snapshots_per_s)?
    );
    let all = pairs.iter().map(|(alone, tapped)| ratios(*alone, *tapped));
    let (ratios, processor_ratios): (Vec<_>, Vec<_>) =
        all.map(|[clock, processor]| (clock, processor)).unzip();
    for (what, ratios) in [
        ("the server's speed while tapped, of its speed alone", ratios),
        ("the same for its processor time", processor_ratios),
    ] {
        let [low, middle, high] = quartiles(&ratios)?;
        println!("{what}: {middle:.3} (half of the pairs: {low:.3} to {high:.3}; goal 0.98)");
    }
    Some(())
}

struct Bench<'a> {
    window_s: u64,
    in_place: bool,
    covtap: PathBuf,
    program: PathBuf,
    dir: &'a Path,
    server: Server,
}

impl Bench<'_> {
    /// One window alone and one tapped, in this order or in the other.
    fn pair(&self, tapped_first: bool) -> Result<(Speed, Tapped)> {
        if tapped_first {
            let tapped = self.tapped()?;
            return Ok((self.speed()?, tapped));
        }
        let alone = self.speed()?;
        Ok((alone, self.tapped()?))
    }

    /// Loads the server for a window.
    fn speed(&self) -> Result<Speed> {
        let worker = u32::try_from(self.server.worker()).context("a process id")?;
        let before = processor_time(worker)?;
        let mut wrk = Command::new(tool("taskset")?);
        wrk.args(["--cpu-list", "0"]).arg(tool("wrk")?).args([
            "-t1",
            "-c16",
            &format!("-d{}s", self.window_s),
            &self.server.url(),
        ]);
        let printed = child::capture(&mut wrk)?;
        ensure!(!printed.contains("Non-2xx") && !printed.contains("Socket errors"), "wrk: {printed}");
        let line = printed.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        let requests_per_s: f64 = line
            .and_then(|number| number.trim().parse().ok())
            .with_context(|| format!("wrk printed {printed:?}"))?;
        let processor = processor_time(worker)?.saturating_sub(before);
        // A window has few seconds.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let requests = requests_per_s * self.window_s as f64;
        Ok(Speed { requests_per_s, requests_per_processor_s: requests / processor.as_secs_f64() })
    }

    fn covtap(&self, verb: &str, output: &Path) -> Command {
        let mut command = Command::new(&self.covtap);
        command
            .args([verb, "--pid", &self.server.worker().to_string()])
            .arg(&self.program)
            .arg("-o")
            .arg(output);
        command.stderr(Stdio::piped());
        command
    }

    fn tapped(&self) -> Result<Tapped> {
        let name = if self.in_place { "%cloaded.profraw" } else { "loaded.profraw" };
        let mut command = self.covtap("record", &self.dir.join(name));
        let mut group = child::Group::spawn(command.args(["--every", "100ms"]))?;
        let status = status_lines(group.stderr()?);
        wait_for_snapshot(&status)?;
        let speed = self.speed()?;
        let snapshots = status.try_iter().filter(|line| is_snapshot(line)).count();
        group.signal(Signal::SIGINT)?;
        let ended = group.wait()?;
        if !ended.success() {
            bail!("covtap ended with {ended}: {}", status.try_iter().collect::<Vec<_>>().join("\n"));
        }
        // A window has at most some thousand snapshots.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let snapshots_per_s = snapshots as f64 / self.window_s as f64;
        Ok(Tapped { speed, snapshots_per_s })
    }

    /// Compares what covtap reads of the worker with what the worker writes when it ends.
    fn compare_at_rest(&self) -> Result<()> {
        let tapped = self.at_rest()?;
        let worker = Pid::from_raw(self.server.worker());
        kill(worker, Signal::SIGPWR).context("let the worker end")?;
        wait_until("the worker ends", || Ok(kill(worker, None).is_err().then_some(())))?;
        let own = text(&self.server.profile())?;
        ensure!(own == tapped, "covtap's counts at rest are not those that the server wrote");
        let counters = own.lines().filter(|line| line.parse::<u64>().is_ok()).count();
        println!(
            "at rest: covtap's counts are those that the server wrote when it ended ({counters} numbers compared)"
        );
        Ok(())
    }

    /// The profile in LLVM's text form, once two in a row are the same.
    fn at_rest(&self) -> Result<String> {
        let path = self.dir.join("rest.profraw");
        let mut previous = String::new();
        wait_until("the server comes to rest", || {
            let output = self.covtap("snapshot", &path).output().context("start covtap")?;
            ensure!(output.status.success(), "covtap: {}", String::from_utf8_lossy(&output.stderr).trim());
            let now = text(&path)?;
            std::fs::remove_file(&path).context("remove the profile")?;
            let is_same = now == previous;
            previous = now;
            Ok(is_same.then(|| previous.clone()))
        })
    }
}

fn text(profile: &Path) -> Result<String> {
    let mut command = Command::new(tool("llvm-profdata-19")?);
    child::capture(command.args(["merge", "--text", "-o", "-"]).arg(profile))
}

/// Looks until there is something, and not longer than [`PATIENCE`].
fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited {} s: {what}", PATIENCE.as_secs());
        child::sleep(TICK)?;
    }
}
