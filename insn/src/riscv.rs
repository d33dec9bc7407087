//! RISC-V, with compressed instructions. Source: The RISC-V Instruction Set Manual, volume I (20240411), chapters 1.5,
//! 2.5 and 27; volume II for the returns of traps.

use crate::{Decoded, Flow, away, bits, u16_at, u32_at};

/// The width of registers and addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    Bits32,
    Bits64,
}

impl Width {
    fn away(self, from: u64, offset: u32, len: u32) -> u64 {
        let to = away(from, offset, len);
        match self {
            Self::Bits32 => to & u64::from(u32::MAX),
            Self::Bits64 => to,
        }
    }
}

/// Decodes the instruction at the beginning of `code`; `None` if there is no whole one.
pub(crate) fn decode(code: &[u8], address: u64, width: Width) -> Option<Decoded> {
    let first = u32::from(u16_at(code, 0)?);
    let decoded = match first {
        0 => Decoded::new(2, Flow::Invalid),
        _ if first & 3 != 3 => Decoded::new(2, compressed(first, address, width)),
        _ if first & 0x1c != 0x1c => Decoded::new(4, flow(u32_at(code, 0)?, address, width)),
        // Longer ones are reserved for extensions, which have none yet.
        _ if first & 0x3f == 0x1f => Decoded::new(6, Flow::Invalid),
        _ if first & 0x7f == 0x3f => Decoded::new(8, Flow::Invalid),
        _ => Decoded::new(2, Flow::Invalid),
    };
    (decoded.len_bytes <= code.len()).then_some(decoded)
}

fn flow(insn: u32, address: u64, width: Width) -> Flow {
    let (rd, rs1, funct3) = (bits(insn, 7, 5), bits(insn, 15, 5), bits(insn, 12, 3));
    match bits(insn, 0, 7) {
        0x63 if matches!(funct3, 2 | 3) => Flow::Invalid,
        0x63 => {
            let offset = (bits(insn, 31, 1) << 12)
                | (bits(insn, 7, 1) << 11)
                | (bits(insn, 25, 6) << 5)
                | (bits(insn, 8, 4) << 1);
            Flow::Conditional { target: Some(width.away(address, offset, 13)) }
        }
        0x6f => {
            let offset = (bits(insn, 31, 1) << 20)
                | (bits(insn, 12, 8) << 12)
                | (bits(insn, 20, 1) << 11)
                | (bits(insn, 21, 10) << 1);
            let target = Some(width.away(address, offset, 21));
            if rd == 0 { Flow::Jump { target } } else { Flow::Call { target } }
        }
        0x67 if funct3 == 0 => by_register(rd, rs1),
        // URET, SRET, MRET, DRET.
        0x73 if matches!(insn, 0x0020_0073 | 0x1020_0073 | 0x3020_0073 | 0x7b20_0073) => Flow::Return,
        _ => Flow::Next,
    }
}

/// x1 and x5 are the registers that keep where to return to.
fn by_register(rd: u32, rs1: u32) -> Flow {
    match (rd, rs1) {
        (0, 1 | 5) => Flow::Return,
        (0, _) => Flow::Jump { target: None },
        _ => Flow::Call { target: None },
    }
}

fn compressed(insn: u32, address: u64, width: Width) -> Flow {
    let jump = || {
        let offset = (bits(insn, 12, 1) << 11)
            | (bits(insn, 8, 1) << 10)
            | (bits(insn, 9, 2) << 8)
            | (bits(insn, 6, 1) << 7)
            | (bits(insn, 7, 1) << 6)
            | (bits(insn, 2, 1) << 5)
            | (bits(insn, 11, 1) << 4)
            | (bits(insn, 3, 3) << 1);
        Some(width.away(address, offset, 12))
    };
    match (insn & 3, bits(insn, 13, 3)) {
        // C.JAL; with 64 bits it is an addition.
        (1, 0b001) if width == Width::Bits32 => Flow::Call { target: jump() },
        (1, 0b101) => Flow::Jump { target: jump() },
        (1, 0b110 | 0b111) => {
            let offset = (bits(insn, 12, 1) << 8)
                | (bits(insn, 5, 2) << 6)
                | (bits(insn, 2, 1) << 5)
                | (bits(insn, 10, 2) << 3)
                | (bits(insn, 3, 2) << 1);
            Flow::Conditional { target: Some(width.away(address, offset, 9)) }
        }
        // C.JR and C.JALR: no second register, and a first one.
        (2, 0b100) if bits(insn, 2, 5) == 0 && bits(insn, 7, 5) != 0 => {
            by_register(bits(insn, 12, 1), bits(insn, 7, 5))
        }
        _ => Flow::Next,
    }
}
