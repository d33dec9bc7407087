//! Renode's binary execution trace.
//!
//! ```text
//! 0  "ReTrace"
//! 7  u8 version
//! 8  u8 length of an address
//! 9  u8 whether there are the instructions' bytes
//! 10 with them, version 4: u8 several instruction sets, u8 length, "triple model"
//!               version 5: u8 n, n * {u8 length, "triple model"}
//! entry: [several: at each block's beginning u8 instruction set, u64 number of instructions]
//!        address, [u8 length, the instruction's bytes]
//!        versions 4 and 5: {u8 type, data} until type 0
//! ```
//!
//! | type | data |
//! |---|---|
//! | 1 memory access | 25 bytes |
//! | 2 RISC-V vector configuration | 16 bytes |
//! | 3 RISC-V atomic instruction | u8 after it, u8 width (2: 4 bytes, 3: 8 bytes), u8 which, 4 words of that width |
//!
//! Source: `tools/execution_tracer` of Renode, `FILE_VERSION` 1, 4 and 5; all numbers are little-endian. What always holds: what
//! follows data of an unknown type cannot be told, and is not read.

use super::super::TraceBuilder;
use super::Options;
use super::input::{Fault, Input};
use crate::image::uint;
use covtap_link::Endianness;

/// What a version's header says of models.
#[derive(Clone, Copy)]
enum Models {
    None,
    One,
    Several,
}

/// By version: models, and whether entries have data of several types.
const VERSIONS: [(u8, Models, bool); 3] =
    [(1, Models::None, false), (4, Models::One, true), (5, Models::Several, true)];

/// Data of one length, by type.
const DATA_BYTES: [(u8, u64); 2] = [(1, 25), (2, 16)];
const ATOMIC: u8 = 3;
/// Widths of atomic instructions, by their numbers.
const WIDTH_BYTES: [(u8, u64); 2] = [(2, 4), (3, 8)];

struct Header {
    pc_bytes: u8,
    has_opcodes: bool,
    has_blocks: bool,
    has_data: bool,
}

pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    let header = header(input)?;
    let mut left_in_block = 0u64;
    loop {
        if header.has_blocks && left_in_block == 0 {
            let Some([_isa, len @ ..]) = input.record::<9>()? else { return Ok(()) };
            left_in_block = u64::from_le_bytes(len);
            if left_in_block == 0 {
                return Err(input.wrong_byte("the block before it has no instructions"));
            }
        }
        let Some(pc) = pc(input, header.pc_bytes)? else {
            let ends_in_block =
                header.has_blocks.then(|| input.wrong_byte("the file ends in the middle of a block"));
            return ends_in_block.map_or(Ok(()), Err);
        };
        left_in_block = left_in_block.saturating_sub(1);
        let len_bytes = if header.has_opcodes { input.byte()?.into() } else { 1u64 };
        if header.has_opcodes {
            input.skip(len_bytes)?;
        }
        if header.has_data {
            pass_over_data(input)?;
        }
        trace.block("", pc, len_bytes.max(1), 1)?;
    }
}

fn header(input: &mut Input<'_>) -> Result<Header, Fault> {
    let magic: [u8; 7] = input.bytes()?;
    let [version, pc_bytes, has_opcodes]: [u8; 3] = input.bytes()?;
    let row = VERSIONS.iter().find(|(known, ..)| magic == *b"ReTrace" && *known == version);
    let Some((_, models, has_data)) = row.copied() else {
        return Err(input
            .wrong_byte(format!("there is no header of a version that is known before it, but {version}")));
    };
    if !matches!(pc_bytes, 4 | 8) || has_opcodes > 1 {
        return Err(input.wrong_byte("the header before it has no addresses of 4 or 8 bytes"));
    }
    let has_opcodes = has_opcodes == 1;
    let has_blocks = match models {
        Models::One if has_opcodes => {
            let [several, len]: [u8; 2] = input.bytes()?;
            input.skip(len.into())?;
            several == 1
        }
        Models::Several if has_opcodes => {
            let num_models = input.byte()?;
            for _ in 0..num_models {
                let len_bytes = input.byte()?;
                input.skip(len_bytes.into())?;
            }
            num_models > 1
        }
        _ => false,
    };
    Ok(Header { pc_bytes, has_opcodes, has_blocks, has_data })
}

/// The next address.
fn pc(input: &mut Input<'_>, pc_bytes: u8) -> Result<Option<u64>, Fault> {
    let number = |bytes: &[u8]| uint(bytes, Endianness::Little);
    if pc_bytes == 4 {
        return Ok(input.record()?.map(|pc: [u8; 4]| number(&pc)));
    }
    Ok(input.record()?.map(|pc: [u8; 8]| number(&pc)))
}

fn pass_over_data(input: &mut Input<'_>) -> Result<(), Fault> {
    loop {
        let kind = input.byte()?;
        if kind == 0 {
            return Ok(());
        }
        let fixed = DATA_BYTES.iter().find(|(known, _)| *known == kind);
        match fixed {
            Some((_, len_bytes)) => input.skip(*len_bytes)?,
            None if kind == ATOMIC => {
                let [_after, width, _which]: [u8; 3] = input.bytes()?;
                let known = WIDTH_BYTES.iter().find(|(known, _)| *known == width);
                let Some((_, word_bytes)) = known else {
                    return Err(input.wrong_byte(format!("an atomic instruction of width {width} before it")));
                };
                input.skip(4 * word_bytes)?;
            }
            None => return Err(input.wrong_byte(format!("data of the unknown type {kind} before it"))),
        }
    }
}
