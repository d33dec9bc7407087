//! `cargo xtask e2e probe-rs`: the stock `probe-rs`, built from its own release, and covtap read the same words.
//!
//! Both read the counters of a Cortex-M guest at rest through the same virtual probe, one after the other. What always holds:
//! the tool is the one that its authors publish, unchanged, and is built only once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ::covtap::image::{Image, Slide};
use ::covtap::locate::llvm;
use anyhow::{Context, Result, ensure};
use covtap_testbed::{Guest, Machine, fixture};
use covtap_virtual_probe::{ListenAddress, Protocol, Qemu, Server, SharedDap, Stats, lock, shared};

use crate::{Outcome, child, covtap};

/// The release whose library covtap uses.
const VERSION: &str = "0.32.0";
/// A guest that does not come to rest within this time never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// Builds, reads, compares.
pub(super) fn run() -> Result<Outcome> {
    let covtap = covtap::build()?;
    let probe_rs = install(&covtap)?;
    let dir = tempfile::tempdir()?;
    let board = Board::start(dir.path())?;
    let elf = fixture("arm-cortexm/covered.elf");
    let (start, len_bytes) = counters(&elf)?;

    let theirs = board.read_with(&probe_rs, start, len_bytes / 4)?;
    ensure!(theirs.iter().any(|byte| *byte != 0), "compare counters: they are all 0");
    let by_theirs = lock(&board.dap).take_stats();
    let profile = dir.path().join("probe.profraw");
    let mut snapshot = Command::new(&covtap);
    snapshot.args(["snapshot", "--quiet", "--probe", &board.server.selector(), "-o"]);
    child::run_well(snapshot.arg(&profile).arg(&elf))?;
    let by_ours = lock(&board.dap).take_stats();

    let profile = fs::read(&profile).with_context(|| format!("read {}", profile.display()))?;
    let is_same = profile.windows(theirs.len()).any(|bytes| bytes == theirs);
    println!("probe-rs {VERSION} read {} bytes of counters, {}", theirs.len(), did(&by_theirs));
    println!("covtap read them, {}", did(&by_ours));
    println!("they are {}", if is_same { "the same" } else { "NOT the same" });
    Ok(if is_same && by_ours.halts == 0 { Outcome::Passed } else { Outcome::Failed })
}

fn did(stats: &Stats) -> String {
    format!("and halted the guest {} times ({} transfers)", stats.halts, stats.transfers())
}

/// Builds the tool below cargo's target directory, of which covtap is in `release`; once.
fn install(covtap: &Path) -> Result<PathBuf> {
    let target = covtap.ancestors().nth(2).context("the folder that cargo builds in")?;
    let root = target.join("e2e/probe-rs");
    let program = root.join("bin/probe-rs");
    if !program.is_file() {
        let mut command = child::cargo(["install", "probe-rs-tools", "--locked", "--version", VERSION]);
        command.arg("--root").arg(&root).arg("--target-dir").arg(root.join("build"));
        println!("$ {}", child::show(&command));
        child::run_well(&mut command)?;
    }
    let version = child::capture(Command::new(&program).arg("--version"))?;
    ensure!(version.contains(VERSION), "run {}: it is {}", program.display(), version.trim());
    Ok(program)
}

/// Where the guest counts, and how many bytes it has for that.
fn counters(elf: &Path) -> Result<(u64, usize)> {
    let bytes = fs::read(elf).with_context(|| format!("read {}", elf.display()))?;
    let image = Image::parse(&elf.display().to_string(), bytes)?;
    let located = llvm::locate(&image, Slide::ZERO)?;
    let region = located.regions.first().context("it counts nothing")?;
    let counters = region.range;
    Ok((counters.start().get(), usize::try_from(counters.len_bytes())?))
}

/// A guest that has come to rest, and a probe in front of it.
struct Board {
    dap: SharedDap,
    server: Server,
    _guest: Guest,
}

impl Board {
    fn start(dir: &Path) -> Result<Self> {
        let qtest = dir.join("qtest");
        let elf = fixture("arm-cortexm/covered.elf");
        let guest = Guest::builder(Machine::An385, &elf).qtest(&qtest).start()?;
        guest.console().wait_for(PATIENCE, |line| line == "rest")?;
        let memory = ["0:0x400000", "0x20000000:0x400000"].map(str::parse).into_iter();
        let memory = memory.collect::<Result<_, _>>()?;
        let dap = shared(Qemu::connect(&qtest, guest.control(), memory)?);
        let address: ListenAddress = "127.0.0.1:0".parse().map_err(anyhow::Error::msg)?;
        let server = Server::start(&address, Protocol::Glasgow, dap.clone(), |_, _| ())?;
        Ok(Self { dap, server, _guest: guest })
    }

    /// Words as the tool prints them, eight to a line after their address, as bytes.
    fn read_with(&self, probe_rs: &Path, start: u64, num_words: usize) -> Result<Vec<u8>> {
        let mut command = Command::new(probe_rs);
        command.args([
            "read",
            "--non-interactive",
            "--chip",
            "Cortex-M3",
            "--probe",
            &self.server.selector(),
        ]);
        command.args(["b32", &format!("{start:#x}"), &num_words.to_string()]);
        println!("$ {}", child::show(&command));
        let printed = child::capture(&mut command)?;
        let lines = printed.lines().filter_map(|line| line.split_once(": "));
        let words =
            lines.flat_map(|(_, words)| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let words: Vec<u32> = words.map(|word| u32::from_str_radix(&word, 16)).collect::<Result<_, _>>()?;
        ensure!(words.len() == num_words, "read {num_words} words with probe-rs: {} came", words.len());
        Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}
