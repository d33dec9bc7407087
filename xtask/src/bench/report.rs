//! `cargo xtask bench report`: from a raw profile to an lcov trace, beside LLVM's own tools.
//!
//! What is reported is covtap's own library, its unit tests and all its dependencies, instrumented, of which the
//! tests ran. LLVM's way is `llvm-profdata merge` and then `llvm-cov export --format=lcov`: their times add up, and of
//! their peaks of memory the larger one counts.
//!
//! What always holds: both write the same trace, byte for byte, or there are no figures.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use covtap_testbed::{tool, workspace_root};
use serde_json::Value;
use tempfile::TempDir;
use wait4::Wait4;

use crate::figures::{median, median_ratio, median_time, three_digits, time};
use crate::{Outcome, child, covtap};

/// Arguments of `cargo xtask bench report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many turns each way gets
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// What one way took, turn by turn.
#[derive(Default, Debug)]
struct Costs {
    times: Vec<Duration>,
    peaks_mib: Vec<f64>,
}

/// Measures and prints the table.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let program = instrumented_tests()?;
    let covtap = covtap::build()?;
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let profile = dir.path().join("tests.profraw");
    run_tests(&program, &profile)?;
    describe(&program, &profile)?;
    let bench = Bench { covtap, program, profile, dir };
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    for round in 1..=args.rounds {
        bench.turn(&mut ours, &mut theirs)?;
        eprintln!("turn {round} of {} done", args.rounds);
    }
    print(&ours, &theirs).context("there was no turn")?;
    Ok(Outcome::Passed)
}

struct Bench {
    covtap: PathBuf,
    program: PathBuf,
    profile: PathBuf,
    dir: TempDir,
}

impl Bench {
    /// Both ways once, and the traces compared.
    fn turn(&self, ours: &mut Costs, theirs: &mut Costs) -> Result<()> {
        let [lcov, their_lcov, indexed] =
            ["ours.info", "theirs.info", "tests.profdata"].map(|name| self.dir.path().join(name));
        let mut report = Command::new(&self.covtap);
        report.args(["report".as_ref(), "--lcov".as_ref(), lcov.as_os_str()]);
        report.args([&self.program, &self.profile]);
        let (took, peak) = measure(&mut report)?;
        ours.times.push(took);
        ours.peaks_mib.push(peak);

        let mut merge = Command::new(tool("llvm-profdata-19")?);
        merge.args(["merge".as_ref(), "-o".as_ref(), indexed.as_os_str(), self.profile.as_os_str()]);
        let (merging, merge_peak) = measure(&mut merge)?;
        let mut export = Command::new(tool("llvm-cov-19")?);
        export.args(["export", "--format=lcov", "--instr-profile"]).args([&indexed, &self.program]);
        let out = File::create(&their_lcov).with_context(|| format!("make {}", their_lcov.display()))?;
        let (exporting, export_peak) = measure(export.stdout(out))?;
        theirs.times.push(merging + exporting);
        theirs.peaks_mib.push(merge_peak.max(export_peak));

        ensure!(
            are_equal(&lcov, &their_lcov)?,
            "covtap's trace of {} is not llvm-cov's",
            self.program.display()
        );
        Ok(())
    }
}

/// Compares files piece by piece: a process starts with the peak of memory of the one that started it.
fn are_equal(one: &Path, other: &Path) -> Result<bool> {
    let open = |path: &Path| -> Result<_> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(BufReader::new(file).bytes())
    };
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one != other => return Ok(false),
            _ => {}
        }
    }
}

/// How long a command takes, and the most memory that it has at a time, in MiB.
fn measure(command: &mut Command) -> Result<(Duration, f64)> {
    child::go_on()?;
    let shown = child::show(command);
    let start = Instant::now();
    let process =
        command.stdin(Stdio::null()).spawn().with_context(|| format!("could not start `{shown}`"))?;
    let ended = process.wait4().with_context(|| format!("wait for `{shown}`"))?;
    let took = start.elapsed();
    ensure!(ended.status.success(), "`{shown}` ended with {}", ended.status);
    #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
    let peak = ended.rusage.maxrss as f64 / f64::from(1 << 20);
    Ok((took, peak))
}

/// Builds the tests of covtap's library, with all that they stand on, instrumented.
fn instrumented_tests() -> Result<PathBuf> {
    let mut command = child::cargo(["test", "--no-run", "--package", "covtap", "--lib"]);
    command.arg("--target-dir").arg(workspace_root().join("target/instrumented"));
    command.env("RUSTFLAGS", "-Cinstrument-coverage");
    println!("$ {}", child::show(&command));
    // What the build itself runs, macros and build scripts, need not leave profiles about.
    command.arg("--message-format=json-render-diagnostics").env("LLVM_PROFILE_FILE", "/dev/null");
    let messages = child::capture(&mut command)?;
    messages.lines().find_map(test_program).context("cargo did not say where it put the tests")
}

/// The program's path in one of cargo's messages, if it is about the library's tests.
fn test_program(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message.get("profile")?.get("test")?.as_bool()?;
    (is_test && message.get("target")?.get("name")?.as_str()? == "covtap").then_some(())?;
    message.get("executable")?.as_str().map(PathBuf::from)
}

fn run_tests(program: &Path, profile: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command
        .arg("--quiet")
        .current_dir(workspace_root())
        .env("LLVM_PROFILE_FILE", profile)
        .stdout(Stdio::null());
    child::run_well(&mut command)
}

fn describe(program: &Path, profile: &Path) -> Result<()> {
    let len_mib = |path: &Path| -> Result<u64> {
        Ok(fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.len() >> 20)
    };
    println!(
        "program: covtap's unit tests, {} MiB; raw profile: {} MiB",
        len_mib(program)?,
        len_mib(profile)?
    );
    Ok(())
}

fn print(ours: &Costs, theirs: &Costs) -> Option<()> {
    let peak = |costs: &Costs| median(costs.peaks_mib.iter().copied());
    println!("{:<46} {:>9} {:>9}", "from profile to lcov trace, the same bytes", "time", "peak MiB");
    for (way, costs) in
        [("covtap report --lcov", ours), ("llvm-profdata-19 merge, llvm-cov-19 export", theirs)]
    {
        println!("{way:<46} {:>9} {:>9}", time(median_time(&costs.times)?), three_digits(peak(costs)?));
    }
    let faster = median_ratio(&theirs.times, &ours.times)?;
    println!("covtap is {} times faster (goal 5)", three_digits(faster));
    println!("covtap's peak is {} of LLVM's (goal 0.5)", three_digits(peak(ours)? / peak(theirs)?));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_are_found_among_cargos_messages() {
        let library = r#"{"target":{"name":"covtap"},"profile":{"test":false},"executable":null}"#;
        let other = r#"{"target":{"name":"demo"},"profile":{"test":true},"executable":"/t/demo"}"#;
        let tests = r#"{"target":{"name":"covtap"},"profile":{"test":true},"executable":"/t/covtap-1"}"#;
        assert_eq!([library, other, "{}"].map(test_program), [None, None, None]);
        assert_eq!(test_program(tests), Some("/t/covtap-1".into()));
    }
}
