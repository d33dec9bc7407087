//! A decision that gcov counted: how many outcomes of its conditions were seen, and which were not.
//!
//! The words are those of `gcov --conditions`, releases 14 and 15; gcov knows lines alone, and numbers conditions from 0.

use std::io::{self, Write};

use super::Printer;
use super::view::bars;
use crate::coverage::gcov::ConditionCount;
use crate::write::paint::ON_RED;

/// Writes the decision of the line, `depth` bars from the left.
pub(super) fn print(
    line: u32,
    decision: &ConditionCount,
    printer: &Printer<'_>,
    depth: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    bars(depth, out)?;
    let (covered, count) = (decision.covered(), decision.count());
    writeln!(out, "  Decision ({line}): condition outcomes covered {covered}/{count}")?;
    for (number, outcomes) in decision.not_covered() {
        bars(depth, out)?;
        let outcomes = ["true", "false"].into_iter().zip(outcomes);
        let names: Vec<&str> = outcomes.filter_map(|(name, is_seen)| (!is_seen).then_some(name)).collect();
        out.write_all(b"    ")?;
        let text = format!("condition {number} not covered ({})", names.join(" "));
        printer.paint.text(Some(ON_RED), text, out)?;
        writeln!(out)?;
    }
    Ok(())
}
