//! The C programs of the corpus in one guest that counts nothing, and what it executes by QEMU's log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::coverage::object::function_instructions;
use covtap::image::Image;
use covtap::profile::trace::{self, Counting, TraceBuilder, Ways};
use covtap_insn::Flow;
use covtap_testbed::{executed, tool, workspace_root};
use rayon::prelude::*;
use tempfile::TempDir;

pub(crate) const CPU: [&str; 2] = ["-mcpu=cortex-m3", "-mthumb"];

/// The C programs of the corpus: each one's sources.
fn programs() -> Vec<Vec<PathBuf>> {
    let listed = |dir: &Path| {
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    let is_hosted = |source: &PathBuf| {
        let text = fs::read_to_string(source).unwrap();
        text.starts_with("// hosted") || text.contains("\nint main(")
    };
    let programs = listed(&workspace_root().join("tests/conformance/c")).into_iter();
    let sources = programs
        .map(|path| if path.is_dir() { listed(&path) } else { vec![path] }.into_iter().filter(is_source));
    let mut programs: Vec<Vec<_>> = sources.map(Iterator::collect).collect();
    programs.retain(|sources| !sources.iter().any(is_hosted));
    assert!(programs.len() > 20, "{} programs", programs.len());
    programs
}

/// Compiles all programs with a compiler and these flags, and what calls them.
pub(crate) fn compile(dir: &TempDir, compiler: &[&str], flags: &[&str]) -> Vec<String> {
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
    let compile = |object: String, source: &Path, more: &[&str]| {
        let mut command = Command::new(tool(compiler[0]).unwrap());
        command.current_dir(dir).args(&compiler[1..]).args(["-std=gnu17", "-ffreestanding", "-w"]).args(more);
        succeed(command.args(["-c", "-o", &object]).arg(source));
        object
    };
    let mut objects: Vec<String> = units
        .par_iter()
        .map(|(number, source)| {
            let object = format!("{number}-{}.o", source.file_stem().unwrap().display());
            let program = format!("-Dprogram=program_{number}");
            compile(object, source, &[flags, &[program.as_str()]].concat())
        })
        .collect();
    objects.push(compile("run.o".to_owned(), Path::new("run.c"), &["-O1"]));
    objects
}

pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The guest with all programs in it.
pub(crate) fn guest(dir: &TempDir, compiler: &[&str], flags: &[&str], link: &[&str]) -> PathBuf {
    let mut objects = compile(dir, compiler, flags);
    let own = workspace_root().join("tests/trace/guest.c");
    let mut command = Command::new(tool("arm-none-eabi-gcc").unwrap());
    command.current_dir(dir).args(CPU).args(["-O1", "-g", "-ffreestanding", "-c", "-o", "guest.o"]);
    succeed(command.arg(own));
    objects.push("guest.o".to_owned());
    let script = workspace_root().join("tests/gcda_cross/guest.x");
    let mut command = Command::new(tool("arm-none-eabi-gcc").unwrap());
    command.current_dir(dir).args(CPU).args(["-nostdlib", "-Wl,--build-id=sha1,--no-warn-rwx-segments"]);
    command.args(link).arg("-T").arg(script).args(["-Wl,--defsym=START=0", "-o", "guest.elf"]);
    succeed(command.args(objects).arg("-lgcc"));
    dir.path().join("guest.elf")
}

/// Runs the guest to its end, and gives what it executed by QEMU's log, as a trace's file.
pub(crate) fn run_guest(elf: &Path) -> PathBuf {
    let log = elf.with_extension("log");
    let mut command = Command::new(tool("timeout").unwrap());
    command.args(["120", "qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-nic", "none"]);
    command.args(["-serial", "null", "-monitor", "none", "-semihosting-config", "enable=on,target=native"]);
    command.args(["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain", "-D"]).arg(&log);
    succeed(command.arg("-kernel").arg(elf));
    let mut builder = TraceBuilder::new(Counting::Times);
    let branches = branches(elf);
    let mut before = None;
    for pc in executed(BufReader::new(File::open(&log).unwrap())) {
        let pc = pc.unwrap();
        builder.block("", pc, 1, 1).unwrap();
        if let Some((branch, next)) = before.and_then(|before| Some((before, *branches.get(&before)?))) {
            let (taken, fell_through) = (u64::from(pc != next), u64::from(pc == next));
            builder.branch("", branch, Ways { taken, fell_through }).unwrap();
        }
        before = Some(pc);
    }
    let file = elf.with_extension("covtrace");
    fs::write(&file, trace::encode(&builder.finish())).unwrap();
    file
}

/// The conditional branches of a program, and what is behind each.
pub(crate) fn branches(elf: &Path) -> BTreeMap<u64, u64> {
    let image = Image::parse("elf", fs::read(elf).unwrap()).unwrap();
    let insns = function_instructions(&image);
    let branches = insns.filter(|insn| matches!(insn.flow, Flow::Conditional { .. }));
    branches.map(|insn| (insn.address, insn.end())).collect()
}
