//! Functions and instructions of object code, against what llvm-objdump finds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;

use covtap::coverage::object::ObjectCoverage;
use covtap::image::{Image, Slide};
use covtap::profile::trace::{Space, Trace};
use covtap::write::object::{write_listing, write_table};
use covtap_testbed::{fixture, run};

/// The addresses of instructions by the functions that they are of.
type Functions = BTreeMap<u64, Vec<u64>>;

const ELVES: [&str; 4] =
    ["c-an385/plain.elf", "arm-cortexm/plain.elf", "x86-pvh/plain.elf", "hosted/clang-19.elf"];

#[test]
fn functions_have_the_instructions_that_llvm_objdump_finds() {
    for name in ELVES {
        let path = fixture(name);
        let image = Image::parse(name, std::fs::read(&path).unwrap()).unwrap();
        let (trace, space) = (Trace::default(), Space::default());
        let object = ObjectCoverage::new(&image, Slide::ZERO, &trace, &space);
        let ours: Functions = object
            .functions()
            .map(|it| (it.address.get(), it.instructions.iter().map(|it| it.insn.address).collect()))
            .collect();
        let theirs = disassembled(&path);
        assert!(theirs.len() > 5, "{name}");
        for (address, insns) in &theirs {
            assert_eq!(ours.get(address), Some(insns), "{name}: function at {address:#x}");
        }
    }
}

/// Of every function that a symbol names, as long as the symbol says.
fn disassembled(elf: &Path) -> Functions {
    let path = elf.to_str().unwrap();
    let symbols = run("llvm-readelf-19", ["--symbols", "--wide", path]).unwrap();
    let sized: BTreeMap<u64, u64> = symbols
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, value, size, "FUNC", ..] = words[..] else { return None };
            let value = u64::from_str_radix(value, 16).ok()?;
            let is_arm = path.contains("an385") || path.contains("arm-");
            Some((if is_arm { value & !1 } else { value }, size.parse().ok()?))
        })
        .filter(|(_, size)| *size > 0)
        .collect();
    let text = run("llvm-objdump-19", ["-d", "--no-show-raw-insn", path]).unwrap();
    let mut functions = Functions::new();
    let mut after_prefix = false;
    for line in text.lines() {
        let Some((address, insn)) = line.split_once(':') else { continue };
        let Ok(address) = u64::from_str_radix(address.trim(), 16) else { continue };
        let is_data = [".word", ".short", ".byte", ".long"].iter().any(|data| insn.contains(data));
        // llvm-objdump has a line of its own for a prefix.
        if std::mem::replace(&mut after_prefix, ["lock", "rep", "repne"].contains(&insn.trim())) {
            continue;
        }
        let Some((start, size)) = sized.range(..=address).next_back() else { continue };
        if !is_data && address < start + size {
            functions.entry(*start).or_default().push(address);
        }
    }
    functions
}

#[test]
fn it_is_written_as_a_table_and_as_a_listing() {
    let path = fixture("c-an385/plain.elf");
    let image = Image::parse("plain.elf", std::fs::read(path).unwrap()).unwrap();
    let (trace, space) = (Trace::default(), Space::default());
    let object = ObjectCoverage::new(&image, Slide::ZERO, &trace, &space);
    let (mut table, mut listing) = (Vec::new(), Vec::new());
    write_table(&object, &mut table).unwrap();
    write_listing(&object, &mut listing).unwrap();
    let (table, listing) = (String::from_utf8(table).unwrap(), String::from_utf8(listing).unwrap());
    assert!(table.lines().last().unwrap().starts_with("TOTAL"), "{table}");
    assert_eq!(table.lines().count(), object.functions().len() + 2);
    let insns: usize = object.functions().map(|function| function.instructions.len()).sum();
    assert_eq!(listing.lines().filter(|line| line.contains("####")).count(), insns);
}

#[test]
fn report_writes_it_of_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("c-an385/plain.elf");
    let image = Image::parse("plain.elf", std::fs::read(&elf).unwrap()).unwrap();
    let (trace, space) = (Trace::default(), Space::default());
    let object = ObjectCoverage::new(&image, Slide::ZERO, &trace, &space);
    let (function, branch) = object
        .functions()
        .find_map(|it| Some((it.address.get(), it.instructions.iter().find(|it| it.branch.is_some())?.insn)))
        .unwrap();
    let [trace, out] = ["a.covtrace", "object.txt"].map(|name| dir.path().join(name));
    let len = branch.end() - function;
    let at = branch.address;
    let text = format!("covtap trace 1\nbranches\nspace\nrun {function:#x} {len} 7\nbranch {at:#x} 3 4\n");
    std::fs::write(&trace, text).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_covtap"));
    let output = command.arg("report").args([&elf, &trace]).arg("--object").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    let line = text.lines().find(|line| line.contains(&format!("  {at:08x}  "))).unwrap();
    assert!(line.trim_start().starts_with("7  ") && line.ends_with("3 taken, 4 fell through"), "{line}");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_covtap"));
    let output = command
        .arg("report")
        .args([&elf, &fixture("c-an385/covered.elf")])
        .arg("--object")
        .arg(&out)
        .output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(error.contains("--object is given, and there is no trace among the files"), "{error}");
}
