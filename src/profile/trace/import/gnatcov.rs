//! GNATcoverage's object traces, as GNATemulator and its tools for other targets write them.
//!
//! ```text
//! 0  "#QEMU-Traces"                       header
//! 12 u8 version (1)
//! 13 u8 kind: 0 flat, 1 history, 2 information, 3 decision map, 248 consolidated
//! 14 u8 length of an address (4, 8)
//! 15 u8 whether all that follows is big-endian
//! 16 u16 ELF machine, always big-endian
//! 18 u16 0
//! information: {u32 kind, u32 length, data up to the next multiple of 4} until kind 0, then another header
//! entries:     {u32 pc, u16 size, u8 op, u8 0} or {u64 pc, u16 size, u8 op, 5 * u8 0}
//! op:          0x10 block executed, 0x20 fault, 0x01 branch, 0x02 fall-through, 0x80 special
//! ```
//!
//! Source: `qemu_traces.ads` of GNATcoverage and `qemu-trace.h` of Couverture's QEMU.
//!
//! What always holds: a block is in a flat trace once, so that nothing says how often it ran. A branch is at its block's
//! last instruction: which way it went is kept where all instructions have one length and no delay slots. What faulted is left
//! out, since the size does not say how far it came.

use super::super::{TraceBuilder, Ways};
use super::Options;
use super::input::{Fault, Input};
use crate::image::uint;
use covtap_link::Endianness;

const FLAT: u8 = 0;
const HISTORY: u8 = 1;
const INFO: u8 = 2;

const BLOCK: u8 = 0x10;
const FAULT: u8 = 0x20;
const BRANCH: u8 = 0x01;
const FALL_THROUGH: u8 = 0x02;
const SPECIAL: u8 = 0x80;

/// More than any path or description has.
const MAX_INFO_BYTES: u64 = 1 << 20;

/// Machines whose instructions have one length, and whose branches are the last of their blocks: EM_PPC and EM_PPC64.
const INSN_BYTES: [(u16, u64); 2] = [(20, 4), (21, 4)];

struct Header {
    kind: u8,
    pc_bytes: u8,
    endianness: Endianness,
    machine: u16,
}

pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    let mut header = header(input)?;
    if header.kind == INFO {
        pass_over_info(input, header.endianness)?;
        header = self::header(input)?;
    }
    if !matches!(header.kind, FLAT | HISTORY) {
        return Err(input.wrong_byte(format!("kind {} has no code that was executed", header.kind)));
    }
    let insn_bytes = INSN_BYTES.iter().find(|(machine, _)| *machine == header.machine).map(|(_, len)| *len);
    if insn_bytes.is_some() {
        trace.look_at_branches();
    }
    while let Some((pc, size, op)) = entry(input, &header)? {
        if op & (SPECIAL | FAULT) != 0 || op & (BLOCK | BRANCH | FALL_THROUGH) == 0 {
            continue;
        }
        trace.block("", pc, size, 1)?;
        let last = insn_bytes.and_then(|len| pc.checked_add(size.checked_sub(len)?));
        if let Some(last) = last.filter(|_| op & (BRANCH | FALL_THROUGH) != 0) {
            let way = |bit| u64::from(op & bit != 0);
            let ways = Ways { taken: way(BRANCH), fell_through: way(FALL_THROUGH) };
            trace.branch("", last, ways)?;
        }
    }
    Ok(())
}

fn header(input: &mut Input<'_>) -> Result<Header, Fault> {
    let magic: [u8; 12] = input.bytes()?;
    let [version, kind, pc_bytes, is_big, machine_hi, machine_lo, _, _]: [u8; 8] = input.bytes()?;
    if magic != *b"#QEMU-Traces" || version != 1 {
        return Err(input.wrong_byte("there is no header of version 1 before it"));
    }
    if !matches!(pc_bytes, 4 | 8) || is_big > 1 {
        return Err(input.wrong_byte("the header before it has another length of addresses or byte order"));
    }
    let endianness = if is_big == 1 { Endianness::Big } else { Endianness::Little };
    Ok(Header { kind, pc_bytes, endianness, machine: u16::from_be_bytes([machine_hi, machine_lo]) })
}

fn pass_over_info(input: &mut Input<'_>, endianness: Endianness) -> Result<(), Fault> {
    loop {
        let [k0, k1, k2, k3, len @ ..]: [u8; 8] = input.bytes()?;
        let (kind, len_bytes) = (uint(&[k0, k1, k2, k3], endianness), uint(&len, endianness));
        if kind == 0 {
            return Ok(());
        }
        if len_bytes > MAX_INFO_BYTES {
            return Err(input.wrong_byte(format!("information of {len_bytes} bytes")));
        }
        input.skip(len_bytes.next_multiple_of(4))?;
    }
}

/// Address, size and operation.
fn entry(input: &mut Input<'_>, header: &Header) -> Result<Option<(u64, u64, u8)>, Fault> {
    let number = |bytes: &[u8]| uint(bytes, header.endianness);
    if header.pc_bytes == 4 {
        let entry = input.record()?.map(|entry: [u8; 8]| {
            let [p0, p1, p2, p3, s0, s1, op, _] = entry;
            (number(&[p0, p1, p2, p3]), number(&[s0, s1]), op)
        });
        return Ok(entry);
    }
    Ok(input.record()?.map(|entry: [u8; 16]| {
        let [p0, p1, p2, p3, p4, p5, p6, p7, s0, s1, op, ..] = entry;
        (number(&[p0, p1, p2, p3, p4, p5, p6, p7]), number(&[s0, s1]), op)
    }))
}
