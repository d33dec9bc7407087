//! Firmware that nobody instrumented, traced while it runs: which lines of C, of assembly and of Rust it executes is written
//! down beside their sources.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "no keys are pressed here")]
#[path = "../html/browser.rs"]
mod browser;
#[path = "../common/mod.rs"]
mod common;
mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use browser::Browser;
use common::{PATIENCE, Session, assert_done, stderr};
use covtap::image::Image;
use covtap_testbed::{Guest, Machine, Monitor, fixture, workspace_root};
use expected::{Expected, When};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

/// Sources of the thermostat.
const THERMOSTAT: [&str; 3] =
    ["examples/firmware/thermostat.c", "examples/firmware/crc16.S", "examples/firmware/startup.S"];

/// Sources of the valve controller.
const VALVE: [&str; 7] = [
    "examples/guests/arm-cortexm/src/main.rs",
    "examples/guests/board/src/an385.rs",
    "examples/guests/board/src/lib.rs",
    "examples/guests/board/src/tally.rs",
    "examples/guests/workload/src/command.rs",
    "examples/guests/workload/src/script.rs",
    "examples/guests/workload/src/valve.rs",
];

/// Counts by source and line.
type Counts = BTreeMap<String, BTreeMap<u64, u64>>;

/// A firmware and what belongs to its report.
struct Firmware {
    dir: TempDir,
    elf: PathBuf,
    sources: &'static [&'static str],
    /// Where the report finds them.
    path_map: Option<String>,
    /// Whether lines may have no code of their own.
    is_optimised: bool,
}

impl Firmware {
    /// The thermostat, by its own script.
    fn thermostat(flag: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let elf = dir.path().join("thermostat.elf");
        let script = workspace_root().join("examples/firmware/build.sh");
        let built = Command::new(script).arg(&elf).arg(flag).output().unwrap();
        assert!(built.status.success(), "{}", stderr(&built));
        Self { dir, elf, sources: &THERMOSTAT, path_map: None, is_optimised: flag != "-O0" }
    }

    /// The valve controller in Rust, as it was built once and for all: what is optimised away is known too.
    fn valve() -> Self {
        let elf = fixture("arm-cortexm/debug.elf");
        let path_map = Some(format!("/covtap={}", workspace_root().display()));
        let dir = tempfile::tempdir().unwrap();
        Self { dir, elf, sources: &VALVE, path_map, is_optimised: false }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn elf(&self) -> String {
        self.elf.display().to_string()
    }

    fn expected(&self) -> BTreeMap<&'static str, Expected> {
        self.sources.iter().map(|source| (*source, expected::of("trace_firmware", source))).collect()
    }

    /// Reports a trace, with further arguments, on the firmware's own sources.
    fn report(&self, trace: &str, more: &[&str]) -> (Counts, String) {
        let elf = self.elf();
        let map = self.path_map.iter().flat_map(|map| ["--path-map", map.as_str()]);
        let args = ["report", "--lcov", "-", elf.as_str(), trace];
        let output = common::run(args.into_iter().chain(map).chain(more.iter().copied()));
        assert_done(&output);
        let mut counts = Counts::new();
        let mut file = String::new();
        for line in String::from_utf8(output.stdout.clone()).unwrap().lines() {
            if let Some(path) = line.strip_prefix("SF:") {
                let path = Path::new(path).strip_prefix(workspace_root());
                file = path.map_or_else(|_| String::new(), |path| path.display().to_string());
            } else if let Some((number, count)) =
                line.strip_prefix("DA:").and_then(|line| line.split_once(','))
            {
                let lines = counts.entry(file.clone()).or_default();
                lines.insert(number.parse().unwrap(), count.parse().unwrap());
            }
        }
        counts.remove("");
        (counts, stderr(&output))
    }
}

/// A firmware that runs freely.
struct Running {
    guest: Guest,
    monitor: Monitor,
    /// A word that it counts up.
    alive: u64,
}

impl Running {
    fn start(firmware: &Firmware, alive: &str) -> Self {
        let guest = Guest::builder(Machine::An385, &firmware.elf).start().unwrap();
        let monitor = Monitor::connect(guest.control()).unwrap();
        let image = Image::parse("guest", std::fs::read(&firmware.elf).unwrap()).unwrap();
        let alive = image.symbols().find(|symbol| symbol.name == alive).expect("a counter").address.get();
        let mut running = Self { guest, monitor, alive };
        running.assert_runs();
        running
    }

    fn rounds(&mut self) -> u32 {
        let bytes = self.monitor.physical_memory(self.alive, 4).unwrap();
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    fn assert_runs(&mut self) {
        let before = self.rounds();
        while self.rounds().wrapping_sub(before) < 64 {
            std::thread::yield_now();
        }
    }

    /// Attaches, and leaves it running.
    fn trace(&mut self, firmware: &Firmware, method: &str) -> String {
        let gdb = self.guest.gdb().to_string();
        let (elf, trace) = (firmware.elf(), firmware.path(method));
        let args = [
            "trace",
            "--gdb",
            &gdb,
            "--method",
            method,
            // Each block that is met takes some of it, and each trace begins with the same ones.
            "--for",
            "5s",
            "--budget",
            "50%",
            &elf,
            "-o",
            &trace,
            "--reply-timeout",
            "60s",
        ];
        assert_done(&common::run(args));
        self.assert_runs();
        trace
    }
}

/// Lines that count as executed, and those that do not.
fn sides(counts: &Counts, source: &str) -> [BTreeSet<u64>; 2] {
    let lines = counts.get(source).unwrap_or_else(|| panic!("no {source} in {:?}", counts.keys()));
    let of = |is_hit: bool| {
        lines.iter().filter(|(_, count)| (**count > 0) == is_hit).map(|(line, _)| *line).collect()
    };
    [of(true), of(false)]
}

/// Asserts that lines are what they are expected to be; in optimised code some are missing.
fn assert_lines(counts: &Counts, firmware: &Firmware, hit: &[When]) {
    for (source, expected) in &firmware.expected() {
        let [found_hit, found_missed] = sides(counts, source);
        let of = |is_hit: bool| {
            let lines = expected.iter().filter(|(_, mark)| hit.contains(&mark.when) == is_hit);
            lines.map(|(line, _)| *line).collect::<BTreeSet<u64>>()
        };
        let (mut falsely_hit, falsely_missed) = (&found_hit - &of(true), &found_missed - &of(false));
        if firmware.is_optimised && source.ends_with("thermostat.c") {
            // They are in an IT block, whose condition is always false.
            falsely_hit = &falsely_hit - &BTreeSet::from([27, 28]);
        }
        let nothing = BTreeSet::new();
        assert_eq!((falsely_hit, falsely_missed), (nothing.clone(), nothing.clone()), "{source}");
        let sure: BTreeSet<u64> =
            expected.iter().filter(|(_, mark)| mark.is_sure).map(|(line, _)| *line).collect();
        let missing = &sure - &(&found_hit | &found_missed);
        let is_enough = missing.is_empty() || firmware.is_optimised && missing.len() < sure.len() / 2;
        assert!(is_enough, "{source}: {missing:?}");
    }
}

/// Attaches until everything was met that runs again and again: breakpoints take turns.
fn attached(firmware: &Firmware, mut running: Running) {
    let expected = firmware.expected();
    let mut sum = Counts::new();
    for _ in 0..20 {
        let trace = running.trace(firmware, "breakpoints");
        let (counts, said) = firmware.report(&trace, &[]);
        assert!(said.contains("what has 0 may have been executed too"), "{said}");
        for (source, lines) in counts {
            let of_source = sum.entry(source).or_default();
            lines.into_iter().for_each(|(line, count)| *of_source.entry(line).or_default() |= count);
        }
        let missing = expected.iter().any(|(source, lines)| {
            let [_, missed] = sides(&sum, source);
            lines.iter().any(|(line, mark)| mark.when == When::Loop && missed.contains(line))
        });
        if !missing {
            break;
        }
    }
    assert_lines(&sum, firmware, &[When::Loop]);

    // Samples meet a part of it.
    let trace = running.trace(firmware, "sample");
    let (counts, _) = firmware.report(&trace, &[]);
    let met = |source: &str| sides(&counts, source)[0].clone();
    expected.keys().for_each(|source| assert_eq!(&met(source) - &sides(&sum, source)[0], BTreeSet::new()));
    let num_hit: usize = expected.keys().map(|source| met(source).len()).sum();
    assert!(num_hit > 3, "{counts:?}");
}

#[test]
fn c_and_assembly_are_traced_while_they_run() {
    let firmware = Firmware::thermostat("-O0");
    attached(&firmware, Running::start(&firmware, "rounds"));
}

#[test]
fn optimised_c_is_traced_while_it_runs() {
    let firmware = Firmware::thermostat("-Os");
    attached(&firmware, Running::start(&firmware, "rounds"));
}

#[test]
fn rust_without_its_library_is_traced_while_it_runs() {
    let firmware = Firmware::valve();
    let running = Running::start(&firmware, "LOOPS");
    running.guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 4")).expect("the last phase");
    attached(&firmware, running);
}

/// The plugin, built as covtap was and beside it.
fn plugin() {
    static PLUGIN: OnceLock<()> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let covtap = Path::new(env!("CARGO_BIN_EXE_covtap"));
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "covtap-qemu-plugin"]).current_dir(workspace_root());
        if covtap.parent().is_some_and(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    });
}

/// Runs a firmware from its first instruction until all of its loop was met, and gives the trace's path.
fn run(firmware: &Firmware) -> String {
    plugin();
    let trace = firmware.path("blocks");
    let qemu = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-nic", "none", "-serial", "none"];
    let elf = firmware.elf();
    let words = ["run", "--trace", "blocks", "--every", "100ms", "-o", &trace, "--"].into_iter().chain(qemu);
    let words: Vec<String> =
        words.chain(["-monitor", "none", "-kernel", &elf]).map(ToOwned::to_owned).collect();
    let session = Session::start(&words);
    session.wait_for("bytes of code executed\ncovtap: wrote ");
    let expected = firmware.expected();
    let is_whole = || {
        let (counts, _) = firmware.report(&trace, &[]);
        expected.iter().all(|(source, lines)| {
            let [_, missed] = sides(&counts, source);
            !lines.iter().any(|(line, mark)| mark.when == When::Loop && missed.contains(line))
        })
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_whole() {
        assert!(Instant::now() < deadline, "not all of its loop runs");
    }
    session.signal(Signal::SIGINT);
    let done = session.end();
    assert_eq!(done.status.code(), Some(130), "{}", stderr(&done));
    trace
}

/// From its first instruction on, with how often.
#[test]
fn a_run_has_its_beginning_too() {
    let firmware = Firmware::thermostat("-O0");
    let trace = run(&firmware);
    let (counts, said) = firmware.report(&trace, &[]);
    assert!(!said.contains("what has 0"), "{said}");
    assert_lines(&counts, &firmware, &[When::Once, When::Loop]);
    let of = |source: &str, line: u64| counts[source][&line];
    let [c, crc, startup] = THERMOSTAT;
    let rounds = of(c, 74);
    // It was ended in the middle of a round.
    let is_near = |count: u64| count == rounds || count == rounds + 1;
    assert!(rounds > 100 && is_near(of(c, 20)) && is_near(of(crc, 10)), "{rounds}");
    assert!(of(crc, 16).abs_diff(3 * rounds) <= 3 && of(crc, 20).abs_diff(24 * rounds) <= 24, "{rounds}");
    assert_eq!([of(c, 67), of(startup, 14), of(startup, 33)], [1, 1, 1]);
}

#[test]
fn a_run_of_rust_has_its_beginning_too() {
    let firmware = Firmware::valve();
    let (counts, _) = firmware.report(&run(&firmware), &[]);
    assert_lines(&counts, &firmware, &[When::Once, When::Loop]);
    // The beginnings of five phases.
    assert_eq!(counts["examples/guests/board/src/lib.rs"][&43], 5);
}

/// The pages that a browser shows have the same lines.
#[test]
fn pages_show_what_ran() {
    let firmware = Firmware::thermostat("-O0");
    let site = firmware.dir.path().join("site");
    let (counts, _) = firmware.report(&run(&firmware), &["--html", &site.display().to_string()]);
    let mut browser = Browser::start();
    browser.open(&site.join("index.html"), "");
    let cells = "[...document.querySelectorAll('.files tbody th')].map(cell => cell.textContent)";
    assert_eq!(browser.eval(cells), json!(["crc16.S", "startup.S", "thermostat.c"]));
    let cautions = "[...document.querySelectorAll('.caution')].map(line => line.textContent).join()";
    for source in THERMOSTAT {
        let name = Path::new(source).file_name().unwrap().display().to_string();
        browser.open(&site.join("index.html"), "");
        let link =
            format!("[...document.querySelectorAll('.files a')].find(a => a.textContent === '{name}')");
        browser.eval(&format!("{link}.click()"));
        browser.wait_for_load();
        assert_eq!(browser.eval("document.querySelector('h1').textContent"), json!(name));
        let missed = browser.eval(
            "[...document.querySelectorAll('.source .chunk > .l')]
                .filter(line => line.querySelector('.c')?.textContent.trim() === '0').map(line => +line.id.slice(1))",
        );
        assert!(browser.eval(cautions).as_str().unwrap().contains("IT block"), "{name}");
        let [_, expected] = sides(&counts, source);
        assert_eq!(missed, json!(expected), "{name}");
    }
    browser.assert_quiet(&site);
}
