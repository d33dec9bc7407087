//! Coverage on source lines against `llvm-cov`, byte for byte: lcov and JSON of every profile.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use common::corpus::{corpus, linked, located, made_up, scattered};
use covtap::coverage::{Counts, Coverage, Mapping, Metric, Statistics, Tally};
use covtap::image::Image;
use covtap::locate::llvm::{Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::profile::read;
use covtap::write::{annotate, json, lcov, profraw, summary};
use covtap_testbed::{fixture, run, workspace_root};
use proptest::prelude::*;
use tempfile::tempdir;

/// What is left out of the JSON, and llvm-cov's flags for it.
const VARIANTS: [(json::Options, &[&str]); 4] = [
    (json::Options { summary_only: false, skip_expansions: false, skip_functions: false }, &[]),
    (
        json::Options { summary_only: false, skip_expansions: true, skip_functions: false },
        &["--skip-expansions"],
    ),
    (
        json::Options { summary_only: false, skip_expansions: false, skip_functions: true },
        &["--skip-functions"],
    ),
    (
        json::Options { summary_only: true, skip_expansions: false, skip_functions: false },
        &["--summary-only"],
    ),
];

/// Profiles as llvm-cov takes them.
fn indexed(dir: &Path, profraws: &[&Path]) -> PathBuf {
    let indexed = dir.join("indexed.profdata");
    let args = ["merge".as_ref(), "-o".as_ref(), indexed.as_os_str()].into_iter();
    run("llvm-profdata-19", args.chain(profraws.iter().map(|path| path.as_os_str()))).unwrap();
    indexed
}

/// What llvm-cov says of programs: lcov first, then each of the variants of JSON.
fn theirs(elves: &[&Path], indexed: &Path) -> Vec<String> {
    let mut objects: Vec<String> = elves.iter().map(|elf| format!("-object={}", elf.display())).collect();
    objects.push(format!("-instr-profile={}", indexed.display()));
    let export = |flags: &[&str]| {
        let args = objects.iter().map(String::as_str).chain(flags.iter().copied());
        run("llvm-cov-19", ["export"].into_iter().chain(args)).unwrap()
    };
    let lcov = export(&["--format=lcov"]);
    let json = VARIANTS.iter().map(|(_, flags)| export(flags));
    [lcov].into_iter().chain(json).collect()
}

/// The same by covtap.
fn ours(coverage: &Coverage) -> Vec<String> {
    let json = VARIANTS.iter().map(|(options, _)| json::encode(coverage, *options));
    [lcov::encode(coverage)].into_iter().chain(json).map(|text| String::from_utf8(text).unwrap()).collect()
}

/// Asserts that covtap and llvm-cov say the same of programs.
fn assert_equal(coverage: &Coverage, elves: &[&Path], indexed: &Path) {
    for (ours, theirs) in ours(coverage).iter().zip(theirs(elves, indexed)) {
        assert_same(ours, &theirs, elves[0]);
    }
}

/// Asserts that two texts are the same, and shows where they differ if not.
fn assert_same(ours: &str, theirs: &str, elf: &Path) {
    let same = ours.bytes().zip(theirs.bytes()).take_while(|(ours, theirs)| ours == theirs).count();
    let around = |text: &str| {
        let range = same.saturating_sub(200)..text.len().min(same + 200);
        String::from_utf8_lossy(&text.as_bytes()[range]).into_owned()
    };
    let (found, expected) = (around(ours), around(theirs));
    assert!(ours == theirs, "{}: at {same}:\n{found}\ninstead of\n{expected}", elf.display());
}

/// Writes a raw profile that llvm-profdata-19 reads.
fn written(dir: &Path, located: &Located, regions: &[Vec<u8>]) -> PathBuf {
    let profraw = dir.join(located.image.name()).with_extension("profraw");
    fs::write(&profraw, profraw::encode_as(&located.image, regions, RawVersion::V10).unwrap()).unwrap();
    profraw
}

/// Compares, and gives what was compared.
fn check(elf: &Path, regions: impl Fn(&Located) -> Vec<Vec<u8>>) -> Coverage {
    let (image, located) = located(elf);
    let regions = regions(&located);
    let dir = tempdir().unwrap();
    let profraw = written(dir.path(), &located, &regions);
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
    assert_eq!(
        (coverage.mismatches(), coverage.uncounted(), coverage.problems()),
        (&[][..], &[][..], &[][..])
    );
    assert_equal(&coverage, &[elf], &indexed(dir.path(), &[&profraw]));
    coverage
}

#[test]
fn guests_have_the_lines_that_llvm_has() {
    for guest in ["x86-pvh", "arm-cortexm", "c-an385"] {
        let counters = fs::read(fixture(guest).join("counters.bin")).unwrap();
        let coverage = check(&fixture(guest).join("covered.elf"), |_| vec![counters.clone()]);
        let lines = coverage.statistics().lines.total;
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
        let coverage = check(&elf, |located| {
            let len =
                |region: &covtap::locate::CounterRegion| usize::try_from(region.range.len_bytes()).unwrap();
            let byte =
                |at: usize| if at.is_multiple_of(8) { u8::try_from(at / 8 + 1).unwrap() * fill } else { 0 };
            located.regions.iter().map(|region| (0..len(region)).map(byte).collect()).collect()
        });
        let lines = coverage.statistics().lines.total;
        assert!(lines > 5, "{name} has {lines} lines");
    }
}

/// Macros in macros, headers in several units, templates, what the preprocessor left out, switches, loops, lambdas,
/// functions never called or on one line. `cargo xtask conformance` has more compilers and targets.
#[test]
fn a_program_of_everything_has_the_lines_that_llvm_has() {
    let cases: [(&str, &[&str]); 5] = [
        ("clang-19", &["--target=x86_64-none-elf"]),
        ("clang-19", &["--target=x86_64-none-elf", "-fcoverage-mcdc"]),
        ("clang-19", &["--target=i386-none-elf", "-fcoverage-mcdc"]),
        ("clang-19", &["--target=armebv7a-none-eabi", "-fcoverage-mcdc"]),
        ("clang-14", &["--target=armv7a-none-eabi"]),
    ];
    for (compiler, args) in cases {
        let dir = tempdir().unwrap();
        let elf = corpus(dir.path(), compiler, args);
        let has_mcdc = args.contains(&"-fcoverage-mcdc");
        for seed in 0..4 {
            let coverage = check(&elf, |located| made_up(located, seed));
            let Statistics { lines, branches, mcdc, .. } = coverage.statistics();
            assert!(lines.total > 60 && branches.total > 60, "{compiler} {args:?}: {lines:?} {branches:?}");
            assert_eq!((mcdc.total > 60, mcdc.covered > 0), (has_mcdc, has_mcdc && seed > 0), "{mcdc:?}");
            let carried: Vec<bool> = Metric::ALL.iter().map(|metric| coverage.carries(*metric)).collect();
            assert_eq!(carried, [true, true, true, true, true, has_mcdc, false, false]);
        }
    }
}

/// Functions of files that are left out stay.
#[test]
fn files_that_are_left_out_are_those_that_llvm_leaves_out() {
    let dir = tempdir().unwrap();
    let elf = corpus(dir.path(), "clang-19", &["--target=x86_64-none-elf", "-fcoverage-mcdc"]);
    let (image, located) = located(&elf);
    let regions = made_up(&located, 3);
    let profile = LlvmProfile::new(&located.image, &regions).unwrap();
    let mut coverage = Coverage::new(&image, &located.image, &profile).unwrap();
    coverage.retain_files(|name| !name.ends_with(b"header.h"));
    let indexed = indexed(dir.path(), &[&written(dir.path(), &located, &regions)]);
    let profile = format!("-instr-profile={}", indexed.display());
    let args = ["export", elf.to_str().unwrap(), &profile, "-ignore-filename-regex=header[.]h$"];
    let json = String::from_utf8(json::encode(&coverage, json::Options::default())).unwrap();
    assert_same(&json, &run("llvm-cov-19", args).unwrap(), &elf);
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
    let lines = check(Path::new(&elf), |located| made_up(located, 3)).statistics().lines.total;
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
    let dir = tempdir().unwrap();
    let profraw = written(dir.path(), &other, &made_up(&other, 3));
    assert_equal(&coverage, &[&fixture("hosted").join("clang-19.elf")], &indexed(dir.path(), &[&profraw]));
}

/// Two programs of one source, with functions of the same names, and two profiles.
#[test]
fn several_programs_are_one_coverage() {
    let dir = tempdir().unwrap();
    let elves = ["clang-19", "mcdc"].map(|name| fixture("hosted").join(format!("{name}.elf")));
    let located = elves.each_ref().map(|elf| located(elf));
    let profraws = [0, 1].map(|index| {
        let dir = dir.path().join(index.to_string());
        fs::create_dir(&dir).unwrap();
        written(&dir, &located[index].1, &made_up(&located[index].1, 3))
    });
    let mut profile = read("first", &fs::read(&profraws[0]).unwrap()).unwrap();
    profile.merge(read("second", &fs::read(&profraws[1]).unwrap()).unwrap()).unwrap();
    let mut coverage = Coverage::default();
    for (image, located) in &located {
        let mapping = Mapping::decode(image, located.image.names()).unwrap();
        coverage.add(&mapping, &Counts::from(&profile));
    }
    let merged = indexed(dir.path(), &profraws.each_ref().map(PathBuf::as_path));
    assert_equal(&coverage, &elves.each_ref().map(PathBuf::as_path), &merged);
    assert!(coverage.functions().len() > 2 && coverage.carries(Metric::Mcdc));
}

/// Makes an indexed profile of version 12 one of version 11, which has a field less in front of its summary. Then
/// llvm-cov takes bitmaps as LLVM 18 has them.
fn of_llvm_18(indexed: &Path) {
    const HEADER: usize = 72;
    let mut bytes = fs::read(indexed).unwrap();
    let word =
        |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    assert_eq!(word(8) & 0xff, 12);
    let len = 16 + 8 * word(HEADER) + 24 * word(HEADER + 8);
    bytes.copy_within(HEADER..HEADER + len, HEADER - 8);
    bytes[8] = 11;
    fs::write(indexed, bytes).unwrap();
}

/// Decisions of two and three conditions have a byte of bitmap with LLVM 18 and 19; with 18 it has the index 0.
#[test]
fn bitmaps_of_llvm_18_mean_what_they_meant_to_it() {
    let dir = tempdir().unwrap();
    let args = ["--target=x86_64-none-elf", "-fcoverage-mcdc"];
    let elf = linked(dir.path(), "clang-19", &args, &["llvm18.c"]);
    let (image, _) = located(&elf);
    let functions = file_range(&image, "__llvm_covfun");
    let mut bytes = fs::read(&elf).unwrap();
    let mut num_decisions = 0;
    for at in functions.start..functions.end - 2 {
        if let [0x28, index @ 3..=5, 2 | 3] = &mut bytes[at..at + 3] {
            (*index, num_decisions) = (0, num_decisions + 1);
        }
    }
    assert_eq!(num_decisions, 3);
    fs::write(&elf, bytes).unwrap();
    let (image, located) = located(&elf);
    for seed in 0..64 {
        let mut regions = made_up(&located, 1);
        regions[1] = scattered(seed).to_le_bytes()[..regions[1].len()].to_vec();
        let profile = LlvmProfile::new(&located.image, &regions).unwrap();
        let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
        assert_eq!((coverage.uncounted(), coverage.statistics().mcdc.total), (&[][..], 8));
        let indexed = indexed(dir.path(), &[&written(dir.path(), &located, &regions)]);
        of_llvm_18(&indexed);
        let json = json::encode(&coverage, json::Options::default());
        let args = ["export".as_ref(), elf.as_os_str(), "-instr-profile".as_ref(), indexed.as_os_str()];
        assert_same(&String::from_utf8(json).unwrap(), &run("llvm-cov-19", args).unwrap(), &elf);
    }
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
    let section = image.section(name).unwrap();
    let start = usize::try_from(section.file_offset()).unwrap();
    start..start + section.file_bytes().unwrap().len()
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
        summary::write(&coverage, &summary::Options::default(), &mut std::io::sink()).unwrap();
        let shown = annotate::Options {
            expansions: true,
            regions: true,
            branches: Some(annotate::Branches::Percents),
            mcdc: true,
            is_coloured: true,
            ..annotate::Options::default()
        };
        let source = |_: &[u8]| Ok(b"0123456789\n".repeat(100));
        annotate::write(&coverage, &shown, &source, &mut std::io::sink()).unwrap();
        json::write(&coverage, json::Options::default(), &mut std::io::sink()).unwrap();
        for problem in coverage.problems() {
            prop_assert!(!problem.to_string().contains('\n'), "{}", problem);
            let len = file_range(&image, problem.section).len() as u64;
            prop_assert!(problem.offset <= len, "{}", problem);
        }
    }
}
