//! Targets that are reset fifty times, by themselves and by others, and links that come back: nothing that was counted
//! is lost, and nothing is counted twice.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use common::reset_guest::Board;
use common::{PATIENCE, Session, Way};
use covtap_testbed::{Guest, Machine, Monitor, fixture, workspace_root};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

/// As often is a guest reset.
const RESETS: usize = 50;

/// So many snapshots may be on their way to the disk, and have been read before now; the ones after them were not.
const SURELY_LATER: usize = 12;

/// A guest of `tests/resets`, waiting to be started.
struct Scene {
    dir: TempDir,
    elf: PathBuf,
    guest: Guest,
    monitor: Monitor,
    /// What the guest waits at, if it does.
    start: Option<UnixStream>,
}

/// The calls that a guest says it made.
#[derive(PartialEq, Eq, Debug, Default)]
struct Calls {
    begin: u64,
    even: u64,
    odd: u64,
}

impl Scene {
    fn new(board: Board, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let elf = dir.path().join("guest.elf");
        let main = workspace_root().join("tests/resets/guest.c");
        board.build(&main, &[], flags, &elf);
        let guest = board.guest(&elf).args(["-S"]).start().expect("the guest is there");
        let monitor = Monitor::connect(guest.control()).expect("a monitor");
        Self { dir, elf, guest, monitor, start: None }
    }

    /// As [`new`](Self::new), with a guest that runs, and waits for a byte before it counts.
    fn waiting(board: Board, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let elf = dir.path().join("guest.elf");
        let main = workspace_root().join("tests/resets/guest.c");
        let flags: Vec<_> = flags.iter().copied().chain(["-DBY_COMMAND"]).collect();
        board.build(&main, &[&board.serial()], &flags, &elf);
        let socket = dir.path().join("serial");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let guest = board.guest_with_serial(&elf, &socket).start().expect("the guest starts");
        let (start, _) = listener.accept().expect("QEMU connects");
        let monitor = Monitor::connect(guest.control()).expect("a monitor");
        Self { dir, elf, guest, monitor, start: Some(start) }
    }

    fn profile(&self) -> PathBuf {
        self.dir.path().join("guest.profraw")
    }

    /// Starts a recording, and then the guest.
    fn record(&mut self, way: Way, more: &[&str]) -> Session {
        let [flag, address] = way.flags(&self.guest);
        let (elf, output) = (self.elf.display().to_string(), self.profile().display().to_string());
        let args = ["record", &flag, &address, &elf, "-o", &output];
        let args: Vec<_> = args.iter().chain(more).map(ToString::to_string).collect();
        let session = Session::start(&args);
        session.wait_for_snapshots(1);
        match &mut self.start {
            Some(start) => start.write_all(b"a").expect("the guest hears"),
            None => self.monitor.execute("cont", &json!({})).map(|_| ()).expect("the guest starts"),
        }
        session
    }

    /// Adds up what the guest says of one run; `None` when it rests.
    fn next_run(&self, calls: &mut Calls) -> Option<()> {
        let line = self.guest.console().wait_for(PATIENCE, |_| true).expect("the guest goes on");
        let words: Vec<_> = line.split(' ').collect();
        let ["run", _, "steps", steps] = words[..] else {
            assert_eq!(line, "rest");
            return None;
        };
        let steps: u64 = steps.parse().expect("a number");
        calls.begin += 1;
        calls.even += steps.div_ceil(2);
        calls.odd += steps / 2;
        Some(())
    }

    fn end(&self, session: Session) -> (Calls, String) {
        session.signal(Signal::SIGINT);
        let output = session.end();
        common::assert_done(&output);
        (counted(&self.profile()), common::stderr(&output))
    }
}

/// What a profile says.
fn counted(profile: &Path) -> Calls {
    let counts = common::counts(profile);
    let entry = |name: &str| counts.iter().find(|(key, _)| key.ends_with(name)).expect("a function").1[0];
    Calls { begin: entry("begin"), even: entry("even"), odd: entry("odd") }
}

/// Triple faults, watchdogs and the processor's own request: QEMU is asked to stop the guest before each of them.
#[test]
fn each_run_is_read_to_its_end_before_a_reset() {
    for board in [Board::I386, Board::An385] {
        let mut scene = Scene::new(board, &[]);
        let session = scene.record(Way::Qemu, &["--every", "1h", "--snapshot-on-reset"]);
        let mut said = Calls::default();
        while scene.next_run(&mut said).is_some() {}
        let (counted, stderr) = scene.end(session);
        assert_eq!(counted, said, "{board:?}: {stderr}");
        // A PC's firmware resets it once more when it was not switched on.
        let resets = if board == Board::An385 { RESETS } else { 2 * RESETS };
        assert!(stderr.contains(&format!(" over {resets} resets")), "{board:?}: {stderr}");
    }
}

/// The guest is stopped where it is about to reset itself, and where it begins anew. Often a run counts more than the one
/// before, so that counters alone show no reset.
#[test]
fn each_run_is_read_to_its_end_at_the_call_before_a_reset() {
    for (board, every) in [(Board::An385, "1h"), (Board::An385, "2ms"), (Board::I386, "1h")] {
        runs_are_read_to_their_ends_at_calls(board, every, 30);
    }
}

#[test]
fn so_it_is_on_other_processors() {
    for board in [Board::X86_64, Board::Aarch64, Board::Riscv64, Board::Riscv32] {
        runs_are_read_to_their_ends_at_calls(board, "1h", 6);
    }
}

fn runs_are_read_to_their_ends_at_calls(board: Board, every: &str, resets: u32) {
    let mut scene = Scene::waiting(board, &[&format!("-DRUNS={resets}")]);
    let more = ["--every", every, "--snapshot-on-reset=reset_machine"];
    let session = scene.record(Way::Gdb, &more);
    let mut said = Calls::default();
    while scene.next_run(&mut said).is_some() {}
    let (counted, stderr) = scene.end(session);
    assert_eq!(counted, said, "{board:?} {every}: {stderr}");
    assert!(stderr.contains("each call of reset_machine, at 0x"), "{stderr}");
    assert!(stderr.contains(&format!(" over {resets} resets")), "{board:?} {every}: {stderr}");
}

/// Every run counts the same, and is over before anybody has looked.
#[test]
fn runs_that_are_all_the_same_are_told_apart_at_the_call_before_a_reset() {
    let mut scene = Scene::waiting(Board::An385, &["-DRUNS=10", "-DEVER_THE_SAME", "-DSTEPS=2u"]);
    let session = scene.record(Way::Gdb, &["--every", "1h", "--snapshot-on-reset=reset_machine"]);
    let mut said = Calls::default();
    while scene.next_run(&mut said).is_some() {}
    let (counted, stderr) = scene.end(session);
    assert_eq!(counted, said, "{stderr}");
    assert!(stderr.contains(" over 10 resets"), "{stderr}");
}

/// A function that returns instead, as this one does where the host is to reset the guest, is no reset.
#[test]
fn a_call_that_resets_nothing_is_counted_once() {
    let mut scene = Scene::waiting(Board::An385, &["-DBY_HOST"]);
    let more = ["--every", "5ms", "--snapshot-on-reset=reset_machine"];
    let session = scene.record(Way::Gdb, &more);
    let mut said = Calls::default();
    scene.next_run(&mut said).expect("it waits for a reset");
    session.wait_for_more_snapshots(SURELY_LATER);
    let (counted, stderr) = scene.end(session);
    assert_eq!(counted, said, "{stderr}");
    assert!(!stderr.contains("resets"), "{stderr}");
}

/// What holds a guest before a reset is another thing on each way to it.
#[test]
fn a_way_that_cannot_stop_before_a_reset_is_refused() {
    let scene = Scene::new(Board::An385, &[]);
    let refuse = |way: Way, flag: &str, error: &str, hint: &str| {
        let [address_flag, address] = way.flags(&scene.guest);
        let (elf, output) = (scene.elf.display().to_string(), scene.profile().display().to_string());
        let args = ["record", &address_flag, &address, &elf, "-o", &output, flag];
        common::assert_refused(&common::run(args), error, hint);
        assert!(!scene.profile().exists());
    };
    let with = "--snapshot-on-reset=reset_machine";
    refuse(Way::Qemu, with, "take snapshots at calls of reset_machine: this way to", "takes no function");
    refuse(Way::Gdb, "--snapshot-on-reset", "before each reset: this way to it cannot", "=FUNCTION");
    refuse(Way::Gdb, "--snapshot-on-reset=reset_machin", "no ELF has a function of that name", "nm shows");
    let [flag, address] = Way::Gdb.flags(&scene.guest);
    let (elf, output) = (scene.elf.display().to_string(), scene.profile().display().to_string());
    let once = common::run(["record", &flag, &address, &elf, "-o", &output, "--snapshots", "1", with]);
    common::assert_done(&once);
    assert!(common::stderr(&once).contains("the target is halted: calls may not be met"));
}

/// The guest has said what it counted, and a snapshot was taken after that: nothing is in the window before the reset.
/// Each run counts less than the one before, so that each reset shows however late covtap looks.
#[test]
fn runs_are_added_up_whoever_resets_the_target() {
    for (board, way) in [(Board::I386, Way::Qemu), (Board::An385, Way::Qemu), (Board::An385, Way::Gdb)] {
        let mut scene = Scene::new(board, &["-DBY_HOST", "-DEVER_LESS"]);
        let session = scene.record(way, &["--every", "5ms"]);
        let mut said = Calls::default();
        for run in 0..=RESETS {
            scene.next_run(&mut said).expect("the guest waits for a reset");
            if run < RESETS {
                assert_eq!(scene.guest.console().wait_for(PATIENCE, |_| true).expect("it goes on"), "rest");
                session.wait_for_more_snapshots(SURELY_LATER);
                scene.monitor.execute("system_reset", &json!({})).expect("QEMU resets the guest");
            }
        }
        let (counted, stderr) = scene.end(session);
        assert_eq!(counted, said, "{board:?} {way:?}: {stderr}");
    }
}

/// What is counted between the last snapshot and the reset is missing, and nothing else can be told: but never too much.
#[test]
fn a_target_that_resets_itself_is_never_counted_twice() {
    for way in [Way::Qemu, Way::Gdb] {
        let mut scene = Scene::new(Board::An385, &[]);
        let session = scene.record(way, &["--every", "2ms"]);
        let mut said = Calls::default();
        while scene.next_run(&mut said).is_some() {}
        let (counted, stderr) = scene.end(session);
        assert!(counted.begin <= said.begin && counted.begin > 1, "{way:?} {counted:?} {said:?}: {stderr}");
        assert!(
            counted.even <= said.even && counted.odd <= said.odd,
            "{way:?} {counted:?} {said:?}: {stderr}"
        );
        assert!(counted.even > 0 && counted.odd > 0, "{way:?} {counted:?}: {stderr}");
    }
}

/// QEMU is killed, and another one is soon where it was.
#[test]
fn a_session_outlives_its_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("qmp");
    let elf = fixture("x86-pvh/covered.elf");
    let start = || Guest::builder(Machine::X86Pvh, &elf).start().expect("the guest starts");
    let mut first = start();
    symlink(first.qmp(), &socket).expect("a link");
    let output = dir.path().join("valve.profraw");
    let [socket_arg, elf_arg, output_arg] = [&socket, &elf, &output].map(|path| path.display().to_string());
    let args = ["record", "--qemu", &socket_arg, &elf_arg, "-o", &output_arg];
    let more = ["--every", "20ms", "--reconnect", "1m"];
    let session = Session::start(&args.iter().chain(&more).map(ToString::to_string).collect::<Vec<_>>());
    session.wait_for_snapshots(3);
    let before = common::counts(&output);
    first.kill().expect("QEMU ends");
    session.wait_for("trying again for 60 s");
    let second = start();
    std::fs::remove_file(&socket).expect("the link goes");
    symlink(second.qmp(), &socket).expect("a link");
    session.wait_for("the target is there again");
    common::tallies_at_rest(&second);
    session.wait_for_more_snapshots(2);
    session.signal(Signal::SIGINT);
    let ended = session.end();
    common::assert_done(&ended);
    let sum = common::counts(&output);
    let alone = dir.path().join("alone.profraw");
    let alone_arg = alone.display().to_string();
    let second_socket = second.qmp().display().to_string();
    common::assert_done(&common::run(["snapshot", "--qemu", &second_socket, &elf_arg, "-o", &alone_arg]));
    let alone = common::counts(&alone);
    for (name, counts) in &sum {
        for (index, count) in counts.iter().enumerate() {
            assert!(*count >= before[name][index] + alone[name][index], "{name} {index}");
        }
    }
}

/// What was counted before covtap attached does not count.
#[test]
fn a_baseline_is_what_was_there_at_first() {
    let guest =
        Guest::builder(Machine::X86Pvh, fixture("x86-pvh/covered.elf")).start().expect("the guest starts");
    common::tallies_at_rest(&guest);
    let dir = tempfile::tempdir().expect("a folder");
    let output = dir.path().join("valve.profraw").display().to_string();
    let elf = fixture("x86-pvh/covered.elf").display().to_string();
    let [flag, address] = Way::Qemu.flags(&guest);
    let args = ["record", &flag, &address, &elf, "-o", &output, "--snapshots", "2", "--every", "10ms"];
    common::assert_done(&common::run(args));
    assert!(common::nonzero(&common::counts(output.as_ref())) > 0);
    common::assert_done(&common::run(args.into_iter().chain(["--baseline"])));
    assert_eq!(common::nonzero(&common::counts(output.as_ref())), 0);
}
