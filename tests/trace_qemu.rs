//! `covtap trace --qemu`: guests that run already and were not instrumented, against QEMU's log of single instructions.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "trace_gdb/round.rs"]
mod round;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use common::{Session, assert_done, stderr};
use covtap::profile::trace::{Counting, Trace, parse};
use covtap_testbed::{GdbSocket, GuestBuilder, Machine, Monitor, fixture};
use nix::sys::signal::Signal;
use round::{Round, logged};

fn args(round: &Round, more: &[&str]) -> Vec<String> {
    let (qmp, elf) = (round.guest.qmp().display().to_string(), round.elf.display().to_string());
    let output = trace_in(round).display().to_string();
    let args = ["trace", "--qemu", &qmp, &elf, "-o", &output];
    args.iter().chain(more).map(ToString::to_string).collect()
}

fn trace_in(round: &Round) -> PathBuf {
    round.dir.path().join("trace")
}

fn read_trace(round: &Round) -> Trace {
    parse("trace", &fs::read(trace_in(round)).expect("a trace")).expect("it can be read")
}

/// The logs of covtap's that QEMU has open.
fn logs(round: &Round) -> Vec<PathBuf> {
    let fds = fs::read_dir(format!("/proc/{}/fd", round.guest.pid())).expect("QEMU's descriptors");
    let paths = fds.map(|fd| fd.expect("a descriptor").path());
    let is_log =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|file| file.to_string_lossy().contains("covtap-log"));
    paths.filter(is_log).collect()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < common::PATIENCE, "it never came to that");
        std::thread::yield_now();
    }
}

/// The guest runs, QEMU logs nothing, and somebody else may have its monitor and its GDB server.
fn assert_left(round: &mut Round) {
    round.assert_left_alone();
    // QEMU closes a file when each of its processors has left the code that it is in, which this one does not by itself.
    wait_until(|| {
        for command in ["stop", "cont"] {
            round.monitor.human(command).expect(command);
        }
        logs(round).is_empty()
    });
    Monitor::connect(round.guest.qmp()).expect("the monitor is free");
    assert!(gdb_device(round).is_none_or(|device| device.starts_with("disconnected:")));
}

/// QEMU's GDB server.
fn gdb_device(round: &mut Round) -> Option<String> {
    let devices = round.monitor.execute("query-chardev", &serde_json::json!({})).expect("its devices");
    let device = devices.as_array().expect("devices").iter().find(|device| device["label"] == "gdb");
    device.map(|device| device["filename"].as_str().expect("a name").to_owned())
}

fn traces_are_those_of_the_log(machine: Machine) {
    let mut round = Round::new(machine);
    let steady = round.steady();
    assert!(steady.len() > 20, "{steady:x?}");
    for _ in 0..3 {
        let output = common::run(args(&round, &["--for", "1s"]));
        assert_done(&output);
        let said = stderr(&output);
        assert!(
            said.contains("tracing by QEMU's log") && said.contains("the guest stood still for "),
            "{said}"
        );
        assert!(!said.contains("not mapped"), "{said}");
        let trace = read_trace(&round);
        assert_eq!((trace.counting, trace.build_ids.len()), (Counting::Reached, 1));
        assert!(!trace.has_branches);
        assert_eq!(round.reached(&trace), steady);
        assert_left(&mut round);
        assert!(gdb_device(&mut round).is_some(), "its GDB server is still there");
    }
}

/// One is opened for it, and closed again.
#[test]
fn a_guest_without_a_gdb_server_is_traced_too() {
    let mut round = Round::started(Machine::An385, GuestBuilder::without_gdb);
    round.wait_for_turns(8);
    let steady = round.steady();
    for _ in 0..2 {
        assert_done(&common::run(args(&round, &["--for", "1s"])));
        assert_eq!(round.reached(&read_trace(&round)), steady);
        assert_left(&mut round);
        assert_eq!(gdb_device(&mut round), None);
    }
}

#[test]
fn traces_of_a_cortex_m_are_those_of_the_log_one_after_the_other() {
    traces_are_those_of_the_log(Machine::An385);
}

#[test]
fn traces_of_a_risc_v_are_those_of_the_log_one_after_the_other() {
    traces_are_those_of_the_log(Machine::Riscv64Virt);
}

#[test]
fn traces_of_a_pc_are_those_of_the_log_one_after_the_other() {
    traces_are_those_of_the_log(Machine::X86Pvh);
}

#[test]
fn a_guest_is_traced_from_its_first_instruction() {
    let mut round = Round::started(Machine::An385, |guest| guest.args(["-S"]));
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    assert_eq!(round.monitor.status().expect("a state"), "prelaunch");
    round.monitor.human("cont").expect("an answer");
    round.wait_for_turns(64);
    session.signal(Signal::SIGINT);
    assert_done(&session.end());
    let log: BTreeSet<u64> = logged(Machine::An385, &round.elf, 20_000).into_iter().collect();
    assert_eq!(round.reached(&read_trace(&round)), log);
    assert_left(&mut round);
}

#[test]
fn a_guest_that_is_paused_stays_so() {
    let mut round = Round::new(Machine::An385);
    round.monitor.human("stop").expect("an answer");
    let output = common::run(args(&round, &["--for", "100ms"]));
    assert_done(&output);
    assert_eq!(round.monitor.status().expect("a state"), "paused");
    assert!(read_trace(&round).is_empty());
    round.monitor.human("cont").expect("an answer");
    assert_left(&mut round);
}

#[test]
fn a_guest_goes_on_unlogged_when_covtap_is_killed() {
    let mut round = Round::new(Machine::An385);
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    assert!(!logs(&round).is_empty());
    session.signal(Signal::SIGKILL);
    session.end();
    assert_left(&mut round);
    // And it can be traced again.
    let steady = round.steady();
    assert_done(&common::run(args(&round, &["--for", "1s"])));
    assert_eq!(round.reached(&read_trace(&round)), steady);
}

#[test]
fn a_guest_goes_on_while_covtap_is_suspended() {
    let mut round = Round::new(Machine::An385);
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    session.signal(Signal::SIGSTOP);
    // Other translations, which are logged too.
    round.monitor.human("one-insn-per-tb on").expect("an answer");
    round.wait_for_turns(64);
    round.monitor.human("one-insn-per-tb off").expect("an answer");
    round.wait_for_turns(64);
    session.signal(Signal::SIGCONT);
    session.signal(Signal::SIGINT);
    assert_done(&session.end());
    assert_left(&mut round);
}

/// Each block that is entered has a line of its own here, so that there is more than one file has.
#[test]
fn a_log_that_is_long_goes_on_in_other_files() {
    let mut round = Round::new(Machine::An385);
    let steady = round.steady();
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    round.monitor.human("log in_asm,exec,nochain").expect("an answer");
    let mut files = BTreeSet::new();
    wait_until(|| {
        files.extend(logs(&round).into_iter().map(|log| fs::metadata(log).map_or(0, |file| file.ino())));
        files.len() >= 2
    });
    round.monitor.human("log in_asm").expect("an answer");
    session.signal(Signal::SIGINT);
    assert_done(&session.end());
    assert_eq!(round.reached(&read_trace(&round)), steady);
    assert_left(&mut round);
}

#[test]
fn what_was_traced_is_written_when_the_guest_is_killed() {
    let mut round = Round::new(Machine::An385);
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    round.wait_for_turns(64);
    round.guest.kill().expect("it ends");
    let output = session.end();
    common::assert_refused(&output, "closed", "has the target ended?");
    assert!(stderr(&output).contains("the trace is "), "{}", stderr(&output));
    assert!(!read_trace(&round).is_empty());
}

#[test]
fn a_guest_that_ends_by_itself_is_no_error() {
    let mut round = Round::new(Machine::An385);
    let session = Session::start(&args(&round, &[]));
    session.wait_for("tracing by QEMU's log");
    round.wait_for_turns(64);
    // Its answer may not come any more.
    let _ = round.monitor.human("quit");
    let output = session.end();
    assert_done(&output);
    assert!(stderr(&output).contains("the target has ended"), "{}", stderr(&output));
    assert!(!read_trace(&round).is_empty());
}

#[test]
fn what_would_be_taken_away_is_refused() {
    let mut round = Round::new(Machine::An385);
    let output = common::run(args(&round, &["--method", "step"]));
    common::assert_refused(&output, "no steps", "--gdb");
    let GdbSocket::Unix(gdb) = round.guest.gdb() else { panic!("it has a socket") };
    let debugger = std::os::unix::net::UnixStream::connect(gdb).expect("its GDB server");
    wait_until(|| round.monitor.status().expect("a state") == "paused");
    let output = common::run(args(&round, &[]));
    common::assert_refused(&output, "is in use", "");
    drop(debugger);
    round.monitor.human("cont").expect("an answer");
    assert_left(&mut round);
    let log = round.dir.path().join("its-log").display().to_string();
    let mut round = Round::started(Machine::An385, |guest| guest.args(["-d", "guest_errors", "-D", &log]));
    let output = common::run(args(&round, &[]));
    common::assert_refused(&output, "QEMU logs since its start (-d guest_errors)", "");
    assert_left(&mut round);
    assert!(!trace_in(&round).exists(), "nothing was traced");
}

#[test]
fn another_program_is_refused_before_anything_is_logged() {
    let mut round = Round::new(Machine::An385);
    let own = std::mem::replace(&mut round.elf, fixture("c-an385/plain.elf"));
    let output = common::run(args(&round, &[]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    round.elf = own;
    assert_left(&mut round);
    assert!(!trace_in(&round).exists(), "nothing was traced");
}
