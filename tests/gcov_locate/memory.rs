//! Structures in memory without an image: what an image's own pieces give is what the image gives.

use std::path::Path;

use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, GcovError, Located, Piece};
use covtap_link::TargetAddr;
use tempfile::tempdir;

use super::{image, run_in, source};

/// 32 and 64 bits, both byte orders.
const COMPILERS: [(&str, &[&str]); 3] = [
    ("arm-none-eabi-gcc", &["-mcpu=cortex-m3", "-mthumb"]),
    ("riscv64-unknown-elf-gcc", &["-march=rv64imac", "-mabi=lp64"]),
    ("powerpc-linux-gnu-gcc", &["-no-pie"]),
];

/// A section of the target: start, bytes, writable.
type Part = (u64, Vec<u8>, bool);

fn build(compiler: &str, flags: &[&str], dir: &Path) -> Image {
    let own = source("workload.c");
    let coverage = ["-fprofile-info-section", "-fprofile-arcs", "-ffreestanding", "-nostdlib", "-O1"];
    let link = ["-Wl,--defsym=__gcov_merge_add=1", &own, "-o", "a"];
    run_in(dir, compiler, flags.iter().copied().chain(coverage).chain(link));
    image(&dir.join("a"))
}

/// What start-up code makes of the file.
fn parts(image: &Image) -> Vec<Part> {
    let loaded = image.sections().filter(|section| section.is_loaded() && section.len_bytes() > 0);
    let part = |section: covtap::image::Section<'_>| {
        let len = usize::try_from(section.len_bytes()).unwrap();
        let bytes = if section.is_nobits() { vec![0; len] } else { section.file_bytes().unwrap().to_vec() };
        (section.address().get(), bytes, section.is_writable())
    };
    loaded.map(part).collect()
}

fn located(image: &Image, parts: &[Part]) -> Result<Located, GcovError> {
    let pieces = parts.iter().map(|(start, bytes, is_writable)| Piece {
        start: TargetAddr::new(*start),
        bytes,
        is_writable: *is_writable,
    });
    let pieces: Vec<_> = pieces.collect();
    gcov::locate_in_memory("the target", &pieces, image.endianness(), image.pointer_width())
}

/// Counters by their addresses: without symbols regions may be cut more finely.
fn addresses(located: &Located) -> Vec<(u64, u32)> {
    let functions = located.image.objects.iter().flat_map(|object| object.functions.iter().flatten());
    let counters = functions.flat_map(|function| &function.counters);
    let address = |counters: &gcov::Counters| {
        let place = counters.place.unwrap();
        let start = located.regions[place.region].range.start().get();
        (start + u64::try_from(place.offset).unwrap(), counters.num)
    };
    counters.map(address).collect()
}

#[test]
fn memory_gives_what_the_image_gives() {
    for (compiler, flags) in COMPILERS {
        let dir = tempdir().unwrap();
        let image = build(compiler, flags, dir.path());
        let by_image = gcov::locate(&image, Slide::ZERO).unwrap();
        let by_memory = located(&image, &parts(&image)).unwrap();
        assert_eq!(addresses(&by_memory), addresses(&by_image), "{compiler}");
        let [ours] = &by_memory.image.objects[..] else { panic!("{compiler}") };
        assert_eq!(ours.functions.iter().flatten().count(), 3, "{compiler}");
        assert_eq!(ours.filename, by_image.image.objects[0].filename);
        assert_eq!(
            (ours.stamp, ours.checksum),
            (by_image.image.objects[0].stamp, by_image.image.objects[0].checksum)
        );
    }
}

/// Flash memory has what start-up code copies to `.data`, and so has what a bootloader left.
#[test]
fn a_copy_of_data_is_not_taken_for_data() {
    for (compiler, flags) in COMPILERS {
        let dir = tempdir().unwrap();
        let image = build(compiler, flags, dir.path());
        let once = parts(&image);
        let expected = located(&image, &once).unwrap();
        for distance in [0x1000_0000u64, 0x1000_0000u64.wrapping_neg()] {
            let mut twice = once.clone();
            let copied = once.iter().filter(|(.., is_writable)| *is_writable);
            let copied = copied.map(|(start, bytes, _)| (start.wrapping_add(distance), bytes.clone(), true));
            twice.extend(copied.filter(|(start, ..)| *start < 1 << 32));
            if twice.len() == once.len() {
                continue;
            }
            let found = located(&image, &twice).unwrap();
            assert_eq!(found.image, expected.image, "{compiler} {distance:#x}");
            assert_eq!(found.regions, expected.regions);
            assert_eq!(found.cautions, []);
        }
    }
}

#[test]
fn a_copy_alone_is_refused() {
    let dir = tempdir().unwrap();
    let image = build(COMPILERS[0].0, COMPILERS[0].1, dir.path());
    let mut moved = parts(&image);
    for (start, _, is_writable) in &mut moved {
        *start += if *is_writable { 0x1000_0000 } else { 0 };
    }
    let error = located(&image, &moved).unwrap_err();
    assert!(matches!(error, GcovError::Object { .. } | GcovError::NotInMemory { .. }), "{error}");
}

#[test]
fn memory_without_structures_has_none() {
    let dir = tempdir().unwrap();
    let image = build(COMPILERS[1].0, COMPILERS[1].1, dir.path());
    let error = located(&image, &[]).unwrap_err();
    assert_eq!(error.to_string(), "find gcov's counters in the memory of the target: there is no gcov_info");
    // At the end of the address space, and on top of each other.
    let all: Vec<Part> = [u64::MAX - 7, u64::MAX - 40, 0].map(|start| (start, vec![0x42; 64], true)).to_vec();
    assert!(matches!(located(&image, &all).unwrap_err(), GcovError::NotInMemory { .. }));
}
