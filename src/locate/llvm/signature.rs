//! The number by which LLVM's runtime tells the files of a merge pool apart (`%m`).
//!
//! Source: `lprofGetLoadModuleSignature` in `compiler-rt/lib/profile/InstrProfilingMerge.c`, llvmorg-19.1.7.
//! Value-profiling nodes, which only a hosted runtime has, count as none.

use covtap_link::PointerWidth;

use super::LlvmImage;

/// The magic that a profile begins with, as a number; the last letter tells the pointer width.
const MAGIC_64: u64 = u64::from_be_bytes(*b"\xfflprofr\x81");
const MAGIC_32: u64 = u64::from_be_bytes(*b"\xfflprofR\x81");

impl LlvmImage {
    /// The image's signature, the same as the compiler's own runtime computes for it.
    #[must_use]
    pub fn module_signature(&self) -> u64 {
        let magic = match self.pointer_width {
            PointerWidth::Bits64 => MAGIC_64,
            PointerWidth::Bits32 => MAGIC_32,
        };
        let counters = self.counters_len / self.counter_bytes.max(1);
        let first_name = self.records.first().map_or(0, |record| record.name_ref.get());
        [
            (self.names_section.len() as u64) << 40,
            (counters as u64) << 30,
            (self.records.len() as u64) << 20,
            first_name,
            self.version.number() | self.variant.bits(),
            magic,
        ]
        .into_iter()
        .fold(0, u64::wrapping_add)
    }
}
