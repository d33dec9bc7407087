//! How long machine instructions are, and where they go.
//!
//! What enters is code: bytes, their address, and the instruction set; what leaves is its instructions one after the
//! other. That is all that coverage of object code needs: where an instruction begins, and which of them are branches.
//!
//! What always holds: nothing here does I/O; any bytes are code of some kind, and every instruction is at least one byte
//! long, so that a walk ends; what is no instruction is said to be none.
//!
//! ```
//! use covtap_insn::{Flow, Isa, instructions};
//!
//! // beq.n 0x104; bx lr
//! let code = [0x00, 0xd0, 0x70, 0x47];
//! let flows: Vec<_> = instructions(Isa::Thumb, &code, 0x100).map(|insn| insn.flow).collect();
//! assert_eq!(flows, [Flow::Conditional { target: Some(0x104) }, Flow::Return]);
//! ```

mod a32;
mod a64;
mod riscv;
#[cfg(feature = "text")]
mod text;
mod thumb;
mod x86;

#[cfg(feature = "text")]
pub use text::Disassembler;

/// An instruction set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Isa {
    /// Arm's T32: Thumb and Thumb-2.
    Thumb,
    /// Arm's A32.
    A32,
    /// Arm's A64.
    A64,
    /// RISC-V with 32-bit registers, compressed instructions included.
    Rv32,
    /// RISC-V with 64-bit registers, compressed instructions included.
    Rv64,
    /// x86 in 32-bit mode.
    X86,
    /// x86 in 64-bit mode.
    X86_64,
}

/// Where an instruction goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// On to the next instruction, as far as the instruction itself can tell: it may fault, or call the system.
    Next,
    /// Always elsewhere.
    Jump {
        /// Where to; `None` if that is not in the instruction.
        target: Option<u64>,
    },
    /// Elsewhere or on, as a condition is.
    Conditional {
        /// Where to; `None` if that is not in the instruction.
        target: Option<u64>,
    },
    /// Elsewhere, from where it should come back.
    Call {
        /// Where to; `None` if that is not in the instruction.
        target: Option<u64>,
    },
    /// Back to where it was called from, or where an exception came from.
    Return,
    /// It is no instruction.
    Invalid,
}

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// Its address.
    pub address: u64,
    /// Its length; never 0.
    pub len_bytes: usize,
    /// Where it goes.
    pub flow: Flow,
    /// Whether it is executed only if a condition holds, without a branch: a trace that shows it does not tell (Arm's IT
    /// blocks, and conditional instructions of A32).
    pub is_predicated: bool,
}

impl Insn {
    /// The address behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.wrapping_add(self.len_bytes as u64)
    }
}

/// An instruction as a decoder finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Decoded {
    len_bytes: usize,
    flow: Flow,
    is_predicated: bool,
}

impl Decoded {
    /// An instruction that is always executed.
    const fn new(len_bytes: usize, flow: Flow) -> Self {
        Self { len_bytes, flow, is_predicated: false }
    }

    /// The same under a condition.
    fn under_condition(self) -> Self {
        match self.flow {
            Flow::Jump { target } => Self { flow: Flow::Conditional { target }, ..self },
            // A conditional return is a branch that does not say where to.
            Flow::Return => Self { flow: Flow::Conditional { target: None }, ..self },
            Flow::Next | Flow::Call { .. } => Self { is_predicated: true, ..self },
            Flow::Conditional { .. } | Flow::Invalid => self,
        }
    }
}

/// The instructions of code at an address, one after the other. Bytes at the end that are no whole instruction are one
/// that is none.
pub fn instructions(isa: Isa, code: &[u8], address: u64) -> impl Iterator<Item = Insn> {
    let (mut rest, mut next, mut it_block) = (code, address, thumb::ItBlock::default());
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let decoded = match isa {
            Isa::Thumb => thumb::decode(rest, next, &mut it_block),
            Isa::A32 => a32::decode(rest, next),
            Isa::A64 => a64::decode(rest, next),
            Isa::Rv32 => riscv::decode(rest, next, riscv::Width::Bits32),
            Isa::Rv64 => riscv::decode(rest, next, riscv::Width::Bits64),
            Isa::X86 => x86::decode(rest, next, 32),
            Isa::X86_64 => x86::decode(rest, next, 64),
        };
        let Decoded { len_bytes, flow, is_predicated } =
            decoded.unwrap_or(Decoded::new(rest.len(), Flow::Invalid));
        let insn = Insn { address: next, len_bytes, flow, is_predicated };
        (rest, next) = (rest.get(len_bytes..).unwrap_or_default(), insn.end());
        Some(insn)
    })
}

/// The little-endian number at an offset; instructions are that on every set here, whatever data is.
fn u16_at(code: &[u8], at: usize) -> Option<u16> {
    code.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// As [`u16_at`].
fn u32_at(code: &[u8], at: usize) -> Option<u32> {
    code.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// `len` bits of a word from bit `at` on.
const fn bits(word: u32, at: u32, len: u32) -> u32 {
    (word >> at) & ((1 << len) - 1)
}

/// The address a signed number of `len` bits away from another.
fn away(from: u64, offset: u32, len: u32) -> u64 {
    let unused = 32 - len;
    let signed = i64::from((offset << unused).cast_signed() >> unused);
    from.wrapping_add_signed(signed)
}

/// The same where addresses have 32 bits.
fn away32(from: u64, offset: u32, len: u32) -> u64 {
    away(from, offset, len) & u64::from(u32::MAX)
}
