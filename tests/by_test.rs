//! `covtap report --by-test`: folders of tests made from real programs, against what their sources say, llvm-cov, gcov and
//! lcov; and what it refuses.

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
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::gcov_tool::run_in;
use common::{assert_done, assert_refused, run, stderr};
use covtap_testbed as testbed;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// `o` opens, any other letter closes; with a second argument opening returns early.
const VALVE: &str = "int open_valve(int n) {
  if (n > 2)
    return n;
  return 0;
}
int close_valve(void) {
  return 1;
}
int never(void) {
  return 2;
}
int main(int argc, char **argv) {
  int sum = 0;
  for (char *c = argv[1]; *c; c++)
    sum += *c == 'o' ? open_valve(argc) : close_valve();
  return sum < 0;
}
";

/// The tests: their names, and the arguments of the program.
const TESTS: [(&str, &[&str]); 3] =
    [("boot/self test", &["oo", "x"]), ("valve", &["occ"]), ("boot-self test", &[""])];

/// A folder with a program, and a folder `tests` of what it counted in each test.
struct Recorded(TempDir);

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn new() -> Self {
        let recorded = Self(tempdir().unwrap());
        fs::create_dir(recorded.path("tests")).unwrap();
        fs::write(recorded.path("valve.c"), VALVE).unwrap();
        recorded
    }

    /// By clang, with a profile for each test.
    fn of_llvm() -> Self {
        Self::of_clang(&[])
    }

    /// The same with further options.
    fn of_clang(more: &[&str]) -> Self {
        let recorded = Self::new();
        let (source, elf) = (recorded.text("valve.c"), recorded.text("valve"));
        let args = ["-fprofile-instr-generate", "-fcoverage-mapping", &source, "-o", &elf];
        testbed::run("clang-19", args.iter().chain(more)).unwrap();
        for (number, (_, args)) in TESTS.iter().enumerate() {
            let profile = recorded.path(&format!("tests/{number}.profraw"));
            let status = Command::new(&elf).args(*args).env("LLVM_PROFILE_FILE", profile).status().unwrap();
            assert!(status.success());
        }
        recorded.write_index(|number| json!({ "profile": format!("{number}.profraw"), "gcda": null }));
        recorded
    }

    /// By GCC, with a folder for each test; the first has the notes as well.
    fn of_gcc() -> Self {
        let recorded = Self::new();
        fs::create_dir(recorded.path("build")).unwrap();
        run_in(&recorded.path("build"), "gcc-12", &["--coverage", "-c", "../valve.c", "-o", "valve.o"]);
        run_in(&recorded.path("build"), "gcc-12", &["--coverage", "valve.o", "-o", "valve"]);
        for (number, (_, args)) in TESTS.iter().enumerate() {
            let status = Command::new(recorded.path("build/valve")).args(*args).status().unwrap();
            assert!(status.success());
            let folder = recorded.path(&format!("tests/gcda-{number}"));
            fs::create_dir(&folder).unwrap();
            fs::rename(recorded.path("build/valve.gcda"), folder.join("valve.gcda")).unwrap();
            if number == 0 {
                fs::copy(recorded.path("build/valve.gcno"), folder.join("valve.gcno")).unwrap();
            }
        }
        recorded.write_index(|number| json!({ "profile": null, "gcda": format!("gcda-{number}") }));
        recorded
    }

    /// Writes the index; `files` says what each test has.
    fn write_index(&self, files: impl Fn(usize) -> Value) {
        let tests: Vec<Value> = (0..TESTS.len())
            .map(|number| {
                let mut test = files(number);
                test["name"] = TESTS[number].0.into();
                test["runs"] = (number + 1).into();
                test
            })
            .collect();
        let index = json!({ "format": "covtap-tests", "version": 1, "tests": tests });
        fs::write(self.path("tests/tests.json"), index.to_string()).unwrap();
    }

    fn report(&self, inputs: &[&str], options: &[&str]) -> Output {
        let inputs = inputs.iter().map(|name| self.text(name));
        let tests = ["--by-test".to_owned(), self.text("tests")];
        let options = options.iter().map(|option| (*option).to_owned());
        run(["report".to_owned()].into_iter().chain(tests).chain(inputs).chain(options))
    }

    /// Which tests reach each line, of the one file, with their counts.
    fn table(&self, inputs: &[&str]) -> Vec<(u64, Vec<(u64, u64)>)> {
        let table: Value =
            serde_json::from_str(&printed(&self.report(inputs, &["--test-table", "-"]))).unwrap();
        assert_eq!(table["format"], "covtap-test-table");
        assert_eq!(table["version"], 1);
        assert_eq!(table["tests"], json!(TESTS.map(|(name, _)| name)));
        let files = table["files"].as_array().unwrap();
        assert_eq!(files.len(), 1, "{table}");
        assert!(files[0]["filename"].as_str().unwrap().ends_with("valve.c"));
        let pair = |pair: &Value| (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
        let line = |line: &Value| {
            (line["line"].as_u64().unwrap(), line["tests"].as_array().unwrap().iter().map(pair).collect())
        };
        files[0]["lines"].as_array().unwrap().iter().map(line).collect()
    }
}

fn printed(output: &Output) -> String {
    assert_done(output);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// From the source: the first test opens twice and returns early, the second opens once and closes twice, the third does
/// nothing. The loop's condition is looked at once more than its body runs.
fn expected_of_llvm() -> Vec<(u64, Vec<(u64, u64)>)> {
    let (opens, closes, always) = (vec![(0, 2), (1, 1)], vec![(1, 2)], vec![(0, 1), (1, 1), (2, 1)]);
    let mut lines =
        vec![(1, opens.clone()), (2, opens.clone()), (3, vec![(0, 2)]), (4, vec![(1, 1)]), (5, opens)];
    lines.extend((6..=8).map(|line| (line, closes.clone())));
    lines.extend((9..=11).map(|line| (line, Vec::new())));
    lines.extend([(12, always.clone()), (13, always.clone())]);
    lines.extend([(14, vec![(0, 3), (1, 4), (2, 1)]), (15, vec![(0, 2), (1, 3)])]);
    lines.extend([(16, always.clone()), (17, always)]);
    lines
}

#[test]
fn each_test_has_a_row_and_each_line_its_tests() {
    let recorded = Recorded::of_llvm();
    let table = "\
Test             Runs   Functions   Lines   Regions   Only here
---------------------------------------------------------------
boot/self test      1           2      10         9           1
valve               2           3      13        11           4
boot-self test      3           1       5         2           0
---------------------------------------------------------------
TOTAL               6         3/4   14/17     12/13           5
";
    let output = recorded.report(&["valve"], &[]);
    assert_eq!(printed(&output), table);
    assert_eq!(stderr(&output), "");
    assert_eq!(recorded.table(&["valve"]), expected_of_llvm());

    let places = ["valve.c:7", "valve.c:10", "valve.c:1", "valve.c:18"];
    let options: Vec<&str> = places.iter().flat_map(|place| ["--tests-of", place]).collect();
    let source = recorded.text("valve.c");
    let rows = format!(
        "{table}\n{source}:7\n           2   valve\n\n{source}:10: no test reaches this line\n\n{source}:1\n           \
         2   boot/self test\n           1   valve\n\n{source}:18: no code is on this line\n"
    );
    assert_eq!(printed(&recorded.report(&["valve"], &options)), rows);
}

/// Binary correlation keeps the functions out of the profiles; the ELF has them.
#[test]
fn counters_alone_are_those_of_the_program_given() {
    let recorded = Recorded::of_clang(&["-mllvm", "-profile-correlate=binary"]);
    assert_eq!(recorded.table(&["valve"]), expected_of_llvm());
}

/// A test of a program by both compilers has the lines of both.
#[test]
fn both_compilers_are_one_report() {
    let (recorded, of_gcc) = (Recorded::of_llvm(), Recorded::of_gcc());
    for number in 0..TESTS.len() {
        let folder = format!("tests/gcda-{number}");
        fs::rename(of_gcc.path(&folder), recorded.path(&folder)).unwrap();
    }
    recorded.write_index(
        |number| json!({ "profile": format!("{number}.profraw"), "gcda": format!("gcda-{number}") }),
    );
    let table = printed(&recorded.report(&["valve"], &[]));
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[3], ["valve", "2", "6", "23", "11", "7"]);
    assert_eq!(rows.last().unwrap()[..4], ["TOTAL", "6", "6/8", "25/30"]);
    let trace = printed(&recorded.report(&["valve"], &["--lcov", "-"]));
    assert_eq!(trace.matches("TN:valve\nSF:").count(), 2);
}

/// As `gcov` counts: the closing braces behind a `return` have no count of their own.
#[test]
fn what_gcc_compiled_has_the_lines_of_gcov() {
    let recorded = Recorded::of_gcc();
    let dir = recorded.path("oracle");
    fs::create_dir(&dir).unwrap();
    fs::copy(recorded.path("build/valve.gcno"), dir.join("valve.gcno")).unwrap();
    let mut theirs: Vec<(u64, Vec<(u64, u64)>)> = Vec::new();
    for number in 0..3 {
        fs::copy(recorded.path(&format!("tests/gcda-{number}/valve.gcda")), dir.join("valve.gcda")).unwrap();
        let lines = common::gcov_tool::lines(&common::gcov_tool::counts(&dir, "gcov-12", &["valve"]));
        for (index, (line, count)) in lines["valve.c"].iter().enumerate() {
            if number == 0 {
                theirs.push((*line, Vec::new()));
            }
            assert_eq!(theirs[index].0, *line);
            theirs[index].1.extend((*count > 0).then_some((number, *count)));
        }
    }
    // By the notes in one test's folder, and by those of the build.
    assert_eq!(recorded.table(&[]), theirs);
    fs::remove_file(recorded.path("tests/gcda-0/valve.gcno")).unwrap();
    assert_eq!(recorded.table(&["build"]), theirs);
    let said = printed(&recorded.report(&["build"], &["--tests-of", "valve.c:7"]));
    let rows: Vec<&str> = said.lines().collect();
    assert_eq!(
        rows[0].split_whitespace().collect::<Vec<_>>(),
        ["Test", "Runs", "Functions", "Lines", "Only", "here"]
    );
    // Lines that the second test alone reaches: `return 0`, and the two of closing.
    assert_eq!(rows[3].split_whitespace().collect::<Vec<_>>(), ["valve", "2", "3", "10", "3"]);
    assert_eq!(rows.last().unwrap().trim(), "2   valve");
}

#[test]
fn lcov_takes_a_trace_of_each_test() {
    let recorded = Recorded::of_llvm();
    let trace = recorded.text("tests.info");
    let output = recorded.report(&["valve"], &["--lcov", &trace]);
    assert_done(&output);
    let said =
        "covtap: test boot-self test is boot_self_test_2 in the trace: another one has its name there\n";
    assert_eq!(stderr(&output), said);
    let ours = fs::read_to_string(&trace).unwrap();
    let blocks: Vec<&str> = ours.split_inclusive("end_of_record\n").collect();
    for (number, (block, name)) in
        blocks.iter().zip(["boot_self_test", "valve", "boot_self_test_2"]).enumerate()
    {
        let profile = recorded.path(&format!("tests/{number}.profraw"));
        let expected = export(&recorded.path("valve"), &profile, &recorded.path("indexed"));
        assert_eq!(*block, format!("TN:{name}\n{expected}"));
    }
    assert_eq!(blocks.len(), 3);
    assert_eq!(printed(&recorded.report(&["valve"], &["--lcov", "-"])), ours);

    let summary = run_in(recorded.0.path(), "lcov", &["--summary", "tests.info"]);
    assert!(
        summary.contains("82.4% (14 of 17 lines)") && summary.contains("75.0% (3 of 4 functions)"),
        "{summary}"
    );
    run_in(recorded.0.path(), "lcov", &["-a", "tests.info", "-a", "tests.info", "-o", "twice.info"]);
    let twice = fs::read_to_string(recorded.path("twice.info")).unwrap();
    let names: Vec<&str> = twice.lines().filter(|line| line.starts_with("TN:")).collect();
    assert_eq!(names, ["TN:boot_self_test", "TN:boot_self_test_2", "TN:valve"]);
    assert!(
        twice.contains("\nDA:14,6\n") && twice.contains("\nDA:14,8\n") && twice.contains("\nDA:14,2\n"),
        "{twice}"
    );
    run_in(recorded.0.path(), "genhtml", &["--show-details", "-o", "html", "tests.info"]);
    assert!(recorded.path("html/index.html").is_file());
}

/// What llvm-cov makes of one profile.
fn export(elf: &Path, profile: &Path, indexed: &Path) -> String {
    let merge = [OsStr::new("merge"), OsStr::new("-o"), indexed.as_os_str(), profile.as_os_str()];
    testbed::run("llvm-profdata-19", merge).unwrap();
    let profile = format!("-instr-profile={}", indexed.display());
    let args = [OsStr::new("export"), OsStr::new("--format=lcov"), elf.as_os_str(), OsStr::new(&profile)];
    testbed::run("llvm-cov-19", args).unwrap()
}

/// The other reports are those of all tests' profiles together.
#[test]
fn other_reports_are_of_the_sum() {
    let recorded = Recorded::of_llvm();
    let profiles: Vec<String> =
        (0..3).map(|number| recorded.text(&format!("tests/{number}.profraw"))).collect();
    let elf = recorded.text("valve");
    let sum = |options: &[&str]| {
        let args = ["report", &elf].into_iter().chain(profiles.iter().map(String::as_str));
        printed(&run(args.chain(options.iter().copied())))
    };
    for options in [&["--json", "-"], &["--codecov", "-"]] {
        assert_eq!(printed(&recorded.report(&["valve"], options)), sum(options));
    }
    let text = printed(&recorded.report(&["valve"], &["--text", "--show-missing-lines"]));
    let (table, text) = text.split_once("\n\n").unwrap();
    assert!(table.starts_with("Test ") && table.contains("\nTOTAL "), "{table}");
    assert_eq!(text, sum(&["--text", "--show-missing-lines"]));
    let site = recorded.text("site");
    assert_done(&recorded.report(&["valve"], &["--html", &site, "--fail-under-lines", "82"]));
    assert!(recorded.path("site/index.html").is_file());
    let output = recorded.report(&["valve"], &["--fail-under-lines", "83"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let none = printed(&recorded.report(&["valve"], &["--ignore-filename-regex", "valve"]));
    let total: Vec<&str> = none.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(total, ["TOTAL", "6", "0/0", "0/0", "0/0", "0"]);
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let recorded = Recorded::of_llvm();
    let index = recorded.path("tests/tests.json");
    let whole = fs::read_to_string(&index).unwrap();
    let refused = |text: &str, error: &str, hint: &str| {
        fs::write(&index, text).unwrap();
        assert_refused(&recorded.report(&["valve"], &[]), error, hint);
    };
    refused(
        &whole[..whole.len() / 2],
        "tests.json: parse the index of tests: EOF while parsing",
        "--test-dir",
    );
    refused(&whole.replace("covtap-tests", "other"), "its format is \"other\"", "--test-dir");
    refused(&whole.replace("\"version\":1", "\"version\":2"), "it is of version 2, not 1", "as new as");
    refused(
        &whole.replace("0.profraw", "../valve"),
        "its file ../valve has a . or .. in its name",
        "--test-dir",
    );
    refused(
        &whole.replace("0.profraw", "/etc/passwd"),
        "its file /etc/passwd has an absolute name",
        "--test-dir",
    );
    refused(&whole.replace("0.profraw", "9.profraw"), "9.profraw of test boot/self test: No such file", "");
    refused(r#"{"format":"covtap-tests","version":1,"tests":[]}"#, "names no test", "label");
    fs::create_dir(recorded.path("tests/folder")).unwrap();
    refused(&whole.replace("0.profraw", "folder"), "folder is no file", "--test-dir");
    fs::remove_file(&index).unwrap();
    assert_refused(&recorded.report(&["valve"], &[]), "tests.json: No such file", "");
}

#[test]
fn nothing_outside_of_the_folder_is_read() {
    let recorded = Recorded::of_llvm();
    let profile = recorded.path("tests/1.profraw");
    fs::rename(&profile, recorded.path("moved.profraw")).unwrap();
    symlink("../moved.profraw", &profile).unwrap();
    let error = "report test valve: ";
    assert_refused(&recorded.report(&["valve"], &[]), error, "--test-dir");
    assert!(stderr(&recorded.report(&["valve"], &[])).contains("1.profraw leads out of the folder, to "));
    // One that stays within is followed.
    fs::remove_file(&profile).unwrap();
    fs::rename(recorded.path("moved.profraw"), recorded.path("tests/kept.profraw")).unwrap();
    symlink("kept.profraw", &profile).unwrap();
    assert_done(&recorded.report(&["valve"], &[]));

    let recorded = Recorded::of_gcc();
    symlink(recorded.path("build"), recorded.path("tests/gcda-2/more")).unwrap();
    assert_refused(&recorded.report(&[], &[]), "report test boot-self test: ", "--test-dir");
    fs::remove_file(recorded.path("tests/gcda-2/more")).unwrap();
    assert_done(&recorded.report(&[], &[]));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let recorded = Recorded::of_llvm();
    let other = testbed::fixture("hosted/rustc.profraw");
    let copied = recorded.path("tests/1.profraw");
    let own = fs::read(&copied).unwrap();
    fs::copy(other, &copied).unwrap();
    let output = recorded.report(&["valve"], &[]);
    assert_refused(&output, "report test valve: of the ", "give the ELF that the tests ran");
    assert!(stderr(&output).contains("functions of its profile none is in"));
    fs::write(&copied, &own[..own.len() / 2]).unwrap();
    assert_refused(&recorded.report(&["valve"], &[]), "1.profraw at offset ", "");
    fs::write(&copied, &own).unwrap();
    assert_refused(
        &recorded.report(&["valve", "tests/0.profraw"], &[]),
        "has counts, and is of no test",
        "alone",
    );
    assert_refused(&recorded.report(&[], &[]), "no ELF among the files", "instrumented");

    fs::create_dir(recorded.path("more")).unwrap();
    let twins = ["more/valve.c", "valve.c"].map(|name| recorded.text(name));
    let args =
        ["-fprofile-instr-generate", "-fcoverage-mapping", "-o", &recorded.text("twins")].map(str::to_owned);
    fs::write(&twins[0], "int more(void) { return 1; }\n").unwrap();
    testbed::run("clang-19", args.iter().chain(&twins)).unwrap();
    let output = recorded.report(&["twins"], &["--tests-of", "valve.c:1"]);
    let error = format!("find valve.c: {} and {} both end so", twins[0], twins[1]);
    assert_refused(&output, &error, "more of the path");
    assert_done(&recorded.report(&["twins"], &["--tests-of", "more/valve.c:1"]));
    assert_refused(
        &recorded.report(&["twins"], &["--tests-of", "no.c:1"]),
        "find no.c: none of the 2 files",
        "end",
    );
    let said = "more than one option wants to";
    assert_refused(&recorded.report(&["valve"], &["--lcov", "-", "--test-table", "-"]), said, "");
    assert_refused(&recorded.report(&["valve"], &["--lcov", "-", "--tests-of", "valve.c:1"]), said, "");
}
