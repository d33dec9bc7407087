//! The program of `tests/coverage`, built for any target, and counts for it that no run gave.

use std::fs;
use std::path::{Path, PathBuf};

use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Located};
use covtap_link::Endianness;
use covtap_testbed::{run, workspace_root};

pub(crate) fn located(elf: &Path) -> (Image, Located) {
    let image = Image::parse("program.elf", fs::read(elf).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    (image, located)
}

/// The program of `tests/coverage`.
pub(crate) fn corpus(dir: &Path, compiler: &str, args: &[&str]) -> PathBuf {
    linked(dir, compiler, args, &["program.cpp", "other.cpp", "decisions.cpp"])
}

/// Compiles and links sources of `tests/coverage` without a library or a runtime.
pub(crate) fn linked(dir: &Path, compiler: &str, args: &[&str], names: &[&str]) -> PathBuf {
    let sources = workspace_root().join("tests/coverage");
    let base = ["-O1", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-c"];
    let cover = ["-fprofile-instr-generate", "-fcoverage-mapping"];
    let mut objects = Vec::new();
    for source in names {
        let object = dir.join(source).with_extension("o").display().to_string();
        let source = sources.join(source).display().to_string();
        let paths = [source.as_str(), "-o", object.as_str()];
        run(compiler, base.iter().chain(&cover).chain(args).chain(&paths)).unwrap();
        objects.push(object);
    }
    let exe = dir.join("program.elf");
    // Some compilers call their runtime where there is no operating system.
    let link = ["-e", "start", "--defsym=__llvm_profile_runtime=0", "--unresolved-symbols=ignore-all", "-o"];
    let link = link.into_iter().chain([exe.to_str().unwrap()]).chain(objects.iter().map(String::as_str));
    run("ld.lld-19", link).unwrap();
    exe
}

/// Bits without a pattern.
pub(crate) fn scattered(value: u64) -> u64 {
    let mixed = (value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31)
}

/// Counts that vary, among them 0; of the bits of a bitmap none, all, or some.
pub(crate) fn made_up(located: &Located, seed: u64) -> Vec<Vec<u8>> {
    let bytes = |region: &covtap::locate::CounterRegion, count: &dyn Fn(u64) -> u64| {
        let counts = (0..region.range.len_bytes().div_ceil(8)).map(count);
        let bytes = counts.flat_map(|count| match region.endianness {
            Endianness::Little => count.to_le_bytes(),
            Endianness::Big => count.to_be_bytes(),
        });
        bytes.take(usize::try_from(region.range.len_bytes()).unwrap()).collect()
    };
    let counts = |index| (index * 7 + seed) % 11 * seed;
    let bits = |index: u64| match seed {
        0 | 1 => seed.wrapping_neg(),
        // The fewer bits, the fewer conditions are covered.
        _ => (0..seed).map(|round| scattered(index * seed + round)).fold(u64::MAX, |bits, more| bits & more),
    };
    let fill: [&dyn Fn(u64) -> u64; 2] = [&counts, &bits];
    located.regions.iter().zip(fill).map(|(region, fill)| bytes(region, fill)).collect()
}
