//! The number by which LLVM's runtime tells the files of a merge pool apart (`%m`).
//!
//! Source: `lprofGetLoadModuleSignature` in `compiler-rt/lib/profile/InstrProfilingMerge.c`, llvmorg-19.1.7.

use object::elf;

use super::LlvmImage;
use super::layout::magic;
use crate::image::Image;

/// How many value-profiling nodes the image has room for; a runtime brings some even where nothing uses them.
pub(super) fn num_value_nodes(image: &Image) -> u64 {
    // `struct ValueProfNode`: two u64 and a pointer, aligned as the processor's u64 is.
    let node_bytes = if image.machine() == elf::EM_386.0 { 20 } else { 24 };
    image.section("__llvm_prf_vnds").map_or(0, |nodes| nodes.len_bytes() / node_bytes)
}

impl LlvmImage {
    /// The image's signature, the same as the compiler's own runtime computes for it.
    #[must_use]
    pub fn module_signature(&self) -> u64 {
        let counters = self.loaded.counters_len.div_ceil(self.counter_bytes.max(1));
        // With correlation there are no records in the target's memory, and few names if any.
        let stride = self.version.layout().record(self.pointer_width).stride;
        let records = if self.is_correlated() { 0 } else { self.loaded.data.len().div_ceil(stride) };
        let first_name = self.records.first().filter(|_| records > 0);
        let first_name = first_name.map_or(0, |record| record.name_ref.get());
        [
            (self.loaded.names_len as u64) << 40,
            (counters as u64) << 30,
            (records as u64) << 20,
            self.loaded.num_value_nodes << 10,
            first_name,
            self.version.number() | self.variant.bits(),
            magic(self.pointer_width),
        ]
        .into_iter()
        .fold(0, u64::wrapping_add)
    }
}
