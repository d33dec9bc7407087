//! Images without any runtime, of many targets and linker scripts: counters made up here must come out of
//! `llvm-profdata` function by function as they went in.

use std::fs;
use std::path::Path;

use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Caution, DataRecord, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::profraw::{self, Style};
use covtap_link::Endianness;
use covtap_testbed as testbed;
use tempfile::tempdir;

use crate::build::freestanding;
use crate::proftext;

/// Metadata that is not loaded, at address 0; counters in memory at 0x2000_0000.
const INFO: &str = "
__llvm_profile_runtime = 0;
SECTIONS {
  . = 0x10000; .text : { *(.text*) } .rodata : { *(.rodata*) }
  . = 0x20000000; .data : { *(.data*) } .bss : { *(.bss*) }
  __llvm_prf_cnts (NOLOAD) : ALIGN(8) { *(__llvm_prf_cnts) }
  __llvm_prf_bits (NOLOAD) : { *(__llvm_prf_bits) }
  __llvm_prf_data 0 (INFO) : { *(__llvm_prf_data) } __llvm_prf_names 0 (INFO) : { *(__llvm_prf_names) }
  __llvm_covfun 0 (INFO) : { *(__llvm_covfun) } __llvm_covmap 0 (INFO) : { *(__llvm_covmap) }
}";

/// Metadata at 0 and counters close above it, so that their distance is small or, as 32 bits, wraps.
const INFO_LOW: &str = "
__llvm_profile_runtime = 0;
SECTIONS {
  . = 0x20; __llvm_prf_cnts (NOLOAD) : { *(__llvm_prf_cnts) } __llvm_prf_bits (NOLOAD) : { *(__llvm_prf_bits) }
  . = 0x10000; .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data*) } .bss : { *(.bss*) }
  __llvm_prf_data 0 (INFO) : { *(__llvm_prf_data) } __llvm_prf_names 0 (INFO) : { *(__llvm_prf_names) }
  __llvm_covfun 0 (INFO) : { *(__llvm_covfun) } __llvm_covmap 0 (INFO) : { *(__llvm_covmap) }
}";

/// All loaded at high addresses, bitmaps before counters before data, data padded to 512.
const COUNTERS_FIRST: &str = "
__llvm_profile_runtime = 0;
SECTIONS {
  . = 0x80000000;
  .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data*) } .bss : { *(.bss*) }
  __llvm_prf_bits : { *(__llvm_prf_bits) } __llvm_prf_cnts : ALIGN(8) { *(__llvm_prf_cnts) }
  __llvm_prf_data : ALIGN(8) { *(__llvm_prf_data) . = ALIGN(512); }
  __llvm_prf_names : { *(__llvm_prf_names) . = ALIGN(64); }
  __llvm_covfun 0 (INFO) : { *(__llvm_covfun) } __llvm_covmap 0 (INFO) : { *(__llvm_covmap) }
}";

/// Data low, counters as high as they can be.
const COUNTERS_HIGH: &str = "
__llvm_profile_runtime = 0;
SECTIONS {
  . = 0x1000; __llvm_prf_data : ALIGN(8) { *(__llvm_prf_data) } __llvm_prf_names : { *(__llvm_prf_names) }
  .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data*) } .bss : { *(.bss*) }
  . = 0xfffffe00; __llvm_prf_cnts (NOLOAD) : { *(__llvm_prf_cnts) }
  __llvm_prf_bits (NOLOAD) : { *(__llvm_prf_bits) }
  __llvm_covfun 0 (INFO) : { *(__llvm_covfun) } __llvm_covmap 0 (INFO) : { *(__llvm_covmap) }
}";

/// No section of LLVM's left: only the symbols tell.
const MERGED: &str = "
__llvm_profile_runtime = 0;
SECTIONS {
  . = 0x10000; .text : { *(.text*) }
  .rodata : { *(.rodata*)
    __start___llvm_prf_names = .; *(__llvm_prf_names) __stop___llvm_prf_names = .; }
  . = 0x20000000;
  .data : { *(.data*) . = ALIGN(8);
    __start___llvm_prf_data = .; *(__llvm_prf_data) __stop___llvm_prf_data = .; }
  .bss : { *(.bss*) . = ALIGN(8);
    __start___llvm_prf_cnts = .; *(__llvm_prf_cnts) __stop___llvm_prf_cnts = .;
    __start___llvm_prf_bits = .; *(__llvm_prf_bits) __stop___llvm_prf_bits = .; }
  __llvm_covfun 0 (INFO) : { *(__llvm_covfun) } __llvm_covmap 0 (INFO) : { *(__llvm_covmap) }
}";

const SCRIPTS: [(&str, &str); 5] = [
    ("INFO", INFO),
    ("INFO_LOW", INFO_LOW),
    ("COUNTERS_FIRST", COUNTERS_FIRST),
    ("COUNTERS_HIGH", COUNTERS_HIGH),
    ("MERGED", MERGED),
];

/// What an image of a target must turn out to be.
struct Target {
    triple: &'static str,
    compile: &'static [&'static str],
    architecture: &'static str,
    endianness: Endianness,
    /// Scripts whose distances the target's relocations reach.
    scripts: &'static [usize],
}

const LITTLE: Endianness = Endianness::Little;
const BIG: Endianness = Endianness::Big;
const ALL: &[usize] = &[0, 1, 2, 3, 4];

const TARGETS: &[Target] = &[
    Target { triple: "i386-none-elf", compile: &[], architecture: "i386", endianness: LITTLE, scripts: ALL },
    Target {
        triple: "x86_64-none-elf",
        compile: &["-mcmodel=large"],
        architecture: "x86_64",
        endianness: LITTLE,
        scripts: ALL,
    },
    Target {
        triple: "thumbv7m-none-eabi",
        compile: &[],
        architecture: "arm",
        endianness: LITTLE,
        scripts: ALL,
    },
    Target {
        triple: "armebv7a-none-eabi",
        compile: &[],
        architecture: "armeb",
        endianness: BIG,
        scripts: ALL,
    },
    Target {
        triple: "aarch64-none-elf",
        compile: &["-mcmodel=large"],
        architecture: "aarch64",
        endianness: LITTLE,
        scripts: ALL,
    },
    Target {
        triple: "riscv32-none-elf",
        compile: &["-march=rv32imac"],
        architecture: "riscv32",
        endianness: LITTLE,
        scripts: ALL,
    },
    Target {
        triple: "riscv64-none-elf",
        compile: &["-mcmodel=medany"],
        architecture: "riscv64",
        endianness: LITTLE,
        scripts: &[0, 1, 2, 4],
    },
    Target {
        triple: "powerpc-none-elf",
        compile: &[],
        architecture: "powerpc",
        endianness: BIG,
        scripts: ALL,
    },
    Target {
        triple: "s390x-none-elf",
        compile: &[],
        architecture: "s390x",
        endianness: BIG,
        scripts: &[0, 1, 2, 4],
    },
];

/// A snapshot in which every counter and every byte of the bitmap is another value.
fn made_up(located: &Located) -> Vec<Vec<u8>> {
    let counter = |n: u64| (n * n * 3 + n % 2).wrapping_mul(0x0101_0000_0001) >> 2;
    let mut regions = Vec::new();
    for region in &located.regions {
        let len = region.range.len_bytes();
        regions.push(match (region.element_bytes, region.endianness) {
            (8, LITTLE) => (0..len / 8).flat_map(|n| counter(n).to_le_bytes()).collect(),
            (8, BIG) => (0..len / 8).flat_map(|n| counter(n).to_be_bytes()).collect(),
            _ => (0..len).map(|n| if n % 3 == 0 { 0 } else { 0xff }).collect(),
        });
    }
    regions
}

fn check(exe: &Path, dir: &Path) -> Located {
    let image = Image::parse("program.elf", fs::read(exe).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    let regions = made_up(&located);
    let expected = LlvmProfile::new(&located.image, &regions).unwrap();
    let expected = proftext::of_profile(&located.image, &expected);
    assert_eq!(expected.len(), 4);
    assert_eq!(located.image.version(), RawVersion::V10);
    let normalised = profraw::encode(&located.image, &regions, Style::Normalised).unwrap();
    assert_eq!(proftext::read_back("llvm-profdata-19", dir, &normalised), expected);
    for version in RawVersion::ALL {
        // Bitmaps are in no version before 9, byte counters in none before 8.
        let is_held = version >= RawVersion::V9
            || located.image.bitmap_len_bytes() == 0
                && (version == RawVersion::V8 || !located.image.is_byte_coverage());
        let written = profraw::encode_as(&located.image, &regions, version);
        assert_eq!(written.is_ok(), is_held, "version {version}");
        if let Ok(written) = written {
            assert_eq!(proftext::read_by_covtap(&written), expected, "version {version}");
        }
    }
    if located.image.bitmap_len_bytes() == 0 {
        let older = profraw::encode_as(&located.image, &regions, RawVersion::V8).unwrap();
        assert_eq!(proftext::read_back("llvm-profdata-14", dir, &older), expected);
    }
    located
}

fn check_target(triple: &str, more: &[&str]) {
    let target = TARGETS.iter().find(|target| target.triple == triple).unwrap();
    let triple = format!("--target={triple}");
    let compile = [&[triple.as_str()], target.compile, more].concat();
    for index in target.scripts {
        let (name, script) = SCRIPTS[*index];
        println!("{triple} {name} {more:?}");
        let dir = tempdir().unwrap();
        let exe = freestanding(dir.path(), &compile, &[], script);
        let image = Image::parse("program.elf", fs::read(&exe).unwrap()).unwrap();
        assert_eq!((image.architecture(), image.endianness()), (target.architecture, target.endianness));
        let located = check(&exe, dir.path());
        assert_eq!(located.image.bitmap_len_bytes() > 0, more.contains(&"-fcoverage-mcdc"));
    }
}

/// Debug information says of every function what its record says where it is there.
#[test]
fn records_are_those_of_debug_information() {
    for target in TARGETS {
        let triple = format!("--target={}", target.triple);
        for index in target.scripts {
            let (name, script) = SCRIPTS[*index];
            let functions = |more: &[&str]| {
                println!("{triple} {name} {more:?}");
                let dir = tempdir().unwrap();
                let compile = [&[triple.as_str()], target.compile, more].concat();
                let located = check(&freestanding(dir.path(), &compile, &[], script), dir.path());
                assert_eq!(located.cautions, []);
                let of = |record: &DataRecord| {
                    (record.counters_offset, record.name_ref, record.func_hash, record.num_counters)
                };
                let mut functions: Vec<_> = located.image.records().iter().map(of).collect();
                functions.sort_unstable();
                functions
            };
            let correlate = ["-g", "-mllvm", "-profile-correlate=debug-info"];
            let dwarf = if index % 2 == 0 { "-gdwarf-5" } else { "-gdwarf-4" };
            assert_eq!(functions(&[&correlate[..], &[dwarf]].concat()), functions(&[]), "{triple} {name}");
        }
    }
}

/// Records tell their version by how they look. Debug information has its compiler's name for that.
#[test]
fn a_compiler_that_is_not_known_leaves_the_version_to_be_assumed() {
    let dir = tempdir().unwrap();
    let compile = ["--target=riscv32-none-elf", "-g", "-mllvm", "-profile-correlate=debug-info"];
    let mut elf = fs::read(freestanding(dir.path(), &compile, &[], INFO)).unwrap();
    let cautions = |elf: &[u8]| {
        let image = Image::parse("program.elf", elf.to_vec()).unwrap();
        let located = llvm::locate(&image, Slide::ZERO).unwrap();
        assert_eq!(located.image.version(), RawVersion::V10);
        located.cautions
    };
    assert_eq!(cautions(&elf), []);
    let (known, unknown) = (b"clang version", b"clank version");
    while let Some(at) = elf.windows(known.len()).position(|bytes| bytes == known) {
        elf[at..at + known.len()].copy_from_slice(unknown);
    }
    assert_eq!(cautions(&elf), [Caution::AssumedVersion]);
}

/// Nothing but the records tells that counters are bytes once symbols are stripped. Where the image does not store
/// them, all of them would be 0, which means covered.
#[test]
fn byte_counters_without_symbols() {
    let dir = tempdir().unwrap();
    let compile = ["--target=thumbv7m-none-eabi", "-mllvm", "-enable-single-byte-coverage=true"];
    for link in [&["--strip-all"][..], &[]] {
        let exe = freestanding(dir.path(), &compile, link, INFO);
        let image = Image::parse("program.elf", fs::read(exe).unwrap()).unwrap();
        let error = llvm::locate(&image, Slide::ZERO).unwrap_err();
        assert!(matches!(error, llvm::LocateError::ByteCountersNotInFile { .. }), "{error}");
    }
    let located = check(&freestanding(dir.path(), &compile, &["--strip-all"], COUNTERS_FIRST), dir.path());
    assert!(located.image.is_byte_coverage());
    assert_eq!(located.cautions, []);
}

#[test]
fn damaged_instrumentation_says_what_is_missing() {
    use llvm::LocateError as E;
    let error = |args: &[&str]| changed(INFO, args).unwrap_err();
    assert!(matches!(error(&["-R", "__llvm_prf_cnts"]), E::NoCounters { .. }));
    assert!(matches!(error(&["-R", "__llvm_prf_data"]), E::NoData { .. }));
    assert!(matches!(error(&["-R", "__llvm_prf_names"]), E::NoNames { .. }));
    let mapping = error(&["-R", "__llvm_prf_cnts", "-R", "__llvm_prf_data", "-R", "__llvm_prf_names"]);
    assert!(matches!(mapping, E::MappingOnly { section, .. } if section == "__llvm_covmap"));
    assert!(matches!(error(&["--strip-sections"]), E::Stripped { .. }));
    let twice = error(&["--rename-section=.text=__llvm_prf_data"]);
    assert_eq!(twice.to_string(), "find counters in changed.elf: 2 sections are named __llvm_prf_data");
}

/// Sections that are not loaded go with the symbols, and stay with the debug information.
#[test]
fn stripping_takes_the_sections_that_are_not_loaded() {
    use llvm::LocateError as E;
    assert!(matches!(changed(INFO, &["--strip-all"]), Err(E::NoData { .. })));
    assert!(changed(COUNTERS_FIRST, &["--strip-all"]).is_ok());
    assert!(changed(INFO, &["--only-keep-debug"]).is_ok());
    assert!(matches!(changed(COUNTERS_FIRST, &["--only-keep-debug"]), Err(E::NotInFile { .. })));
}

/// What is found in a Cortex-M program after `llvm-objcopy` has changed it.
fn changed(script: &str, args: &[&str]) -> Result<Located, llvm::LocateError> {
    let dir = tempdir().unwrap();
    let exe = freestanding(dir.path(), &["--target=thumbv7m-none-eabi"], &[], script);
    let changed = dir.path().join("changed.elf");
    let paths = [exe.to_str().unwrap(), changed.to_str().unwrap()];
    testbed::run("llvm-objcopy-19", args.iter().chain(&paths)).unwrap();
    llvm::locate(&Image::parse("changed.elf", fs::read(&changed).unwrap()).unwrap(), Slide::ZERO)
}

macro_rules! each_target {
    ($($name:ident: $triple:literal;)*) => { $(
        #[test]
        fn $name() {
            check_target($triple, &[]);
            check_target($triple, &["-fcoverage-mcdc"]);
        }
    )* };
}

each_target! {
    i386: "i386-none-elf";
    x86_64: "x86_64-none-elf";
    thumbv7m: "thumbv7m-none-eabi";
    armeb: "armebv7a-none-eabi";
    aarch64: "aarch64-none-elf";
    riscv32: "riscv32-none-elf";
    riscv64: "riscv64-none-elf";
    powerpc: "powerpc-none-elf";
    s390x: "s390x-none-elf";
}
