//! Programs to profile, built by the compilers whose runtimes are the oracles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap_testbed as testbed;

/// Stops itself where no counter changes any more.
const HOSTED_C: &str = r#"
#include <signal.h>
#include <string.h>
static int twice(int x) { return x > 2 && x < 100 ? x * 2 : x; }
int never(int x) { return x; }
#ifdef UNUSED
static int unused(int x) { return x; }
#endif
/* Call targets and sizes, for the builds that profile values. */
int (*volatile call)(int) = twice;
char from[64], to[64];
volatile unsigned long len = 40;
int main(int argc, char **argv) {
  int sum = 0;
  for (int i = 0; i < 5; i++) sum += call(i + argc);
  memcpy(to, from, len);
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

/// A 32-bit program without a C library, so that none need be installed: it stops itself, then lets the runtime
/// fill a buffer with the profile, and writes that to its standard output.
const FREESTANDING_I386: &str = r#"
#define RAW __attribute__((no_profile_instrument_function))
typedef unsigned long size_t;
unsigned long long __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char *);
/* Defined here, so that the part of the runtime that writes files at exit is not linked. */
int __llvm_profile_runtime;
static char buffer[65536];
RAW void *memcpy(void *d, const void *s, size_t n) {
  char *a = d; const char *b = s; while (n--) *a++ = *b++; return d; }
RAW void *memset(void *d, int c, size_t n) { char *a = d; while (n--) *a++ = c; return d; }
RAW int memcmp(const void *x, const void *y, size_t n) {
  const char *a = x, *b = y; for (; n; n--, a++, b++) if (*a != *b) return *a - *b; return 0; }
RAW static int sys(int n, int a, const void *b, int c) {
  int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory"); return r; }
RAW void __stack_chk_fail(void) { for (;;) sys(1, 3, 0, 0); }
/* What a C library does before main: the runtime's stack protector reads %gs:0x14. */
static char tls[64];
static struct { unsigned entry; void *base; unsigned limit, flags; } area = { -1u, tls, 63, 0x41 };
volatile int sink;
int both(int a, int b) { if (a && b) return 1; return 0; }
int never(int x) { while (x--) sink++; return x; }
void work(void) { for (int i = 0; i < 7; i++) sink += both(i, i & 1); }
RAW void _start(void) {
  sys(243 /* set_thread_area */, (int)&area, 0, 0);
  __asm__ volatile("mov %0, %%gs" :: "r"(area.entry * 8 + 3));
  work();
  sys(37 /* kill */, sys(20 /* getpid */, 0, 0, 0), (void *)19 /* SIGSTOP */, 0);
  int len = __llvm_profile_get_size_for_buffer();
  __llvm_profile_write_buffer(buffer);
  sys(4 /* write */, 1, buffer, len);
  sys(1 /* exit */, 0, 0, 0);
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
    let mut command = Command::new(testbed::tool(compiler).unwrap());
    // Some compilers put the notes of `--coverage` where they are called.
    command.current_dir(dir).arg("-O1").args(args).arg(&source).arg("-o").arg(&exe);
    assert!(command.status().unwrap().success(), "{command:?}");
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

/// Links the 32-bit program with the i386 runtime of clang `release`.
pub(crate) fn i386_with_runtime(release: &str, dir: &Path, args: &[&str]) -> PathBuf {
    let path = |name: &str| dir.join(name).display().to_string();
    let (source, object, exe) = (path("program.c"), path("program.o"), path("program"));
    fs::write(&source, FREESTANDING_I386).unwrap();
    let clang = format!("clang-{release}");
    let base = ["-m32", "-O1", "-ffreestanding", "-fno-pic", "-c", &source, "-o", &object];
    testbed::run(&clang, base.iter().chain(&COVERAGE).chain(args)).unwrap();
    let resources = testbed::run(&clang, ["-print-resource-dir"]).unwrap();
    let runtime = format!("{}/lib/linux/libclang_rt.profile-i386.a", resources.trim());
    let link = ["-m", "elf_i386", "--build-id=sha1", &object, &runtime, "-o", &exe];
    testbed::run("ld.lld-19", link).unwrap();
    exe.into()
}
