//! Instructions as assembly, to be read by people.
//!
//! What enters is an instruction's bytes and its address; what leaves is its text, or nothing if it has none. Nothing is
//! decided by it: lengths and branches are this crate's own. Through `capstone`, which has all of these sets, and the
//! syntax that people know from GNU and LLVM.

use capstone::arch::{
    self, BuildsCapstone, BuildsCapstoneEndian, BuildsCapstoneExtraMode, BuildsCapstoneSyntax,
};
use capstone::{Capstone, Endian};

use crate::Isa;

/// Writes instructions of one set.
pub struct Disassembler {
    capstone: Capstone,
}

impl Disassembler {
    /// For a set; `None` if there is no memory for it.
    #[must_use]
    pub fn new(isa: Isa) -> Option<Self> {
        let arm = |mode| Capstone::new().arm().mode(mode).endian(Endian::Little).build();
        let riscv = |mode| {
            let compressed = std::iter::once(arch::riscv::ArchExtraMode::RiscVC);
            Capstone::new().riscv().mode(mode).extra_mode(compressed).build()
        };
        let x86 = |mode| Capstone::new().x86().mode(mode).syntax(arch::x86::ArchSyntax::Att).build();
        let capstone = match isa {
            Isa::Thumb => arm(arch::arm::ArchMode::Thumb),
            Isa::A32 => arm(arch::arm::ArchMode::Arm),
            Isa::A64 => Capstone::new().arm64().mode(arch::arm64::ArchMode::Arm).build(),
            Isa::Rv32 => riscv(arch::riscv::ArchMode::RiscV32),
            Isa::Rv64 => riscv(arch::riscv::ArchMode::RiscV64),
            Isa::X86 => x86(arch::x86::ArchMode::Mode32),
            Isa::X86_64 => x86(arch::x86::ArchMode::Mode64),
        };
        capstone.ok().map(|capstone| Self { capstone })
    }

    /// The instruction that all of `code` is, as it is at `address`.
    #[must_use]
    pub fn text(&self, code: &[u8], address: u64) -> Option<String> {
        let insns = self.capstone.disasm_count(code, address, 1).ok()?;
        let insn = insns.iter().next().filter(|insn| insn.bytes().len() == code.len())?;
        let (name, operands) = (insn.mnemonic()?, insn.op_str().unwrap_or_default());
        Some(if operands.is_empty() { name.to_owned() } else { format!("{name} {operands}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_its_assembly() {
        let cases: [(Isa, &[u8], &str); 8] = [
            (Isa::Thumb, &[0x70, 0x47], "bx lr"),
            (Isa::Thumb, &[0x4f, 0xf0, 0x04, 0x53], "mov.w r3, #0x21000000"),
            (Isa::A32, &[0x1e, 0xff, 0x2f, 0xe1], "bx lr"),
            (Isa::A64, &[0xc0, 0x03, 0x5f, 0xd6], "ret"),
            (Isa::Rv32, &[0x82, 0x80], "c.jr ra"),
            (Isa::Rv64, &[0x13, 0x05, 0x15, 0x00], "addi a0, a0, 1"),
            (Isa::X86, &[0x55], "pushl %ebp"),
            (Isa::X86_64, &[0x75, 0x04], "jne 0x8006"),
        ];
        for (isa, code, text) in cases {
            let found = Disassembler::new(isa).and_then(|it| it.text(code, 0x8000));
            assert_eq!(found.as_deref(), Some(text), "{isa:?}");
        }
    }

    #[test]
    fn what_is_no_whole_instruction_has_none() {
        let thumb = Disassembler::new(Isa::Thumb).expect("memory");
        assert_eq!(thumb.text(&[0x4f, 0xf0], 0), None);
        assert_eq!(thumb.text(&[0x70, 0x47, 0x70, 0x47], 0), None);
        assert_eq!(thumb.text(&[], 0), None);
    }
}
