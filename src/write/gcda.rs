//! `.gcda`, in the very bytes of libgcov, and of compiler-rt for what clang made.
//!
//! What enters is a [`GcdaFile`]; what leaves is a file's bytes. The form is drawn in `src/profile/gcov/read.rs`.
//! Counters that are all 0 are written without their values from GCC 11 on, and the file ends with a word of 0.
//!
//! Source: `write_one_data` and `write_topn_counters` in `libgcc/libgcov-driver.c`, releases/gcc-11 and
//! releases/gcc-12; `compiler-rt/lib/profile/GCDAProfiling.c`, llvmorg-19.1.7.

use covtap_link::Endianness;

use crate::locate::gcov::{Dialect, Layout};
use crate::profile::gcov::{
    GcdaCounters, GcdaFile, GcdaFunction, MAGIC, TAG_COUNTER_BASE, TAG_COUNTER_SHIFT, TAG_FUNCTION,
};

/// Writes a file.
#[must_use]
pub fn encode(file: &GcdaFile) -> Vec<u8> {
    let (endianness, layout) = (file.endianness, file.layout());
    let mut writer = Writer { bytes: Vec::with_capacity(estimate(file)), endianness, layout };
    writer.word(MAGIC);
    writer.word(file.version().word());
    writer.word(file.stamp);
    if layout.has_checksum {
        writer.word(file.checksum.unwrap_or_default());
    }
    let is_clang = layout.dialect == Dialect::Clang;
    if !is_clang {
        writer.summary(file);
    }
    file.functions.iter().for_each(|function| writer.function(function.as_ref()));
    if is_clang {
        writer.summary(file);
        writer.word(0);
    }
    writer.word(0);
    writer.bytes
}

/// No less than the file's length, but for counters without values.
fn estimate(file: &GcdaFile) -> usize {
    let of = |function: &GcdaFunction| {
        let counters = function.counters.iter().map(|counters| 8usize.saturating_mul(counters.values.len()));
        counters.fold(20, |sum, len| usize::saturating_add(sum, len).saturating_add(8))
    };
    let functions = file.functions.iter().map(|function| function.as_ref().map_or(8, of));
    functions.fold(32, usize::saturating_add)
}

struct Writer {
    bytes: Vec<u8>,
    endianness: Endianness,
    layout: &'static Layout,
}

impl Writer {
    fn word(&mut self, word: u32) {
        self.bytes.extend(match self.endianness {
            Endianness::Little => word.to_le_bytes(),
            Endianness::Big => word.to_be_bytes(),
        });
    }

    /// The low word first, in either byte order.
    fn value(&mut self, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.word(u32::from_le_bytes([a, b, c, d]));
        self.word(u32::from_le_bytes([e, f, g, h]));
    }

    fn head(&mut self, tag: u32, words: usize) {
        self.word(tag);
        let length = self.length(words);
        self.word(length);
    }

    /// The length of so many words. What does not fit is far more than a target's memory.
    fn length(&self, words: usize) -> u32 {
        let length = if self.layout.lengths_in_bytes { words.saturating_mul(4) } else { words };
        u32::try_from(length).unwrap_or(u32::MAX)
    }

    fn summary(&mut self, file: &GcdaFile) {
        let layout = self.layout;
        if let Some(summary) = file.summary.filter(|_| layout.is_object_summary()) {
            self.head(layout.summary_tag, 2);
            self.word(summary.runs);
            self.word(summary.sum_max);
        }
        for words in file.program_summaries.iter().filter(|_| !layout.is_object_summary()) {
            self.head(layout.summary_tag, words.len());
            words.iter().for_each(|word| self.word(*word));
        }
    }

    fn function(&mut self, function: Option<&GcdaFunction>) {
        let Some(function) = function else { return self.head(TAG_FUNCTION, 0) };
        self.head(TAG_FUNCTION, 3);
        self.word(function.ident);
        self.word(function.lineno_checksum);
        self.word(function.cfg_checksum);
        function.counters.iter().for_each(|counters| self.counters(counters));
    }

    fn counters(&mut self, counters: &GcdaCounters) {
        let GcdaCounters { index, values } = counters;
        // An index is one of a layout: a dozen at most.
        let index_bits = u32::try_from(*index).unwrap_or_default() << TAG_COUNTER_SHIFT;
        let (tag, words) = (TAG_COUNTER_BASE.wrapping_add(index_bits), values.len().saturating_mul(2));
        let is_zero = values.iter().all(|value| *value == 0);
        if is_zero && self.layout.has_zero_lengths && !self.layout.is_topn_list(*index) {
            self.word(tag);
            let length = self.length(words);
            self.word(length.wrapping_neg());
        } else {
            self.head(tag, words);
            values.iter().for_each(|value| self.value(*value));
        }
    }
}
