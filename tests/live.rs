//! Live guests through every link, compared with what the guests count and print themselves, with a halted read
//! of the same counters, and with LLVM's own tools.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Counts, PATIENCE, Way};
use covtap_testbed::{Guest, Machine, Monitor, fixture, run};
use md5::{Digest, Md5};
use object::{Endianness, Object, ObjectSection};
use serde_json::json;

#[test]
fn x86_pvh_through_qemu() {
    record_and_compare(Machine::X86Pvh, "x86-pvh", Way::Qemu);
}

#[test]
fn x86_pvh_through_gdb() {
    record_and_compare(Machine::X86Pvh, "x86-pvh", Way::Gdb);
}

#[test]
fn arm_cortexm_through_qemu() {
    record_and_compare(Machine::An385, "arm-cortexm", Way::Qemu);
}

#[test]
fn arm_cortexm_through_gdb() {
    record_and_compare(Machine::An385, "arm-cortexm", Way::Gdb);
}

#[test]
fn c_an385_through_qemu() {
    record_and_compare(Machine::An385, "c-an385", Way::Qemu);
}

#[test]
fn c_an385_through_gdb() {
    record_and_compare(Machine::An385, "c-an385", Way::Gdb);
}

/// Records for ten seconds while the workload goes through its phases, then compares the counters at rest with
/// everything else that knows them.
fn record_and_compare(machine: Machine, name: &str, way: Way) {
    let elf = fixture(&format!("{name}/covered.elf"));
    let guest = Guest::builder(machine, &elf).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("the workload starts");
    let mut monitor = Monitor::connect(guest.control()).expect("a second monitor");
    let dir = tempfile::tempdir().expect("a folder");

    let pattern = dir.path().join("%n.profraw").display().to_string();
    let [flag, address] = way.flags(&guest);
    let elf_arg = elf.display().to_string();
    let session = ["record", &flag, &address, &elf_arg, "--every", "1s", "--for", "10s", "-o", &pattern];
    let output = common::run(session);
    common::assert_done(&output);
    assert_eq!(monitor.status().expect("an answer"), "running");
    if way == Way::Qemu {
        assert!(monitor.events().is_empty(), "the guest was disturbed: {:?}", monitor.events());
    }
    check_pauses(&common::stderr(&output), way);
    check_growth(dir.path());

    let tallies = common::tallies_at_rest(&guest);
    let at_rest = dir.path().join("rest.profraw");
    let at_rest_arg = at_rest.display().to_string();
    let snapshot = common::run(["snapshot", &flag, &address, &elf_arg, "-o", &at_rest_arg]);
    common::assert_done(&snapshot);
    compare_with_tallies(&tallies, &common::entered(&elf, &at_rest));
    monitor.execute("stop", &json!({})).expect("the guest stops");
    let halted = halted_counts(&elf, &mut monitor);
    compare_with_halted(&halted, &common::counts(&at_rest));
}

/// The lcov trace and the table that covtap makes by itself are llvm-cov's of the same profile, byte for byte; and a
/// session that is well but below a threshold ends with 1.
#[test]
fn coverage_needs_no_tools() {
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 2")).expect("the workload goes on");
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (profraw, trace, profdata) = (path("a.profraw"), path("a.info"), path("a.profdata"));
    let [flag, address] = Way::Qemu.flags(&guest);
    let elf = elf.display().to_string();
    let args = ["record", &flag, &address, &elf, "--every", "10ms", "--snapshots", "20"];
    let forms = ["-o", &profraw, "--lcov", &trace, "--text", "--fail-under-lines", "100"];
    let output = common::run(args.into_iter().chain(forms));
    assert_eq!(output.status.code(), Some(1), "{}", common::stderr(&output));
    assert!(common::stderr(&output).contains("below --fail-under-lines 100: "));
    run("llvm-profdata-19", ["merge", &profraw, "-o", &profdata]).expect("llvm-profdata reads the profile");
    let theirs = run("llvm-cov-19", ["export", "--format=lcov", &elf, "--instr-profile", &profdata]);
    assert_eq!(std::fs::read_to_string(&trace).expect("a trace"), theirs.expect("llvm-cov reads it"));
    let table =
        run("llvm-cov-19", ["report", "--show-branch-summary=false", &elf, "--instr-profile", &profdata]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), table.expect("llvm-cov reads it"));
}

/// Every status line tells the pause, and only a link that pauses tells more than 0.
fn check_pauses(status: &str, way: Way) {
    let lines: Vec<_> = status.lines().filter(|line| line.starts_with("snapshot ")).collect();
    assert!(!lines.is_empty(), "no status: {status}");
    for line in lines {
        assert_eq!(line.ends_with("pause 0"), way == Way::Qemu, "{line}");
    }
}

/// The snapshots come one after another, and each covers at least what the one before did, the last one more
/// than the first.
fn check_growth(dir: &Path) {
    let numbered = |n: usize| Some(dir.join(format!("{n}.profraw"))).filter(|path| path.exists());
    let snapshots: Vec<PathBuf> = (1..).map_while(numbered).collect();
    assert!(snapshots.len() >= 3, "only {} snapshots in ten seconds", snapshots.len());
    let counts: Vec<Counts> = snapshots.iter().map(|path| common::counts(path)).collect();
    for pair in counts.windows(2) {
        for (name, before) in &pair[0] {
            let after = &pair[1][name];
            assert!(before.iter().zip(after).all(|(before, after)| before <= after), "{name} went backwards");
        }
    }
    let (first, last) = (common::nonzero(&counts[0]), common::nonzero(&counts[counts.len() - 1]));
    assert!(first < last, "coverage did not grow: {first} counters, then {last}");
}

/// llvm-cov's count of each function that the guest counts too is the guest's own.
fn compare_with_tallies(tallies: &BTreeMap<String, u64>, entered: &BTreeMap<String, u64>) {
    assert!(tallies.len() >= 5, "the guest counted too little: {tallies:?}");
    for (name, tally) in tallies {
        // A name ends Rust's mangled ones (with its length before it) and C's after the file's name.
        let mangled = format!("{}{name}", name.len());
        let found: Vec<_> = entered
            .iter()
            .filter(|(symbol, _)| symbol.ends_with(&mangled) || symbol.rsplit(':').next() == Some(name))
            .collect();
        assert_eq!(found.len(), 1, "{name} in {entered:?}");
        assert_eq!(found[0].1, tally, "{name}");
    }
}

/// The counters of each function of a stopped guest, from physical memory, by the number that stands for its
/// name. Decoded here from the ELF's data records (raw version 10), with nothing of covtap's.
fn halted_counts(elf: &Path, monitor: &mut Monitor) -> BTreeMap<u64, Vec<u64>> {
    let file = std::fs::read(elf).expect("the ELF");
    let object = object::File::parse(file.as_slice()).expect("an ELF");
    assert_eq!(object.endianness(), Endianness::Little);
    let section = |name| object.section_by_name(name).expect("the section");
    let (data, counters) = (section("__llvm_prf_data"), section("__llvm_prf_cnts"));
    let memory = monitor.physical_memory(counters.address(), counters.size()).expect("memory");
    let (stride, num_counters_at) = if object.is_64() { (64, 48) } else { (48, 32) };
    let mut counts = BTreeMap::new();
    for (n, record) in data.data().expect("records").chunks(stride).enumerate() {
        let u64_at = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("8 bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("4 bytes"));
        let record_addr = data.address() + (n * stride) as u64;
        let counter_addr = if object.is_64() {
            record_addr.wrapping_add(u64_at(16))
        } else {
            u64::from((record_addr as u32).wrapping_add(u32_at(16)))
        };
        let first = (counter_addr - counters.address()) as usize;
        let bytes = &memory[first..first + 8 * u32_at(num_counters_at) as usize];
        let values = bytes.chunks(8).map(|count| u64::from_le_bytes(count.try_into().expect("8 bytes")));
        counts.insert(u64_at(0), values.collect());
    }
    counts
}

/// Function by function, all counters are equal, and no function is missing on either side.
fn compare_with_halted(halted: &BTreeMap<u64, Vec<u64>>, profile: &Counts) {
    let name_ref = |name: &String| {
        // Internal functions have their file before their name: LLVM's text form writes it as it is.
        let digest = Md5::digest(name.as_bytes());
        u64::from_le_bytes(digest[..8].try_into().expect("8 bytes"))
    };
    let profile: BTreeMap<u64, Vec<u64>> =
        profile.iter().map(|(name, counts)| (name_ref(name), counts.clone())).collect();
    assert_eq!(&profile, halted);
    assert!(halted.values().flatten().any(|count| *count != 0));
}
