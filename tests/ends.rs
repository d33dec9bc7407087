//! How sessions end: as scheduled, by Ctrl-C, with the target, or killed at any moment. Whatever the end, the
//! profile on disk is whole and the target runs on.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::{Session, Way};
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

/// A running guest, a way to it, and where its profile goes.
struct Scene {
    guest: Guest,
    way: Way,
    dir: TempDir,
}

impl Scene {
    fn new(way: Way) -> Self {
        let guest = Guest::builder(Machine::X86Pvh, elf()).start().expect("the guest starts");
        guest.console().wait_for(common::PATIENCE, |line| line.starts_with("phase")).expect("it runs");
        Self { guest, way, dir: tempfile::tempdir().expect("a folder") }
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("valve.profraw")
    }

    fn record(&self, more: &[&str]) -> Vec<String> {
        let [flag, address] = self.way.flags(&self.guest);
        let (elf, output) = (elf().display().to_string(), self.output().display().to_string());
        let base = ["record", &flag, &address, &elf, "-o", &output];
        base.iter().chain(more).map(ToString::to_string).collect()
    }

    fn assert_running(&self) {
        let mut monitor = Monitor::connect(self.guest.control()).expect("a monitor");
        assert_eq!(monitor.status().expect("an answer"), "running");
    }
}

fn elf() -> PathBuf {
    fixture("x86-pvh/covered.elf")
}

#[test]
fn as_scheduled_with_as_many_snapshots_as_asked_for() {
    for way in [Way::Qemu, Way::Gdb] {
        let scene = Scene::new(way);
        let output = common::run(scene.record(&["--every", "10ms", "--snapshots", "3"]));
        common::assert_done(&output);
        assert!(common::stderr(&output).contains("covtap: 3 snapshots, "), "{}", common::stderr(&output));
        assert!(common::nonzero(&common::counts(&scene.output())) > 0);
        scene.assert_running();
    }
}

#[test]
fn quietly() {
    let scene = Scene::new(Way::Qemu);
    let output = common::run(scene.record(&["--snapshots", "1", "--quiet"]));
    common::assert_done(&output);
    assert!(output.stderr.is_empty() && output.stdout.is_empty(), "{}", common::stderr(&output));
}

#[test]
fn where_llvm_profile_file_says() {
    let scene = Scene::new(Way::Qemu);
    let [flag, address] = scene.way.flags(&scene.guest);
    let elf = elf().display().to_string();
    let mut command = common::covtap(["snapshot", &flag, &address, &elf]);
    command.env("LLVM_PROFILE_FILE", scene.dir.path().join("%p-%n.profraw"));
    let child = command.spawn().expect("covtap starts");
    let output = scene.dir.path().join(format!("{}-1.profraw", child.id()));
    common::assert_done(&child.wait_with_output().expect("covtap ends"));
    assert!(common::nonzero(&common::counts(&output)) > 0);
}

#[test]
fn by_ctrl_c_with_a_last_snapshot() {
    for way in [Way::Qemu, Way::Gdb] {
        let scene = Scene::new(way);
        let session = Session::start(&scene.record(&["--every", "1h"]));
        session.wait_for_snapshots(1);
        session.signal(Signal::SIGINT);
        let output = session.end();
        common::assert_done(&output);
        let said = common::stderr(&output);
        assert!(said.contains("covtap: 2 snapshots, "), "{said}");
        assert!(said.contains("after a last snapshot"), "{said}");
        scene.assert_running();
    }
}

/// A monitor that hangs keeps the last snapshot from coming: the second Ctrl-C does not wait for it.
#[test]
fn by_a_second_ctrl_c_at_once() {
    let scene = Scene::new(Way::Qemu);
    let session = Session::start(&scene.record(&[
        "--every",
        "1h",
        "--qemu-method",
        "monitor",
        "--reply-timeout",
        "1h",
    ]));
    session.wait_for_snapshots(1);
    scene.guest.signal(Signal::SIGSTOP).expect("QEMU is there");
    session.signal(Signal::SIGINT);
    session.wait_for("Ctrl-C again stops at once");
    session.signal(Signal::SIGINT);
    let output = session.end();
    assert_eq!(output.status.code(), Some(130), "{}", common::stderr(&output));
    assert!(common::nonzero(&common::counts(&scene.output())) > 0);
    scene.guest.signal(Signal::SIGCONT).expect("QEMU is there");
    scene.assert_running();
}

#[test]
fn with_the_target() {
    let scene = Scene::new(Way::Qemu);
    let session = Session::start(&scene.record(&["--every", "1ms"]));
    session.wait_for_snapshots(3);
    let mut monitor = Monitor::connect(scene.guest.control()).expect("a monitor");
    monitor.execute("quit", &json!({})).expect("QEMU ends in order");
    let output = session.end();
    common::assert_done(&output);
    assert!(common::stderr(&output).contains("ended with the target"), "{}", common::stderr(&output));
    assert!(common::nonzero(&common::counts(&scene.output())) > 0);
}

/// The moments are spread over a session, attaching included: a later one each time.
#[test]
fn killed_at_any_moment() {
    for way in [Way::Qemu, Way::Gdb] {
        let scene = Scene::new(way);
        for moment in 0..12 {
            let session = Session::start(&scene.record(&["--every", "10ms"]));
            thread::sleep(Duration::from_millis(3 * moment));
            session.signal(Signal::SIGKILL);
            session.end();
            if scene.output().exists() {
                common::counts(&scene.output());
            }
            if way == Way::Qemu {
                scene.assert_running();
            }
        }
        // Whatever was left behind is no obstacle, and is cleared away.
        let output = common::run(scene.record(&["--snapshots", "1"]));
        common::assert_done(&output);
        let names = std::fs::read_dir(scene.dir.path()).expect("the folder");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["valve.profraw"]);
    }
}
