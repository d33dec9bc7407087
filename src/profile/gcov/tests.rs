//! Files by table, made by hand: byte orders and versions whose compilers the tests do not have.

use covtap_link::Endianness;
use covtap_link::Endianness::{Big, Little};
use proptest::prelude::*;

use super::*;
use crate::locate::gcov::{MergeFn, Version};
use crate::write::gcda::encode;

/// The text as a word.
fn word(text: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*text)
}

/// A negative length as a word.
const fn minus(length: u32) -> u32 {
    length.wrapping_neg()
}

fn bytes(words: &[u32], endianness: Endianness) -> Vec<u8> {
    let one = |word: &u32| match endianness {
        Little => word.to_le_bytes(),
        Big => word.to_be_bytes(),
    };
    words.iter().flat_map(one).collect()
}

/// What a file has from its magic on: a version, a stamp and more.
fn file(version: &[u8; 4], rest: &[u32]) -> Vec<u32> {
    [&[MAGIC, word(version), 0x57a3], rest].concat()
}

fn read_words(words: &[u32]) -> Result<GcdaFile, ReadGcdaError> {
    read("a.gcda", &bytes(words, Little))
}

/// A version, the words behind the stamp, and {index, values} of the only function that is present.
type Case<'c> = (&'c [u8; 4], &'c [u32], &'c [(usize, &'c [u64])]);

#[rustfmt::skip]
const CASES: &[Case<'_>] = &[
    // Summaries of programs, and lengths in words.
    (b"408*", &[0xa300_0000, 3, 9, 8, 7, 0x0100_0000, 3, 1, 2, 3, 0x01a1_0000, 4, 5, 0, 6, 1, 0], &[(0, &[5, 6 | 1 << 32])]),
    (b"603*", &[0x0100_0000, 3, 1, 2, 3, 0x01a1_0000, 2, 5, 0, 0x01a9_0000, 8, 1, 0, 2, 0, 3, 0, 4, 0, 0], &[(0, &[5]), (4, &[1, 2, 3, 4])]),
    (b"A93*", &[0xa100_0000, 2, 1, 5, 0x0100_0000, 3, 1, 2, 3, 0x01a1_0000, 2, 0, 0, 0], &[(0, &[0])]),
    // The fixed form of most frequent values, and zeros that are written.
    (b"B02*", &[0x0100_0000, 0, 0x0100_0000, 3, 1, 2, 3, 0x01a7_0000, 18, 1, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[(3, &[1, 2, 1, 0, 0, 0, 0, 0, 0])]),
    // Lists, and zeros that are not written.
    (b"B13*", &[0x0100_0000, 3, 1, 2, 3, 0x01a1_0000, minus(6), 0x01a7_0000, 8, 5, 0, 1, 0, 9, 0, 4, 0, 0], &[(0, &[0, 0, 0]), (3, &[5, 1, 9, 4])]),
    // A checksum, and lengths in bytes.
    (b"B22*", &[77, 0x0100_0000, 12, 1, 2, 3, 0x01a1_0000, minus(24), 0x01a9_0000, 16, 0, 0, 0, 0, 0], &[(0, &[0, 0, 0]), (4, &[0, 0])]),
    // Conditions, and paths.
    (b"B42*", &[77, 0x0100_0000, 12, 1, 2, 3, 0x01a1_0000, 8, 4, 0, 0x01b1_0000, 16, 3, 0, 1, 0, 0], &[(0, &[4]), (8, &[3, 1])]),
    (b"B53*", &[77, 0x0100_0000, 12, 1, 2, 3, 0x01a1_0000, 8, 4, 0, 0x01b3_0000, 8, 0, 1, 0], &[(0, &[4]), (9, &[1 << 32])]),
];

#[test]
fn files_of_each_version_are_read_and_written_alike() {
    for (version, words, counters) in CASES {
        for order in [Little, Big] {
            let written = bytes(&file(version, words), order);
            let file = read("a.gcda", &written).unwrap();
            assert_eq!((file.version().word(), file.stamp, file.endianness), (word(version), 0x57a3, order));
            assert_eq!(file.checksum, file.layout().has_checksum.then_some(77));
            let function = file.functions.iter().flatten().next().unwrap();
            let ids = (function.ident, function.lineno_checksum, function.cfg_checksum);
            assert_eq!(ids, (1, 2, 3));
            let found: Vec<_> = function.counters.iter().map(|c| (c.index, &*c.values)).collect();
            assert_eq!(found, *counters, "{version:?}");
            assert_eq!(encode(&file), written, "{version:?}");
        }
    }
}

#[test]
fn what_ends_a_file_may_be_absent_or_more() {
    for (version, words, _) in CASES {
        let whole = file(version, words);
        let read = read_words(&whole).unwrap();
        assert_eq!(read_words(&whole[..whole.len() - 1]).unwrap(), read);
        assert_eq!(read_words(&[&*whole, &[0, 0xdead]].concat()).unwrap(), read);
    }
}

#[test]
fn what_is_not_understood_is_refused_where_it_is() {
    let function = [77, 0x0100_0000, 12, 1, 2, 3];
    let of_12 = |rest: &[u32]| file(b"B22*", &[&function, rest].concat());
    // Behind the magic, version, stamp, checksum and a function: 9 words.
    for (words, offset, detail) in [
        (file(b"xxxx", &[]), 4, "no compiler has the version 0x78787878"),
        (file(b"406*", &[]), 4, "files of GCC 4.6 are not read"),
        (file(b"B22*", &[]), 12, "truncated checksum"),
        (file(b"B22*", &[77, 0x0100_0000, 3]), 20, "a function of 3 bytes"),
        (file(b"B22*", &[77, 0x01a1_0000, 8, 0, 0]), 16, "counters of no function"),
        (file(b"B22*", &[77, 0x0100_0000, 0, 0x01a1_0000, 8, 0, 0]), 24, "counters of no function"),
        (file(b"B22*", &[77, 0xa300_0000, 8, 1, 1]), 16, "the tag 0xa3000000 is not known"),
        (file(b"B22*", &[77, 0xa100_0000, 4, 1]), 16, "a summary of 4 bytes"),
        (file(b"B22*", &[77, 0xa100_0000, 8, 1, 1, 0xa100_0000, 8, 1, 1]), 32, "a second summary"),
        (of_12(&[0x01a1_0000, 12, 0, 0, 0]), 36, "counters of 12 bytes"),
        (of_12(&[0x01a1_0000, 8, 0]), 44, "truncated counters"),
        (of_12(&[0x01b1_0000, 8, 0, 0]), 36, "the tag 0x01b10000 is not known"),
        (of_12(&[0x01a1_0001, 8, 0, 0]), 36, "the tag 0x01a10001 is not known"),
        (of_12(&[0x0141_0000, 8, 0, 0]), 36, "the tag 0x01410000 is not known"),
        (of_12(&[0x01a3_0000, 0, 0x01a1_0000, 0]), 44, "counters of index 0 are not in order"),
        (of_12(&[0x01a1_0000, 0x8000_0000]), 36, "a record has the length -2147483648"),
        (of_12(&[0x01a1_0000, 0x8000_0008]), 36, "268435455 zeros are more than is plausible"),
        (of_12(&[0x01a7_0000, minus(16)]), 36, "a record has the length -16"),
        (of_12(&[0x01a7_0000, 16, 1, 0, 1, 0]), 36, "a list of 1 values, 0 are left"),
        (file(b"B02*", &[0x0100_0000, 3, 1, 2, 3, 0x01a1_0000, minus(2)]), 32, "a record has the length -2"),
        (
            file(b"B02*", &[0x0100_0000, 3, 1, 2, 3, 0x01a7_0000, 2, 0, 0]),
            32,
            "1 counters of index 3, which come by 9",
        ),
    ] {
        match read_words(&words).unwrap_err() {
            ReadGcdaError::Damaged { offset: at, detail: said, .. } => {
                assert!(said.starts_with(detail), "{said}");
                assert_eq!(at, offset, "{said}");
            }
            other => panic!("{other}"),
        }
    }
    for bytes in [&b""[..], b"gcd", b"gcno", b"oncg"] {
        assert!(matches!(read("a.gcda", bytes), Err(ReadGcdaError::NotGcda { .. })));
    }
}

fn of_12() -> GcdaFile {
    let counters = [(0, vec![1, u64::MAX]), (6, vec![5]), (7, vec![9, 0, 3])];
    let counters = counters.map(|(index, values)| GcdaCounters { index, values }).to_vec();
    let function = GcdaFunction { ident: 1, lineno_checksum: 2, cfg_checksum: 3, counters };
    let mut file = GcdaFile::new(Version::from_word(word(b"B22*")).unwrap(), Little, 4).unwrap();
    file.summary = Some(GcdaSummary { runs: 1, sum_max: u32::MAX });
    file.functions = vec![Some(function), None];
    file
}

#[test]
fn counters_merge_by_their_kind() {
    let (mut ours, mut theirs) = (of_12(), of_12());
    let function = theirs.functions[0].as_mut().unwrap();
    function.counters[1].values = vec![8];
    function.counters[2].values = vec![4, 2, 0];
    theirs.functions[1] = theirs.functions[0].clone();
    ours.merge(&theirs).unwrap();
    let values: Vec<_> = ours.functions[0].iter().flat_map(|f| &f.counters).map(|c| &*c.values).collect();
    assert_eq!(values, [&[2, u64::MAX - 1][..], &[13], &[4, 2, 3]]);
    assert_eq!(ours.functions[1], theirs.functions[1]);
    assert_eq!(ours.summary, Some(GcdaSummary { runs: 2, sum_max: u32::MAX - 1 }));
}

#[test]
fn what_does_not_match_is_refused_and_changes_nothing() {
    type Change = fn(&mut GcdaFile);
    let cases: [(Change, bool, &str); 8] = [
        (|f| f.checksum = Some(1), true, "its checksum is 0x00000001, not 0x00000000"),
        (|f| f.endianness = Big, false, "its byte order is big-endian, not little-endian"),
        (|f| drop(f.functions.pop()), false, "it has 1 functions, not 2"),
        (|f| first(f).ident = 7, false, "it has the function 0x00000007 in the place of 0x00000001"),
        (
            |f| first(f).lineno_checksum = 7,
            false,
            "the lineno_checksum of its function 0x00000001 is 0x00000007, not 0x00000002",
        ),
        (
            |f| first(f).cfg_checksum = 7,
            false,
            "the cfg_checksum of its function 0x00000001 is 0x00000007, not 0x00000003",
        ),
        (|f| drop(first(f).counters.pop()), false, "its function 0x00000001 has other kinds of counters"),
        (
            |f| first(f).counters[2].values.push(0),
            false,
            "counters of index 7 of its function 0x00000001: 4 values, not 3",
        ),
    ];
    for (change, is_other_build, said) in cases {
        let (mut ours, mut theirs) = (of_12(), of_12());
        change(&mut theirs);
        let error = ours.merge(&theirs).unwrap_err();
        assert_eq!(error.to_string(), format!("merge with the file: {said}"));
        assert_eq!(error.is_other_build(), is_other_build);
        assert_eq!(ours, of_12());
    }
    let mut again = of_12();
    again.stamp = 5;
    again.merge(&of_12()).unwrap();
    assert_eq!(again.stamp, 5);
    let of_11 = |stamp| GcdaFile::new(Version::from_word(word(b"B13*")).unwrap(), Little, stamp).unwrap();
    let error = of_11(4).merge(&of_11(5)).unwrap_err();
    assert_eq!(error.to_string(), "merge with the file: its stamp is 0x00000005, not 0x00000004");
    assert!(error.is_other_build());
    let mut newer = GcdaFile::new(Version::from_word(word(b"B23*")).unwrap(), Little, 4).unwrap();
    assert!(!newer.merge(&of_12()).unwrap_err().is_other_build());
}

fn first(file: &mut GcdaFile) -> &mut GcdaFunction {
    file.functions[0].as_mut().unwrap()
}

#[test]
fn several_call_targets_are_refused_unless_they_are_zero() {
    let of = |values: Vec<u64>| {
        let mut file = GcdaFile::new(Version::from_word(word(b"A83*")).unwrap(), Little, 4).unwrap();
        let counters = vec![GcdaCounters { index: 8, values }];
        file.functions = vec![Some(GcdaFunction { ident: 1, lineno_checksum: 2, cfg_checksum: 3, counters })];
        file
    };
    let mut ours = of((0..9).collect());
    ours.merge(&of(vec![0; 9])).unwrap();
    assert_eq!(ours, of((0..9).collect()));
    let error = ours.merge(&of((0..9).collect())).unwrap_err();
    assert_eq!(error, MergeGcdaError::NotMerged { index: 8 });
}

fn a_file() -> impl Strategy<Value = GcdaFile> {
    let versions = prop::sample::select(CASES.iter().map(|case| case.0).collect::<Vec<_>>());
    let functions = prop::collection::vec(
        prop::option::of((
            any::<[u32; 3]>(),
            prop::collection::vec((0usize..10, 0usize..3, any::<u64>()), 0..6),
        )),
        0..5,
    );
    let orders = prop::sample::select(&[Little, Big][..]);
    (versions, orders, any::<[u32; 4]>(), functions).prop_map(
        |(version, order, [stamp, sum, runs, max], functions)| {
            let mut file = GcdaFile::new(Version::from_word(word(version)).unwrap(), order, stamp).unwrap();
            let layout = file.layout();
            file.checksum = layout.has_checksum.then_some(sum);
            if layout.is_object_summary() {
                file.summary = Some(GcdaSummary { runs, sum_max: max });
            } else {
                file.program_summaries = vec![vec![runs, max]];
            }
            let is_plain = |index: &usize| {
                layout
                    .counters
                    .get(*index)
                    .is_some_and(|(_, rule)| !matches!(rule, MergeFn::TopN | MergeFn::Delta))
            };
            file.functions = functions
                .into_iter()
                .map(|function| {
                    function.map(|([ident, lineno_checksum, cfg_checksum], mut sets)| {
                        sets.sort_by_key(|set| set.0);
                        sets.dedup_by_key(|set| set.0);
                        let counters = sets.into_iter().filter(|(index, ..)| is_plain(index));
                        let counters = counters
                            .map(|(index, len, value)| GcdaCounters { index, values: vec![value; len] });
                        GcdaFunction { ident, lineno_checksum, cfg_checksum, counters: counters.collect() }
                    })
                })
                .collect();
            file
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(file in a_file()) {
        prop_assert_eq!(read("a.gcda", &encode(&file)).unwrap(), file);
    }
}
