//! x86, through `iced-x86`: lengths depend on prefixes, maps of opcodes and what follows them.

use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};

use crate::{Decoded, Flow};

/// Decodes the instruction at the beginning of `code`; `None` if there is no whole one. What is none is one byte long.
pub(crate) fn decode(code: &[u8], address: u64, bitness: u32) -> Option<Decoded> {
    // No instruction is longer, and a decoder of less is made faster.
    let head = code.get(..15).unwrap_or(code);
    let mut decoder = Decoder::with_ip(bitness, head, address, DecoderOptions::NONE);
    let insn = decoder.decode();
    if insn.is_invalid() {
        return Some(Decoded::new(1, Flow::Invalid));
    }
    let is_near =
        matches!(insn.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    let target = is_near.then(|| insn.near_branch_target());
    let flow = match insn.flow_control() {
        FlowControl::Next | FlowControl::Interrupt => Flow::Next,
        FlowControl::UnconditionalBranch => Flow::Jump { target },
        FlowControl::IndirectBranch => Flow::Jump { target: None },
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => match target {
            Some(target) => Flow::Conditional { target: Some(target) },
            // XABORT and XEND go on, or back to where the transaction began.
            None => Flow::Next,
        },
        FlowControl::Call => Flow::Call { target },
        FlowControl::IndirectCall => Flow::Call { target: None },
        FlowControl::Return => Flow::Return,
        // UD2 and the like.
        FlowControl::Exception => Flow::Next,
    };
    Some(Decoded::new(insn.len(), flow))
}
