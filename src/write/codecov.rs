//! Codecov's own JSON.
//!
//! ```text
//! {"coverage":{"src/valve.rs":{"7":3,"8":"1/2","9":0}}}
//! ```
//!
//! For each line that has code, how often it ran; or, where outcomes of its branches are missing, how many there were
//! of how many. A line that ran without any outcome of its branches is `"0/2"`, which Codecov takes for missed: the
//! format could only say instead that nothing was missing. Counts are written up to 2^31-1, since Codecov keeps 32
//! bits.
//! Source: "Codecov Custom Coverage Format" in Codecov's documentation; `VOneProcessor` in codecov/worker.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::coverage::Coverage;

use super::by_line::{self, Line, Lines};

/// Writes the coverage for Codecov. Files below `root` are named from there, others as the compiler had them: Codecov
/// looks for them in the repository.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, root: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    let root = root.map(Path::as_os_str).map(OsStr::as_encoded_bytes);
    serde_json::to_writer(&mut *out, &Report { coverage: Files { coverage, root } })?;
    out.write_all(b"\n")
}

#[derive(serde::Serialize)]
struct Report<'a> {
    coverage: Files<'a>,
}

/// Files by name; one after the other, as they may be many.
struct Files<'a> {
    coverage: &'a Coverage,
    root: Option<&'a [u8]>,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for file in by_line::files(self.coverage, self.root) {
            map.serialize_entry(&file.name, &ByNumber(&file.lines))?;
        }
        map.end()
    }
}

struct ByNumber<'a>(&'a Lines<'a>);

impl Serialize for ByNumber<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|line| (line.number, Value::of(line))))
    }
}

#[derive(serde::Serialize, PartialEq, Eq, Debug)]
#[serde(untagged)]
enum Value {
    Count(u64),
    Partial(String),
}

impl Value {
    fn of(line: Line<'_>) -> Self {
        let outcomes = line.outcomes();
        let (ran, all) = (line.count > 0, outcomes.covered == outcomes.total);
        match (ran, all) {
            (true, true) => Self::Count(line.count),
            // Nothing of it ran; or there are no branches.
            (false, _) if outcomes.covered == 0 => Self::Count(0),
            _ => Self::Partial(format!("{}/{}", outcomes.covered, outcomes.total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::{FileBranch, LineCol};

    #[test]
    fn only_what_is_missing_in_part_is_a_fraction() {
        let value = |count: u64, branches: &[(u64, u64)]| {
            let branch = |(count, false_count): &(u64, u64)| {
                FileBranch::condition(LineCol { line: 1, col: 1 }, *count, *false_count)
            };
            let branches: Vec<FileBranch<'_>> = branches.iter().map(branch).collect();
            Value::of(Line { number: 1, count, branches: &branches })
        };
        let partial = |text: &str| Value::Partial(text.to_owned());
        assert_eq!(value(3, &[]), Value::Count(3));
        assert_eq!(value(0, &[]), Value::Count(0));
        assert_eq!(value(3, &[(1, 2)]), Value::Count(3));
        assert_eq!(value(3, &[(1, 2), (0, 2)]), partial("3/4"));
        assert_eq!(value(3, &[(0, 0)]), partial("0/2"));
        assert_eq!(value(0, &[(0, 0)]), Value::Count(0));
        assert_eq!(value(0, &[(1, 0)]), partial("1/2"));
        assert_eq!(value(0, &[(1, 1)]), partial("2/2"));
    }
}
