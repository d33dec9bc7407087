//! A decision: its conditions, the test vectors that ran, and which of them show that a condition decides.
//!
//! Source: `renderMCDCView` in `llvm/tools/llvm-cov/SourceCoverageViewText.cpp` and `MCDCRecord` in
//! `llvm/include/llvm/ProfileData/Coverage/CoverageMapping.h`, llvmorg-19.1.7.

use std::io::{self, Write};

use super::Printer;
use super::view::bars;
use crate::coverage::{McdcCondition, McdcRecord, Tally, TestVector};
use crate::write::paint::ON_RED;

/// Writes the decision, `depth` bars from the left.
pub(super) fn print(
    record: &McdcRecord,
    printer: &Printer<'_>,
    depth: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    for line in lines(record) {
        bars(depth, out)?;
        writeln!(out, "{line}")?;
    }
    let counted = record.conditions.iter().filter(|condition| !condition.is_folded);
    let tally: Tally =
        counted.map(|condition| Tally { covered: u64::from(condition.pair.is_some()), total: 1 }).sum();
    bars(depth, out)?;
    out.write_all(b"  MC/DC Coverage for Decision: ")?;
    let is_missed = tally.covered < tally.total || tally.total == 0;
    let percent = format!("{:.2}%", tally.percent().unwrap_or_default());
    printer.paint.text(Some(ON_RED).filter(|_| is_missed), percent, out)?;
    writeln!(out)?;
    bars(depth, out)?;
    writeln!(out)
}

/// All but the percentage.
fn lines(record: &McdcRecord) -> Vec<String> {
    let McdcRecord { start, end, conditions, vectors, .. } = record;
    let place = format!("({}:{}) to ({}:{})", start.line, start.col, end.line, end.col);
    let mut lines = vec![
        format!("---> MC/DC Decision Region {place}"),
        String::new(),
        format!("  Number of Conditions: {}", conditions.len()),
    ];
    for (condition, number) in conditions.iter().zip(1..) {
        lines
            .push(format!("     Condition C{number} --> ({}:{})", condition.start.line, condition.start.col));
    }
    lines.extend([String::new(), "  Executed MC/DC Test Vectors:".to_owned(), String::new()]);
    if vectors.is_empty() {
        lines.push("     None.".to_owned());
    } else {
        let names: Vec<String> = (1..=conditions.len()).map(|number| format!("C{number}")).collect();
        lines.push(format!("     {}    Result", names.join(", ")));
    }
    lines.extend(vectors.iter().zip(1..).map(|(vector, number)| shown_vector(vector, number, conditions)));
    lines.push(String::new());
    lines.extend(conditions.iter().zip(1..).map(|(condition, number)| shown_pair(condition, number)));
    lines
}

fn shown_vector(vector: &TestVector, number: usize, conditions: &[McdcCondition]) -> String {
    let shown = |(value, condition): (&Option<bool>, &McdcCondition)| match value {
        _ if condition.is_folded => "C",
        None => "-",
        Some(true) => "T",
        Some(false) => "F",
    };
    let values: Vec<&str> = vector.values.iter().zip(conditions).map(shown).collect();
    let result = if vector.result { "T" } else { "F" };
    format!("  {number} {{ {}  = {result}      }}", values.join(",  "))
}

fn shown_pair(condition: &McdcCondition, number: usize) -> String {
    match condition.pair {
        _ if condition.is_folded => format!("  C{number}-Pair: constant folded"),
        Some((one, other)) => {
            let (one, other) = (one.saturating_add(1), other.saturating_add(1));
            format!("  C{number}-Pair: covered: ({one},{other})")
        }
        None => format!("  C{number}-Pair: not covered"),
    }
}
