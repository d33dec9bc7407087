//! Tables and annotated source against `llvm-cov report` and `llvm-cov show`, byte for byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::corpus::{corpus, located, made_up};
use covtap::coverage::Coverage;
use covtap::locate::llvm::{Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::annotate::{self, Branches};
use covtap::write::summary::{self, Show};
use covtap::write::{profraw, sources};
use covtap_testbed::{fixture, run};
use tempfile::{TempDir, tempdir};

/// A program with counts, for covtap and for LLVM's tools.
struct Program {
    dir: TempDir,
    elf: PathBuf,
    coverage: Coverage,
}

impl Program {
    fn new(elf: &Path, regions: impl Fn(&Located) -> Vec<Vec<u8>>) -> Self {
        let (image, located) = located(elf);
        let regions = regions(&located);
        let dir = tempdir().unwrap();
        let [raw, indexed] = ["counters.profraw", "counters.profdata"].map(|name| dir.path().join(name));
        fs::write(&raw, profraw::encode_as(&located.image, &regions, RawVersion::V10).unwrap()).unwrap();
        run("llvm-profdata-19", [Path::new("merge"), &raw, Path::new("-o"), &indexed]).unwrap();
        let profile = LlvmProfile::new(&located.image, &regions).unwrap();
        let coverage = Coverage::new(&image, &located.image, &profile).unwrap();
        Self { dir, elf: elf.to_owned(), coverage }
    }

    fn made_up(elf: &Path, seed: u64) -> Self {
        Self::new(elf, |located| made_up(located, seed))
    }

    /// What llvm-cov prints on stdout.
    fn llvm_cov(&self, verb: &str, args: &[&str]) -> String {
        let profile = format!("-instr-profile={}", self.dir.path().join("counters.profdata").display());
        let elf = self.elf.display().to_string();
        run("llvm-cov-19", [verb, &elf, &profile].iter().chain(args)).unwrap()
    }

    fn check_summary(&self, options: &summary::Options, args: &[&str]) {
        let mut ours = Vec::new();
        summary::write(&self.coverage, options, &mut ours).unwrap();
        self.check(&ours, "report", args);
    }

    fn check_functions(&self, options: &summary::Options, args: &[&str]) {
        let mut ours = Vec::new();
        summary::write_functions(&self.coverage, options, &mut ours).unwrap();
        let names: Vec<String> =
            self.coverage.files().map(|file| String::from_utf8(file.name().to_vec()).unwrap()).collect();
        let names = names.iter().map(String::as_str);
        let args: Vec<&str> = args.iter().copied().chain(["--show-functions"]).chain(names).collect();
        self.check(&ours, "report", &args);
    }

    fn check_source(&self, options: &annotate::Options, args: &[&str]) -> String {
        let mut ours = Vec::new();
        let omitted = annotate::write(&self.coverage, options, &sources::read, &mut ours).unwrap();
        assert!(omitted.is_empty(), "{omitted:?}");
        self.check(&ours, "show", args)
    }

    fn check(&self, ours: &[u8], verb: &str, args: &[&str]) -> String {
        let ours = String::from_utf8_lossy(ours);
        // The same colours: LLVM clears all others each time.
        let theirs = self.llvm_cov(verb, args).replace("\u{1b}[0;", "\u{1b}[");
        let elf = self.elf.display();
        for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
            assert_eq!(ours, theirs, "{elf} {verb} {args:?}: line {}", number + 1);
        }
        assert_eq!(ours, theirs, "{elf} {verb} {args:?}");
        theirs
    }
}

fn program(dir: &Path) -> PathBuf {
    corpus(dir, "clang-19", &["--target=x86_64-none-elf"])
}

#[test]
fn tables_of_files_are_those_of_llvm() {
    let dir = tempdir().unwrap();
    let elf = program(dir.path());
    let llvm = summary::Options::llvm();
    for seed in 0..4 {
        let program = Program::made_up(&elf, seed);
        program.check_summary(&llvm, &[]);
        program.check_summary(&summary::Options { is_coloured: true, ..llvm }, &["--use-color"]);
        let few = summary::Options { regions: Show::Never, branches: Show::Never, ..llvm };
        program.check_summary(&few, &["--show-region-summary=0", "--show-branch-summary=0"]);
        let instantiations = summary::Options { instantiations: Show::Always, ..llvm };
        program.check_summary(&instantiations, &["--show-instantiation-summary"]);
    }
}

#[test]
fn tables_of_functions_are_those_of_llvm() {
    let dir = tempdir().unwrap();
    let program = Program::made_up(&program(dir.path()), 3);
    let llvm = summary::Options::llvm();
    program.check_functions(&llvm, &[]);
    program.check_functions(&summary::Options { is_coloured: true, ..llvm }, &["--use-color"]);
    let few = summary::Options { branches: Show::Never, ..llvm };
    program.check_functions(&few, &["--show-branch-summary=0"]);
}

/// Counts at rest, of guests that ran.
#[test]
fn guests_have_the_table_that_llvm_has() {
    for guest in ["x86-pvh", "arm-cortexm", "c-an385"] {
        let counters = fs::read(fixture(guest).join("counters.bin")).unwrap();
        let program = Program::new(&fixture(guest).join("covered.elf"), |_| vec![counters.clone()]);
        program.check_summary(&summary::Options::llvm(), &[]);
    }
}

/// rustc counts no branches: there is nothing of which 0 % ran.
#[test]
fn what_a_build_does_not_carry_has_no_columns() {
    let table = |elf: &Path| {
        let (mut files, mut functions) = (Vec::new(), Vec::new());
        let program = Program::made_up(elf, 3);
        summary::write(&program.coverage, &summary::Options::default(), &mut files).unwrap();
        summary::write_functions(&program.coverage, &summary::Options::default(), &mut functions).unwrap();
        (String::from_utf8(files).unwrap(), String::from_utf8(functions).unwrap())
    };
    let (files, functions) = table(&fixture("x86-pvh").join("covered.elf"));
    assert!(!files.contains("Branches") && !functions.contains("Branches"), "{files}{functions}");
    assert!(!files.contains("MC/DC") && !functions.contains("MC/DC"), "{files}{functions}");
    let (files, functions) = table(&fixture("c-an385").join("covered.elf"));
    assert!(files.contains("Missed Branches") && functions.contains("Branches"), "{files}{functions}");
    assert!(!functions.contains(" 0       0   0.00%"), "{functions}");
}

#[test]
fn sources_are_shown_as_llvm_does() {
    let dir = tempdir().unwrap();
    let elf = program(dir.path());
    let plain = annotate::Options::default();
    let all =
        annotate::Options { expansions: true, regions: true, branches: Some(Branches::Counts), ..plain };
    let cases: [(annotate::Options, &[&str]); 10] = [
        (plain, &[]),
        (annotate::Options { instantiations: false, ..plain }, &["--show-instantiations=0"]),
        (annotate::Options { expansions: true, ..plain }, &["--show-expansions"]),
        (annotate::Options { regions: true, counts: false, ..plain }, &["--show-regions"]),
        (annotate::Options { regions: true, ..plain }, &["--show-line-counts-or-regions"]),
        (annotate::Options { branches: Some(Branches::Counts), ..plain }, &["--show-branches=count"]),
        (annotate::Options { branches: Some(Branches::Percents), ..plain }, &["--show-branches=percent"]),
        (all, &["--show-expansions", "--show-line-counts-or-regions", "--show-branches=count"]),
        (annotate::Options { is_coloured: true, ..plain }, &["--use-color"]),
        (
            annotate::Options { is_coloured: true, ..all },
            &["--use-color", "--show-expansions", "--show-line-counts-or-regions", "--show-branches=count"],
        ),
    ];
    for seed in [0, 1, 3, 1 << 33] {
        let program = Program::made_up(&elf, seed);
        for (options, args) in cases {
            let text = program.check_source(&options, args);
            assert!(text.lines().count() > 40, "{text}");
        }
    }
}

/// The other targets and compilers, each with all that can be shown.
#[test]
fn every_target_and_compiler_has_the_text_that_llvm_has() {
    let cases: [(&str, &[&str]); 7] = [
        ("clang-19", &["--target=i386-none-elf"]),
        ("clang-19", &["--target=thumbv7m-none-eabi"]),
        ("clang-19", &["--target=riscv64-none-elf"]),
        ("clang-19", &["--target=armebv7a-none-eabi"]),
        ("clang-19", &["--target=x86_64-none-elf", "-fcoverage-mcdc"]),
        ("clang-14", &["--target=x86_64-linux-gnu"]),
        ("clang-14", &["--target=armv7a-none-eabi"]),
    ];
    let all = annotate::Options {
        expansions: true,
        regions: true,
        branches: Some(Branches::Percents),
        ..annotate::Options::default()
    };
    let args = ["--show-expansions", "--show-line-counts-or-regions", "--show-branches=percent"];
    for (compiler, target) in cases {
        let dir = tempdir().unwrap();
        let program = Program::made_up(&corpus(dir.path(), compiler, target), 3);
        program.check_summary(&summary::Options::llvm(), &[]);
        program.check_source(&annotate::Options::default(), &[]);
        program.check_source(&all, &args);
    }
}

/// Decisions with every kind of condition, with what made-up bitmaps say of them.
#[test]
fn decisions_are_shown_as_llvm_does() {
    let dir = tempdir().unwrap();
    let elf = corpus(dir.path(), "clang-19", &["--target=x86_64-none-elf", "-fcoverage-mcdc"]);
    let llvm = summary::Options { mcdc: Show::Always, ..summary::Options::llvm() };
    let shown = annotate::Options { mcdc: true, ..annotate::Options::default() };
    for seed in 0..6 {
        let program = Program::made_up(&elf, seed);
        program.check_summary(&llvm, &["--show-mcdc-summary"]);
        program.check_summary(
            &summary::Options { is_coloured: true, ..llvm },
            &["--use-color", "--show-mcdc-summary"],
        );
        let text = program.check_source(&shown, &["--show-mcdc"]);
        assert!(text.contains("MC/DC Decision Region"), "{text}");
        let all = annotate::Options {
            is_coloured: true,
            expansions: true,
            regions: true,
            branches: Some(Branches::Counts),
            ..shown
        };
        let args = ["--show-mcdc", "--use-color", "--show-expansions", "--show-line-counts-or-regions"];
        program.check_source(&all, &[&args[..], &["--show-branches=count"]].concat());
        program.check_functions(&llvm, &["--show-mcdc-summary"]);
    }
    let mut ours = Vec::new();
    summary::write(&Program::made_up(&elf, 3).coverage, &summary::Options::default(), &mut ours).unwrap();
    assert!(String::from_utf8(ours).unwrap().contains("MC/DC Conditions"));
}

/// One program of these sources, whose counts are made up.
fn built(dir: &Path, sources: &[(&str, &str)]) -> Program {
    let mut objects = Vec::new();
    for (name, text) in sources {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let object = dir.join(format!("{}.o", objects.len())).display().to_string();
        let path = path.display().to_string();
        let args = ["--target=x86_64-none-elf", "-ffreestanding", "-fprofile-instr-generate"];
        let rest = ["-fcoverage-mapping", "-x", "c", "-c", &path, "-o", &object];
        run("clang-19", args.iter().chain(&rest)).unwrap();
        objects.push(object);
    }
    let elf = dir.join("program.elf");
    let link = ["-e", "0", "--defsym=__llvm_profile_runtime=0", "-o", elf.to_str().unwrap()];
    run("ld.lld-19", link.iter().copied().chain(objects.iter().map(String::as_str))).unwrap();
    Program::made_up(&elf, 3)
}

/// Paths, line breaks and lines of every kind; the name of a source alone is not shown.
#[test]
fn odd_sources_are_shown_as_llvm_does() {
    let dir = tempdir().unwrap();
    let body = |name: &str| format!("int {name}(int x) {{\r\n  return x ? 1 : 2;\r\n}}\r\n\r\n");
    let [a, b, c] = ["a", "b", "c"].map(body);
    let blank = "\n\nint d(int x){\n\n  if (x) return 4; /* \u{e4} \t */ else return 5;}\n\n\nint e(int x) { return x ?";
    let blank = format!("{blank} 1\n:\n2;}}");
    let macros = "#define ONE(x) ((x) ? 1 : 2)\n#define ALL(x) ONE(x)\n";
    let macros = format!("{macros}int f(int x) {{ return ALL(x) + ONE(x) + ALL(ONE(x)); }}");
    let sources =
        [("B.c", &*a), ("a/x.c", &b), ("a/x/../y\\z.c", &c), ("a/blank.c", &blank), ("m.c", &macros)];
    // The one that a path leads through.
    fs::create_dir_all(dir.path().join("a/x")).unwrap();
    let program = built(dir.path(), &sources);
    program.check_summary(&summary::Options::llvm(), &[]);
    let all = annotate::Options { expansions: true, regions: true, ..annotate::Options::default() };
    program.check_source(&all, &["--show-expansions", "--show-line-counts-or-regions"]);
    let alone = tempdir().unwrap();
    let program = built(alone.path(), &[("m.c", &macros)]);
    program.check_summary(&summary::Options::llvm(), &[]);
    program.check_source(&all, &["--show-expansions", "--show-line-counts-or-regions"]);
}

/// Macros in macros: as many as a person would write are shown as LLVM does, and of endless ones that they are.
#[test]
fn macros_nest_up_to_a_limit() {
    let options = annotate::Options { expansions: true, ..annotate::Options::default() };
    let nested = |depth: u32| {
        let define = |level: u32| format!("#define M{level}(x) (M{}(x) ? 1 : 2)\n", level - 1);
        let defines: String = (1..depth).map(define).collect();
        format!("#define M0(x) ((x) + 1)\n{defines}int deep(int x) {{ return M{}(x); }}\n", depth - 1)
    };
    let dir = tempdir().unwrap();
    built(dir.path(), &[("m.c", &nested(64))]).check_source(&options, &["--show-expansions"]);
    let program = built(dir.path(), &[("m.c", &nested(65))]);
    let omitted = annotate::write(&program.coverage, &options, &sources::read, &mut std::io::sink()).unwrap();
    let omitted: Vec<String> = omitted.iter().map(ToString::to_string).collect();
    assert_eq!(omitted, ["show the expansions in deep: they are more than 64 deep"]);
}

/// Functions that are called as in the source, also local ones, as llvm-cov has them through a demangler.
#[test]
fn names_are_demangled_as_llvm_does() {
    let dir = tempdir().unwrap();
    let program = Program::made_up(&program(dir.path()), 3);
    let options = annotate::Options { is_demangled: true, ..annotate::Options::default() };
    let text = program.check_source(&options, &["--Xdemangler=llvm-cxxfilt-19"]);
    assert!(text.contains("| program.cpp:in_header(int):\n"), "{text}");
}

/// Sources that are not there are named, and the others shown.
#[test]
fn a_source_that_is_missing_is_said_once() {
    let dir = tempdir().unwrap();
    let program = Program::made_up(&program(dir.path()), 3);
    let read = |name: &[u8]| {
        let name = if name.ends_with(b"header.h") { b"/gone/header.h" } else { name };
        sources::read(name)
    };
    let options = annotate::Options { expansions: true, ..annotate::Options::default() };
    let mut text = Vec::new();
    let omitted = annotate::write(&program.coverage, &options, &read, &mut text).unwrap();
    let omitted: Vec<String> = omitted.iter().map(ToString::to_string).collect();
    assert_eq!(omitted, ["read the source /gone/header.h: No such file or directory (os error 2)"]);
    let text = String::from_utf8(text).unwrap();
    let names: Vec<&str> = text.lines().filter(|line| line.starts_with('/')).collect();
    let all = program.coverage.files().map(|file| format!("{}:", String::from_utf8_lossy(file.name())));
    let others: Vec<String> = all.filter(|name| !name.ends_with("header.h:")).collect();
    assert!(others.len() > 1, "{others:?}");
    assert_eq!(names, others);
}
