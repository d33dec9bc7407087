//! What decoders read from: lines and fixed numbers of bytes, one after the other, with where they are.
//!
//! What always holds: a line or a record is whole, or it is a fault; a line is no longer than [`MAX_LINE_BYTES`].

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};

use super::super::TraceTooLarge;

/// More than the longest line of any tool: disassembly with a demangled name.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// Where something is in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a line, by its number from 1.
    Line(u64),
    /// At a byte, from 0.
    Offset(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Offset(offset) => write!(f, "offset {offset:#x}"),
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It says what cannot be.
    #[error("{place}: {detail}")]
    At {
        /// Where.
        place: Place,
        /// What is wrong.
        detail: Cow<'static, str>,
    },
    /// A block's place in memory is not that of its module.
    #[error("{place}: the block is not inside its module")]
    Outside {
        /// Where.
        place: Place,
    },
    /// It cannot be read on.
    #[error("{place}: read on: {source}")]
    Read {
        /// Where.
        place: Place,
        /// What came back.
        source: io::Error,
    },
    /// It is too much.
    #[error(transparent)]
    TooLarge(#[from] TraceTooLarge),
}

/// A trace as it is read.
pub(super) struct Input<'a> {
    reader: &'a mut dyn BufRead,
    line: Vec<u8>,
    line_number: u64,
    offset: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn BufRead) -> Self {
        Self { reader, line: Vec::new(), line_number: 0, offset: 0 }
    }

    /// The next line, without its end; `None` at the end of the file. One that the file ends in may have been cut off,
    /// in the middle of an address say.
    pub(super) fn line(&mut self) -> Result<Option<Cow<'_, str>>, Fault> {
        self.line.clear();
        self.line_number += 1;
        let place = Place::Line(self.line_number);
        let read = Read::take(&mut *self.reader, MAX_LINE_BYTES).read_until(b'\n', &mut self.line);
        let len = read.map_err(|source| Fault::Read { place, source })?;
        self.offset = self.offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        match self.line.as_slice() {
            [] => Ok(None),
            [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => Ok(Some(String::from_utf8_lossy(line))),
            _ if len as u64 == MAX_LINE_BYTES => Err(self.wrong_line("it is too long")),
            _ => Err(self.wrong_line("the file ends in its middle")),
        }
    }

    /// The next `N` bytes; `None` at the end of the file.
    pub(super) fn record<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Fault> {
        let (mut bytes, mut len) = ([0; N], 0);
        let at = self.offset;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) if len == 0 => return Ok(None),
                Ok(0) => return Err(wrong(Place::Offset(at), "the file ends in the middle of a record")),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Fault::Read { place: Place::Offset(at), source }),
            }
        }
        self.offset = at.saturating_add(u64::try_from(N).unwrap_or(u64::MAX));
        Ok(Some(bytes))
    }

    /// The next `N` bytes, which have to be there.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let ended = self.wrong_byte("the file ends in the middle of a record");
        self.record()?.ok_or(ended)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_le_bytes(self.bytes()?))
    }

    /// Passes over bytes that have to be there.
    pub(super) fn skip(&mut self, len_bytes: u64) -> Result<(), Fault> {
        for _ in 0..len_bytes {
            self.byte()?;
        }
        Ok(())
    }

    /// Some of the bytes that come next, without taking them; none at the end of the file.
    pub(super) fn ahead(&mut self) -> Result<&[u8], Fault> {
        let place = Place::Offset(self.offset);
        self.reader.fill_buf().map_err(|source| Fault::Read { place, source })
    }

    /// The line that was read last.
    pub(super) fn at_line(&self) -> Place {
        Place::Line(self.line_number)
    }

    /// What comes next.
    pub(super) fn at_byte(&self) -> Place {
        Place::Offset(self.offset)
    }

    /// What is wrong with the line that was read last.
    pub(super) fn wrong_line(&self, detail: impl Into<Cow<'static, str>>) -> Fault {
        wrong(Place::Line(self.line_number), detail)
    }

    /// What is wrong with what comes next.
    pub(super) fn wrong_byte(&self, detail: impl Into<Cow<'static, str>>) -> Fault {
        wrong(Place::Offset(self.offset), detail)
    }
}

fn wrong(place: Place, detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault::At { place, detail: detail.into() }
}

/// A number in hexadecimal digits, with or without 0x.
pub(super) fn hex(word: &str) -> Option<u64> {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

/// A number in decimal digits.
pub(super) fn decimal(word: &str) -> Option<u64> {
    word.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    word.parse().ok()
}
