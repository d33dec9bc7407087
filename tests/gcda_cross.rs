//! The `.gcda` files of targets without an operating system, byte for byte those that GCC's own libgcov makes there: a
//! guest streams each object's with `__gcov_info_to_gcda`, and covtap takes its memory when it has.
//!
//! What libgcov leaves out of that stream is the summary of runs, which follows the header in a file. Here it is made
//! of the counters in the streams: one run, and the largest arc counter of them all.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{PATIENCE, Way};
use covtap::profile::gcov::{self, GcdaFile};
use covtap_testbed::{Guest, Machine, tool, workspace_root};
use rayon::prelude::*;
use tempfile::{TempDir, tempdir};

/// A board and a compiler for it.
struct Target {
    machine: Machine,
    /// What the names of its tools begin with.
    tools: &'static str,
    cpu: &'static [&'static str],
    /// Where its memory begins.
    start: &'static str,
}

const CORTEX_M: Target = Target {
    machine: Machine::An385,
    tools: "arm-none-eabi",
    cpu: &["-mcpu=cortex-m3", "-mthumb"],
    start: "--defsym=START=0",
};

const RISCV64: Target = Target {
    machine: Machine::Riscv64Virt,
    tools: "riscv64-unknown-elf",
    cpu: &["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"],
    start: "--defsym=START=0x80000000",
};

const RISCV32: Target = Target {
    machine: Machine::Riscv32Virt,
    cpu: &["-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"],
    ..RISCV64
};

const O0: &[&str] = &["-O0"];
const O2: &[&str] = &["-O2", "-fno-tree-loop-im"];
const LTO: &[&str] = &["-O2", "-fno-tree-loop-im", "-flto=1"];
/// Counters are added to by instructions of the processor's that do it at once.
const ATOMIC: &[&str] = &["-O2", "-fprofile-update=atomic"];

#[test]
fn files_of_a_cortex_m() {
    [O0, O2, LTO].iter().for_each(|flags| compare(&CORTEX_M, flags));
}

#[test]
fn files_of_a_64_bit_riscv() {
    [O0, O2, LTO, ATOMIC].iter().for_each(|flags| compare(&RISCV64, flags));
}

#[test]
fn files_of_a_32_bit_riscv() {
    [O0, LTO].iter().for_each(|flags| compare(&RISCV32, flags));
}

/// Runs all programs in one guest, and compares libgcov's files of it with covtap's.
fn compare(target: &Target, flags: &[&str]) {
    let what = format!("{} {:?} {flags:?}", target.tools, target.cpu);
    let dir = tempdir().unwrap();
    let elf = build(target, flags, &dir);
    let guest = Guest::builder(target.machine, &elf).start().unwrap();
    let ends = |line: &str| line == "rest" || line == "fault";
    let said = guest.console().lines_until(PATIENCE, ends).unwrap();
    assert_eq!(said.last().unwrap(), "rest", "{what}");
    let streams: BTreeMap<PathBuf, Vec<u8>> = said.iter().filter_map(|line| stream(line)).collect();

    let [flag, address] = Way::Qemu.flags(&guest);
    let files = dir.path().join("files").display().to_string();
    let output = common::run(["snapshot", &flag, &address, elf.to_str().unwrap(), "--gcda-dir", &files]);
    common::assert_done(&output);

    let read: Vec<GcdaFile> = streams.values().map(|bytes| gcov::read("stream", bytes).unwrap()).collect();
    let sum_max = read.iter().flat_map(arcs).max().unwrap();
    let mut bytes = 0;
    for (name, stream) in &streams {
        let ours = fs::read(Path::new(&files).join(name.strip_prefix("/").unwrap())).unwrap();
        assert!(ours == with_summary(stream, sum_max), "{what}: {}", name.display());
        bytes += ours.len();
    }
    assert_eq!(num_data_files(Path::new(&files)), streams.len(), "{what}");
    println!("{what}: {} files, {bytes} bytes", streams.len());
    assert!(streams.len() > 50 && sum_max > 9, "{what}: {} files, {sum_max}", streams.len());
}

/// A line's name of a file, and its bytes.
fn stream(line: &str) -> Option<(PathBuf, Vec<u8>)> {
    let (name, hex) = line.strip_prefix("gcda ")?.split_once(' ')?;
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    Some((name.into(), digits.chunks_exact(2).map(|byte| byte[0] << 4 | byte[1]).collect()))
}

fn arcs(file: &GcdaFile) -> impl Iterator<Item = u64> {
    let counters = file.functions.iter().flatten().flat_map(|function| &function.counters);
    counters.filter(|counters| counters.index == 0).flat_map(|counters| counters.values.iter().copied())
}

/// The file that a stream would be: behind magic number, version, stamp and checksum comes the summary.
fn with_summary(stream: &[u8], sum_max: u64) -> Vec<u8> {
    const HEADER: usize = 16;
    const TAG: u32 = 0xa100_0000;
    let summary = [TAG, 8, 1, u32::try_from(sum_max).unwrap()].map(u32::to_le_bytes).concat();
    [&stream[..HEADER], &summary, &stream[HEADER..]].concat()
}

/// How many data files there are, in whatever folder. Notes lie beside them.
fn num_data_files(dir: &Path) -> usize {
    let is_data = |path: &Path| path.extension().is_some_and(|extension| extension == "gcda");
    let num = |path: &PathBuf| if path.is_dir() { num_data_files(path) } else { usize::from(is_data(path)) };
    listed(dir).iter().map(num).sum()
}

/// The sources of the programs of the corpus that need no library, each program's by itself.
fn programs() -> Vec<Vec<PathBuf>> {
    let corpus = workspace_root().join("tests/conformance");
    let mut programs: Vec<Vec<PathBuf>> = ["c", "cpp"]
        .iter()
        .flat_map(|language| {
            let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == *language);
            let programs = listed(&corpus.join(language)).into_iter();
            programs.map(move |path| {
                let sources = if path.is_dir() { listed(&path) } else { vec![path] };
                sources.into_iter().filter(is_source).collect()
            })
        })
        .collect();
    let is_hosted = |source: &PathBuf| {
        let text = fs::read_to_string(source).unwrap();
        text.starts_with("// hosted") || text.contains("\nint main(")
    };
    programs.retain(|sources: &Vec<PathBuf>| !sources.iter().any(is_hosted));
    assert!(programs.len() > 40, "{} programs", programs.len());
    programs
}

/// What is in a folder, by name.
fn listed(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The guest with all programs in it.
fn build(target: &Target, flags: &[&str], dir: &TempDir) -> PathBuf {
    let own = |name: &str| workspace_root().join("tests/gcda_cross").join(name);
    let mut calls = String::new();
    let mut units = Vec::new();
    for (number, sources) in programs().into_iter().enumerate() {
        writeln!(calls, "int program_{number}(int);").unwrap();
        units.extend(sources.into_iter().map(|source| (number, source)));
    }
    calls += "static volatile int result;\nvoid run_programs(int n) {\n";
    (0..=units.last().unwrap().0)
        .for_each(|number| writeln!(calls, "result = program_{number}(n);").unwrap());
    fs::write(dir.path().join("run.c"), calls + "}\n").unwrap();
    compile(target, dir, "run.o", &dir.path().join("run.c"), &["-O1"]);
    compile(target, dir, "guest.o", &own("guest.c"), &["-O1", "-Wall", "-Wextra", "-Werror"]);
    let objects: Vec<String> =
        units.par_iter().map(|(number, source)| instrument(target, dir, *number, source, flags)).collect();
    let mut link = command(target, "g++", dir);
    link.args(flags).args(["-nostdlib", "-Wl,--build-id=sha1,--no-warn-rwx-segments", "-o", "guest.elf"]);
    link.arg("-T").arg(own("guest.x")).arg(format!("-Wl,{}", target.start)).args(["guest.o", "run.o"]);
    succeed(link.args(objects).args(["-lgcov", "-lgcc"]));
    dir.path().join("guest.elf")
}

/// Compiles a source of the program of that number, and names the object.
fn instrument(target: &Target, dir: &TempDir, number: usize, source: &Path, flags: &[&str]) -> String {
    let object = format!("{number}-{}.o", source.file_stem().unwrap().display());
    // All programs have their entry under one name.
    let program = format!("-Dprogram=program_{number}");
    let coverage = ["--coverage", "-fprofile-info-section", "-w", &program];
    compile(target, dir, &object, source, &[flags, &coverage].concat());
    object
}

fn compile(target: &Target, dir: &TempDir, object: &str, source: &Path, flags: &[&str]) {
    let is_c = source.extension().is_some_and(|extension| extension == "c");
    let mut compile = command(target, if is_c { "gcc" } else { "g++" }, dir);
    let cpp = ["-std=c++2a", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"];
    compile.args(if is_c { &["-std=gnu17"][..] } else { &cpp }).args(flags);
    succeed(compile.args(["-ffreestanding", "-c", "-o", object]).arg(source));
}

/// One of the target's tools, to be run in the folder.
fn command(target: &Target, name: &str, dir: &TempDir) -> Command {
    let mut command = Command::new(tool(&format!("{}-{name}", target.tools)).unwrap());
    command.args(target.cpu).current_dir(dir.path());
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
