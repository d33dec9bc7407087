//! Every way to end.

use std::fs;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::common::{PATIENCE, Session, stderr};
use crate::guest::{Built, CALLS, End};

/// The guest is counted to its last call, and covtap's exit code is QEMU's.
#[test]
fn by_the_guest_itself_with_all_counts() {
    let cases = [
        (End::IsaDebugExit, 16, 33),
        (End::Semihosting, 7, 7),
        (End::Semihosting, 0, 0),
        (End::PlainSemihosting, 0, 0),
        (End::PlainSemihosting, 1, 1),
        (End::SifiveTest32, 0, 0),
        (End::SifiveTest32, 5, 5),
        (End::SifiveTest64, 0, 0),
        (End::SifiveTest64, 5, 5),
        (End::Psci, 0, 0),
    ];
    for (end, code, expected) in cases {
        let guest = Built::new(end, CALLS, code);
        assert_eq!(guest.code_alone(), Some(expected), "{end:?} without covtap");
        let output = guest.run(&[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(expected), "{end:?}: {said}");
        assert_eq!(guest.entered(), [1, CALLS, CALLS / 2], "{end:?}: {said}");
        assert!(said.contains("ended with the target"), "{said}");
        guest.assert_tidy();
    }
}

/// Translations of virtual addresses are checked again after a second, but not at QEMU's end, when nobody answers.
#[test]
fn by_the_guest_itself_read_at_virtual_addresses() {
    const MANY_CALLS: u64 = 2_000_000;
    let guest = Built::new(End::IsaDebugExit, MANY_CALLS, 16);
    let output = guest.run(&["--every", "1h", "--qemu-address", "virtual"]);
    assert_eq!(output.status.code(), Some(33), "{}", stderr(&output));
    assert_eq!(guest.entered(), [1, MANY_CALLS, MANY_CALLS / 2], "{}", stderr(&output));
}

/// Coverage is judged where the guest has succeeded; where it has not, its own code says more.
#[test]
fn below_a_threshold() {
    // One call: `odd` is never entered.
    for (code, options, expected) in [
        (0, &["--fail-under-functions", "100"][..], 1),
        (0, &["--fail-under-functions", "50"], 0),
        (5, &["--fail-under-functions", "100"], 5),
        (5, &["--fail-under-functions", "50", "--success", "5"], 0),
        (5, &["--fail-under-functions", "100", "--success", "5"], 1),
        (0, &["--success", "5"], 1),
    ] {
        let output = Built::new(End::SifiveTest64, 1, code).run(options);
        assert_eq!(output.status.code(), Some(expected), "{code} {options:?}: {}", stderr(&output));
    }
}

#[test]
fn by_a_time_out() {
    let guest = Built::new(End::IsaDebugExit, 0, 0);
    let output = guest.run(&["--timeout", "1500ms"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("error: run qemu-system-x86_64: the guest did not end within 1.5 s"), "{said}");
    assert_counted(&guest);
    guest.assert_tidy();
}

#[test]
fn by_ctrl_c_to_covtap_alone() {
    let (guest, session, qemu) = endless();
    session.signal(Signal::SIGINT);
    assert_interrupted(&guest, session, qemu);
}

/// As a terminal does it: QEMU gets the signal as well.
#[test]
fn by_ctrl_c_to_the_whole_group() {
    let (guest, session, qemu) = endless();
    killpg(session.pid(), Signal::SIGINT).expect("covtap and QEMU are there");
    assert_interrupted(&guest, session, qemu);
}

/// QEMU hangs: it does not hear the monitor, nor SIGTERM.
#[test]
fn by_ctrl_c_with_a_qemu_that_does_not_answer() {
    let (guest, session, qemu) = endless();
    kill(qemu, Signal::SIGSTOP).expect("QEMU is there");
    session.signal(Signal::SIGINT);
    assert_interrupted(&guest, session, qemu);
}

#[test]
fn by_a_signal_to_qemu() {
    for (signal, code) in [(Signal::SIGKILL, 137), (Signal::SIGABRT, 134), (Signal::SIGTERM, 0)] {
        let (guest, session, qemu) = endless();
        kill(qemu, signal).expect("QEMU is there");
        let output = session.end();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{signal}: {said}");
        assert!(said.contains("ended with the target"), "{signal}: {said}");
        assert_counted(&guest);
        assert_gone(qemu);
        guest.assert_tidy();
    }
}

#[test]
fn with_covtap_that_is_killed() {
    let (guest, session, qemu) = endless();
    session.signal(Signal::SIGKILL);
    session.end();
    assert_gone(qemu);
    guest.assert_tidy();
}

/// The guest is not what it was said to be: QEMU does not run on without covtap.
#[test]
fn with_an_error_of_covtap() {
    let guest = Built::new(End::IsaDebugExit, 0, 0);
    let other = Built::new(End::IsaDebugExit, CALLS, 0);
    let elf = other.elf().display().to_string();
    let output = guest.run(&["--elf", &elf, "--timeout", "1m"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("runs "), "{}", stderr(&output));
    guest.assert_tidy();
}

/// A guest that runs without end and has counted, covtap in a process group of its own, and QEMU.
fn endless() -> (Built, Session, Pid) {
    let guest = Built::new(End::IsaDebugExit, 0, 0);
    let mut command = guest.covtap(&["--every", "20ms"]);
    command.process_group(0);
    let session = Session::of(command);
    session.wait_for("functions 3/3");
    let children: Vec<_> = fs::read_dir(format!("/proc/{}/task", session.pid()))
        .expect("covtap's threads")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .collect();
    let qemu = children.concat().trim().parse().expect("covtap has one child");
    (guest, session, Pid::from_raw(qemu))
}

fn assert_interrupted(guest: &Built, session: Session, qemu: Pid) {
    let output = session.end();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(", after a last snapshot") || said.contains("ended with the target"), "{said}");
    assert_counted(guest);
    assert_gone(qemu);
    guest.assert_tidy();
}

/// The profile has what an endless guest has counted.
fn assert_counted(guest: &Built) {
    let [workload, counted, odd] = guest.entered();
    assert!(workload == 1 && counted > 0 && odd > 0, "{workload} {counted} {odd}");
}

/// Waits until a process has ended; who reaps it is not known.
fn assert_gone(process: Pid) {
    let deadline = Instant::now() + PATIENCE;
    let is_there = || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    };
    while is_there() {
        assert!(Instant::now() < deadline, "process {process} is still there");
        thread::sleep(Duration::from_millis(5));
    }
}
