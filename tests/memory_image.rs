//! `--memory` and `--core`: a dump gives the same profile and report as the live target that it was made of.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::counting::{Compiler, Counting};
use common::process::Process;
use common::{PATIENCE, assert_done, assert_refused, run, stderr};
use covtap_testbed::{self as testbed, Guest, Machine, Monitor, fixture};
use serde_json::json;
use tempfile::{TempDir, tempdir};

/// The first of the program's addresses, where its counters are, and where all of it ends.
const FIRST: u64 = 0x10_0000;
const COUNTERS: u64 = 0x10_6218;
const END: u64 = 0x10_8000;

/// A guest that stands still after it has counted.
struct Stopped {
    guest: Guest,
    monitor: Monitor,
    elf: PathBuf,
    dir: TempDir,
}

impl Stopped {
    fn start(machine: Machine, fixture_name: &str) -> Self {
        let elf = fixture(fixture_name);
        let guest = Guest::builder(machine, &elf).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line == "rest").expect("the guest comes to rest");
        let mut monitor = Monitor::connect(guest.control()).unwrap();
        monitor.execute("stop", &json!({})).unwrap();
        Self { guest, monitor, elf, dir: tempdir().unwrap() }
    }

    fn x86() -> Self {
        Self::start(Machine::X86Pvh, "x86-pvh/covered.elf")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `FILE@ADDR` of a dump that the monitor makes.
    fn save(&mut self, name: &str, addr: u64, len_bytes: u64) -> String {
        let file = self.path(name);
        let arguments = json!({ "val": addr, "size": len_bytes, "filename": file });
        self.monitor.execute("pmemsave", &arguments).unwrap();
        format!("{file}@{addr:#x}")
    }

    /// A dump of all memory.
    fn dump(&mut self, name: &str, paging: bool, format: &str) -> String {
        let file = self.path(name);
        let mut arguments = json!({ "paging": paging, "protocol": format!("file:{file}") });
        if format != "elf" {
            arguments["format"] = format.into();
        }
        self.monitor.execute("dump-guest-memory", &arguments).unwrap();
        file
    }

    /// Asserts that covtap reads of the target the profile and the report that it reads of the guest.
    fn assert_same(&self, verb: &str, target: &[&str]) -> String {
        let qmp = self.guest.qmp().display().to_string();
        let (_, live) = snapshot(self.dir.path(), "snapshot", &["--qemu", &qmp], &[&self.elf]);
        let (said, dumped) = snapshot(self.dir.path(), verb, target, &[&self.elf]);
        assert_eq!(live[0], dumped[0], "the profiles differ");
        assert_eq!(live[1], dumped[1], "the reports differ");
        assert!(!live[1].is_empty());
        said
    }
}

/// What covtap says, the profile and the report.
fn snapshot(dir: &Path, verb: &str, target: &[&str], elves: &[&Path]) -> (String, [Vec<u8>; 2]) {
    let [profile, lcov] = ["a.profraw", "a.info"].map(|name| dir.join(name));
    let mut args: Vec<String> = [verb].iter().chain(target).map(|arg| (*arg).to_owned()).collect();
    args.extend(elves.iter().map(|elf| elf.display().to_string()));
    args.extend(["-o".to_owned(), profile.display().to_string()]);
    args.extend(["--lcov".to_owned(), lcov.display().to_string()]);
    let output = run(args);
    assert_done(&output);
    let files = [&profile, &lcov].map(|path| fs::read(path).unwrap());
    [profile, lcov].iter().for_each(|path| fs::remove_file(path).unwrap());
    (stderr(&output), files)
}

#[test]
fn what_pmemsave_wrote_is_read_like_the_guest() {
    let mut stopped = Stopped::x86();
    let whole = stopped.save("whole.bin", FIRST, END - FIRST);
    let said = stopped.assert_same("snapshot", &["--memory", &whole]);
    assert!(said.contains("whole.bin: raw memory; "), "{said}");
    // In two files that meet within the counters, and by searching for the program.
    let middle = COUNTERS + 0x20;
    let [low, high] =
        [(FIRST, middle), (middle, END)].map(|(from, to)| stopped.save(&format!("{from}"), from, to - from));
    stopped.assert_same("snapshot", &["--memory", &high, "--memory", &low]);
    let said = stopped.assert_same("snapshot", &["--find-image", "--memory", &whole]);
    assert!(said.contains("is loaded at 0x100014, slide 0x0: "), "{said}");
}

/// A dump does not change: one snapshot is all there is.
#[test]
fn a_record_of_a_dump_is_one_snapshot() {
    let mut stopped = Stopped::x86();
    let whole = stopped.save("whole.bin", FIRST, END - FIRST);
    let said = stopped.assert_same("record", &["--every", "1ms", "--memory", &whole]);
    assert!(said.contains("covtap: 1 snapshots, ") || said.contains("covtap: 1 snapshot, "), "{said}");
}

#[test]
fn what_dump_guest_memory_wrote_is_read_like_the_guest() {
    let mut stopped = Stopped::x86();
    for paging in [false, true] {
        let core = stopped.dump("guest.core", paging, "elf");
        let said = stopped.assert_same("snapshot", &["--core", &core]);
        assert!(said.contains("guest.core: ELF core of a guest; "), "{said}");
        let said = stopped.assert_same("snapshot", &["--find-image", "--core", &core]);
        assert!(said.contains("is loaded at 0x100014, slide 0x0: "), "{said}");
        fs::remove_file(core).unwrap();
    }
}

#[test]
fn a_guest_of_32_bits_is_read_from_its_dump() {
    let mut stopped = Stopped::start(Machine::An385, "c-an385/covered.elf");
    let ram = stopped.save("ram.bin", 0x2000_0000, 1 << 16);
    let flash = stopped.save("flash.bin", 0, 1 << 16);
    stopped.assert_same("snapshot", &["--memory", &flash, "--memory", &ram]);
    let core = stopped.dump("guest.core", false, "elf");
    stopped.assert_same("snapshot", &["--core", &core]);
}

#[test]
fn a_process_is_read_from_its_core() {
    let counting = Counting::build(Compiler::Clang, true);
    let mut command = Command::new(&counting.program);
    command.env("LLVM_PROFILE_FILE", "/dev/null");
    let mut process = Process::start_with(&mut command, &counting.program, "counting\n");
    process.go_on();
    process.wait_for("at rest\n");
    let (pid, dir) = (process.id().to_string(), counting.dir.path());
    let prefix = counting.path("core").display().to_string();
    testbed::run("gcore", ["-o", &prefix, &pid]).unwrap();
    let core = format!("{prefix}.{pid}");
    for elf in [&counting.program, &counting.library] {
        let (_, live) = snapshot(dir, "snapshot", &["--pid", &pid], &[elf]);
        let (said, dumped) = snapshot(dir, "snapshot", &["--core", &core], &[elf]);
        assert_eq!(live, dumped, "{}", elf.display());
        assert!(said.contains(&format!("is {}, loaded at ", elf.display())), "{said}");
    }
    assert!(process.finish().success());
    // What a process has no physical addresses of cannot be searched for there.
    let elf = counting.program.display().to_string();
    let refused = run(["snapshot", "--core", &core, "--find-image", &elf]);
    assert_refused(&refused, "not supported: this way to the target knows no physical addresses", "");
}

#[test]
fn a_dump_without_the_counters_is_refused() {
    let mut stopped = Stopped::x86();
    let code = stopped.save("code.bin", FIRST, COUNTERS - FIRST);
    let elf = stopped.elf.display().to_string();
    let output = stopped.path("none.profraw");
    assert_refused(
        &run(["snapshot", "--memory", &code, &elf, "-o", &output]),
        "not there: the dump has nothing at 0x106218, it has 0x100000..0x106218",
        "--memory FILE@ADDR",
    );
    let elsewhere = stopped.save("elsewhere.bin", END, 0x1000);
    assert_refused(
        &run(["snapshot", "--memory", &elsewhere, &elf, "-o", &output]),
        "not there: the dump has nothing at 0x100014, it has 0x108000..0x109000",
        "give the ELF that the target runs",
    );
    let twice = ["snapshot", "--memory", &code, "--memory", &code, &elf];
    assert_refused(&run(twice), "both have 0x100000..0x106218", "give each range once");
    assert!(!Path::new(&output).exists());
}

#[test]
fn what_is_no_core_is_refused() {
    let mut stopped = Stopped::x86();
    let elf = stopped.elf.display().to_string();
    let compressed = stopped.dump("guest.kdump", false, "kdump-zlib");
    let refused = |core: &str, words: &str, hint: &str| {
        assert_refused(&run(["snapshot", "--core", core, &elf]), words, hint);
    };
    refused(&compressed, "it is a flattened dump of makedumpfile", "writes an ELF core");
    refused(&elf, "it is a program or a library", "writes an ELF core");
    refused("/nonexistent", "read /nonexistent: No such file", "");
    let whole = stopped.save("whole.bin", FIRST, 16);
    let raw = whole.split('@').next().unwrap();
    refused(raw, "it is no ELF file", "--memory FILE@ADDR");
    let output = run(["snapshot", "--memory", raw, &elf]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no @ADDR after the file"), "{}", stderr(&output));
}
