//! `covtap report`: what it makes of profiles on disk, against `llvm-cov export`, and what it refuses.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{assert_done, assert_refused, run, stderr};
use covtap_testbed::{self as testbed, fixture};
use tempfile::{TempDir, tempdir};

/// A program that ran, and its profile.
fn hosted(name: &str) -> (PathBuf, PathBuf) {
    (fixture(&format!("hosted/{name}.elf")), fixture(&format!("hosted/{name}.profraw")))
}

fn report(files: &[&Path], options: &[&str]) -> Output {
    let files = files.iter().map(|path| path.as_os_str());
    run([OsStr::new("report")].into_iter().chain(files).chain(options.iter().map(OsStr::new)))
}

fn stdout(output: &Output) -> String {
    assert_done(output);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What LLVM's own tools say.
fn theirs(elf: &Path, profiles: &[&Path], options: &[&str]) -> String {
    let dir = tempdir().unwrap();
    let indexed = dir.path().join("indexed.profdata");
    let merge = [OsStr::new("merge"), OsStr::new("-o"), indexed.as_os_str()];
    testbed::run("llvm-profdata-19", merge.into_iter().chain(profiles.iter().map(|path| path.as_os_str())))
        .unwrap();
    let profile = format!("-instr-profile={}", indexed.display());
    let export = [OsStr::new("export"), OsStr::new("--format=lcov"), elf.as_os_str(), OsStr::new(&profile)];
    testbed::run("llvm-cov-19", export.into_iter().chain(options.iter().map(OsStr::new))).unwrap()
}

#[test]
fn profiles_are_summed_and_shown_as_llvm_shows_them() {
    for name in ["clang-19", "mcdc", "bytes", "rustc"] {
        let (elf, profile) = hosted(name);
        let twice = [profile.as_path(), profile.as_path()];
        let ours = stdout(&report(&[&profile, &elf, &profile], &["--lcov", "-"]));
        assert_eq!(ours, theirs(&elf, &twice, &[]), "{name}");
        assert!(ours.contains("\nDA:"), "{name}");
    }
}

/// Two programs in one report: each file once, with the functions of both.
#[test]
fn several_programs_are_one_report() {
    let (c, c_profile) = hosted("clang-19");
    let (rust, rust_profile) = hosted("rustc");
    let ours = stdout(&report(&[&c, &rust, &c_profile, &rust_profile], &["--lcov", "-"]));
    let object = format!("-object={}", rust.display());
    assert_eq!(ours, theirs(&c, &[&c_profile, &rust_profile], &[&object]));
    assert!(ours.contains("SF:program.c\n") && ours.contains("SF:program.rs\n"));
}

#[test]
fn files_are_left_out_and_renamed() {
    let (c, c_profile) = hosted("clang-19");
    let (rust, rust_profile) = hosted("rustc");
    let files: [&Path; 4] = [&c, &rust, &c_profile, &rust_profile];
    let ignoring = ["--ignore-filename-regex", r"\.rs$"];
    let ours = stdout(&report(&files, &[&["--lcov", "-"][..], &ignoring].concat()));
    let object = format!("-object={}", rust.display());
    assert_eq!(ours, theirs(&c, &files[2..], &[&[object.as_str()][..], &ignoring].concat()));

    // The names that the regular expression sees are those that are shown.
    let (dir, profile) = built(&["-fprofile-instr-generate", "-fcoverage-mapping"]);
    let from = dir.path().display().to_string();
    let map = format!("{from}=/src");
    let options = ["--lcov", "-", "--path-map", &map];
    let ours = stdout(&report(&[&dir.path().join("a.elf"), &profile], &options));
    assert!(ours.starts_with("SF:/src/a.c\n") && !ours.contains(&from), "{ours}");
    let none = stdout(&report(
        &[&dir.path().join("a.elf"), &profile],
        &[&options[..], &["--ignore-filename-regex", "^/src/"]].concat(),
    ));
    assert_eq!(none, "");
}

/// A small program, built in a folder and run once.
fn built(options: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let (source, elf, profile) =
        (dir.path().join("a.c"), dir.path().join("a.elf"), dir.path().join("a.profraw"));
    fs::write(&source, "int main(int n, char **v) { return n > 1; }\n").unwrap();
    let paths = [source.as_os_str(), OsStr::new("-o"), elf.as_os_str()];
    testbed::run("clang-19", options.iter().map(OsStr::new).chain(paths)).unwrap();
    let status = std::process::Command::new(&elf).env("LLVM_PROFILE_FILE", &profile).status().unwrap();
    assert!(status.success());
    (dir, profile)
}

#[test]
fn a_threshold_that_is_missed_is_said_and_ends_with_1() {
    let (elf, profile) = hosted("clang-19");
    let output = report(&[&elf, &profile], &["--fail-under-lines", "85", "--fail-under-functions", "66%"]);
    assert_done(&output);
    let output = report(&[&elf, &profile], &["--fail-under-lines", "86"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "covtap: below --fail-under-lines 86: 6 of 7, 85.71 %\n");
    let output = report(&[&elf, &profile], &["--fail-under-mcdc", "0"]);
    assert_refused(&output, "the build has no mcdc to measure", "");
    // rustc's mapping has no branches.
    let (elf, profile) = hosted("rustc");
    let output = report(&[&elf, &profile], &["--fail-under-branches", "0"]);
    assert_refused(&output, "the build has no branches to measure", "");
}

#[test]
fn another_build_is_named_function_by_function() {
    let (elf, _) = hosted("clang-19");
    let (_, profile) = hosted("clang-19");
    let text = testbed::run(
        "llvm-profdata-19",
        [OsStr::new("merge"), OsStr::new("--text"), OsStr::new("-o"), OsStr::new("-"), profile.as_os_str()],
    )
    .unwrap();
    let dir = tempdir().unwrap();
    let changed = dir.path().join("changed.proftext");
    fs::write(&changed, text.replace("74257951", "74257952")).unwrap();
    let output = report(&[&elf, &changed], &["--lcov", "-"]);
    let said = stderr(&output);
    assert!(said.starts_with("covtap: main is left out: the profile has it from another build"), "{said}");
    assert_eq!(said.lines().count(), 1);
    assert_eq!(stdout(&output), theirs(&elf, &[&changed], &[]));
}

#[test]
fn what_is_no_report_is_refused_in_one_line() {
    let (elf, profile) = hosted("clang-19");
    let (other, _) = hosted("clang-14");
    assert_refused(&report(&[&elf], &[]), "no profile among the files", "covtap record");
    assert_refused(&report(&[&profile], &[]), "no ELF among the files", "instrumented");
    assert_refused(
        &report(&[&elf, Path::new("/nowhere/a.profraw")], &[]),
        "read /nowhere/a.profraw: No such file",
        "",
    );
    let plain = fixture("x86-pvh/plain.elf");
    assert_refused(&report(&[&plain, &profile], &[]), "has no __llvm_prf_* section", "-Cinstrument-coverage");
    let dir = tempdir().unwrap();
    let stranger = dir.path().join("stranger.proftext");
    fs::write(&stranger, "stranger\n1\n1\n7\n\n").unwrap();
    assert_refused(
        &report(&[&other, &stranger], &[]),
        "of the 1 functions of the profile none is in",
        "the profile is of",
    );
    let folder = dir.path().join("absent/out.info");
    let folder = folder.to_str().unwrap();
    assert_refused(&report(&[&elf, &profile], &["--lcov", folder]), "write ", "make its folder first");
}

/// Binary correlation keeps the functions out of the raw profile; the ELF has them.
#[test]
fn counters_alone_are_those_of_the_program_given() {
    let instrumented = ["-fprofile-instr-generate", "-fcoverage-mapping"];
    let lcov = |more: &[&str]| {
        let (dir, profile) = built(&[&instrumented, more].concat());
        let map = format!("{}=/src", dir.path().display());
        stdout(&report(&[&dir.path().join("a.elf"), &profile], &["--lcov", "-", "--path-map", &map]))
    };
    let plain = lcov(&[]);
    assert!(plain.contains("\nDA:1,1\n"), "{plain}");
    assert_eq!(lcov(&["-mllvm", "-profile-correlate=binary"]), plain);
}

/// Every form at once, each as its writer's own tests know it.
#[test]
fn every_form_comes_from_one_report() {
    let (dir, profile) = built(&["-fprofile-instr-generate", "-fcoverage-mapping"]);
    let elf = dir.path().join("a.elf");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let forms = [
        ("--lcov", "SF:"),
        ("--json", "{\"data\":["),
        ("--cobertura", "<?xml"),
        ("--sonarqube", "<?xml"),
        ("--codecov", "{\"coverage\":"),
    ];
    let files: Vec<[String; 2]> =
        forms.iter().map(|(flag, _)| [(*flag).to_owned(), path(&flag[2..])]).collect();
    let html = path("site");
    let root = dir.path().display().to_string();
    let mut options: Vec<&str> = files.iter().flatten().map(String::as_str).collect();
    options.extend([
        "--html",
        &html,
        "--root",
        &root,
        "--text",
        "--functions",
        "--show=branches",
        "--show-missing-lines",
    ]);
    let printed = stdout(&report(&[&elf, &profile], &options));
    for (flag, start) in forms {
        let written = fs::read_to_string(path(&flag[2..])).unwrap();
        assert!(written.starts_with(start) && written.contains("a.c"), "{flag}: {written}");
    }
    assert_eq!(fs::read_to_string(path("codecov")).unwrap().trim(), r#"{"coverage":{"a.c":{"1":1}}}"#);
    assert!(fs::read_to_string(path("site/index.html")).unwrap().contains("a.c"));
    let parts = ["Filename ", "\nTOTAL ", "\nFile '", "    1|      1|int main(int n, char **v)"];
    let places: Vec<usize> = parts
        .iter()
        .map(|part| printed.find(part).unwrap_or_else(|| panic!("no {part:?}: {printed}")))
        .collect();
    assert!(places.is_sorted(), "{printed}");
    // Once more over what is there; not over what is not covtap's.
    assert_done(&report(&[&elf, &profile], &["--html", &html]));
    fs::write(path("site/mine.txt"), "mine").unwrap();
    assert_refused(
        &report(&[&elf, &profile], &["--html", &html]),
        "not replaced, since it holds mine.txt",
        "not there yet",
    );
}

#[test]
fn stdout_has_one_form() {
    let (elf, profile) = hosted("clang-19");
    let said = "write to stdout: more than one option wants to";
    assert_refused(&report(&[&elf, &profile], &["--lcov", "-", "--json", "-"]), said, "");
    assert_refused(&report(&[&elf, &profile], &["--lcov", "-", "--show"]), said, "");
    // The table, if nothing is asked for, is llvm-cov's, of the columns that the build has.
    let (elf, profile) = hosted("rustc");
    let table = stdout(&report(&[&elf, &profile], &[]));
    assert!(table.starts_with("Filename  ") && !table.contains("Branches"), "{table}");
}
