//! The one way in which bytes of coverage sections and notes files are read: every step is checked and knows its offset.

use covtap_link::Endianness;

use crate::image::uint;

/// What could not be decoded, and where in its section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::coverage) struct Fault {
    pub(in crate::coverage) offset: usize,
    pub(in crate::coverage) detail: String,
}

/// A place in some bytes of a section.
#[derive(Clone, Debug)]
pub(in crate::coverage) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, which begin at `offset` of their section.
    pub(in crate::coverage) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Where in the section the next byte is.
    pub(in crate::coverage) fn offset(&self) -> usize {
        self.offset
    }

    pub(in crate::coverage) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::coverage) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A fault at the next byte.
    pub(in crate::coverage) fn fault(&self, detail: impl Into<String>) -> Fault {
        Fault { offset: self.offset, detail: detail.into() }
    }

    pub(in crate::coverage) fn take(&mut self, len_bytes: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(len_bytes) else {
            return Err(
                self.fault(format!("{len_bytes} bytes are said to follow, there are {}", self.rest.len()))
            );
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(len_bytes);
        Ok(taken)
    }

    pub(in crate::coverage) fn u32(&mut self, endianness: Endianness) -> Result<u32, Fault> {
        let value = uint(self.take(4)?, endianness);
        // Four bytes are never more.
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    pub(in crate::coverage) fn u64(&mut self, endianness: Endianness) -> Result<u64, Fault> {
        Ok(uint(self.take(8)?, endianness))
    }

    /// A ULEB128 number of at most 64 bits.
    #[inline]
    pub(in crate::coverage) fn uleb128(&mut self) -> Result<u64, Fault> {
        match self.one_byte() {
            Some(value) => Ok(u64::from(value)),
            None => self.long_uleb128(),
        }
    }

    /// A number of one byte, as nearly all are.
    #[inline]
    fn one_byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first().filter(|(byte, _)| **byte < 0x80)?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(1);
        Some(*byte)
    }

    fn long_uleb128(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            let (bits, shift) = (u64::from(byte & 0x7f), 7 * index);
            if shift == 63 && bits > 1 {
                return Err(self.fault("a number of more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.take(index.saturating_add(1))?;
                return Ok(value);
            }
        }
        Err(self.fault("a number without an end"))
    }

    /// A number that LLVM keeps in 32 bits; its reader refuses the largest.
    #[inline]
    pub(in crate::coverage) fn uleb128_u32(&mut self) -> Result<u32, Fault> {
        if let Some(value) = self.one_byte() {
            return Ok(u32::from(value));
        }
        let at = self.clone();
        let value = u32::try_from(self.long_uleb128()?).ok().filter(|value| *value < u32::MAX);
        value.ok_or_else(|| at.fault("a number of more than 32 bits"))
    }

    /// How many things follow, of which each takes at least `each_bytes`: what there is room for bounds what is
    /// allocated.
    pub(in crate::coverage) fn count(&mut self, each_bytes: usize, what: &str) -> Result<usize, Fault> {
        let at = self.clone();
        let count = self.uleb128()?;
        let room = self.rest.len() / each_bytes.max(1);
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= room)
            .ok_or_else(|| at.fault(format!("{count} {what} are said to follow, there is room for {room}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_their_end() {
        let mut cursor = Cursor::new(&[0xe5, 0x8e, 0x26, 7], 100);
        assert_eq!((cursor.uleb128().unwrap(), cursor.offset()), (624_485, 103));
        assert_eq!(cursor.uleb128().unwrap(), 7);
        assert!(cursor.is_empty());
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Cursor::new(&max, 0).uleb128().unwrap(), u64::MAX);
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_where_it_begins() {
        for bytes in [&[0x80u8; 12][..], &[0xff; 10], &[], &[0x80]] {
            assert_eq!(Cursor::new(bytes, 5).uleb128().unwrap_err().offset, 5);
        }
        let mut cursor = Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f], 9);
        assert_eq!(
            cursor.uleb128_u32().unwrap_err(),
            Fault { offset: 9, detail: "a number of more than 32 bits".into() }
        );
    }

    #[test]
    fn a_count_is_held_against_what_there_is_room_for() {
        assert_eq!(Cursor::new(&[2, 0, 0, 0, 0], 0).count(2, "pairs").unwrap(), 2);
        let fault = Cursor::new(&[3, 0, 0, 0, 0], 0).count(2, "pairs").unwrap_err();
        assert_eq!(fault.detail, "3 pairs are said to follow, there is room for 2");
    }
}
