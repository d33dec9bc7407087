//! Programs to profile, built by the compilers whose runtimes are the oracles.

use std::fs;
use std::path::{Path, PathBuf};

use covtap_testbed as testbed;

/// Stops itself where no counter changes any more.
const HOSTED_C: &str = r#"
#include <signal.h>
static int twice(int x) { return x > 2 && x < 100 ? x * 2 : x; }
int never(int x) { return x; }
int main(int argc, char **argv) {
  int sum = 0;
  for (int i = 0; i < 5; i++) sum += twice(i + argc);
  raise(SIGSTOP);
  return sum == 0;
}
"#;

const HOSTED_RUST: &str = r#"
fn classify(n: u32) -> &'static str { if n % 2 == 0 { "even" } else { "odd" } }
#[inline(never)] fn never() -> u32 { 7 }
extern "C" { fn raise(signal: i32) -> i32; }
fn main() {
    let odd = (0..9).filter(|n| classify(*n) == "odd").count();
    if std::env::args().count() > 5 { println!("{}", never()); }
    let status = if odd == 4 { 0 } else { 1 };
    unsafe { raise(19); }
    std::process::exit(status);
}
"#;

/// A program of several functions with branches and, where it is asked for, MC/DC decisions.
const FREESTANDING_C: &str = r#"
volatile int sink;
static int clamp(int x) { return x < 0 ? 0 : x > 9 ? 9 : x; }
int both(int a, int b) { if (a && b) return 1; return 0; }
int never(int x) { while (x--) sink++; return x; }
void _start(void) { for (int i = -2; i < 12; i++) sink += clamp(i) + both(i, i & 1); }
"#;

/// The counters of a hosted program: `-fprofile-instr-generate -fcoverage-mapping`.
pub(crate) const COVERAGE: [&str; 2] = ["-fprofile-instr-generate", "-fcoverage-mapping"];

pub(crate) fn hosted_c(compiler: &str, dir: &Path, args: &[&str]) -> PathBuf {
    let (source, exe) = (dir.join("program.c"), dir.join("program"));
    fs::write(&source, HOSTED_C).unwrap();
    let paths = [source.to_str().unwrap(), "-o", exe.to_str().unwrap()];
    testbed::run(compiler, ["-O1"].iter().chain(args).chain(&paths)).unwrap();
    exe
}

pub(crate) fn hosted_rust(dir: &Path) -> PathBuf {
    let (source, exe) = (dir.join("program.rs"), dir.join("program"));
    fs::write(&source, HOSTED_RUST).unwrap();
    let (source, out) = (source.to_str().unwrap(), exe.to_str().unwrap());
    testbed::run("rustc", ["-Cinstrument-coverage", "-Cstrip=debuginfo", source, "-o", out]).unwrap();
    exe
}

/// Links the freestanding program for a target with a linker script, and without a runtime.
pub(crate) fn freestanding(dir: &Path, compile: &[&str], link: &[&str], script: &str) -> PathBuf {
    let path = |name: &str| dir.join(name).display().to_string();
    let (source, object, ld) = (path("program.c"), path("program.o"), path("program.ld"));
    fs::write(&source, FREESTANDING_C).unwrap();
    fs::write(&ld, script).unwrap();
    let base = ["-O1", "-ffreestanding", "-fno-pic", "-c"];
    let paths = [source.as_str(), "-o", object.as_str()];
    testbed::run("clang-19", base.iter().chain(&COVERAGE).chain(compile).chain(&paths)).unwrap();
    let exe = dir.join("program.elf");
    let paths = ["-T", ld.as_str(), object.as_str(), "-o", exe.to_str().unwrap()];
    testbed::run("ld.lld-19", link.iter().chain(&paths)).unwrap();
    exe
}
