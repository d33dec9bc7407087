//! A64. Source: Arm Architecture Reference Manual for A-profile (DDI 0487), C4.1.

use crate::{Decoded, Flow, away, bits, u32_at};

/// Decodes the instruction at the beginning of `code`; `None` if there is no whole one.
pub(crate) fn decode(code: &[u8], address: u64) -> Option<Decoded> {
    u32_at(code, 0).map(|insn| Decoded::new(4, flow(insn, address)))
}

fn flow(insn: u32, address: u64) -> Flow {
    let target = |at, len| Some(away(address, bits(insn, at, len) << 2, len + 2));
    match insn >> 24 {
        0x14..=0x17 => Flow::Jump { target: target(0, 26) },
        0x94..=0x97 => Flow::Call { target: target(0, 26) },
        // B.cond; conditions 14 and 15 are both always.
        0x54 if bits(insn, 1, 3) == 7 => Flow::Jump { target: target(5, 19) },
        0x54 => Flow::Conditional { target: target(5, 19) },
        // CBZ, CBNZ of both widths, and TBZ, TBNZ, whose highest bit belongs to a number.
        0x34 | 0x35 | 0xb4 | 0xb5 => Flow::Conditional { target: target(5, 19) },
        0x36 | 0x37 | 0xb6 | 0xb7 => Flow::Conditional { target: target(5, 14) },
        0xd6 | 0xd7 => by_register(insn),
        // UDF.
        0x00 if insn >> 16 == 0 => Flow::Invalid,
        _ => Flow::Next,
    }
}

/// 1101011 opc: bit 24 tells a second register that authenticates the first.
fn by_register(insn: u32) -> Flow {
    if bits(insn, 16, 5) != 0x1f {
        return Flow::Invalid;
    }
    match bits(insn, 21, 4) {
        0b0000 | 0b1000 => Flow::Jump { target: None },
        0b0001 | 0b1001 => Flow::Call { target: None },
        // RET, ERET, DRPS.
        0b0010 | 0b0100 | 0b0101 => Flow::Return,
        _ => Flow::Invalid,
    }
}
