//! Lines of programs by debug information of every kind: DWARF 2 to 5, compressed, in files of its own, of GCC and clang, of
//! C, C++ and assembly, for each instruction set. Guests that count nothing run in QEMU, whose log says each instruction that
//! was executed; which lines that is, is written down beside the sources.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../trace_firmware/expected.rs"]
mod expected;
mod guest;
mod split;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use covtap_testbed::run;
use expected::When;
use guest::{Built, CLANG, GCC, Isa};

/// What a report says of the sources beside this file: counts by source and line, and of functions by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Said {
    lines: BTreeMap<String, BTreeMap<u64, u64>>,
    functions: BTreeMap<String, u64>,
    notes: String,
}

/// Reports a trace of an ELF, which may have a slide.
fn report(elf: &str, trace: &Path, more: &[&str]) -> Said {
    let trace = trace.display().to_string();
    let args = ["report", "--lcov", "-", elf, trace.as_str()].into_iter().chain(more.iter().copied());
    let output = common::run(args);
    common::assert_done(&output);
    let mut said = Said { notes: common::stderr(&output), ..Said::default() };
    let mut file = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let pair = |line: &str| line.split_once(',').map(|(a, b)| (a.to_owned(), b.to_owned()));
        if let Some(path) = line.strip_prefix("SF:") {
            file = path.rsplit('/').next().unwrap().to_owned();
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(pair) {
            let lines = said.lines.entry(file.clone()).or_default();
            lines.insert(number.parse().unwrap(), count.parse().unwrap());
        } else if let Some((count, name)) = line.strip_prefix("FNDA:").and_then(pair) {
            said.functions.insert(name, count.parse().unwrap());
        }
    }
    said
}

/// Asserts that a source's lines ran that are expected to; in optimised code some are missing.
#[track_caller]
fn assert_lines(said: &Said, source: &str, is_optimised: bool, what: &str) {
    let expected = expected::of("trace_dwarf", &format!("tests/trace_dwarf/{source}"));
    let found = said.lines.get(source).unwrap_or_else(|| panic!("{what}: no {source}: {said:?}"));
    for (line, count) in found {
        let mark = expected.get(line).unwrap_or_else(|| panic!("{what}: {source}:{line} has code"));
        assert_eq!(*count > 0, mark.when != When::Never, "{what}: {source}:{line} ran {count} times");
    }
    let sure: BTreeSet<u64> =
        expected.iter().filter(|(_, mark)| mark.is_sure).map(|(line, _)| *line).collect();
    let missing: Vec<_> = sure.iter().filter(|line| !found.contains_key(line)).collect();
    assert!(missing.is_empty() || is_optimised, "{what}: {source}: no code on {missing:?}");
}

#[test]
fn lines_of_c_on_every_instruction_set() {
    for (compiler, isas) in [(CLANG, &Isa::ALL[..]), (GCC, &Isa::OF_GCC[..])] {
        for isa in isas {
            let built = Built::new(*isa, compiler, "program.c", &["-O0", "-g"]);
            let said = report(&built.elf_text(), &built.trace(), &[]);
            let what = format!("{compiler} {isa:?}");
            assert_lines(&said, "program.c", false, &what);
            assert_lines(&said, "program.h", false, &what);
            let lines = &said.lines["program.c"];
            assert_eq!([lines[&23], lines[&38], lines[&43]], [4, 1, 0], "{what}");
            let functions = ["choose", "sum", "clamp", "twice", "never", "program"];
            let counts = functions.map(|name| said.functions[name]);
            assert_eq!((counts, said.functions.len()), ([1, 1, 1, 1, 0, 1], 6), "{what}");
        }
    }
}

/// The same code with debug information of another kind is the same report.
#[test]
fn every_version_of_dwarf_says_the_same() {
    for (compiler, level) in [(CLANG, "-O0"), (CLANG, "-O1"), (GCC, "-O0"), (GCC, "-O1")] {
        let first = Built::new(Isa::Thumb, compiler, "program.c", &[level, "-gdwarf-5"]);
        let trace = first.trace();
        let expected = report(&first.elf_text(), &trace, &[]);
        if level == "-O0" {
            assert_lines(&expected, "program.c", false, compiler);
        }
        let same = |built: &Built, what: &str| {
            assert_eq!(built.code(), first.code(), "{compiler} {level} {what}");
            let said = report(&built.elf_text(), &trace, &[]);
            assert_eq!(said.lines, expected.lines, "{compiler} {level} {what}");
            assert_eq!(said.functions, expected.functions, "{compiler} {level} {what}");
        };
        for version in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4"] {
            for strict in ["-gno-strict-dwarf", "-gstrict-dwarf"] {
                let built = Built::new(Isa::Thumb, compiler, "program.c", &[level, version, strict]);
                same(&built, &format!("{version} {strict}"));
            }
        }
        for format in ["zlib", "zstd"] {
            let built = Built::new(Isa::Thumb, compiler, "program.c", &[level, "-gdwarf-5"]);
            run("llvm-objcopy-19", [&format!("--compress-debug-sections={format}"), &built.elf_text()])
                .unwrap();
            let headers = run("llvm-readelf-19", ["-t", &built.elf_text()]).unwrap();
            assert!(headers.contains("COMPRESSED"), "{headers}");
            same(&built, format);
        }
    }
}

#[test]
fn lines_of_optimised_c() {
    for compiler in [CLANG, GCC] {
        for level in ["-O1", "-Os", "-O2"] {
            let built = Built::new(Isa::RiscV64, compiler, "program.c", &[level, "-g"]);
            let said = report(&built.elf_text(), &built.trace(), &[]);
            assert_lines(&said, "program.c", true, &format!("{compiler} {level}"));
        }
    }
}

#[test]
fn lines_of_templates_and_inline_functions() {
    let built = Built::new(Isa::Thumb, CLANG, "program.cpp", &["-O0", "-g", "-fno-exceptions", "-fno-rtti"]);
    let said = report(&built.elf_text(), &built.trace(), &[]);
    assert_lines(&said, "program.cpp", false, "clang");
    // Each instance ran once, of which one has the first way and one the other.
    let lines = &said.lines["program.cpp"];
    assert_eq!([lines[&13], lines[&14], lines[&15], lines[&21]], [2, 1, 1, 1]);
    let of = |part: &str| {
        let found = said.functions.iter().filter(|(name, _)| name.contains(part));
        found.map(|(_, count)| *count).collect::<Vec<_>>()
    };
    assert_eq!((of("larger"), of("unread")), (vec![1, 1], vec![0]), "{:?}", said.functions);
    assert_eq!(of("Times").iter().sum::<u64>(), 1, "{:?}", said.functions);
}

#[test]
fn lines_of_assembly() {
    for (compiler, isa) in [(CLANG, Isa::RiscV64), (CLANG, Isa::RiscV32), (GCC, Isa::RiscV64)] {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let built = Built::new(isa, compiler, "program.S", &[version]);
            let said = report(&built.elf_text(), &built.trace(), &[]);
            let what = format!("{compiler} {isa:?} {version}");
            assert_lines(&said, "program.S", false, &what);
            let lines = &said.lines["program.S"];
            assert_eq!([lines[&6], lines[&8], lines[&9]], [1, 3, 3], "{what}");
            assert_eq!(said.functions, BTreeMap::from([("program".to_owned(), 1)]), "{what}");
        }
    }
}

/// Position independent, and somewhere else than it was linked.
#[test]
fn lines_of_what_was_moved() {
    let built = Built::moved("program.c", &["-O0", "-g"]);
    let (elf, trace) = (built.elf_text(), built.trace());
    let said = report(&format!("{elf}@{:#x}", guest::MOVED_TO), &trace, &[]);
    assert_lines(&said, "program.c", false, "moved");
    let args = ["report".as_ref(), elf.as_ref(), trace.as_os_str()];
    common::assert_refused(&common::run(args), "nothing of the trace is in", "ELF@SLIDE");
}

/// GCC's clones have no declaration, and are their function's.
#[test]
fn clones_are_their_function() {
    let text = "int sink; volatile int n = 2;\n\
        __attribute__((noinline)) static int same(int n, int always) {\n\
        \x20 return n * always + sink;\n\
        }\n\
        __attribute__((noinline)) static int of(int *at) {\n\
        \x20 return *at + 1;\n\
        }\n\
        int split(int n) {\n\
        \x20 if (n < 3)\n\
        \x20   return 0;\n\
        \x20 for (int i = 0; i < n; i++) {\n\
        \x20   sink += i * n; sink ^= same(n, 5); sink += of(&sink) / n; sink ^= i % 7; sink -= i / 3;\n\
        \x20 }\n\
        \x20 return sink;\n\
        }\n\
        void program(void) {\n\
        \x20 int m = n;\n\
        \x20 sink = same(m, 5) + of(&m);\n\
        \x20 for (int i = 0; i < 3; i++) { m += split(n); m += split(n + i); }\n\
        \x20 sink += m;\n\
        }\n";
    let built = Built::of_text(Isa::Thumb, GCC, "clones.c", text, &["-O2", "-g"]);
    let symbols = run("llvm-nm-19", [built.elf_text()]).unwrap();
    let clones: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .filter(|name| name.contains('.'))
        .collect();
    for kind in [".constprop.", ".isra.", ".part."] {
        assert!(clones.iter().any(|name| name.contains(kind)), "{kind}: {symbols}");
    }
    let said = report(&built.elf_text(), &built.trace(), &[]);
    let names: Vec<_> = said.functions.keys().map(String::as_str).collect();
    assert_eq!(names, ["of", "program", "same", "split"]);
    assert!(said.functions["same"] > 0 && said.functions["split"] > 0, "{said:?}");
    let lines = &said.lines["clones.c"];
    assert!(lines[&3] > 0 && lines[&12] > 0 && lines[&18] > 0, "{lines:?}");
}

/// Rust without its library.
#[test]
fn lines_of_rust() {
    let text = "#![no_std]\n#![crate_type = \"lib\"]\n\
        #[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! {\n    loop {}\n}\n\
        fn pick(n: u32) -> u32 {\n    match n {\n        0 => 5,\n        1 => 6,\n        _ => 7,\n    }\n}\n\
        #[unsafe(no_mangle)]\nextern \"C\" fn program() -> u32 {\n    let mut n = 0;\n    while n < 3 {\n        n += 1;\n    }\n    pick(n - 2)\n}\n";
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("firmware.rs");
    fs::write(&source, text).unwrap();
    let built = Built::rust(&source);
    let said = report(&built.elf_text(), &built.trace(), &[]);
    let lines = &said.lines["firmware.rs"];
    let expected = [(8, 1), (9, 0), (10, 1), (11, 0), (16, 1), (17, 4), (18, 3), (20, 1), (21, 1)];
    for (line, count) in expected {
        assert_eq!(lines.get(&line), Some(&count), "{line}: {lines:?}");
    }
    assert_eq!(lines.get(&5), Some(&0), "the loop of a panic: {lines:?}");
    let of_pick: Vec<_> = said.functions.iter().filter(|(name, _)| name.contains("pick")).collect();
    assert!(matches!(of_pick[..], [(_, 1)]), "{:?}", said.functions);
}
