//! Variants of instrumentation whose counters only a running target shows: programs of this machine under gdbserver,
//! compared with what LLVM's own runtime makes of them.

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

use common::running::Running;
use common::{Session, counts};
use covtap_testbed as testbed;
use nix::sys::signal::Signal;

const COVERAGE: [&str; 2] = ["-fprofile-instr-generate", "-fcoverage-mapping"];
const RELOCATE: [&str; 2] = ["-mllvm", "-runtime-counter-relocation"];

/// Works once for every `w` on its input, moves its counters for an `m`, goes into a loop for a `t`, fills its counters
/// with what memory may hold before start-up for a `g` and with zeros for a `z`, and answers each with a line. What
/// works is entered anew each time: a function asks only once, when it is entered, where it is to count.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
__attribute__((noinline)) int work(int x) { return x > 2 ? x * 2 : x; }
int never(int x) { return x + 1; }
/* A call target to profile, for the builds that profile values. */
int (*volatile call)(int) = work;
__attribute__((noinline)) int turns(void) {
  int n = 0;
  do { n++; puts("done"); fflush(stdout); } while (getchar() == 'w');
  return n;
}
extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
__attribute__((no_profile_instrument_function)) static void fill(int byte) {
  memset(__start___llvm_prf_cnts, byte, __stop___llvm_prf_cnts - __start___llvm_prf_cnts);
}
#ifdef OWN_START_UP
int64_t __llvm_profile_counter_bias = 0;
int __llvm_profile_runtime;
__attribute__((no_profile_instrument_function)) static void move(void) {
  size_t len = __stop___llvm_prf_cnts - __start___llvm_prf_cnts;
  char *to = malloc(len);
  memcpy(to, __start___llvm_prf_cnts, len);
  __llvm_profile_counter_bias = (intptr_t)to - (intptr_t)__start___llvm_prf_cnts;
}
#else
__attribute__((no_profile_instrument_function)) static void move(void) {}
#endif
int main(void) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  int sum = 0;
  for (int c; (c = getchar()) != EOF;) {
    if (c == 'w') sum += call(c);
    if (c == 'm') move();
    if (c == 't') sum += turns();
    if (c == 'g') fill(0xa5);
    if (c == 'z') fill(0);
    puts("done"); fflush(stdout);
  }
  return sum == 1;
}
"#;

fn build(compiler: &str, dir: &Path, args: &[&str]) -> PathBuf {
    let (source, exe) = (dir.join("program.c"), dir.join("program"));
    fs::write(&source, PROGRAM).expect("a program");
    let paths = [source.to_str().expect("a path"), "-o", exe.to_str().expect("a path")];
    let base = ["-O1", "-fPIE", "-pie", "-Wl,--build-id=sha1"];
    let args: Vec<&str> = base.iter().chain(args).chain(&paths).copied().collect();
    testbed::run(compiler, args).expect("it is built");
    exe
}

/// LLVM's runtime maps the profile's file into memory and lets the program count there: covtap reads what stands in
/// the file at the same time.
#[test]
fn counters_that_llvms_runtime_moves_into_a_file() {
    for (compiler, tool) in [("clang-14", "llvm-profdata-14"), ("clang-19", "llvm-profdata-19")] {
        let dir = tempfile::tempdir().expect("a folder");
        let exe = build(compiler, dir.path(), &[&COVERAGE[..], &RELOCATE].concat());
        let mut program = Running::start(&exe, &dir.path().join("theirs%c.profraw"));
        program.go("wwwww");
        let ours = dir.path().join("ours.profraw");
        common::assert_done(&common::run(program.args("snapshot", &ours)));
        let shown = |profile: &str| {
            let profile = dir.path().join(profile).display().to_string();
            testbed::run(tool, ["show", "--all-functions", "--counts", &profile]).expect("it is read")
        };
        let text = shown("ours.profraw");
        assert!(text.contains("Function count: 5\n"), "{text}");
        assert_eq!(text, shown("theirs.profraw"), "{compiler}");
    }
}

/// Nobody has moved the counters: they are in their section.
#[test]
fn counters_that_could_move_and_did_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let exe = build("clang-19", dir.path(), &[&COVERAGE[..], &RELOCATE].concat());
    let mut program = Running::start(&exe, &dir.path().join("theirs.profraw"));
    program.go("www");
    let ours = dir.path().join("ours.profraw");
    common::assert_done(&common::run(program.args("snapshot", &ours)));
    assert_eq!(counts(&ours)["work"], [3, 3]);
}

/// Memory that start-up code has not set to zero yet holds no counts, and no profile is made of it.
#[test]
fn what_no_run_counts_is_not_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let exe = build("clang-19", dir.path(), &COVERAGE);
    let mut program = Running::start(&exe, &dir.path().join("theirs.profraw"));
    let ours = dir.path().join("ours.profraw");
    program.go("g");
    let output = common::run(program.args("snapshot", &ours));
    common::assert_refused(&output, "counters are larger than any run makes them", "start-up code");
    assert!(!ours.exists());
    program.go("zww");
    common::assert_done(&common::run(program.args("snapshot", &ours)));
    assert_eq!(counts(&ours)["work"], [2, 2]);
}

/// Only debug information tells what is counted; a profile of it needs none to be read.
#[test]
fn functions_that_debug_information_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let correlate = ["-g", "-mllvm", "-profile-correlate=debug-info"];
    let exe = build("clang-19", dir.path(), &[&COVERAGE[..], &correlate].concat());
    let mut program = Running::start(&exe, &dir.path().join("theirs.profraw"));
    program.go("wwwww");
    let ours = dir.path().join("ours.profraw");
    let mut args = program.args("snapshot", &ours);
    args.extend(["--lcov".to_owned(), dir.path().join("ours.info").display().to_string()]);
    common::assert_done(&common::run(args));
    assert_eq!(counts(&ours)["work"], [5, 5]);
    let trace = fs::read_to_string(dir.path().join("ours.info")).expect("a trace");
    assert!(trace.contains("FNDA:5,work\n") && trace.contains("FNDA:0,never\n"), "{trace}");
}

/// LLVM keeps the counts of IR-level instrumentation in registers while a loop runs, here that of `turns`. That is
/// warned about, and what the warning says against it helps. There is no mapping to lead such counts to source.
#[test]
fn counts_that_are_stored_after_their_loop() {
    let in_turns = |flags: &[&str]| {
        let dir = tempfile::tempdir().expect("a folder");
        let exe = build("clang-19", dir.path(), &[&["-fprofile-generate"], flags].concat());
        let mut program = Running::start(&exe, &dir.path().join("theirs.profraw"));
        program.go("wwwww");
        program.go("twwwww");
        let ours = dir.path().join("ours.profraw");
        let output = common::run(program.args("snapshot", &ours));
        common::assert_done(&output);
        let said = common::stderr(&output);
        assert_eq!(said.matches("IR-level counters in registers").count(), 1, "{said}");
        assert_eq!(said.matches("value profiles (call targets, sizes) are not read").count(), 1, "{said}");
        assert_eq!(counts(&ours)["work"].iter().max(), Some(&5));
        let mut args = program.args("snapshot", &ours);
        args.extend(["--lcov".to_owned(), dir.path().join("ours.info").display().to_string()]);
        common::assert_refused(&common::run(args), "no section __llvm_cov", "-fcoverage-mapping");
        counts(&ours)["turns"].iter().sum::<u64>()
    };
    let promoted = in_turns(&[]);
    let stored = in_turns(&["-mllvm", "-do-counter-promotion=false"]);
    // Six turns begun, one entry.
    assert_eq!((promoted, stored), (1, 6), "in memory while the loop runs");
}

/// A program's own code moves the counters in mid-session: what was counted before and what comes after is there.
#[test]
fn counters_that_move_in_mid_session() {
    let dir = tempfile::tempdir().expect("a folder");
    let object = dir.path().join("program.o").display().to_string();
    let source = dir.path().join("program.c");
    fs::write(&source, PROGRAM).expect("a program");
    let exe = dir.path().join("program");
    let compile = ["-O1", "-fPIE", "-c", "-DOWN_START_UP", source.to_str().expect("a path"), "-o", &object];
    testbed::run("clang-19", compile.iter().chain(&COVERAGE).chain(&RELOCATE)).expect("it is compiled");
    let link = ["-pie", "-Wl,--build-id=sha1", &object, "-o", exe.to_str().expect("a path")];
    testbed::run("clang-19", link).expect("it is linked, without a runtime");

    let mut program = Running::start(&exe, &dir.path().join("none.profraw"));
    program.go("ww");
    let ours = dir.path().join("ours.profraw");
    let mut args = program.args("record", &ours);
    args.extend(["--every", "10ms"].map(str::to_owned));
    let session = Session::start(&args);
    session.wait_for_snapshots(2);
    assert_eq!(counts(&ours)["work"], [2, 2]);
    program.go("m");
    session.wait_for(", counters moved");
    program.go("www");
    session.signal(Signal::SIGINT);
    common::assert_done(&session.end());
    assert_eq!(counts(&ours)["work"], [5, 5]);
    assert_eq!(counts(&ours)["never"], [0]);
}

/// Two compilers, two languages, and names both compressed and not, in one program.
#[test]
fn c_and_rust_in_one_program() {
    const MAIN: &str = r#"
#include <stdio.h>
#include <sys/prctl.h>
int from_rust(int); int from_c(int);
int main(void) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  int sum = 0;
  for (int c; (c = getchar()) != EOF;) { sum += c > 'm' ? from_rust(c) : from_c(c); puts("done"); fflush(stdout); }
  return sum;
}
"#;
    const OTHER: &str = "int from_c(int x) { return x == 'a' || x == 'b' ? 1 : 0; }\n";
    const RUST: &str = r#"
fn kind(x: i32) -> Option<i32> { if x % 2 == 0 { Some(x / 2) } else { None } }
#[unsafe(no_mangle)] pub extern "C" fn from_rust(x: i32) -> i32 {
    match kind(x) { Some(half) => half, None => (0..x).filter(|n| n % 3 == 0).count() as i32 }
}
"#;
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (main, other, rust) = (path("main.c"), path("other.c"), path("part.rs"));
    for (file, text) in [(&main, MAIN), (&other, OTHER), (&rust, RUST)] {
        fs::write(file, text).expect("a source");
    }
    let (part, main_o, other_o) = (path("libpart.a"), path("main.o"), path("other.o"));
    let crate_type = ["--edition=2024", "--crate-type=staticlib", "-Cpanic=abort", "-Cinstrument-coverage"];
    testbed::run("rustc", crate_type.iter().copied().chain([rust.as_str(), "-o", &part]))
        .expect("it compiles");
    let plain = ["-mllvm", "-enable-name-compression=false"];
    for (source, object, flags) in [(&main, &main_o, &[][..]), (&other, &other_o, &plain)] {
        let files = ["-O1", "-fPIE", "-c", source, "-o", object];
        testbed::run("clang-19", files.iter().chain(&COVERAGE).chain(flags)).expect("it compiles");
    }
    let exe = path("program");
    let link =
        ["-pie", "-fprofile-instr-generate", "-Wl,--build-id=sha1", &main_o, &other_o, &part, "-o", &exe];
    testbed::run("clang-19", link).expect("it links");

    let mut program = Running::start(Path::new(&exe), &dir.path().join("theirs.profraw"));
    program.go("abcxyz");
    let (ours, trace, profdata) = (path("ours.profraw"), path("ours.info"), path("ours.profdata"));
    let mut args = program.args("snapshot", Path::new(&ours));
    args.extend(["--lcov".to_owned(), trace.clone()]);
    common::assert_done(&common::run(args));
    testbed::run("llvm-profdata-19", ["merge", &ours, "-o", &profdata]).expect("it is read");
    let export = ["export", "--format=lcov", &exe, "--instr-profile", &profdata];
    let theirs = testbed::run("llvm-cov-19", export).expect("it is shown");
    for shown in ["SF:", "part.rs", "main.c", "other.c", "FNDA:3,from_rust", "FNDA:3,from_c"] {
        assert!(theirs.contains(shown), "no {shown}: {theirs}");
    }
    assert_eq!(fs::read_to_string(trace).expect("a trace"), theirs);
}
