//! The lines that did not run, as text for people and editors.
//!
//! ```text
//! src/valve.rs: 12, 15-18, 40
//! ```
//!
//! A line of text for each file that has such lines, in the order of names. They are the ones that the lcov trace has
//! with a count of 0; `cargo llvm-cov --show-missing-lines`, whose form this is but for the ranges, names only those
//! where a region begins. Control characters in names are replaced.

use std::io::{self, Write};

use crate::coverage::{Coverage, LineRun};

use super::names::text;

/// Writes the lines that have code and did not run, file by file; nothing if all ran.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, out: &mut impl Write) -> io::Result<()> {
    for file in coverage.files() {
        let missing = ranges(&file.lines());
        if !missing.is_empty() {
            writeln!(out, "{}: {}", text(file.name()), missing.join(", "))?;
        }
    }
    Ok(())
}

/// The lines that did not run, those in a row as one.
fn ranges(runs: &[LineRun]) -> Vec<String> {
    let missing: Vec<&LineRun> = runs.iter().filter(|run| run.count == 0).collect();
    let rows = missing.chunk_by(|a, b| a.lines.end().checked_add(1) == Some(*b.lines.start()));
    let ends = rows.filter_map(|row| Some((row.first()?.lines.start(), row.last()?.lines.end())));
    ends.map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_a_row_are_a_range() {
        let run = |lines, count| LineRun { lines, count };
        let runs = [
            run(1..=2, 0),
            run(3..=3, 0),
            run(4..=4, 1),
            run(5..=5, 0),
            run(7..=7, 0),
            run(8..=9, 2),
            run(u32::MAX - 1..=u32::MAX, 0),
        ];
        assert_eq!(ranges(&runs), ["1-3", "5", "7", "4294967294-4294967295"]);
        assert!(ranges(&[run(1..=9, 1)]).is_empty());
    }
}
