//! Programs whose functions only their debug information names, against `llvm-profdata merge --debug-info` and against
//! the same programs with their records in memory.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{assert_done, assert_refused, run, stderr};
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Caution, Correlation, LocateError, Located};
use covtap::profile;
use covtap::write::profraw::{self, ProfrawError, Style};
use covtap::write::proftext;
use covtap_testbed as testbed;
use tempfile::{TempDir, tempdir};

const HEADER: &str = "
template <class T> __attribute__((noinline)) T twice(T x) { return x > 2 ? x * 2 : x; }
#ifdef UNUSED
inline int unused(int x) { return x ? 1 : 2; }
#endif
";
const MAIN: &str = r#"#include "twice.h"
static int local(int x) { return x > 1 ? 1 : 2; }
int other(int);
int never(int x) { return x + 1; }
int main() {
  int sum = 0;
  for (int i = 0; i < 5; i++) sum += twice(i) + (int)twice(1.5 * i) + local(i) + other(i);
  return sum == 0;
}
"#;
const OTHER: &str = r#"#include "twice.h"
static int local(int x) { return x > 3 && x < 100 ? 1 : 2; }
int other(int x) { return local(x) + twice(x); }
"#;

const FRONT_END: [&str; 2] = ["-fprofile-instr-generate", "-fcoverage-mapping"];
const IR: [&str; 1] = ["-fprofile-generate"];
const CORRELATE: [&str; 3] = ["-g", "-mllvm", "-profile-correlate=debug-info"];
/// The option's name before LLVM 18.
const CORRELATE_OLD: [&str; 3] = ["-g", "-mllvm", "-debug-info-correlate"];

/// A program in C++, of two units, that ran.
struct Ran {
    dir: TempDir,
}

impl Ran {
    /// Builds it with the given options, those of the second unit apart, and runs it.
    fn of_units(clang: &str, options: &[&str], of_second: &[&str]) -> Self {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for (name, text) in [("twice.h", HEADER), ("main.cpp", MAIN), ("other.cpp", OTHER)] {
            fs::write(path(name), text).unwrap();
        }
        let clang = testbed::tool(clang).unwrap();
        let call = |args: &[&str]| {
            let mut command = Command::new(&clang);
            // Split debug information goes where the compiler is called.
            command.current_dir(dir.path()).args(["-O1", "-Wno-unused-command-line-argument"]).args(args);
            assert!(command.status().unwrap().success(), "{command:?}");
        };
        call(&[options, &["-c", "main.cpp"]].concat());
        call(&[of_second, &["-c", "other.cpp"]].concat());
        call(&[options, &["-Wl,--build-id=sha1", "main.o", "other.o", "-o", "program"]].concat());
        let profile = path("program.profraw");
        assert!(Command::new(path("program")).env("LLVM_PROFILE_FILE", profile).status().unwrap().success());
        Self { dir }
    }

    fn new(clang: &str, options: &[&[&str]]) -> Self {
        let options = options.concat();
        Self::of_units(clang, &options, &options)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn located(&self) -> Result<Located, LocateError> {
        let image = Image::parse("program", fs::read(self.path("program")).unwrap()).unwrap();
        llvm::locate(&image, Slide::ZERO)
    }

    /// The counts of the runtime's own profile, as covtap reads it.
    fn ours(&self) -> String {
        let image = self.located().unwrap().image;
        let raw = fs::read(self.path("program.profraw")).unwrap();
        let profile = profile::read_of("raw", &raw, &[&image]).unwrap();
        String::from_utf8(proftext::encode(&profile).unwrap()).unwrap()
    }

    /// As LLVM's tool reads it.
    fn theirs(&self, tool: &str, more: &[&str]) -> String {
        let profile = self.path("program.profraw").display().to_string();
        testbed::run(tool, ["merge", "--text", &profile, "-o", "-"].iter().chain(more)).unwrap()
    }

    fn correlated(&self, tool: &str) -> String {
        self.theirs(tool, &[&format!("--debug-info={}", self.path("program").display())])
    }

    fn report(&self, options: &[&str]) -> std::process::Output {
        let (program, profile) = (self.path("program"), self.path("program.profraw"));
        let files = [OsStr::new("report"), program.as_os_str(), profile.as_os_str()];
        run(files.into_iter().chain(options.iter().map(OsStr::new)))
    }

    fn lcov(&self) -> String {
        let map = format!("{}=/src", self.dir.path().display());
        let output = self.report(&["--lcov", "-", "--path-map", &map]);
        assert_done(&output);
        assert_eq!(stderr(&output), "");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn debug_information_has_the_functions() {
    let more: [&[&str]; 9] = [
        &["-gdwarf-4"],
        &["-gdwarf-5"],
        &["-gdwarf-5", "-gdwarf64"],
        &["-g1"],
        &["-gz=zlib", "-fuse-ld=lld-19"],
        &["-gz=zstd", "-fuse-ld=lld-19"],
        &["-ffunction-sections", "-fuse-ld=lld-19", "-Wl,--gc-sections"],
        &["-flto", "-fuse-ld=lld-19"],
        &["-mllvm", "-enable-single-byte-coverage=true"],
    ];
    for more in more {
        let ran = Ran::new("clang++-19", &[&FRONT_END, &CORRELATE, more]);
        let ours = ran.ours();
        assert_eq!(ours, ran.correlated("llvm-profdata-19"), "{more:?}");
        assert!(ours.contains("main\n") && ours.matches("other.cpp:_ZL5locali\n").count() == 1, "{ours}");
        let located = ran.located().unwrap();
        assert_eq!(
            (located.image.correlation(), located.cautions),
            (Correlation::DebugInfo, vec![]),
            "{more:?}"
        );
    }
}

/// LLVM 14 and 16 have it for what optimisers count alone.
#[test]
fn counted_in_intermediate_code_by_each_release() {
    for (release, correlate) in [("14", &CORRELATE_OLD), ("16", &CORRELATE_OLD), ("19", &CORRELATE)] {
        for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
            let ran = Ran::new(&format!("clang++-{release}"), &[&IR, correlate, &[dwarf]]);
            let ours = ran.ours();
            assert_eq!(ours, ran.correlated(&format!("llvm-profdata-{release}")), "{release} {dwarf}");
            assert!(ours.starts_with("# IR level Instrumentation Flag\n:ir\n"), "{ours}");
        }
    }
}

/// It is refused before any target is asked.
#[test]
fn a_profile_that_no_runtime_writes_is_refused_in_one_line() {
    let ran = Ran::new("clang++-14", &[&FRONT_END, &CORRELATE_OLD]);
    let elf = ran.path("program").display().to_string();
    let output = ran.path("out.profraw").display().to_string();
    let refused = run(["snapshot", "--gdb", "127.0.0.1:1", &elf, "--runtime-identical", "-o", &output]);
    assert_refused(
        &refused,
        "as its runtime does: for debug-info correlation",
        "leave out --runtime-identical",
    );
}

/// What LLVM 16's runtime writes for coverage, its own tool refuses; LLVM 14's writes an empty file.
#[test]
fn coverage_of_releases_that_do_not_read_it() {
    let ran = Ran::new("clang++-16", &[&FRONT_END, &CORRELATE_OLD]);
    let plain = Ran::new("clang++-16", &[&FRONT_END]);
    assert_eq!(ran.ours(), plain.theirs("llvm-profdata-16", &[]));
    for clang in ["clang++-14", "clang++-16"] {
        let ran = Ran::new(clang, &[&FRONT_END, &CORRELATE_OLD]);
        let located = ran.located().unwrap();
        let zeros: Vec<Vec<u8>> = vec![vec![0; located.image.counters_len_bytes()]];
        let identical =
            profraw::encode(&located.image, &zeros, Style::RuntimeIdentical { slide: Slide::ZERO });
        assert!(matches!(identical, Err(ProfrawError::NoneByRuntime { .. })), "{identical:?}");
        // A profile of a snapshot says by itself what its counters count.
        let whole = profraw::encode(&located.image, &zeros, Style::Normalised).unwrap();
        fs::write(ran.path("program.profraw"), whole).unwrap();
        let tool = clang.replace("clang++", "llvm-profdata");
        let theirs = ran.theirs(&tool, &[]);
        assert!(theirs.contains("_Z5neveri\n") && theirs.contains("main.cpp:_ZL5locali\n"), "{theirs}");
    }
}

/// What rustc hands to LLVM does the same.
#[test]
fn functions_of_a_program_in_rust() {
    const PROGRAM: &str = "
fn larger<T: PartialOrd + Copy>(a: T, b: T) -> T { if a > b { a } else { b } }
fn main() { let sum: u32 = (0..7).map(|x| larger(x, 3)).sum(); if larger(1.0, 2.0) > 2.0 { println!(\"{sum}\"); } }
";
    let lcov = |more: &[&str]| {
        let ran = Ran { dir: tempdir().unwrap() };
        let path = |name: &str| ran.path(name).display().to_string();
        let (source, exe) = (path("program.rs"), path("program"));
        fs::write(&source, PROGRAM).unwrap();
        testbed::run("rustc", ["-Cinstrument-coverage", &source, "-o", &exe].iter().chain(more)).unwrap();
        let status = Command::new(&exe).env("LLVM_PROFILE_FILE", path("program.profraw")).status().unwrap();
        assert!(status.success());
        (ran.lcov(), ran)
    };
    let (ours, ran) = lcov(&["-g", "-Cllvm-args=-profile-correlate=debug-info"]);
    assert_eq!(ran.located().unwrap().image.correlation(), Correlation::DebugInfo);
    assert_eq!(ran.ours(), ran.correlated("llvm-profdata-19"));
    assert_eq!(ours, lcov(&[]).0);
}

/// LLVM's own tools show no coverage of such a program ("no coverage data found"), and refuse the profile of one that has
/// the name of a function that no unit uses ("debug info/binary for correlation is not necessary").
#[test]
fn coverage_is_that_of_the_same_program_with_its_records() {
    let kinds: [&[&str]; 3] =
        [&[], &["-DUNUSED"], &["-DUNUSED", "-ffunction-sections", "-fuse-ld=lld-19", "-Wl,--gc-sections"]];
    for more in kinds {
        let plain = Ran::new("clang++-19", &[&FRONT_END, more]);
        let ran = Ran::new("clang++-19", &[&FRONT_END, &CORRELATE, more]);
        assert_eq!(ran.lcov(), plain.lcov(), "{more:?}");
        assert_eq!(ran.lcov().contains("FNDA:0,_Z6unusedi\n"), more.contains(&"-DUNUSED"));
        assert_eq!(ran.ours(), plain.theirs("llvm-profdata-19", &[]), "{more:?}");
    }
}

#[test]
fn what_debug_information_does_not_have_is_said() {
    let bitmaps = Ran::new("clang++-19", &[&FRONT_END, &CORRELATE, &["-fcoverage-mcdc"]]);
    assert_eq!(bitmaps.located().unwrap().cautions, [Caution::UnknownBitmaps]);
    assert_eq!(bitmaps.ours(), bitmaps.correlated("llvm-profdata-19"));

    let correlated = [&FRONT_END[..], &CORRELATE].concat();
    let half = Ran::of_units("clang++-19", &correlated, &[&FRONT_END[..], &CORRELATE[1..]].concat());
    assert_eq!(half.located().unwrap().cautions, [Caution::UnknownCounters]);
    assert_eq!(half.ours(), half.correlated("llvm-profdata-19"));
    let split = Ran::of_units("clang++-19", &correlated, &[&correlated[..], &["-gsplit-dwarf"]].concat());
    assert_refused(&split.report(&[]), "its debug information is split off, to other.dwo", "-gsplit-dwarf");
    let none = Ran::new("clang++-19", &[&FRONT_END, &CORRELATE[1..]]);
    assert_refused(&none.report(&[]), "no debug information that tells", "compile with -g");
}
