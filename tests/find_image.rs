//! `--find-image`: programs that were loaded where nobody told, found in the memory of a QEMU guest.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{PATIENCE, assert_done, assert_refused, gcov_guest, run, stderr};
use covtap_testbed::{self as testbed, Guest, Machine, Monitor, fixture};
use tempfile::TempDir;

/// Where the section `__llvm_prf_cnts` of the fixture is, and the first of its loaded bytes.
const COUNTERS: u64 = 0x10_6218;
const FIRST: u64 = 0x10_0000;

/// What is in the guest's memory beside the program that it runs.
#[derive(Clone, Copy)]
enum Content<'a> {
    /// The fixture as a loader puts it there, moved by so much, with the counters of a run.
    Loaded { slide: u64, folder: &'a Path },
    /// The fixture's file, byte by byte, from this address on.
    File(u64),
}

impl Content<'_> {
    fn args(self) -> Vec<String> {
        let load = |file: &Path, at: u64| {
            let file = file.display();
            ["-device".to_owned(), format!("loader,file={file},addr={at:#x},force-raw=on")]
        };
        match self {
            Self::Loaded { slide, folder } => {
                let flat = folder.join("covered.bin");
                let (elf, raw) = (elf(), flat.display().to_string());
                testbed::run("llvm-objcopy-19", ["-O", "binary", &elf, &raw]).expect("objcopy works");
                let counters = fixture("x86-pvh/counters.bin");
                [load(&flat, FIRST + slide), load(&counters, COUNTERS + slide)].concat()
            }
            Self::File(at) => load(Path::new(&elf()), at).to_vec(),
        }
    }
}

fn elf() -> String {
    fixture("x86-pvh/covered.elf").display().to_string()
}

/// A guest that runs one of the fixtures, with 64 MiB of memory in which there is something else too.
fn guest(program: &str, contents: &[Content<'_>]) -> Guest {
    let args = contents.iter().flat_map(|content| content.args());
    let program = fixture(&format!("x86-pvh/{program}"));
    Guest::builder(Machine::X86Pvh, program).args(args).start().expect("the guest starts")
}

/// `covtap snapshot --find-image` of an ELF.
fn args(guest: &Guest, elf: &str, output: &Path) -> Vec<String> {
    let (qmp, output) = (guest.qmp().display().to_string(), output.display().to_string());
    ["snapshot", "--qemu", &qmp, "--find-image", elf, "-o", &output].map(str::to_owned).to_vec()
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn a_program_that_was_moved_is_found_and_its_counters_with_it() {
    let dir = TempDir::new().unwrap();
    for slide in [0x200_0000, 0x2f3_4567] {
        let guest = guest("plain.elf", &[Content::Loaded { slide, folder: dir.path() }]);
        let profile = dir.path().join("moved.profraw");
        for method in ["process", "monitor"] {
            let mut args = args(&guest, &elf(), &profile);
            args.extend(["--qemu-method".to_owned(), method.to_owned()]);
            let output = run(args);
            assert_done(&output);
            let told = format!("is loaded at {:#x}, slide {slide:#x}: ", FIRST + 0x14 + slide);
            assert!(stderr(&output).contains(&told), "{}", stderr(&output));
            let counters = fs::read(fixture("x86-pvh/counters.bin")).unwrap();
            assert!(has(&fs::read(&profile).unwrap(), &counters), "the profile has other counters");
            fs::remove_file(&profile).unwrap();
        }
    }
}

#[test]
fn a_running_program_is_found_where_it_runs_and_not_in_a_copy_of_its_file() {
    let dir = TempDir::new().unwrap();
    let guest = guest("covered.elf", &[Content::File(0x200_0000), Content::File(0x300_1234)]);
    guest.console().wait_for(PATIENCE, |line| line == "rest").expect("the guest comes to rest");
    let profile = dir.path().join("running.profraw");
    let output = run(args(&guest, &elf(), &profile));
    assert_done(&output);
    assert!(stderr(&output).contains("is loaded at 0x100014, slide 0x0: "), "{}", stderr(&output));
    let mut monitor = Monitor::connect(guest.control()).unwrap();
    let len = fs::metadata(fixture("x86-pvh/counters.bin")).unwrap().len();
    let counters = monitor.physical_memory(COUNTERS, len).unwrap();
    assert!(has(&fs::read(&profile).unwrap(), &counters), "the profile has other counters");
    assert_eq!(monitor.status().unwrap(), "running");
}

#[test]
fn a_program_that_is_there_twice_is_read_where_the_user_says() {
    let dir = TempDir::new().unwrap();
    let loaded = Content::Loaded { slide: 0x200_0000, folder: dir.path() };
    let guest = guest("covered.elf", &[loaded]);
    let profile = dir.path().join("twice.profraw");
    assert_refused(
        &run(args(&guest, &elf(), &profile)),
        "it is loaded more than once, by slide at 2 places: 0x0, 0x2000000",
        "give one of the slides: ELF@SLIDE with --find-image",
    );
    assert!(!profile.exists());
    assert_done(&run(args(&guest, &format!("{}@0x2000000", elf()), &profile)));
    let counters = fs::read(fixture("x86-pvh/counters.bin")).unwrap();
    assert!(has(&fs::read(&profile).unwrap(), &counters), "the profile has other counters");
}

#[test]
fn a_program_that_is_not_loaded_is_refused() {
    let dir = TempDir::new().unwrap();
    let profile = dir.path().join("none.profraw");
    let guest_without = guest("plain.elf", &[Content::File(0x200_0000)]);
    assert_refused(
        &run(args(&guest_without, &elf(), &profile)),
        "parts or copies of its file are at 1 place: 0x2001014",
        "has it been loaded yet",
    );
    assert!(!profile.exists());
}

/// GCC's counters are read where the program is, and so are notes and files.
#[test]
fn a_program_of_gccs_is_found() {
    let (dir, elf) = gcov_guest::build("covered");
    let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
    common::tallies_at_rest(&guest);
    let elf = elf.display().to_string();
    let files = |folder: &str, more: &[&str]| {
        let path = dir.path().join(folder).display().to_string();
        let qmp = guest.qmp().display().to_string();
        let args = ["snapshot", "--qemu", &qmp, &elf, "--gcda-dir", &path, "--gcda-strip", "1"];
        let output = run(args.iter().chain(more));
        assert_done(&output);
        let names = gcov_guest::UNITS.map(|unit| dir.path().join(folder).join(format!("{unit}.gcda")));
        (stderr(&output), names.map(|name| fs::read(name).unwrap()))
    };
    let (said, found) = files("found", &["--find-image"]);
    assert!(said.contains(", slide 0x0: ") && !said.contains("not checked"), "{said}");
    let (_, told) = files("told", &[]);
    assert_eq!(found, told);
}
