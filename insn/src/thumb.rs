//! T32. Source: Arm Architecture Reference Manual ARMv7-M (DDI 0403), A5 and A7; Armv8-M (DDI 0553) for loops.

use crate::{Decoded, Flow, away32, bits, u16_at};

/// How far an IT block goes on: the instructions of it are executed under its condition.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct ItBlock {
    left: u32,
}

impl ItBlock {
    /// Begins with an IT instruction. The lowest bit of the mask that is set ends it.
    fn begin(&mut self, mask: u32) {
        self.left = 4 - mask.trailing_zeros().min(4);
    }

    /// Whether the next instruction belongs to it.
    fn takes(&mut self) -> bool {
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        takes
    }
}

/// Decodes the instruction at the beginning of `code`; `None` if there is no whole one.
pub(crate) fn decode(code: &[u8], address: u64, it_block: &mut ItBlock) -> Option<Decoded> {
    let first = u32::from(u16_at(code, 0)?);
    let takes = it_block.takes();
    // 11101, 11110 and 11111 begin 32 bits.
    let decoded = if first >= 0xe800 {
        Decoded::new(4, flow32(first, u32::from(u16_at(code, 2)?), address))
    } else {
        if first & 0xff00 == 0xbf00 && first & 0xf != 0 {
            it_block.begin(first & 0xf);
        }
        Decoded::new(2, flow16(first, address))
    };
    Some(if takes { decoded.under_condition() } else { decoded })
}

fn flow16(insn: u32, address: u64) -> Flow {
    let pc = address.wrapping_add(4);
    let target = |offset, len| Some(away32(pc, offset, len));
    match insn {
        // 1101 cond imm8, of which 14 is undefined and 15 calls the system.
        0xd000..=0xddff => Flow::Conditional { target: target(bits(insn, 0, 8) << 1, 9) },
        0xde00..=0xdeff => Flow::Invalid,
        0xe000..=0xe7ff => Flow::Jump { target: target(bits(insn, 0, 11) << 1, 12) },
        // CBZ, CBNZ: 1011 x0i1 imm5, forwards only.
        _ if insn & 0xf500 == 0xb100 => {
            let offset = (bits(insn, 9, 1) << 6) | (bits(insn, 3, 5) << 1);
            Flow::Conditional { target: target(offset, 32) }
        }
        // BX, and with bit 7 BLX. BXNS and BLXNS have bit 2.
        _ if insn & 0xff80 == 0x4700 && bits(insn, 3, 4) == 14 => Flow::Return,
        _ if insn & 0xff80 == 0x4700 => Flow::Jump { target: None },
        _ if insn & 0xff80 == 0x4780 => Flow::Call { target: None },
        // POP with the pc.
        _ if insn & 0xff00 == 0xbd00 => Flow::Return,
        // MOV pc, lr; MOV pc, Rm; ADD pc, Rm.
        0x46f7 => Flow::Return,
        _ if insn & 0xff87 == 0x4687 || insn & 0xff87 == 0x4487 => Flow::Jump { target: None },
        _ => Flow::Next,
    }
}

fn flow32(first: u32, second: u32, address: u64) -> Flow {
    let pc = address.wrapping_add(4);
    if first & 0xf800 == 0xf000 && second & 0x8000 != 0 {
        return branch32(first, second, pc);
    }
    match first {
        // TBB, TBH.
        _ if first & 0xfff0 == 0xe8d0 && second & 0xffe0 == 0xf000 => Flow::Jump { target: None },
        // LDR pc, of whatever form.
        _ if first & 0xff70 == 0xf850 && second >= 0xf000 => match (first, second) {
            // From the stack, which is popped.
            (0xf85d, 0xfb04) => Flow::Return,
            _ => Flow::Jump { target: None },
        },
        // LDM with the pc: popped, if from the stack.
        _ if matches!(first & 0xffd0, 0xe890 | 0xe910) && second & 0x8000 != 0 => {
            if first == 0xe8bd {
                Flow::Return
            } else {
                Flow::Jump { target: None }
            }
        }
        // RFE.
        _ if matches!(first & 0xffd0, 0xe810 | 0xe990) => Flow::Return,
        _ => Flow::Next,
    }
}

/// 11110 and a second half that begins with 1: branches and miscellaneous control.
fn branch32(first: u32, second: u32, pc: u64) -> Flow {
    let sign = bits(first, 10, 1);
    let (j1, j2) = (bits(second, 13, 1), bits(second, 11, 1));
    // I1 and I2 are the negated differences of J1 and J2 from the sign.
    let far = |low: u32| {
        let (i1, i2) = (1 ^ j1 ^ sign, 1 ^ j2 ^ sign);
        (sign << 24) | (i1 << 23) | (i2 << 22) | (bits(first, 0, 10) << 12) | low
    };
    match second & 0xd000 {
        0x8000 if bits(first, 6, 4) < 14 => {
            let low = (bits(first, 0, 6) << 12) | (bits(second, 0, 11) << 1);
            let offset = (sign << 20) | (j2 << 19) | (j1 << 18) | low;
            Flow::Conditional { target: Some(away32(pc, offset, 21)) }
        }
        // SUBS pc, lr: a return from an exception.
        0x8000 if first == 0xf3de && second & 0xff00 == 0x8f00 => Flow::Return,
        // UDF.
        0x8000 if first & 0xfff0 == 0xf7f0 && second & 0xf000 == 0xa000 => Flow::Invalid,
        0x8000 => Flow::Next,
        0x9000 => Flow::Jump { target: Some(away32(pc, far(bits(second, 0, 11) << 1), 25)) },
        0xc000 if second & 1 == 1 => low_overhead_loop(first, second, pc),
        // BLX to A32 code, which is aligned to 4.
        0xc000 => Flow::Call { target: Some(away32(pc & !3, far(bits(second, 1, 10) << 2), 25)) },
        _ => Flow::Call { target: Some(away32(pc, far(bits(second, 0, 11) << 1), 25)) },
    }
}

/// WLS begins a loop or jumps over it, LE ends one.
fn low_overhead_loop(first: u32, second: u32, pc: u64) -> Flow {
    let offset = (bits(second, 1, 10) << 2) | (bits(second, 11, 1) << 1);
    match first {
        // DLS, which begins a loop in any case.
        _ if second & 0x2000 != 0 => Flow::Next,
        0xf00f | 0xf01f | 0xf02f => {
            Flow::Conditional { target: Some(pc.wrapping_sub(offset.into()) & u64::from(u32::MAX)) }
        }
        0xf000..=0xf04f => Flow::Conditional { target: Some(away32(pc, offset, 32)) },
        _ => Flow::Next,
    }
}
