//! Threads that count in the same functions, and not atomically: they take back each other's counts.

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
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::process::Process;
use covtap::collect::{Coherence, MeteredLink, Reader, Snapshot};
use covtap::coverage::gcov::{FlowCheck, Notes};
use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, Located};
use covtap::profile::gcov::GcovProfile;
use covtap::write::gcda::encode;
use covtap_testbed::run;

/// Two threads, until they are told to end.
const THREADS: &str = "#include <pthread.h>
    void say_and_wait(const char *line);
    static volatile unsigned sink;
    static volatile int is_over;
    __attribute__((noinline)) static unsigned work(unsigned x) {
      if (x & 1) x = 3 * x + 1; else x /= 2;
      if (x & 2) x ^= 0x55;
      if (x & 4) x += sink;
      switch (x & 3) { case 0: return x; case 1: return x + 1; case 2: return 2 * x; default: return 0; }
    }
    static void *count(void *unused) {
      for (unsigned i = 0; !is_over; i++) sink += work(i);
      return unused;
    }
    int main(void) {
      pthread_t threads[2];
      for (int i = 0; i < 2; i++) if (pthread_create(&threads[i], 0, count, 0)) return 1;
      say_and_wait(\"counting\\n\");
      is_over = 1;
      for (int i = 0; i < 2; i++) if (pthread_join(threads[i], 0)) return 1;
    }";

/// Nothing counts in it; its destructor runs when all that counts is done, and before libgcov writes.
const WAIT: &str = "#include <string.h>
    #include <unistd.h>
    void say_and_wait(const char *line) {
      char byte;
      if (write(1, line, strlen(line)) != (long)strlen(line) || read(0, &byte, 1) != 1) _exit(1);
    }
    __attribute__((destructor)) static void rest(void) { say_and_wait(\"at rest\\n\"); }";

/// So often at least.
const READINGS: u64 = 1000;

/// Builds the program with atomic additions or others, at the level that keeps load and store apart.
fn build(dir: &Path, update: &str) -> Located {
    let path = |name: &str| dir.join(name).display().to_string();
    fs::write(path("threads.c"), THREADS).unwrap();
    fs::write(path("wait.c"), WAIT).unwrap();
    run("gcc-12", ["-c", &path("wait.c"), "-o", &path("wait.o")]).unwrap();
    let counted =
        ["-O0", "--coverage", update, "-fno-pie", "-c", &path("threads.c"), "-o", &path("threads.o")];
    run("gcc-12", counted).unwrap();
    let linked =
        ["--coverage", "-no-pie", "-pthread", "-o", &path("threads"), &path("threads.o"), &path("wait.o")];
    run("gcc-12", linked).unwrap();
    let image = Image::parse("threads", fs::read(path("threads")).unwrap()).unwrap();
    gcov::locate(&image, Slide::ZERO).unwrap()
}

fn take(reader: &mut Reader) -> Snapshot {
    reader.take(Duration::ZERO).expect("a reading").snapshot().expect("the process goes on")
}

/// Lets the threads end, and compares what covtap reads then with what libgcov writes.
fn compare_at_rest(mut process: Process, reader: &mut Reader, located: &Located) {
    process.go_on();
    process.wait_for("at rest\n");
    let snapshot = take(reader);
    assert!(process.finish().success());
    let profile = GcovProfile::new(&located.image, snapshot.counters.regions()).unwrap();
    let filename = OsStr::from_bytes(&located.image.objects[0].filename);
    assert!(encode(&profile.files[0]) == fs::read(filename).unwrap());
}

#[test]
fn threads_that_lose_counts_are_no_reset() {
    let dir = tempfile::tempdir().unwrap();
    let located = build(dir.path(), "-fprofile-update=single");
    let process = Process::start(&dir.path().join("threads"), "", "counting\n");
    let link = MeteredLink::new(Box::new(process.memory()));
    let mut reader = Reader::new(link, located.regions.clone()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut last = take(&mut reader);
    // Until a thread was made to wait between load and store.
    while last.number < READINGS || last.lost == 0 {
        assert!(Instant::now() < deadline, "nothing was lost in {} readings", last.number);
        last = take(&mut reader);
    }
    compare_at_rest(process, &mut reader, &located);
}

/// Counts that do not fit the flow graph stay as they were when they last did.
#[test]
fn lost_counts_that_fit_no_flow_graph_are_no_reset_either() {
    let dir = tempfile::tempdir().unwrap();
    let located = build(dir.path(), "-fprofile-update=single");
    let notes = Notes::parse(&fs::read(dir.path().join("threads.gcno")).unwrap()).unwrap();
    let mut check = FlowCheck::default();
    assert_eq!(check.add(&located.image, 0, [Some(&notes)]), []);
    let process = Process::start(&dir.path().join("threads"), "", "counting\n");
    let link = MeteredLink::new(Box::new(process.memory()));
    let mut reader = Reader::new(link, located.regions).unwrap().with_checks(Box::new(check.clone()));
    for _ in 0..50 {
        let snapshot = take(&mut reader);
        let faults =
            (0..check.groups().len()).filter_map(|group| check.fault(group, snapshot.counters.regions()));
        assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn atomic_additions_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let located = build(dir.path(), "-fprofile-update=atomic");
    let process = Process::start(&dir.path().join("threads"), "", "counting\n");
    let link = MeteredLink::new(Box::new(process.memory()));
    let mut reader = Reader::new(link, located.regions.clone()).unwrap();
    for _ in 0..READINGS {
        assert_eq!(take(&mut reader).lost, 0);
    }
    compare_at_rest(process, &mut reader, &located);
}
