//! Damaged and malicious `.gcda` files: read or refused with the place of the fault, never a panic, and never more
//! memory than a small multiple of their length.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::alloc::System;

use cap::Cap;
use common::hostile::{MIB, alone, damage};
use covtap::locate::gcov::Version;
use covtap::profile::gcov::{GcdaCounters, GcdaFile, GcdaFunction, GcdaSummary, ReadGcdaError, read};
use covtap::write::gcda::encode;
use covtap_link::Endianness;
use proptest::prelude::*;

/// All that this process may have at once: an allocation beyond it fails the test.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 32 << 20);

const VERSIONS: [&[u8; 4]; 6] = [b"408*", b"A93*", b"B02*", b"B13*", b"B22*", b"B53*"];

fn empty(version: &[u8; 4], endianness: Endianness) -> GcdaFile {
    GcdaFile::new(Version::from_word(u32::from_be_bytes(*version)).unwrap(), endianness, 7).unwrap()
}

/// Files of every form, small enough that damage hits lengths and tags.
fn files() -> Vec<GcdaFile> {
    let orders = [Endianness::Little, Endianness::Big];
    let all = VERSIONS.iter().flat_map(|version| orders.map(|order| empty(version, order)));
    all.map(|mut file| {
        let topn: &[u64] = match file.version().major() {
            0..10 => &[5, 1, 2],
            10 => &[5, 1, 2, 0, 0, 0, 0, 0, 0],
            _ => &[5, 2, 8, 3, 9, 1, 0, 0],
        };
        let counters = |index, values: &[u64]| GcdaCounters { index, values: values.to_vec() };
        let all =
            vec![counters(0, &[1, 2, 3]), counters(1, &[0, 0]), counters(3, topn), counters(6, &[0, 4, 2])];
        let function =
            |ident| Some(GcdaFunction { ident, lineno_checksum: 5, cfg_checksum: 6, counters: all.clone() });
        if file.layout().is_object_summary() {
            file.summary = Some(GcdaSummary { runs: 1, sum_max: 3 });
        } else {
            file.program_summaries = vec![vec![1, 2, 3]];
        }
        file.functions = vec![function(1), None, function(2)];
        file
    })
    .collect()
}

/// Reads, and checks that an error is one line that tells a place.
fn read_any(bytes: &[u8]) -> Option<GcdaFile> {
    match read("a.gcda", bytes) {
        Ok(file) => Some(file),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains('\n') && said.len() < 200, "{said}");
            if let ReadGcdaError::Damaged { offset, .. } = error {
                assert!(offset <= bytes.len(), "{said}");
            }
            None
        }
    }
}

#[test]
fn a_cut_file_is_refused_or_shorter() {
    let _alone = alone();
    for file in files() {
        let whole = encode(&file);
        assert_eq!(read_any(&whole).unwrap(), file);
        let (mut read, mut refused) = (0, 0);
        for len in 0..whole.len() {
            match read_any(&whole[..len]) {
                None => refused += 1,
                Some(cut) => {
                    read += 1;
                    assert!(len.is_multiple_of(4) && cut.functions.len() <= file.functions.len());
                }
            }
        }
        // It may end behind the header and behind each of 12 records: 4 of counters in each function.
        assert_eq!((read, refused), (13, whole.len() - 13));
    }
}

#[test]
fn what_costs_most_for_its_bytes_takes_a_small_multiple() {
    let _alone = alone();
    for order in [Endianness::Little, Endianness::Big] {
        let mut file = empty(b"B22*", order);
        file.functions = vec![None; MIB / 8];
        assert_eq!(read_any(&encode(&file)).unwrap().functions.len(), MIB / 8);
        file.functions.clear();
        let one = GcdaFunction { ident: 1, lineno_checksum: 2, cfg_checksum: 3, counters: Vec::new() };
        file.functions.resize(MIB / 40, Some(one));
        assert_eq!(read_any(&encode(&file)).unwrap().functions.len(), MIB / 40);
    }
    // Zeros that are not there: as many as are plausible, and one more.
    let words = |lengths: &[i32]| -> Vec<u8> {
        let head = [0x6763_6461, u32::from_be_bytes(*b"B22*"), 1, 2, 0x0100_0000, 12, 1, 2, 3];
        let counters = lengths.iter().enumerate().flat_map(|(index, length)| {
            [0x01a1_0000 + (u32::try_from(index).unwrap() << 17), length.cast_unsigned()]
        });
        head.into_iter().chain(counters).flat_map(u32::to_le_bytes).collect()
    };
    let most = i32::try_from(8 * (MIB + 44)).unwrap();
    assert_eq!(
        read_any(&words(&[-most])).unwrap().functions[0].as_ref().unwrap().counters[0].values.len(),
        MIB + 44
    );
    assert!(read_any(&words(&[-most - 8])).is_none());
    assert!(read_any(&words(&[-most, -8])).is_some() && read_any(&words(&[-most, -72])).is_none());
    for length in [i32::MIN, i32::MIN + 8, i32::MAX - 7, i32::MAX] {
        assert!(read_any(&words(&[length])).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_or_refused_and_merge_or_not(
        which in any::<prop::sample::Index>(),
        damage in damage(),
    ) {
        let _alone = alone();
        thread_local!(static FILES: Vec<(GcdaFile, Vec<u8>)> = files().into_iter().map(|f| (f.clone(), encode(&f))).collect());
        let (whole, mut bytes) = FILES.with(|files| files[which.index(files.len())].clone());
        damage.apply(&mut bytes);
        if let Some(file) = read_any(&bytes) {
            prop_assert_eq!(read_any(&encode(&file)), Some(file.clone()));
            for (mut ours, theirs) in [(whole.clone(), &file), (file.clone(), &whole)] {
                let before = ours.clone();
                match ours.merge(theirs) {
                    // What is merged is a file again.
                    Ok(()) => prop_assert_eq!(read_any(&encode(&ours)), Some(ours)),
                    Err(_) => prop_assert_eq!(ours, before),
                }
            }
        }
    }
}
