//! Damaged and malicious ELFs: read or refused, never a panic, and never more memory than their length warrants.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::alloc::System;
use std::fs;
use std::io::Cursor;

use cap::Cap;
use common::hostile::{put, without_backtraces};
use covtap::image::{Image, Slide};
use covtap::inspect::Report;
use covtap::locate::llvm::{self, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::profraw::{self, Style};
use covtap_testbed::fixture;
use proptest::prelude::*;

/// All that this process may have at once: an allocation beyond it fails the test. The largest fixture has 40 KiB,
/// and several cases run at a time.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

const FIXTURES: [&str; 9] = [
    "hosted/clang-14.elf",
    "hosted/clang-19.elf",
    "hosted/mcdc.elf",
    "hosted/bytes.elf",
    "hosted/rustc.elf",
    "hosted/debug-info.elf",
    "arm-cortexm/covered.elf",
    "c-an385/covered.elf",
    "x86-pvh/covered.elf",
];

/// Does with a file all that covtap does, with all of it in memory and not; gives whether counters were found.
fn use_whole(bytes: Vec<u8>) -> bool {
    without_backtraces();
    let in_parts = Image::read("hostile.elf", Cursor::new(bytes.clone()));
    let whole = Image::parse("hostile.elf", bytes);
    let [in_parts, whole] = [in_parts, whole].map(|image| image.is_ok_and(|image| use_image(&image)));
    // What is not read over and over may be missing.
    assert!(whole || !in_parts);
    in_parts
}

fn use_image(image: &Image) -> bool {
    let one_line = |text: String| assert!(!text.contains('\n'), "{text}");
    for section in image.sections() {
        let _ = section.name();
        if let Err(error) = section.data() {
            one_line(error.to_string());
        }
    }
    let _ = (image.symbols().count(), image.producers(), image.build_ids());
    let identity = image.identity();
    let found: Vec<Option<Vec<u8>>> = identity.samples.iter().map(|(_, bytes)| Some(bytes.clone())).collect();
    let _ = (identity.places(image, Slide::new(u64::MAX / 3)), identity.compare(&found));
    for finding in Report::new(image).findings {
        one_line(finding.to_string());
    }
    match llvm::locate(image, Slide::new(0x1000)) {
        Ok(located) => {
            write(&located);
            true
        }
        Err(error) => {
            one_line(error.to_string());
            false
        }
    }
}

fn write(located: &llvm::Located) {
    let total: u64 = located.regions.iter().map(|region| region.range.len_bytes()).sum();
    if total > 1 << 20 {
        return;
    }
    let len = |region: &covtap::locate::CounterRegion| usize::try_from(region.range.len_bytes()).unwrap();
    let regions: Vec<Vec<u8>> = located.regions.iter().map(|region| vec![1; len(region)]).collect();
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    assert_eq!(profile.stats().functions, located.image.records().len());
    profraw::encode(&located.image, &regions, Style::Normalised).unwrap();
    let _ = profraw::encode(&located.image, &regions, Style::RuntimeIdentical { slide: Slide::new(7) });
    for version in RawVersion::ALL {
        let _ = profraw::encode_as(&located.image, &regions, version);
    }
}

fn read(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// One change to a file.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(prop::sample::Index, u8),
    /// A word of 1, 2, 4 or 8 bytes becomes a value that sums and products of sizes trip over.
    Word(prop::sample::Index, u8, u64),
    /// As `Word`, in the file's header or in one of the section headers, which are last in the file.
    Header(prop::sample::Index, bool, u64),
    Cut(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    let value = prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 7),
        Just(1 << 31),
        Just(1 << 32),
        Just(1 << 62),
        0u64..70_000,
        any::<u64>(),
    ];
    prop_oneof![
        3 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        3 => (index(), 0u8..4, value.clone()).prop_map(|(at, size, value)| Mutation::Word(at, 1 << size, value)),
        6 => (index(), any::<bool>(), value).prop_map(|(at, first, value)| Mutation::Header(at, first, value)),
        1 => index().prop_map(Mutation::Cut),
        2 => (index(), index(), any::<u8>()).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
    ]
}

/// Where in a file the debug information is that covtap reads, byte by byte.
fn debug_bytes(file: &[u8]) -> Vec<usize> {
    let image = Image::parse("debug.elf", file.to_vec()).unwrap();
    let names = [".debug_info", ".debug_abbrev", ".debug_str_offsets", ".debug_addr"];
    let ranges = names.map(|name| {
        let section = image.section(name).unwrap();
        let start = usize::try_from(section.file_offset()).unwrap();
        start..start + section.file_bytes().unwrap().len()
    });
    ranges.into_iter().flatten().collect()
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match mutation {
        Mutation::Byte(at, byte) => bytes[at.index(len)] = *byte,
        Mutation::Word(at, size, value) => put(bytes, at.index(len), usize::from(*size), *value),
        Mutation::Header(at, true, value) => put(bytes, at.index(len.min(64)), 8, *value),
        Mutation::Header(at, false, value) => {
            let headers = len.min(36 * 64);
            put(bytes, len - headers + at.index(headers) / 4 * 4, 4, *value);
        }
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Copy(from, to, copied) => {
            let (from, to) = (from.index(len), to.index(len));
            let copied = usize::from(*copied).min(len - from).min(len - to);
            bytes.copy_within(from..from + copied, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_images_are_read_or_refused(
        name in prop::sample::select(&FIXTURES[..]),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut bytes = read(name);
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        use_whole(bytes);
    }

    /// Only debug information says what this one's counters count.
    #[test]
    fn damaged_debug_information_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = read("hosted/debug-info.elf");
        let debug = debug_bytes(&bytes);
        for (at, byte) in changes {
            bytes[debug[at.index(debug.len())]] = byte;
        }
        use_whole(bytes);
    }

    #[test]
    fn noise_behind_an_elf_header_is_read_or_refused(
        class in 1u8..3,
        order in 1u8..3,
        noise in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        use_whole([&[0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &noise].concat());
    }
}

#[test]
fn undamaged_images_are_used_whole() {
    for name in FIXTURES {
        assert!(use_whole(read(name)), "{name}");
    }
}
