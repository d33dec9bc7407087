//! Structures written by hand, of releases that no compiler here is of, and damaged ones.

use std::path::PathBuf;

use covtap::locate::gcov::{Caution, CounterKind, Located, Version};
use tempfile::{TempDir, tempdir};

use super::{locate, run_in, source};

/// Version, merge functions, the index of a second kind, and what that is.
const RELEASES: [(&[u8; 4], usize, usize, CounterKind); 13] = [
    (b"407*", 8, 6, CounterKind::Average),
    (b"408*", 8, 4, CounterKind::Delta),
    (b"409*", 9, 8, CounterKind::TimeProfile),
    (b"504*", 10, 9, CounterKind::IndirectCallTopN),
    (b"603*", 10, 5, CounterKind::IndirectCall),
    (b"A75*", 9, 8, CounterKind::IndirectCallTopN),
    (b"A93*", 9, 4, CounterKind::IndirectCall),
    (b"B02*", 8, 7, CounterKind::TimeProfile),
    (b"B13*", 8, 3, CounterKind::TopN),
    (b"B33*", 8, 6, CounterKind::Ior),
    (b"B42*", 9, 8, CounterKind::Conditions),
    (b"B53*", 10, 9, CounterKind::Paths),
    (b"B62*", 10, 9, CounterKind::Paths),
];

/// 64- and 32-bit, moved and not, big-endian.
const TARGETS: [(&str, &[&str]); 4] = [
    ("gcc", &["-pie", "-fPIE"]),
    ("gcc", &["-m32", "-no-pie"]),
    ("gcc", &["-m32", "-shared", "-fPIC", "-Wl,-Bsymbolic"]),
    ("powerpc-linux-gnu-gcc", &["-no-pie"]),
];

fn build(target: usize, version: &[u8; 4], merges: usize, active: usize, more: &str) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let (compiler, flags) = TARGETS[target];
    let word = u32::from_be_bytes(*version);
    let text = format!("-DVERSION={word}u -DMERGES={merges} -DACTIVE={active} -nostdlib -o a {more}");
    let has_checksum = version[..] >= b"B2"[..];
    let own = source("gcov_info.c");
    let args = flags.iter().copied().chain(text.split_whitespace()).chain([own.as_str()]);
    run_in(dir.path(), compiler, args.chain(has_checksum.then_some("-DCHECKSUM")));
    let path = dir.path().join("a");
    (dir, path)
}

fn check_both(located: &Located, version: &[u8; 4], kind: CounterKind) {
    let word = u32::from_be_bytes(*version);
    let [a, b] = &located.image.objects[..] else { panic!("{:?}", located.image.objects) };
    let (a, b) = if a.stamp == 1 { (a, b) } else { (b, a) };
    assert_eq!((a.version.word(), b.version.word()), (word, word));
    assert_eq!((a.stamp, b.stamp), (1, 2));
    let checksum = |checksum| (version[..] >= b"B2"[..]).then_some(checksum);
    assert_eq!((a.checksum, b.checksum), (checksum(100), checksum(200)));
    assert_eq!((&a.filename[..], &b.filename[..]), (&b"/a.gcda"[..], &b"/b.gcda"[..]));
    let f = a.functions[0].as_ref().unwrap();
    assert_eq!([f.ident, f.lineno_checksum, f.cfg_checksum], [11, 12, 13]);
    assert_eq!((f.counters[0].num, f.counters[1].num), (3, 5));
    assert_eq!((f.counters[0].kind, f.counters[1].kind), (CounterKind::Arcs, kind));
    assert_eq!((b.functions.len(), a.functions.len()), (3, 1));
    assert!(b.functions[0].is_none() && b.functions[1].is_some() && b.functions[2].is_none());
}

#[test]
fn every_release_has_its_layout() {
    for (version, merges, active, kind) in RELEASES {
        for target in 0..TARGETS.len() {
            let (_dir, path) = build(target, version, merges, active, "");
            let located = locate(&path).unwrap_or_else(|error| panic!("{target}: {error}"));
            check_both(&located, version, kind);
            assert!(located.cautions.is_empty());
        }
    }
}

#[test]
fn a_newer_release_is_read_if_all_of_it_fits() {
    let version = Version::from_word(u32::from_be_bytes(*b"B71*")).unwrap();
    let (_dir, path) = build(0, b"B71*", 10, 9, "");
    let located = locate(&path).unwrap();
    check_both(&located, b"B71*", CounterKind::Paths);
    assert_eq!(located.cautions, [Caution::NewerVersion(version)]);
    // One more kind of counter than the newest known has.
    let (_dir, path) = build(0, b"B71*", 11, 9, "");
    let error = locate(&path).unwrap_err().to_string();
    assert!(
        error.contains("GCC 17.1, for /a.gcda: ") || error.contains("GCC 17.1, for /b.gcda: "),
        "{error}"
    );
}

#[test]
fn counters_that_are_no_variables_leave_their_object_out() {
    let (_dir, path) = build(0, b"B22*", 8, 6, "-DCOUNTERS=constants");
    let located = locate(&path).unwrap();
    assert_eq!(located.image.objects.len(), 1);
    assert_eq!(located.image.objects[0].filename, b"/a.gcda");
    let [Caution::LeftOut { filename, detail, .. }] = &located.cautions[..] else {
        panic!("{:?}", located.cautions);
    };
    assert_eq!(filename, b"/b.gcda");
    assert!(detail.starts_with("function 1: its 2 counters Arcs at 0x"), "{detail}");
}

#[test]
fn counters_of_two_functions_do_not_share_memory() {
    let (_dir, path) = build(1, b"B22*", 8, 6, "-DCOUNTERS=(a_arcs+1)");
    let error = locate(&path).unwrap_err().to_string();
    assert!(error.contains(" overlap"), "{error}");
}
