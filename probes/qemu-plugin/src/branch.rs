//! Conditional direct branches, by the bits of their instructions.
//!
//! What enters is an instruction's bytes as they are in memory and its address; what leaves is where it branches to, if it
//! is a conditional branch. Where an architecture is unknown, nothing is one. A32 and Thumb are not told apart by QEMU: a
//! guest is taken to run A32 until an instruction of two bytes was seen.

/// Instruction sets whose branches are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Set {
    A32,
    Thumb,
    A64,
    RiscV,
    X86,
}

impl Set {
    /// By QEMU's name of the target.
    pub(crate) fn of(target_name: &str) -> Option<Self> {
        match target_name {
            "arm" => Some(Self::A32),
            "aarch64" => Some(Self::A64),
            "riscv32" | "riscv64" => Some(Self::RiscV),
            "i386" | "x86_64" => Some(Self::X86),
            _ => None,
        }
    }

    /// Where the conditional branch at `address` leads when it is taken.
    pub(crate) fn target(self, address: u64, bytes: &[u8]) -> Option<u64> {
        let offset = match (self, bytes) {
            (Self::A32, [a, b, c, d]) => a32(u32::from_le_bytes([*a, *b, *c, *d]))?,
            (Self::Thumb, [a, b]) => thumb(u16::from_le_bytes([*a, *b]))?,
            (Self::Thumb, [a, b, c, d]) => {
                thumb2(u16::from_le_bytes([*a, *b]).into(), u16::from_le_bytes([*c, *d]).into())?
            }
            (Self::A64, [a, b, c, d]) => a64(u32::from_le_bytes([*a, *b, *c, *d]))?,
            (Self::RiscV, [a, b]) => riscv_compressed(u16::from_le_bytes([*a, *b]).into())?,
            (Self::RiscV, [a, b, c, d]) => riscv(u32::from_le_bytes([*a, *b, *c, *d]))?,
            (Self::X86, _) => x86(bytes)?,
            _ => return None,
        };
        Some(address.wrapping_add_signed(offset))
    }
}

/// `bits` as a signed number of `width` bits.
fn signed(bits: u32, width: u32) -> i64 {
    let unused = 32_u32.saturating_sub(width);
    i64::from((bits << unused).cast_signed() >> unused)
}

/// `count` bits of a word from bit `from` on, moved to bit `to`.
fn bits(word: u32, from: u32, count: u32, to: u32) -> u32 {
    ((word >> from) & ((1 << count) - 1)) << to
}

/// B<c>: the condition is in the upper four bits, and 14 is always.
fn a32(word: u32) -> Option<i64> {
    (word >> 28 < 14 && bits(word, 24, 4, 0) == 0b1010).then(|| signed(word << 2, 26) + 8)
}

/// B<c> and CBZ, CBNZ.
fn thumb(half: u16) -> Option<i64> {
    let word = u32::from(half);
    if word >> 12 == 0xd && bits(word, 8, 4, 0) < 14 {
        return Some(signed(bits(word, 0, 8, 1), 9) + 4);
    }
    (word & 0xf500 == 0xb100).then(|| i64::from(bits(word, 3, 5, 1) | bits(word, 9, 1, 6)) + 4)
}

/// B<c>.W.
fn thumb2(first: u32, second: u32) -> Option<i64> {
    let is_branch = first & 0xf800 == 0xf000 && second & 0xd000 == 0x8000 && bits(first, 6, 4, 0) < 14;
    let offset = bits(second, 0, 11, 1)
        | bits(first, 0, 6, 12)
        | bits(second, 13, 1, 18)
        | bits(second, 11, 1, 19)
        | bits(first, 10, 1, 20);
    is_branch.then(|| signed(offset, 21) + 4)
}

/// B.cond, BC.cond; CBZ, CBNZ; TBZ, TBNZ.
fn a64(word: u32) -> Option<i64> {
    if word >> 24 == 0x54 {
        return (word & 0xf < 14).then(|| signed(bits(word, 5, 19, 2), 21));
    }
    match word & 0x7e00_0000 {
        0x3400_0000 => Some(signed(bits(word, 5, 19, 2), 21)),
        0x3600_0000 => Some(signed(bits(word, 5, 14, 2), 16)),
        _ => None,
    }
}

/// BEQ, BNE, BLT, BGE, BLTU, BGEU.
fn riscv(word: u32) -> Option<i64> {
    let is_branch = word & 0x7f == 0x63 && !matches!(bits(word, 12, 3, 0), 2 | 3);
    let offset = bits(word, 8, 4, 1) | bits(word, 25, 6, 5) | bits(word, 7, 1, 11) | bits(word, 31, 1, 12);
    is_branch.then(|| signed(offset, 13))
}

/// C.BEQZ, C.BNEZ.
fn riscv_compressed(half: u32) -> Option<i64> {
    let is_branch = half & 3 == 1 && half >> 14 == 3;
    let offset = bits(half, 3, 2, 1)
        | bits(half, 10, 2, 3)
        | bits(half, 2, 1, 5)
        | bits(half, 5, 2, 6)
        | bits(half, 12, 1, 8);
    is_branch.then(|| signed(offset, 9))
}

/// Jcc, LOOP, LOOPE, LOOPNE, JCXZ, behind any prefixes. What is left of the instruction is the offset.
fn x86(bytes: &[u8]) -> Option<i64> {
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let at = bytes.iter().position(|byte| !is_prefix(byte))?;
    let offset: i64 = match bytes.get(at..)? {
        [0x70..=0x7f | 0xe0..=0xe3, offset] => offset.cast_signed().into(),
        [0x0f, 0x80..=0x8f, a, b] => i16::from_le_bytes([*a, *b]).into(),
        [0x0f, 0x80..=0x8f, a, b, c, d] => i32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => return None,
    };
    offset.checked_add_unsigned(bytes.len().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as assemblers make them, at 0x1000.
    #[test]
    fn conditional_branches_lead_where_assemblers_say() {
        let cases: [(Set, &[u8], u64); 17] = [
            (Set::A32, &[0xfe, 0xff, 0xff, 0x0a], 0x1000),
            (Set::A32, &[0x02, 0x00, 0x00, 0xda], 0x1010),
            (Set::Thumb, &[0xfe, 0xd0], 0x1000),
            (Set::Thumb, &[0x08, 0xb1], 0x1006),
            (Set::Thumb, &[0x00, 0xf0, 0x80, 0x80], 0x1104),
            (Set::Thumb, &[0x3f, 0xf4, 0xfe, 0xaf], 0x1000),
            (Set::A64, &[0x41, 0x00, 0x00, 0x54], 0x1008),
            (Set::A64, &[0xe0, 0xff, 0xff, 0xb4], 0xffc),
            (Set::A64, &[0x40, 0x00, 0x18, 0x37], 0x1008),
            (Set::RiscV, &[0x63, 0x04, 0xb5, 0x00], 0x1008),
            (Set::RiscV, &[0xe3, 0x1e, 0xb5, 0xfe], 0xffc),
            (Set::RiscV, &[0x01, 0xc5], 0x1008),
            (Set::RiscV, &[0x75, 0xfd], 0xffc),
            (Set::X86, &[0x74, 0xfe], 0x1000),
            (Set::X86, &[0x2e, 0x75, 0x01], 0x1004),
            (Set::X86, &[0x0f, 0x84, 0, 1, 0, 0], 0x1106),
            (Set::X86, &[0xe2, 0xfe], 0x1000),
        ];
        for (set, bytes, target) in cases {
            assert_eq!(set.target(0x1000, bytes), Some(target), "{set:?} {bytes:02x?}");
        }
    }

    #[test]
    fn other_instructions_are_none() {
        let cases: [(Set, &[u8]); 10] = [
            (Set::A32, &[0xfe, 0xff, 0xff, 0xea]),
            (Set::A32, &[0xfe, 0xff, 0xff, 0x0b]),
            (Set::Thumb, &[0xfe, 0xe7]),
            (Set::Thumb, &[0xab, 0xdf]),
            (Set::Thumb, &[0x00, 0xf0, 0x80, 0xf8]),
            (Set::A64, &[0x00, 0x00, 0x00, 0x14]),
            (Set::A64, &[0x4e, 0x00, 0x00, 0x54]),
            (Set::RiscV, &[0x6f, 0x00, 0x00, 0x00]),
            (Set::X86, &[0xeb, 0xfe]),
            (Set::X86, &[]),
        ];
        for (set, bytes) in cases {
            assert_eq!(set.target(0x1000, bytes), None, "{set:?} {bytes:02x?}");
        }
    }
}
