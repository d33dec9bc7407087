//! Profiles written on the host against those of compiler-rt itself, and against `llvm-profdata`.
//!
//! A hosted program stops itself where no counter changes any more; its counters are read from its memory; then
//! it runs on to its end, where the runtime in it writes its own profile. The two files must be the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use covtap::image::{Image, ImageAddr, Slide};
use covtap::locate::llvm::{self, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::profraw::{self, Style};
use covtap_link::TargetAddr;
use covtap_testbed as testbed;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A program that has stopped itself. Dropping it ends it.
struct Stopped {
    child: Child,
    pid: Pid,
    exe: PathBuf,
    profile: PathBuf,
}

impl Stopped {
    fn start(exe: &Path) -> Self {
        let exe = fs::canonicalize(exe).unwrap();
        let profile = exe.with_extension("profraw");
        let child = Command::new(&exe).env("LLVM_PROFILE_FILE", &profile).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let stopped = Self { child, pid, exe, profile };
        let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        stopped
    }

    /// The slide, from the first mapping of the program's file, which is its first segment's.
    fn slide(&self, image: &Image) -> Slide {
        if !image.is_position_independent() {
            return Slide::ZERO;
        }
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        let first = maps.lines().find(|line| line.ends_with(self.exe.to_str().unwrap())).unwrap();
        let start = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
        Slide::between(ImageAddr::new(0), TargetAddr::new(start))
    }

    fn read(&self, located: &Located) -> Vec<Vec<u8>> {
        let memory = File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        let read = |region: &covtap::locate::CounterRegion| {
            let mut bytes = vec![0; usize::try_from(region.range.len_bytes()).unwrap()];
            memory.read_exact_at(&mut bytes, region.range.start().get()).unwrap();
            bytes
        };
        located.regions.iter().map(read).collect()
    }

    /// Lets the program run to its end and gives the profile that its runtime wrote.
    fn finish(mut self) -> (PathBuf, Vec<u8>) {
        kill(self.pid, Signal::SIGCONT).unwrap();
        assert!(self.child.wait().unwrap().success());
        (self.profile.clone(), fs::read(&self.profile).unwrap())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const C_PROGRAM: &str = r#"
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

const RUST_PROGRAM: &str = r#"
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

/// Compares all that can be compared for one hosted program.
fn check_hosted(exe: &Path, profdata: &str, version: RawVersion) {
    let program = Stopped::start(exe);
    let image = Image::parse(&exe.display().to_string(), fs::read(exe).unwrap()).unwrap();
    let slide = program.slide(&image);
    let located = llvm::locate(&image, slide).unwrap();
    assert_eq!(located.image.version(), version);
    let regions = program.read(&located);
    let (their_path, theirs) = program.finish();

    let identical = profraw::encode(&located.image, &regions, Style::RuntimeIdentical { slide }).unwrap();
    let ours_path = exe.with_extension("identical.profraw");
    fs::write(&ours_path, &identical).unwrap();
    testbed::run("cmp", [&ours_path, &their_path]).unwrap();
    assert!(identical == theirs);

    let ours_path = exe.with_extension("normalised.profraw");
    fs::write(&ours_path, profraw::encode(&located.image, &regions, Style::Normalised).unwrap()).unwrap();
    let (theirs, ours) = (show(profdata, &their_path), show(profdata, &ours_path));
    assert!(theirs.contains("Total functions"), "{theirs}");
    assert_eq!(ours, theirs);

    let stats = LlvmProfile::new(&located.image, &regions).unwrap().stats();
    assert!(stats.functions_entered > 0 && stats.functions_entered < stats.functions, "{stats:?}");
}

fn show(profdata: &str, profile: &Path) -> String {
    testbed::run(
        profdata,
        ["show".as_ref(), "--all-functions".as_ref(), "--counts".as_ref(), profile.as_os_str()],
    )
    .unwrap()
}

fn build_c(compiler: &str, dir: &Path, args: &[&str]) -> PathBuf {
    let (source, exe) = (dir.join("program.c"), dir.join("program"));
    fs::write(&source, C_PROGRAM).unwrap();
    let paths = [source.to_str().unwrap(), "-o", exe.to_str().unwrap()];
    let base = ["-O1", "-fprofile-instr-generate", "-fcoverage-mapping"];
    testbed::run(compiler, base.iter().chain(args).chain(&paths)).unwrap();
    exe
}

#[test]
fn clang_14_position_independent() {
    let dir = tempfile::tempdir().unwrap();
    check_hosted(&build_c("clang-14", dir.path(), &["-fPIE", "-pie"]), "llvm-profdata-14", RawVersion::V8);
}

#[test]
fn clang_14_fixed() {
    let dir = tempfile::tempdir().unwrap();
    check_hosted(&build_c("clang-14", dir.path(), &["-no-pie"]), "llvm-profdata-14", RawVersion::V8);
}

#[test]
fn clang_19_position_independent() {
    let dir = tempfile::tempdir().unwrap();
    check_hosted(&build_c("clang-19", dir.path(), &["-fPIE", "-pie"]), "llvm-profdata-19", RawVersion::V10);
}

#[test]
fn clang_19_fixed() {
    let dir = tempfile::tempdir().unwrap();
    check_hosted(&build_c("clang-19", dir.path(), &["-no-pie"]), "llvm-profdata-19", RawVersion::V10);
}

#[test]
fn rustc_position_independent() {
    let dir = tempfile::tempdir().unwrap();
    let (source, exe) = (dir.path().join("program.rs"), dir.path().join("program"));
    fs::write(&source, RUST_PROGRAM).unwrap();
    let (source, out) = (source.to_str().unwrap(), exe.to_str().unwrap());
    testbed::run("rustc", ["-Cinstrument-coverage", "-Cstrip=debuginfo", source, "-o", out]).unwrap();
    check_hosted(&exe, "llvm-profdata-19", RawVersion::V10);
}
