//! Damaged and malicious profiles and coverage mappings: read or refused with the place of the fault, never a panic,
//! and never more memory than a small multiple of their length.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod common;

use std::alloc::System;
use std::fs;
use std::io::Write;

use cap::Cap;
use common::hostile::{MIB, alone, damage, put};
use common::indexed::{Functions, Indexed, indexed};
use covtap::coverage::Mapping;
use covtap::image::{Image, Slide};
use covtap::locate::llvm;
use covtap::profile::{self, ReadProfileError, StoredProfile};
use covtap::write::proftext;
use covtap_testbed::fixture;
use flate2::{Compression, write::ZlibEncoder};
use proptest::prelude::*;

/// All that this process may have at once: an allocation beyond it fails the test. Inputs are at most a mebibyte, so
/// that no reader may take more than thirty times its input.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 32 << 20);

const FUNCTIONS: [Functions<'static>; 3] = [
    ("b", &[(1, &[5, u64::MAX], &[]), (7, &[1], &[])]),
    ("a", &[(9, &[0, 0, 3], &[0xff, 1])]),
    ("file.c;c", &[(3, &[9], &[])]),
];

const RAW: [&str; 5] = ["clang-14", "clang-19", "mcdc", "bytes", "rustc"];

fn raw(name: &str) -> Vec<u8> {
    fs::read(fixture(&format!("hosted/{name}.profraw"))).unwrap()
}

/// Real profiles of every form.
fn profiles() -> Vec<Vec<u8>> {
    let raws = RAW.iter().map(|name| raw(name));
    let texts = RAW.iter().map(|name| proftext::encode(&read(&raw(name)).unwrap()).unwrap());
    let versions = [(4, 0), (9, 1 << 56), (10, 1 << 57 | 1 << 56), (13, 1 << 60)];
    let indexes = versions.iter().map(|(version, variant)| indexed(*version, *variant, &FUNCTIONS).bytes);
    raws.chain(texts).chain(indexes).collect()
}

/// Reads, and checks that an error is one line that tells a place.
fn read(bytes: &[u8]) -> Result<StoredProfile, ReadProfileError> {
    let read = profile::read("p", bytes);
    if let Err(error) = &read {
        let said = error.to_string();
        assert!(!said.contains('\n') && said.len() < 2000, "{said}");
        assert!(
            [", line ", " at offset 0x", "it is no raw"].iter().any(|place| said.contains(place)),
            "{said}"
        );
    }
    read
}

/// The place and the reason of a refusal.
#[track_caller]
fn refused(bytes: &[u8]) -> (usize, String) {
    match read(bytes).unwrap_err() {
        ReadProfileError::Binary { offset, detail, .. } => (offset, detail),
        ReadProfileError::Text { line, detail, .. } => (line, detail),
        other => panic!("{other}"),
    }
}

fn set(bytes: &[u8], at: usize, value: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn uleb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn a_cut_profile_is_refused_or_shorter() {
    let _alone = alone();
    for whole in profiles() {
        let functions = read(&whole).unwrap().functions().count();
        assert!(functions >= 3);
        let is_text = whole.is_ascii();
        for len in 0..whole.len() {
            match read(&whole[..len]) {
                Ok(cut) => {
                    // Text ends where it ends; what stands behind an index's table is not read.
                    let is_behind = whole.starts_with(b"\xfflprofi") && len + 8 >= whole.len();
                    assert!(is_text || is_behind, "{len} of {}", whole.len());
                    assert!(cut.functions().count() <= functions);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

/// Every u64 of a header becomes every number that sums and products trip over.
#[test]
fn header_fields_that_are_too_large_are_refused() {
    let _alone = alone();
    for whole in profiles().into_iter().filter(|bytes| !bytes.is_ascii()) {
        for at in (8..whole.len().min(160)).step_by(8) {
            for value in
                [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 61, 1 << 32, 1 << 31, whole.len() as u64, 0, 7]
            {
                let _ = read(&set(&whole, at, value));
            }
        }
    }
    let version_10 = raw("clang-19");
    // BinaryIdsSize, NumData, NumCounters, NamesSize.
    for (field, what) in [(2, "binary ids"), (3, "data records"), (5, "counters"), (9, "names")] {
        let (offset, detail) = refused(&set(&version_10, 8 * field, u64::MAX));
        assert!(detail.starts_with(&format!("truncated {what}: ")), "{detail}");
        assert!(offset >= 128 && offset < version_10.len(), "{offset}");
    }
}

#[test]
fn an_index_that_lies_is_refused_where_it_does() {
    let _alone = alone();
    let Indexed { bytes, table, entries } = indexed(12, 0, &FUNCTIONS);
    let refused = |at: usize, value: u64| refused(&set(&bytes, at, value));
    assert_eq!(refused(24, 1), (24, "hash type 1 is not known".into()));
    assert_eq!(refused(32, 8).0, entries);
    assert!(refused(32, u64::MAX).1.starts_with("truncated hash table entries"));
    assert!(refused(72, u64::MAX).1.starts_with("truncated summary fields"));
    assert!(refused(80, u64::MAX / 24).1.starts_with("truncated summary cutoffs"));
    let elsewhere = (table + 16, "the hash table leads elsewhere than to its entries".to_owned());
    // Every bucket the same, one into the header, one to itself.
    let first = u64::from_le_bytes(bytes[table + 16..table + 24].try_into().unwrap());
    for offset in [first, 8, (table + 24) as u64, u64::MAX, 0] {
        assert_eq!(refused(table + 24, offset), elsewhere);
    }
    assert!(refused(table, u64::MAX).1.starts_with("truncated hash table"));
    assert_eq!(refused(table, 0), (table + 16, elsewhere.1.clone()));
    for num_entries in [u64::MAX, 1 << 40, 4] {
        let (offset, detail) = refused(table + 8, num_entries);
        assert!(offset > entries && offset <= table, "{offset}");
        assert!(
            detail.starts_with("a bucket of 0 functions")
                || detail.starts_with("truncated hash table bucket")
        );
    }
    assert_eq!(refused(table + 8, 2).1, elsewhere.1);
    let item = entries + 2;
    let (offset, detail) = refused(item, 5);
    assert_eq!(offset, item);
    assert!(detail.starts_with("the name of the hash 0x0000000000000005 has the hash 0x"), "{detail}");
    assert!(refused(item + 8, u64::MAX).1.starts_with("truncated name"));
    assert!(refused(item + 16, u64::MAX).1.starts_with("truncated function's data"));
    // Behind the name, which is one byte, the first record's function hash and then its numbers.
    let record = item + 25;
    assert_eq!(refused(record + 8, 0), (record + 8, "number of counters is zero".into()));
    assert!(refused(record + 8, u64::MAX).1.starts_with("truncated counters"));
    assert!(refused(record + 32, u64::MAX).1.starts_with("truncated bitmap"));
    assert_eq!(refused(record + 40, 7), (record + 40, "value data of 7 bytes".into()));
    assert!(refused(record + 40, 1 << 32 | 8).1.starts_with("truncated value kind"));
    assert!(refused(record + 40, u64::from(u32::MAX - 7)).1.starts_with("truncated value data"));
}

/// The smallest functions that a file can have, a mebibyte of them: each takes the most memory for its bytes.
#[test]
fn many_small_functions_take_a_small_multiple() {
    let _alone = alone();
    let (mut text, mut n) = (String::new(), 0u32);
    while text.len() < MIB {
        text.push_str(&format!("{n:x}x\n1\n1\n1\n"));
        n += 1;
    }
    assert_eq!(read(text.as_bytes()).unwrap().functions().count(), n as usize);
    // One name, all hashes; in descending order, so that none is where it belongs.
    let text: String = (0..MIB as u64 / 14).rev().map(|n| format!("f\n{n}\n1\n1\n")).collect();
    assert_eq!(read(text.as_bytes()).unwrap().functions().count(), MIB / 14);
    // One function again and again, which never fits.
    let text: String =
        (0..MIB / 9).map(|n| format!("f\n1\n{}\n{}", 1 + n % 2, "1\n".repeat(1 + n % 2))).collect();
    assert!(read(text.as_bytes()).unwrap().conflicts().len() > MIB / 20);
    drop(text);
    let text = format!("f\n1\n{}\n{}", MIB / 2, "1\n".repeat(MIB / 2));
    assert_eq!(read(text.as_bytes()).unwrap().functions().count(), 1);
    let (line, detail) = refused(b"f\n1\n18446744073709551615\n1\n");
    assert_eq!((line, detail.as_str()), (5, "it ends where a counter value should be"));

    let names: Vec<String> = (0..MIB / 100).map(|n| format!("{n:x}")).collect();
    const ONE: &[(u64, &[u64], &[u8])] = &[(1, &[1], &[])];
    let functions: Vec<Functions<'_>> = names.iter().map(|name| (name.as_str(), ONE)).collect();
    let bytes = indexed(12, 0, &functions).bytes;
    assert!(bytes.len() < MIB);
    assert_eq!(read(&bytes).unwrap().functions().count(), names.len());
}

/// A raw profile of version 10 with these names and no function.
fn profraw_of_names(names: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let magic = u64::from_be_bytes(*b"\xfflprofr\x81");
    let fields = [magic, 10, 0, 0, 0, 0, 0, 0, 0, names.len() as u64, 0, 0, 0, 0, 0, 2];
    fields.iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes.extend(names);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn chunk(text_len: usize, zlib: &[u8]) -> Vec<u8> {
    [uleb128(text_len), uleb128(zlib.len()), zlib.to_vec()].concat()
}

#[test]
fn names_that_are_bombs_are_refused() {
    let _alone = alone();
    // A hundred mebibytes of a letter in a tenth of one.
    let bomb = {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        (0..100).for_each(|_| encoder.write_all(&vec![b'a'; MIB]).unwrap());
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < MIB / 8);
    let (offset, detail) = refused(&profraw_of_names(&chunk(100 * MIB, &bomb)));
    assert_eq!(offset, 128);
    assert!(detail.starts_with("names: names of 104857600 bytes are more than is plausible"), "{detail}");
    // One that says less than it is.
    let (_, detail) = refused(&profraw_of_names(&chunk(MIB, &bomb)));
    assert_eq!(detail, "names: decompressed to 1048577 bytes or more, not to 1048576");
    // Many that are small each, in one section and in profiles behind each other.
    let small = chunk(2 * MIB, &zlib(&vec![b'a'; 2 * MIB]));
    let (offset, detail) = refused(&profraw_of_names(&small.repeat(40)));
    assert!(detail.contains("more than is plausible"), "{detail}");
    assert!(offset > 128 + small.len());
    let (offset, detail) = refused(&profraw_of_names(&small).repeat(40));
    assert!(detail.contains("more than is plausible"), "{detail}");
    assert!(offset > profraw_of_names(&small).len());
    // Many short names, whose index is larger than their text.
    let short: Vec<u8> = (0u32..200_000).flat_map(|n| format!("{n:x}\u{1}").into_bytes()).collect();
    read(&profraw_of_names(&chunk(short.len(), &zlib(&short)))).unwrap();
    assert!(refused(&profraw_of_names(&chunk(usize::MAX >> 2, b"x"))).1.contains("more than is plausible"));
    // What is plausible is read.
    let many: Vec<u8> = (0..20_000).flat_map(|n| format!("_ZN4deep{n}path1fEv\u{1}").into_bytes()).collect();
    let read = read(&profraw_of_names(&chunk(many.len(), &zlib(&many)))).unwrap();
    assert_eq!(read.functions().count(), 0);
}

/// A long name that many records refer to is there once, and so it is in what is said of them.
#[test]
fn records_that_share_a_long_name_do_not_multiply_it() {
    let _alone = alone();
    let name = vec![b'n'; MIB / 2];
    let digest = <md5::Md5 as md5::Digest>::digest(&name);
    let names = [uleb128(name.len()), vec![0], name].concat();
    // The second half has the hashes of the first, and two byte counters where those have one.
    let (half, records, counters) = (2000, 4000, 6000u64);
    let data_len = 64 * records;
    let magic = u64::from_be_bytes(*b"\xfflprofr\x81");
    let fields = [magic, 10 | 1 << 60, 0, records, 0, counters, 0, 0, 0, names.len() as u64, data_len];
    let mut bytes: Vec<u8> =
        fields.iter().chain(&[0, 0, 0, 0, 2]).flat_map(|word| word.to_le_bytes()).collect();
    for n in 0..records {
        let start = bytes.len();
        bytes.extend(&digest[..8]);
        bytes.extend((n % half).to_le_bytes());
        bytes.extend((data_len - 64 * n).to_le_bytes());
        bytes.resize(start + 48, 0);
        bytes.extend(u32::to_le_bytes(if n < half { 1 } else { 2 }));
        bytes.resize(start + 64, 0);
    }
    bytes.resize(bytes.len() + counters as usize, 0);
    bytes.extend(names);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    assert!(bytes.len() < MIB);
    let profile = read(&bytes).unwrap();
    assert_eq!((profile.functions().count(), profile.conflicts().len()), (2000, 2000));
}

/// Puts a section's content in an ELF's place for it, which has to be large enough.
fn with_section(name: &str, section: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = fs::read(fixture(name)).unwrap();
    let image = Image::parse("i", bytes.clone()).unwrap();
    let data = image.section(section).unwrap().data().unwrap().to_vec();
    let at = bytes.windows(data.len()).position(|window| window == data).unwrap();
    assert!(content.len() <= data.len(), "{} of {}", content.len(), data.len());
    bytes[at..at + data.len()].fill(0);
    bytes[at..at + content.len()].copy_from_slice(content);
    bytes
}

fn mapping(bytes: Vec<u8>) -> Option<Mapping> {
    let image = Image::parse("hostile.elf", bytes).ok()?;
    let located = llvm::locate(&image, Slide::ZERO).ok()?;
    Mapping::decode(&image, located.image.names()).ok()
}

#[test]
fn file_names_that_are_bombs_are_left_out() {
    let _alone = alone();
    let unit = |filenames: &[u8]| -> Vec<u8> {
        let head = [0, filenames.len() as u32, 0, 5u32];
        head.iter().flat_map(|word| word.to_le_bytes()).chain(filenames.iter().copied()).collect()
    };
    let said = |filenames: &[u8]| {
        let bytes = with_section("hosted/rustc.elf", "__llvm_covmap", &unit(filenames));
        mapping(bytes).unwrap().problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let text = said(&[uleb128(1), uleb128(1 << 40), uleb128(3), b"abc".to_vec()].concat());
    assert!(text.contains("__llvm_covmap of hostile.elf at 0x"), "{text}");
    assert!(text.contains("names of 1099511627776 bytes are more than is plausible"), "{text}");
    let text = said(&[uleb128(1 << 50), uleb128(4), uleb128(0), b"\x03abc".to_vec()].concat());
    assert!(text.contains("a number without an end"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_profiles_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        damage in damage(),
    ) {
        let _alone = alone();
        thread_local!(static PROFILES: Vec<Vec<u8>> = profiles());
        let mut bytes = PROFILES.with(|profiles| profiles[which.index(profiles.len())].clone());
        damage.apply(&mut bytes);
        if let Ok(profile) = read(&bytes) {
            let _ = proftext::encode(&profile);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_mappings_are_read_as_far_as_they_go(
        name in prop::sample::select(&["hosted/mcdc.elf", "hosted/rustc.elf", "hosted/clang-14.elf"][..]),
        section in prop::sample::select(&["__llvm_covmap", "__llvm_covfun"][..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 1usize..9), 1..5),
    ) {
        let _alone = alone();
        let whole = Image::parse("i", fs::read(fixture(name)).unwrap()).unwrap();
        let mut content = whole.section(section).unwrap().data().unwrap().to_vec();
        for (at, value, len) in changes {
            let at = at.index(content.len());
            put(&mut content, at, len, value);
        }
        let mapping = mapping(with_section(name, section, &content)).unwrap();
        for problem in mapping.problems() {
            let said = problem.to_string();
            prop_assert!(!said.contains('\n') && said.contains(" at 0x"), "{said}");
        }
    }
}
