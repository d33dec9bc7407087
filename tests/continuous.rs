//! Continuous mode (`%c`): one file that is kept up to date in place, and can be read at any moment.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Counts, PATIENCE, Session, Way, assert_done, counts, covtap, stderr};
use covtap_testbed::{self as testbed, Guest, Machine, fixture};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A running guest, and a folder for profiles.
struct Scene {
    guest: Guest,
    elf: PathBuf,
    way: Way,
    dir: TempDir,
}

impl Scene {
    fn new(elf: &str, way: Way) -> Self {
        let elf = fixture(elf);
        let guest = Guest::builder(Machine::X86Pvh, &elf).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase")).expect("it runs");
        Self { guest, elf, way, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `covtap VERB` into a file of the folder.
    fn args(&self, verb: &str, name: &str, more: &[&str]) -> Vec<String> {
        let [flag, address] = self.way.flags(&self.guest);
        let (elf, output) = (self.elf.display().to_string(), self.path(name).display().to_string());
        let base = [verb, &flag, &address, &elf, "-o", &output];
        base.iter().chain(more).map(ToString::to_string).collect()
    }

    /// The counts when nothing changes any more, as a session of its own reads them.
    fn at_rest(&self) -> Counts {
        assert_done(&common::run(self.args("snapshot", "rest.profraw", &[])));
        counts(&self.path("rest.profraw"))
    }
}

/// Asserts that no counter is behind what it was.
fn assert_growing(before: &Counts, after: &Counts) {
    for (name, before) in before {
        let after = &after[name];
        assert!(before.iter().zip(after).all(|(before, after)| before <= after), "{name} went backwards");
    }
}

/// LLVM's tool reads the file again and again, whatever covtap is at.
#[test]
fn one_file_that_can_be_read_at_any_moment() {
    for way in [Way::Qemu, Way::Gdb] {
        let scene = Scene::new("x86-pvh/covered.elf", way);
        let session = Session::start(&scene.args("record", "%cvalve.profraw", &["--every", "10ms"]));
        session.wait_for_snapshots(1);
        let path = scene.path("valve.profraw");
        let inode = || fs::metadata(&path).expect("the profile").ino();
        let (first, is_over) = (inode(), AtomicBool::new(false));
        let (reads, seen) = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut reads, mut seen) = (0, counts(&path));
                while !is_over.load(Ordering::Relaxed) {
                    let now = counts(&path);
                    assert_growing(&seen, &now);
                    testbed::run("llvm-profdata-19", [OsStr::new("show"), path.as_os_str()])
                        .expect("it is read");
                    (reads, seen) = (reads + 1, now);
                }
                (reads, seen)
            });
            common::tallies_at_rest(&scene.guest);
            is_over.store(true, Ordering::Relaxed);
            reader.join().expect("no panic")
        });
        session.signal(Signal::SIGINT);
        assert_done(&session.end());
        assert_eq!(inode(), first);
        assert!(reads > 10, "only {reads}");
        let last = counts(&path);
        assert_growing(&seen, &last);
        assert_eq!(last, scene.at_rest());
        let names = fs::read_dir(scene.dir.path()).unwrap().count();
        assert_eq!(names, 2, "something was left");
    }
}

/// In every form it is what a session without `%c` writes.
#[test]
fn in_every_form() {
    let scene = Scene::new("x86-pvh/covered.elf", Way::Qemu);
    let forms: [&[&str]; 4] =
        [&[], &["--runtime-identical"], &["--raw-version", "8"], &["--raw-version", "11"]];
    let sessions = ["--every", "1ms", "--snapshots", "40"];
    for form in forms {
        let args = scene.args("record", "%cvalve.profraw", &[&sessions, form].concat());
        assert_done(&common::run(args));
    }
    common::tallies_at_rest(&scene.guest);
    for form in forms {
        for (verb, name) in [("snapshot", "plain"), ("record", "%ckept")] {
            let more = if verb == "record" { &sessions[..] } else { &[] };
            assert_done(&common::run(scene.args(verb, name, &[more, form].concat())));
        }
        assert!(fs::read(scene.path("plain")).unwrap() == fs::read(scene.path("kept")).unwrap(), "{form:?}");
    }
}

/// What changes while it is recorded is what a plain session finds afterwards, also in other forms than the first.
#[test]
fn while_it_changes_in_another_form() {
    let scene = Scene::new("x86-pvh/covered.elf", Way::Qemu);
    let more = ["--every", "5ms", "--runtime-identical"];
    let session = Session::start(&scene.args("record", "%c%p.profraw", &more));
    let path = scene.path(&format!("{}.profraw", session.pid()));
    common::tallies_at_rest(&scene.guest);
    session.signal(Signal::SIGINT);
    assert_done(&session.end());
    assert_done(&common::run(scene.args("snapshot", "rest", &["--runtime-identical"])));
    assert!(fs::read(path).unwrap() == fs::read(scene.path("rest")).unwrap());
}

#[test]
fn with_a_number_or_a_time_in_its_name_it_is_refused() {
    let elf = fixture("x86-pvh/covered.elf").display().to_string();
    for pattern in ["%c%n.profraw", "%t%c.profraw"] {
        let output = common::run(["record", "--qemu", "/nowhere", &elf, "-o", pattern]);
        common::assert_refused(&output, "with %c one file is kept up to date", "");
    }
}

/// Starts covtap on a small disk of its own, below the folder.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=64k none "$1" || exit 99
shift
exec "$@""#;

/// Room for the file was there before the disk was full: all of the rest is written, nothing is lost.
#[test]
fn a_disk_that_becomes_full() {
    let scene = Scene::new("x86-pvh/covered.elf", Way::Qemu);
    let disk = scene.path("disk");
    fs::create_dir(&disk).unwrap();
    let args = scene.args("record", "disk/%cvalve.profraw", &["--every", "10ms"]);
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]).arg(&disk);
    command.arg(env!("CARGO_BIN_EXE_covtap")).args(&args).env_remove("LLVM_PROFILE_FILE");
    let session = Session::of(command);
    session.wait_for_snapshots(1);
    // The disk as covtap has it.
    let disk = PathBuf::from(format!("/proc/{}/root{}", session.pid(), disk.display()));
    let mut profile = File::open(disk.join("valve.profraw")).expect("the profile");
    let mut fill = File::create(disk.join("fill")).expect("a file");
    let full = fill.write_all(&[1; 1 << 17]).expect_err("a full disk");
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    common::tallies_at_rest(&scene.guest);
    session.signal(Signal::SIGINT);
    let output = session.end();
    assert_done(&output);
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
    let mut bytes = Vec::new();
    profile.read_to_end(&mut bytes).expect("the profile");
    fs::write(scene.path("last.profraw"), bytes).unwrap();
    assert_eq!(counts(&scene.path("last.profraw")), scene.at_rest());
}

/// Has no file of a process grow beyond this, or even be written there.
fn limit(session: &Session, len_bytes: &str) {
    let pid = session.pid().to_string();
    testbed::run("prlimit", ["--pid", &pid, &format!("--fsize={len_bytes}:")]).expect("a limit");
}

/// A session that is told by an error, and not by a signal, of what cannot be written.
fn limited(args: &[String]) -> Session {
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_covtap")).args(args).env_remove("LLVM_PROFILE_FILE");
    Session::of(command)
}

fn only_file(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().expect("a file");
    assert!(files.next().is_none());
    file
}

#[test]
fn what_could_not_be_written_is_written_later() {
    for (pattern, step) in [("%cvalve.profraw", "update it in place"), ("%m.profraw", "add to it in place")] {
        let scene = Scene::new("x86-pvh/covered.elf", Way::Qemu);
        fs::create_dir(scene.path("out")).unwrap();
        let session = limited(&scene.args("record", &format!("out/{pattern}"), &["--every", "5ms"]));
        session.wait_for_snapshots(2);
        limit(&session, "64");
        session.wait_for(&format!("{step}: File too large"));
        let snapshots = session.said().lines().filter(|line| line.starts_with("snapshot ")).count();
        session.wait_for_snapshots(snapshots + 5);
        counts(&only_file(&scene.path("out")));
        limit(&session, "unlimited");
        session.wait_for("the profile is up to date again");
        common::tallies_at_rest(&scene.guest);
        session.signal(Signal::SIGINT);
        let output = session.end();
        assert_done(&output);
        let said = stderr(&output);
        assert_eq!(said.matches("covtap: error: ").count(), 1, "{said}");
        assert_eq!(counts(&only_file(&scene.path("out"))), scene.at_rest());
    }
}

#[test]
fn a_last_snapshot_that_could_not_be_written_is_an_error() {
    for pattern in ["%cvalve.profraw", "%m.profraw"] {
        let scene = Scene::new("x86-pvh/spin.elf", Way::Qemu);
        let mut args = scene.args("record", pattern, &["--every", "5ms", "--quiet"]);
        args.push("--runtime-identical".into());
        let session = limited(&args);
        // Quiet as it is, its file tells.
        while fs::read_dir(scene.dir.path())
            .unwrap()
            .all(|it| it.unwrap().path().extension() != Some("profraw".as_ref()))
        {
            thread::yield_now();
        }
        limit(&session, "64");
        session.wait_for("File too large");
        let before = counts(&only_file(scene.dir.path()));
        session.signal(Signal::SIGINT);
        let output = session.end();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        // Once when it begins, and at the end.
        assert_eq!(said.matches("in place: File too large").count(), 2, "{said}");
        assert_eq!(counts(&only_file(scene.dir.path())), before);
    }
}

/// Nothing was written yet that could be kept: it ends as without `%c`.
#[test]
fn a_disk_that_is_full_at_once() {
    let scene = Scene::new("x86-pvh/covered.elf", Way::Qemu);
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; ulimit -f 1; exec "$@""#, "sh"]).arg(env!("CARGO_BIN_EXE_covtap"));
    command.args(scene.args("record", "%cvalve.profraw", &[])).env_remove("LLVM_PROFILE_FILE");
    let output = command.output().expect("covtap starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("fill the temporary file: File too large"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(scene.dir.path()).unwrap().count(), 0);
    assert_done(&covtap(scene.args("snapshot", "a.profraw", &[])).output().expect("covtap starts"));
}
