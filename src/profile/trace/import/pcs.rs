//! An address on each line, in hexadecimal, each time that the instruction there was executed; Renode's text form has its
//! bytes behind it.
//!
//! ```text
//! 0x80001A34
//! 80001a36: 0x0505
//! ```
//!
//! Source: Renode's `CreateExecutionTracing` with `PC` and `PCAndOpcode`. What always holds: every line that is not
//! empty is an address.

use super::super::TraceBuilder;
use super::Options;
use super::input::{Fault, Input, hex};

/// An address and the length of the instruction there, 1 if that is not said.
fn parse(line: &str) -> Option<(u64, u64)> {
    let Some((pc, opcode)) = line.trim().split_once(':') else { return Some((hex(line.trim())?, 1)) };
    let opcode = opcode.trim().strip_prefix("0x")?;
    let len_bytes = u64::try_from(opcode.len()).ok()?.div_ceil(2);
    opcode.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some((hex(pc)?, len_bytes.max(1)))
}

/// Whether only such a trace has this line. (Three digits are not a word that happens to be hexadecimal.)
pub(super) fn tells(line: &str) -> bool {
    parse(line).is_some() && line.bytes().any(|byte| byte.is_ascii_digit())
}

pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    while let Some(line) = input.line()? {
        if line.trim().is_empty() {
            continue;
        }
        let Some((pc, len_bytes)) = parse(&line) else {
            return Err(input.wrong_line("it is no address"));
        };
        trace.block("", pc, len_bytes, 1)?;
    }
    Ok(())
}
