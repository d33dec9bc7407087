//! Damaged and malicious images of GCC's coverage: read or refused, never a panic, and never more memory than their
//! length warrants.

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
use std::sync::LazyLock;

use cap::Cap;
use common::hostile::put;
use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, GcovError};
use covtap_testbed as testbed;
use proptest::prelude::*;

/// All that this process may have at once: an allocation beyond it fails the test. The images have 20 KiB.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

/// A moved image of 64 bits, fixed ones of 32, of both byte orders: compiler and flags.
const BUILDS: [(&str, &[&str]); 3] =
    [("gcc", &["-pie", "-fPIE"]), ("gcc", &["-m32", "-no-pie"]), ("powerpc-linux-gnu-gcc", &["-no-pie"])];

static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let source = testbed::workspace_root().join("tests/gcov_locate/gcov_info.c");
    let source = source.display().to_string();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a").display().to_string();
    let word = format!("-DVERSION={}u", u32::from_be_bytes(*b"B22*"));
    let fixed = ["-DMERGES=8", "-DACTIVE=6", "-DCHECKSUM", "-nostdlib", &word, &source, "-o", &out];
    let image = |(compiler, flags): &(&str, &[&str])| {
        testbed::run(compiler, flags.iter().chain(&fixed)).unwrap();
        fs::read(&out).unwrap()
    };
    BUILDS.iter().map(image).collect()
});

/// Where in a file the structures are: its variables and what the loader changes in them.
fn structures(file: &[u8]) -> Vec<usize> {
    let image = Image::parse("structures.elf", file.to_vec()).unwrap();
    let names = [".data", ".data.rel.ro", ".data.rel", ".rodata", ".rela.dyn"];
    let sections = names.iter().filter_map(|name| image.section(name));
    let ranges = sections.map(|section| {
        let start = usize::try_from(section.file_offset()).unwrap();
        start..start + section.file_bytes().unwrap().len()
    });
    ranges.flatten().collect()
}

/// Locates; gives how many objects were found, if any were.
fn use_whole(bytes: Vec<u8>) -> usize {
    let len = bytes.len();
    let Ok(image) = Image::parse("hostile.elf", bytes) else { return 0 };
    match gcov::locate(&image, Slide::new(0x1000)) {
        Ok(located) => {
            let total: u64 = located.regions.iter().map(|region| region.range.len_bytes()).sum();
            let objects = &located.image.objects;
            let functions = objects.iter().flat_map(|object| object.functions.iter().flatten());
            let counters = functions.flat_map(|function| &function.counters);
            let num: u64 = counters.map(|counters| 8 * u64::from(counters.num)).sum();
            assert!(num <= total && objects.len() < len);
            assert!(located.regions.windows(2).all(|two| two[0].range.end() <= two[1].range.start()));
            objects.len()
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            0
        }
    }
}

#[test]
fn undamaged_images_are_used_whole() {
    for image in IMAGES.iter() {
        assert_eq!(use_whole(image.clone()), 2);
    }
}

/// Thousands of objects that share one name and one array of as many functions.
#[test]
fn structures_that_refer_to_each_other_over_and_over_are_refused() {
    let source = testbed::workspace_root().join("tests/gcov_locate/bomb.c").display().to_string();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a").display().to_string();
    testbed::run("gcc", ["-m32", "-no-pie", "-nostdlib", &source, "-o", &out]).unwrap();
    let image = Image::parse("bomb.elf", fs::read(&out).unwrap()).unwrap();
    let error = gcov::locate(&image, Slide::ZERO).unwrap_err();
    assert!(matches!(error, GcovError::Implausible { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_structures_are_read_or_refused(
        which in 0..BUILDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, prop_oneof![
            Just(0u64), Just(1), Just(u64::MAX), Just(u64::MAX - 7), Just(1 << 31), 0u64..70_000, any::<u64>(),
        ]), 1..6),
    ) {
        let mut bytes = IMAGES[which].clone();
        let places = structures(&bytes);
        for (at, size, value) in changes {
            let at = places[at.index(places.len())] / 4 * 4;
            put(&mut bytes, at, 1 << size, value);
        }
        use_whole(bytes);
    }

    /// Pointers that point to other structures, and structures on top of each other.
    #[test]
    fn structures_moved_about_are_read_or_refused(
        which in 0..BUILDS.len(),
        copies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..30), 1..6),
    ) {
        let mut bytes = IMAGES[which].clone();
        let places = structures(&bytes);
        for (from, to, words) in copies {
            let [from, to] = [from, to].map(|index| places[index.index(places.len())] / 4 * 4);
            let len = (4 * words).min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + len, to);
        }
        use_whole(bytes);
    }
}
