//! Counters that loops keep in registers: what covtap says of an image's recorded options, against what real compilers
//! make of them. Host programs run, and their counters are read meanwhile; of other targets GCC's own dump tells
//! whether a loop stores its counter.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use covtap::image::Image;
use covtap::locate::frozen::{self, Frozen};
use covtap_testbed as testbed;
use proptest::prelude::*;
use proptest::sample::Index;

const LOOP: &str = "volatile unsigned long progress; volatile int stop;
    __attribute__((noinline)) int spin(int n) {
      int s = 0;
      while (!stop) { progress++; if (progress & 1) s += n; }
      return s;
    }
    int main(void) { return spin(3) & 1; }\n";

const LEVELS: [&str; 6] = ["-O0", "-Og", "-O1", "-O2", "-O3", "-Os"];

const UPDATES: [&str; 6] = [
    "",
    "-fno-tree-loop-im",
    "-fprofile-update=atomic",
    "-fprofile-update=prefer-atomic",
    "-fprofile-update=single",
    "-pthread",
];

fn words<'a>(texts: &[&'a str]) -> Vec<&'a str> {
    texts.iter().flat_map(|text| text.split_whitespace()).collect()
}

/// Compiles the loop, then links it: two steps, as builds with link-time optimisation have them.
fn build(dir: &Path, gcc: &str, compile: &[&str], link: &[&str]) -> PathBuf {
    let path = |name: &str| dir.join(name).display().to_string();
    let (source, object, elf) = (path("spin.c"), path("spin.o"), path("spin"));
    fs::write(&source, LOOP).expect("a program");
    testbed::run(gcc, words(compile).iter().chain(&["--coverage", "-c", &source, "-o", &object]))
        .expect("gcc compiles");
    testbed::run(gcc, words(link).iter().chain(&[object.as_str(), "-o", &elf])).expect("gcc links");
    elf.into()
}

fn load(elf: &Path) -> Image {
    Image::parse("spin", fs::read(elf).expect("an ELF")).expect("an ELF")
}

/// A program that runs as long as this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a loop, and looks whether it counts in memory.
fn is_frozen_while_it_runs(elf: &Path) -> bool {
    const TURNS: u64 = 1_000_000;
    let image = load(elf);
    let program = Command::new(elf).stdin(Stdio::null()).spawn().expect("the program starts");
    let program = Running(program);
    let memory = File::open(format!("/proc/{}/mem", program.0.id())).expect("its memory");
    let read = |address: u64| {
        let mut bytes = [0; 8];
        // Its pages are there once it is loaded.
        memory.read_exact_at(&mut bytes, address).map_or(0, |()| u64::from_le_bytes(bytes))
    };
    let progress = image.symbol("progress").expect("a symbol").address.get();
    let deadline = Instant::now() + Duration::from_secs(120);
    // While a program is loaded, what follows its data in the file stands where its zeros will be: no number of turns.
    const MOST: u64 = 1 << 40;
    let wait_for = |turns: u64| {
        while !(turns..MOST).contains(&read(progress)) {
            assert!(Instant::now() < deadline, "the loop does not turn");
        }
    };
    let is_counters = |name: &str| name.starts_with("__gcov0.spin");
    let counters = image.symbols().find(|symbol| is_counters(symbol.name)).expect("counters");
    let counts = || -> Vec<u64> {
        (0..counters.len_bytes / 8).map(|index| read(counters.address.get() + index * 8)).collect()
    };
    wait_for(TURNS);
    let before = counts();
    // As many turns later none has changed, if they are in registers.
    wait_for(read(progress).saturating_add(TURNS));
    before == counts()
}

/// Whether covtap says that it may be.
fn may_be_frozen(elf: &Path) -> bool {
    match frozen::find(&load(elf)) {
        Frozen::Maybe(units) => {
            assert_eq!((units.units, units.of), (1, 1));
            assert!(units.names[0].ends_with("spin.c"), "{units}");
            true
        }
        Frozen::No => false,
        Frozen::Unknown => panic!("the options are recorded"),
    }
}

#[test]
fn loops_that_run_are_frozen_where_covtap_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    for gcc in ["gcc-11", "gcc-12"] {
        let mut frozen = 0;
        for (level, update) in LEVELS.iter().flat_map(|level| UPDATES.map(|update| (*level, update))) {
            let elf = build(dir.path(), gcc, &["-g", level, update], &["--coverage -no-pie"]);
            let is_frozen = is_frozen_while_it_runs(&elf);
            assert_eq!(may_be_frozen(&elf), is_frozen, "{gcc} {level} {update}");
            frozen += usize::from(is_frozen);
        }
        assert_eq!(frozen, 8, "{gcc}: -O1, -O2, -O3 and -Os, without atomic updates");
    }
}

/// The link's own options change nothing about a function that was compiled with others.
#[test]
fn with_link_time_optimisation_the_options_of_the_compilation_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    for (compile, link, expected) in [
        ("-O2", "-O2", true),
        ("-O2", "-fno-tree-loop-im", true),
        ("-O2", "-O0", true),
        ("-O2 -fno-tree-loop-im", "-O2", false),
        ("-O0", "-O2", false),
    ] {
        let elf = build(dir.path(), "gcc-12", &["-g -flto", compile], &["--coverage -flto -no-pie", link]);
        assert_eq!(is_frozen_while_it_runs(&elf), expected, "{compile} | {link}");
        assert_eq!(may_be_frozen(&elf), expected, "{compile} | {link}");
    }
}

#[test]
fn options_are_found_where_there_is_no_debug_information() {
    let dir = tempfile::tempdir().expect("a folder");
    let find = |flags: &str| {
        frozen::find(&load(&build(dir.path(), "gcc-12", &["-O2", flags], &["--coverage -no-pie"])))
    };
    let Frozen::Maybe(units) = find("-frecord-gcc-switches") else { panic!("it is optimised") };
    assert_eq!((units.units, units.of, units.has_atomic_adds), (1, 1, true));
    assert_eq!(units.to_string(), "counts of loops may be in registers while they run: 1 of 1 compile unit");
    assert_eq!(find("-frecord-gcc-switches -fno-tree-loop-im"), Frozen::No);
    assert_eq!(find(""), Frozen::Unknown);
    assert_eq!(find("-g -gno-record-gcc-switches"), Frozen::Unknown);
    // As a Linux kernel has it; options that are recorded hold there too.
    let find = |flags: &str| {
        let link = ["--coverage -no-pie -Wl,--defsym=gcov_info_head=0"];
        frozen::find(&load(&build(dir.path(), "gcc-12", &["-O2", flags], &link)))
    };
    assert_eq!(find(""), Frozen::No);
    assert!(matches!(find("-g"), Frozen::Maybe(_)));
}

/// Compilers, and whether they add 64 bits atomically for that target.
const TARGETS: [(&str, &str, bool); 8] = [
    ("gcc-12", "-m32", true),
    ("gcc-12", "-m32 -march=i386", false),
    ("arm-none-eabi-gcc", "-mcpu=cortex-m3 -mthumb", false),
    ("arm-none-eabi-gcc", "-mcpu=cortex-a9", true),
    ("riscv64-unknown-elf-gcc", "-march=rv64imac -mabi=lp64", true),
    ("riscv64-unknown-elf-gcc", "-march=rv64im -mabi=lp64", false),
    ("riscv64-unknown-elf-gcc", "-march=rv32imac -mabi=ilp32", false),
    ("powerpc-linux-gnu-gcc", "", false),
];

/// Whether no block of a loop stores a counter, by the dump of the last pass before machine code.
fn is_frozen_by_dump(dump: &str) -> bool {
    let mut is_in_loop = false;
    !dump.lines().any(|line| {
        if let Some((_, depth)) = line.split_once(", loop depth ") {
            is_in_loop = !depth.starts_with('0');
        }
        // What the pass keeps in a register it names after the counter and itself.
        let is_counter = line.contains("__gcov0.spin") && !line.contains("_lsm");
        let is_store = line.trim_start().starts_with("__gcov0.spin") || line.contains("__atomic_fetch_add");
        is_in_loop && is_counter && is_store
    })
}

#[test]
fn other_targets_are_frozen_where_covtap_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let dump = dir.path().join("dump");
    let dump_flag = format!("-fdump-tree-optimized-blocks={}", dump.display());
    for (gcc, target, has_atomic_adds) in TARGETS {
        for (level, update) in ["-Og", "-O1", "-Os"].iter().flat_map(|level| {
            ["", "-fno-tree-loop-im", "-fprofile-update=prefer-atomic"].map(|update| (*level, update))
        }) {
            let link = "-nostdlib -Wl,--unresolved-symbols=ignore-all -Wl,-e0";
            let elf = build(dir.path(), gcc, &["-g", target, level, update, &dump_flag], &[target, link]);
            let is_frozen = is_frozen_by_dump(&fs::read_to_string(&dump).expect("a dump"));
            assert_eq!(may_be_frozen(&elf), is_frozen, "{gcc} {target} {level} {update}");
            let is_cured = update == "-fno-tree-loop-im" || (has_atomic_adds && update.ends_with("atomic"));
            assert_eq!(is_frozen, level != "-Og" && !is_cured, "{gcc} {target} {level} {update}");
            if let Frozen::Maybe(units) = frozen::find(&load(&elf)) {
                assert_eq!(units.has_atomic_adds, has_atomic_adds, "{gcc} {target}");
            }
        }
    }
}

/// A program with debug information, and where in the file that is.
static DEBUGGABLE: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let elf = build(dir.path(), "gcc-12", &["-g -O2"], &["--coverage -no-pie"]);
    assert!(may_be_frozen(&elf));
    let image = load(&elf);
    let sections =
        [".debug_info", ".debug_abbrev", ".debug_str"].map(|name| image.section(name).expect(name));
    let places = sections.iter().flat_map(|section| {
        let start = usize::try_from(section.file_offset()).expect("an offset");
        start..start + section.file_bytes().expect("bytes").len()
    });
    (fs::read(&elf).expect("an ELF"), places.collect())
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn damaged_debug_information_is_read_or_left_out(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12)
    ) {
        let (mut bytes, places) = DEBUGGABLE.clone();
        for (at, value) in changes {
            bytes[places[at.index(places.len())]] = value;
        }
        let image = Image::parse("damaged", bytes).expect("its tables are whole");
        if let Frozen::Maybe(units) = frozen::find(&image) {
            prop_assert!(units.units > 0 && units.units <= units.of && units.names.len() <= 3);
            prop_assert!(!units.to_string().contains(char::is_control));
        }
    }
}
