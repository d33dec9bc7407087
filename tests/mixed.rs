//! Programs that GCC and LLVM compiled together, read while they run: both kinds of file and one report. The oracles
//! are each compiler's own tools, what the target says itself, and the two runtimes.

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
use std::path::{Path, PathBuf};

use common::gcov_tool::{self, Counts};
use common::running::Running;
use common::{PATIENCE, Way, assert_done, gcov_guest, stderr};
use covtap_testbed::{Guest, Machine, Monitor, run, workspace_root};
use tempfile::{TempDir, tempdir};

/// The guest's units that GCC compiles; the valve is clang's.
const UNITS: [&str; 2] = ["command", "main"];

/// Both take the same two scripts.
#[derive(Clone, Copy)]
enum Linker {
    Gnu,
    Lld,
}

impl Linker {
    fn name(self) -> &'static str {
        match self {
            Self::Gnu => "arm-none-eabi-ld",
            Self::Lld => "ld.lld-19",
        }
    }
}

/// The guest of GCC's, with a valve of clang's, in a folder with the objects and notes.
fn build(linker: Linker) -> (TempDir, PathBuf) {
    let (dir, of_gcc) = gcov_guest::build("covered");
    let elf = dir.path().join("mixed.elf");
    let guests = workspace_root().join("examples/guests");
    let object = |name: &str| format!("{}.d/{name}.o", of_gcc.display());
    let script = |name: &str| guests.join(name).display().to_string();
    let prefix_map = format!("-ffile-prefix-map={}=.", workspace_root().display());
    // GCC for this target has enumerations as short as they can be.
    let target = ["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft", "-fshort-enums"];
    let options = ["-std=c17", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections"];
    let coverage = ["-fprofile-instr-generate", "-fcoverage-mapping", &prefix_map];
    let files = ["-c", &script("c-an385/valve.c"), "-o", &object("valve")];
    run("clang-19", target.iter().chain(&options).chain(&coverage).chain(&files)).unwrap();
    fs::remove_file(object("valve").replace(".o", ".gcno")).unwrap();

    let options = ["--gc-sections", "--build-id=sha1", "--nmagic"];
    let scripts = ["-T", &script("coverage.x"), "-T", &script("c-an385/an385.x")];
    let objects = ["board", "command", "main", "valve"].map(object);
    let files = objects.iter().map(String::as_str).chain(["-o", elf.to_str().unwrap()]);
    run(linker.name(), options.into_iter().chain(scripts).chain(files)).unwrap();
    (dir, elf)
}

#[test]
fn a_guest_by_gnu_ld() {
    record_and_compare(Linker::Gnu);
}

#[test]
fn a_guest_by_lld() {
    record_and_compare(Linker::Lld);
}

fn record_and_compare(linker: Linker) {
    let (dir, elf) = build(linker);
    let path = |name: &str| dir.path().join(name).display().to_string();
    inspect_shows_both(&elf);
    let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 1")).expect("the workload goes on");
    let mut monitor = Monitor::connect(guest.control()).expect("a second monitor");
    let [flag, address] = Way::Qemu.flags(&guest);
    let notes = path("guest.elf.d");
    let tap = |verb: &[&str], name: &str| {
        let (profile, data, trace) =
            (path(&format!("{name}.profraw")), path(name), path(&format!("{name}.info")));
        let files = ["-o", &profile, "--gcda-dir", &data, "--gcda-strip", "1", "--lcov", &trace];
        let target = [&flag, &address, elf.to_str().unwrap(), "--notes", &notes];
        let output = common::run(verb.iter().chain(&target).chain(&files));
        assert_done(&output);
        let said = stderr(&output);
        assert!(
            said.contains(&format!("the profiles are {profile} and 2 .gcda files below {data}\n")),
            "{said}"
        );
        assert!(!said.contains("have no notes") && !said.contains("not checked"), "{said}");
        assert_reported_alike(&elf, dir.path(), name);
    };
    tap(&["record", "--every", "250ms", "--for", "1s"], "live");
    assert_eq!(monitor.status().expect("an answer"), "running");
    assert!(monitor.events().is_empty(), "the guest was disturbed: {:?}", monitor.events());

    let tallies = common::tallies_at_rest(&guest);
    tap(&["snapshot"], "rest");
    let of_gcc = gcov_tool::counts(&dir.path().join("rest"), "arm-none-eabi-gcov", &UNITS);
    compare_with_tallies(&of_gcc, &common::entered(&elf, &dir.path().join("rest.profraw")), &tallies);
    assert_both_in(&dir.path().join("rest.info"), &of_gcc, &records_of_llvm(&elf, dir.path(), "rest"));
}

fn inspect_shows_both(elf: &Path) {
    let output = common::run(["inspect".as_ref(), elf.as_os_str()]);
    assert_done(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    for side in [
        "by LLVM, counted by the front end, for coverage",
        "for gcov, by version 12.2",
        ": __llvm_prf_cnts\n",
    ] {
        assert!(said.contains(side), "no {side:?}: {said}");
    }
    let files: Vec<_> = said.lines().filter(|line| line.contains(".gcda, ")).collect();
    assert_eq!(files.len(), UNITS.len(), "{said}");
}

/// `covtap report` of the files of a session makes the same trace as the session.
fn assert_reported_alike(elf: &Path, dir: &Path, name: &str) {
    let path = |name: String| dir.join(name).display().to_string();
    let (profile, data, trace) =
        (path(format!("{name}.profraw")), path(name.to_owned()), path("again.info".to_owned()));
    let output = common::run(["report", elf.to_str().unwrap(), &profile, &data, "--lcov", &trace]);
    assert_done(&output);
    assert_eq!(stderr(&output), "");
    let live = fs::read_to_string(path(format!("{name}.info"))).unwrap();
    assert_eq!(fs::read_to_string(trace).unwrap(), live);
}

/// What the guest counted itself, each function on one side.
fn compare_with_tallies(of_gcc: &Counts, of_llvm: &BTreeMap<String, u64>, tallies: &BTreeMap<String, u64>) {
    let by_gcc = of_gcc.values().flat_map(|(functions, _)| functions.clone());
    // LLVM's names of static functions begin with their file's.
    let by_llvm = of_llvm.iter().map(|(name, count)| (name.rsplit(':').next().unwrap().to_owned(), *count));
    let by_llvm: Vec<_> = by_llvm.collect();
    let sides = [by_gcc.collect(), BTreeMap::from_iter(by_llvm)];
    for (name, tally) in tallies {
        let counts: Vec<u64> = sides.iter().filter_map(|side| side.get(name).copied()).collect();
        assert_eq!(counts, [*tally], "{name}");
    }
    let counted = sides.map(|side| tallies.keys().filter(|name| side.contains_key(*name)).count());
    assert!(counted.iter().all(|functions| *functions >= 2), "{tallies:?}: {counted:?}");
}

/// The records of a trace by the last part of their file's name.
fn records(trace: &str) -> BTreeMap<String, String> {
    let records = trace.split_inclusive("end_of_record\n").map(|record| {
        let file = record.lines().find_map(|line| line.strip_prefix("SF:")).expect("a file");
        (file.rsplit('/').next().unwrap().to_owned(), record.to_owned())
    });
    records.collect()
}

/// The same as llvm-cov makes them of a profile.
fn records_of_llvm(elf: &Path, dir: &Path, name: &str) -> BTreeMap<String, String> {
    let path = |extension: &str| dir.join(format!("{name}.{extension}")).display().to_string();
    let (profraw, profdata) = (path("profraw"), path("profdata"));
    run("llvm-profdata-19", ["merge", &profraw, "-o", &profdata]).unwrap();
    let export = ["export", "--format=lcov", elf.to_str().unwrap(), "--instr-profile", &profdata];
    records(&run("llvm-cov-19", export).unwrap())
}

/// A trace has what gcov has and what llvm-cov has, and nothing else.
fn assert_both_in(trace: &Path, of_gcc: &Counts, of_llvm: &BTreeMap<String, String>) {
    let mut both = records(&fs::read_to_string(trace).unwrap());
    for (file, record) in of_llvm {
        assert_eq!(both.remove(file).as_ref(), Some(record), "{file}");
    }
    let by_gcc: Vec<&String> = both.keys().collect();
    assert_eq!(by_gcc, of_gcc.keys().collect::<Vec<_>>());
    let mut lines = gcov_tool::lines_of_trace(trace);
    lines.retain(|file, _| both.contains_key(file));
    assert_eq!(lines, gcov_tool::lines(of_gcc));
    for (file, (functions, _)) in of_gcc {
        for (function, count) in functions {
            let entry = format!("FNDA:{count},{function}\n");
            assert!(both[file].contains(&entry), "no {entry} in {}", both[file]);
        }
    }
}

/// Not instrumented: calls one side or the other for each letter.
const HOST: &str = r#"
#include <stdio.h>
#include <sys/prctl.h>
int from_rust(int); int from_c(int);
int main(void) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  int sum = 0;
  for (int c; (c = getchar()) != EOF;) {
    sum += c > 'm' ? from_rust(c) : from_c(c);
    puts("done"); fflush(stdout);
  }
  return sum;
}
"#;

const PART_C: &str = r"
static int is_vowel(int x) {
  return x == 'a' || x == 'e';
}
int never(int x) {
  return x + 1;
}
int from_c(int x) {
  int sum = 0;
  for (int i = 0; i < x; i++)
    sum += is_vowel(i);
  return sum;
}
";

const PART_RS: &str = r#"
fn kind(x: i32) -> Option<i32> {
    if x % 2 == 0 { Some(x / 2) } else { None }
}
#[unsafe(no_mangle)]
pub extern "C" fn from_rust(x: i32) -> i32 {
    match kind(x) {
        Some(half) => half,
        None => (0..x).filter(|n| n % 3 == 0).count() as i32,
    }
}
"#;

/// A program of this machine: C by GCC, Rust, and both runtimes.
fn build_host(dir: &Path) -> PathBuf {
    for (name, text) in [("host.c", HOST), ("part_c.c", PART_C), ("part_rs.rs", PART_RS)] {
        fs::write(dir.join(name), text).unwrap();
    }
    let gcc = |args: &[&str]| gcov_tool::run_in(dir, "gcc-12", args);
    gcc(&["-O1", "-fPIE", "-c", "host.c"]);
    gcc(&["-O0", "-fPIE", "--coverage", "-c", "part_c.c"]);
    let rust = ["--edition=2024", "--crate-type=staticlib", "-Cpanic=abort", "-Cinstrument-coverage"];
    // As rustc is told to write the file's name in the mapping.
    let source = dir.join("part_rs.rs").display().to_string();
    gcov_tool::run_in(dir, "rustc", &[&rust[..], &[&source, "-o", "libpart.a"]].concat());
    let objects = ["host.o", "part_c.o", "libpart.a", "-o", "program"];
    // As rustc does when it links: nothing else asks for the part of LLVM's runtime that begins it.
    let begin = "-Wl,-u,__llvm_profile_runtime";
    gcc(&[&["-pie", "--coverage", "-Wl,--build-id=sha1", begin], &objects[..]].concat());
    dir.join("program")
}

#[test]
fn a_program_of_c_and_rust_under_gdbserver() {
    let (dir, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let dir = dir.path();
    let exe = build_host(dir);
    let theirs = theirs.path().join("theirs.profraw");
    let mut program = Running::start(&exe, &theirs);
    program.go("abcxyz");
    let path = |name: &str| dir.join(name).display().to_string();
    let mut args = program.args("snapshot", &dir.join("ours.profraw"));
    // None of the name's folders stays.
    let more = ["--gcda-dir", &path("ours"), "--gcda-strip", "99", "--lcov", &path("ours.info")];
    args.extend(more.map(str::to_owned));
    let output = common::run(args);
    assert_done(&output);
    let said = stderr(&output);
    assert!(
        said.contains(&format!(
            "the profiles are {} and 1 .gcda file below {}\n",
            path("ours.profraw"),
            path("ours")
        )),
        "{said}"
    );
    // gdbserver was let go of before its input ended.
    assert!(said.contains("Detaching from process") && !said.contains("has terminated connection"), "{said}");
    assert_reported_alike(&exe, dir, "ours");
    let of_gcc = gcov_tool::counts(&dir.join("ours"), "gcov-12", &["part_c"]);
    let vowels_asked: u64 = "abc".bytes().map(u64::from).sum();
    let expected = [("from_c", 3), ("is_vowel", vowels_asked), ("never", 0)];
    assert_eq!(of_gcc["part_c.c"].0, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let of_llvm = records_of_llvm(&exe, dir, "ours");
    assert!(of_llvm["part_rs.rs"].contains("FNDA:3,from_rust\n"), "{of_llvm:?}");
    assert_both_in(&dir.join("ours.info"), &of_gcc, &of_llvm);

    // The program goes on to its end, and its own runtimes write the same.
    program.finish();
    assert_eq!(common::counts(&dir.join("ours.profraw")), common::counts(&theirs));
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    assert_eq!(read("ours/part_c.gcda"), read("part_c.gcda"));
}
