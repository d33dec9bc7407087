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
use common::hostile::{put, without_backtraces};
use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, GcovError, Located, Piece};
use covtap_link::TargetAddr;
use covtap_testbed as testbed;
use proptest::prelude::*;

/// All that this process may have at once: an allocation beyond it fails the test. The images have 20 KiB.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 64 << 20);

/// Moved images and fixed ones, of 64 and of 32 bits, of both byte orders and both compilers: compiler, flags, and how
/// many objects there are.
const BUILDS: [(&str, &[&str], usize); 6] = [
    ("gcc", &["-pie", "-fPIE"], 2),
    ("gcc", &["-m32", "-no-pie"], 2),
    ("powerpc-linux-gnu-gcc", &["-no-pie"], 2),
    ("gcc", &["-m32", "-pie", "-fPIE", "-Wl,-z,pack-relative-relocs"], 2),
    ("clang-19", &["-pie", "-fPIE"], 1),
    ("clang-19", &["-m32", "-no-pie"], 1),
];

static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a").display().to_string();
    let image = |(compiler, flags, _): &(&str, &[&str], usize)| {
        let (name, own) =
            if compiler.starts_with("clang") { ("workload.c", CLANGS) } else { ("gcov_info.c", BY_HAND) };
        let source = testbed::workspace_root().join("tests/gcov_locate").join(name).display().to_string();
        let args = own.split(' ').chain(flags.iter().copied()).chain(["-nostdlib", &source, "-o", &out]);
        testbed::run(compiler, args).unwrap();
        fs::read(&out).unwrap()
    };
    BUILDS.iter().map(image).collect()
});

/// Structures of GCC 12.2 (`B22*`), written by hand.
const BY_HAND: &str = "-DMERGES=8 -DACTIVE=6 -DCHECKSUM -DVERSION=0x4232322au";

/// clang's own, without what would write files.
const CLANGS: &str =
    "-fprofile-arcs -ftest-coverage -ffreestanding -O0 -fuse-ld=lld -Wl,--unresolved-symbols=ignore-all";

/// Where in a file the structures are: its variables and what the loader changes in them.
fn structures(file: &[u8]) -> Vec<usize> {
    let image = Image::parse("structures.elf", file.to_vec()).unwrap();
    let names =
        [".data", ".data.rel.ro", ".data.rel", ".rodata", ".dynamic", ".rela.dyn", ".rel.dyn", ".relr.dyn"];
    let sections = names.iter().filter_map(|name| image.section(name));
    let ranges = sections.map(|section| {
        let start = usize::try_from(section.file_offset()).unwrap();
        start..start + section.file_bytes().unwrap().len()
    });
    ranges.flatten().collect()
}

/// Without its section headers, which leaves the segments.
fn without_sections(bytes: &mut [u8]) {
    let (offset, number) = if bytes[4] == 2 { (0x28..0x30, 0x3c..0x40) } else { (0x20..0x24, 0x30..0x34) };
    bytes[offset].fill(0);
    bytes[number].fill(0);
}

/// Locates, in the image and in its sections as memory; gives how many objects were found in the image.
fn use_whole(bytes: Vec<u8>) -> usize {
    without_backtraces();
    let len = bytes.len();
    let Ok(image) = Image::parse("hostile.elf", bytes) else { return 0 };
    use_located(in_memory(&image), len);
    use_located(gcov::locate(&image, Slide::new(0x1000)), len)
}

/// Locates in an image's sections as memory of a target.
fn in_memory(image: &Image) -> Result<Located, GcovError> {
    let in_file = image.sections().filter(|section| section.is_loaded() && !section.is_nobits());
    let part = |section: covtap::image::Section<'_>| {
        Some((TargetAddr::new(section.address().get()), section.file_bytes().ok()?.to_vec()))
    };
    let parts: Vec<_> = in_file.filter_map(part).collect();
    let pieces = parts.iter().map(|(start, bytes)| Piece { start: *start, bytes, is_writable: true });
    let pieces: Vec<_> = pieces.collect();
    gcov::locate_in_memory("hostile memory", &pieces, image.endianness(), image.pointer_width())
}

/// What always holds of what was found in so many bytes; gives how many objects that is.
fn use_located(located: Result<Located, GcovError>, len: usize) -> usize {
    match located {
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
    for (image, (compiler, flags, objects)) in IMAGES.iter().zip(BUILDS) {
        assert_eq!(use_whole(image.clone()), objects, "{compiler} {flags:?}");
        let mut bare = image.clone();
        without_sections(&mut bare);
        assert_eq!(use_whole(bare), objects, "{compiler} {flags:?}, without sections");
    }
}

/// Thousands of objects that share one name and one array of as many functions.
#[test]
fn structures_that_refer_to_each_other_over_and_over_are_refused() {
    without_backtraces();
    let source = testbed::workspace_root().join("tests/gcov_locate/bomb.c").display().to_string();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a").display().to_string();
    testbed::run("gcc", ["-m32", "-no-pie", "-nostdlib", &source, "-o", &out]).unwrap();
    let image = Image::parse("bomb.elf", fs::read(&out).unwrap()).unwrap();
    for located in [gcov::locate(&image, Slide::ZERO), in_memory(&image)] {
        let error = located.unwrap_err();
        assert!(matches!(error, GcovError::Implausible { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_structures_are_read_or_refused(
        which in 0..BUILDS.len(),
        is_bare in any::<bool>(),
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
        if is_bare {
            without_sections(&mut bytes);
        }
        use_whole(bytes);
    }

    /// Pointers that point to other structures, and structures on top of each other.
    #[test]
    fn structures_moved_about_are_read_or_refused(
        which in 0..BUILDS.len(),
        is_bare in any::<bool>(),
        copies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..30), 1..6),
    ) {
        let mut bytes = IMAGES[which].clone();
        let places = structures(&bytes);
        for (from, to, words) in copies {
            let [from, to] = [from, to].map(|index| places[index.index(places.len())] / 4 * 4);
            let len = (4 * words).min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + len, to);
        }
        if is_bare {
            without_sections(&mut bytes);
        }
        use_whole(bytes);
    }
}
