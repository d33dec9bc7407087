//! Lines that ran by a trace, beside those that ran by the compiler's own counters of the same programs: compiled by the
//! same compiler for the same target without optimisation, run there, and put on lines by the compiler's own tool.
//!
//! What always holds: only lines of the programs' own files are looked at. A line that one side alone has is no line with
//! code for the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use covtap_testbed::workspace_root;
use serde_json::Value;

use super::super::build::succeed;
use super::guest::{Guest, Objects};
use super::runs::{self, Tools};
use super::setups::Compiler;
use crate::child;

/// Lines with code by file, and how often each ran.
pub(super) type Lines = BTreeMap<PathBuf, BTreeMap<u64, u64>>;

/// What tells a trace's lines from those that were counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum What {
    BothHit,
    BothMissed,
    FalselyHit,
    FalselyMissed,
    OnlyTraced,
    OnlyCounted,
}

/// A line of a program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    /// Below the programs' folder.
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) text: String,
}

/// Lines by what they are.
pub(super) type Compared = BTreeMap<What, BTreeSet<Place>>;

/// The folder of the programs.
fn folder() -> PathBuf {
    workspace_root().join("tests/conformance/c")
}

/// What covtap makes of a trace.
pub(super) fn traced(tools: &Tools, guest: &Guest, trace: &Path) -> Result<Lines> {
    let lcov = trace.with_extension("info");
    let mut report = Command::new(&tools.covtap);
    succeed(report.args(["report", "--lcov"]).arg(&lcov).arg(&guest.elf).arg(trace))?;
    let text = fs::read_to_string(&lcov).with_context(|| format!("read {}", lcov.display()))?;
    let (mut lines, mut file) = (Lines::new(), PathBuf::new());
    for entry in text.lines() {
        if let Some(path) = entry.strip_prefix("SF:") {
            file = path.into();
        } else if let Some((number, count)) = entry.strip_prefix("DA:").and_then(|da| da.split_once(',')) {
            lines.entry(file.clone()).or_default().insert(number.parse()?, count.parse()?);
        }
    }
    Ok(lines)
}

/// What the compiler's own tool makes of the counters in a guest's memory.
pub(super) fn counted(tools: &Tools, objects: &Objects<'_>, guest: &Guest) -> Result<Lines> {
    let files = objects.dir.join("gcda");
    runs::counted(tools, objects.toolchain.target, guest, &files)?;
    let mut lines = Lines::new();
    let mut data_files = 0usize;
    for object in objects.names() {
        let beside = objects.dir.join(object);
        let (notes, data) = (beside.with_extension("gcno"), beside.with_extension("gcda"));
        let written = files.join(data.strip_prefix("/").unwrap_or(&data));
        // Of a unit without functions there is none.
        if !written.is_file() {
            continue;
        }
        fs::copy(&written, &data).with_context(|| format!("copy {}", written.display()))?;
        data_files = data_files.saturating_add(1);
        let mut gcov = objects.toolchain.gcov(&objects.dir)?;
        let output = child::output(gcov.arg(notes.file_name().unwrap_or_default()))?;
        ensure!(
            output.status.success(),
            "`{}` ended with {}: {}",
            child::show(&gcov),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        match objects.toolchain.compiler {
            Compiler::Gcc => add_json(&mut lines, &output.stdout)?,
            Compiler::Clang => add_text(&mut lines, &String::from_utf8_lossy(&output.stdout))?,
        }
    }
    ensure!(data_files >= objects.programs().len(), "only {data_files} .gcda files in {}", files.display());
    Ok(lines)
}

/// Adds what `gcov --json-format` printed. Of a line of several functions that ran which did most counts.
fn add_json(lines: &mut Lines, printed: &[u8]) -> Result<()> {
    let report: Value = serde_json::from_slice(printed).context("read what gcov printed")?;
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    for file in of(&report, "files").as_array().into_iter().flatten() {
        let lines = lines.entry(of(file, "file").as_str().unwrap_or_default().into()).or_default();
        for line in of(file, "lines").as_array().into_iter().flatten() {
            let number = of(line, "line_number").as_u64().context("a line without a number")?;
            let count = of(line, "count").as_u64().context("a line without a count")?;
            let sum: &mut u64 = lines.entry(number).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    Ok(())
}

/// Adds what `llvm-cov gcov` printed: `COUNT:LINE:TEXT`, where `-` is no code and `#####` did not run.
fn add_text(lines: &mut Lines, printed: &str) -> Result<()> {
    let mut file = PathBuf::new();
    for entry in printed.lines() {
        let mut columns = entry.splitn(3, ':').map(str::trim);
        let (Some(count), Some(number), Some(text)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else { continue };
        if let (0, Some(path)) = (number, text.strip_prefix("Source:")) {
            file = path.into();
        }
        let count = match count.trim_end_matches('*') {
            "-" => continue,
            "#####" | "=====" => 0,
            number => number.parse().with_context(|| format!("llvm-cov gcov printed {entry:?}"))?,
        };
        let sum: &mut u64 = lines.entry(file.clone()).or_default().entry(number).or_default();
        *sum = sum.saturating_add(count);
    }
    Ok(())
}

/// Lines of both, by what they are.
pub(super) fn compare(traced: &Lines, counted: &Lines) -> Result<Compared> {
    let mut compared = Compared::new();
    let files: BTreeSet<_> = traced.keys().chain(counted.keys()).collect();
    for path in files {
        let Ok(name) = path.strip_prefix(folder()) else { continue };
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let texts: Vec<&str> = text.lines().collect();
        let nothing = BTreeMap::new();
        let (traced, counted) = (traced.get(path).unwrap_or(&nothing), counted.get(path).unwrap_or(&nothing));
        for line in traced.keys().chain(counted.keys()).copied() {
            let index = usize::try_from(line)?.saturating_sub(1);
            let text = (*texts.get(index).unwrap_or(&"")).to_owned();
            let place = Place { file: name.display().to_string(), line, text };
            compared.entry(What::of(traced.get(&line), counted.get(&line))).or_default().insert(place);
        }
    }
    Ok(compared)
}

impl What {
    fn of(traced: Option<&u64>, counted: Option<&u64>) -> Self {
        match (traced, counted) {
            (Some(0), Some(0)) => Self::BothMissed,
            (Some(0), Some(_)) => Self::FalselyMissed,
            (Some(_), Some(0)) => Self::FalselyHit,
            (Some(_), Some(_)) => Self::BothHit,
            (Some(_), None) => Self::OnlyTraced,
            (None, _) => Self::OnlyCounted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_llvm_cov_prints_them() {
        let printed = "        -:    0:Source:/a/b.c\n        -:    0:Graph:x.gcno\n        -:    1:/* : */\n\
                       \x20       3:    2:int f(int n) { return n ? 1 : 2; }\n    #####:    3:  stop();\n       2*:    4:}\n";
        let mut lines = Lines::new();
        add_text(&mut lines, printed).unwrap();
        let counts = BTreeMap::from([(2, 3), (3, 0), (4, 2)]);
        assert_eq!(lines, Lines::from([("/a/b.c".into(), counts)]));
    }
}
