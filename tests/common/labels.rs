//! Which lines the tests of `tests/labels` are said to reach, and which ones a profile says were reached.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use covtap_testbed::{self as testbed, workspace_root};

/// The lines of the guest that a test is said to reach.
pub(crate) fn expected(letter: char) -> BTreeSet<u64> {
    let source = fs::read_to_string(workspace_root().join("tests/labels/guest.c")).expect("the source");
    let reached = |(number, line): (usize, &str)| {
        let (_, tests) = line.split_once("// ")?;
        tests.contains(letter).then_some(number as u64 + 1)
    };
    source.lines().enumerate().filter_map(reached).collect()
}

/// The lines that llvm-cov says were reached by a profile.
pub(crate) fn reached(elf: &Path, profile: &Path) -> BTreeSet<u64> {
    let profdata = profile.with_extension("profdata");
    let merge = ["merge".as_ref(), profile.as_os_str(), "-o".as_ref(), profdata.as_os_str()];
    testbed::run("llvm-profdata-19", merge).expect("llvm-profdata reads it");
    let export = [
        "export".as_ref(),
        "--format=lcov".as_ref(),
        elf.as_os_str(),
        "--instr-profile".as_ref(),
        profdata.as_os_str(),
    ];
    let lcov = testbed::run("llvm-cov-19", export).expect("llvm-cov reads it");
    let lines = lcov.lines().filter_map(|line| line.strip_prefix("DA:")?.split_once(','));
    let hit = lines.filter(|(_, count)| *count != "0").map(|(line, _)| line.parse().expect("a line"));
    hit.collect()
}
