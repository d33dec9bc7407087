//! A32. Source: Arm Architecture Reference Manual ARMv7-A and -R (DDI 0406), A5 and A8.

use crate::{Decoded, Flow, away32, bits, u32_at};

/// The condition of what is always executed.
const ALWAYS: u32 = 14;

/// Decodes the instruction at the beginning of `code`; `None` if there is no whole one.
pub(crate) fn decode(code: &[u8], address: u64) -> Option<Decoded> {
    let insn = u32_at(code, 0)?;
    let decoded = |flow| Decoded::new(4, flow);
    Some(match insn >> 28 {
        15 => decoded(unconditional(insn, address)),
        ALWAYS => decoded(flow(insn, address)),
        _ => decoded(flow(insn, address)).under_condition(),
    })
}

/// What has 15 in place of a condition.
fn unconditional(insn: u32, address: u64) -> Flow {
    // BLX to Thumb code; bit 24 is the second lowest of the distance.
    if insn & 0xfe00_0000 == 0xfa00_0000 {
        let offset = (bits(insn, 0, 24) << 2) | (bits(insn, 24, 1) << 1);
        return Flow::Call { target: Some(away32(address.wrapping_add(8), offset, 26)) };
    }
    // RFE.
    if insn & 0xfe50_0000 == 0xf810_0000 { Flow::Return } else { Flow::Next }
}

fn flow(insn: u32, address: u64) -> Flow {
    let target = || Some(away32(address.wrapping_add(8), bits(insn, 0, 24) << 2, 26));
    match insn & 0x0fff_ffff {
        0x0a00_0000..=0x0aff_ffff => Flow::Jump { target: target() },
        0x0b00_0000..=0x0bff_ffff => Flow::Call { target: target() },
        0x012f_ff1e => Flow::Return,
        0x012f_ff10..=0x012f_ff2f => Flow::Jump { target: None },
        0x012f_ff30..=0x012f_ff3f => Flow::Call { target: None },
        // ERET.
        0x0160_006e => Flow::Return,
        _ => writes_pc(insn),
    }
}

/// Loads and calculations whose result is the pc.
fn writes_pc(insn: u32) -> Flow {
    let (rd, rn) = (bits(insn, 12, 4), bits(insn, 16, 4));
    match bits(insn, 25, 3) {
        // LDM with the pc: a return, if from the stack or with the saved status.
        0b100 if insn & 0x0010_8000 == 0x0010_8000 => {
            if rn == 13 || bits(insn, 22, 1) == 1 {
                Flow::Return
            } else {
                Flow::Jump { target: None }
            }
        }
        // LDR pc; with bits 25 and 4 it is no load.
        0b010 | 0b011 if insn & 0x0050_0000 == 0x0010_0000 && rd == 15 => {
            match (bits(insn, 25, 1) & bits(insn, 4, 1), insn & 0x0fff_ffff) {
                (1, _) => Flow::Next,
                (_, 0x049d_f004) => Flow::Return,
                _ => Flow::Jump { target: None },
            }
        }
        0b000 | 0b001 if rd == 15 && calculates(insn) => match insn & 0x0fff_ffff {
            // MOV pc, lr; with the status it is a return from an exception.
            0x01a0_f00e => Flow::Return,
            _ if bits(insn, 20, 1) == 1 => Flow::Return,
            _ => Flow::Jump { target: None },
        },
        _ => Flow::Next,
    }
}

/// Whether it is a calculation with a result: no comparison, no multiplication, and nothing that is encoded among them.
fn calculates(insn: u32) -> bool {
    let is_comparison_or_other = bits(insn, 23, 2) == 0b10;
    let is_multiplication_or_other = bits(insn, 25, 1) == 0 && bits(insn, 4, 1) == 1 && bits(insn, 7, 1) == 1;
    !is_comparison_or_other && !is_multiplication_or_other
}
