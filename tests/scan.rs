//! `--scan`: gcov's structures that start-up code puts into memory, and that the ELF which covtap is given does not
//! have. The same program's whole ELF is the oracle.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::gcov_guest::{UNITS, build};
use common::{PATIENCE, Way, assert_done, assert_refused, run, stderr, tallies_at_rest};
use covtap::image::Image;
use covtap::profile::gcov::read;
use covtap_testbed::{self as testbed, Guest, Machine, workspace_root};
use tempfile::TempDir;

/// What the file without data is refused with.
const NOT_IN_FILE: (&str, &str) =
    ("it is instrumented for gcov", "record and snapshot find them in memory with --scan");

/// A guest whose structures are loaded, and its ELF.
struct Scene {
    dir: TempDir,
    elf: PathBuf,
}

impl Scene {
    /// Links the guest's objects without the script that keeps the structures out of the target.
    fn new() -> Self {
        let (dir, built) = build("covered");
        let object = |name: &str| format!("{}.d/{name}.o", built.display());
        let objects = UNITS.iter().chain(&["board"]).map(|unit| object(unit));
        let script = workspace_root().join("examples/guests/c-an385/an385.x").display().to_string();
        let elf = dir.path().join("loaded.elf");
        let flags = ["-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft", "-nostdlib", "-T", &script];
        let link = ["-Wl,--build-id=sha1,--nmagic,--defsym=__gcov_merge_add=1", "-o", elf.to_str().unwrap()];
        let args = flags.iter().chain(&link).map(|arg| (*arg).to_owned());
        testbed::run("arm-none-eabi-gcc", args.chain(objects)).unwrap();
        Self { dir, elf }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The ELF with zeros where it had data.
    fn without_data(&self) -> String {
        let mut bytes = fs::read(&self.elf).unwrap();
        let data = data_of(&bytes);
        bytes[data].fill(0);
        let path = self.path("zeroed.elf");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The ELF with program headers and symbols and nothing else.
    fn without_contents(&self) -> String {
        let path = self.path("debug.elf");
        let args = ["--only-keep-debug", self.elf.to_str().unwrap(), &path];
        testbed::run("arm-none-eabi-objcopy", args).unwrap();
        path
    }

    fn whole(&self) -> String {
        self.elf.display().to_string()
    }

    /// `covtap snapshot` into a folder below the scene's.
    fn snapshot(
        &self,
        way: Way,
        guest: &Guest,
        elf: &str,
        folder: &str,
        more: &[&str],
    ) -> std::process::Output {
        let [flag, address] = way.flags(guest);
        let args = ["snapshot", &flag, &address, elf, "--gcda-dir", &self.path(folder)].map(str::to_owned);
        run(args.into_iter().chain(more.iter().map(|arg| (*arg).to_owned())))
    }
}

/// Where the contents of `.data` are in a file.
fn data_of(elf: &[u8]) -> std::ops::Range<usize> {
    let image = Image::parse("guest.elf", elf.to_vec()).unwrap();
    let data = image.section(".data").unwrap();
    let start = usize::try_from(data.file_offset()).unwrap();
    start..start + data.file_bytes().unwrap().len()
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn structures_that_the_file_lacks_are_found_in_memory() {
    let scene = Scene::new();
    let guest = Guest::builder(Machine::An385, &scene.elf).start().expect("the guest starts");
    tallies_at_rest(&guest);
    let (zeroed, bare) = (scene.without_data(), scene.without_contents());
    for way in [Way::Qemu, Way::Gdb] {
        let whole = format!("whole-{way:?}");
        assert_done(&scene.snapshot(way, &guest, &scene.whole(), &whole, &[]));
        let expected = files(Path::new(&scene.path(&whole)));
        assert_eq!(expected.len(), UNITS.len());
        for elf in [&zeroed, &bare] {
            let name = Path::new(elf).file_stem().unwrap().to_str().unwrap();
            let (refused, scanned) = (format!("refused-{name}-{way:?}"), format!("{name}-{way:?}"));
            assert_refused(&scene.snapshot(way, &guest, elf, &refused, &[]), NOT_IN_FILE.0, NOT_IN_FILE.1);
            assert!(!Path::new(&scene.path(&refused)).exists());
            let output = scene.snapshot(way, &guest, elf, &scanned, &["--scan"]);
            assert_done(&output);
            assert!(
                stderr(&output).contains("gcov's counters of 3 object files were found in "),
                "{}",
                stderr(&output)
            );
            assert!(files(Path::new(&scene.path(&scanned))) == expected, "{name} through {way:?}");
        }
    }
}

/// Where nothing is missing nothing is searched for.
#[test]
fn a_whole_file_is_not_searched_for() {
    let scene = Scene::new();
    let guest = Guest::builder(Machine::An385, &scene.elf).start().expect("the guest starts");
    let output = scene.snapshot(Way::Qemu, &guest, &scene.whole(), "whole", &["--scan"]);
    assert_done(&output);
    assert!(!stderr(&output).contains("of memory"), "{}", stderr(&output));
}

#[test]
fn a_session_goes_on_with_what_was_found() {
    let scene = Scene::new();
    let guest = Guest::builder(Machine::An385, &scene.elf).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("the workload starts");
    let (elf, live) = (scene.without_data(), scene.path("live"));
    let [flag, address] = Way::Qemu.flags(&guest);
    let notes = scene.path("guest.elf.d");
    let session = ["record", &flag, &address, &elf, "--scan", "--every", "100ms", "--snapshots", "5"];
    let output = run(session.into_iter().chain(["--gcda-dir", &live, "--notes", &notes]));
    assert_done(&output);
    let said = stderr(&output);
    assert!(!said.contains("have no notes") && !said.contains("not checked"), "{said}");
    tallies_at_rest(&guest);
    for (elf, folder) in [(elf, "scanned"), (scene.whole(), "whole")] {
        assert_done(&scene.snapshot(Way::Qemu, &guest, &elf, folder, &["--scan"]));
    }
    assert!(files(Path::new(&scene.path("scanned"))) == files(Path::new(&scene.path("whole"))));
    assert_eq!(files(Path::new(&live)).len(), 2 * UNITS.len(), "counters and notes");
}

/// A guest that never unpacked anything: memory has the ELF's read-only bytes and nothing else.
#[test]
fn memory_without_structures_is_refused() {
    let scene = Scene::new();
    let zeroed = scene.without_data();
    let guest = Guest::builder(Machine::An385, &zeroed).start().expect("the guest starts");
    let output = scene.snapshot(Way::Qemu, &guest, &zeroed, "none", &["--scan"]);
    assert_refused(&output, "in the memory of", "has its start-up code run?");
    assert!(!Path::new(&scene.path("none")).exists());
}

#[test]
fn another_program_is_not_searched() {
    let scene = Scene::new();
    let (_dir, other) = build("spin");
    let guest = Guest::builder(Machine::An385, &other).start().expect("the guest starts");
    let output = scene.snapshot(Way::Qemu, &guest, &scene.without_data(), "other", &["--scan"]);
    assert_refused(&output, "the target has", "give the ELF that the target runs");
}

/// Garbage that looks like structures, in the place of those of all objects but the last.
#[test]
fn garbage_that_looks_like_structures_is_left_out() {
    let scene = Scene::new();
    let mut bytes = fs::read(&scene.elf).unwrap();
    let image = Image::parse("guest.elf", bytes.clone()).unwrap();
    // In `.data`, structures are before and after what the guest has of its own, in the order of the objects.
    let own = image.symbols().find(|symbol| symbol.name == "random.0").unwrap().address.get();
    let data = data_of(&bytes);
    let len = usize::try_from(own - image.section(".data").unwrap().address().get()).unwrap();
    let name = memchr::memmem::find(&bytes, b".gcda\0").unwrap() - 4;
    let rodata = image.section(".rodata").unwrap();
    let name = u32::try_from(rodata.address().get() + (name as u64 - rodata.file_offset())).unwrap();
    // A version, and pointers to a name, of as many functions and at that address.
    let garbage = std::iter::once(*b"*22B").chain(std::iter::repeat_n(name.to_le_bytes(), 5));
    let garbage: Vec<u8> = garbage.flatten().cycle().take(len).collect();
    bytes[data.start..][..len].copy_from_slice(&garbage);
    let damaged = scene.path("damaged.elf");
    fs::write(&damaged, bytes).unwrap();

    let guest = Guest::builder(Machine::An385, &damaged).start().expect("the guest starts");
    tallies_at_rest(&guest);
    let zeroed = scene.without_data();
    for way in [Way::Qemu, Way::Gdb] {
        let [all, left] = ["all", "left"].map(|name| format!("{name}-{way:?}"));
        assert_done(&scene.snapshot(way, &guest, &scene.whole(), &all, &[]));
        let output = scene.snapshot(way, &guest, &zeroed, &left, &["--scan"]);
        assert_done(&output);
        let said = stderr(&output);
        assert_eq!(said.matches("are left out: its gcov_info at 0x20000").count(), 16, "{said}");
        assert!(said.contains(" more that look like a gcov_info do not fit"), "{said}");
        let folders = [all, left].map(|folder| files(Path::new(&scene.path(&folder))));
        assert!(folders[1].keys().eq([Path::new("covtap/valve.gcda")]), "{:?}", folders[1].keys());
        // The largest counter of the program may be among those that are left out.
        let [all, left] = folders.map(|files| {
            let file = read("valve.gcda", &files[Path::new("covtap/valve.gcda")]).unwrap();
            (file.stamp, file.checksum, file.functions)
        });
        assert!(all == left, "{way:?}");
    }
}
