//! Several programs in one target: a bootloader that counts, starts an application that counts, and both are read in
//! one session. Each compiler's own tools are the oracle for what both counted.

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

use common::{PATIENCE, assert_done, assert_refused, gcov_tool, run};
use covtap_testbed::{self as testbed, Guest, Machine, workspace_root};
use tempfile::TempDir;

/// Where a program's code and counters go.
const SCRIPT: &str = "
MEMORY { FLASH : ORIGIN = 0x0000 + @AT@, LENGTH = 64K RAM : ORIGIN = 0x20000000 + @AT@, LENGTH = 64K }
SECTIONS {
  .text : { KEEP(*(.first)) *(.text .text.*) *(.rodata .rodata.*) } > FLASH
  .note.gnu.build-id : ALIGN(4) { KEEP(*(.note.gnu.build-id)) } > FLASH
  .bss (NOLOAD) : ALIGN(8) { *(.bss .bss.*) } > RAM
  /DISCARD/ : { *(.ARM.exidx* .ARM.extab*) }
}";

const BOOTLOADER: &str = "
static void reset(void);
__attribute__((used, section(\".first\"))) static const void *const vectors[2] = { (void *)0x20200000, reset };
volatile int sink;
__attribute__((noinline)) static int shared(int x) { return x ? 1 : 2; }
__attribute__((noinline)) static void check(int x) { if (x > 1) sink++; }
static void reset(void) {
  for (int i = 0; i < 3; i++) { check(i); sink += shared(i); }
  ((void (*)(void))0x10001)();
}";

/// Says on the UART that nothing will change any more.
const APPLICATION: &str = "
volatile int sink;
__attribute__((noinline)) static int shared(int x) { return x ? 1 : 2; }
__attribute__((noinline)) static void drive(int x) { if (x & 1) sink++; }
__attribute__((section(\".first\"))) void start(void) {
  for (int i = 0; i < 9; i++) { drive(i); sink += shared(0); }
  *(volatile unsigned *)0x40004008 = 1;
  for (const char *c = \"ready\\n\"; *c; c++) {
    while (*(volatile unsigned *)0x40004004 & 1) {}
    *(volatile unsigned *)0x40004000 = *c;
  }
  for (;;) {}
}";

/// A bootloader and an application, as they run.
struct Scene {
    dir: TempDir,
    guest: Guest,
}

/// Who instruments a program.
#[derive(Clone, Copy)]
enum Compiler {
    Clang,
    Gcc,
}

impl Compiler {
    /// The compiler, and what it needs for the target and for coverage.
    fn command(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Clang => (
                "clang-19",
                &["--target=thumbv7m-none-eabi", "-fprofile-instr-generate", "-fcoverage-mapping"],
            ),
            Self::Gcc => (
                "arm-none-eabi-gcc",
                &["-mcpu=cortex-m3", "--coverage", "-fprofile-info-section", "-fno-tree-loop-im"],
            ),
        }
    }

    /// Compiles `NAME.c` of a folder to `NAME.o`.
    fn compile(self, dir: &Path, name: &str) {
        let (source, object) = (dir.join(format!("{name}.c")), format!("{name}.o"));
        let (compiler, flags) = self.command();
        let common = ["-Os", "-ffreestanding", "-fdata-sections"];
        let files = ["-c", source.to_str().expect("a path"), "-o", &object];
        gcov_tool::run_in(dir, compiler, &[flags, &common, &files].concat());
    }
}

impl Scene {
    fn new(bootloader: Compiler) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let boot = link(dir.path(), "boot", BOOTLOADER, "0", bootloader);
        let app = link(dir.path(), "app", APPLICATION, "0x10000", Compiler::Clang);
        let loader = format!("loader,file={}", app.display());
        let guest = Guest::builder(Machine::An385, &boot).args(["-device", &loader]).start();
        let scene = Self { guest: guest.expect("the guest starts"), dir };
        scene.guest.console().wait_for(PATIENCE, |line| line == "ready").expect("the application runs");
        scene
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `covtap snapshot` of the ELFs.
    fn args(&self, elves: &[&str], output: &str) -> Vec<String> {
        let qmp = self.guest.qmp().display().to_string();
        let mut args = ["snapshot", "--qemu", &qmp, "-o", &self.path(output)].map(str::to_owned).to_vec();
        args.extend(elves.iter().map(|elf| self.path(elf)));
        args
    }
}

fn link(dir: &Path, name: &str, source: &str, at: &str, compiler: Compiler) -> PathBuf {
    let path = |extension: &str| dir.join(format!("{name}{extension}")).display().to_string();
    fs::write(path(".c"), source).expect("a program");
    fs::write(path(".x"), SCRIPT.replace("@AT@", at)).expect("a script");
    compiler.compile(dir, name);
    let (o, x, elf) = (path(".o"), path(".x"), path(".elf"));
    let coverage = workspace_root().join("examples/guests/coverage.x").display().to_string();
    let args = ["--build-id=sha1", "--nmagic", "-T", &coverage, "-T", &x, &o, "-o", &elf];
    testbed::run("ld.lld-19", args).expect("it links");
    elf.into()
}

#[test]
fn a_bootloader_and_its_application_in_one_profile() {
    let scene = Scene::new(Compiler::Clang);
    let mut args = scene.args(&["boot.elf", "app.elf"], "both.profraw");
    args.extend(["--lcov".to_owned(), scene.path("ours.info")]);
    let output = run(args);
    assert_done(&output);
    assert!(common::stderr(&output).contains("functions 6/6"), "{}", common::stderr(&output));
    let counts = common::counts(&scene.dir.path().join("both.profraw"));
    assert_eq!(counts["boot.c:check"], [3, 1]);
    assert_eq!(counts["app.c:drive"], [9, 4]);
    assert_eq!((&counts["boot.c:shared"][..], &counts["app.c:shared"][..]), (&[3, 2][..], &[9, 0][..]));

    let (profraw, profdata) = (scene.path("both.profraw"), scene.path("both.profdata"));
    testbed::run("llvm-profdata-19", ["merge", &profraw, "-o", &profdata]).expect("it is read");
    let (boot, app) = (scene.path("boot.elf"), scene.path("app.elf"));
    let export = ["export", "--format=lcov", &boot, "--object", &app, "--instr-profile", &profdata];
    let theirs = testbed::run("llvm-cov-19", export).expect("both are shown");
    assert_eq!(fs::read_to_string(scene.path("ours.info")).expect("a trace"), theirs);
}

/// Each is in the files of its own kind, and both in one report.
#[test]
fn a_bootloader_by_gcc_and_its_application_by_clang() {
    let scene = Scene::new(Compiler::Gcc);
    let mut args = scene.args(&["boot.elf", "app.elf"], "app.profraw");
    let reports =
        ["--lcov", &scene.path("ours.info"), "--gcda-dir", &scene.path("gcda"), "--gcda-strip", "99"];
    args.extend(reports.map(str::to_owned));
    let output = run(args);
    assert_done(&output);
    let said = common::stderr(&output);
    assert!(said.contains("functions 6/6"), "{said}");
    let files = format!("the profiles are {} and 1 .gcda file below ", scene.path("app.profraw"));
    assert!(said.contains(&files), "{said}");

    let counts = common::counts(&scene.dir.path().join("app.profraw"));
    assert_eq!(counts.into_keys().collect::<Vec<_>>(), ["app.c:drive", "app.c:shared", "start"]);
    let boot = gcov_tool::counts(&scene.dir.path().join("gcda"), "arm-none-eabi-gcov", &["boot"]);
    let entered = [("check", 3), ("reset", 1), ("shared", 3)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(boot["boot.c"].0, entered.into());

    let app = scene.path("app.profraw");
    let profdata = scene.path("app.profdata");
    testbed::run("llvm-profdata-19", ["merge", &app, "-o", &profdata]).expect("it is read");
    let export = ["export", "--format=lcov", &scene.path("app.elf"), "--instr-profile", &profdata];
    let app = testbed::run("llvm-cov-19", export).expect("it is shown");
    let both = scene.dir.path().join("ours.info");
    assert!(fs::read_to_string(&both).expect("a trace").contains(&app), "the application's record differs");
    let mut lines = gcov_tool::lines_of_trace(&both);
    assert!(lines.remove("app.c").is_some());
    assert_eq!(lines, gcov_tool::lines(&boot));
}

#[test]
fn a_profile_of_its_own_for_each() {
    let scene = Scene::new(Compiler::Clang);
    let output = run(scene.args(&["app.elf", "boot.elf"], "%m.profraw"));
    assert_done(&output);
    assert!(common::stderr(&output).contains("the profiles are "), "{}", common::stderr(&output));
    let files = fs::read_dir(scene.dir.path()).expect("the folder").map(|entry| entry.expect("entry").path());
    let profiles: Vec<PathBuf> = files.filter(|path| path.extension() == Some("profraw".as_ref())).collect();
    let mut names: Vec<Vec<String>> =
        profiles.iter().map(|path| common::counts(path).into_keys().collect()).collect();
    names.sort_unstable();
    let expected =
        [["app.c:drive", "app.c:shared", "start"], ["boot.c:check", "boot.c:reset", "boot.c:shared"]];
    assert_eq!(names, expected);
}

#[test]
fn programs_that_do_not_go_together_are_refused() {
    let scene = Scene::new(Compiler::Clang);
    let twice = run(scene.args(&["app.elf", "app.elf"], "a.profraw"));
    assert_refused(&twice, "app.elf: both are at 0x20010", "give each ELF once");
    let swapped = run(scene.args(&["boot.elf", "app.elf@0x100"], "a.profraw"));
    assert_refused(&swapped, "app.elf", "ELF@SLIDE");
    let x86 = testbed::fixture("x86-pvh/covered.elf");
    let mut args = scene.args(&["boot.elf"], "a.profraw");
    args.push(x86.display().to_string());
    assert_refused(&run(args), "no tool reads both from one file", "%m");
    assert!(!scene.dir.path().join("a.profraw").exists());
}
