//! `cargo xtask soak gcov`: snapshots of a guest that counts without a rest, checked by its flow graphs.
//!
//! What enters is how many; what leaves is a table: how many snapshots had functions that were not of one moment,
//! without checks and with them. What always holds: the guest counted between any two snapshots; every snapshot is
//! judged by the solver that makes reports, one in [`GCOV_EVERY`] by gcov as well, and a negative count in one that was
//! checked fails the verb.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use covtap::collect::{MeteredLink, Reader, Snapshot};
use covtap::coverage::gcov::{FlowCheck, FunctionCounters, Incoherence, Notes, UnitCoverage};
use covtap::image::{Image, Slide};
use covtap::locate::gcov::{self, Located};
use covtap::profile::gcov::{GcdaFile, GcovProfile};
use covtap::write::gcda::encode;
use covtap_link::{Link, WordByWord};
use covtap_qemu::{Options, QemuLink, QmpEndpoint};
use covtap_testbed::{Guest, Machine, tool, workspace_root};
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use crate::{Outcome, child};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many snapshots are checked
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    snapshots: u32,
}

/// One snapshot of so many is shown to gcov.
const GCOV_EVERY: u32 = 100;

/// What is not the proof itself takes so much fewer snapshots.
const FEWER: u32 = 10;

/// How long to wait for a guest that has no processor at the moment.
const NAP: Duration = Duration::from_micros(200);

/// The guest, and what it counts.
struct Storm {
    guest: Guest,
    located: Located,
    notes: Notes,
    gcno: PathBuf,
    _dir: TempDir,
}

/// How the guest is read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    name: &'static str,
    is_word_by_word: bool,
    is_checked: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "at once, unchecked", is_word_by_word: false, is_checked: false },
    Way { name: "word by word, unchecked", is_word_by_word: true, is_checked: false },
    Way { name: "word by word, checked", is_word_by_word: true, is_checked: true },
    Way { name: "at once, checked", is_word_by_word: false, is_checked: true },
];

/// What was found of one way.
#[derive(Default)]
struct Row {
    snapshots: u32,
    /// Snapshots with a function that was read again.
    read_again: u32,
    /// All further readings, and the most of one snapshot.
    rounds: u32,
    most_rounds: u32,
    /// Snapshots with a function that stayed as it was.
    kept: u32,
    /// Snapshots in which a count would be negative.
    negative: u32,
    /// The lowest of those counts. -1 is of a function that was in its middle; what is lower was torn.
    lowest: i128,
    /// Snapshots that gcov was shown, and those in which it printed a negative number.
    shown: u32,
    negative_in_gcov: u32,
    elapsed: Duration,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let storm = Storm::start()?;
    println!(
        "{:26}{:>10}{:>12}{:>8}{:>6}{:>6}{:>10}{:>8}{:>9}{:>9}{:>12}",
        "read",
        "snapshots",
        "read again",
        "rounds",
        "most",
        "kept",
        "negative",
        "lowest",
        "by gcov",
        "negative",
        "each"
    );
    let mut outcome = Outcome::Passed;
    for way in WAYS {
        let is_proof = way.is_checked && !way.is_word_by_word;
        let row = storm.soak(way, if is_proof { args.snapshots } else { args.snapshots.div_ceil(FEWER) })?;
        row.print(way);
        if way.is_checked && row.negative + row.negative_in_gcov > 0 {
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}

impl Row {
    fn print(&self, way: Way) {
        let Self { snapshots, read_again, rounds, most_rounds, kept, .. } = self;
        let Self { negative, lowest, shown, negative_in_gcov, elapsed, .. } = self;
        let each = elapsed.checked_div(*snapshots).unwrap_or_default();
        println!(
            "{:26}{snapshots:>10}{read_again:>12}{rounds:>8}{most_rounds:>6}{kept:>6}{negative:>10}{lowest:>8}{shown:>9}{negative_in_gcov:>9}{:>12}",
            way.name,
            format!("{each:.1?}")
        );
    }
}

impl Storm {
    fn start() -> Result<Self> {
        let dir = TempDir::with_prefix("covtap-soak-").context("make a folder")?;
        let elf = dir.path().join("storm.elf");
        let script = workspace_root().join("examples/guests/c-gcov-an385/build.sh");
        child::run_well(Command::new(script).arg("storm").arg(&elf))?;
        let image = Image::parse("storm.elf", read(&elf)?)?;
        let located = gcov::locate(&image, Slide::ZERO)?;
        let gcno = dir.path().join("storm.elf.d/storm.gcno");
        let notes = Notes::parse(&read(&gcno)?)?;
        let guest = Guest::builder(Machine::An385, &elf).start()?;
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0"))?;
        Ok(Self { guest, located, notes, gcno, _dir: dir })
    }

    fn soak(&self, way: Way, snapshots: u32) -> Result<Row> {
        let mut reader = self.reader(way)?;
        let mut row = Row::default();
        let mut last_change = Instant::now();
        while row.snapshots < snapshots {
            let start = Instant::now();
            let snapshot = reader.take(Duration::ZERO)?.snapshot().context("the guest ended")?;
            if snapshot.delta.changed == 0 {
                ensure!(last_change.elapsed() < PATIENCE, "the guest counts nothing any more");
                child::sleep(NAP)?;
                continue;
            }
            child::go_on()?;
            ensure!(snapshot.delta.backwards == 0, "{} counts went backwards", snapshot.delta.backwards);
            last_change = Instant::now();
            row.elapsed += start.elapsed();
            self.judge(&snapshot, &mut row)?;
        }
        reader.detach()?;
        Ok(row)
    }

    fn reader(&self, way: Way) -> Result<Reader> {
        let endpoint: QmpEndpoint = self.guest.qmp().display().to_string().parse()?;
        let qemu: Box<dyn Link> = Box::new(QemuLink::connect(&endpoint, &Options::default())?);
        let link = if way.is_word_by_word { Box::new(WordByWord(qemu)) } else { qemu };
        let reader = Reader::new(MeteredLink::new(link), self.located.regions.clone())?;
        if !way.is_checked {
            return Ok(reader);
        }
        let mut check = FlowCheck::default();
        let unchecked = check.add(&self.located.image, 0, [Some(&self.notes)]);
        ensure!(unchecked.is_empty(), "not all functions can be checked: {unchecked:?}");
        Ok(reader.with_checks(Box::new(check)))
    }

    fn judge(&self, snapshot: &Snapshot, row: &mut Row) -> Result<()> {
        let is_shown = row.snapshots.is_multiple_of(GCOV_EVERY);
        row.snapshots += 1;
        if let Some(checked) = &snapshot.checked {
            row.read_again += u32::from(checked.read_again > 0);
            row.rounds += checked.rounds;
            row.most_rounds = row.most_rounds.max(checked.rounds);
            row.kept += u32::from(!checked.incoherent.is_empty());
        }
        let profile = GcovProfile::new(&self.located.image, snapshot.counters.regions())?;
        let file = profile.files.first().context("the image has no object")?;
        if let Some(count) = self.negative(file) {
            row.negative += 1;
            row.lowest = row.lowest.min(count);
        }
        if is_shown {
            row.shown += 1;
            row.negative_in_gcov += u32::from(self.is_negative_in_gcov(file)?);
        }
        Ok(())
    }

    /// A count that would be negative, or is larger than gcov's numbers are.
    fn negative(&self, file: &GcdaFile) -> Option<i128> {
        let unit = UnitCoverage::new(&self.notes, FunctionCounters::of(file));
        let lines = unit.sources.iter().flat_map(|source| &source.lines);
        let counts = lines.flat_map(|line| {
            line.branches.iter().map(|branch| branch.count).chain(std::iter::once(line.count))
        });
        let counts = counts.map(u64::cast_signed).map(i128::from).filter(|count| *count < 0);
        let faults = unit.incoherent.iter().filter(|(_, why)| why.is_certain());
        let faults = faults.map(|(_, why)| match why {
            Incoherence::Negative { count, .. } => *count,
            _ => i128::MIN,
        });
        counts.chain(faults).min()
    }

    fn is_negative_in_gcov(&self, file: &GcdaFile) -> Result<bool> {
        let gcda = self.gcno.with_extension("gcda");
        fs::write(&gcda, encode(file)).with_context(|| format!("write {}", gcda.display()))?;
        let mut gcov = Command::new(tool("arm-none-eabi-gcov")?);
        gcov.args(["--json-format", "--branch-probabilities", "--stdout"]).arg(&self.gcno);
        let report = child::capture(&mut gcov)?;
        Ok(has_negative(&serde_json::from_str(&report).context("read what gcov prints")?))
    }
}

fn has_negative(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_negative),
        Value::Object(fields) => fields.values().any(has_negative),
        Value::Number(number) => number.as_i64().is_none_or(|number| number < 0),
        _ => false,
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
