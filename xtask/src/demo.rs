//! `cargo xtask demo`: coverage of a guest in QEMU that is never stopped, from nothing to pages of source.
//!
//! What leaves is a folder `target/demo` with the profile and the site. What always holds: nothing is left running.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use covtap_testbed::{Guest, Machine, Monitor, fixture, workspace_root};

use crate::provision::{self, Need};
use crate::{Outcome, child, covtap};

/// A guest that does not come up within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo.
pub(crate) fn run() -> Result<Outcome> {
    provision::ensure(Need::Demo)?;
    let covtap = covtap::build()?;
    let dir = workspace_root().join("target/demo");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let elf = fixture("x86-pvh/covered.elf");
    let profraw = dir.join("valve.profraw");

    let (guest, mut monitor) = start(&elf)?;
    say(&mut monitor, "before")?;
    record(&covtap, &guest, &elf, &profraw)?;
    say(&mut monitor, "after")?;
    child::go_on()?;
    drop(guest);

    let site = dir.join("site");
    report(&covtap, &elf, &profraw, &site)?;
    println!("\nthe profile: {}", profraw.display());
    println!("pages to read in a browser: {}", site.join("index.html").display());
    Ok(Outcome::Passed)
}

/// A valve controller on a bare PC, whose coverage grows with each of its phases.
fn start(elf: &Path) -> Result<(Guest, Monitor)> {
    let guest = Guest::builder(Machine::X86Pvh, elf).start()?;
    println!("\n{} runs {} (process {})", Machine::X86Pvh.emulator(), shorten(elf), guest.pid());
    let line = guest.console().wait_for(PATIENCE, |line| line.starts_with("phase"))?;
    println!("the guest says: {line}");
    let monitor = Monitor::connect(guest.control())?;
    Ok((guest, monitor))
}

/// What QEMU itself says of the guest.
fn say(monitor: &mut Monitor, when: &str) -> Result<()> {
    let status = monitor.status()?;
    let stops = monitor.events().iter().filter(|event| *event == "STOP").count();
    println!("QEMU's query-status {when}: {status}, STOP events: {stops}");
    Ok(())
}

fn record(covtap: &Path, guest: &Guest, elf: &Path, profraw: &Path) -> Result<()> {
    let mut command = Command::new(covtap);
    command.current_dir(workspace_root()).arg("record").arg("--qemu").arg(guest.qmp()).arg(elf);
    command.args(["--every", "1s", "--for", "10s", "-o"]).arg(profraw);
    shown(&mut command)
}

/// The guest's program says where its sources were when it was made; they are here now.
fn report(covtap: &Path, elf: &Path, profraw: &Path, site: &Path) -> Result<()> {
    let mut command = Command::new(covtap);
    command.current_dir(workspace_root()).arg("report").args([elf, profraw]).arg("--text");
    command.args(["--path-map", "/covtap=.", "--html"]).arg(site);
    shown(&mut command)
}

/// Shows a command, then runs it, with its output where it belongs: below.
fn shown(command: &mut Command) -> Result<()> {
    println!("\n$ {}", child::show(command));
    child::run_well(command)
}

fn shorten(path: &Path) -> String {
    path.strip_prefix(workspace_root()).unwrap_or(path).display().to_string()
}
