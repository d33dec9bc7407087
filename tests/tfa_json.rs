//! The intermediate JSON of TF-A's coverage tools: what it has of a program is written down here by hand.

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
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::profile::trace::{self, Counting, TraceBuilder};
use covtap_testbed::tool;
use serde_json::{Value, json};
use tempfile::tempdir;

const SOURCE: &str =
    "unsigned long f(unsigned long n) {\n  return n | 0x400;\n}\nint g(void) {\n  return 0;\n}\n";

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles a source for A64 and links it where its first instruction is at 6948.
fn program(dir: &Path, name: &OsStr, text: &str) -> PathBuf {
    let [source, elf] = [dir.join(name), dir.join("program.elf")];
    fs::write(&source, text).unwrap();
    let mut command = Command::new(tool("clang-19").unwrap());
    command.current_dir(dir).args([
        "--target=aarch64-none-elf",
        "-O1",
        "-g",
        "-ffreestanding",
        "-c",
        "-o",
        "a.o",
    ]);
    succeed(command.arg(source));
    let mut command = Command::new(tool("ld.lld-19").unwrap());
    succeed(command.current_dir(dir).args(["-e", "f", "-Ttext=0x1b24", "a.o", "-o"]).arg(&elf));
    elf
}

/// A trace's file: runs by address space.
fn write_trace(path: PathBuf, runs: &[(&str, u64, u64, u64)]) -> PathBuf {
    let mut builder = TraceBuilder::new(Counting::Times);
    for (space, start, len_bytes, count) in runs {
        builder.block(space, *start, *len_bytes, *count).unwrap();
    }
    fs::write(&path, trace::encode(&builder.finish())).unwrap();
    path
}

/// What `covtap report --tfa-json` writes.
fn report(dir: &Path, args: &[&OsStr]) -> Value {
    let json = dir.join("tfa.json");
    let mut all: Vec<&OsStr> = vec!["report".as_ref(), "--tfa-json".as_ref(), json.as_os_str()];
    all.extend(args);
    common::assert_done(&common::run(all));
    serde_json::from_slice(&fs::read(json).unwrap()).unwrap()
}

#[test]
fn lines_have_their_instructions_by_program_and_address() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let elf = program(dir, "a.c".as_ref(), SOURCE);
    let runs = [("bl2", 0x1b24, 8, 3), ("bl2", 0x1b2c, 4, 1), ("tee", 0x11b24, 8, 7)];
    let trace = write_trace(dir.join("t.covtrace"), &runs);
    let [bl2, tee] = [("bl2", ""), ("tee", "@0x10000")]
        .map(|(space, slide)| format!("--image={space}={}{slide}", elf.display()));
    let map = format!("--path-map={}=src", dir.canonicalize().unwrap().display());
    let args: [&OsStr; 4] = [bl2.as_ref(), tee.as_ref(), map.as_ref(), trace.as_os_str()];
    let orr = "b2760000 \torr\tx0, x0, #0x400";
    let (ret, mov) = ("d65f03c0 \tret", "2a1f03e0 \tmov\tw0, wzr");
    let expected = json!({
        "configuration": {"elf_map": {"bl2": 1, "tee": 100}, "metadata": {}, "sources": []},
        "source_files": {"src/a.c": {
            "functions": {
                "f": {"covered": true, "line_number": 1},
                "g": {"covered": true, "line_number": 4},
            },
            "lines": {
                "2": {"covered": true, "elf_index": {
                    "1": {"6948": [orr, 3], "6952": [ret, 3]},
                    "100": {"6948": [orr, 7], "6952": [ret, 7]},
                }},
                "5": {"covered": true, "elf_index": {
                    "1": {"6956": [mov, 1], "6960": [ret, 0]},
                    "100": {"6956": [mov, 0], "6960": [ret, 0]},
                }},
            },
        }},
    });
    assert_eq!(report(dir, &args), expected);
    let bl2 = write_trace(dir.join("one.covtrace"), &[("", 0x1b24, 8, 3)]);
    let only = report(dir, &[elf.as_os_str(), bl2.as_os_str(), map.as_ref()]);
    assert_eq!(only["configuration"]["elf_map"], json!({"program": 100}), "by the name of its file");
    let source = &only["source_files"]["src/a.c"];
    assert_eq!(source["functions"]["g"], json!({"covered": false, "line_number": 4}));
    assert_eq!(source["lines"]["5"]["covered"], json!(false));
    let nothing = report(dir, &[elf.as_os_str(), bl2.as_os_str(), "--ignore-filename-regex=a.c".as_ref()]);
    assert_eq!(nothing["source_files"], json!({}));
}

/// Names that are no UTF-8, or that would be something else in JSON, are text, and there once.
#[test]
fn hostile_names_are_text() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let name = "int f(int) __asm__(\"\\\"}],\");\nint f(int n) {\n  return n;\n}\n";
    let elf = program(dir, OsStr::from_bytes(b"\"a\\\xff\n.c"), name);
    let trace = write_trace(dir.join("t.covtrace"), &[("", 0x1b24, 4, 1)]);
    let report = report(dir, &[elf.as_os_str(), trace.as_os_str()]);
    let files = report["source_files"].as_object().unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    let (file, found) = files.iter().next().unwrap();
    assert!(file.ends_with("/\"a\\\u{fffd}\u{fffd}.c"), "{file:?}");
    assert_eq!(found["functions"], json!({"\"}],": {"covered": true, "line_number": 2}}));
    let without_trace =
        common::run(["report".as_ref(), "--tfa-json".as_ref(), "x".as_ref(), elf.as_os_str()]);
    common::assert_refused(&without_trace, "--tfa-json is given, and there is no trace", "name the trace");
}
