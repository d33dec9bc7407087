//! What QEMU's plugin `execlog` prints: a line for each instruction that a processor executed.
//!
//! ```text
//! 0, 0xa14, 0xf87f42b4, "ldr.w r4, [r2]", load, 0x00021f48, RAM
//! ```
//!
//! Source: `contrib/plugins/execlog.c` of QEMU 10.0. What always holds: the instruction's length is not believed, since
//! the plugin leaves out leading zeros and cuts what is longer than four bytes.

use super::super::TraceBuilder;
use super::Options;
use super::input::{Fault, Input, decimal, hex};

fn parse(line: &str) -> Option<u64> {
    let mut fields = line.splitn(4, ", ");
    decimal(fields.next()?)?;
    let pc = fields.next()?.strip_prefix("0x")?;
    fields.next()?.strip_prefix("0x").and_then(hex)?;
    fields.next()?.starts_with('"').then(|| hex(pc))?
}

pub(super) fn tells(line: &str) -> bool {
    parse(line).is_some()
}

/// Lines of other kinds that the log has, or registers, are passed over.
pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    while let Some(line) = input.line()? {
        if let Some(pc) = parse(&line) {
            trace.block("", pc, 1, 1)?;
        }
    }
    Ok(())
}
