//! Coverage on source lines against `llvm-cov`, byte for byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use covtap::coverage::{Coverage, Mapping, Tally};
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::lcov;
use covtap::write::profraw;
use covtap_link::Endianness;
use covtap_testbed::{fixture, run, workspace_root};
use proptest::prelude::*;
use tempfile::tempdir;

fn located(elf: &Path) -> (Image, Located) {
    let image = Image::parse("program.elf", fs::read(elf).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    (image, located)
}

/// What LLVM's own tools say of a profile.
fn theirs(elf: &Path, profraw: &Path) -> String {
    let dir = tempdir().unwrap();
    let indexed = dir.path().join("indexed.profdata");
    run("llvm-profdata-19", ["merge".as_ref(), profraw.as_os_str(), "-o".as_ref(), indexed.as_os_str()])
        .unwrap();
    let profile = format!("-instr-profile={}", indexed.display());
    run("llvm-cov-19", ["export".as_ref(), "--format=lcov".as_ref(), elf.as_os_str(), profile.as_ref()])
        .unwrap()
}

/// Compares, and gives how many lines have a count.
fn check(elf: &Path, regions: impl Fn(&Located) -> Vec<Vec<u8>>) -> usize {
    let (image, located) = located(elf);
    let regions = regions(&located);
    let dir = tempdir().unwrap();
    let profraw = dir.path().join("counters.profraw");
    fs::write(&profraw, profraw::encode_as(&located.image, &regions, RawVersion::V10).unwrap()).unwrap();
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
    assert_eq!(
        (coverage.mismatches(), coverage.uncounted(), coverage.problems()),
        (&[][..], &[][..], &[][..])
    );
    let ours = String::from_utf8(lcov::encode(&coverage)).unwrap();
    let theirs = theirs(elf, &profraw);
    let lines: Vec<(&str, &str)> = ours.lines().zip(theirs.lines()).collect();
    for (number, (ours, theirs)) in lines.iter().enumerate() {
        assert_eq!(ours, theirs, "{}: line {} of the trace", elf.display(), number + 1);
    }
    assert_eq!(ours, theirs, "{}", elf.display());
    ours.lines().filter(|line| line.starts_with("DA:")).count()
}

#[test]
fn guests_have_the_lines_that_llvm_has() {
    for guest in ["x86-pvh", "arm-cortexm", "c-an385"] {
        let counters = fs::read(fixture(guest).join("counters.bin")).unwrap();
        let lines = check(&fixture(guest).join("covered.elf"), |_| vec![counters.clone()]);
        assert!(lines > 100, "{guest} has {lines} lines");
    }
}

/// Counts that no run would give show more than those of one.
#[test]
fn hosted_programs_have_the_lines_that_llvm_has() {
    for (name, fill) in
        ["clang-14", "clang-19", "mcdc", "bytes", "rustc"].iter().flat_map(|name| [(name, 0u8), (name, 1)])
    {
        let elf = fixture("hosted").join(format!("{name}.elf"));
        let lines = check(&elf, |located| {
            let len =
                |region: &covtap::locate::CounterRegion| usize::try_from(region.range.len_bytes()).unwrap();
            let byte =
                |at: usize| if at.is_multiple_of(8) { u8::try_from(at / 8 + 1).unwrap() * fill } else { 0 };
            located.regions.iter().map(|region| (0..len(region)).map(byte).collect()).collect()
        });
        assert!(lines > 5, "{name} has {lines} lines");
    }
}

/// Compiles and links the program of `tests/coverage` without a library or a runtime.
fn corpus(dir: &Path, compiler: &str, args: &[&str]) -> PathBuf {
    let sources = workspace_root().join("tests/coverage");
    let base = ["-O1", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-c"];
    let cover = ["-fprofile-instr-generate", "-fcoverage-mapping"];
    let mut objects = Vec::new();
    for source in ["program.cpp", "other.cpp"] {
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

/// Counts that vary, among them 0.
fn made_up(located: &Located, seed: u64) -> Vec<Vec<u8>> {
    let bytes = |region: &covtap::locate::CounterRegion| {
        let counts = (0..region.range.len_bytes().div_ceil(8)).map(|index| (index * 7 + seed) % 11 * seed);
        let bytes = counts.flat_map(|count| match region.endianness {
            Endianness::Little => count.to_le_bytes(),
            Endianness::Big => count.to_be_bytes(),
        });
        bytes.take(usize::try_from(region.range.len_bytes()).unwrap()).collect()
    };
    located.regions.iter().map(bytes).collect()
}

/// Macros in macros, headers in several units, templates, what the preprocessor left out, switches, loops, lambdas,
/// functions never called or on one line.
#[test]
fn every_target_and_compiler_has_the_lines_that_llvm_has() {
    let cases: [(&str, &[&str]); 10] = [
        ("clang-19", &["--target=x86_64-none-elf"]),
        ("clang-19", &["--target=x86_64-none-elf", "-fcoverage-mcdc"]),
        ("clang-19", &["--target=i386-none-elf"]),
        ("clang-19", &["--target=thumbv7m-none-eabi"]),
        ("clang-19", &["--target=riscv32-none-elf"]),
        ("clang-19", &["--target=riscv64-none-elf"]),
        ("clang-19", &["--target=aarch64-none-elf"]),
        ("clang-19", &["--target=armebv7a-none-eabi"]),
        ("clang-14", &["--target=x86_64-linux-gnu"]),
        ("clang-14", &["--target=armv7a-none-eabi"]),
    ];
    for (compiler, args) in cases {
        let dir = tempdir().unwrap();
        let elf = corpus(dir.path(), compiler, args);
        for seed in 0..4 {
            let lines = check(&elf, |located| made_up(located, seed));
            assert!(lines > 30, "{compiler} {args:?}: {lines} lines");
        }
    }
}

/// So many branches that the order of those of one place is that of a heap.
#[test]
fn many_branches_have_the_order_that_llvm_has() {
    let dir = tempdir().unwrap();
    let header = workspace_root().join("tests/coverage/header.h");
    let mut text = format!("#include {:?}\nvolatile int sink;\n", header.display().to_string());
    for index in 0..600 {
        let body =
            format!("if (a > {index} && sink)\n sink += MAXOF(a, {index});\n return NEST(a, sink, {index});");
        text += &format!("int f{index}(int a) {{\n {body}\n}}\n");
    }
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (source, object, elf) = (path("many.c"), path("many.o"), path("many.elf"));
    fs::write(&source, text).unwrap();
    let args =
        ["--target=x86_64-none-elf", "-ffreestanding", "-fprofile-instr-generate", "-fcoverage-mapping"];
    run("clang-19", args.iter().copied().chain(["-c", &source, "-o", &object])).unwrap();
    run("ld.lld-19", ["-e", "f0", "--defsym=__llvm_profile_runtime=0", &object, "-o", &elf]).unwrap();
    let lines = check(Path::new(&elf), |located| made_up(located, 3));
    assert!(lines > 3000, "{lines} lines");
}

/// A profile of another program: `main` is in both, with another hash; of the rest nothing ran.
#[test]
fn functions_of_another_build_are_named() {
    let (image, ours) = located(&fixture("hosted").join("clang-19.elf"));
    let (_, other) = located(&fixture("hosted").join("rustc.elf"));
    let profile = LlvmProfile::new(&other.image, &made_up(&other, 3)).unwrap();
    let coverage = Coverage::new(&image, &ours.image, &profile).unwrap();
    let mismatches: Vec<&[u8]> = coverage.mismatches().iter().map(|m| m.name.as_slice()).collect();
    assert_eq!(mismatches, [b"main"]);
    let names: Vec<&[u8]> = coverage.functions().iter().map(|function| function.name.as_slice()).collect();
    assert_eq!(names.len(), ours.image.records().len() - 1, "{names:?}");
    assert!(coverage.functions().iter().all(|function| function.count == 0));
    assert_eq!(coverage.statistics().functions, Tally { covered: 0, total: 2 });
}

#[test]
fn a_program_without_a_mapping_is_refused_by_name() {
    let (_, located) = located(&fixture("hosted").join("clang-19.elf"));
    let elf = fs::read(fixture("x86-pvh").join("plain.elf")).unwrap();
    let error = Mapping::decode(&Image::parse("plain.elf", elf).unwrap(), located.image.names()).unwrap_err();
    assert_eq!(error.to_string(), "read the coverage mapping of plain.elf: it has no section __llvm_covmap");
}

/// Where in the file a section is.
fn file_range(image: &Image, name: &str) -> Range<usize> {
    let bytes = image.section(name).unwrap().file_bytes().unwrap();
    let start = bytes.as_ptr() as usize - image.file().as_ptr() as usize;
    start..start + bytes.len()
}

/// A damaged function is left out with its offset, and the others stay.
#[test]
fn what_is_damaged_is_said_and_the_rest_is_read() {
    let path = fixture("hosted").join("clang-19.elf");
    let (image, located) = located(&path);
    let mut bytes = fs::read(&path).unwrap();
    // The number of files of the first function.
    bytes[file_range(&image, "__llvm_covfun").start + 28] = 0x7f;
    let image = Image::parse("damaged.elf", bytes).unwrap();
    let mapping = Mapping::decode(&image, located.image.names()).unwrap();
    assert_eq!(mapping.functions().len(), located.image.records().len() - 1);
    let [problem] = mapping.problems() else { panic!("{:?}", mapping.problems()) };
    let text = problem.to_string();
    assert!(
        text.starts_with("decode __llvm_covfun of damaged.elf at 0x1c: 127 files are said to follow"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_mappings_are_read_or_refused(
        which in 0..4usize,
        in_functions in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let path = ["hosted/mcdc.elf", "hosted/rustc.elf", "c-an385/covered.elf", "x86-pvh/covered.elf"][which];
        let (image, located) = located(&fixture(path));
        let range = file_range(&image, if in_functions { "__llvm_covfun" } else { "__llvm_covmap" });
        let mut bytes = fs::read(fixture(path)).unwrap();
        for (index, byte) in changes {
            bytes[range.start + index.index(range.len())] = byte;
        }
        let image = Image::parse("hostile.elf", bytes).unwrap();
        let profile = LlvmProfile::new(&located.image, &made_up(&located, 3)).unwrap();
        let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
        lcov::write(&coverage, &mut std::io::sink()).unwrap();
        for problem in coverage.problems() {
            prop_assert!(!problem.to_string().contains('\n'), "{}", problem);
            let len = file_range(&image, problem.section).len() as u64;
            prop_assert!(problem.offset <= len, "{}", problem);
        }
    }
}
