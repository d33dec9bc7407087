//! `covtap inspect` of what GCC counts, against the compilers' own tools; and its linker script, which keeps gcov's
//! structures out of the target with both linkers.

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

use common::{assert_done, covtap, gcov_guest, run, stderr};
use covtap_testbed::{self as testbed, workspace_root};
use serde_json::Value;

fn report(elf: &Path) -> Value {
    let output = run(["inspect".as_ref(), "--json".as_ref(), elf.as_os_str()]);
    assert_done(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code")).collect()
}

/// The cost of a part: RAM, image, ELF only.
fn cost(report: &Value, part: &str) -> [u64; 3] {
    let sections = report["sections"].as_array().expect("sections");
    let section = sections.iter().find(|section| section["name"] == part).expect("the part");
    ["ram_bytes", "image_bytes", "file_only_bytes"].map(|key| section[key].as_u64().expect("a number"))
}

/// The lengths of the symbols whose names begin like that.
fn symbol_lens(elf: &Path, prefix: &str) -> Vec<u64> {
    let text = testbed::run("llvm-nm-19", ["-S".as_ref(), elf.as_os_str()]).expect("symbols");
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let named = words.filter(|words| words.len() == 4 && words[3].starts_with(prefix));
    named.map(|words| u64::from_str_radix(words[1], 16).expect("hex")).collect()
}

/// The length of a section.
fn section_len(elf: &Path, name: &str) -> u64 {
    let text = testbed::run("llvm-readelf-19", ["-S".as_ref(), "-W".as_ref(), elf.as_os_str()]);
    let text = text.expect("llvm-readelf reads the ELF");
    let line = text
        .lines()
        .filter_map(|line| line.split_once("] "))
        .find(|(_, rest)| rest.split_whitespace().next() == Some(name));
    let words: Vec<&str> = line.expect("the section").1.split_whitespace().collect();
    u64::from_str_radix(words[4], 16).expect("hex")
}

/// The Cortex-M guest, and the script that covtap prints.
struct Guest {
    dir: tempfile::TempDir,
    elf: PathBuf,
}

impl Guest {
    fn build() -> Self {
        let (dir, elf) = gcov_guest::build("covered");
        let printed = run(["inspect", "--linker-script"]);
        assert_done(&printed);
        fs::write(dir.path().join("coverage.x"), printed.stdout).expect("covtap's script");
        Self { dir, elf }
    }

    /// Links its objects by its own script, with these arguments before.
    fn link(&self, linker: &str, before: &[&str]) -> PathBuf {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let elf = path(&format!("{linker}.elf"));
        let image = workspace_root().join("examples/guests/c-an385/an385.x").display().to_string();
        let objects =
            ["board", "command", "valve", "main"].map(|name| path(&format!("guest.elf.d/{name}.o")));
        let fixed = ["--build-id=sha1", "-T", &image, "-o", &elf];
        let args = before.iter().copied().chain(fixed).chain(objects.iter().map(String::as_str));
        testbed::run(linker, args).expect("it links");
        elf.into()
    }
}

#[test]
fn what_gcc_counts_is_that_of_the_symbols() {
    let guest = Guest::build();
    let (elf, report) = (&guest.elf, report(&guest.elf));
    assert_eq!(report["instrumentation"], Value::Null);
    let gcov = &report["gcov"];
    let counters = symbol_lens(elf, "__gcov0.");
    assert_eq!(gcov["versions"], serde_json::json!([arm_gcc_version()]));
    assert_eq!(gcov["functions"], counters.len());
    assert_eq!(gcov["counter_bytes"], counters.iter().sum::<u64>());
    assert_eq!(gcov["counters"][0]["kind"], "arcs");
    assert_eq!(gcov["counters"][0]["counters"], counters.iter().sum::<u64>() / 8);
    let objects = gcov["objects"].as_array().expect("objects");
    let mut names: Vec<&str> =
        objects.iter().map(|object| object["gcda"].as_str().expect("a name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["/covtap/command.gcda", "/covtap/main.gcda", "/covtap/valve.gcda"]);
    let functions = objects.iter().map(|object| object["functions"].as_u64().expect("a number"));
    assert_eq!(functions.sum::<u64>(), counters.len() as u64);
    assert_eq!(gcov["counts_loops_in_memory"], "yes");
    assert_eq!(gcov["runtime"], Value::Null);
    assert!(codes(&report).is_empty(), "{report}");
}

/// `12.2` of `12.2.1`.
fn arm_gcc_version() -> String {
    let text = testbed::run("arm-none-eabi-gcc", ["-dumpfullversion"]).expect("its version");
    text.trim().split('.').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn the_printed_linker_script_keeps_the_structures_out_of_the_target() {
    let guest = Guest::build();
    let script = guest.dir.path().join("coverage.x").display().to_string();
    for linker in ["arm-none-eabi-ld", "ld.lld-19"] {
        let elf = guest.link(linker, &["--gc-sections", "-T", &script]);
        let with = report(&elf);
        // Beside the structures the section has a pointer to each of the three.
        let structures = section_len(&elf, ".gcov_info") - 3 * 4;
        assert_eq!(cost(&with, "gcov structures"), [0, 0, structures], "{linker}");
        let counters = symbol_lens(&elf, "__gcov0.").iter().sum::<u64>();
        assert_eq!(cost(&with, "gcov counters"), [counters, 0, 0], "{linker}");
        let [ram, image, _] = cost(&with, "gcov file names");
        let names = "/covtap/command.gcda /covtap/valve.gcda /covtap/main.gcda ".len() as u64;
        assert_eq!((ram, image), (0, names), "{linker}");
        assert!(codes(&with).is_empty(), "{linker}: {with}");

        let elf = guest.link(linker, &["--defsym=__gcov_merge_add=1"]);
        let without = report(&elf);
        for same in ["functions", "counters", "counter_bytes"] {
            assert_eq!(without["gcov"][same], with["gcov"][same], "{linker}");
        }
        assert_eq!(cost(&without, "gcov structures"), [structures, structures, 0], "{linker}");
        assert_eq!(codes(&without), ["gcov-structures-loaded"], "{linker}");

        // Nothing of the program refers to the structures.
        let elf = guest.link(linker, &["--gc-sections", "--defsym=__gcov_merge_add=1"]);
        let dropped = report(&elf);
        assert_eq!((codes(&dropped), &dropped["gcov"]), (vec!["gcov"], &Value::Null), "{linker}");
        let hint = dropped["findings"][0]["hint"].as_str().expect("a hint");
        assert!(hint.contains("KEEP(*(.gcov_info))"), "{hint}");
    }
}

const PROGRAM: &str = "volatile int stop;
    int spin(int n) { int s = 0; while (!stop) if (n & s) s += n; return s; }
    int main(void) { return 0; }\n";

/// A program of the host.
fn hosted(dir: &Path, flags: &str) -> PathBuf {
    let path = |name: &str| dir.join(name).display().to_string();
    let (source, elf) = (path("p.c"), path("p"));
    fs::write(&source, PROGRAM).expect("a program");
    let fixed = ["--coverage", "-Wl,--build-id=sha1", &source, "-o", &elf];
    testbed::run("gcc-12", flags.split_whitespace().chain(fixed)).expect("gcc compiles");
    elf.into()
}

#[test]
fn counts_of_loops_in_registers_are_told_with_their_cure() {
    let dir = tempfile::tempdir().expect("a folder");
    for (flags, loops, code) in [
        ("-g -O2 -no-pie", "maybe-not", Some("loops-in-registers")),
        ("-g -O2 -no-pie -fno-tree-loop-im", "yes", None),
        ("-O2 -no-pie", "unknown", Some("loops-unknown")),
    ] {
        let elf = hosted(dir.path(), flags);
        let report = report(&elf);
        assert_eq!(report["gcov"]["counts_loops_in_memory"], loops, "{flags}");
        assert_eq!(codes(&report), code.as_slice(), "{flags}");
        let finding = &report["findings"][0];
        if let Some(code) = code {
            let hint = finding["hint"].as_str().expect("a hint");
            assert!(hint.contains("-fno-tree-loop-im"), "{code}: {hint}");
        }
        // Whoever attaches is told the same, before the target is looked for.
        let snapshot =
            covtap(["snapshot".as_ref(), "--qemu".as_ref(), "/nonexistent".as_ref(), elf.as_os_str()])
                .current_dir(dir.path())
                .output()
                .expect("covtap starts");
        let said = stderr(&snapshot);
        assert_eq!(snapshot.status.code(), Some(2), "{said}");
        assert_eq!(said.contains("counts of loops may be in registers"), code.is_some(), "{flags}: {said}");
        assert_eq!(said.contains("1 of 1 compile unit"), loops == "maybe-not", "{flags}: {said}");
    }
}

#[test]
fn gcovs_own_functions_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let elf = hosted(dir.path(), "-O0 -g -no-pie");
    let report = report(&elf);
    let code: u64 = report["gcov"]["runtime"]["code_bytes"].as_u64().expect("a number");
    let init: u64 = symbol_lens(&elf, "__gcov_init").iter().sum();
    assert!(init > 0 && code > init && code < section_len(&elf, ".text"), "{code} {init}");
    assert!(codes(&report).is_empty(), "what gcov's functions read stays: {report}");
}

/// C by GCC, and other code by LLVM.
#[test]
fn an_image_may_have_both() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("gcc.c"), "int g(int x) { return x > 2 ? x : 1; }\n").expect("a program");
    fs::write(path("llvm.c"), "int g(int); int _start(void) { return g(3); }\n").expect("a program");
    let (gcc, llvm, elf) = (path("gcc.o"), path("llvm.o"), path("both.elf"));
    let flags = "-O1 -g -ffreestanding -fno-tree-loop-im --coverage -fprofile-info-section -c";
    testbed::run("gcc-12", flags.split(' ').chain([path("gcc.c").as_str(), "-o", &gcc])).expect("gcc");
    let flags = "-O1 -ffreestanding -fprofile-instr-generate -fcoverage-mapping -c";
    testbed::run("clang-19", flags.split(' ').chain([path("llvm.c").as_str(), "-o", &llvm])).expect("clang");
    let link = "--defsym=__gcov_merge_add=1 --defsym=__llvm_profile_runtime=0 --build-id=sha1";
    testbed::run("ld.lld-19", link.split(' ').chain([gcc.as_str(), &llvm, "-o", &elf])).expect("lld");
    let report = report(Path::new(&elf));
    assert_eq!(report["instrumentation"]["functions"], 1);
    assert_eq!(report["gcov"]["functions"], 1);
    assert_eq!(codes(&report), ["counters-in-image", "metadata-loaded", "gcov-structures-loaded"]);
    let text = String::from_utf8(run(["inspect", &elf]).stdout).expect("text");
    assert!(
        text.contains("\ninstrumented  by LLVM, ") && text.contains("\ninstrumented  for gcov, "),
        "{text}"
    );
}
