//! Names that are compressed, decompressed within bounds.
//!
//! What enters is compressed bytes and how long they are said to become; what leaves is text of that length.
//!
//! What always holds: all text that comes of an input, and what is kept to find names in it, is at most
//! [`MAX_GROWTH`] times as long as the input, or [`MIN_BYTES`]. Names and paths compress to between a third and a
//! twentieth, where zlib can make a thousandth of what is all the same byte: a bomb is told by that.

use flate2::{Decompress, FlushDecompress, Status};

/// How much longer than an input its text may be.
const MAX_GROWTH: usize = 64;

/// What deflate can make of a byte at most.
const MAX_RATIO: usize = 1032;

/// What a small input may grow to all the same.
const MIN_BYTES: usize = 4 << 20;

/// How much text may still come of an input.
#[derive(Debug)]
pub(crate) struct TextBudget {
    left: usize,
    /// One for all, because making it takes longer than most of what it decompresses: each unit has its own.
    inflater: Decompress,
}

impl TextBudget {
    /// For an input of that length.
    pub(crate) fn of(len_bytes: usize) -> Self {
        let left = len_bytes.saturating_mul(MAX_GROWTH).max(MIN_BYTES);
        Self { left, inflater: Decompress::new(true) }
    }

    /// How much is left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Takes so much of it.
    pub(crate) fn take(&mut self, len_bytes: usize) -> Result<(), String> {
        self.check(len_bytes as u64)?;
        self.left = self.left.saturating_sub(len_bytes);
        Ok(())
    }

    /// Whether so much is left.
    fn check(&self, len_bytes: u64) -> Result<(), String> {
        if len_bytes <= self.left as u64 {
            return Ok(());
        }
        Err(format!("names of {len_bytes} bytes are more than is plausible, {} would be", self.left))
    }

    /// Appends what was compressed, which must be `raw_len` bytes. That is not taken of the budget yet, because it may
    /// not stay.
    pub(crate) fn inflate(&mut self, stored: &[u8], raw_len: u64, text: &mut Vec<u8>) -> Result<(), String> {
        self.check(raw_len)?;
        let len = usize::try_from(raw_len).map_err(|error| error.to_string())?;
        if len > stored.len().saturating_mul(MAX_RATIO) {
            return Err(format!("{} bytes of zlib are said to hold {raw_len}", stored.len()));
        }
        let start = text.len();
        // One byte more than promised shows that the promise was broken.
        text.resize(start.saturating_add(len).saturating_add(1), 0);
        self.inflater.reset(true);
        let room = text.get_mut(start..).unwrap_or_default();
        let status = self.inflater.decompress(stored, room, FlushDecompress::Finish);
        text.truncate(start.saturating_add(len));
        let found = self.inflater.total_out();
        match status {
            Err(error) => Err(format!("zlib: {error}")),
            Ok(_) if found != raw_len => {
                Err(format!("decompressed to {found} bytes or more, not to {raw_len}"))
            }
            Ok(Status::StreamEnd) => Ok(()),
            Ok(_) => Err("zlib: it has no end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken_of_the_budget() {
        let mut budget = TextBudget::of(MIN_BYTES);
        budget.take(MAX_GROWTH * MIN_BYTES - 1).unwrap();
        let error = budget.take(2).unwrap_err();
        assert_eq!(error, "names of 2 bytes are more than is plausible, 1 would be");
        budget.take(1).unwrap();
        assert_eq!(TextBudget::of(3).left, MIN_BYTES);
    }

    #[test]
    fn a_promise_beyond_the_budget_is_not_tried() {
        let error = TextBudget::of(3).inflate(&[1, 2, 3], 1 << 40, &mut Vec::new()).unwrap_err();
        assert!(error.starts_with("names of 1099511627776 bytes are more than is plausible"), "{error}");
        let error = TextBudget::of(3).inflate(&[1, 2, 3], 1 << 20, &mut Vec::new()).unwrap_err();
        assert_eq!(error, "3 bytes of zlib are said to hold 1048576");
    }
}
