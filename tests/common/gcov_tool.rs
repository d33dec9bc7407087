//! What the real gcov makes of files, and what is in a trace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use covtap_testbed::tool;
use serde_json::Value;

/// Runs a program in a folder, and gives what it printed.
pub(crate) fn run_in(dir: &Path, name: &str, args: &[&str]) -> String {
    let output = Command::new(tool(name).unwrap()).args(args).current_dir(dir).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {args:?}: {err}");
    out
}

/// How often each function and each line ran, by file.
pub(crate) type Counts = BTreeMap<String, (BTreeMap<String, u64>, BTreeMap<u64, u64>)>;

/// How often each line ran, by file.
pub(crate) type Lines = BTreeMap<String, BTreeMap<u64, u64>>;

/// What gcov makes of the files in a folder that has the notes as well.
pub(crate) fn counts(dir: &Path, gcov: &str, units: &[&str]) -> Counts {
    let mut counts = Counts::new();
    for unit in units {
        let notes = format!("{unit}.gcno");
        let json = run_in(dir, gcov, &["--json-format", "--branch-probabilities", "--stdout", &notes]);
        let report: Value = serde_json::from_str(&json).unwrap();
        for file in report["files"].as_array().unwrap() {
            let name = Path::new(file["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
            let (functions, lines) = counts.entry(name.to_owned()).or_default();
            for function in file["functions"].as_array().unwrap() {
                let name = function["name"].as_str().unwrap().to_owned();
                functions.insert(name, function["execution_count"].as_u64().expect("no negative count"));
            }
            for line in file["lines"].as_array().unwrap() {
                let count = line["count"].as_u64().expect("no negative count");
                lines.insert(line["line_number"].as_u64().unwrap(), count);
            }
        }
    }
    counts
}

/// How often each line ran.
pub(crate) fn lines(counts: &Counts) -> Lines {
    counts.iter().map(|(file, (_, lines))| (file.clone(), lines.clone())).collect()
}

/// The counts of lines by the last part of a file's name.
pub(crate) fn lines_of_trace(trace: &Path) -> Lines {
    let mut found: Lines = BTreeMap::new();
    let mut file = String::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file = path.rsplit('/').next().unwrap().to_owned();
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(|da| da.split_once(',')) {
            found.entry(file.clone()).or_default().insert(number.parse().unwrap(), count.parse().unwrap());
        }
    }
    found
}
