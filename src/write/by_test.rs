//! Which test reaches what: a table of tests for people, one of lines as JSON, and the tests of a line.
//!
//! ```json
//! {"format":"covtap-test-table","version":1,"tests":["boot"],"files":[
//!   {"filename":"src/a.c","lines":[{"line":12,"tests":[[0,3]]},{"line":13,"tests":[]}]}]}
//! ```
//!
//! What enters is a [`ByTest`]; what leaves is text. What always holds: files are in the order of their names, lines and
//! tests in theirs; of the same counts come the same bytes. The JSON is described in `docs/tests.md`.

use std::io::{self, Write};

use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::names::{Names, text};
use crate::coverage::{ByTest, Coverage, Metric, Reached, Tally, TestedFile, TestedLines};

/// Spaces between columns.
const GAP: usize = 3;

/// Writes how much each test reached, and all together. `runs` is how often each ran, in the order of the tests.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write_summary(by_test: &ByTest, runs: &[u64], all: &Coverage, out: &mut impl Write) -> io::Result<()> {
    let has_regions = all.carries(Metric::Regions);
    let only_here = by_test.only_here();
    let row = |[name, runs, functions, lines, regions, only_here]: [String; 6]| {
        let regions = has_regions.then_some(regions);
        [name, runs, functions, lines].into_iter().chain(regions).chain([only_here]).collect::<Vec<String>>()
    };
    let head = ["Test", "Runs", "Functions", "Lines", "Regions", "Only here"].map(str::to_owned);
    let mut rows = vec![row(head)];
    for (((name, runs), reached), only_here) in
        by_test.names().iter().zip(runs).zip(by_test.reached()).zip(&only_here)
    {
        let Reached { functions, lines, regions } = reached;
        let numbers = [runs, functions, lines, regions, only_here].map(ToString::to_string);
        let [runs, functions, lines, regions, only_here] = numbers;
        rows.push(row([name.clone(), runs, functions, lines, regions, only_here]));
    }
    let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count)).to_string();
    let statistics = all.statistics();
    let [functions, lines, regions] = [statistics.functions, statistics.lines, statistics.regions]
        .map(|Tally { covered, total }| format!("{covered}/{total}"));
    rows.push(row(["TOTAL".to_owned(), sum(runs), functions, lines, regions, sum(&only_here)]));
    write_rows(&rows, out)
}

/// Writes rows with a line behind the first and before the last; the first column begins, all others end where the
/// widest of theirs does.
fn write_rows(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let gaps = GAP.saturating_mul(widths.len().saturating_sub(1));
    let line = "-".repeat(widths.iter().fold(gaps, |sum, width| sum.saturating_add(*width)));
    for (index, row) in rows.iter().enumerate() {
        if index == 1 || index.saturating_add(1) == rows.len() {
            writeln!(out, "{line}")?;
        }
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(out, "{cell:<width$}")?,
                _ => write!(out, "{:GAP$}{cell:>width$}", "")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes which tests reach a line, and how often; `file` is one that the coverage has.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write_tests_of(by_test: &ByTest, file: &[u8], line: u32, out: &mut impl Write) -> io::Result<()> {
    let place = format!("{}:{line}", text(file));
    match by_test.tests_of(file, line) {
        None => writeln!(out, "{place}: no code is on this line"),
        Some(tests) if tests.is_empty() => writeln!(out, "{place}: no test reaches this line"),
        Some(tests) => {
            writeln!(out, "{place}")?;
            for (index, count) in tests {
                let name = by_test.names().get(index).map_or("", String::as_str);
                writeln!(out, "{count:>12}   {name}")?;
            }
            Ok(())
        }
    }
}

/// Writes the tests of every line that has code, as JSON.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write_table(by_test: &ByTest, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Table(by_test)).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

struct Table<'a>(&'a ByTest);

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_struct("Table", 4)?;
        table.serialize_field("format", "covtap-test-table")?;
        table.serialize_field("version", &1)?;
        table.serialize_field("tests", self.0.names())?;
        table.serialize_field("files", &Files(self.0))?;
        table.end()
    }
}

struct Files<'a>(&'a ByTest);

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = Names::default();
        serializer.collect_seq(self.0.files().map(|(name, file)| File {
            filename: names.claim(text(name), || text(name)),
            lines: Lines(file),
        }))
    }
}

#[derive(Serialize)]
struct File<'a> {
    filename: String,
    lines: Lines<'a>,
}

struct Lines<'a>(&'a TestedFile);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = serializer.serialize_seq(None)?;
        for TestedLines { lines: range, tests } in self.0.lines() {
            range.into_iter().try_for_each(|line| lines.serialize_element(&Line { line, tests: &tests }))?;
        }
        lines.end()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    line: u32,
    tests: &'a [(usize, u64)],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::example_by_test;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_every_line_that_has_code() {
        let json = concat!(
            r#"{"format":"covtap-test-table","version":1,"tests":["a","b","c"],"files":["#,
            r#"{"filename":"/s/x.c","lines":[{"line":1,"tests":[[0,1]]},{"line":2,"tests":[[0,1],[2,2]]},"#,
            r#"{"line":3,"tests":[[2,2]]},{"line":4,"tests":[[0,7],[2,2]]},{"line":5,"tests":[]},"#,
            r#"{"line":6,"tests":[]}]},"#,
            r#"{"filename":"/s/y/x.c","lines":[{"line":8,"tests":[]},{"line":9,"tests":[[2,3]]},"#,
            r#"{"line":10,"tests":[[2,3]]}]},"#,
            r#"{"filename":"z.c","lines":[{"line":5,"tests":[]}]}]}"#,
            "\n"
        );
        assert_eq!(written(|out| write_table(&example_by_test(), out)), json);
    }

    #[test]
    fn a_line_has_its_tests_or_plainly_none() {
        let of = |line| written(|out| write_tests_of(&example_by_test(), b"/s/x.c", line, out));
        assert_eq!(of(4), "/s/x.c:4\n           7   a\n           2   c\n");
        assert_eq!(of(5), "/s/x.c:5: no test reaches this line\n");
        assert_eq!(of(7), "/s/x.c:7: no code is on this line\n");
    }

    #[test]
    fn columns_end_where_the_widest_cell_does() {
        let text = written(|out| write_summary(&example_by_test(), &[1, 20, 3], &Coverage::default(), out));
        let expected = "\
Test    Runs   Functions   Lines   Regions   Only here
------------------------------------------------------
a          1           0       0         0           1
b         20           0       0         0           0
c          3           0       0         0           3
------------------------------------------------------
TOTAL     24         0/0     0/0       0/0           4
";
        assert_eq!(text, expected);
    }
}
