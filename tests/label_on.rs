//! Tests that are named by the target itself, at calls of one of its functions.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use common::labels::{expected, reached};
use common::{PATIENCE, Session, Way, assert_done, assert_refused, stderr};
use covtap_testbed::{Guest, Machine, fixture, workspace_root};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A guest that waits for a byte, and then runs ten tests in one go.
struct Scene {
    dir: TempDir,
    guest: Guest,
    start: UnixStream,
}

impl Scene {
    fn new(machine: Machine) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let labels = workspace_root().join("tests/labels");
        let helper = labels.join(if machine == Machine::An385 { "serial_an385.c" } else { "serial.c" });
        let elf = dir.path().join("guest.elf");
        let flags = ["-DBY_HOST", "-DLABELS"];
        common::reset_guest::build(machine, &labels.join("guest.c"), &[&helper], &flags, &elf);
        let serial = dir.path().join("serial");
        let listener = UnixListener::bind(&serial).expect("a socket");
        let guest = Guest::builder(machine, &elf)
            .args(["-serial".to_owned(), format!("unix:{}", serial.display())])
            .start()
            .expect("the guest starts");
        let (start, _) = listener.accept().expect("QEMU connects");
        Self { dir, guest, start }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, way: Way, more: &[&str]) -> Vec<String> {
        let [flag, address] = way.flags(&self.guest);
        let [elf, output] = ["guest.elf", "all.profraw"].map(|name| self.path(name).display().to_string());
        let args = ["record", &flag, &address, &elf, "-o", &output];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    /// Records all ten tests, and gives what covtap said and the index of the tests.
    fn record(&mut self, every: &str, label_on: &str) -> (String, Vec<Value>) {
        let tests = self.path("tests").display().to_string();
        let args = self.args(Way::Gdb, &["--every", every, "--test-dir", &tests, "--label-on", label_on]);
        let session = Session::start(&args);
        session.wait_for_snapshots(1);
        self.start.write_all(b"a").expect("the guest hears");
        self.guest.console().wait_for(PATIENCE, |line| line.starts_with("ran all")).expect("it ends");
        session.signal(Signal::SIGINT);
        let output = session.end();
        assert_done(&output);
        let index = fs::read(self.path("tests/tests.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        (stderr(&output), index["tests"].as_array().expect("tests").clone())
    }

    fn assert_lines(&self, letters: impl Iterator<Item = char>, tests: &[Value]) {
        for (letter, test) in letters.zip(tests) {
            assert_eq!(test["runs"], 1, "{test}");
            let profile = self.path("tests").join(test["profile"].as_str().expect("a profile"));
            assert_eq!(reached(&self.path("guest.elf"), &profile), expected(letter), "test {letter}");
        }
    }
}

fn names(tests: &[Value]) -> Vec<&str> {
    tests.iter().map(|test| test["name"].as_str().expect("a name")).collect()
}

/// In one go, and with so many other snapshots that calls are met while one is taken.
fn each_test_has_its_own_lines(machine: Machine, every: &str) {
    let mut scene = Scene::new(machine);
    let (said, tests) = scene.record(every, "label:2");
    let mut wanted: Vec<_> = ('a'..='j').map(|letter| format!("test {letter}")).collect();
    wanted.push("bell \u{fffd} and \u{fffd}".to_owned());
    assert_eq!(names(&tests), wanted, "{said}");
    scene.assert_lines('a'..='j', &tests);
    let of_bell = scene.path("tests").join(tests[10]["profile"].as_str().expect("a profile"));
    assert!(reached(&scene.path("guest.elf"), &of_bell).is_empty(), "nothing runs in it");
    assert!(said.contains("each call of label, at 0x"), "{said}");
    assert!(said.contains("a call of label: the name of its test has bytes that are no text"), "{said}");
}

#[test]
fn a_cortex_m_names_its_tests() {
    each_test_has_its_own_lines(Machine::An385, "1h");
}

#[test]
fn calls_that_are_met_while_snapshots_are_taken_are_not_missed() {
    each_test_has_its_own_lines(Machine::An385, "1ms");
}

#[test]
fn a_pc_names_its_tests_on_its_stack() {
    each_test_has_its_own_lines(Machine::X86Pvh, "1h");
}

#[test]
fn numbers_are_names() {
    let mut scene = Scene::new(Machine::An385);
    let (_, tests) = scene.record("1h", "label:1i");
    // The last one has not ended.
    let wanted: Vec<_> = (-3..=6).chain([-4, -5, -6]).map(|number| number.to_string()).collect();
    assert_eq!(names(&tests), wanted);
    scene.assert_lines('a'..='j', &tests);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_read() {
    let scene = Scene::new(Machine::An385);
    let tests = scene.path("tests").display().to_string();
    let refuse = |way: Way, more: &[&str], error: &str, hint: &str| {
        assert_refused(&common::run(scene.args(way, more)), error, hint);
        assert!(!scene.path("all.profraw").exists());
    };
    refuse(Way::Gdb, &["--label-on", "label"], "the session keeps no tests", "--test-dir");
    let with = |label_on: &'static str| ["--test-dir", &tests, "--label-on", label_on];
    refuse(Way::Gdb, &with("lable"), "no ELF has a function of that name", "nm shows");
    refuse(Way::Gdb, &with("sink"), "no ELF has a function of that name", "nm shows");
    refuse(Way::Gdb, &with("label:5"), "the first 4 are found", "first argument");
    refuse(Way::Qemu, &with("label"), "has no breakpoints", "--gdb");
    let elf = fixture("x86-pvh/covered.elf").display().to_string();
    let confused = common::run(["record", "--gdb", "localhost:1", &elf, "--label-on", "label:0"]);
    assert!(stderr(&confused).contains("the number of an argument"), "{}", stderr(&confused));
}
