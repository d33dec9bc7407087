//! Where `record` and `snapshot` put `.gcda` files, and what becomes of files that are there already.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::gcov_guest::{UNITS, build};
use common::{PATIENCE, Way, assert_done, assert_refused, stderr};
use covtap::profile::gcov::{GcdaFile, read};
use covtap_testbed::{Guest, Machine, Monitor};
use serde_json::json;
use tempfile::TempDir;

/// A guest that stands still in the middle of its work.
struct Scene {
    dir: TempDir,
    elf: PathBuf,
    guest: Guest,
}

impl Scene {
    fn new() -> Self {
        let (dir, elf) = build("covered");
        let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 1")).expect("the workload goes on");
        let mut monitor = Monitor::connect(guest.control()).expect("a second monitor");
        monitor.execute("stop", &json!({})).expect("the guest stops");
        Self { dir, elf, guest }
    }

    fn snapshot(&self, more: &[&str]) -> Output {
        let [flag, address] = Way::Qemu.flags(&self.guest);
        let elf = self.elf.display().to_string();
        let args = ["snapshot", &flag, &address, &elf].into_iter().chain(more.iter().copied());
        common::covtap(args).current_dir(&self.dir).output().expect("covtap starts")
    }

    fn path(&self, unit: &str) -> PathBuf {
        self.dir.path().join(format!("gcda/covtap/{unit}.gcda"))
    }

    fn files(&self) -> Vec<GcdaFile> {
        UNITS.iter().map(|unit| read(unit, &fs::read(self.path(unit)).unwrap()).unwrap()).collect()
    }
}

fn arcs(files: &[GcdaFile]) -> Vec<u64> {
    let functions = files.iter().flat_map(|file| file.functions.iter().flatten());
    functions.flat_map(|function| function.counters[0].values.clone()).collect()
}

#[test]
fn a_session_adds_to_what_is_there_once() {
    let scene = Scene::new();
    assert_done(&scene.snapshot(&[]));
    let once = arcs(&scene.files());
    assert!(once.iter().any(|count| *count > 1000));
    let said = scene.snapshot(&[]);
    assert_done(&said);
    assert!(stderr(&said).contains("added to those of 3 .gcda files in gcda"), "{}", stderr(&said));
    let files = scene.files();
    assert_eq!(arcs(&files), once.iter().map(|count| 2 * count).collect::<Vec<_>>());
    assert!(files.iter().all(|file| file.summary.unwrap().runs == 2));
    assert_done(&scene.snapshot(&["--gcda-replace"]));
    assert_eq!(arcs(&scene.files()), once);
    // No snapshot is added to the one before.
    fs::remove_dir_all(scene.dir.path().join("gcda")).unwrap();
    let [flag, address] = Way::Qemu.flags(&scene.guest);
    let elf = scene.elf.display().to_string();
    let dir = scene.dir.path().join("gcda").display().to_string();
    let session = ["record", &flag, &address, &elf, "--every", "1ms", "--snapshots", "5", "--gcda-dir", &dir];
    assert_done(&common::run(session));
    assert_eq!(arcs(&scene.files()), once);
}

#[test]
fn a_file_of_another_build_is_replaced_and_one_that_is_damaged_is_kept() {
    let scene = Scene::new();
    assert_done(&scene.snapshot(&[]));
    let once = arcs(&scene.files()[1..2]);
    let main = scene.path("main");
    let whole = fs::read(&main).unwrap();

    // Behind magic, version and stamp.
    let mut other = whole.clone();
    other[12] ^= 1;
    fs::write(&main, &other).unwrap();
    let said = scene.snapshot(&[]);
    assert_done(&said);
    let expected = format!("{} is of another build and will be replaced", "gcda/covtap/main.gcda");
    assert!(stderr(&said).contains(&expected), "{}", stderr(&said));
    assert_eq!(arcs(&scene.files()[1..2]), once);

    let valve = fs::read(scene.path("valve")).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"not a profile", b""] {
        fs::write(&main, damaged).unwrap();
        assert_refused(&scene.snapshot(&[]), "add to gcda/covtap/main.gcda: ", "--gcda-replace");
        assert_eq!(fs::read(&main).unwrap(), damaged);
        assert_eq!(fs::read(scene.path("valve")).unwrap(), valve);
    }
    assert_done(&scene.snapshot(&["--gcda-replace"]));
    assert_eq!(fs::read(&main).unwrap(), whole);
}

/// The names are the image's, and may be anything.
#[test]
fn no_name_leads_out_of_the_directory() {
    let (dir, elf) = build("covered");
    let bytes = fs::read(&elf).unwrap();
    let (old, new) = (b"/covtap/main.gcda", b"/../../main0.gcda");
    let at = bytes.windows(old.len()).position(|name| name == old).expect("the name");
    let changed = [&bytes[..at], new, &bytes[at + new.len()..]].concat();
    fs::write(&elf, changed).unwrap();
    let elf = elf.display().to_string();
    let out = dir.path().join("a/b/c").display().to_string();
    let nobody = dir.path().join("nobody").display().to_string();
    let args = ["snapshot", "--qemu", &nobody, &elf, "--gcda-dir", &out];
    let expected = "place \"/../../main0.gcda\" below the output directory: it leads out of it";
    assert_refused(&common::run(args), expected, "--gcda-strip");
    assert!(!Path::new(&out).exists());
    // Without its directories it is a name like others.
    let args = ["snapshot", "--qemu", &nobody, &elf, "--gcda-dir", &out, "--gcda-strip", "9"];
    assert_refused(&common::run(args), "nobody", "is the target up");
}

#[test]
fn no_name_moves_the_cursor() {
    let (dir, elf) = build("covered");
    let bytes = fs::read(&elf).unwrap();
    let (old, new) = (b"/covtap/main.gcda", b"/cov\x1b[2J/mm\r.gcda");
    let at = bytes.windows(old.len()).position(|name| name == old).expect("the name");
    fs::write(&elf, [&bytes[..at], new, &bytes[at + new.len()..]].concat()).unwrap();
    let (elf, nobody) = (elf.display().to_string(), dir.path().join("nobody").display().to_string());
    let trace = dir.path().join("trace.info").display().to_string();
    let said = common::run(["snapshot", "--qemu", &nobody, &elf, "--lcov", &trace]);
    assert_refused(&said, "nobody", "is the target up");
    assert!(stderr(&said).contains("/cov\u{fffd}[2J/mm\u{fffd}.gcda"), "{}", stderr(&said));
    assert!(!stderr(&said).contains(['\x1b', '\r']));
}

/// Notes of another compile are named before anything is read, their unit is in no report, and what stands beside the
/// files already is not touched.
#[test]
fn notes_of_another_compile_are_named_and_not_used() {
    let scene = Scene::new();
    let notes = scene.dir.path().join("guest.elf.d");
    let beside = scene.path("valve").with_extension("gcno");
    fs::create_dir_all(beside.parent().unwrap()).unwrap();
    fs::write(&beside, "something else").unwrap();
    let main = notes.join("main.gcno");
    let mut other = fs::read(&main).unwrap();
    // Behind magic and version.
    other[8] ^= 1;
    fs::write(&main, &other).unwrap();

    let more = ["--notes", notes.to_str().unwrap(), "--lcov", "trace.info"];
    let said = scene.snapshot(&more);
    assert_done(&said);
    let said = stderr(&said);
    let named = format!(
        "find the notes of /covtap/main.gcda: {} is of another compile: its stamp is ",
        main.display()
    );
    assert!(said.contains(&named), "{said}");
    assert!(said.contains("1 of 3 objects have no notes (.gcno)"), "{said}");
    assert!(said.contains("gcda/covtap/valve.gcno is of another compile"), "{said}");
    let trace = fs::read_to_string(scene.dir.path().join("trace.info")).unwrap();
    let files: Vec<_> = trace.lines().filter(|line| line.starts_with("SF:")).collect();
    assert!(files.len() == 2 && !files.iter().any(|file| file.ends_with("main.c")), "{files:?}");
    assert_eq!(fs::read(&beside).unwrap(), b"something else");
    assert!(scene.path("command").with_extension("gcno").exists());
    assert!(!scene.path("main").with_extension("gcno").exists());

    assert_done(&scene.snapshot(&["--notes", notes.to_str().unwrap(), "--gcda-replace"]));
    assert_eq!(fs::read(&beside).unwrap(), fs::read(notes.join("valve.gcno")).unwrap());
}
