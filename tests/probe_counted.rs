//! Guests that are no Cortex-M behind a virtual debug probe: a RISC-V hart by its system bus without a halt, and by a halt only
//! where that is allowed; a Cortex-A by its access port.
//!
//! The probe is `covtap-virtual-probe`, a Black Magic Probe or a Glasgow to covtap's own `probe-rs`. Memory and processor are
//! those of a QEMU guest that runs.

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
    Chip, ListenAddress, Protocol, Qemu, RiscvDebugRegisters, Server, SharedChip, Stats, lock, shared_memory,
    shared_module, shared_riscv,
};
use tempfile::TempDir;

/// What the probe's chips are described in.
fn chips() -> String {
    workspace_root().join("probes/virtual-probe/chips.yaml").display().to_string()
}

/// A guest that counts for a few seconds and then rests, and a probe in front of it.
struct Scene {
    dir: TempDir,
    elf: PathBuf,
    guest: Guest,
    chip: SharedChip,
    server: Server,
    /// How the probe is driven.
    protocol: &'static str,
}

impl Scene {
    /// A RISC-V hart, by JTAG.
    fn riscv(chip: Chip) -> Self {
        let memory = "0x80000000:0x1000000";
        Self::new(Board::Riscv32, memory, Protocol::BlackMagic, |qemu| shared_riscv(chip, qemu).into())
    }

    /// A Cortex-A53, by SWD: its memory alone is behind an access port.
    fn cortex_a() -> Self {
        let memory = "0x40000000:0x4000000";
        Self::new(Board::Aarch64, memory, Protocol::Glasgow, |qemu| shared_memory(qemu).into())
    }

    /// A RISC-V hart whose debug module is behind an access port, by SWD.
    fn behind() -> Self {
        let memory = "0x80000000:0x1000000";
        let chip = |qemu| shared_module(shared_riscv(Chip::default(), qemu)).into();
        Self::new(Board::Riscv32, memory, Protocol::Glasgow, chip)
    }

    fn new(board: Board, memory: &str, protocol: Protocol, chip: impl FnOnce(Qemu) -> SharedChip) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let elf = dir.path().join("guest.elf");
        let main = workspace_root().join("tests/probe/counted.c");
        board.build(&main, &[], &["-DSTEPS=10000000u"], &elf);
        let guest = board.guest(&elf).qtest(&dir.path().join("qtest")).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("working")).expect("it works");
        let memory = vec![memory.parse().unwrap()];
        let qemu = Qemu::connect(&dir.path().join("qtest"), guest.control(), memory).expect("the guest");
        let chip = chip(qemu);
        let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(&address, protocol, chip.clone(), |_, _| ()).expect("it listens");
        let protocol = if protocol == Protocol::Glasgow { "swd" } else { "jtag" };
        Self { dir, elf, guest, chip, server, protocol }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn tap(&self, verb: &str, profile: &str, more: &[&str]) -> std::process::Output {
        let (selector, elf) = (self.server.selector(), self.elf.display().to_string());
        let profile = self.path(profile);
        let args = [verb, "--probe", &selector, "--protocol", self.protocol, &elf, "-o", &profile];
        run(args.into_iter().chain(more.iter().copied()))
    }

    /// What the probe shows of the guest at rest is what QEMU shows.
    fn compare_at_rest(&self, more: &[&str]) {
        self.guest.console().wait_for(PATIENCE, |line| line == "rest").expect("it rests");
        let selector = self.server.selector();
        let way = ["--probe", &selector, "--protocol", self.protocol];
        common::assert_as_by_qemu(&self.guest, &self.elf, &[&way, more].concat());
    }

    fn stats(&self) -> Stats {
        self.chip.stats()
    }

    fn riscv_registers(&self) -> RiscvDebugRegisters {
        let SharedChip::Riscv(chip) = &self.chip else { panic!("it is another chip") };
        lock(chip).debug_registers()
    }
}

#[test]
fn a_guest_is_recorded_by_the_system_bus_without_a_halt() {
    let scene = Scene::riscv(Chip::default());
    let before = scene.riscv_registers();
    let output = scene.tap("record", "live.profraw", &["--every", "200ms", "--snapshots", "5"]);
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("the workload is not stopped") && said.contains("RISC-V"), "{said}");
    assert!(common::nonzero(&common::counts(Path::new(&scene.path("live.profraw")))) > 0);
    scene.compare_at_rest(&[]);
    let stats = scene.stats();
    assert_eq!((stats.halts, stats.resumes, stats.resets, stats.memory_writes), (0, 0, 0, 0), "{stats}");
    assert_eq!(scene.riscv_registers(), before);
}

/// What it would take is said first; and what it took, when it was allowed.
#[test]
fn a_guest_is_halted_only_if_that_is_allowed() {
    let scene = Scene::riscv(Chip { system_bus: false, ..Chip::default() });
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

/// What is said to be no Cortex-M is read by its access port alone, and nothing of a Cortex-M is looked for.
#[test]
fn the_memory_of_a_cortex_a_is_recorded_without_a_halt() {
    let scene = Scene::cortex_a();
    let chips = chips();
    let named = ["--chip", "VIRTUAL-A53", "--chip-description-path", &chips];
    let live = ["--every", "200ms", "--snapshots", "5"];
    let output = scene.tap("record", "live.profraw", &[&named[..], &live].concat());
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("the workload is not stopped"), "{said}");
    assert!(common::nonzero(&common::counts(Path::new(&scene.path("live.profraw")))) > 0);
    scene.compare_at_rest(&named);
    let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
    let cable = Server::start(&address, Protocol::BlackMagic, scene.chip.clone(), |_, _| ()).unwrap();
    let by_jtag = ["--probe", &cable.selector(), "--protocol", "jtag"];
    common::assert_as_by_qemu(&scene.guest, &scene.elf, &[&by_jtag[..], &named].concat());
    // There is nothing that a driver does not bear by JTAG: it need not be named.
    common::assert_as_by_qemu(&scene.guest, &scene.elf, &by_jtag);
    let stats = scene.stats();
    assert_eq!((stats.halts, stats.resumes, stats.resets, stats.memory_writes), (0, 0, 0, 0), "{stats}");
    let output = scene.tap("trace", "samples", &[&named[..], &["--for", "1s"]].concat());
    assert_refused(&output, "this way to the target has no steps, breakpoints or registers", "--gdb");
}

/// As RP2350's RISC-V processors are.
#[test]
fn a_debug_module_behind_an_access_port_reads_without_a_halt() {
    let scene = Scene::behind();
    let chips = chips();
    let named = ["--chip", "VIRTUAL-BEHIND", "--chip-description-path", &chips];
    let output = scene.tap("snapshot", "live.profraw", &named);
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("the workload is not stopped") && said.contains("VIRTUAL-BEHIND, riscv"), "{said}");
    scene.compare_at_rest(&named);
}

/// Not named, its bus refuses the address of a Cortex-M's id, at which probe-rs's driver of this probe panics.
#[test]
fn a_driver_that_panics_is_an_error_in_one_line() {
    let scene = Scene::cortex_a();
    let output = scene.tap("snapshot", "none.profraw", &[]);
    assert_refused(&output, "attach on debug probe 20b7:9db1:", "--chip");
    let said = stderr(&output);
    assert!(
        said.contains("a driver of probe-rs gave up, and said \"") && said.lines().count() <= 2,
        "{said}"
    );
}
