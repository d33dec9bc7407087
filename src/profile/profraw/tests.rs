//! What covtap writes is read back, in every version and for every kind of target; `tests/merge.rs` has LLVM's
//! tools for an oracle.

use proptest::prelude::*;

use super::*;
use crate::image::{Image, Slide};
use crate::locate::llvm::{Located, locate};
use crate::profile::llvm::LlvmProfile;
use crate::write::profraw::{ProfrawError, encode_as};
use crate::write::proftext;

const IMAGES: [&[u8]; 6] = [
    include_bytes!("../../../tests/fixtures/hosted/clang-14.elf"),
    include_bytes!("../../../tests/fixtures/hosted/mcdc.elf"),
    include_bytes!("../../../tests/fixtures/hosted/bytes.elf"),
    include_bytes!("../../../tests/fixtures/hosted/rustc.elf"),
    include_bytes!("../../../tests/fixtures/arm-cortexm/covered.elf"),
    include_bytes!("../../../tests/fixtures/x86-pvh/covered.elf"),
];

const PROFILES: [&[u8]; 5] = [
    include_bytes!("../../../tests/fixtures/hosted/clang-14.profraw"),
    include_bytes!("../../../tests/fixtures/hosted/clang-19.profraw"),
    include_bytes!("../../../tests/fixtures/hosted/mcdc.profraw"),
    include_bytes!("../../../tests/fixtures/hosted/bytes.profraw"),
    include_bytes!("../../../tests/fixtures/hosted/rustc.profraw"),
];

fn located(elf: &[u8]) -> Located {
    locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::ZERO).unwrap()
}

/// Every byte another value, among them the zeros that cover a byte counter; but zero the highest of each counter.
fn made_up(located: &Located) -> Vec<Vec<u8>> {
    let is_top = |n: u64| !located.image.is_byte_coverage() && n % 8 == 7;
    let byte = |n| if is_top(n) { 0 } else { u8::try_from(n * 7 % 11).unwrap() };
    let region = |len: u64| (0..len).map(byte).collect();
    located.regions.iter().map(|region_of| region(region_of.range.len_bytes())).collect()
}

#[test]
fn every_version_is_read_back() {
    let (mut read_back, mut refused) = (0, 0);
    for elf in IMAGES {
        let located = located(elf);
        let regions = made_up(&located);
        let counts = LlvmProfile::new(&located.image, &regions).unwrap();
        for version in RawVersion::ALL {
            let bytes = match encode_as(&located.image, &regions, version) {
                Ok(bytes) => bytes,
                Err(ProfrawError::NotInVersion { .. }) => {
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let profile = read(&bytes, &[]).unwrap();
            assert_eq!(profile.functions().count(), counts.functions().len());
            for expected in counts.functions() {
                let name = located.image.names().get(expected.name_ref).unwrap();
                assert!(profile.functions().any(|(found, function)| found == name && function == expected));
            }
            read_back += 1;
        }
    }
    // Bitmaps are in no version before 9, byte counters in none before 8.
    assert_eq!((read_back, refused), (31, 5));
}

#[test]
fn profiles_behind_each_other_are_added_up() {
    let once = read(PROFILES[0], &[]).unwrap();
    let twice = read(&[PROFILES[0], &[0; 16], PROFILES[1]].concat(), &[]).unwrap();
    let counts = |profile: &StoredProfile| -> Vec<u64> {
        profile.functions().flat_map(|(_, function)| function.counts.to_vec()).collect()
    };
    assert_eq!(counts(&twice), counts(&once).iter().map(|count| count * 2).collect::<Vec<_>>());
    let mixed = read(&[PROFILES[1], PROFILES[3]].concat(), &[]).unwrap_err();
    assert_eq!(
        (mixed.offset, mixed.detail.as_str()),
        (PROFILES[1].len(), "merge: one profile has counts, the other byte counters")
    );
}

#[test]
fn value_data_is_passed_by_its_length() {
    let mut bytes = PROFILES[0].to_vec();
    // The first record's number of value sites of the first kind: header 88, binary id 8 + 24, sites at 44.
    bytes[88 + 32 + 44] = 2;
    assert_eq!(read(&bytes, &[]).unwrap_err().detail, "truncated value data");
    let mut whole = bytes.clone();
    whole.extend([24u32, 1].iter().flat_map(|word| word.to_le_bytes()));
    assert!(read(&whole, &[]).unwrap_err().detail.starts_with("truncated value data: 24 bytes"));
    whole.extend([0; 16]);
    let profile = read(&whole, &[]).unwrap();
    assert_eq!(profile.value_sites_left_out(), 2);
    assert_eq!(profile.functions().count(), 3);
}

#[test]
fn records_that_share_counters_are_refused() {
    let mut bytes = PROFILES[1].to_vec();
    // Header 128, binary id 8 + 24; the second record becomes the first again, with the same counters.
    let (first, second) = (128 + 32, 128 + 32 + 64);
    bytes[first + 48] = 6;
    let mut record = bytes[first..second].to_vec();
    let pointer = u64::from_le_bytes(record[16..24].try_into().unwrap()) - 64;
    record[16..24].copy_from_slice(&pointer.to_le_bytes());
    bytes[second..][..64].copy_from_slice(&record);
    let fault = read(&bytes, &[]).unwrap_err();
    assert_eq!(
        fault,
        Fault { offset: second, detail: "record 1: its counters overlap those of other records".into() }
    );
}

#[test]
fn a_cut_profile_is_refused_at_every_length() {
    for profile in PROFILES {
        for len in 1..profile.len() {
            let _ = crate::profile::read("cut", &profile[..len]).unwrap_err();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_damage_makes_it_panic(
        which in 0..PROFILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_text: bool,
    ) {
        let mut bytes = match is_text {
            true => proftext::encode(&read(PROFILES[which], &[]).unwrap()).unwrap(),
            false => PROFILES[which].to_vec(),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        match crate::profile::read("damaged", &bytes) {
            Ok(profile) => { let _ = proftext::encode(&profile); }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}

/// As in llvm-profdata 19: `llvm-profdata-19 merge` takes 2^56 and refuses one more.
#[test]
fn a_count_that_no_run_reaches_is_refused() {
    let mut bytes = include_bytes!("../../../tests/fixtures/hosted/clang-19.profraw").to_vec();
    // A counter of `main` that is 5.
    bytes[376..384].copy_from_slice(&(1u64 << 56).to_le_bytes());
    assert!(read(&bytes, &[]).is_ok());
    bytes[376] = 1;
    let fault = read(&bytes, &[]).unwrap_err();
    assert!(fault.detail.ends_with("excessively large counter value 72057594037927937"), "{}", fault.detail);
}
