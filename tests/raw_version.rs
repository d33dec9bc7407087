//! `--raw-version`: profiles for another release of `llvm-profdata` than the compiler's.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;

use common::{PATIENCE, Way, assert_done, assert_refused, run, stderr};
use covtap_testbed::{self as testbed, Guest, Machine, fixture};
use tempfile::tempdir;

/// A guest of clang 19, which writes raw version 10, for the tools of LLVM 14.
#[test]
fn an_older_llvm_profdata_reads_the_profile() {
    let elf = fixture("c-an385/covered.elf");
    let guest = Guest::builder(Machine::An385, &elf).start().unwrap();
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 1")).unwrap();
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (profraw, merged) = (path("a.profraw"), path("a.proftext"));
    let [flag, address] = Way::Qemu.flags(&guest);
    let elf = elf.display().to_string();
    assert_done(&run(["snapshot", &flag, &address, &elf, "--raw-version", "8", "-o", &profraw]));
    assert_eq!(fs::read(&profraw).unwrap()[8..16], 8u64.to_le_bytes());
    let text = testbed::run("llvm-profdata-14", ["merge", "--text", &profraw, "-o", "-"]).unwrap();
    assert_done(&run(["merge", &profraw, "-o", &merged]));
    assert_eq!(fs::read_to_string(merged).unwrap(), text);
    let counts = common::counts(&dir.path().join("a.proftext"));
    assert!(common::nonzero(&counts) > 10, "{counts:?}");
    testbed::run("llvm-profdata-19", ["merge", &profraw, "-o", &path("no")]).unwrap_err();
}

/// Before the target is looked for: nothing listens there.
#[test]
fn what_the_version_cannot_hold_is_refused() {
    let refused = |name: &str, version: &str, error: &str| {
        let elf = fixture(&format!("hosted/{name}.elf")).display().to_string();
        let output = run(["snapshot", "--gdb", "127.0.0.1:1", &elf, "--raw-version", version]);
        assert_refused(&output, error, "choose a newer --raw-version");
    };
    refused("mcdc", "8", "as raw version 8: the version has no MC/DC bitmaps");
    refused("bytes", "7", "as raw version 7: the version has no byte counters");
}

#[test]
fn versions_that_are_none_are_refused() {
    for version in ["6", "12", "v8", ""] {
        let output = run(["record", "--gdb", "127.0.0.1:1", "a.elf", "--raw-version", version]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("it is none of 5, 7, 8, 9, 10, 11"), "{}", stderr(&output));
    }
    let args = ["record", "--gdb", "127.0.0.1:1", "a.elf", "--raw-version", "8", "--runtime-identical"];
    assert!(stderr(&run(args)).contains("cannot be used with"));
}
