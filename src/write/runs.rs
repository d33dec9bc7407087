//! Where two states of a file differ.
//!
//! What enters is the bytes of both; what leaves is the runs of bytes that are to be written to make one the other.
//! What always holds: runs are in order, begin and end at multiples of 8 or at the file's end, so that no counter is
//! written in part, and everything outside of them is equal.

use std::ops::Range;

/// The width of what is written at once: a counter's.
const WORD_BYTES: usize = 8;

/// Runs that are nearer to each other than this are written as one: copying what is between them costs less than
/// another system call.
const GAP_BYTES: usize = 256;

/// So many bytes are compared at once: a multiple of a word.
const BLOCK_BYTES: usize = 1024;

/// The runs in which `new` differs from `old`, which is as long.
pub(super) fn changed(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    // Most of it is as it was, and is passed over in blocks.
    let blocks = old.chunks(BLOCK_BYTES).zip(new.chunks(BLOCK_BYTES)).enumerate();
    for (block, (old, new)) in blocks.filter(|(_, (old, new))| old != new) {
        let words = old.chunks(WORD_BYTES).zip(new.chunks(WORD_BYTES)).enumerate();
        for (word, (_, bytes)) in words.filter(|(_, (old, new))| old != new) {
            let start = block.saturating_mul(BLOCK_BYTES).saturating_add(word.saturating_mul(WORD_BYTES));
            let end = start.saturating_add(bytes.len());
            match runs.last_mut() {
                Some(last) if start.saturating_sub(last.end) < GAP_BYTES => last.end = end,
                _ => runs.push(start..end),
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_whole_words_and_near_ones_are_one() {
        let old = vec![0; 2004];
        let mut new = old.clone();
        let check = |new: &[u8], expected: &[(usize, usize)]| {
            let runs: Vec<_> = changed(&old, new).into_iter().map(|run| (run.start, run.end)).collect();
            assert_eq!(runs, expected);
        };
        check(&new, &[]);
        new[9] = 1;
        check(&new, &[(8, 16)]);
        new[100] = 1;
        check(&new, &[(8, 104)]);
        new[1000] = 1;
        new[2003] = 1;
        check(&new, &[(8, 104), (1000, 1008), (2000, 2004)]);
    }
}
