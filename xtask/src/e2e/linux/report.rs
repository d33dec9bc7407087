//! From the same `.gcda` files to a report: covtap, gcov, lcov and gcovr.
//!
//! What enters is a folder of files that covtap recorded; what leaves is times, and how often each line ran by covtap's
//! trace, beside lcov's trace and the sum of what gcov says of each unit. What always holds: every tool reads the same
//! files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use covtap_testbed::tool;
use serde_json::Value;
use wait4::Wait4;

use super::compare::Files;
use super::kernel::Kernel;
use crate::child;
use crate::figures::{median_time, three_digits, time};

/// How often covtap makes its report; the others take minutes for one.
const ROUNDS: usize = 5;

/// What a report took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// By the clock.
    elapsed: Duration,
    /// Of all processors together, of all that it started.
    cpu: Duration,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} of processors", time(self.elapsed), time(self.cpu))
    }
}

/// Measures and prints; `files` are those that covtap wrote below `gcda`.
pub(super) fn run(covtap: &Path, kernel: &Kernel, gcda: &Path, files: &Files) -> Result<()> {
    let folder = gcda.parent().context("the folder of the recording")?;
    link_notes(gcda, files)?;
    let [ours, theirs] = ["covtap.info", "lcov.info"].map(|name| folder.join(name));
    let own = covtap_report(covtap, gcda, &ours)?;

    let (gcov, counted) = gcov(kernel, gcda, files, folder)?;
    println!("gcov --json-format: {gcov}, once; {}", ratio(gcov, own));
    let covered = lines(&ours)?;
    println!("lines in covtap's trace and in gcov's sum: {}", compare(&covered, &counted));

    let mut command = Command::new(tool("lcov")?);
    command.args(["--quiet", "--capture", "--rc", "lcov_branch_coverage=1", "--directory"]).arg(gcda);
    let lcov = cost(command.arg("--output-file").arg(&theirs).stdout(Stdio::null()))?;
    println!("lcov: {lcov}, once; {} (goal 20)", ratio(lcov, own));
    let theirs = lines(&theirs)?;
    println!("lines in covtap's trace and in lcov's: {}", compare(&covered, &theirs));
    println!("lines in lcov's trace and in gcov's sum: {}", compare(&theirs, &counted));

    let mut command = Command::new(tool("gcovr")?);
    command.args(["--branches", "--root"]).arg(&kernel.source).arg("--json").arg(folder.join("gcovr.json"));
    let gcovr = cost(command.arg(gcda).current_dir(&kernel.build).stdout(Stdio::null()))?;
    println!("gcovr: {gcovr}, once; {}", ratio(gcovr, own));
    Ok(())
}

/// The medians of some reports.
fn covtap_report(covtap: &Path, gcda: &Path, lcov: &Path) -> Result<Cost> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let mut command = Command::new(covtap);
        costs.push(cost(command.arg("report").arg(gcda).arg("--lcov").arg(lcov).stdout(Stdio::null()))?);
    }
    let median = |of: fn(&Cost) -> Duration| {
        median_time(&costs.iter().map(of).collect::<Vec<_>>()).context("a report")
    };
    let own = Cost { elapsed: median(|cost| cost.elapsed)?, cpu: median(|cost| cost.cpu)? };
    println!("covtap report --lcov: {own} (medians of {ROUNDS})");
    Ok(own)
}

fn ratio(theirs: Cost, ours: Cost) -> String {
    let times = |theirs: Duration, ours: Duration| three_digits(theirs.as_secs_f64() / ours.as_secs_f64());
    let (elapsed, cpu) = (times(theirs.elapsed, ours.elapsed), times(theirs.cpu, ours.cpu));
    format!("covtap is {elapsed} times faster, with {cpu} times less of processors")
}

/// Puts links to the notes beside the counts, as debugfs has them: so lcov and gcovr find them.
fn link_notes(gcda: &Path, files: &Files) -> Result<()> {
    for name in files.keys() {
        let notes = name.with_extension("gcno");
        let link = gcda.join(notes.strip_prefix("/").unwrap_or(&notes));
        if !link.exists() {
            symlink(&notes, &link).with_context(|| format!("make the link {}", link.display()))?;
        }
    }
    Ok(())
}

/// What gcov says of all units, summed up by line.
fn gcov(kernel: &Kernel, gcda: &Path, files: &Files, folder: &Path) -> Result<(Cost, Lines)> {
    let printed = folder.join("gcov.json");
    let out = fs::File::create(&printed).with_context(|| format!("make {}", printed.display()))?;
    let mut command = Command::new(tool("gcov")?);
    command.args(["--stdout", "--json-format"]).current_dir(&kernel.build).stdout(out);
    // It says where it does not find the text of a source, which nobody asked for.
    command.stderr(Stdio::null());
    command.args(files.keys().map(|name| gcda.join(name.strip_prefix("/").unwrap_or(name))));
    let cost = cost(&mut command)?;
    let text = fs::read(&printed).with_context(|| format!("read {}", printed.display()))?;
    let mut lines = Lines::new();
    for unit in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        add_unit(&unit?, &mut lines).context("gcov's JSON is not as expected")?;
    }
    Ok((cost, lines))
}

/// Adds the lines of one unit: a line is there once for each function that it is in.
fn add_unit(unit: &Value, lines: &mut Lines) -> Option<()> {
    let folder = Path::new(unit.get("current_working_directory")?.as_str()?);
    for file in unit.get("files")?.as_array()? {
        let source = plain(&folder.join(file.get("file")?.as_str()?));
        for line in file.get("lines")?.as_array()? {
            let number = u32::try_from(line.get("line_number")?.as_u64()?).ok()?;
            *lines.entry((source.clone(), number)).or_default() += line.get("count")?.as_u64()?;
        }
    }
    Some(())
}

/// The path without its detours.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

fn cost(command: &mut Command) -> Result<Cost> {
    child::go_on()?;
    let shown = child::show(command);
    let started = Instant::now();
    let process = command.stdin(Stdio::null()).spawn();
    let ended = process.and_then(|process| process.wait4()).with_context(|| format!("run `{shown}`"))?;
    let elapsed = started.elapsed();
    ensure!(ended.status.success(), "`{shown}` ended with {}", ended.status);
    Ok(Cost { elapsed, cpu: ended.rusage.utime + ended.rusage.stime })
}

/// How often each line ran, by file and line.
type Lines = BTreeMap<(PathBuf, u32), u64>;

/// Reads a trace.
fn lines(path: &Path) -> Result<Lines> {
    let file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut lines = Lines::new();
    let mut source = PathBuf::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        if let Some(name) = line.strip_prefix("SF:") {
            source = plain(Path::new(name));
        } else if let Some(counted) = line.strip_prefix("DA:") {
            let (number, count) = counted.split_once(',').with_context(|| line.clone())?;
            let count = count.parse().with_context(|| format!("{}: {line}", path.display()))?;
            lines.insert((source.clone(), number.parse()?), count);
        }
    }
    ensure!(!lines.is_empty(), "{} has no line", path.display());
    Ok(lines)
}

/// Says how many lines have the same count.
fn compare(ours: &Lines, theirs: &Lines) -> String {
    let same = ours.iter().filter(|(line, count)| theirs.get(line) == Some(count)).count();
    let common = ours.keys().filter(|line| theirs.contains_key(line)).count();
    format!("{} and {}, {common} in both, {same} of them with the same count", ours.len(), theirs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_compared_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let trace = |text: &str| {
            let path = dir.path().join("a.info");
            fs::write(&path, text).unwrap();
            lines(&path)
        };
        let ours = trace("SF:/a.c\nFN:1,f\nDA:1,5\nDA:2,0\nend_of_record\nSF:/b.c\nDA:1,7\n").unwrap();
        let theirs = trace("SF:/a.c\nDA:1,5\nDA:2,1\nDA:3,1\nend_of_record\n").unwrap();
        assert_eq!(compare(&ours, &theirs), "3 and 3, 2 in both, 1 of them with the same count");
        let unit = serde_json::json!({
            "current_working_directory": "/x/y",
            "files": [{ "file": "../../a.c", "lines": [
                { "line_number": 1, "count": 2 }, { "line_number": 1, "count": 3 }, { "line_number": 2, "count": 0 },
            ]}],
        });
        let mut counted = Lines::new();
        add_unit(&unit, &mut counted).unwrap();
        assert_eq!(compare(&ours, &counted), "3 and 2, 2 in both, 2 of them with the same count");
        assert_eq!(add_unit(&serde_json::json!({}), &mut counted), None);
        trace("SF:/a.c\nDA:1,-5\n").unwrap_err();
        trace("TN:\n").unwrap_err();
    }
}
