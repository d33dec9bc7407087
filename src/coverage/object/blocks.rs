//! Basic blocks of an image's code: what is executed as a whole, if nothing faults in it.
//!
//! What enters is an [`Image`]; what leaves is its blocks by address. What always holds: blocks are apart, each begins at
//! an instruction, and only its last one goes anywhere else than on; only code of functions is in any, since a breakpoint
//! in what is data would change it. Where a jump goes that does not say so is not known: in a function that has such jumps
//! each instruction is a block.

use std::collections::{BTreeSet, HashSet};

use covtap_insn::{Flow, Insn, Isa, instructions};

use super::super::trace::without_clone;
use super::functions::extents;
use crate::image::{CodePart, Image, ImageAddr};

/// Instructions one after the other, of which the first is the only one that is jumped to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// The address of the first.
    pub address: ImageAddr,
    /// Their length together.
    pub len_bytes: u64,
    /// The size of a breakpoint on the first, as GDB's `Z0` packet has it.
    pub breakpoint_kind: u8,
}

/// The basic blocks of an image's functions, by address.
#[must_use]
pub fn blocks(image: &Image) -> Vec<Block> {
    let functions = extents(image);
    let (mut targets, mut have_computed) = (BTreeSet::new(), HashSet::new());
    for function in &functions {
        for (_, insn) in function.parts.iter().flat_map(|part| decoded(image, part)) {
            targets.extend(target(insn.flow));
            if insn.flow == (Flow::Jump { target: None }) {
                // It may go into a part of the function that has a name of its own.
                have_computed.insert(without_clone(function.name));
            }
        }
    }
    let mut blocks = Vec::new();
    for function in &functions {
        let each = have_computed.contains(without_clone(function.name));
        let ends = |insn: &Insn| each || insn.flow != Flow::Next;
        function.parts.iter().for_each(|part| split(decoded(image, part), &targets, ends, &mut blocks));
    }
    blocks
}

/// The instructions of an image's functions, by address.
pub fn function_instructions(image: &Image) -> impl Iterator<Item = Insn> {
    let parts = extents(image).into_iter().flat_map(|function| function.parts);
    parts.flat_map(|part| decoded(image, &part).map(|(_, insn)| insn).collect::<Vec<_>>())
}

fn decoded<'a>(image: &'a Image, part: &CodePart) -> impl Iterator<Item = (Isa, Insn)> + use<'a> {
    let (isa, address) = (part.isa, part.address);
    let code = image.bytes_at(address, part.len_bytes).unwrap_or_default();
    instructions(isa, code, address.get()).map(move |insn| (isa, insn))
}

/// Where an instruction goes beside on, as far as it says.
fn target(flow: Flow) -> Option<u64> {
    match flow {
        Flow::Jump { target } | Flow::Conditional { target } | Flow::Call { target } => target,
        Flow::Next | Flow::Return | Flow::Invalid => None,
    }
}

/// Splits a part's instructions: behind those that end a block, and before those that something goes to.
fn split(
    insns: impl Iterator<Item = (Isa, Insn)>,
    targets: &BTreeSet<u64>,
    ends: impl Fn(&Insn) -> bool,
    blocks: &mut Vec<Block>,
) {
    let mut open: Option<Block> = None;
    for (isa, insn) in insns {
        if insn.flow == Flow::Invalid {
            blocks.extend(open.take());
            continue;
        }
        if targets.contains(&insn.address) {
            blocks.extend(open.take());
        }
        let block = open.get_or_insert_with(|| Block {
            address: ImageAddr::new(insn.address),
            len_bytes: 0,
            breakpoint_kind: breakpoint_kind(isa, insn.len_bytes),
        });
        block.len_bytes = block.len_bytes.saturating_add(insn.len_bytes as u64);
        if ends(&insn) {
            blocks.extend(open.take());
        }
    }
    blocks.extend(open);
}

/// Source: the GDB manual, "Architecture-Specific Protocol Details"; for RISC-V, GDB's `riscv_breakpoint_kind_from_pc`.
fn breakpoint_kind(isa: Isa, len_bytes: usize) -> u8 {
    match (isa, len_bytes) {
        (Isa::Thumb, 4) => 3,
        (Isa::Thumb, _) | (Isa::Rv32 | Isa::Rv64, 2) => 2,
        (Isa::X86 | Isa::X86_64, _) => 1,
        (Isa::A32 | Isa::A64 | Isa::Rv32 | Isa::Rv64, _) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address, length and kind of the blocks of some code.
    fn split_code(isa: Isa, code: &[u8], address: u64) -> Vec<(u64, u64, u8)> {
        let insns: Vec<_> = instructions(isa, code, address).map(|insn| (isa, insn)).collect();
        let targets = insns.iter().filter_map(|(_, insn)| target(insn.flow)).collect();
        let mut blocks = Vec::new();
        split(insns.into_iter(), &targets, |insn| insn.flow != Flow::Next, &mut blocks);
        let plain = |block: Block| (block.address.get(), block.len_bytes, block.breakpoint_kind);
        blocks.into_iter().map(plain).collect()
    }

    #[test]
    fn blocks_begin_behind_branches_and_where_they_go() {
        // 0x100: movs r0, #0; 0x102: adds r0, #1; 0x104: cmp r0, #3; 0x106: bne 0x102; 0x108: bx lr
        let thumb = [0x00, 0x20, 0x01, 0x30, 0x03, 0x28, 0xfc, 0xd1, 0x70, 0x47];
        assert_eq!(split_code(Isa::Thumb, &thumb, 0x100), [(0x100, 2, 2), (0x102, 6, 2), (0x108, 2, 2)]);
        // 0x10: xor eax, eax; 0x12: test edi, edi; 0x14: je 0x17; 0x16: inc eax (a prefix in 64-bit mode); 0x17: ret
        let x86 = [0x31, 0xc0, 0x85, 0xff, 0x74, 0x01, 0x40, 0xc3];
        assert_eq!(split_code(Isa::X86, &x86, 0x10), [(0x10, 6, 1), (0x16, 1, 1), (0x17, 1, 1)]);
    }

    #[test]
    fn a_call_ends_a_block_and_a_wide_instruction_has_a_kind_of_its_own() {
        // 0x200: bl 0x208; 0x204: nop; 0x206: bx lr; 0x208: bx lr
        let code = [0x00, 0xf0, 0x02, 0xf8, 0x00, 0xbf, 0x70, 0x47, 0x70, 0x47];
        assert_eq!(split_code(Isa::Thumb, &code, 0x200), [(0x200, 4, 3), (0x204, 4, 2), (0x208, 2, 2)]);
    }

    #[test]
    fn what_is_no_instruction_is_in_no_block() {
        // addi a0, a0, 1 (4 bytes); 0000 is none; ret (c.jr ra)
        let code = [0x13, 0x05, 0x15, 0x00, 0x00, 0x00, 0x82, 0x80];
        assert_eq!(split_code(Isa::Rv32, &code, 0), [(0, 4, 4), (6, 2, 2)]);
    }
}
