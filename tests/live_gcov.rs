//! A Cortex-M guest that GCC instrumented and that has nothing of gcov in it, recorded while it runs: what gcov, gcovr
//! and lcov make of the files, the guest's own tallies, and a native run of the same steps are the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use common::gcov_guest::{UNITS, build};
use common::gcov_tool::{self, Counts, lines, lines_of_trace, run_in};
use common::{PATIENCE, Way};
use covtap_testbed::{Guest, Machine, Monitor, workspace_root};
use serde_json::Value;
use tempfile::tempdir;

/// The counts of a run of the same steps on this host.
fn native() -> Counts {
    let dir = tempdir().unwrap();
    let sources = workspace_root().join("examples/guests/c-an385");
    let compile = |source: &Path, flags: &[&str]| {
        let include = format!("-I{}", sources.display());
        let common = ["-std=c17", "-Os", "-c", &include, source.to_str().unwrap()];
        run_in(dir.path(), "gcc-12", &[&common, flags].concat());
    };
    compile(&workspace_root().join("tests/live_gcov/board.c"), &[]);
    for unit in UNITS {
        compile(&sources.join(format!("{unit}.c")), &["-ffreestanding", "--coverage"]);
    }
    run_in(dir.path(), "gcc-12", &["--coverage", "-o", "run", "board.o", "command.o", "main.o", "valve.o"]);
    assert!(Command::new(dir.path().join("run")).current_dir(dir.path()).status().unwrap().success());
    gcov_tool::counts(dir.path(), "gcov-12", &UNITS)
}

#[test]
fn the_guest_through_qemu() {
    record_and_compare(Way::Qemu);
}

#[test]
fn the_guest_through_gdb() {
    record_and_compare(Way::Gdb);
}

fn record_and_compare(way: Way) {
    let (dir, elf) = build("covered");
    let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("the workload starts");
    let mut monitor = Monitor::connect(guest.control()).expect("a second monitor");
    let [flag, address] = way.flags(&guest);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (elf, live, rest) = (elf.display().to_string(), path("live"), path("rest"));

    let session = ["record", &flag, &address, &elf, "--every", "1s", "--for", "10s", "--gcda-dir", &live];
    let output = common::run(session);
    common::assert_done(&output);
    assert_eq!(monitor.status().expect("an answer"), "running");
    if way == Way::Qemu {
        assert!(monitor.events().is_empty(), "the guest was disturbed: {:?}", monitor.events());
    }
    let said = common::stderr(&output);
    assert!(said.contains(&format!("the profiles are 3 .gcda files below {live}\n")), "{said}");
    assert!(!dir.path().join("default.profraw").exists());

    let tallies = common::tallies_at_rest(&guest);
    let (notes, trace) = (path("guest.elf.d"), path("live.info"));
    let args = ["snapshot", &flag, &address, &elf, "--gcda-dir", &rest, "--gcda-strip", "1"];
    let output = common::run(args.into_iter().chain(["--notes", &notes, "--lcov", &trace]));
    common::assert_done(&output);
    let said = common::stderr(&output);
    assert!(!said.contains("have no notes") && !said.contains("not checked"), "{said}");
    // The notes are placed where all tools look for them.
    let rest = Path::new(&rest);
    let counts = gcov_tool::counts(rest, "arm-none-eabi-gcov", &UNITS);
    compare_with_tallies(&counts, &tallies);
    assert_eq!(counts, native());
    others_read_them(rest, &counts);
    assert_eq!(lines_of_trace(&dir.path().join("live.info")), lines(&counts), "--lcov");
    let reported = path("reported.info");
    common::assert_done(&common::run(["report", rest.to_str().unwrap(), "--lcov", &reported]));
    assert_eq!(fs::read(&reported).unwrap(), fs::read(&trace).unwrap(), "report");
}

fn compare_with_tallies(counts: &Counts, tallies: &BTreeMap<String, u64>) {
    assert!(tallies.len() >= 5, "the guest counted too little: {tallies:?}");
    let functions: BTreeMap<_, _> = counts.values().flat_map(|(functions, _)| functions.clone()).collect();
    for (name, tally) in tallies {
        assert_eq!(functions[name], *tally, "{name}");
    }
}

/// Files that gcovr makes at the root, and removes, have the same names in each run.
static GCOVR: Mutex<()> = Mutex::new(());

/// gcovr and lcov have the same counts of lines.
fn others_read_them(dir: &Path, counts: &Counts) {
    let root = workspace_root().to_str().unwrap();
    let args = ["--gcov-executable", "arm-none-eabi-gcov", "--root", root, "--json", "gcovr.json", "."];
    let alone = GCOVR.lock().unwrap_or_else(PoisonError::into_inner);
    run_in(dir, "gcovr", &args);
    drop(alone);
    let report: Value = serde_json::from_slice(&fs::read(dir.join("gcovr.json")).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for file in report["files"].as_array().unwrap() {
        let name = file["file"].as_str().unwrap();
        let lines = file["lines"].as_array().unwrap().iter().filter(|line| line["gcovr/noncode"] != true);
        let line = |line: &Value| (line["line_number"].as_u64().unwrap(), line["count"].as_u64().unwrap());
        found.insert(name.rsplit('/').next().unwrap().to_owned(), lines.map(line).collect());
    }
    assert_eq!(found, lines(counts), "gcovr");

    run_in(dir, "lcov", &["--gcov-tool", "arm-none-eabi-gcov", "-c", "-d", ".", "-b", root, "-o", "a.info"]);
    assert_eq!(lines_of_trace(&dir.join("a.info")), lines(counts), "lcov");
}
