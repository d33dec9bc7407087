//! The few instructions that debuggers put into a program buffer (RISC-V Unprivileged ISA 20191213, 2 and 9).
//!
//! ```text
//!  31          25 24   20 19   15 14  12 11    7 6      0
//!  | imm[11:0]           | rs1   | f3   | rd    | opcode |   loads, addi, csrrw, csrrs
//!  | imm[11:5]    | rs2  | rs1   | f3   | imm   | opcode |   stores
//! ```
//!
//! What enters is a program; what leaves is what it did to the hart and to memory. What always holds: it ends, since there
//! is no jump, and what is none of these instructions is an exception.

use crate::riscv::reach::Reach;

const EBREAK: u32 = 0x0010_0073;
const LOAD: u32 = 0x03;
const MISC_MEM: u32 = 0x0F;
const OP_IMM: u32 = 0x13;
const STORE: u32 = 0x23;
const SYSTEM: u32 = 0x73;
const GPR0: u16 = 0x1000;

/// An instruction's fields.
struct Fields {
    opcode: u32,
    funct3: u32,
    rd: u16,
    rs1: u16,
    rs2: u16,
    /// The upper twelve bits, with their sign.
    immediate: u32,
}

impl Fields {
    fn of(word: u32) -> Self {
        let register = |shift: u32| u16::try_from(word >> shift & 0x1F).unwrap_or_default() | GPR0;
        Self {
            opcode: word & 0x7F,
            funct3: word >> 12 & 7,
            rd: register(7),
            rs1: register(15),
            rs2: register(20),
            immediate: (word.cast_signed() >> 20).cast_unsigned(),
        }
    }
}

/// The hart has met an instruction that it could not execute.
pub(crate) struct Exception;

/// Executes a program until an ebreak, which also follows it.
pub(crate) fn run(program: &[u32], reach: &mut Reach<'_>) -> Result<(), Exception> {
    let words = program.iter().copied().take_while(|&word| word != EBREAK);
    for word in words {
        execute(&Fields::of(word), reach).ok_or(Exception)?;
    }
    Ok(())
}

fn execute(fields: &Fields, reach: &mut Reach<'_>) -> Option<()> {
    let Fields { opcode, funct3, rd, rs1, rs2, immediate } = *fields;
    match (opcode, funct3) {
        (LOAD, _) => {
            let address = reach.read_register(rs1)?.wrapping_add(immediate);
            let value = load(funct3, address, reach)?;
            reach.write_register(rd, value)
        }
        (STORE, 0..=2) => {
            // Its offset has rd's place for the lowest bits.
            let offset = immediate & !0x1F | u32::from(rd & 0x1F);
            let address = reach.read_register(rs1)?.wrapping_add(offset);
            let value = reach.read_register(rs2)?;
            store(1 << funct3, address, value, reach)
        }
        (OP_IMM, 0) => {
            let sum = reach.read_register(rs1)?.wrapping_add(immediate);
            reach.write_register(rd, sum)
        }
        // fence, fence.i
        (MISC_MEM, 0 | 1) => Some(()),
        // csrw
        (SYSTEM, 1) if rd == GPR0 => {
            let value = reach.read_register(rs1)?;
            reach.write_register(csr(immediate), value)
        }
        // csrr
        (SYSTEM, 2) if rs1 == GPR0 => {
            let value = reach.read_register(csr(immediate))?;
            reach.write_register(rd, value)
        }
        _ => None,
    }
}

/// lb, lh, lw, lbu, lhu.
fn load(funct3: u32, address: u32, reach: &mut Reach<'_>) -> Option<u32> {
    let size = match funct3 & 3 {
        0 => 1,
        1 => 2,
        2 if funct3 == 2 => 4,
        _ => return None,
    };
    let mut bytes = [0; 4];
    access(address, size)?;
    reach.read_memory(address, bytes.get_mut(..size)?).ok()?;
    let value = u32::from_le_bytes(bytes);
    let unused = if funct3 < 2 { 32 - 8 * (1 << funct3) } else { 0_u32 };
    Some((value.cast_signed() << unused >> unused).cast_unsigned())
}

/// sb, sh, sw.
fn store(size: usize, address: u32, value: u32, reach: &mut Reach<'_>) -> Option<()> {
    access(address, size)?;
    reach.write_memory(address, value.to_le_bytes().get(..size)?).ok()
}

/// Whether the address is a multiple of the size.
fn access(address: u32, size: usize) -> Option<()> {
    (usize::try_from(address).ok()? % size == 0).then_some(())
}

fn csr(immediate: u32) -> u16 {
    u16::try_from(immediate & 0xFFF).unwrap_or_default()
}
