//! `cargo xtask bench build`: what parts that may be left out cost: time to build covtap for release, from nothing, and how large
//! it is.
//!
//! Crates are fetched before. Wall time depends on the machine's processors; processor time is that of cargo and all that it
//! starts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use wait4::Wait4;

use crate::figures::{three_digits, time};
use crate::{Outcome, child};

/// Arguments of `cargo xtask bench build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What is built, by the features that it has.
const BUILDS: [(&str, &str); 3] = [
    ("without", ""),
    ("with disassembly", "disassembly"),
    ("with disassembly and probe", "disassembly,probe"),
];

/// Builds, and prints.
pub(super) fn run(_: &Args) -> Result<Outcome> {
    child::run_well(&mut child::cargo(["fetch", "--locked"]))?;
    println!("{:<28}{:>12}{:>18}{:>12}", "", "time", "processor time", "size");
    for (name, features) in BUILDS {
        let (elapsed, processor, len_bytes) = build(features)?;
        // Far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
        let size = three_digits(len_bytes as f64 / 1e6);
        println!("{name:<28}{:>12}{:>18}{:>12}", time(elapsed), time(processor), format!("{size} MB"));
    }
    Ok(Outcome::Passed)
}

/// How long a build takes, and how large the program is.
fn build(features: &str) -> Result<(Duration, Duration, u64)> {
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let mut command: Command =
        child::cargo(["build", "--release", "--locked", "--package", "covtap", "--no-default-features"]);
    command.args(["--quiet", "--features", features, "--target-dir"]).arg(dir.path());
    let (shown, began) = (child::show(&command), Instant::now());
    let ended = command.spawn().and_then(|cargo| cargo.wait4()).with_context(|| format!("run `{shown}`"))?;
    let elapsed = began.elapsed();
    child::go_on()?;
    anyhow::ensure!(ended.status.success(), "`{shown}` ended with {}", ended.status);
    let program = dir.path().join("release/covtap");
    let len_bytes = program.metadata().with_context(|| format!("look at {}", program.display()))?.len();
    Ok((elapsed, ended.rusage.utime + ended.rusage.stime, len_bytes))
}
