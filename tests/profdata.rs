//! Indexed profiles: what covtap reads of them against `llvm-profdata merge --text`, byte for byte.

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

use common::indexed::{Functions, indexed};
use common::{assert_done, assert_refused, ir_profile, run, stderr, without_values};
use covtap_testbed::{self as testbed, fixture};
use tempfile::tempdir;

/// The releases whose indexed profiles are read here, and the fixtures that each can read.
const RELEASES: [(&str, &[&str]); 3] =
    [("14", &["clang-14"]), ("16", &["clang-14"]), ("19", &["clang-19", "mcdc", "bytes", "rustc"])];

fn profdata(release: &str, args: &[&OsStr]) -> String {
    testbed::run(&format!("llvm-profdata-{release}"), args).unwrap()
}

fn text_of(release: &str, profile: &Path) -> String {
    profdata(release, &["merge".as_ref(), "--text".as_ref(), "-o".as_ref(), "-".as_ref(), profile.as_ref()])
}

/// Makes an indexed profile of another one.
fn index(release: &str, profile: &Path, flags: &[&str]) -> PathBuf {
    let out = profile.with_extension(format!("{release}.profdata"));
    let flags = flags.iter().map(OsStr::new);
    let args: Vec<&OsStr> = [OsStr::new("merge"), profile.as_ref(), "-o".as_ref(), out.as_ref()]
        .into_iter()
        .chain(flags)
        .collect();
    profdata(release, &args);
    out
}

/// What covtap makes of profiles, and what it says.
fn merge(dir: &Path, profiles: &[&Path]) -> (String, String) {
    let out = dir.join("merged.proftext");
    let args = ["merge".as_ref(), "-o".as_ref(), out.as_os_str()];
    let output = run(args.into_iter().chain(profiles.iter().map(|path| path.as_os_str())));
    assert_done(&output);
    (fs::read_to_string(out).unwrap(), stderr(&output))
}

/// covtap reads an indexed profile as the tool of `release` does.
fn assert_as_llvm(release: &str, dir: &Path, profile: &Path) {
    let (merged, said) = merge(dir, &[profile]);
    assert_eq!(said, "", "{}", profile.display());
    let expected = text_of(release, profile);
    assert!(expected.contains("# Counter Values:"), "{expected}");
    assert_eq!(merged, expected, "{}", profile.display());
}

#[test]
fn what_runtimes_wrote_and_llvm_merged() {
    let dir = tempdir().unwrap();
    for (release, names) in RELEASES {
        for name in names {
            let raw = dir.path().join(format!("{name}.profraw"));
            fs::copy(fixture(&format!("hosted/{name}.profraw")), &raw).unwrap();
            for flags in [&[][..], &["--sparse"]] {
                assert_as_llvm(release, dir.path(), &index(release, &raw, flags));
            }
        }
    }
}

#[test]
fn indexed_profiles_are_added_to_others() {
    let dir = tempdir().unwrap();
    let raw = dir.path().join("mcdc.profraw");
    fs::copy(fixture("hosted/mcdc.profraw"), &raw).unwrap();
    let whole = index("19", &raw, &[]);
    let (merged, said) = merge(dir.path(), &[&whole, &raw]);
    let args = ["merge", "--text", "-o", "-"].map(OsStr::new);
    let expected = testbed::run("llvm-profdata-19", args.into_iter().chain([whole.as_ref(), raw.as_ref()]));
    assert_eq!((merged, said), (expected.unwrap(), String::new()));
}

/// Several functions of a name; many of them; every kind of profile that text can tell.
#[test]
fn what_llvm_indexed_from_text() {
    let dir = tempdir().unwrap();
    let many: String =
        (0..3000u64).map(|n| format!("function_{n}\n{}\n2\n{n}\n{}\n", n * n, n % 7)).collect();
    let texts = [
        ("hashes", "f\n1\n1\n7\nf\n2\n2\n8\n9\nf\n18446744073709551613\n1\n0\ng\n1\n1\n1\n".to_owned()),
        ("marks", "f\n1\n1\n18446744073709551615\ng\n2\n1\n18446744073709551614\n".to_owned()),
        ("bitmaps", "f\n1\n1\n7\n$3\n1\n255\n0\ng\n1\n1\n7\n".to_owned()),
        ("many", many),
    ];
    for (name, text) in texts {
        for (head, kind) in
            [("", "fe"), (":ir\n", "ir"), (":csir\n", "csir"), (":ir\n:entry_first\n", "entry")]
        {
            let path = dir.path().join(format!("{name}-{kind}.proftext"));
            fs::write(&path, format!("{head}{text}")).unwrap();
            for release in ["14", "16", "19"] {
                // Bitmaps are in no text before LLVM 18.
                if name != "bitmaps" || release == "19" {
                    assert_as_llvm(release, dir.path(), &index(release, &path, &[]));
                }
            }
        }
    }
}

#[test]
fn values_are_left_out_and_said_to_be() {
    let dir = tempdir().unwrap();
    for release in ["14", "19"] {
        let profile = index(release, &ir_profile(release, dir.path(), &[]), &[]);
        let (merged, said) = merge(dir.path(), &[&profile]);
        assert!(said.contains("are left out: 2 sites"), "{said}");
        let expected = text_of(release, &profile);
        assert!(expected.contains("# Num Value Kinds:"));
        assert_eq!(merged, without_values(&expected));
    }
}

#[test]
fn traces_are_left_out_and_said_to_be() {
    let dir = tempdir().unwrap();
    let flags = ["-mllvm", "-pgo-temporal-instrumentation", "-mllvm", "-disable-vp"];
    let profile = index("19", &ir_profile("19", dir.path(), &flags), &[]);
    let (merged, said) = merge(dir.path(), &[&profile]);
    assert_eq!(said, "covtap: temporal profile traces are left out\n");
    let expected = text_of("19", &profile);
    let (head, rest) = expected.split_once(":temporal_prof_traces\n").unwrap();
    let (_, functions) = rest.split_once("\n\n").unwrap();
    let head = head.strip_suffix("# Temporal profile traces\n").unwrap_or(head);
    assert_eq!(merged, format!("{head}{functions}"));
}

#[test]
fn every_version_is_read() {
    let dir = tempdir().unwrap();
    let functions: [Functions<'_>; 3] = [
        ("b", &[(1, &[5, u64::MAX], &[]), (7, &[1], &[])]),
        ("a", &[(1 << 60, &[0, 0, 3], &[0xff, 1])]),
        ("file.c;c", &[(3, &[9], &[])]),
    ];
    for variant in [0, 1 << 56, 1 << 56 | 1 << 57, 1 << 60] {
        let texts: Vec<String> = (4..=13)
            .map(|version| {
                let path = dir.path().join(format!("{version}.profdata"));
                fs::write(&path, indexed(version, variant, &functions).bytes).unwrap();
                // The newest tool here reads no version after its own.
                if version <= 12 {
                    assert_as_llvm("19", dir.path(), &path);
                }
                merge(dir.path(), &[&path]).0
            })
            .collect();
        assert_eq!(texts[9], texts[8]);
        assert!(texts[7].contains("# Bitmap Byte Values:\n0xff\n0x1\n"), "{}", texts[7]);
        assert!(!texts[6].contains("Bitmap"), "{}", texts[6]);
    }
    let path = dir.path().join("next.profdata");
    fs::write(&path, indexed(14, 0, &functions).bytes).unwrap();
    let output = run(["merge".as_ref(), path.as_os_str(), "-o".as_ref(), dir.path().join("no").as_os_str()]);
    assert_refused(&output, "at offset 0x8: indexed profile version 14 is not known", "");
}
