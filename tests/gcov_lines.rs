//! Counts on source by gcov's rules, against gcov itself.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::coverage::gcov::{
    FunctionCounters, Incoherence, Mismatch, MismatchReason, Notes, SourceCount, UnitCoverage,
};
use covtap_testbed::{tool, workspace_root};
use proptest::prelude::*;
use rayon::prelude::*;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// A data file's counters of arcs.
struct Data {
    stamp: u32,
    functions: Vec<(u32, u32, u32, Vec<u64>)>,
}

impl Data {
    /// Reads what GCC `release` left, on a processor with little-endian words.
    fn read(path: &Path, release: u32) -> Self {
        let bytes = fs::read(path).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(&bytes[..4], b"adcg");
        let (mut at, unit) = if release >= 12 { (16, 1) } else { (12, 4) };
        let mut functions = Vec::new();
        while at + 8 <= bytes.len() && word(at) != 0 {
            let (tag, len) = (word(at), word(at + 4).cast_signed());
            at += 8;
            let size = usize::try_from(len.unsigned_abs()).unwrap() * unit;
            match tag {
                0x0100_0000 if len > 0 => functions.push((word(at), word(at + 4), word(at + 8), Vec::new())),
                0x01a1_0000 => {
                    let value =
                        |i: usize| u64::from_le_bytes(bytes[at + 8 * i..at + 8 * i + 8].try_into().unwrap());
                    let counter = |i: usize| if len < 0 { 0 } else { value(i) };
                    functions.last_mut().unwrap().3 = (0..size / 8).map(counter).collect();
                }
                _ => {}
            }
            at += if len < 0 { 0 } else { size };
        }
        Self { stamp: word(8), functions }
    }

    fn counters(&self) -> impl Iterator<Item = FunctionCounters<'_>> {
        self.functions.iter().map(|(ident, lineno_checksum, cfg_checksum, arcs)| FunctionCounters {
            ident: *ident,
            lineno_checksum: *lineno_checksum,
            cfg_checksum: *cfg_checksum,
            arcs,
        })
    }
}

/// Runs a program of a test in `dir`, whatever it ends with.
fn run_in(dir: &Path, command: &mut Command) -> Vec<u8> {
    let output = command.current_dir(dir).output().unwrap();
    assert!(output.stderr.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Builds a program of some sources with GCC `release`, runs it, and gives the folder with what it left.
fn ran(release: u32, level: &str, sources: &[PathBuf]) -> TempDir {
    let dir = tempdir().unwrap();
    let has_main = sources.iter().any(|path| fs::read_to_string(path).unwrap().contains("int main("));
    let support = workspace_root().join("tests/conformance/support/main.c");
    let all = sources.iter().cloned().chain((!has_main).then_some(support));
    let mut link = Command::new(tool(&format!("g++-{release}")).unwrap());
    link.args(["--coverage", "-o", "program"]);
    for source in all {
        let is_c = source.extension().unwrap() == "c";
        let name = if is_c { "gcc" } else { "g++" };
        let standard = if is_c { "-std=gnu17" } else { "-std=c++20" };
        let object = format!("{}-{}.o", link.get_args().count(), source.file_stem().unwrap().display());
        let mut compile = Command::new(tool(&format!("{name}-{release}")).unwrap());
        compile.args(["--coverage", "-w", standard, level, "-c"]).arg(&source).arg("-o").arg(&object);
        run_in(dir.path(), &mut compile);
        link.arg(object);
    }
    run_in(dir.path(), &mut link);
    run_in(dir.path(), &mut Command::new(dir.path().join("program")));
    dir
}

/// The notes files in a folder.
fn notes_in(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "gcno")).collect()
}

/// A source as gcov's JSON has it, but for names that are demangled.
fn shown(source: &SourceCount) -> Value {
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let function = |function: &covtap::coverage::gcov::FunctionCount| {
        json!({
            "name": text(&function.name),
            "start_line": function.start_line, "start_column": function.start_column,
            "end_line": function.end_line, "end_column": function.end_column,
            "blocks": function.blocks, "blocks_executed": function.blocks_executed,
            "execution_count": function.execution_count,
        })
    };
    let line = |line: &covtap::coverage::gcov::LineCount| {
        assert!(!line.is_cut);
        let branch = |branch: &covtap::coverage::gcov::Branch| json!({ "count": branch.count, "throw": branch.throw, "fallthrough": branch.fallthrough });
        let mut shown = json!({
            "line_number": line.line_number, "count": line.count, "unexecuted_block": line.unexecuted_block,
            "branches": line.branches.iter().map(branch).collect::<Vec<_>>(),
        });
        if let Some(name) = &line.function_name {
            shown["function_name"] = text(name).into();
        }
        shown
    };
    let mut file = json!({
        "file": text(&source.name),
        "functions": source.functions.iter().map(function).collect::<Vec<_>>(),
        "lines": source.lines.iter().map(line).collect::<Vec<_>>(),
    });
    in_one_order(&mut file);
    file
}

/// What gcov prints of a unit.
fn gcov(release: u32, notes: &Path) -> Vec<Value> {
    let mut command = Command::new(tool(&format!("gcov-{release}")).unwrap());
    command.args(["--json-format", "--branch-probabilities", "--stdout"]).arg(notes);
    let mut report: Value = serde_json::from_slice(&run_in(notes.parent().unwrap(), &mut command)).unwrap();
    let files = report["files"].as_array_mut().unwrap();
    for function in files.iter_mut().flat_map(|file| file["functions"].as_array_mut().unwrap()) {
        function.as_object_mut().unwrap().remove("demangled_name").unwrap();
    }
    files.iter_mut().for_each(in_one_order);
    std::mem::take(files)
}

/// gcov's sort is not stable: functions that begin at the same place, such as a template's, stand in any order.
/// And it elides `..` if the disk says that no symbolic link is in the way, which covtap does not ask.
fn in_one_order(file: &mut Value) {
    let place = |function: &Value| {
        let number = |key: &str| function[key].as_u64();
        (number("start_line"), number("start_column"), function["name"].to_string())
    };
    file["functions"].as_array_mut().unwrap().sort_by_key(place);
    let line = |line: &Value| (line["line_number"].as_u64(), line["function_name"].to_string());
    file["lines"].as_array_mut().unwrap().sort_by_key(line);
    if file["file"].as_str().unwrap().contains("/../") {
        file["file"] = fs::canonicalize(file["file"].as_str().unwrap()).unwrap().to_str().unwrap().into();
    }
}

/// How much was compared.
#[derive(Default, Debug)]
struct Compared {
    units: usize,
    files: usize,
    functions: usize,
    lines: usize,
    branches: usize,
    throws: usize,
    groups: usize,
}

/// Compares a unit, and names the first difference.
fn compare(release: u32, notes_path: &Path, compared: &mut Compared) -> Result<(), String> {
    let notes = Notes::parse(&fs::read(notes_path).unwrap()).unwrap();
    assert_eq!(notes.damage, None);
    if notes.functions.is_empty() {
        // Nothing runs, and no data file is left.
        return Ok(());
    }
    let data = Data::read(&notes_path.with_extension("gcda"), release);
    assert_eq!(data.stamp, notes.stamp);
    let unit = UnitCoverage::new(&notes, data.counters());
    let incoherent: Vec<_> = unit.incoherent.iter().filter(|(_, why)| why.is_certain()).collect();
    assert!(unit.mismatches.is_empty() && incoherent.is_empty(), "{:?} {incoherent:?}", unit.mismatches);
    let (ours, theirs): (Vec<_>, _) = (unit.sources.iter().map(shown).collect(), gcov(release, notes_path));
    compared.units += 1;
    compared.files += ours.len();
    for source in &unit.sources {
        compared.functions += source.functions.len();
        compared.lines += source.lines.len();
        compared.branches += source.lines.iter().map(|line| line.branches.len()).sum::<usize>();
        compared.throws += source.lines.iter().flat_map(|line| &line.branches).filter(|it| it.throw).count();
        compared.groups += source.lines.len() - source.by_number().len();
    }
    if ours.len() != theirs.len() {
        return Err(format!("{} files, {} of gcov", ours.len(), theirs.len()));
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for (key, theirs) in theirs.as_object().unwrap() {
            first_difference(&ours[key], theirs).map_err(|it| format!("{} {key}: {it}", ours["file"]))?;
        }
    }
    Ok(())
}

fn first_difference(ours: &Value, theirs: &Value) -> Result<(), String> {
    let (Some(a), Some(b)) = (ours.as_array(), theirs.as_array()) else {
        return if ours == theirs { Ok(()) } else { Err(format!("{ours}, {theirs} of gcov")) };
    };
    let differs = a.iter().zip(b).find(|(a, b)| a != b);
    differs.map_or(Ok(()), |(a, b)| Err(format!("{a}, {b} of gcov")))?;
    if a.len() == b.len() { Ok(()) } else { Err(format!("{} entries, {} of gcov", a.len(), b.len())) }
}

/// The programs of the corpus, and those that show what gcov treats apart; each as its sources.
fn programs() -> Vec<Vec<PathBuf>> {
    let listed = |dir: &Path| {
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let is_source = |path: &PathBuf| path.extension().is_some_and(|it| it == "c" || it == "cpp");
    let root = workspace_root().join("tests");
    let all =
        ["conformance/c", "conformance/cpp", "gcov"].into_iter().flat_map(|dir| listed(&root.join(dir)));
    all.map(|path| {
        let sources = if path.is_dir() { listed(&path) } else { vec![path] };
        sources.into_iter().filter(is_source).collect()
    })
    .collect()
}

fn every_program_equals_gcov(release: u32) {
    let programs = programs();
    let cases: Vec<_> =
        programs.iter().flat_map(|sources| ["-O0", "-O2"].map(|level| (level, sources))).collect();
    let results: Vec<_> = cases
        .par_iter()
        .map(|(level, sources)| {
            let dir = ran(release, level, sources);
            let mut compared = Compared::default();
            let result =
                notes_in(dir.path()).iter().try_for_each(|notes| compare(release, notes, &mut compared));
            (compared, result.map_err(|it| format!("{level} {}: {it}", sources[0].display())))
        })
        .collect();
    let differences: Vec<_> = results.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    assert!(differences.is_empty(), "{} of {} differ: {differences:#?}", differences.len(), cases.len());
    let sum = |of: fn(&Compared) -> usize| results.iter().map(|(compared, _)| of(compared)).sum::<usize>();
    println!(
        "GCC {release}: {} cases, {} units, {} files, {} functions, {} lines, {} branches ({} throw), {} lines of groups",
        cases.len(),
        sum(|it| it.units),
        sum(|it| it.files),
        sum(|it| it.functions),
        sum(|it| it.lines),
        sum(|it| it.branches),
        sum(|it| it.throws),
        sum(|it| it.groups)
    );
    // A comparison of nothing would be equal.
    assert!(cases.len() >= 100 && sum(|it| it.lines) > 4000 && sum(|it| it.branches) > 4000);
    assert!(sum(|it| it.throws) > 100 && sum(|it| it.groups) > 100);
}

#[test]
fn lines_functions_and_branches_are_those_of_gcov_11() {
    every_program_equals_gcov(11);
}

#[test]
fn lines_functions_and_branches_are_those_of_gcov_12() {
    every_program_equals_gcov(12);
}

/// Notes and data of one program with loops on one line.
fn one_line() -> (Vec<u8>, Data) {
    let dir = ran(12, "-O0", &[workspace_root().join("tests/gcov/one_line.c")]);
    let notes = &notes_in(dir.path())[0];
    (fs::read(notes).unwrap(), Data::read(&notes.with_extension("gcda"), 12))
}

#[test]
fn counters_of_another_compile_are_named_and_not_used() {
    let (bytes, data) = one_line();
    let notes = Notes::parse(&bytes).unwrap();
    let nested = notes.functions.iter().find(|it| *it.name == *b"nested").unwrap();
    let spoilt = |spoil: fn(&mut FunctionCounters<'_>)| {
        let counters = data.counters().map(|mut counters| {
            if counters.ident == nested.ident {
                spoil(&mut counters);
            }
            counters
        });
        UnitCoverage::new(&notes, counters)
    };
    let (lineno, cfg) = (nested.lineno_checksum, nested.cfg_checksum);
    let num = nested.num_counters();
    let cases: [(fn(&mut FunctionCounters<'_>), _); 3] = [
        (
            |it| it.lineno_checksum ^= 1,
            MismatchReason::LinenoChecksum { notes: lineno, counters: lineno ^ 1 },
        ),
        (|it| it.cfg_checksum ^= 1, MismatchReason::CfgChecksum { notes: cfg, counters: cfg ^ 1 }),
        (|it| it.arcs = &it.arcs[1..], MismatchReason::NumCounters { notes: num, counters: num - 1 }),
    ];
    for (spoil, reason) in cases {
        let unit = spoilt(spoil);
        let name = Some(nested.name.clone());
        assert_eq!(unit.mismatches, [Mismatch { ident: nested.ident, name, reason }]);
        let names: Vec<_> = unit.sources[0].functions.iter().map(|it| it.name.to_vec()).collect();
        assert_eq!(names, [b"tangled".to_vec(), b"main".to_vec()]);
    }
    let unit = spoilt(|it| it.ident = 5);
    assert_eq!(unit.mismatches, [Mismatch { ident: 5, name: None, reason: MismatchReason::Ident(5) }]);
    assert_eq!(unit.sources[0].functions[0].execution_count, 0);
}

#[test]
fn a_snapshot_between_two_increments_is_told_and_has_no_negative_count() {
    let (bytes, data) = one_line();
    let notes = Notes::parse(&bytes).unwrap();
    let mut told = 0;
    for at in 0..data.functions.len() {
        for counter in 0..data.functions[at].3.len() {
            let mut torn = Data { stamp: data.stamp, functions: data.functions.clone() };
            torn.functions[at].3[counter] += 1_000_000;
            let unit = UnitCoverage::new(&notes, torn.counters());
            for (_, why) in &unit.incoherent {
                told += usize::from(why.is_certain());
                let is_negative = matches!(why, Incoherence::Negative { count, .. } if *count < 0);
                assert_eq!(is_negative, why.is_certain(), "{why}");
            }
            // A count below 0 would be one of nearly 2^64.
            let lines = unit.sources.iter().flat_map(|source| &source.lines);
            let counts = lines.flat_map(|line| line.branches.iter().map(|it| it.count).chain([line.count]));
            assert!(counts.max().unwrap() < 1 << 32);
        }
    }
    assert!(told > 3, "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_notes_give_their_good_part_and_end(seed in any::<u64>()) {
        let (bytes, data) = one_line();
        let mut random = seed | 1;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
        };
        let mut damaged = 0;
        for _ in 0..5000 {
            let mut bytes = bytes.clone();
            for _ in 0..=next(8) {
                let at = next(bytes.len());
                bytes[at] = [0, 1, 2, 5, 0xff, 0x7f][next(6)];
            }
            bytes.truncate(if next(4) == 0 { next(bytes.len()) } else { bytes.len() });
            let Ok(notes) = Notes::parse(&bytes) else { continue };
            damaged += usize::from(notes.damage.is_some());
            let unit = UnitCoverage::new(&notes, data.counters());
            let lines: usize = unit.sources.iter().map(|source| source.lines.len()).sum();
            prop_assert!(lines <= bytes.len());
        }
        prop_assert!(damaged > 100);
    }
}
