//! The trace file of `covtap report` beside what gcov prints of all units of a program, added up.
//!
//! What always holds: each line, each function and each branch of either side is compared. Counts of a line and of a
//! function add up, and those of branches by their number on the line, as lcov adds them up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::toolchains::Toolchain;
use crate::child;

/// The entries of each file.
type Trace = BTreeMap<PathBuf, BTreeSet<String>>;

/// What is compared of covtap's trace; totals are of these.
const ENTRIES: [&str; 4] = ["FN:", "FNDA:", "DA:", "BRDA:"];

/// How many entries there are, and the first one that only one of both has.
pub(super) fn compare(
    toolchain: &Toolchain,
    covtap: &Path,
    notes: &[PathBuf],
    theirs: &[Value],
) -> Result<(usize, Option<String>)> {
    let place = |name: &Path| {
        let path = toolchain.outside(name);
        // Whether `..` is elided, and how, is not what is compared.
        fs::canonicalize(&path).unwrap_or(path)
    };
    let ours = by_file(&report(covtap, notes)?, place);
    let theirs = added_up(theirs, place);
    let entries = ours.values().map(BTreeSet::len).sum();
    Ok((entries, first_difference(&ours, &theirs)))
}

/// What covtap writes of units.
fn report(covtap: &Path, notes: &[PathBuf]) -> Result<String> {
    let data = notes.iter().map(|path| path.with_extension("gcda")).filter(|path| path.is_file());
    let mut command = Command::new(covtap);
    command.arg("report").args(notes).args(data).args(["--lcov", "-"]);
    let output = child::output(&mut command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {said}", child::show(&command), output.status);
    }
    String::from_utf8(output.stdout).context("read covtap's trace")
}

fn by_file(trace: &str, place: impl Fn(&Path) -> PathBuf) -> Trace {
    let mut files = Trace::new();
    let mut file = PathBuf::new();
    for line in trace.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            file = place(Path::new(name));
        } else if ENTRIES.iter().any(|entry| line.starts_with(entry)) {
            files.entry(file.clone()).or_default().insert(line.to_owned());
        }
    }
    files
}

/// What all units say of a file.
#[derive(Default)]
struct Sum {
    /// How often each was called, by first line, column and name.
    functions: BTreeMap<(u64, u64, String), u64>,
    lines: BTreeMap<u64, LineSum>,
}

#[derive(Default)]
struct LineSum {
    count: u64,
    is_reached: bool,
    branches: Vec<u64>,
}

fn added_up(units: &[Value], place: impl Fn(&Path) -> PathBuf) -> Trace {
    let mut sums: BTreeMap<PathBuf, Sum> = BTreeMap::new();
    let of_unit = |unit| list(unit, "files").iter().map(move |file| (unit, file));
    for (unit, file) in units.iter().flat_map(of_unit) {
        let path = Path::new(text(unit, "current_working_directory")).join(text(file, "file"));
        let sum = sums.entry(place(&path)).or_default();
        for function in list(file, "functions") {
            let place = (number(function, "start_line"), number(function, "start_column"));
            let key = (place.0, place.1, text(function, "name").to_owned());
            add(sum.functions.entry(key).or_default(), number(function, "execution_count"));
        }
        for line in list(file, "lines") {
            sum.lines.entry(number(line, "line_number")).or_default().add(line);
        }
    }
    let traces = sums.into_iter().map(|(file, sum)| (file, sum.entries().collect::<BTreeSet<_>>()));
    // A file that a unit names and has nothing of.
    traces.filter(|(_, entries)| !entries.is_empty()).collect()
}

impl LineSum {
    fn add(&mut self, line: &Value) {
        let count = number(line, "count");
        add(&mut self.count, count);
        self.is_reached |= count > 0 || line.get("unexecuted_block") != Some(&Value::Bool(true));
        let branches = list(line, "branches");
        self.branches.resize(self.branches.len().max(branches.len()), 0);
        let counts = branches.iter().map(|branch| number(branch, "count"));
        self.branches.iter_mut().zip(counts).for_each(|(sum, count)| add(sum, count));
    }
}

impl Sum {
    fn entries(&self) -> impl Iterator<Item = String> {
        let functions = self.functions.iter().flat_map(|((line, _, name), count)| {
            [format!("FN:{line},{name}"), format!("FNDA:{count},{name}")]
        });
        let lines = self.lines.iter().map(|(number, line)| format!("DA:{number},{}", line.count));
        let branches = self.lines.iter().flat_map(|(number, line)| {
            (0..).zip(&line.branches).map(move |(at, count): (usize, _)| {
                let count = if line.is_reached { count.to_string() } else { "-".to_owned() };
                format!("BRDA:{number},0,{at},{count}")
            })
        });
        functions.chain(lines).chain(branches)
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn first_difference(ours: &Trace, theirs: &Trace) -> Option<String> {
    let none = BTreeSet::new();
    ours.keys().chain(theirs.keys()).find_map(|file| {
        let [ours, theirs] = [ours, theirs].map(|trace| trace.get(file).unwrap_or(&none));
        let entry = ours.symmetric_difference(theirs).next()?;
        let whose = if ours.contains(entry) { "covtap" } else { "gcov" };
        Some(format!("{}: only {whose} has {entry}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn units_add_up() {
        let line = |count: u64, is_left_out: bool, branches: &[u64]| {
            let branches: Vec<_> = branches.iter().map(|count| json!({ "count": count })).collect();
            json!({ "line_number": 3, "count": count, "unexecuted_block": is_left_out, "branches": branches })
        };
        let unit = |line: Value, count: u64| {
            let function =
                json!({ "name": "f", "start_line": 2, "start_column": 1, "execution_count": count });
            let file = json!({ "file": "a.h", "functions": [function], "lines": [line] });
            json!({ "current_working_directory": "/no", "files": [file] })
        };
        let units = [unit(line(0, true, &[0, 0]), 0), unit(line(4, true, &[1, 3, 2]), 7)];
        let expected =
            "SF:/no/a.h\nFN:2,f\nFNDA:7,f\nDA:3,4\nBRDA:3,0,0,1\nBRDA:3,0,1,3\nBRDA:3,0,2,2\nLF:9\n";
        let expected = by_file(expected, Path::to_owned);
        assert_eq!(first_difference(&expected, &added_up(&units, Path::to_owned)), None);
        let never = added_up(&units[..1], Path::to_owned);
        assert!(never[Path::new("/no/a.h")].contains("BRDA:3,0,1,-"), "{never:?}");
        let said = first_difference(&expected, &never).unwrap();
        assert_eq!(said, "/no/a.h: only gcov has BRDA:3,0,0,-");
        assert!(first_difference(&never, &Trace::new()).is_some());
    }
}
