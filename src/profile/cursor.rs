//! The one way in which bytes of binary profiles are read: every step is checked and knows its offset.

use covtap_link::Endianness;

use crate::image::uint;

/// What is wrong, and where in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) detail: String,
}

/// A place in the file.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    /// At the start of the file.
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where in the file the next byte is.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// A fault at the next byte.
    pub(super) fn fault(&self, detail: impl Into<String>) -> Fault {
        Fault { offset: self.at, detail: detail.into() }
    }

    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'b [u8], Fault> {
        let rest = self.rest();
        let taken = rest.get(..len);
        let taken = taken.ok_or_else(|| {
            self.fault(format!("truncated {what}: {len} bytes are said to follow, there are {}", rest.len()))
        })?;
        self.at = self.at.saturating_add(len);
        Ok(taken)
    }

    pub(super) fn u32(&mut self, endianness: Endianness, what: &str) -> Result<u32, Fault> {
        let word = uint(self.take(4, what)?, endianness);
        u32::try_from(word).map_err(|error| self.fault(error.to_string()))
    }

    pub(super) fn u64(&mut self, endianness: Endianness, what: &str) -> Result<u64, Fault> {
        Ok(uint(self.take(8, what)?, endianness))
    }

    /// `count` elements of `width` bytes.
    pub(super) fn array(&mut self, count: u64, width: usize, what: &str) -> Result<&'b [u8], Fault> {
        let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(width));
        // What cannot be told in bytes is certainly more than there is.
        self.take(len.unwrap_or(usize::MAX), what)
    }

    /// As [`array`](Self::array), and what completes it to a multiple of 8 bytes.
    pub(super) fn padded(&mut self, count: u64, width: usize, what: &str) -> Result<&'b [u8], Fault> {
        let taken = self.array(count, width, what)?;
        self.take(taken.len().wrapping_neg() % 8, "padding")?;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, len: u64, what: &str) -> Result<(), Fault> {
        self.array(len, 1, what).map(drop)
    }

    /// The next `len` bytes as a place of their own, whose offsets are those of the file.
    pub(super) fn part(&mut self, len: u64, what: &str) -> Result<Self, Fault> {
        let at = self.at;
        self.skip(len, what)?;
        Ok(Self { bytes: self.bytes.get(..self.at).unwrap_or_default(), at })
    }

    /// Passes zeros that stand between the parts of a file.
    pub(super) fn pass_zeros(&mut self) {
        let zeros = self.rest().iter().take_while(|byte| **byte == 0).count();
        self.at = self.at.saturating_add(zeros);
    }
}
