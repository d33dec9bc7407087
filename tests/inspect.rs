//! `covtap inspect`: what it prints for every fixture, its figures against those of LLVM's own tools, and the linker
//! script, which links a guest with both linkers.
//!
//! The expected output is in `tests/inspect`. After a change on purpose renew it, and read what changed:
//!
//! ```sh
//! COVTAP_BLESS=1 cargo test --test inspect && git diff tests/inspect
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "inspect/builds.rs"]
mod builds;
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use builds::BUILDS;
use common::{assert_done, assert_refused, covtap, run, stderr};
use covtap_testbed::{self as testbed, fixture, workspace_root};
use serde_json::Value;

const PLAIN: [&str; 3] = ["x86-pvh/plain", "arm-cortexm/plain", "c-an385/plain"];

const COVERED: [&str; 8] = [
    "x86-pvh/covered",
    "arm-cortexm/covered",
    "c-an385/covered",
    "hosted/bytes",
    "hosted/clang-14",
    "hosted/clang-19",
    "hosted/mcdc",
    "hosted/rustc",
];

/// LLVM's tools do not read its mapping.
const DEBUG_INFO: &str = "hosted/debug-info";

/// Those whose JSON is compared as a whole: a 32-bit guest, bitmaps and a runtime, and no instrumentation.
const AS_JSON: [&str; 3] = ["c-an385/covered", "hosted/mcdc", "c-an385/plain"];

/// What `covtap inspect` prints, run where the fixtures are so that no machine's path is in it.
fn inspect(elf: &str, more: &[&str]) -> String {
    let output = covtap(["inspect", &format!("{elf}.elf")])
        .args(more)
        .current_dir(fixture(""))
        .output()
        .expect("covtap starts");
    assert_done(&output);
    assert_eq!(stderr(&output), "");
    String::from_utf8(output.stdout).expect("text")
}

fn inspect_json(elf: &str) -> Value {
    serde_json::from_str(&inspect(elf, &["--json"])).expect("JSON")
}

fn assert_golden(name: &str, found: &str) {
    let path = workspace_root().join("tests/inspect").join(name);
    if std::env::var_os("COVTAP_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(&path, found).expect("the expected output");
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found, expected, "{name}; renew it with COVTAP_BLESS=1 if that is on purpose");
}

#[test]
fn every_fixture_is_described_as_expected() {
    for elf in PLAIN.iter().chain(&COVERED).chain([&DEBUG_INFO]) {
        assert_golden(&format!("{}.txt", elf.replace('/', "-")), &inspect(elf, &[]));
    }
    for elf in AS_JSON {
        assert_golden(&format!("{}.json", elf.replace('/', "-")), &inspect(elf, &["--json"]));
    }
}

/// A section as llvm-readelf lists it.
#[derive(Debug)]
struct Listed {
    is_nobits: bool,
    address: u64,
    len_bytes: u64,
    flags: String,
}

/// The instrumentation's sections by name.
fn listed(elf: &Path) -> BTreeMap<String, Listed> {
    let text = testbed::run("llvm-readelf-19", ["-S".as_ref(), "-W".as_ref(), elf.as_os_str()]);
    let text = text.expect("llvm-readelf reads the ELF");
    let lines = text.lines().filter_map(|line| line.split_once("] "));
    let words = lines.map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let sections = words.filter(|words| words.first().is_some_and(|name| name.starts_with("__llvm_")));
    let number = |hex: &str| u64::from_str_radix(hex, 16).expect("hex");
    sections
        .map(|words| {
            // Flags are left out where there are none.
            let flags = if words.len() == 10 { words[6].to_owned() } else { String::new() };
            let (address, len_bytes) = (number(words[2]), number(words[4]));
            (words[0].to_owned(), Listed { is_nobits: words[1] == "NOBITS", address, len_bytes, flags })
        })
        .collect()
}

#[test]
fn sections_and_their_costs_are_those_of_readelf() {
    let mut compared = 0;
    for elf in PLAIN.iter().chain(&COVERED) {
        let report = inspect_json(elf);
        let listed = listed(&fixture(&format!("{elf}.elf")));
        let sections = report["sections"].as_array().expect("sections");
        assert_eq!(sections.len(), listed.len(), "{elf}: {listed:?}");
        for section in sections {
            let expected = &listed[section["name"].as_str().expect("a name")];
            let is_loaded = expected.flags.contains('A');
            let when = |is: bool| if is { expected.len_bytes } else { 0 };
            let address = is_loaded.then(|| format!("{:#x}", expected.address));
            assert_eq!(section["address"].as_str(), address.as_deref(), "{elf}: {section}");
            assert_eq!(section["len_bytes"], expected.len_bytes, "{elf}: {section}");
            let is_ram = is_loaded && expected.flags.contains('W');
            assert_eq!(section["ram_bytes"], when(is_ram), "{elf}: {section}");
            assert_eq!(section["image_bytes"], when(is_loaded && !expected.is_nobits), "{elf}: {section}");
            assert_eq!(section["file_only_bytes"], when(!is_loaded), "{elf}: {section}");
            compared += 1;
        }
    }
    assert_eq!(compared, COVERED.len() * 5 + 1, "each ELF has 5 sections, and one has bitmaps");
}

#[test]
fn functions_and_mapping_are_those_of_llvms_tools() {
    let dir = tempfile::tempdir().expect("a folder");
    let (text, profile) = (dir.path().join("none.proftext"), dir.path().join("none.profdata"));
    fs::write(&text, "no such function\n0\n1\n0\n").expect("a profile");
    let merge = ["merge".as_ref(), text.as_os_str(), "-o".as_ref(), profile.as_os_str()];
    testbed::run("llvm-profdata-19", merge).expect("llvm-profdata reads it");
    for elf in COVERED {
        let report = inspect_json(elf);
        let path = fixture(&format!("{elf}.elf"));
        let profile_arg =
            ["export".as_ref(), path.as_os_str(), "--instr-profile".as_ref(), profile.as_os_str()];
        let export = testbed::run("llvm-cov-19", profile_arg).expect("llvm-cov reads the mapping");
        let export: Value = serde_json::from_str(&export).expect("JSON");
        let mapped = export["data"][0]["functions"].as_array().expect("functions").len();
        assert_eq!(report["mapping"]["functions"], mapped, "{elf}");
        let counted = report["instrumentation"]["functions"].as_u64().expect("a number");
        let dropped = report["mapping"]["functions_without_counters"].as_u64().expect("a number");
        assert_eq!(counted + dropped, mapped as u64, "{elf}");
        if elf.starts_with("hosted/") {
            let tool = if elf == "hosted/clang-14" { "llvm-profdata-14" } else { "llvm-profdata-19" };
            let show = testbed::run(tool, ["show".as_ref(), path.with_extension("profraw").as_os_str()]);
            let show = show.expect("llvm-profdata reads the profile");
            assert!(show.contains(&format!("Total functions: {counted}\n")), "{elf}: {show}");
        }
    }
}

#[test]
fn the_build_id_is_that_of_readelf() {
    for elf in PLAIN.iter().chain(&COVERED) {
        let path = fixture(&format!("{elf}.elf"));
        let notes = testbed::run("llvm-readelf-19", ["-n".as_ref(), path.as_os_str()]).expect("notes");
        let id = notes.split_once("Build ID: ").map(|(_, rest)| rest.lines().next().expect("an id"));
        assert_eq!(inspect_json(elf)["build_id"]["id"].as_str(), id, "{elf}");
    }
}

#[test]
fn what_is_no_elf_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("notes.elf");
    fs::write(&path, "see below").expect("a file");
    assert_refused(&run(["inspect".as_ref(), path.as_os_str()]), "not an ELF file", "");
    assert_refused(&run(["inspect", "/nonexistent.elf"]), "read /nonexistent.elf: No such file", "");
}

/// The linkers that the script is for, and whether that comes before the image's own.
const LINKERS: [(&str, bool); 2] = [("ld.lld-19", false), ("arm-none-eabi-ld", true)];

/// The C guest's objects, and its linker script with the region RAM called DTCM.
struct Guest {
    dir: tempfile::TempDir,
}

impl Guest {
    fn compile() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let source = workspace_root().join("examples/guests/c-an385");
        testbed::tool("clang-19").expect("clang");
        let mut build = Command::new("sh");
        build.arg(source.join("build.sh")).arg("covered").arg(dir.path().join("guest"));
        assert_built(&build.output().expect("sh starts"));
        let script = fs::read_to_string(source.join("an385.x")).expect("the guest's script");
        fs::write(dir.path().join("image.x"), script.replace("RAM", "DTCM")).expect("the image's script");
        let printed = run(["inspect", "--linker-script", "--ram", "DTCM"]);
        assert_done(&printed);
        fs::write(dir.path().join("coverage.x"), printed.stdout).expect("covtap's script");
        Self { dir }
    }

    fn link(&self, linker: &str, scripts: &[&str], flags: &[&str]) -> PathBuf {
        let elf = self.dir.path().join(format!("{linker}-{}.elf", scripts.len()));
        let mut command = Command::new(testbed::tool(linker).expect("a linker"));
        command.current_dir(self.dir.path()).args(["--gc-sections", "--build-id=sha1", "-o"]).arg(&elf);
        command.args(flags).args(scripts.iter().flat_map(|script| ["-T", script]));
        command.args(["board", "command", "valve", "main"].map(|name| format!("guest.d/{name}.o")));
        assert_built(&command.output().expect("the linker starts"));
        elf
    }

    fn report(elf: &Path) -> Value {
        let output = run(["inspect".as_ref(), "--json".as_ref(), elf.as_os_str()]);
        assert_done(&output);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn assert_built(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code")).collect()
}

/// No linker has to guess what the region is, then.
#[test]
fn nothing_is_warned_of_where_memory_is_declared_before_the_printed_linker_script() {
    let guest = Guest::compile();
    let path = |name: &str| guest.dir.path().join(name);
    let image = fs::read_to_string(path("image.x")).expect("the image's script");
    let (memory, rest) = image.split_at(image.find("SECTIONS").expect("where sections go"));
    fs::write(path("memory.x"), memory).expect("the script of the memory");
    fs::write(path("sections.x"), rest).expect("the script of sections");
    for (linker, _) in LINKERS {
        let elf = guest.link(linker, &["memory.x", "coverage.x", "sections.x"], &["--fatal-warnings"]);
        assert_eq!(Guest::report(&elf)["cost"]["image_bytes"], 0, "{linker}");
    }
}

#[test]
fn the_printed_linker_script_keeps_all_but_counters_out_of_the_target() {
    let guest = Guest::compile();
    for (linker, covtap_first) in LINKERS {
        let scripts = if covtap_first { ["coverage.x", "image.x"] } else { ["image.x", "coverage.x"] };
        let elf = guest.link(linker, &scripts, &[]);
        let sections = listed(&elf);
        assert_eq!(sections.len(), 5, "{linker}: {sections:?}");
        for (name, section) in &sections {
            let is_counters = name == "__llvm_prf_cnts";
            assert_eq!(section.is_nobits, is_counters, "{linker}: {name} {section:?}");
            assert_eq!(section.flags.contains('A'), is_counters, "{linker}: {name} {section:?}");
        }
        let counters = &sections["__llvm_prf_cnts"];
        let symbols = testbed::run("llvm-nm-19", [elf.as_os_str()]).expect("symbols");
        let symbol = |name: &str| {
            let line = symbols.lines().find(|line| line.ends_with(name)).expect("the symbol");
            u64::from_str_radix(line.split(' ').next().expect("an address"), 16).expect("hex")
        };
        let zeroed = symbol(" __bss_start")..=symbol(" __bss_end");
        assert!(zeroed.contains(&counters.address), "{linker}: start-up code zeroes the counters");
        assert!(zeroed.contains(&(counters.address + counters.len_bytes)), "{linker}");
        let report = Guest::report(&elf);
        assert_eq!(report["cost"]["ram_bytes"], counters.len_bytes, "{linker}");
        assert_eq!(report["cost"]["image_bytes"], 0, "{linker}");
        assert!(codes(&report).is_empty(), "{linker}: {report}");
    }
}

#[test]
fn without_the_script_the_savings_are_named() {
    let guest = Guest::compile();
    let elf = guest.link("ld.lld-19", &["image.x"], &[]);
    let (report, sections) = (Guest::report(&elf), listed(&elf));
    assert_eq!(codes(&report), ["counters-in-image", "metadata-loaded"]);
    let loaded = sections["__llvm_prf_data"].len_bytes + sections["__llvm_prf_names"].len_bytes;
    let messages = report["findings"].as_array().expect("findings").iter();
    let messages: Vec<&str> = messages.map(|finding| finding["message"].as_str().expect("text")).collect();
    assert!(messages[0].starts_with(&format!("{} bytes of zeros", sections["__llvm_prf_cnts"].len_bytes)));
    assert!(messages[1].starts_with(&format!("{loaded} bytes of the target's memory")), "{messages:?}");
}

/// What is wrong with the C guest after llvm-objcopy took something away.
const TAKEN_AWAY: [(&[&str], &[&str]); 7] = [
    (&["-R__llvm_covmap", "-R__llvm_covfun"], &["no-mapping"]),
    (&["-R.note.gnu.build-id"], &["no-build-id"]),
    (&["-R__llvm_prf_names"], &["no-names"]),
    (&["-R__llvm_prf_data"], &["no-data"]),
    (&["-R__llvm_prf_cnts"], &["no-counters"]),
    (&["-R__llvm_prf_cnts", "-R__llvm_prf_data", "-R__llvm_prf_names"], &["mapping-only"]),
    (&["--strip-sections"], &["stripped"]),
];

#[test]
fn what_was_taken_away_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (fixture("c-an385/covered.elf"), dir.path().join("cut.elf"));
    for (args, expected) in TAKEN_AWAY {
        let files = [whole.as_os_str(), cut.as_os_str()];
        testbed::run("llvm-objcopy-19", args.iter().map(AsRef::as_ref).chain(files)).expect("a copy");
        assert_eq!(codes(&Guest::report(&cut)), expected, "{args:?}");
    }
}

const PROGRAM: &str =
    "int f(int (*g)(int), int x) { return x > 2 ? g(x) : x; } int _start(void) { return f(0, 3); }";

const COVERAGE: &str = "-fprofile-instr-generate -fcoverage-mapping";

#[test]
fn variants_are_told_apart_and_their_faults_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (source, object, elf) = (path("p.c"), path("p.o"), path("p.elf"));
    fs::write(&source, PROGRAM).expect("a program");
    for build in BUILDS {
        let compile = format!(
            "--target=x86_64-none-elf -O1 -ffreestanding -fPIE {COVERAGE} {} -c {source} -o {object}",
            build.flags
        );
        testbed::run("clang-19", compile.split_whitespace()).expect("clang compiles");
        let link = format!("--unresolved-symbols=ignore-all {} {object} -o {elf}", build.link);
        testbed::run("ld.lld-19", link.split_whitespace()).expect("lld links");
        let report = Guest::report(Path::new(&elf));
        assert_eq!(codes(&report), build.codes, "{}", build.flags);
        assert_eq!(report["instrumentation"]["level"].as_str(), build.level, "{}", build.flags);
        assert_eq!(codes(&Guest::report(Path::new(&object))), ["relocatable"], "{}", build.flags);
    }
}

/// The name of gcov's files in a program's strings makes it no program that is instrumented for gcov.
#[test]
fn covtap_itself_is_not_instrumented_for_gcov() {
    let report = Guest::report(Path::new(env!("CARGO_BIN_EXE_covtap")));
    assert!(!codes(&report).contains(&"gcov"), "{report}");
}

/// A program of its own with linker scripts, in a folder that goes away.
struct Program {
    dir: tempfile::TempDir,
}

impl Program {
    fn compile(target: &str, source: &str, flags: &str) -> Self {
        let program = Self { dir: tempfile::tempdir().expect("a folder") };
        fs::write(program.path("p.c"), source).expect("a program");
        let (source, object) = (program.path("p.c"), program.path("p.o"));
        let compile =
            format!("--target={target} -O1 -ffreestanding {COVERAGE} {flags} -c {source} -o {object}");
        testbed::run("clang-19", compile.split_whitespace()).expect("clang compiles");
        program
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn link(&self, script: &str, more: &[&str]) -> PathBuf {
        let (image, object, elf) = (self.path("image.x"), self.path("p.o"), self.path("p.elf"));
        fs::write(&image, script).expect("a script");
        let args = ["-T", &image, &object, "-o", &elf];
        testbed::run("ld.lld-19", args.iter().chain(more)).expect("lld links");
        elf.into()
    }
}

/// What covtap's script does to byte coverage is refused, because the profile would show everything as covered.
#[test]
fn byte_counters_without_bytes_are_refused() {
    let source = format!("int zeroed; {PROGRAM}");
    let program = Program::compile("x86_64-none-elf", &source, "-mllvm -enable-single-byte-coverage");
    let image = "MEMORY { RAM : ORIGIN = 0x10000, LENGTH = 64K } \
                 SECTIONS { .text : { *(.text*) } > RAM .bss : { *(.bss*) } > RAM }";
    let coverage = workspace_root().join("examples/guests/coverage.x").display().to_string();
    let elf = program.link(image, &["-T", &coverage]);
    assert_eq!(codes(&Guest::report(&elf)), ["byte-counters-not-in-file"]);
    let output = common::run(["snapshot", "--qemu", "/nonexistent", &elf.display().to_string()]);
    common::assert_refused(
        &output,
        "everything would look covered",
        "place __llvm_prf_cnts where .data goes",
    );
}

#[test]
fn counters_inside_another_section_are_found_by_their_symbols() {
    let program = Program::compile("x86_64-none-elf", &format!("int zeroed[4]; {PROGRAM}"), "");
    let elf = program.link(
        "SECTIONS { .text 0x10000 : { *(.text*) } \
         .bss (NOLOAD) : { *(.bss*) . = ALIGN(8); __start___llvm_prf_cnts = .; *(__llvm_prf_cnts) \
         __stop___llvm_prf_cnts = .; } \
         __llvm_prf_data 0 (INFO) : { *(__llvm_prf_data) } __llvm_prf_names 0 (INFO) : { *(__llvm_prf_names) } }",
        &["--build-id=sha1"],
    );
    let report = Guest::report(&elf);
    let counters = &report["sections"][0];
    assert_eq!((&counters["name"], &counters["within"]), (&"__llvm_prf_cnts".into(), &".bss".into()));
    assert_eq!(counters["address"], report["instrumentation"]["regions"][0]["address"]);
    assert_eq!((&report["cost"]["ram_bytes"], &report["cost"]["image_bytes"]), (&24.into(), &0.into()));
    assert!(codes(&report).is_empty(), "{report}");
}

#[test]
fn a_big_endian_mapping_is_read() {
    let program = Program::compile("powerpc-none-elf", PROGRAM, "");
    let report = Guest::report(&program.link("SECTIONS { .text 0x10000 : { *(.text*) } }", &[]));
    assert_eq!((&report["architecture"], &report["byte_order"]), (&"powerpc".into(), &"big".into()));
    assert_eq!(report["mapping"]["version_words"], serde_json::json!([6]));
    assert_eq!(
        (&report["mapping"]["functions"], &report["instrumentation"]["functions"]),
        (&2.into(), &2.into())
    );
    assert_eq!(report["mapping"]["functions_without_counters"], 0);
}

#[test]
fn a_reader_may_stop_before_the_end() {
    for args in [&["inspect", "--linker-script"][..], &["inspect", "c-an385/covered.elf"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = covtap(args);
        let output = command.current_dir(fixture("")).stdout(writer).output().expect("covtap starts");
        assert_done(&output);
        assert_eq!(stderr(&output), "");
    }
}
