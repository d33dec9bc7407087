//! One case: built, run, and all that is made of it compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use covtap::coverage::gcov::{FunctionCounters, Notes, UnitCoverage};
use covtap::profile::gcov;
use covtap_testbed::Stopped;
use serde_json::Value;

use super::build::{self, PROGRAM};
use super::{Case, files, report, trace};
use crate::child;

/// Something of a case that is not as libgcov and gcov have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    /// Which of the things that are compared it is.
    pub(super) what: &'static str,
    pub(super) detail: String,
}

/// What was compared in a case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Found {
    /// Data files, byte for byte.
    pub(super) data_files: usize,
    pub(super) functions: usize,
    pub(super) lines: usize,
    pub(super) branches: usize,
    pub(super) conditions: usize,
    /// Of the trace of all units.
    pub(super) entries: usize,
    pub(super) differences: Vec<Difference>,
}

impl Found {
    fn differs(&mut self, what: &'static str, detail: String) {
        self.differences.push(Difference { what, detail });
    }
}

/// Runs a case. Its folder stays only if something is wrong.
pub(super) fn case(case: &Case<'_>, covtap: &Path) -> Result<Found> {
    let dir = case.dir();
    // What an earlier run kept.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    build::build(case, &dir)?;
    let mut found = Found::default();
    data_files(case, &dir, &mut found)?;
    let mut notes = with_extension(&dir, "gcno")?;
    // Linking with -flto leaves an empty file; up to GCC 10 all of them are.
    notes.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    let theirs = if notes.is_empty() { Vec::new() } else { gcov(case, &dir, &notes)? };
    for (path, theirs) in notes.iter().zip(&theirs) {
        unit(case, path, theirs, &mut found)?;
    }
    if !notes.is_empty() {
        let (entries, difference) = trace::compare(case.toolchain, covtap, &notes, &theirs)?;
        found.entries = entries;
        difference.into_iter().for_each(|detail| found.differs("lcov", detail));
    }
    let has_lines =
        found.lines > 0 && found.entries > 0 || (case.flavour.name == "lto" && case.toolchain.release <= 10);
    ensure!(found.data_files > 0 && has_lines, "nothing was compared: {found:?}");
    if found.differences.is_empty() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(found)
}

/// Runs the program, and compares the files that it writes with those that covtap makes of its memory just before.
fn data_files(case: &Case<'_>, dir: &Path, found: &mut Found) -> Result<()> {
    let mut command = case.toolchain.made(PROGRAM, dir)?;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let process = Stopped::start(&mut command)?;
    let ours = files::of_memory(&process, &dir.join(PROGRAM))?;
    let status = process.finish()?;
    ensure!(status.code().is_some(), "the program ended with {status}");
    let ours: BTreeMap<PathBuf, Vec<u8>> =
        ours.into_iter().map(|(path, bytes)| (case.toolchain.outside(&path), bytes)).collect();
    let theirs = with_extension(dir, "gcda")?;
    if !ours.keys().eq(&theirs) {
        found.differs("gcda", format!("{:?}, {theirs:?} of libgcov", ours.keys()));
    }
    for (path, ours) in &ours {
        let theirs = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        found.data_files = found.data_files.saturating_add(1);
        if *ours != theirs {
            let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
            let lens = (ours.len(), theirs.len());
            let name = path.file_name().unwrap_or_default().display();
            found.differs(
                "gcda",
                format!("{name}: from byte {at:?}, {} bytes, {} of libgcov", lens.0, lens.1),
            );
            fs::write(path.with_extension("ours"), ours)?;
        }
    }
    Ok(())
}

/// The files of a folder that have that extension, by name.
fn with_extension(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|it| it == extension));
    paths.sort();
    Ok(paths)
}

/// What gcov prints of each unit.
fn gcov(case: &Case<'_>, dir: &Path, notes: &[PathBuf]) -> Result<Vec<Value>> {
    let mut command = case.toolchain.command("gcov", dir)?;
    command.args(["--json-format", "--branch-probabilities", "--stdout"]).args(case.flavour.gcov);
    command.args(notes.iter().filter_map(|path| path.file_name()));
    let output = child::output(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{}` ended with {}: {said}", child::show(&command), output.status);
    }
    let reports = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    let reports: Vec<Value> = reports.collect::<Result<_, _>>().context("read what gcov printed")?;
    ensure!(reports.len() == notes.len(), "{} reports of {} units: {said}", reports.len(), notes.len());
    Ok(reports)
}

/// Compares a unit, up to its first difference.
fn unit(case: &Case<'_>, path: &Path, theirs: &Value, found: &mut Found) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let notes = Notes::parse(&read(path)?)?;
    ensure!(notes.damage.is_none(), "{}: {:?}", path.display(), notes.damage);
    if notes.functions.is_empty() {
        // Nothing runs, and no data file is left.
        return Ok(());
    }
    let data = gcov::read("gcda", &read(&path.with_extension("gcda"))?)?;
    ensure!(data.stamp == notes.stamp, "{}: the stamps differ", path.display());
    let unit = UnitCoverage::new(&notes, FunctionCounters::of(&data));
    ensure!(unit.mismatches.is_empty(), "{}: {:?}", path.display(), unit.mismatches);
    let certain = unit.incoherent.iter().find(|(_, why)| why.is_certain());
    if let Some((name, why)) = certain {
        found.differs("coherence", format!("{}: {why}", name.escape_ascii()));
    }
    for source in &unit.sources {
        found.functions = found.functions.saturating_add(source.functions.len());
        found.lines = found.lines.saturating_add(source.lines.len());
        let branches = source.lines.iter().map(|line| line.branches.len()).sum();
        found.branches = found.branches.saturating_add(branches);
        let conditions = source.lines.iter().map(|line| line.conditions.len()).sum();
        found.conditions = found.conditions.saturating_add(conditions);
    }
    for (what, detail) in report::compare(case.toolchain, &unit, theirs) {
        found.differs(what, format!("{}: {detail}", path.file_name().unwrap_or_default().display()));
    }
    Ok(())
}
