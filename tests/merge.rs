//! `covtap merge` against `llvm-profdata merge --text`: the same bytes, but where covtap says more.

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
use std::path::{Path, PathBuf};

use common::{assert_done, assert_refused, ir_profile, run, stderr, without_values};
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, RawVersion};
use covtap::write::profraw::encode_as;
use covtap_testbed::{self as testbed, fixture};
use tempfile::tempdir;

/// What LLVM makes of profiles.
fn llvm_text(tool: &str, profiles: &[PathBuf]) -> String {
    let args = ["merge", "--text", "-o", "-"].map(OsStr::new);
    testbed::run(tool, args.into_iter().chain(profiles.iter().map(|path| path.as_os_str()))).unwrap()
}

/// What covtap makes of them, and what it says.
fn merge(dir: &Path, profiles: &[PathBuf]) -> (PathBuf, String) {
    let out = dir.join("merged.proftext");
    let args = ["merge", "-o"].map(OsStr::new).into_iter().chain([out.as_os_str()]);
    let output = run(args.chain(profiles.iter().map(|path| path.as_os_str())));
    assert_done(&output);
    (out, stderr(&output))
}

/// The sum is byte for byte LLVM's, and LLVM reads it as it reads the profiles themselves.
fn assert_as_llvm(tool: &str, dir: &Path, profiles: &[PathBuf]) {
    let (merged, said) = merge(dir, profiles);
    assert_eq!(said, "");
    let expected = llvm_text(tool, profiles);
    assert!(expected.contains("# Counter Values:"));
    assert_eq!(fs::read_to_string(&merged).unwrap(), expected, "{profiles:?}");
    assert_eq!(llvm_text(tool, std::slice::from_ref(&merged)), expected);
}

#[test]
fn what_runtimes_wrote() {
    let dir = tempdir().unwrap();
    for name in ["clang-19", "mcdc", "bytes", "rustc", "clang-14"] {
        let tool = if name == "clang-14" { "llvm-profdata-14" } else { "llvm-profdata-19" };
        let profile = fixture(&format!("hosted/{name}.profraw"));
        assert_as_llvm(tool, dir.path(), std::slice::from_ref(&profile));
        assert_as_llvm(tool, dir.path(), &[profile.clone(), profile.clone(), profile]);
    }
}

/// The guests' counters at rest, in the two versions that a tool here reads, and as text.
#[test]
fn what_covtap_wrote_of_guests() {
    let dir = tempdir().unwrap();
    for guest in ["arm-cortexm", "c-an385", "x86-pvh"] {
        let elf = fs::read(fixture(&format!("{guest}/covered.elf"))).unwrap();
        let located = llvm::locate(&Image::parse(guest, elf).unwrap(), Slide::ZERO).unwrap();
        let counters = [fs::read(fixture(&format!("{guest}/counters.bin"))).unwrap()];
        for (version, tool) in [(RawVersion::V10, "llvm-profdata-19"), (RawVersion::V8, "llvm-profdata-14")] {
            let profile = dir.path().join(format!("{guest}-{version}.profraw"));
            fs::write(&profile, encode_as(&located.image, &counters, version).unwrap()).unwrap();
            let text = dir.path().join(format!("{guest}-{version}.proftext"));
            fs::write(&text, llvm_text(tool, std::slice::from_ref(&profile))).unwrap();
            assert_as_llvm(tool, dir.path(), &[profile, text]);
        }
    }
}

#[test]
fn text_profiles_of_every_kind() {
    let dir = tempdir().unwrap();
    let texts = ["b\n0x10\n2\n1\n2\n\na\n1\n1\n7\n", "c\n3\n1\n9\n$2\n0x5\n255\nb\n020\n2\n10\n20\n"];
    for head in ["", ":ir\n", ":csir\n", ":ir\n:entry_first\n", ":single_byte_coverage\n"] {
        let paths = [0, 1].map(|n| dir.path().join(format!("{n}.proftext")));
        for (path, text) in paths.iter().zip(texts) {
            fs::write(path, format!("{head}{text}")).unwrap();
        }
        assert_as_llvm("llvm-profdata-19", dir.path(), &paths);
    }
}

/// Call targets and sizes, as the compiler counts them for optimisation.
#[test]
fn values_are_left_out_and_said_to_be() {
    let dir = tempdir().unwrap();
    for release in ["14", "19"] {
        let profile = ir_profile(release, dir.path(), &[]);
        let expected = llvm_text(&format!("llvm-profdata-{release}"), std::slice::from_ref(&profile));
        assert!(expected.starts_with("# IR level Instrumentation Flag\n:ir\n"), "{expected}");
        let text = dir.path().join(format!("{release}.proftext"));
        fs::write(&text, &expected).unwrap();
        for input in [profile, text] {
            let (merged, said) = merge(dir.path(), std::slice::from_ref(&input));
            assert!(said.contains("are left out: 2 sites"), "{said}");
            assert_eq!(fs::read_to_string(merged).unwrap(), without_values(&expected));
        }
    }
}

#[test]
fn profiles_of_different_builds_are_kept_and_named() {
    let dir = tempdir().unwrap();
    let profiles = [("old", "f\n1\n1\n5\n"), ("new", "f\n2\n1\n7\n")].map(|(name, text)| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let (merged, said) = merge(dir.path(), &profiles);
    let new = profiles[1].display();
    assert_eq!(said, format!("covtap: {new}: f: func_hash 2 here, 1 before; both are kept\n"));
    assert_eq!(fs::read_to_string(merged).unwrap(), llvm_text("llvm-profdata-19", &profiles));
}

#[test]
fn what_cannot_be_merged_leaves_the_output_as_it_was() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out.proftext");
    fs::write(&out, "old").unwrap();
    let [counts, bytes] = ["clang-19", "bytes"].map(|name| fixture(&format!("hosted/{name}.profraw")));
    let elf = fixture("hosted/clang-19.elf");
    let refused = |second: &Path, error: &str, hint: &str| {
        let args = ["merge".as_ref(), counts.as_os_str(), second.as_os_str(), "-o".as_ref(), out.as_os_str()];
        assert_refused(&run(args), error, hint);
        assert_eq!(fs::read(&out).unwrap(), b"old");
    };
    refused(&bytes, "merge: one profile has counts, the other byte counters", "");
    refused(&elf, "it is no raw (.profraw), indexed (.profdata) or text profile (.proftext)", "");
    refused(&dir.path().join("missing"), "No such file", "");
}
