//! TF-A's trace dump, a file for each component: address, times executed and length of each instruction, ascending.
//!
//! ```text
//! 0010065c 1 4
//! ```
//!
//! Source: `coverage_trace.cc` of the coverage tool that TF-A uses, `"%08x %lu %lu\n"`. Logs of continuous integration put
//! a file's name before each line.

use super::super::TraceBuilder;
use super::Options;
use super::input::{Fault, Input, decimal, hex};

/// Address, count and length.
fn parse(line: &str) -> Option<(u64, u64, u64)> {
    let mut words = line.split_ascii_whitespace().rev();
    let len_bytes = decimal(words.next()?)?;
    let count = decimal(words.next()?)?;
    let pc = words.next()?;
    let pc = pc.rsplit_once(':').map_or(pc, |(_, pc)| pc);
    // A name is one word, or joined to the address.
    words.nth(1).is_none().then_some((hex(pc)?, count, len_bytes))
}

pub(super) fn tells(line: &str) -> bool {
    parse(line).is_some()
}

pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    while let Some(line) = input.line()? {
        if line.trim().is_empty() {
            continue;
        }
        let Some((pc, count, len_bytes)) = parse(&line) else {
            return Err(input.wrong_line("it is not an address, a count and a length"));
        };
        trace.block("", pc, len_bytes.max(1), count)?;
    }
    Ok(())
}
