//! Snapshots of a guest that counts without a rest, whose flow graphs tell what cannot be of one moment.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{PATIENCE, gcov_guest};
use covtap::collect::{Coherence, MeteredLink, Reader, Snapshot};
use covtap::coverage::gcov::{FlowCheck, FunctionCounters, Notes, UnitCoverage};
use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, Located};
use covtap::profile::gcov::{GcdaFile, GcovProfile};
use covtap::write::gcda::encode;
use covtap_gdb_remote::GdbRemote;
use covtap_link::{Link, WordByWord};
use covtap_qemu::{Options, QemuLink, QmpEndpoint};
use covtap_testbed::{Guest, Machine, tool};
use serde_json::Value;
use tempfile::TempDir;

/// clang notes no arc into some of the blocks that it puts between others: sums of such a function say nothing.
#[test]
fn functions_whose_notes_lack_an_arc_are_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let [source, object, elf] =
        ["a.c", "a.o", "a.elf"].map(|name| dir.path().join(name).display().to_string());
    let text = "int f(int); int plain(int n) { return n ? f(1) : 2; }\n\
                int lacking(int n) { if (f(n) && f(1) || f(2) && (f(3) || n)) return 1; return 0; }\n";
    fs::write(&source, text).unwrap();
    let compile =
        ["--target=thumbv7m-none-eabi", "-O0", "-fprofile-arcs", "-ftest-coverage", "-w", "-c", "-o"];
    covtap_testbed::run("clang-19", compile.iter().chain(&[object.as_str(), &source])).unwrap();
    let link = ["--unresolved-symbols=ignore-all", "-e", "lacking", "-o", &elf, &object];
    covtap_testbed::run("ld.lld-19", link).unwrap();
    let image = Image::parse("a.elf", fs::read(&elf).unwrap()).unwrap();
    let located = gcov::locate(&image, Slide::ZERO).unwrap();
    let notes = Notes::parse(&fs::read(dir.path().join("a.gcno")).unwrap()).unwrap();
    let mut check = FlowCheck::default();
    let unchecked = check.add(&located.image, 0, [Some(&notes)]);
    let reasons: Vec<_> = unchecked.iter().map(|unchecked| unchecked.reason.to_string()).collect();
    assert!(
        matches!(&reasons[..], [it] if it.starts_with("function lacking: its notes have no arc to block ")),
        "{reasons:?}"
    );
    assert_eq!(check.num_functions(), 1);
}

/// A guest of two functions that never rest, one of which never returns.
struct Storm {
    guest: Guest,
    located: Located,
    notes: Notes,
    gcno: PathBuf,
    _dir: TempDir,
}

impl Storm {
    fn start() -> Self {
        let (dir, elf) = gcov_guest::build("storm");
        let image = Image::parse("storm.elf", fs::read(&elf).unwrap()).unwrap();
        let located = gcov::locate(&image, Slide::ZERO).unwrap();
        let gcno = dir.path().join("guest.elf.d/storm.gcno");
        let notes = Notes::parse(&fs::read(&gcno).unwrap()).unwrap();
        let guest = Guest::builder(Machine::An385, &elf).start().unwrap();
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).unwrap();
        Self { guest, located, notes, gcno, _dir: dir }
    }

    fn link(&self) -> QemuLink {
        let endpoint: QmpEndpoint = self.guest.qmp().display().to_string().parse().unwrap();
        QemuLink::connect(&endpoint, &Options::default()).unwrap()
    }

    fn check(&self) -> FlowCheck {
        let mut check = FlowCheck::default();
        assert_eq!(check.add(&self.located.image, 0, [Some(&self.notes)]), []);
        assert_eq!(check.num_functions(), self.notes.functions.len());
        check
    }

    fn reader(&self, link: impl Link + 'static) -> Reader {
        Reader::new(MeteredLink::new(Box::new(link)), self.located.regions.clone()).unwrap()
    }

    /// The file of a snapshot.
    fn file(&self, snapshot: &Snapshot) -> GcdaFile {
        let mut profile = GcovProfile::new(&self.located.image, snapshot.counters.regions()).unwrap();
        profile.files.remove(0)
    }

    /// The functions whose counts cannot be right, by the solver that makes reports.
    fn incoherent(&self, file: &GcdaFile) -> Vec<String> {
        let unit = UnitCoverage::new(&self.notes, FunctionCounters::of(file));
        assert_eq!(unit.mismatches, []);
        let certain = unit.incoherent.iter().filter(|(_, why)| why.is_certain());
        certain.map(|(name, why)| format!("{}: {why}", name.escape_ascii())).collect()
    }

    /// All numbers that gcov prints of a file.
    fn numbers_of_gcov(&self, file: &GcdaFile) -> Vec<i64> {
        fs::write(self.gcno.with_extension("gcda"), encode(file)).unwrap();
        let mut gcov = Command::new(tool("arm-none-eabi-gcov").unwrap());
        gcov.args(["--json-format", "--branch-probabilities", "--stdout"]).arg(&self.gcno);
        let output = gcov.current_dir(self.gcno.parent().unwrap()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let mut numbers = Vec::new();
        collect(&serde_json::from_slice(&output.stdout).unwrap(), &mut numbers);
        numbers
    }
}

fn collect(value: &Value, numbers: &mut Vec<i64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, numbers)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, numbers)),
        Value::Number(number) => numbers.push(number.as_i64().expect("gcov's numbers have a sign")),
        _ => {}
    }
}

fn take(reader: &mut Reader) -> Snapshot {
    reader.take(Duration::ZERO).unwrap().snapshot().expect("the guest goes on")
}

/// Takes snapshots, none of which may have a function that is not of one moment: so many at least, and until `is_enough`
/// of how many had functions that were read again.
fn all_are_coherent(storm: &Storm, reader: Reader, num: u64, is_enough: impl Fn(usize) -> bool) {
    let mut reader = reader.with_checks(Box::new(storm.check()));
    let (mut read_again, mut last, deadline) = (0, None, Instant::now() + PATIENCE);
    let mut taken = 0;
    while taken < num || !is_enough(read_again) {
        assert!(Instant::now() < deadline, "{read_again} of {taken} were read again");
        let snapshot = take(&mut reader);
        let checked = snapshot.checked.clone().expect("there are notes");
        assert_eq!(snapshot.delta.backwards, 0);
        let file = storm.file(&snapshot);
        assert_eq!(storm.incoherent(&file), Vec::<String>::new(), "{checked:?}");
        read_again += usize::from(checked.read_again > 0);
        last = Some(file);
        taken += 1;
    }
    reader.detach().unwrap();
    let numbers = storm.numbers_of_gcov(&last.unwrap());
    assert!(numbers.len() > 100 && numbers.iter().all(|number| *number >= 0), "{numbers:?}");
}

#[test]
fn no_count_is_negative_while_the_guest_runs() {
    let storm = Storm::start();
    all_are_coherent(&storm, storm.reader(storm.link()), 300, |_| true);
}

/// Without checks such readings are what the checks are for. How many of them there are is for the host to say, which
/// may not let the guest run for a while.
#[test]
fn nor_where_every_counter_is_read_at_another_moment() {
    let storm = Storm::start();
    let mut reader = storm.reader(WordByWord(Box::new(storm.link())));
    let deadline = Instant::now() + PATIENCE;
    let is_negative = |file: &GcdaFile| {
        !storm.incoherent(file).is_empty() && storm.numbers_of_gcov(file).iter().any(|number| *number < 0)
    };
    while !is_negative(&storm.file(&take(&mut reader))) {
        assert!(Instant::now() < deadline, "no count is negative without checks");
    }
    // QEMU's monitor talks to one at a time.
    drop(reader);
    let reader = storm.reader(WordByWord(Box::new(storm.link())));
    all_are_coherent(&storm, reader, 50, |read_again| read_again > 0);
}

/// Each reading is of one moment, in which a function may be half done all the same.
#[test]
fn nor_over_a_link_that_stops_the_guest() {
    let storm = Storm::start();
    let endpoint: covtap_gdb_remote::Endpoint = storm.guest.gdb().to_string().parse().unwrap();
    let link = GdbRemote::connect(&endpoint, &covtap_gdb_remote::Options::default()).unwrap();
    all_are_coherent(&storm, storm.reader(link), 30, |_| true);
}

/// gcov's notes say which counters belong to a function: names are those of the source.
#[test]
fn notes_of_another_compile_check_nothing() {
    let storm = Storm::start();
    let names: Vec<_> =
        storm.check().groups().iter().map(|group| group.name.escape_ascii().to_string()).collect();
    for name in ["main", "step", "turn", "next_random"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let mut other = storm.notes.clone();
    other.stamp ^= 1;
    let mut check = FlowCheck::default();
    let unchecked = check.add(&storm.located.image, 0, [Some(&other)]);
    assert_eq!((unchecked.len(), check.num_functions()), (1, 0));
    assert!(
        unchecked[0].reason.to_string().starts_with("the notes are of another compile: their stamp is 0x")
    );
    let unchecked = check.add(&storm.located.image, 0, []);
    assert_eq!(unchecked[0].reason.to_string(), "there are no notes");
    other.stamp ^= 1;
    other.functions[0].cfg_checksum ^= 1;
    let unchecked = check.add(&storm.located.image, 0, [Some(&other)]);
    assert_eq!((unchecked.len(), check.num_functions()), (1, storm.notes.functions.len() - 1));
    assert!(unchecked[0].reason.to_string().contains("cfg_checksum"), "{unchecked:?}");
}
