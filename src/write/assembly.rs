//! Instructions as text: their bytes, and their assembly if covtap was built with what writes it.
//!
//! What enters is an instruction and its bytes; what leaves is text. What always holds: bytes are in the order in which the
//! set's manuals write them.

use covtap_insn::{Flow, Insn, Isa};

/// Whether covtap was built with what writes assembly.
pub(super) const HAS_ASSEMBLY: bool = cfg!(feature = "disassembly");

/// Writes assembly, if covtap was built with what does that.
#[derive(Default)]
pub(super) struct Assembly {
    #[cfg(feature = "disassembly")]
    by_isa: std::collections::HashMap<Isa, Option<covtap_insn::Disassembler>>,
}

impl Assembly {
    /// The instruction that all of `code` is; `None` if there is no text for it.
    #[cfg(feature = "disassembly")]
    pub(super) fn text(&mut self, isa: Isa, insn: &Insn, code: &[u8]) -> Option<String> {
        let of_isa = self.by_isa.entry(isa).or_insert_with(|| covtap_insn::Disassembler::new(isa));
        of_isa.as_ref()?.text(code, insn.address)
    }

    #[cfg(not(feature = "disassembly"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn text(&mut self, _: Isa, _: &Insn, _: &[u8]) -> Option<String> {
        None
    }
}

/// Where an instruction goes that has no assembly.
pub(super) fn flow(insn: &Insn) -> String {
    let to = |target: Option<u64>| target.map_or(String::new(), |target| format!(" to {target:#x}"));
    match insn.flow {
        Flow::Next => String::new(),
        Flow::Jump { target } => format!("jump{}", to(target)),
        Flow::Conditional { target } => format!("branch{}", to(target)),
        Flow::Call { target } => format!("call{}", to(target)),
        Flow::Return => "return".to_owned(),
        Flow::Invalid => "no instruction".to_owned(),
    }
}

/// An instruction's bytes, by the units that it is made of.
pub(super) fn digits_of(isa: Isa, code: &[u8]) -> String {
    let unit_bytes = match isa {
        Isa::Thumb => 2,
        Isa::Rv32 | Isa::Rv64 if code.len() == 2 => 2,
        Isa::A32 | Isa::A64 | Isa::Rv32 | Isa::Rv64 => 4,
        Isa::X86 | Isa::X86_64 => 1,
    };
    let unit = |unit: &[u8]| unit.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    code.chunks(unit_bytes).map(unit).collect::<Vec<_>>().join(" ")
}
