//! What guests execute that nobody instrumented: by the plugin, against QEMU's own log of the same run.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod guests;
mod log;
mod memory;

use std::ops::Range;
use std::time::{Duration, Instant};

use common::plugin::plugin;
use common::stderr;
use covtap::profile::trace::{self, Trace, Ways};
use guests::{Built, CALLS, Machine};
use log::Log;

const ALL: [Machine; 4] = [Machine::CortexM, Machine::RiscV, Machine::X86, Machine::A64];

/// Runs a guest by `covtap run --trace`.
fn traced(guest: &Built, mode: &str) -> Trace {
    plugin();
    let output = guest.path("trace").display().to_string();
    let words = ["run", "--trace", mode, "-o", &output, "--"].map(str::to_owned);
    let done = common::run(words.into_iter().chain(guest.words()));
    assert!(matches!(done.status.code(), Some(0 | 1)), "{}: {}", done.status, stderr(&done));
    let bytes = std::fs::read(&output).unwrap_or_else(|error| panic!("{error}: {}", stderr(&done)));
    trace::parse("trace", &bytes).expect("a trace")
}

/// Where a guest has its instructions. What else is executed is firmware, which may wait for clocks.
fn code(guest: &Built) -> Range<u64> {
    let all = guest.instructions();
    let (first, last) = (all.first().expect("code"), all.last().expect("code"));
    first.0..last.0 + last.1
}

/// Each instruction that has a known count was executed as often as the log says, in all modes.
fn assert_counts(guest: &Built, log: &Log) {
    let (machine, expected) = (guest.machine, log.counts(&code(guest)));
    for mode in ["insns", "blocks", "edges"] {
        let trace = traced(guest, mode);
        let space = trace.space("").expect("code");
        for (address, len, mnemonic) in guest.instructions_before_the_end() {
            let logged = expected.get(&address).copied().unwrap_or(0);
            assert_eq!(space.count_at(address), logged, "{machine:?} {mode} {address:#x} {mnemonic}");
            let last = space.count_at(address + len - 1);
            assert_eq!(last, logged, "{machine:?} {mode} {address:#x} {mnemonic}: its last byte");
        }
    }
}

/// Each branch went as often as the log says each way.
fn assert_branches(guest: &Built, log: &Log) {
    let machine = guest.machine;
    let trace = traced(guest, "edges");
    let space = trace.space("").expect("code");
    let (mut found, code) = (0, code(guest));
    for (address, len, mnemonic) in guest.instructions() {
        let ways = space.branch(address);
        if !machine.is_branch(&mnemonic) {
            assert_eq!(ways, None, "{machine:?} {address:#x} {mnemonic}");
            continue;
        }
        let (taken, fell_through) = log.followed(address, address + len);
        let seen = ways.map_or((0, 0), |ways| (ways.taken, ways.fell_through));
        assert_eq!(seen, (taken, fell_through), "{machine:?} {address:#x} {mnemonic}");
        found += usize::from(ways.is_some());
    }
    assert!(found > 0, "{machine:?}");
    assert_eq!(space.branches().filter(|(address, _)| code.contains(address)).count(), found);
}

#[test]
fn instructions_are_those_of_the_log_as_often() {
    for machine in ALL {
        let guest = Built::calling(machine, CALLS);
        let log = Log::of(&guest);
        assert!(log.counts(&code(&guest)).values().any(|count| *count >= CALLS), "{machine:?}");
        assert_counts(&guest, &log);
    }
}

#[test]
fn branches_go_the_ways_of_the_log() {
    for machine in ALL {
        let guest = Built::calling(machine, CALLS);
        assert_branches(&guest, &Log::of(&guest));
    }
}

/// QEMU leaves a block where an instruction reaches a device or faults, and begins another one behind it.
#[test]
fn devices_and_faults_in_the_midst_of_blocks_change_no_count() {
    for machine in ALL {
        let guest = Built::of(machine, "devices.S", &[]);
        let log = Log::of(&guest);
        let counts = log.counts(&code(&guest));
        let [fault, behind] = ["fault", "behind"].map(|name| guest.symbol(name));
        assert_eq!((counts[&fault], counts[&behind]), (50, 150), "{machine:?}");
        assert_counts(&guest, &log);
        assert_branches(&guest, &log);
    }
}

/// An interrupt comes between a branch and the next block: where the guest goes on tells which way it went.
#[test]
fn interrupts_leave_no_branch_unseen() {
    const TURNS: u64 = 100_000;
    for machine in ALL {
        let guest = Built::of(machine, "interrupts.S", &[format!("-DTURNS={TURNS}")]);
        let [branch, handler] = ["branch", "handler"].map(|name| guest.symbol(name));
        for counts in ["inline", "callbacks"] {
            let (mut command, file) = guest.traced(&format!("mode=edges,counts={counts}"));
            command.status().expect("QEMU starts");
            let trace = memory::trace(&file);
            let space = trace.space("").expect("code");
            assert!(space.count_at(handler) >= 20, "{machine:?}");
            let count = space.count_at(branch);
            let rounds = count / TURNS;
            let expected = Ways { taken: count - rounds, fell_through: rounds };
            assert_eq!((count % TURNS, space.branch(branch)), (0, Some(expected)), "{machine:?} {counts}");
        }
    }
}

/// QEMU translates code for one privilege.
#[test]
fn code_of_one_privilege_can_be_traced_alone() {
    for machine in ALL {
        let guest = Built::of(machine, "privileges.S", &[]);
        let shared = guest.symbol("shared");
        for (only, expected) in [("", 8), (",only=user", 5), (",only=privileged", 3)] {
            for mode in ["blocks", "edges", "insns"] {
                let (mut command, file) = guest.traced(&format!("mode={mode}{only}"));
                command.status().expect("QEMU starts");
                let trace = memory::trace(&file);
                let count = trace.space("").map(|space| space.count_at(shared));
                assert_eq!(count, Some(expected), "{machine:?} {mode}{only}");
            }
        }
    }
    let guest = Built::of(Machine::RiscV, "privileges.S", &[]);
    let output = guest.path("trace").display().to_string();
    let words = ["run", "--trace", "blocks", "--trace-only", "user", "-o", &output, "--"].map(str::to_owned);
    let done = common::run(words.into_iter().chain(guest.words()));
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let trace = trace::parse("trace", &std::fs::read(&output).expect("a trace")).expect("a trace");
    assert_eq!(trace.space("").expect("code").count_at(guest.symbol("shared")), 5);
}

/// Where a fault ends a block, what stands behind it is not executed.
#[test]
fn what_stands_behind_a_fault_is_not_executed() {
    let guest = Built::of(Machine::CortexM, "faults.S", &[]);
    let log = Log::of(&guest);
    let counts = log.counts(&code(&guest));
    let [fault, behind] = ["fault", "behind"].map(|name| guest.symbol(name));
    assert_eq!((counts.get(&fault), counts.get(&behind)), (Some(&1), None));
    assert_counts(&guest, &log);
}

#[test]
fn the_exit_code_is_the_guests() {
    plugin();
    let guest = Built::of(Machine::RiscV, "../run/guest.c", &["-DCALLS=1".to_owned(), "-DCODE=5".to_owned()]);
    let output = guest.path("trace").display().to_string();
    let words = ["run", "--trace", "blocks", "-q", "-o", &output, "--"].map(str::to_owned);
    let done = common::run(words.into_iter().chain(guest.words()));
    assert_eq!((done.status.code(), stderr(&done).as_str()), (Some(5), ""));
}

#[test]
fn a_guest_without_end_is_written_while_it_runs_and_when_it_is_ended() {
    plugin();
    let guest = Built::calling(Machine::RiscV, 0);
    let output = guest.path("trace").display().to_string();
    let mut words =
        ["run", "--trace", "edges", "--every", "20ms", "-o", &output, "--"].map(str::to_owned).to_vec();
    words.extend(guest.words());
    let session = common::Session::start(&words);
    session.wait_for("bytes of code executed\ncovtap: wrote ");
    let counted = guest.symbol("counted");
    let count = || {
        let trace = trace::parse("trace", &std::fs::read(&output).expect("a trace")).expect("a trace");
        // At first QEMU may have executed nothing.
        trace.space("").map_or(0, |space| space.count_at(counted))
    };
    let deadline = Instant::now() + common::PATIENCE;
    while count() == 0 {
        assert!(Instant::now() < deadline, "nothing was counted");
        std::thread::sleep(Duration::from_millis(2));
    }
    let early = count();
    session.signal(nix::sys::signal::Signal::SIGINT);
    let done = session.end();
    assert_eq!(done.status.code(), Some(130), "{}", stderr(&done));
    assert!(count() > early);
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let done =
        common::run(["run", "--trace", "blocks", "--plugin", "/nowhere/p.so", "--", "qemu-system-arm"]);
    common::assert_refused(&done, "trace the guest: there is no plugin /nowhere/p.so", "covtap-qemu-plugin");
    let done = common::run(["run", "--trace", "blocks", "--lcov", "x", "--", "qemu-system-arm"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("cannot be used with"), "{}", stderr(&done));
}
