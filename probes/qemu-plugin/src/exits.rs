//! Which instructions are sure to be followed by the next one, by their bits.
//!
//! QEMU leaves a block in its midst where an instruction faults, or reaches a device, or has to be done by itself. What
//! enters is an instruction's bytes as they are in memory; what leaves is whether that cannot happen. What always holds: an
//! instruction that is not known is taken for one that may; what ends a block in any case does not matter here. Sources:
//! the manuals that `covtap-insn` names, and QEMU's translators for what may raise an exception there.

use covtap_insn::Isa;
use iced_x86::{
    Decoder, DecoderOptions, EncodingKind, FlowControl, Instruction, InstructionInfoFactory,
    InstructionInfoOptions, Mnemonic, OpKind,
};

/// Whether an instruction is sure to be followed by the next one.
pub(crate) fn goes_on(isa: Isa, bytes: &[u8]) -> bool {
    match (isa, bytes) {
        (Isa::Rv32 | Isa::Rv64, [a, b]) => riscv_compressed(u16::from_le_bytes([*a, *b])),
        (Isa::Rv32 | Isa::Rv64, [opcode, _, _, _]) => riscv(*opcode),
        (Isa::Thumb, [a, b]) => thumb16(u16::from_le_bytes([*a, *b])),
        (Isa::Thumb, [a, b, c, d]) => thumb32(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])),
        (Isa::A32, [a, b, c, d]) => a32(u32::from_le_bytes([*a, *b, *c, *d])),
        (Isa::A64, [a, b, c, d]) => a64(u32::from_le_bytes([*a, *b, *c, *d])),
        (Isa::X86, _) => x86(bytes, 32),
        (Isa::X86_64, _) => x86(bytes, 64),
        _ => false,
    }
}

/// Calculations with integers: OP-IMM, AUIPC, OP-IMM-32, OP, LUI, OP-32. Those of floating point may find a rounding mode
/// that is none.
fn riscv(opcode: u8) -> bool {
    matches!(opcode & 0x7f, 0x13 | 0x17 | 0x1b | 0x33 | 0x37 | 0x3b)
}

fn riscv_compressed(insn: u16) -> bool {
    match (insn & 3, insn >> 13) {
        // C.ADDI4SPN; C.SLLI, C.MV and C.ADD.
        (0, 0) | (2, 0 | 4) => true,
        // Without a number, C.LUI is an operation that may reach a shadow stack.
        (1, 3) => insn & 0x107c != 0,
        (1, _) => true,
        _ => false,
    }
}

/// What writes the stack pointer may find it beyond its limit, on Armv8-M.
fn thumb16(insn: u16) -> bool {
    match insn >> 8 {
        // Shifts, additions, comparisons and moves of numbers; calculations with registers.
        0x00..=0x43 => true,
        // ADD, CMP and MOV of high registers.
        0x44..=0x46 => insn & 0x87 != 0x85,
        // ADR and ADD of the stack pointer; extensions; reversals.
        0xa0..=0xaf | 0xb2 => true,
        0xba => insn & 0xc0 != 0x80,
        // NOP and IT.
        0xbf => insn == 0xbf00 || insn & 0xf != 0,
        _ => false,
    }
}

fn thumb32(first: u16, second: u16) -> bool {
    let writes_sp = second & 0x0f00 == 0x0d00;
    match first >> 8 {
        // Calculations with registers that are shifted, and with numbers.
        0xea | 0xeb => !writes_sp,
        0xf0..=0xf7 => second & 0x8000 == 0 && !writes_sp,
        // Shifts, extensions and the like; multiplications. Divisions may trap.
        0xfa => true,
        0xfb => first & 0xd0 != 0x90,
        _ => false,
    }
}

/// Calculations, without what is encoded among them; under a condition too.
fn a32(insn: u32) -> bool {
    let (is_immediate, is_other) = (insn & 0x0200_0000 != 0, insn & 0x0190_0000 == 0x0100_0000);
    let is_wide_move = insn & 0x0fb0_0000 == 0x0300_0000;
    let is_multiplication_or_load = !is_immediate && insn & 0x90 == 0x90;
    insn >> 28 != 15 && insn & 0x0c00_0000 == 0 && !is_multiplication_or_load && (!is_other || is_wide_move)
}

fn a64(insn: u32) -> bool {
    match (insn >> 25) & 0xf {
        // Calculations with numbers.
        8 | 9 => true,
        // Calculations with registers, but for authentication: AUT and the like, PACGA.
        5 | 13 => insn & 0xffff_0000 != 0xdac1_0000 && insn & 0xffe0_fc00 != 0x9ac0_3000,
        // Floating point and vectors: whether they may be used is known when they are translated.
        7 | 15 => insn >> 28 != 0xe,
        // NOP.
        _ => insn == 0xd503_201f,
    }
}

fn x86(bytes: &[u8], bitness: u32) -> bool {
    let mut decoder = Decoder::new(bitness, bytes, DecoderOptions::NONE);
    let insn = decoder.decode();
    // In a mode that is another than the one assumed, lengths differ.
    if insn.is_invalid() || insn.len() != bytes.len() || insn.flow_control() != FlowControl::Next {
        return false;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info_options(&insn, InstructionInfoOptions::NO_REGISTER_USAGE);
    let (mut has_vector, mut is_plain) = (false, insn.encoding() == EncodingKind::Legacy);
    for operand in 0..insn.op_count() {
        if insn.op_kind(operand) == OpKind::Register {
            let register = insn.op_register(operand);
            has_vector |= register.is_xmm();
            is_plain &= register.is_gpr() || register.is_xmm();
        }
    }
    is_plain && info.used_memory().is_empty() && (has_vector || x86_calculates(&insn))
}

/// Instructions that only calculate with general registers. Divisions may fault.
fn x86_calculates(insn: &Instruction) -> bool {
    use Mnemonic::{
        Adc, Add, And, Bsf, Bsr, Bswap, Bt, Btc, Btr, Bts, Cbw, Cdq, Cdqe, Clc, Cld, Cmc, Cmova, Cmovae,
        Cmovb, Cmovbe, Cmove, Cmovg, Cmovge, Cmovl, Cmovle, Cmovne, Cmovno, Cmovnp, Cmovns, Cmovo, Cmovp,
        Cmovs, Cmp, Cqo, Cwd, Cwde, Dec, Endbr32, Endbr64, Imul, Inc, Lea, Lzcnt, Mov, Movsx, Movsxd, Movzx,
        Mul, Neg, Nop, Not, Or, Popcnt, Rcl, Rcr, Rol, Ror, Sar, Sbb, Seta, Setae, Setb, Setbe, Sete, Setg,
        Setge, Setl, Setle, Setne, Setno, Setnp, Setns, Seto, Setp, Sets, Shl, Shld, Shr, Shrd, Stc, Std,
        Sub, Test, Tzcnt, Xchg, Xor,
    };
    matches!(
        insn.mnemonic(),
        Adc | Add
            | And
            | Bsf
            | Bsr
            | Bswap
            | Bt
            | Btc
            | Btr
            | Bts
            | Cbw
            | Cdq
            | Cdqe
            | Clc
            | Cld
            | Cmc
            | Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
            | Cmp
            | Cqo
            | Cwd
            | Cwde
            | Dec
            | Endbr32
            | Endbr64
            | Imul
            | Inc
            | Lea
            | Lzcnt
            | Mov
            | Movsx
            | Movsxd
            | Movzx
            | Mul
            | Neg
            | Nop
            | Not
            | Or
            | Popcnt
            | Rcl
            | Rcr
            | Rol
            | Ror
            | Sar
            | Sbb
            | Seta
            | Setae
            | Setb
            | Setbe
            | Sete
            | Setg
            | Setge
            | Setl
            | Setle
            | Setne
            | Setno
            | Setnp
            | Setns
            | Seto
            | Setp
            | Sets
            | Shl
            | Shld
            | Shr
            | Shrd
            | Stc
            | Std
            | Sub
            | Test
            | Tzcnt
            | Xchg
            | Xor
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(isa: Isa, goes: bool, cases: &[&[u8]]) {
        for bytes in cases {
            assert_eq!(goes_on(isa, bytes), goes, "{isa:?} {bytes:02x?}");
        }
    }

    #[test]
    fn calculations_go_on() {
        // add a0,a0,a1; lui a0,1; mul; c.addi; c.mv
        all(
            Isa::Rv64,
            true,
            &[&[0x33, 5, 0xb5, 0], &[0x37, 0x15, 0, 0], &[0x33, 5, 0xb5, 2], &[5, 5], &[0x2e, 0x85]],
        );
        // movs; adds; mov r8, r0; it eq; uxtb; movw; add.w; mul
        all(Isa::Thumb, true, &[&[1, 0x20], &[0x40, 0x18], &[0x80, 0x46], &[8, 0xbf], &[0xc0, 0xb2]]);
        all(Isa::Thumb, true, &[&[0x41, 0xf2, 0x34, 0x20], &[0, 0xeb, 1, 0], &[0, 0xfb, 1, 0xf0]]);
        // add r0, r0, r1; moveq r0, #0; movw
        all(Isa::A32, true, &[&[1, 0, 0x80, 0xe0], &[0, 0, 0xa0, 3], &[0x34, 2, 1, 0xe3]]);
        // add x0, x0, x1; mov w0, #1; fadd d0, d0, d1; nop
        all(
            Isa::A64,
            true,
            &[&[0, 0, 1, 0x8b], &[0x20, 0, 0x80, 0x52], &[0, 0x28, 0x61, 0x1e], &[0x1f, 0x20, 3, 0xd5]],
        );
        // add eax, ecx; mov eax, 1; lea rax, [rbx]; pxor xmm0, xmm1
        all(
            Isa::X86_64,
            true,
            &[&[1, 0xc8], &[0xb8, 1, 0, 0, 0], &[0x48, 0x8d, 3], &[0x66, 0x0f, 0xef, 0xc1]],
        );
    }

    #[test]
    fn what_reaches_memory_or_may_fault_does_not() {
        // lw; sw; amoadd; csrr; fadd.s; c.lw; c.sdsp; ecall
        all(
            Isa::Rv64,
            false,
            &[&[3, 0x25, 5, 0], &[0x23, 0x20, 0xb5, 0], &[0x2f, 0x25, 0xb5, 0], &[0x73, 0x25, 0x40, 0xf1]],
        );
        all(Isa::Rv64, false, &[&[0x53, 0x75, 0xb5, 0], &[8, 0x41], &[6, 0xe4], &[0x73, 0, 0, 0]]);
        // ldr literal; ldr; push; ldm; sub sp; mov sp, r0; wfi; ldr.w; ldrd; sdiv; mrs; vldr
        all(
            Isa::Thumb,
            false,
            &[&[0, 0x48], &[8, 0x68], &[0, 0xb5], &[1, 0xc8], &[0x82, 0xb0], &[0x85, 0x46], &[0x30, 0xbf]],
        );
        all(Isa::Thumb, false, &[&[0xd0, 0xf8, 0, 0], &[0xd0, 0xe9, 0, 0x12], &[0x90, 0xfb, 0xf1, 0xf0]]);
        all(Isa::Thumb, false, &[&[0xef, 0xf3, 5, 0x80], &[0x90, 0xed, 0, 0x0a]]);
        // ldr; ldrh; ldm; mrs; swp
        all(
            Isa::A32,
            false,
            &[&[0, 0, 0x90, 0xe5], &[0xb0, 0, 0xd0, 0xe1], &[3, 0, 0x90, 0xe8], &[0, 0, 0x0f, 0xe1]],
        );
        // ldr x0; stp; ldr d0; mrs; autia; dc civac
        all(
            Isa::A64,
            false,
            &[&[0, 0, 0x40, 0xf9], &[0xe0, 7, 0, 0xa9], &[0, 0, 0x40, 0xfd], &[0xa0, 0x42, 0x38, 0xd5]],
        );
        all(Isa::A64, false, &[&[0x20, 0x10, 0xc1, 0xda], &[0x20, 0x7e, 0x0b, 0xd5]]);
        // mov eax, [rbx]; push rax; div ecx; out dx, al; mov ds, eax; mov cr0, rax; rdmsr; add [rbx], al
        all(
            Isa::X86_64,
            false,
            &[&[0x8b, 3], &[0x50], &[0xf7, 0xf1], &[0xee], &[0x8e, 0xd8], &[0x0f, 0x22, 0xc0]],
        );
        all(Isa::X86_64, false, &[&[0x0f, 0x32], &[0, 3], &[0x48], &[]]);
    }
}
