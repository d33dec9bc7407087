//! `cargo xtask bench process`: how much slower a server of this host is while covtap takes 10 snapshots a second of it,
//! and whether what covtap reads when the load has stopped is what the server writes itself when it ends.
//!
//! The server is nginx, from Debian's source package, with clang's coverage; what is tapped is its worker, a forked
//! process. wrk asks it for one small file, over 127.0.0.1, without a break. Short windows with covtap at work and with
//! covtap stopped by a signal follow one another, in alternating order: what this measures is small, and a virtual
//! machine's speed varies by more than that from second to second. How many requests there were the server tells. Each pair
//! of windows gives two ratios: of requests in a second, and of requests in a second of the worker's processor time, which
//! leaves out who else had the processors. The worker has the second processor for its own and wrk the first, since their
//! speed varies by half with where they are; covtap may use any.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use covtap_testbed::tool;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::disturbance::{is_snapshot, processor_time, wait_for_snapshot};
use crate::child::Group;
use crate::figures::{median, quartiles, standard_error, three_digits};
use crate::{Outcome, child, covtap};

mod nginx;

use nginx::Server;

/// Arguments of `cargo xtask bench process`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs of windows
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pairs: u32,
    /// Length of a window, in milliseconds
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(100..=10_000))]
    window_ms: u64,
    /// Milliseconds from one snapshot to the next
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    every_ms: u64,
    /// Have the profile kept up to date in place (%c): without, each snapshot goes to the disk before the next
    #[arg(long)]
    in_place: bool,
}

/// A server that does not do what it is to do within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it has.
const TICK: Duration = Duration::from_millis(10);

/// How long the server's speed is left to change before a window begins.
const SETTLE: Duration = Duration::from_millis(100);

/// The server's speed in one window.
#[derive(Clone, Copy, Debug)]
struct Speed {
    requests_per_s: f64,
    requests_per_processor_s: f64,
}

/// A window with covtap stopped and one with covtap at work.
#[derive(Clone, Copy, Debug)]
struct Pair {
    alone: Speed,
    tapped: Speed,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let program = nginx::build()?;
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let server = Server::start(&program, dir.path())?;
    let bench = Bench { args, covtap, program, dir: dir.path(), server };
    print(&bench.windows()?).context("nothing was measured")?;
    bench.compare_at_rest()?;
    Ok(Outcome::Passed)
}

fn print(pairs: &[Pair]) -> Option<()> {
    let of = |value: fn(&Pair) -> f64| median(pairs.iter().map(value)).map(three_digits);
    println!(
        "medians of {} pairs: {} requests/s alone, {} tapped",
        pairs.len(),
        of(|pair| pair.alone.requests_per_s)?,
        of(|pair| pair.tapped.requests_per_s)?
    );
    for (what, value) in [
        ("the server's speed while tapped, of its speed alone", requests_per_s as fn(&Speed) -> f64),
        ("the same for its processor time", |speed| speed.requests_per_processor_s),
    ] {
        let ratios: Vec<f64> = pairs.iter().map(|pair| value(&pair.tapped) / value(&pair.alone)).collect();
        let [low, middle, high] = quartiles(&ratios)?;
        let total = |of: fn(&Pair) -> Speed| pairs.iter().map(|pair| value(&of(pair))).sum::<f64>();
        println!(
            "{what}: {middle:.3} (half of the pairs: {low:.3} to {high:.3}; of all windows together: {:.3}, give or take \
             {:.3}; goal 0.98)",
            total(|pair| pair.tapped) / total(|pair| pair.alone),
            standard_error(&ratios)?
        );
    }
    Some(())
}

fn requests_per_s(speed: &Speed) -> f64 {
    speed.requests_per_s
}

struct Bench<'a> {
    args: &'a Args,
    covtap: PathBuf,
    program: PathBuf,
    dir: &'a Path,
    server: Server,
}

impl Bench<'_> {
    /// The server under load, in windows with covtap stopped and at work.
    fn windows(&self) -> Result<Vec<Pair>> {
        let name = if self.args.in_place { "%cloaded.profraw" } else { "loaded.profraw" };
        let mut command = self.covtap("record", &self.dir.join(name));
        let mut record = Group::spawn(command.args(["--every", &format!("{}ms", self.args.every_ms)]))?;
        let status = child::lines(record.stderr()?);
        wait_for_snapshot(&status)?;
        let _load = self.load()?;
        let (mut pairs, mut snapshots) = (Vec::new(), 0);
        for pair in 0..self.args.pairs {
            let tapped_first = pair % 2 == 0;
            let mut window = |is_tapped: bool| {
                record.signal(if is_tapped { Signal::SIGCONT } else { Signal::SIGSTOP })?;
                child::sleep(SETTLE)?;
                let _ = status.try_iter().count();
                let speed = self.speed()?;
                snapshots += status.try_iter().filter(|line| is_snapshot(line)).count();
                Ok::<Speed, anyhow::Error>(speed)
            };
            let (first, second) = (window(tapped_first)?, window(!tapped_first)?);
            let (alone, tapped) = if tapped_first { (second, first) } else { (first, second) };
            pairs.push(Pair { alone, tapped });
        }
        record.signal(Signal::SIGCONT)?;
        record.signal(Signal::SIGINT)?;
        let ended = record.wait()?;
        if !ended.success() {
            bail!("covtap ended with {ended}: {}", status.try_iter().collect::<Vec<_>>().join("\n"));
        }
        println!("{snapshots} snapshots in {} windows of {} ms", pairs.len(), self.args.window_ms);
        Ok(pairs)
    }

    /// Has wrk ask the server for as long as the handle lives.
    fn load(&self) -> Result<Group> {
        let mut wrk = Command::new(tool("taskset")?);
        wrk.args(["--cpu-list", "0"]).arg(tool("wrk")?).args(["-t1", "-c16", "-d1000000s"]);
        wrk.arg(self.server.url()).stdout(Stdio::null());
        let load = Group::spawn(&mut wrk)?;
        let before = self.server.requests()?;
        wait_until("wrk asks the server", || Ok((self.server.requests()? > before + 1000).then_some(())))?;
        Ok(load)
    }

    /// The server's speed in one window.
    fn speed(&self) -> Result<Speed> {
        let worker = u32::try_from(self.server.worker()).context("a process id")?;
        let (started, requests, processor) =
            (Instant::now(), self.server.requests()?, processor_time(worker)?);
        child::sleep(Duration::from_millis(self.args.window_ms))?;
        let (elapsed, requests, processor) = (
            started.elapsed(),
            self.server.requests()? - requests,
            processor_time(worker)?.saturating_sub(processor),
        );
        ensure!(
            requests > 0 && !processor.is_zero(),
            "the server did nothing for {} ms",
            elapsed.as_millis()
        );
        // A window has at most some hundred thousand requests.
        #[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
        let requests = requests as f64;
        Ok(Speed {
            requests_per_s: requests / elapsed.as_secs_f64(),
            requests_per_processor_s: requests / processor.as_secs_f64(),
        })
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
