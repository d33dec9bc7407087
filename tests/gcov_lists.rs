//! Lists of most frequent values in the memory of programs, against the files that libgcov writes of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::process::Process;
use covtap::collect::{MeteredLink, Reader};
use covtap::image::{Image, Slide};
use covtap::locate::gcov;
use covtap::profile::gcov::{GcdaFile, GcovProfile, read};
use covtap::write::gcda::encode;
use covtap_testbed::{run, workspace_root};
use tempfile::tempdir;

/// Nothing counts in it. When all that counts is done, and before libgcov writes, it says so and waits for a byte.
const REST: &str = "#include <unistd.h>
    __attribute__((destructor)) static void rest(void) {
      char byte;
      if (write(1, \"at rest\\n\", 8) != 8 || read(0, &byte, 1) != 1) _exit(1);
    }";

const BUILDS: [&[&str]; 3] = [
    &["-fprofile-generate", "-O2"],
    &["-fprofile-generate", "-O2", "-fprofile-update=atomic"],
    &["-fprofile-generate", "--coverage", "-O1"],
];

/// Counts how often it divides by which number, until it gets a byte.
const BUSY: &str = "#include <fcntl.h>
    #include <unistd.h>
    volatile unsigned sink;
    __attribute__((noinline)) static unsigned divide(unsigned x, unsigned by) { return x / by + x % by; }
    int main(void) {
      char byte;
      fcntl(0, F_SETFL, O_NONBLOCK);
      if (write(1, \"counting\\n\", 9) != 9) return 1;
      for (unsigned i = 0; read(0, &byte, 1) != 1; i++)
        for (unsigned j = 0; j < 2000; j++) sink += divide(i + j, 1 + j % 7);
    }";

fn build(release: u32, flags: &[&str], dir: &Path) -> PathBuf {
    let gcc = format!("gcc-{release}");
    let path = |name: &str| dir.join(name).display().to_string();
    fs::write(dir.join("rest.c"), REST).unwrap();
    run(&gcc, ["-c", &path("rest.c"), "-o", &path("rest.o")]).unwrap();
    for stem in ["main", "other"] {
        let source = workspace_root().join(format!("tests/gcda/{stem}.c")).display().to_string();
        let object = path(&format!("{stem}.o"));
        run(&gcc, flags.iter().copied().chain(["-fno-pie", "-c", &source, "-o", &object])).unwrap();
    }
    let objects = ["main.o", "other.o", "rest.o"].map(path);
    let program = path("program");
    let link = flags.iter().copied().chain(["-no-pie", "-o", &program]);
    run(&gcc, link.chain(objects.iter().map(String::as_str))).unwrap();
    program.into()
}

/// Reads a program before it writes its files; gives how many lists had values.
fn compare(release: u32, flags: &[&str], argument: &str) -> usize {
    let what = format!("gcc-{release} {flags:?} {argument}");
    let dir = tempdir().unwrap();
    let program = build(release, flags, dir.path());
    let image = Image::parse("program", fs::read(&program).unwrap()).unwrap();
    let located = gcov::locate(&image, Slide::ZERO).unwrap();
    let process = Process::start(&program, argument, "at rest\n");
    let reader = Reader::new(MeteredLink::new(Box::new(process.memory())), located.regions).unwrap();
    let mut reader = reader.with_lists(located.image.lists(0));
    let snapshot = reader.take(Duration::ZERO).unwrap().snapshot().unwrap();
    assert!(process.finish().success(), "{what}");
    let lists = snapshot.lists.iter().map(|list| list.as_deref().ok());
    assert!(lists.clone().all(|list| list.is_some()), "{what}: {:?}", snapshot.lists);
    let filled = lists.clone().flatten().filter(|list| !list.is_empty()).count();
    let profile = GcovProfile::with_lists(&located.image, snapshot.counters.regions(), lists).unwrap();
    assert_eq!((profile.files.len(), profile.has_lists), (2, false));
    for (object, file) in located.image.objects.iter().zip(&profile.files) {
        let path = Path::new(std::ffi::OsStr::from_bytes(&object.filename));
        assert!(encode(file) == fs::read(path).unwrap(), "{what}: {}", path.display());
    }
    filled
}

#[test]
fn files_of_a_process_are_what_libgcov_writes() {
    for release in [11, 12] {
        for flags in BUILDS {
            let filled = compare(release, flags, "1") + compare(release, flags, "7");
            assert!(filled > 4, "{filled} lists had values");
        }
    }
}

/// The lists of most frequent values of a file: total, and values with their counts.
fn lists(file: &GcdaFile) -> Vec<(u64, Vec<(u64, u64)>)> {
    let counters = file.functions.iter().flatten().flat_map(|function| &function.counters);
    let mut lists = Vec::new();
    for counters in counters.filter(|counters| file.layout().is_topn_list(counters.index)) {
        let mut values = counters.values.iter().copied();
        while let Some((total, num)) = values.next().zip(values.next()) {
            let pairs = (0..num).map(|_| (values.next().unwrap(), values.next().unwrap()));
            lists.push((total, pairs.collect()));
        }
    }
    lists
}

/// A process counts on while its lists are followed: no pair is one that it never had.
#[test]
fn lists_of_a_process_that_runs_are_its_own() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("busy.c"), BUSY).unwrap();
    let flags = ["-O2", "-fprofile-generate", "-fno-pie", "-no-pie", "-o"];
    run("gcc-12", flags.into_iter().chain([&*path("busy"), &*path("busy.c")])).unwrap();
    let image = Image::parse("busy", fs::read(path("busy")).unwrap()).unwrap();
    let located = gcov::locate(&image, Slide::ZERO).unwrap();
    let process = Process::start(Path::new(&path("busy")), "", "counting\n");
    let reader = Reader::new(MeteredLink::new(Box::new(process.memory())), located.regions).unwrap();
    let mut reader = reader.with_lists(located.image.lists(0));
    let mut snapshot = || {
        let snapshot = reader.take(Duration::ZERO).unwrap().snapshot().unwrap();
        let pairs = snapshot.lists.iter().map(|list| list.as_deref().ok());
        let profile = GcovProfile::with_lists(&located.image, snapshot.counters.regions(), pairs).unwrap();
        lists(&profile.files[0])
    };
    // So many at least, and until it has counted between two that have values: it may wait for a processor.
    let (mut snapshots, deadline) = (vec![snapshot()], Instant::now() + PATIENCE);
    let has_values = |lists: &[(u64, Vec<(u64, u64)>)]| lists.iter().any(|(_, pairs)| !pairs.is_empty());
    while snapshots.len() < 200
        || !snapshots.last().is_some_and(|last| has_values(last) && *last != snapshots[0])
    {
        assert!(Instant::now() < deadline, "no list was told");
        snapshots.truncate(199);
        snapshots.push(snapshot());
    }
    assert!(process.finish().success());
    let filename = std::ffi::OsStr::from_bytes(&located.image.objects[0].filename);
    let last = lists(&read("busy.gcda", &fs::read(filename).unwrap()).unwrap());
    for lists in &snapshots {
        assert_eq!(lists.len(), last.len());
        for ((total, pairs), (last_total, last_pairs)) in lists.iter().zip(&last) {
            let sum: u64 = pairs.iter().map(|(_, count)| count).sum();
            assert!(sum <= *total && total <= last_total, "{sum} of {total}, at last {last_total}");
            for (value, count) in pairs {
                let (_, last) =
                    last_pairs.iter().find(|(known, _)| known == value).expect("a value that it had");
                assert!(count <= last);
            }
        }
    }
}
