//! The bytes of a file: all of them at once, or those that are asked for.
//!
//! What enters is bytes, or something to read them from; what leaves is ranges. Most of a large program is debug
//! information, which is nearly never looked at. Such a file is not mapped into memory, because it may be linked anew
//! meanwhile.
//!
//! What always holds: what is read is kept until it is [forgotten](FileBytes::forget), and comes to no more than
//! [`MAX_READ`] times the file's length, however its tables overlap; nothing is allocated beyond the file's length at a
//! time.

use std::fmt;
use std::io::{Read, Seek};
use std::ops::Range;

use object::ReadRef;
use object::read::{ReadCache, ReadCacheOps};

/// How often a file may be read. Once should do; notes are read as segments and as sections, and names again when they
/// were forgotten.
const MAX_READ: u64 = 3;

/// What may be read of a small file all the same.
const MIN_READ_BYTES: u64 = 1 << 20;

/// Something that a file is read from.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// A file's bytes.
#[derive(Debug)]
pub(super) enum FileBytes {
    Whole(Vec<u8>),
    InParts(ReadCache<Metered>),
}

impl FileBytes {
    pub(super) fn in_parts(source: Box<dyn Source>) -> Self {
        Self::InParts(ReadCache::new(Metered { source, left: 0 }))
    }

    /// Gives back the memory of what was read; what is asked for later is read again.
    pub(super) fn forget(&mut self) {
        if let Self::InParts(cache) = self {
            cache.clear();
        }
    }

    /// The file's length; 0 if it cannot be told.
    pub(super) fn len_bytes(&self) -> u64 {
        ReadRef::len(self).unwrap_or(0)
    }

    /// A range; `None` if it passes the file's end or cannot be read.
    pub(super) fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        self.read_bytes_at(range.start, range.end.checked_sub(range.start)?).ok()
    }

    /// As much of a range as is in the file; nothing if that cannot be read.
    pub(super) fn clipped(&self, range: Range<u64>) -> &[u8] {
        self.get(range.start..range.end.min(self.len_bytes())).unwrap_or_default()
    }
}

impl<'a> ReadRef<'a> for &'a FileBytes {
    fn len(self) -> Result<u64, ()> {
        match self {
            FileBytes::Whole(bytes) => ReadRef::len(bytes.as_slice()),
            FileBytes::InParts(cache) => ReadRef::len(cache),
        }
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        match self {
            FileBytes::Whole(bytes) => bytes.as_slice().read_bytes_at(offset, size),
            FileBytes::InParts(cache) => cache.read_bytes_at(offset, size),
        }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        match self {
            FileBytes::Whole(bytes) => bytes.as_slice().read_bytes_at_until(range, delimiter),
            FileBytes::InParts(cache) => cache.read_bytes_at_until(range, delimiter),
        }
    }
}

/// A source that is not read without end.
pub(super) struct Metered {
    source: Box<dyn Source>,
    left: u64,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Metered {
    /// Takes so much of what may be read. Once that was too much, nothing is read any more.
    fn take(&mut self, len_bytes: usize) -> Result<(), ()> {
        let left = u64::try_from(len_bytes).ok().and_then(|len| self.left.checked_sub(len));
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(())
    }
}

impl ReadCacheOps for Metered {
    /// The cache asks for it once.
    fn len(&mut self) -> Result<u64, ()> {
        let len = ReadCacheOps::len(&mut self.source)?;
        self.left = len.saturating_mul(MAX_READ).max(MIN_READ_BYTES);
        Ok(len)
    }

    /// Refused here, the cache makes no room for what would be read.
    fn seek(&mut self, pos: u64) -> Result<u64, ()> {
        if self.left == 0 {
            return Err(());
        }
        ReadCacheOps::seek(&mut self.source, pos)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ()> {
        self.take(buf.len())?;
        ReadCacheOps::read(&mut self.source, buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        self.take(buf.len())?;
        ReadCacheOps::read_exact(&mut self.source, buf)
    }
}
