//! Counts on source by gcov's rules, of what is torn, damaged or of another compile. What is whole is compared with
//! gcov itself by `cargo xtask conformance gcov`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::process::Command;

use covtap::coverage::gcov::{FunctionCounters, Incoherence, Mismatch, MismatchReason, Notes, UnitCoverage};
use covtap::profile::gcov::{self, GcdaFile};
use covtap_testbed::{tool, workspace_root};
use proptest::prelude::*;
use tempfile::tempdir;

/// Notes and data of one program with loops on one line.
fn one_line() -> (Vec<u8>, GcdaFile) {
    let dir = tempdir().unwrap();
    let source = workspace_root().join("tests/gcov/one_line.c");
    let compile = |args: &[&str]| {
        let mut gcc = Command::new(tool("gcc-12").unwrap());
        assert!(
            gcc.args(["--coverage", "-O0"]).args(args).current_dir(dir.path()).status().unwrap().success()
        );
    };
    compile(&["-c", "-o", "a.o", source.to_str().unwrap()]);
    compile(&["-o", "program", "a.o"]);
    assert!(Command::new(dir.path().join("program")).status().unwrap().success());
    let [notes, data] = ["a.gcno", "a.gcda"].map(|name| fs::read(dir.path().join(name)).unwrap());
    (notes, gcov::read("a.gcda", &data).unwrap())
}

/// The counters of a function's arcs.
fn arcs(data: &mut GcdaFile, at: usize) -> &mut [u64] {
    &mut data.functions[at].as_mut().unwrap().counters[0].values
}

#[test]
fn counters_of_another_compile_are_named_and_not_used() {
    let (bytes, data) = one_line();
    let notes = Notes::parse(&bytes).unwrap();
    let nested = notes.functions.iter().find(|it| *it.name == *b"nested").unwrap();
    let spoilt = |spoil: fn(&mut FunctionCounters<'_>)| {
        let counters = FunctionCounters::of(&data).map(|mut counters| {
            if counters.ident == nested.ident {
                spoil(&mut counters);
            }
            counters
        });
        UnitCoverage::new(&notes, counters)
    };
    let (lineno, cfg) = (nested.lineno_checksum, nested.cfg_checksum);
    let num = nested.num_counters();
    let cases: [(fn(&mut FunctionCounters<'_>), _); 3] = [
        (
            |it| it.lineno_checksum ^= 1,
            MismatchReason::LinenoChecksum { notes: lineno, counters: lineno ^ 1 },
        ),
        (|it| it.cfg_checksum ^= 1, MismatchReason::CfgChecksum { notes: cfg, counters: cfg ^ 1 }),
        (|it| it.arcs = &it.arcs[1..], MismatchReason::NumCounters { notes: num, counters: num - 1 }),
    ];
    for (spoil, reason) in cases {
        let unit = spoilt(spoil);
        let name = Some(nested.name.clone());
        assert_eq!(unit.mismatches, [Mismatch { ident: nested.ident, name, reason }]);
        let names: Vec<_> = unit.sources[0].functions.iter().map(|it| it.name.to_vec()).collect();
        assert_eq!(names, [b"tangled".to_vec(), b"main".to_vec()]);
    }
    let unit = spoilt(|it| it.ident = 5);
    assert_eq!(unit.mismatches, [Mismatch { ident: 5, name: None, reason: MismatchReason::Ident(5) }]);
    assert_eq!(unit.sources[0].functions[0].execution_count, 0);
}

#[test]
fn a_snapshot_between_two_increments_is_told_and_has_no_negative_count() {
    let (bytes, data) = one_line();
    let notes = Notes::parse(&bytes).unwrap();
    let mut told = 0;
    for at in 0..data.functions.len() {
        for counter in 0..arcs(&mut data.clone(), at).len() {
            let mut torn = data.clone();
            arcs(&mut torn, at)[counter] += 1_000_000;
            let unit = UnitCoverage::new(&notes, FunctionCounters::of(&torn));
            for (_, why) in &unit.incoherent {
                told += usize::from(why.is_certain());
                let is_negative = matches!(why, Incoherence::Negative { count, .. } if *count < 0);
                assert_eq!(is_negative, why.is_certain(), "{why}");
            }
            // A count below 0 would be one of nearly 2^64.
            let lines = unit.sources.iter().flat_map(|source| &source.lines);
            let counts = lines.flat_map(|line| line.branches.iter().map(|it| it.count).chain([line.count]));
            assert!(counts.max().unwrap() < 1 << 32);
        }
    }
    assert!(told > 3, "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_notes_give_their_good_part_and_end(seed in any::<u64>()) {
        let (bytes, data) = one_line();
        let mut random = seed | 1;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
        };
        let mut damaged = 0;
        for _ in 0..5000 {
            let mut bytes = bytes.clone();
            for _ in 0..=next(8) {
                let at = next(bytes.len());
                bytes[at] = [0, 1, 2, 5, 0xff, 0x7f][next(6)];
            }
            bytes.truncate(if next(4) == 0 { next(bytes.len()) } else { bytes.len() });
            let Ok(notes) = Notes::parse(&bytes) else { continue };
            damaged += usize::from(notes.damage.is_some());
            let unit = UnitCoverage::new(&notes, FunctionCounters::of(&data));
            let lines: usize = unit.sources.iter().map(|source| source.lines.len()).sum();
            prop_assert!(lines <= bytes.len());
        }
        prop_assert!(damaged > 100);
    }
}
