//! What QEMU's plugin `hotblocks` prints at its end: the blocks that ran most often.
//!
//! ```text
//! collected 903 entries in the hash table
//! pc, tcount, icount, ecount
//! 0x000000000041ed10, 1, 5, 66087          address, times translated, instructions, times executed
//! ```
//!
//! Source: `contrib/plugins/hotblocks.c` of QEMU 10.0. What always holds: if fewer blocks are there than were collected
//! (without `limit=` there are 20, and one is always left out up to QEMU 10.1), what is not there may have run. A block
//! is as long as its first instruction if it is not known how long instructions are.

use super::super::{Counting, TraceBuilder};
use super::Options;
use super::input::{Fault, Input, decimal, hex};

const HEAD: &str = "pc, tcount, icount, ecount";

/// How many blocks there are.
fn collected(line: &str) -> Option<u64> {
    decimal(line.strip_prefix("collected ")?.strip_suffix(" entries in the hash table")?)
}

pub(super) fn tells(line: &str) -> bool {
    line == HEAD || collected(line).is_some()
}

/// Address, instructions and count.
fn parse(line: &str) -> Option<(u64, u64, u64)> {
    let mut fields = line.splitn(4, ", ");
    let pc = hex(fields.next()?.strip_prefix("0x")?)?;
    decimal(fields.next()?)?;
    let num_insns = decimal(fields.next()?)?;
    // Newer ones have the symbol behind it.
    let count = fields.next()?.split(' ').next()?;
    Some((pc, num_insns, decimal(count)?))
}

pub(super) fn decode(
    input: &mut Input<'_>,
    options: &Options,
    trace: &mut TraceBuilder,
) -> Result<(), Fault> {
    let (mut num_blocks, mut num_collected) = (0u64, None);
    let decoded = blocks(input, options, trace, &mut num_blocks, &mut num_collected);
    if num_collected.is_none_or(|collected| num_blocks < collected) {
        trace.say_no_more_than(Counting::Samples);
    }
    decoded
}

fn blocks(
    input: &mut Input<'_>,
    options: &Options,
    trace: &mut TraceBuilder,
    num_blocks: &mut u64,
    num_collected: &mut Option<u64>,
) -> Result<(), Fault> {
    let mut is_table = false;
    while let Some(line) = input.line()? {
        *num_collected = num_collected.or_else(|| collected(&line));
        if line == HEAD {
            is_table = true;
        } else if let Some((pc, num_insns, count)) = parse(&line).filter(|_| is_table) {
            let len_bytes = options.insn_bytes.and_then(|len| num_insns.checked_mul(len)).unwrap_or(1);
            trace.block("", pc, len_bytes, count)?;
            *num_blocks += 1;
        }
    }
    Ok(())
}
