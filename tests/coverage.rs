//! Coverage on source lines against `llvm-cov`, byte for byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use covtap::coverage::Coverage;
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::lcov;
use covtap::write::profraw;
use covtap_testbed::{fixture, run};
use tempfile::tempdir;

fn located(elf: &Path) -> (Image, Located) {
    let image = Image::parse("program.elf", fs::read(elf).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    (image, located)
}

/// What LLVM's own tools say of a profile.
fn theirs(elf: &Path, profraw: &Path) -> String {
    let dir = tempdir().unwrap();
    let indexed = dir.path().join("indexed.profdata");
    run("llvm-profdata-19", ["merge".as_ref(), profraw.as_os_str(), "-o".as_ref(), indexed.as_os_str()])
        .unwrap();
    let profile = format!("-instr-profile={}", indexed.display());
    run("llvm-cov-19", ["export".as_ref(), "--format=lcov".as_ref(), elf.as_os_str(), profile.as_ref()])
        .unwrap()
}

/// Compares, and gives how many lines have a count.
fn check(elf: &Path, regions: impl Fn(&Located) -> Vec<Vec<u8>>) -> usize {
    let (image, located) = located(elf);
    let regions = regions(&located);
    let dir = tempdir().unwrap();
    let profraw = dir.path().join("counters.profraw");
    fs::write(&profraw, profraw::encode_as(&located.image, &regions, RawVersion::V10).unwrap()).unwrap();
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
    assert_eq!(
        (coverage.mismatches(), coverage.uncounted(), coverage.problems()),
        (&[][..], &[][..], &[][..])
    );
    let ours = String::from_utf8(lcov::encode(&coverage)).unwrap();
    let theirs = theirs(elf, &profraw);
    let lines: Vec<(&str, &str)> = ours.lines().zip(theirs.lines()).collect();
    for (number, (ours, theirs)) in lines.iter().enumerate() {
        assert_eq!(ours, theirs, "{}: line {} of the trace", elf.display(), number + 1);
    }
    assert_eq!(ours, theirs, "{}", elf.display());
    ours.lines().filter(|line| line.starts_with("DA:")).count()
}

#[test]
fn guests_have_the_lines_that_llvm_has() {
    for guest in ["x86-pvh", "arm-cortexm", "c-an385"] {
        let counters = fs::read(fixture(guest).join("counters.bin")).unwrap();
        let lines = check(&fixture(guest).join("covered.elf"), |_| vec![counters.clone()]);
        assert!(lines > 100, "{guest} has {lines} lines");
    }
}

/// Counts that no run would give show more than those of one.
#[test]
fn hosted_programs_have_the_lines_that_llvm_has() {
    for (name, fill) in
        ["clang-14", "clang-19", "mcdc", "bytes", "rustc"].iter().flat_map(|name| [(name, 0u8), (name, 1)])
    {
        let elf = fixture("hosted").join(format!("{name}.elf"));
        let lines = check(&elf, |located| {
            let len =
                |region: &covtap::locate::CounterRegion| usize::try_from(region.range.len_bytes()).unwrap();
            let byte =
                |at: usize| if at.is_multiple_of(8) { u8::try_from(at / 8 + 1).unwrap() * fill } else { 0 };
            located.regions.iter().map(|region| (0..len(region)).map(byte).collect()).collect()
        });
        assert!(lines > 5, "{name} has {lines} lines");
    }
}
