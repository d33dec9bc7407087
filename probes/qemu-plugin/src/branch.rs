//! Conditional direct branches, by the bits of their instructions.
//!
//! What enters is an instruction's bytes as they are in memory and its address; what leaves is where it branches to, if it
//! is a conditional branch. Where an architecture is unknown, nothing is one. A32 and Thumb are not told apart by QEMU: a
//! guest is taken to run A32 until an instruction of two bytes was seen.

use covtap_insn::{Flow, Isa, instructions};

/// The instruction set of a target, by QEMU's name of it.
pub(crate) fn isa_of(target_name: &str) -> Option<Isa> {
    match target_name {
        "arm" => Some(Isa::A32),
        "aarch64" => Some(Isa::A64),
        "riscv32" => Some(Isa::Rv32),
        "riscv64" => Some(Isa::Rv64),
        "i386" => Some(Isa::X86),
        "x86_64" => Some(Isa::X86_64),
        _ => None,
    }
}

/// Where the conditional branch at `address` leads when it is taken, if `bytes` are one.
pub(crate) fn target(isa: Isa, address: u64, bytes: &[u8]) -> Option<u64> {
    let insn = instructions(isa, bytes, address).next()?;
    match insn.flow {
        Flow::Conditional { target } if insn.len_bytes == bytes.len() => target,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as assemblers make them, at 0x1000.
    #[test]
    fn conditional_branches_lead_where_assemblers_say() {
        let cases: [(Isa, &[u8], u64); 17] = [
            (Isa::A32, &[0xfe, 0xff, 0xff, 0x0a], 0x1000),
            (Isa::A32, &[0x02, 0x00, 0x00, 0xda], 0x1010),
            (Isa::Thumb, &[0xfe, 0xd0], 0x1000),
            (Isa::Thumb, &[0x08, 0xb1], 0x1006),
            (Isa::Thumb, &[0x00, 0xf0, 0x80, 0x80], 0x1104),
            (Isa::Thumb, &[0x3f, 0xf4, 0xfe, 0xaf], 0x1000),
            (Isa::A64, &[0x41, 0x00, 0x00, 0x54], 0x1008),
            (Isa::A64, &[0xe0, 0xff, 0xff, 0xb4], 0xffc),
            (Isa::A64, &[0x40, 0x00, 0x18, 0x37], 0x1008),
            (Isa::Rv64, &[0x63, 0x04, 0xb5, 0x00], 0x1008),
            (Isa::Rv64, &[0xe3, 0x1e, 0xb5, 0xfe], 0xffc),
            (Isa::Rv64, &[0x01, 0xc5], 0x1008),
            (Isa::Rv64, &[0x75, 0xfd], 0xffc),
            (Isa::X86_64, &[0x74, 0xfe], 0x1000),
            (Isa::X86_64, &[0x2e, 0x75, 0x01], 0x1004),
            (Isa::X86_64, &[0x0f, 0x84, 0, 1, 0, 0], 0x1106),
            (Isa::X86_64, &[0xe2, 0xfe], 0x1000),
        ];
        for (isa, bytes, expected) in cases {
            assert_eq!(target(isa, 0x1000, bytes), Some(expected), "{isa:?} {bytes:02x?}");
        }
    }

    #[test]
    fn other_instructions_are_none() {
        let cases: [(Isa, &[u8]); 10] = [
            (Isa::A32, &[0xfe, 0xff, 0xff, 0xea]),
            (Isa::A32, &[0xfe, 0xff, 0xff, 0x0b]),
            (Isa::Thumb, &[0xfe, 0xe7]),
            (Isa::Thumb, &[0xab, 0xdf]),
            (Isa::Thumb, &[0x00, 0xf0, 0x80, 0xf8]),
            (Isa::A64, &[0x00, 0x00, 0x00, 0x14]),
            (Isa::A64, &[0x4e, 0x00, 0x00, 0x54]),
            (Isa::Rv64, &[0x6f, 0x00, 0x00, 0x00]),
            (Isa::X86_64, &[0xeb, 0xfe]),
            (Isa::X86_64, &[]),
        ];
        for (isa, bytes) in cases {
            assert_eq!(target(isa, 0x1000, bytes), None, "{isa:?} {bytes:02x?}");
        }
    }
}
