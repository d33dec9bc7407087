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
use common::proxy::Proxy;
use common::reset_guest::Board;
use common::{PATIENCE, Session, Way, assert_done, assert_refused, stderr};
use covtap_testbed::{GdbSocket, Guest, Monitor, fixture, workspace_root};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A guest that waits for a byte, and then runs ten tests in one go.
struct Scene {
    dir: TempDir,
    guest: Guest,
    start: UnixStream,
}

impl Scene {
    fn new(board: Board) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let main = workspace_root().join("tests/labels/guest.c");
        let elf = dir.path().join("guest.elf");
        board.build(&main, &[&board.serial()], &["-DBY_HOST", "-DLABELS"], &elf);
        let serial = dir.path().join("serial");
        let listener = UnixListener::bind(&serial).expect("a socket");
        let guest = board.guest_with_serial(&elf, &serial).start().expect("the guest starts");
        let (start, _) = listener.accept().expect("QEMU connects");
        Self { dir, guest, start }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, way: Way, more: &[&str]) -> Vec<String> {
        self.args_at(way.flags(&self.guest), more)
    }

    fn args_at(&self, [flag, address]: [String; 2], more: &[&str]) -> Vec<String> {
        let [elf, output] = ["guest.elf", "all.profraw"].map(|name| self.path(name).display().to_string());
        let args = ["record", &flag, &address, &elf, "-o", &output];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    /// Records all ten tests, and gives what covtap said and the index of the tests.
    fn record(&mut self, every: &str, label_on: &str) -> (String, Vec<Value>) {
        let tests = self.path("tests").display().to_string();
        let args = self.args(Way::Gdb, &["--every", every, "--test-dir", &tests, "--label-on", label_on]);
        let session = self.begin(&args);
        self.run_all();
        self.end(session)
    }

    fn begin(&self, args: &[String]) -> Session {
        let session = Session::start(args);
        session.wait_for_snapshots(1);
        session
    }

    /// Lets the guest run all tests.
    fn run_all(&mut self) {
        self.start.write_all(b"a").expect("the guest hears");
        self.guest.console().wait_for(PATIENCE, |line| line.starts_with("ran all")).expect("it ends");
    }

    /// What covtap said, and the index of the tests.
    fn end(&self, session: Session) -> (String, Vec<Value>) {
        session.signal(Signal::SIGINT);
        let output = session.end();
        assert_done(&output);
        let index = fs::read(self.path("tests/tests.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        (stderr(&output), index["tests"].as_array().expect("tests").clone())
    }

    fn assert_lines(&self, letters: impl Iterator<Item = char>, tests: &[Value]) {
        self.assert_lines_of(1, letters, tests);
    }

    fn assert_lines_of(&self, runs: u64, letters: impl Iterator<Item = char>, tests: &[Value]) {
        for (letter, test) in letters.zip(tests) {
            assert_eq!(test["runs"], runs, "{test}");
            let profile = self.path("tests").join(test["profile"].as_str().expect("a profile"));
            assert_eq!(reached(&self.path("guest.elf"), &profile), expected(letter), "test {letter}");
        }
    }
}

fn names(tests: &[Value]) -> Vec<&str> {
    tests.iter().map(|test| test["name"].as_str().expect("a name")).collect()
}

/// In one go, and with so many other snapshots that calls are met while one is taken.
fn each_test_has_its_own_lines(board: Board, every: &str) {
    let mut scene = Scene::new(board);
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
    each_test_has_its_own_lines(Board::An385, "1h");
}

#[test]
fn calls_that_are_met_while_snapshots_are_taken_are_not_missed() {
    each_test_has_its_own_lines(Board::An385, "1ms");
}

#[test]
fn a_pc_names_its_tests_on_its_stack() {
    each_test_has_its_own_lines(Board::I386, "1h");
}

#[test]
fn a_64_bit_pc_names_its_tests() {
    each_test_has_its_own_lines(Board::X86_64, "1h");
}

#[test]
fn a_64_bit_arm_names_its_tests() {
    each_test_has_its_own_lines(Board::Aarch64, "1h");
}

#[test]
fn a_64_bit_riscv_names_its_tests() {
    each_test_has_its_own_lines(Board::Riscv64, "1h");
}

#[test]
fn a_32_bit_riscv_names_its_tests() {
    each_test_has_its_own_lines(Board::Riscv32, "1h");
}

#[test]
fn numbers_are_names() {
    number_names(Board::An385);
}

/// Of registers that are twice as long, of which calls leave the upper half as it is.
#[test]
fn numbers_in_64_bit_registers_are_names() {
    [Board::X86_64, Board::Aarch64, Board::Riscv64].into_iter().for_each(number_names);
}

fn number_names(board: Board) {
    let mut scene = Scene::new(board);
    let (said, tests) = scene.record("1h", "label:1i");
    let wanted: Vec<_> = (-3..=6).chain([-4, -5, -6, -7]).map(|number| number.to_string()).collect();
    assert_eq!(names(&tests), wanted);
    scene.assert_lines('a'..='j', &tests);
    // The last one has not ended.
    let (last, ended) = tests.split_last().expect("tests");
    assert_eq!((&last["cut"], &last["runs"]), (&Value::from(true), &Value::from(0)), "{last}");
    assert!(ended.iter().all(|test| test.get("cut").is_none()), "{ended:?}");
    assert!(said.contains("test -7 has not ended"), "{said}");
    let [folder, elf] = ["tests", "guest.elf"].map(|name| scene.path(name).display().to_string());
    let report = common::run(["report", "--by-test", &folder, &elf]);
    assert_done(&report);
    assert!(stderr(&report).contains("test -7 had not ended when its session did"), "{}", stderr(&report));
    assert_eq!(stderr(&report).matches("had not ended").count(), 1, "{}", stderr(&report));
}

/// All tests, in two runs of the target: the breakpoint is there after a reset too.
#[test]
fn a_target_that_was_reset_goes_on_to_name_its_tests() {
    let mut scene = Scene::new(Board::An385);
    let mut monitor = Monitor::connect(scene.guest.control()).expect("a monitor");
    let tests = scene.path("tests").display().to_string();
    // Snapshots also have QEMU look for what came in on the serial port, which it does not when a guest turns that on.
    let args = scene.args(Way::Gdb, &["--every", "20ms", "--test-dir", &tests, "--label-on", "label:2"]);
    let session = scene.begin(&args);
    scene.run_all();
    monitor.execute("system_reset", &json!({})).expect("QEMU resets the guest");
    while !monitor.events().iter().any(|event| event == "RESET") {
        monitor.status().expect("QEMU answers");
    }
    scene.run_all();
    let (said, tests) = scene.end(session);
    assert_eq!(tests.len(), 11, "{said}");
    scene.assert_lines_of(2, 'a'..='j', &tests);
    assert!(said.contains(" over 1 reset"), "{said}");
}

/// The function that names tests and the one that is called before a reset have their breakpoints, at one place or two.
#[test]
fn tests_are_named_and_snapshots_taken_in_one_session() {
    for (function, more_snapshots) in [("say", 1), ("label", 0)] {
        let mut scene = Scene::new(Board::An385);
        let tests = scene.path("tests").display().to_string();
        let reset = format!("--snapshot-on-reset={function}");
        let more = ["--every", "1h", "--test-dir", &tests, "--label-on", "label:2", &reset];
        let session = scene.begin(&scene.args(Way::Gdb, &more));
        scene.run_all();
        let (said, tests) = scene.end(session);
        assert_eq!(tests.len(), 11, "{function}: {said}");
        scene.assert_lines('a'..='j', &tests);
        // The first and the last one, and one at each of the fourteen calls that name tests.
        let snapshots = format!("covtap: {} snapshots", 16 + more_snapshots);
        assert!(said.contains(&snapshots), "{function}: {said}");
    }
}

/// The wire to the server is cut; the server has not ended, and has the breakpoint or not.
#[test]
fn a_link_that_comes_back_has_its_breakpoint() {
    let mut scene = Scene::new(Board::An385);
    let GdbSocket::Unix(server) = scene.guest.gdb() else { panic!("the server is on a Unix socket") };
    let wire = scene.path("wire");
    let proxy = Proxy::start(&wire, server);
    let tests = scene.path("tests").display().to_string();
    let more = ["--every", "20ms", "--reconnect", "1m", "--test-dir", &tests, "--label-on", "label:2"];
    let args = scene.args_at(["--gdb".to_owned(), format!("unix:{}", wire.display())], &more);
    let session = scene.begin(&args);
    proxy.cut();
    session.wait_for("the target is there again");
    scene.run_all();
    let (said, tests) = scene.end(session);
    assert_eq!(tests.len(), 11, "{said}");
    scene.assert_lines('a'..='j', &tests);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_read() {
    let scene = Scene::new(Board::An385);
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
