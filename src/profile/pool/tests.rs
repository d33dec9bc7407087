//! The committed fixtures hold what their runtime wrote: a file that it can share is one that has the same parts.

use proptest::prelude::*;

use super::*;
use crate::image::{Image, Slide};
use crate::locate::llvm::{Located, locate};
use crate::write::profraw::{Style, encode};

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../tests/fixtures/hosted/", $name, ".elf")),
            include_bytes!(concat!("../../../tests/fixtures/hosted/", $name, ".profraw")),
        )
    };
}

const FIXTURES: [(&[u8], &[u8]); 6] = [
    fixture!("clang-14"),
    fixture!("clang-19"),
    fixture!("mcdc"),
    fixture!("bytes"),
    fixture!("rustc"),
    fixture!("debug-info"),
];

fn located(elf: &[u8]) -> Located {
    locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::ZERO).unwrap()
}

fn written(elf: &[u8], style: Style) -> Vec<u8> {
    let located = located(elf);
    let regions: Vec<_> =
        located.regions.iter().map(|it| vec![0; usize::try_from(it.range.len_bytes()).unwrap()]).collect();
    encode(&located.image, &regions, style).unwrap()
}

#[test]
fn what_the_runtime_wrote_has_the_parts_of_what_is_written_here() {
    for (elf, theirs) in FIXTURES {
        let is_correlated = located(elf).image.is_correlated();
        for slide in [Slide::ZERO, Slide::new(0x5555_0000_0000)] {
            let ours = written(elf, Style::RuntimeIdentical { slide });
            let parts = same_parts(&ours, theirs).unwrap();
            assert_eq!(ours.len(), theirs.len());
            assert!(parts.is_read_by_llvm(&ours));
            assert!(same_parts(theirs, &ours).is_ok());
        }
        let normalised = written(elf, Style::Normalised);
        // Of a correlated program the runtime writes no records, and takes no file that has them.
        assert_eq!(same_parts(&normalised, theirs).is_ok(), !is_correlated);
    }
}

#[test]
fn profiles_of_other_programs_are_told() {
    for (index, (elf, _)) in FIXTURES.iter().enumerate() {
        let ours = written(elf, Style::RuntimeIdentical { slide: Slide::ZERO });
        for (other, (_, theirs)) in FIXTURES.iter().enumerate() {
            assert_eq!(same_parts(&ours, theirs).is_ok(), index == other, "{index} {other}");
        }
    }
}

#[test]
fn what_is_different_is_said() {
    let (_, theirs) = FIXTURES[1];
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = theirs.to_vec();
        change(&mut changed);
        same_parts(theirs, &changed).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(error(&|it| it[0] = 0), "at offset 0x0: no raw profile begins here");
    assert_eq!(error(&|it| it[8] = 9), "its version word is 0x9, not 0xa");
    assert_eq!(error(&|it| it[15] = 1 << 4), "its version word is 0x100000000000000a, not 0xa");
    assert_eq!(error(&|it| it[24] += 1), "its NumData is 4, not 3");
    let data = RawParts::of(theirs).unwrap().data.start;
    assert_eq!(error(&|it| it[data + 64] ^= 1), "its record 1 is of another function");
    let names = RawParts::of(theirs).unwrap().names.start;
    assert_eq!(error(&|it| it[names + 3] ^= 1), "its names are others");
    for len in 0..theirs.len() {
        assert!(same_parts(theirs, &theirs[..len]).is_err(), "{len}");
    }
}

/// 32-bit counters below their records: LLVM's reader lets nothing wrap.
#[test]
fn what_llvm_cannot_read_is_told() {
    let elf = include_bytes!("../../../tests/fixtures/arm-cortexm/covered.elf");
    let bytes = written(elf, Style::Normalised);
    let parts = RawParts::of(&bytes).unwrap();
    assert!(parts.is_read_by_llvm(&bytes));
    let mut wrapped = bytes.clone();
    // The first record's pointer, as if counters lay 8 bytes before it.
    let pointer = parts.data.start + RecordLayout::COUNTER_PTR;
    wrapped[pointer..pointer + 4].copy_from_slice(&(-8i32).to_le_bytes());
    assert!(!RawParts::of(&wrapped).unwrap().is_read_by_llvm(&wrapped));
}

fn counters(parts: &RawParts, bytes: &[u8]) -> Vec<u64> {
    bytes[parts.counters.clone()].chunks(8).map(|it| u64::from_le_bytes(it.try_into().unwrap())).collect()
}

fn with_counters(bytes: &[u8], parts: &RawParts, counts: &[u64]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let all = counts.iter().flat_map(|count| count.to_le_bytes());
    bytes[parts.counters.clone()].iter_mut().zip(all).for_each(|(byte, new)| *byte = new);
    bytes
}

#[test]
fn only_what_is_new_is_added_and_nothing_is_taken_away() {
    let empty = written(FIXTURES[1].0, Style::Normalised);
    let parts = RawParts::of(&empty).unwrap();
    let now = |counts: &[u64]| with_counters(&empty, &parts, counts);
    let mut file = now(&[100, u64::MAX, 0]);
    let mut added = Vec::new();
    for (counts, sums) in [
        ([5, 1, 0], [105, u64::MAX, 0]),
        ([5, 2, 7], [105, u64::MAX, 7]),
        // A target lost counts.
        ([3, 2, 8], [105, u64::MAX, 8]),
        ([6, 2, 8], [106, u64::MAX, 8]),
    ] {
        add(&parts, &mut file, &now(&counts), &added);
        account(&parts, &mut added, &now(&counts), &parts.counters);
        assert_eq!(counters(&parts, &file)[..3], sums);
    }
    assert_eq!(RawParts::of(&file).unwrap().counters, parts.counters);
}

#[test]
fn byte_counters_stay_cleared_and_bits_set() {
    let empty = written(FIXTURES[3].0, Style::Normalised);
    let parts = RawParts::of(&empty).unwrap();
    assert_eq!(parts.counter_bytes(), 1);
    let with = |byte| {
        let mut bytes = empty.clone();
        bytes[parts.counters.start] = byte;
        bytes
    };
    let mut file = with(0xff);
    for (now, expected) in [(0xff, 0xff), (0, 0), (0xff, 0)] {
        add(&parts, &mut file, &with(now), &[]);
        assert_eq!(file[parts.counters.start], expected);
    }
    let empty = written(FIXTURES[2].0, Style::Normalised);
    let parts = RawParts::of(&empty).unwrap();
    let mut file = empty.clone();
    for (now, expected) in [(1, 1), (4, 5), (0, 5)] {
        let mut bits = empty.clone();
        bits[parts.bitmap.start] = now;
        add(&parts, &mut file, &bits, &[]);
        assert_eq!(file[parts.bitmap.start], expected);
    }
}

proptest! {
    #[test]
    fn damage_is_refused_or_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        which in 0..FIXTURES.len(),
    ) {
        let (elf, theirs) = FIXTURES[which];
        let mut damaged = theirs.to_vec();
        changes.iter().for_each(|(at, byte)| {
            let at = at.index(damaged.len());
            damaged[at] = *byte;
        });
        damaged.truncate(cut.map_or(damaged.len(), |cut| cut.index(damaged.len())));
        if let Ok(parts) = RawParts::of(&damaged) {
            let _ = parts.is_read_by_llvm(&damaged);
        }
        let ours = written(elf, Style::RuntimeIdentical { slide: Slide::ZERO });
        if let Ok(parts) = same_parts(&ours, &damaged) {
            add(&parts, &mut damaged, &ours, &[]);
            prop_assert!(same_parts(&ours, &damaged).is_ok());
        }
    }
}
