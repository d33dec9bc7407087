//! Traces on source, against what GCC's own counters say of the same programs: guests that count nothing run on a
//! Cortex-M, QEMU's log says each instruction that was executed, and natively the same programs count for gcov.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "trace/corpus.rs"]
mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::gcov_tool::run_in;
use corpus::{CPU, branches, compile, guest, run_guest, succeed};
use covtap::coverage::trace::TracedImage;
use covtap::image::{Image, Slide};
use covtap::profile::trace::{self, Counting, TraceBuilder, Ways};
use covtap_testbed::{tool, workspace_root};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Lines with code by file, and how often each ran.
type Lines = BTreeMap<PathBuf, BTreeMap<u64, u64>>;

/// The outcomes of branches by file and line, as often as each came about, in their order.
type Outcomes = BTreeMap<PathBuf, BTreeMap<u64, Vec<u64>>>;

/// What `covtap report` makes of a trace: lines, and what it said.
fn report(args: &[&Path]) -> (Lines, String) {
    let (lines, _, said) = report_branches(args);
    (lines, said)
}

/// The same with branches.
fn report_branches(args: &[&Path]) -> (Lines, Outcomes, String) {
    let mut all: Vec<&std::ffi::OsStr> = vec!["report".as_ref(), "--lcov".as_ref(), "-".as_ref()];
    all.extend(args.iter().map(|path| path.as_os_str()));
    let output = common::run(all);
    common::assert_done(&output);
    let (mut found, mut outcomes) = (Lines::new(), Outcomes::new());
    let mut file = PathBuf::new();
    for line in String::from_utf8(output.stdout.clone()).unwrap().lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file = path.into();
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(|da| da.split_once(',')) {
            let lines = found.entry(file.clone()).or_default();
            lines.insert(number.parse().unwrap(), count.parse().unwrap());
        } else if let Some(branch) = line.strip_prefix("BRDA:") {
            let fields: Vec<&str> = branch.split(',').collect();
            let of_line = outcomes.entry(file.clone()).or_default().entry(fields[0].parse().unwrap());
            of_line.or_default().push(fields[3].parse().unwrap_or_default());
        }
    }
    (found, outcomes, common::stderr(&output))
}

/// What gcov says of the same programs, run natively.
fn counted() -> (Lines, Outcomes) {
    let dir = tempdir().unwrap();
    let objects = compile(&dir, &["gcc"], &["-O0", "--coverage"]);
    let main = "void run_programs(int);\n\
                int main(void) { for (int n = 0; n < 4; n++) run_programs(n * 3 - n % 2); }\n";
    fs::write(dir.path().join("main.c"), main).unwrap();
    let mut command = Command::new(tool("gcc").unwrap());
    succeed(command.current_dir(&dir).args(["--coverage", "-o", "native", "main.c"]).args(&objects));
    succeed(Command::new(dir.path().join("native")).current_dir(&dir));
    let (mut lines, mut outcomes) = (Lines::new(), Outcomes::new());
    for object in objects.iter().filter(|object| *object != "run.o") {
        let json = run_in(
            dir.path(),
            "gcov",
            &["--branch-probabilities", "--json-format", "--stdout", &object.replace(".o", ".gcno")],
        );
        let report: Value = serde_json::from_str(&json).unwrap();
        for file in report["files"].as_array().unwrap() {
            let name = PathBuf::from(file["file"].as_str().unwrap());
            let lines = lines.entry(name.clone()).or_default();
            let outcomes = outcomes.entry(name).or_default();
            for line in file["lines"].as_array().unwrap() {
                let number = line["line_number"].as_u64().unwrap();
                *lines.entry(number).or_default() += line["count"].as_u64().unwrap();
                let branches = line["branches"].as_array().unwrap().iter();
                let counts: Vec<u64> = branches.map(|branch| branch["count"].as_u64().unwrap()).collect();
                if counts.is_empty() {
                    continue;
                }
                let sums: &mut Vec<u64> = outcomes.entry(number).or_default();
                sums.resize(counts.len().max(sums.len()), 0);
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
    }
    (lines, outcomes)
}

/// What tells a trace's lines from gcov's: what it is called, and the text of the line.
type Differences = BTreeMap<&'static str, BTreeMap<(String, u64), String>>;

/// Lines of both, by what they say.
fn differences(traced: &Lines, counted: &Lines) -> Differences {
    let mut differences = Differences::new();
    let files: BTreeSet<_> = traced.keys().chain(counted.keys()).collect();
    for file in files.into_iter().filter(|file| file.starts_with(workspace_root().join("tests/conformance")))
    {
        let name = file.strip_prefix(workspace_root()).unwrap().display().to_string();
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let of = |lines: &Lines| lines.get(file).cloned().unwrap_or_default();
        let (traced, counted) = (of(traced), of(counted));
        for line in traced.keys().chain(counted.keys()) {
            let what = match (traced.get(line), counted.get(line)) {
                (Some(0), Some(0)) => "both missed",
                (Some(0), Some(_)) => "falsely missed",
                (Some(_), Some(0)) => "falsely hit",
                (Some(_), Some(_)) => "both hit",
                (Some(_), None) => "only traced",
                (None, _) => "only counted",
            };
            let text = text.lines().nth(usize::try_from(*line).unwrap() - 1).unwrap_or_default();
            differences.entry(what).or_default().insert((name.clone(), *line), text.to_owned());
        }
    }
    differences
}

/// Builds and runs the programs, and compares the trace's lines with what was counted.
fn compare(compiler: &[&str], flags: &[&str], counted: &Lines) -> (Differences, Outcomes) {
    let dir = tempdir().unwrap();
    let elf = guest(&dir, compiler, flags, &[]);
    let (traced, outcomes, said) = report_branches(&[&elf, &run_guest(&elf)]);
    assert!(said.contains("IT block") && !said.contains("outside of all ELFs"), "{said}");
    let differences = differences(&traced, counted);
    println!("{} {flags:?}", compiler[0]);
    differences.iter().for_each(|(what, lines)| println!("    {what}: {}", lines.len()));
    (differences, outcomes)
}

/// Lines of the corpus whose branches gcov counts: those of which the object code's are the same, the same in another
/// order, and others.
fn branches_like(traced: &Outcomes, counted: &Outcomes) -> [Vec<(String, u64)>; 3] {
    let pairs = |counts: &[u64]| {
        let pair = |pair: &[u64]| (pair.iter().min().copied(), pair.iter().max().copied());
        let mut pairs: Vec<_> = counts.chunks(2).map(pair).collect();
        pairs.sort_unstable();
        pairs
    };
    let mut found = [const { Vec::new() }; 3];
    let corpus = workspace_root().join("tests/conformance");
    for (file, counted) in counted.iter().filter(|(file, _)| file.starts_with(&corpus)) {
        let name = file.file_name().unwrap().to_str().unwrap();
        for (line, counted) in counted {
            let traced = traced.get(file).and_then(|lines| lines.get(line));
            let like = match traced {
                Some(traced) if traced == counted => 0,
                Some(traced) if pairs(traced) == pairs(counted) => 1,
                traced => {
                    println!("    {name}:{line}: gcov has {counted:?}, the object code {traced:?}");
                    2
                }
            };
            found[like].push((name.to_owned(), *line));
        }
    }
    found
}

/// Of what both know the same lines ran. Tables of lines have each closing brace, of which gcov has few, and gcov has
/// labels, which are no code; the head of a function over several lines begins elsewhere.
#[test]
fn lines_at_o0_are_those_of_gcov() {
    let (counted, outcomes) = counted();
    let gcc = ["arm-none-eabi-gcc", CPU[0], CPU[1]];
    let (differences, traced) = compare(&gcc, &["-O0", "-g"], &counted);
    let [same, other_order, other] = branches_like(&traced, &outcomes);
    let [num_same, num_other_order] = [same.len(), other_order.len()];
    println!(
        "    branches: {num_same} lines as gcov, {num_other_order} in another order, {} others",
        other.len()
    );
    assert!(num_same > 100 && num_same + num_other_order > 150, "{other:?}");
    let other: Vec<_> = other.iter().map(|(name, line)| (name.as_str(), *line)).collect();
    assert_eq!(other, OTHER_BRANCHES);
    let of = |what: &str| differences.get(what).cloned().unwrap_or_default();
    // The expression on that line ran, as part of an initialiser that gcov counts where it begins.
    let initialiser = ("tests/conformance/c/include_middle/table.inc".to_owned(), 2);
    let falsely_hit: Vec<_> = of("falsely hit").into_keys().collect();
    assert_eq!(falsely_hit, [initialiser]);
    assert_eq!(of("falsely missed"), BTreeMap::new());
    assert!(of("both hit").len() > 300 && of("both missed").len() > 10, "{differences:?}");
    for (place, text) in of("only traced") {
        let is_brace = text.starts_with(['}', '{', ' ']) && text.trim_start().starts_with(['}', '{']);
        let is_uncounted = text.contains("no_profile_instrument_function");
        assert!(is_brace || is_uncounted || text.ends_with('\\'), "{place:?}: {text}");
    }
    for ((file, line), text) in of("only counted") {
        let is_label = text.contains(':') && text.trim_end().ends_with([':', ';', '}']);
        let name = file.rsplit('/').next().unwrap();
        assert!(is_label || ONLY_COUNTED.contains(&(name, line)), "{file}:{line}: {text}");
    }
    let (optimised, _) = compare(&gcc, &["-O2", "-g"], &counted);
    println!("{:?}", [optimised.get("falsely hit"), optimised.get("falsely missed")]);
    let clang = ["clang-19", "--target=thumbv7m-none-eabi"];
    for flags in [["-O0", "-g"], ["-O2", "-g"]] {
        let (of_clang, _) = compare(&clang, &flags, &counted);
        println!("{:?}", [of_clang.get("falsely hit"), of_clang.get("falsely missed")]);
    }
}

/// Heads of functions over several lines, and `va_end`, which is no code.
const ONLY_COUNTED: [(&str, u64); 4] =
    [("continuation.c", 8), ("old_style.c", 8), ("one_line.c", 4), ("variadic.c", 11)];

/// Lines on which GCC makes other branches for Arm than it counts: of a `switch` a tree of comparisons; none of what it
/// knows or computes without a branch; what is written by a macro, or by `#include` in an expression, is of another line;
/// and `n || f(n)`, of which both branches are at one column, is one in each unit that has it.
const OTHER_BRANCHES: [(&str, u64); 19] = [
    ("attributes.c", 11),
    ("attributes.c", 13),
    ("attributes.c", 14),
    ("api.h", 8),
    ("main.c", 9),
    ("main.c", 14),
    ("table.inc", 1),
    ("table.inc", 3),
    ("one_line.c", 8),
    ("short_circuit.c", 15),
    ("short_circuit.c", 16),
    ("switch.c", 4),
    ("switch.c", 21),
    ("switch.c", 30),
    ("switch.c", 31),
    ("switch.c", 39),
    ("switch.c", 42),
    ("xmacro.c", 12),
    ("xmacro.c", 14),
];

/// A program with functions that nothing calls, linked at an address for what `flags` say.
fn program(dir: &TempDir, name: &str, text: &str, flags: &[&str]) -> PathBuf {
    let source = format!("{name}.c");
    fs::write(dir.path().join(&source), text).unwrap();
    let elf = format!("{name}.elf");
    let mut command = Command::new(tool("arm-none-eabi-gcc").unwrap());
    command.current_dir(dir).args(CPU).args([
        "-O0",
        "-g",
        "-ffreestanding",
        "-nostdlib",
        "-Wl,--build-id=sha1",
    ]);
    succeed(command.args(flags).args(["-o", &elf, &source]));
    dir.path().join(elf)
}

/// A trace's file: runs by address space.
fn write_trace(path: PathBuf, build_ids: &[&[u8]], runs: &[(&str, u64, u64, u64)]) -> PathBuf {
    let mut builder = TraceBuilder::new(Counting::Times);
    for (space, start, len_bytes, count) in runs {
        builder.block(space, *start, *len_bytes, *count).unwrap();
    }
    let mut trace = builder.finish();
    trace.build_ids = build_ids.iter().map(|id| covtap::image::BuildId::new(*id)).collect();
    fs::write(&path, trace::encode(&trace)).unwrap();
    path
}

/// The bounds of a function.
fn function(elf: &Path, name: &str) -> (u64, u64) {
    let image = Image::parse("elf", fs::read(elf).unwrap()).unwrap();
    let symbol = image.symbol(name).unwrap();
    (symbol.address.get() & !1, symbol.len_bytes)
}

fn of_file<'l>(lines: &'l Lines, name: &str) -> Vec<(&'l u64, &'l u64)> {
    let file = lines.iter().find(|(file, _)| file.ends_with(name)).expect("the file is there");
    file.1.iter().collect()
}

#[test]
fn images_at_one_place_do_not_count_for_each_other() {
    let dir = tempdir().unwrap();
    let flags = ["-Wl,-Ttext=0x100,-ef"];
    let one = program(&dir, "one", "int f(int n) {\n  return n;\n}\n", &flags);
    let two =
        program(&dir, "two", "int f(int n) {\n  n++;\n  return n;\n}\nint g(void) { return 1; }\n", &flags);
    let (start, len_bytes) = function(&one, "f");
    let (g, g_len_bytes) = function(&two, "g");
    let trace = dir.path().join("t.covtrace");
    let runs = [("a", start, len_bytes, 3), ("b", g, g_len_bytes, 5)];
    let trace = write_trace(trace, &[], &runs);
    let placed = |space: &str, elf: &Path| PathBuf::from(format!("--image={space}={}", elf.display()));
    let (lines, said) = report(&[&placed("a", &one), &placed("b", &two), &trace]);
    assert_eq!(of_file(&lines, "one.c"), [(&1, &3), (&2, &3), (&3, &3)]);
    assert_eq!(of_file(&lines, "two.c"), [(&1, &0), (&2, &0), (&3, &0), (&4, &0), (&5, &5)]);
    assert!(!said.contains("at one place"), "{said}");

    let refused = |args: &[&Path], error: &str, hint: &str| {
        let args = ["report".as_ref()].into_iter().chain(args.iter().map(|path| path.as_os_str()));
        common::assert_refused(&common::run(args), error, hint);
    };
    refused(&[&one, &trace], "the trace has several address spaces", "--image SPACE=ELF");
    refused(
        &[&placed("c", &one), &trace],
        "the trace has no address space \"c\": it has \"a\", \"b\"",
        "name one",
    );
    refused(&[&trace], "no ELF for the trace", "name the program");
    let own = Image::parse("one", fs::read(&one).unwrap()).unwrap().build_ids();
    let named =
        write_trace(dir.path().join("n.covtrace"), &[own[0].as_bytes()], &[("", start, len_bytes, 1)]);
    refused(&[&two, &named], "the trace is of the programs with the build ids", "the very file that ran");
    let moved = PathBuf::from(format!("{}@0x1000", one.display()));
    refused(&[&moved, &named], "nothing of the trace is in", "ELF@SLIDE");
    refused(&[&moved], "a slide is given, and there is no trace", "name the trace");
    let away =
        write_trace(dir.path().join("m.covtrace"), &[], &[("", start + 0x1000, len_bytes, 2), ("", 9, 2, 1)]);
    let (lines, said) = report(&[&moved, &away]);
    assert_eq!(of_file(&lines, "one.c"), [(&1, &2), (&2, &2), (&3, &2)]);
    assert!(said.contains("2 bytes of code were executed outside of all ELFs: 0x9-0xa"), "{said}");

    let sum = dir.path().join("sum.covtrace");
    let merge = ["merge".as_ref(), named.as_os_str(), named.as_os_str(), "-o".as_ref(), sum.as_os_str()];
    common::assert_done(&common::run(merge));
    assert_eq!(of_file(&report(&[&one, &sum]).0, "one.c"), [(&1, &2), (&2, &2), (&3, &2)]);
}

/// A function that is inlined twice has one branch, whose outcomes are added up; at `-O0` both copies are alike.
#[test]
fn branches_of_inlined_code_are_added_up() {
    let dir = tempdir().unwrap();
    let text = "static inline __attribute__((always_inline)) int h(int n) {\n  if (n > 3)\n    return 7;\n  \
                return n;\n}\nint f(int n) {\n  int one = h(n);\n  return one + h(2);\n}\n\
                int g(int n) {\n  return n && n > 3 ? 1 : 2;\n}\n";
    let elf = program(&dir, "inlined", text, &["-Wl,-ef"]);
    let mut builder = TraceBuilder::new(Counting::Times);
    let (start, len_bytes) = function(&elf, "f");
    builder.block("", start, len_bytes, 5).unwrap();
    let branches: Vec<u64> = branches(&elf).into_keys().collect();
    let [one, two, first, second] = branches[..] else { panic!("{branches:?}") };
    for (branch, taken, fell_through) in [(one, 4, 1), (two, 5, 0), (first, 1, 2)] {
        builder.branch("", branch, Ways { taken, fell_through }).unwrap();
    }
    builder.block("", first, 2, 3).unwrap();
    builder.block("", second, 2, 2).unwrap();
    let trace = dir.path().join("t.covtrace");
    fs::write(&trace, trace::encode(&builder.finish())).unwrap();
    let (_, outcomes, said) = report_branches(&[&elf, &trace]);
    let of_file: Vec<_> = outcomes.values().flatten().map(|(line, counts)| (*line, counts.clone())).collect();
    // Of the last one nobody saw which way it went.
    assert_eq!(of_file, [(2, vec![1, 9]), (11, vec![2, 1])]);
    assert!(said.contains("1 conditional branches of") && said.contains("nobody saw which way"), "{said}");
}

/// A trace of which nobody looked which way branches went has none.
#[test]
fn a_trace_without_ways_has_no_branches() {
    let dir = tempdir().unwrap();
    let elf = program(&dir, "plain", "int f(int n) {\n  return n ? 1 : 2;\n}\n", &["-Wl,-ef"]);
    let (start, len_bytes) = function(&elf, "f");
    let trace = write_trace(dir.path().join("t.covtrace"), &[], &[("", start, len_bytes, 7)]);
    let (lines, outcomes, _) = report_branches(&[&elf, &trace]);
    assert_eq!((of_file(&lines, "plain.c")[0], outcomes.len()), ((&1, &7), 0));
    let args = [
        "report".as_ref(),
        "--fail-under-branches".as_ref(),
        "1".as_ref(),
        elf.as_os_str(),
        trace.as_os_str(),
    ];
    common::assert_refused(&common::run(args), "the build has no branches to measure", "");
}

/// What the linker left out has its lines at address 0, where the vectors are, or the first function.
#[test]
fn discarded_functions_are_no_lines() {
    let dir = tempdir().unwrap();
    let text = "int dead(int n) {\n  return n;\n}\nint live(void) {\n  return 1;\n}\n\
                __asm__(\".section .vectors, \\\"ax\\\"\\n.globl vectors\\nvectors: .word 1, 2, 3, 4\\n.text\");\n";
    let with_vectors = "-Wl,--section-start=.vectors=0,-Ttext=0x40,-u,vectors";
    for place in [with_vectors, "-Wl,-Ttext=0"] {
        let flags = ["-ffunction-sections", "-Wl,--gc-sections,-elive", place];
        let elf = program(&dir, "parts", text, &flags);
        let (start, len_bytes) = function(&elf, "live");
        assert_eq!(start == 0, place != with_vectors);
        let trace = dir.path().join("t.covtrace");
        let mut runs = vec![("", start, len_bytes, 1)];
        runs.extend((start > 0).then_some(("", 0, 8, 1)));
        let (lines, _) = report(&[&elf, &write_trace(trace, &[], &runs)]);
        assert_eq!(of_file(&lines, "parts.c"), [(&4, &1), (&5, &1), (&6, &1)]);
    }
}

/// Without debug information there are functions alone.
#[test]
fn symbols_alone_give_functions() {
    let dir = tempdir().unwrap();
    let elf =
        program(&dir, "bare", "int f(void) { return 1; }\nint g(void) { return 2; }\n", &["-g0", "-Wl,-ef"]);
    let (start, len_bytes) = function(&elf, "f");
    let trace = write_trace(dir.path().join("t.covtrace"), &[], &[("", start, len_bytes, 7)]);
    let output =
        common::run(["report".as_ref(), "--lcov".as_ref(), "-".as_ref(), elf.as_os_str(), trace.as_os_str()]);
    common::assert_done(&output);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("FNDA:7,f\n") && text.contains("FNDA:0,g\n") && text.contains("LF:0\n"), "{text}");
    let table = common::run(["report".as_ref(), elf.as_os_str(), trace.as_os_str()]);
    let total = String::from_utf8(table.stdout).unwrap();
    let total: Vec<_> = total.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(total[..4], ["TOTAL", "2", "1", "50.00%"]);
    assert!(common::stderr(&output).contains("only its functions are shown"), "{}", common::stderr(&output));
}

/// Whatever bytes of a file say, nothing panics or runs away.
#[test]
fn damaged_files_do_no_harm() {
    let dir = tempdir().unwrap();
    let text = "static inline __attribute__((always_inline)) int h(int n) {\n  return n;\n}\n\
                int f(int n) {\n  return h(n) + h(2);\n}\n";
    let elf = fs::read(program(&dir, "small", text, &["-O1", "-Wl,-ef,-Ttext=0x100"])).unwrap();
    let mut builder = TraceBuilder::new(Counting::Times);
    builder.block("", 0x100, 64, 3).unwrap();
    let trace = builder.finish();
    let map = |bytes: Vec<u8>| {
        let image = Image::parse("small", bytes).ok()?;
        TracedImage::new(&image, &[], Slide::ZERO, trace.space("").unwrap(), trace.counting).ok()
    };
    let whole = map(elf.clone()).expect("it can be mapped");
    assert!(whole.has_lines && whole.problems.is_empty(), "{:?}", whole.problems);
    let damage = proptest::collection::vec((0..elf.len(), proptest::num::u8::ANY), 1..12);
    let mut runner = TestRunner::new(Config { cases: 3000, failure_persistence: None, ..Config::default() });
    let run = runner.run(&damage, |damage| {
        let mut bytes = elf.clone();
        damage.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        map(bytes);
        Ok(())
    });
    run.unwrap();
}
