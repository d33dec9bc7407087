//! A RISC-V guest behind a virtual debug probe: by the system bus without a halt, and by a halt only where that is allowed.
//!
//! The probe is `covtap-virtual-probe`, a Black Magic Probe to covtap's own `probe-rs`. Its memory and its hart are those of a
//! QEMU guest that runs.

#![cfg(feature = "probe")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::{Path, PathBuf};

use common::reset_guest::Board;
use common::{PATIENCE, assert_done, assert_refused, run, stderr};
use covtap_testbed::{Guest, workspace_root};
use covtap_virtual_probe::{
    Chip, ListenAddress, Protocol, Qemu, Server, SharedRiscv, Stats, lock, shared_riscv,
};
use tempfile::TempDir;

/// A guest that counts for a few seconds and then rests, and a probe in front of it.
struct Scene {
    dir: TempDir,
    elf: PathBuf,
    guest: Guest,
    chip: SharedRiscv,
    server: Server,
}

impl Scene {
    fn new(chip: Chip) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let elf = dir.path().join("guest.elf");
        let main = workspace_root().join("tests/probe/counted.c");
        Board::Riscv32.build(&main, &[], &["-DSTEPS=10000000u"], &elf);
        let guest =
            Board::Riscv32.guest(&elf).qtest(&dir.path().join("qtest")).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("working")).expect("it works");
        let memory = vec!["0x80000000:0x1000000".parse().unwrap()];
        let qemu = Qemu::connect(&dir.path().join("qtest"), guest.control(), memory).expect("the guest");
        let chip = shared_riscv(chip, qemu);
        let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(&address, Protocol::BlackMagic, chip.clone(), |_, _| ());
        Self { dir, elf, guest, chip, server: server.expect("it listens") }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn tap(&self, verb: &str, profile: &str, more: &[&str]) -> std::process::Output {
        let (selector, elf) = (self.server.selector(), self.elf.display().to_string());
        let profile = self.path(profile);
        let args = [verb, "--probe", &selector, "--protocol", "jtag", &elf, "-o", &profile];
        run(args.into_iter().chain(more.iter().copied()))
    }

    /// What the probe shows of the guest at rest is what QEMU shows.
    fn compare_at_rest(&self, more: &[&str]) {
        self.guest.console().wait_for(PATIENCE, |line| line == "rest").expect("it rests");
        let selector = self.server.selector();
        let way = ["--probe", &selector, "--protocol", "jtag"];
        common::assert_as_by_qemu(&self.guest, &self.elf, &[&way, more].concat());
    }

    fn stats(&self) -> Stats {
        lock(&self.chip).stats().clone()
    }
}

#[test]
fn a_guest_is_recorded_by_the_system_bus_without_a_halt() {
    let scene = Scene::new(Chip::default());
    let before = lock(&scene.chip).debug_registers();
    let output = scene.tap("record", "live.profraw", &["--every", "200ms", "--snapshots", "5"]);
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("the workload is not stopped") && said.contains("RISC-V"), "{said}");
    assert!(common::nonzero(&common::counts(Path::new(&scene.path("live.profraw")))) > 0);
    scene.compare_at_rest(&[]);
    let stats = scene.stats();
    assert_eq!((stats.halts, stats.resumes, stats.resets, stats.memory_writes), (0, 0, 0, 0), "{stats}");
    assert_eq!(lock(&scene.chip).debug_registers(), before);
}

/// What it would take is said first; and what it took, when it was allowed.
#[test]
fn a_guest_is_halted_only_if_that_is_allowed() {
    let scene = Scene::new(Chip { system_bus: false, ..Chip::default() });
    let output = scene.tap("snapshot", "refused.profraw", &[]);
    assert_refused(&output, " ms at each snapshot, and once for up to ", "--allow-halt has it halted");
    assert_eq!(scene.stats().halts, 0);
    assert!(!Path::new(&scene.path("refused.profraw")).exists());

    let output =
        scene.tap("record", "live.profraw", &["--allow-halt", "--every", "200ms", "--snapshots", "3"]);
    assert_done(&output);
    let said = stderr(&output);
    assert!(
        said.contains("each read pauses the workload") && !said.contains("paused for 0 in all"),
        "{said}"
    );
    scene.compare_at_rest(&["--allow-halt"]);
    let stats = scene.stats();
    assert!(stats.halts >= 4, "{stats}");
    assert_eq!((stats.halts, stats.registers_left_changed), (stats.resumes, 0), "{stats}");
}
