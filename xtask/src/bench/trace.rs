//! `cargo xtask bench trace`: how much slower a guest is while QEMU's plugin counts what it executes.
//!
//! A guest that does a fixed amount of work runs without the plugin and with each of its modes, in turns. What is compared
//! is QEMU's processor time, which leaves out who else had the processors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use covtap_testbed as testbed;
use tempfile::TempDir;
use wait4::Wait4;

use crate::figures::{median_ratio, median_time, time};
use crate::{Outcome, child};

/// Arguments of `cargo xtask bench trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each mode is measured
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Rounds of the guest's work in each run
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// What is measured, and how slow it may be.
const MODES: [(&str, Option<&str>, &str); 6] = [
    ("no plugin", None, ""),
    ("blocks", Some("mode=blocks"), "1.05"),
    ("blocks, by calls", Some("mode=blocks,counts=callbacks"), ""),
    ("edges", Some("mode=edges"), "1.30"),
    ("insns", Some("mode=insns"), ""),
    ("insns, by calls", Some("mode=insns,counts=callbacks"), ""),
];

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let plugin = plugin()?;
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let guest = guest(dir.path(), args.rounds)?;
    let mut times: [Vec<Duration>; MODES.len()] = Default::default();
    for turn in 0..args.turns {
        println!("turn {} of {}", turn + 1, args.turns);
        for ((_, option, _), times) in MODES.iter().zip(&mut times) {
            let option = option.map(|option| {
                format!("{},trace={},{option}", plugin.display(), dir.path().join("trace").display())
            });
            times.push(processor_time(&guest, option.as_deref())?);
        }
    }
    print(&times).context("nothing was measured")?;
    Ok(Outcome::Passed)
}

fn print(times: &[Vec<Duration>]) -> Option<()> {
    println!("{:<20}{:>16}{:>12}{:>8}", "", "processor time", "slowdown", "goal");
    let alone = times.first()?;
    for ((name, _, goal), times) in MODES.iter().zip(times) {
        let slowdown = median_ratio(times, alone)?;
        println!("{name:<20}{:>16}{slowdown:>12.3}{goal:>8}", time(median_time(times)?));
    }
    Some(())
}

/// The processor time of QEMU from its start to the guest's end.
fn processor_time(guest: &Path, plugin: Option<&str>) -> Result<Duration> {
    let mut command = Command::new(testbed::tool("qemu-system-riscv64")?);
    command.args(["-M", "virt", "-bios", "none", "-display", "none", "-serial", "none", "-monitor", "none"]);
    command.arg("-kernel").arg(guest).stdin(Stdio::null());
    if let Some(plugin) = plugin {
        command.args(["-plugin", plugin]);
    }
    let shown = child::show(&command);
    let ended = command.spawn().and_then(|qemu| qemu.wait4()).with_context(|| format!("run `{shown}`"))?;
    child::go_on()?;
    if !ended.status.success() {
        bail!("`{shown}` ended with {}", ended.status);
    }
    Ok(ended.rusage.utime + ended.rusage.stime)
}

/// Builds the guest.
fn guest(dir: &Path, rounds: u32) -> Result<PathBuf> {
    let source = testbed::workspace_root().join("xtask/src/bench/trace.c");
    let script = format!("-T{}", testbed::workspace_root().join("tests/run/guest.x").display());
    let (object, elf) = (dir.join("guest.o"), dir.join("guest.elf"));
    let [object, source] = [&object, &source].map(|path| path.display().to_string());
    let rounds = format!("-DROUNDS={rounds}");
    let target = ["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"];
    let flags = [&rounds, "-O2", "-ffreestanding", "-fno-inline", "-c", "-o", &object, &source];
    testbed::run("clang-19", target.into_iter().chain(flags))?;
    let shown = elf.display().to_string();
    testbed::run("ld.lld-19", ["--nmagic", "-o", &shown, "--defsym=BASE=0x80000000", &script, &object])?;
    Ok(elf)
}

/// Builds the plugin as users have it, beside this program.
fn plugin() -> Result<PathBuf> {
    child::run_well(&mut child::cargo(["build", "--release", "--package", "covtap-qemu-plugin"]))?;
    let here = std::env::current_exe().context("find this program's own file")?;
    let plugin = here.with_file_name("libcovtap_qemu_plugin.so");
    if !plugin.is_file() {
        bail!("build the plugin: {} is not there", plugin.display());
    }
    Ok(plugin)
}
