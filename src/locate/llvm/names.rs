//! Function names, and the hashes that records refer to them by.
//!
//! ```text
//! chunk: | uleb128 raw_len | uleb128 zlib_len | zlib_len bytes of zlib, or raw_len bytes as they are |
//! ```
//!
//! `zlib_len` 0 means not compressed. Names are separated by 0x01; chunks by NUL padding, which is skipped. A name
//! reference is the low 64 bits, little-endian, of the name's MD5, on every target.
//! Source: `readAndDecodeStrings` in `llvm/lib/ProfileData/InstrProf.cpp`, llvmorg-19.1.7.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;

use md5::{Digest, Md5};

use super::zlib::TextBudget;

/// A function's name as its record has it: the low half of the name's MD5.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameRef(u64);

impl NameRef {
    /// The reference of that value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The reference to `name`.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let digest = Md5::digest(name);
        // An MD5 is 16 bytes; the first 8 of them are the value.
        Self(digest.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The value.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NameRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl fmt::Debug for NameRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// What finding a name by its reference takes, beside its text: an entry in a hash map that is half full.
const INDEX_BYTES: usize = 64;

/// The names of an image's functions.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Names {
    text: Vec<u8>,
    /// Where in the text each is, in the order of the references: a session keeps it, and a hash map is three times as large.
    index: Vec<(NameRef, Range<u32>)>,
}

/// Names as they are found.
#[derive(Default)]
pub(super) struct NamesBuilder {
    text: Vec<u8>,
    index: HashMap<NameRef, Range<u32>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("count", &self.index.len()).finish_non_exhaustive()
    }
}

/// What is wrong with a names section, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamesFault {
    pub(crate) offset: usize,
    pub(crate) detail: String,
}

impl Names {
    /// Decodes the bytes of a names section.
    pub(crate) fn decode(blob: &[u8]) -> Result<Self, NamesFault> {
        Self::decode_within(blob, &mut TextBudget::of(blob.len()))
    }

    /// Decodes one of several names sections, which share a budget.
    pub(crate) fn decode_within(blob: &[u8], budget: &mut TextBudget) -> Result<Self, NamesFault> {
        let mut names = NamesBuilder::default();
        let mut rest = blob;
        loop {
            rest = rest.get(rest.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(names.finish());
            }
            let offset = blob.len().saturating_sub(rest.len());
            rest = names.chunk(rest, budget).map_err(|detail| NamesFault { offset, detail })?;
        }
    }

    /// The name that `name_ref` refers to: mangled, and with a `file:` or `file;` prefix where it is local.
    #[must_use]
    pub fn get(&self, name_ref: NameRef) -> Option<&[u8]> {
        let found = self.index.binary_search_by_key(&name_ref, |(known, _)| *known).ok()?;
        let (_, range) = self.index.get(found)?;
        self.text.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

impl From<Names> for NamesBuilder {
    fn from(names: Names) -> Self {
        Self { text: names.text, index: names.index.into_iter().collect() }
    }
}

impl NamesBuilder {
    /// Whether none was found.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// All that were found.
    pub(super) fn finish(self) -> Names {
        let mut index: Vec<_> = self.index.into_iter().collect();
        index.sort_unstable_by_key(|(name_ref, _)| *name_ref);
        Names { text: self.text, index }
    }

    /// Adds a name, and tells whether it is new.
    pub(super) fn add(&mut self, name: &[u8], budget: &mut TextBudget) -> Result<bool, String> {
        let Entry::Vacant(entry) = self.index.entry(NameRef::of(name)) else { return Ok(false) };
        budget.take(INDEX_BYTES)?;
        let start = self.text.len();
        self.text.extend_from_slice(name);
        entry.insert(range(start, self.text.len())?);
        Ok(true)
    }

    /// Takes one chunk off `bytes` and gives what follows it.
    fn chunk<'b>(&mut self, bytes: &'b [u8], budget: &mut TextBudget) -> Result<&'b [u8], String> {
        let (raw_len, rest) = uleb128(bytes).ok_or("no length")?;
        let (zlib_len, rest) = uleb128(rest).ok_or("no compressed length")?;
        let stored_len = if zlib_len == 0 { raw_len } else { zlib_len };
        let (stored, rest) = rest
            .split_at_checked(stored_len)
            .ok_or_else(|| format!("{stored_len} bytes are said to follow, there are {}", rest.len()))?;
        let start = self.text.len();
        if zlib_len == 0 {
            self.text.extend_from_slice(stored);
        } else {
            budget.inflate(stored, raw_len as u64, &mut self.text)?;
        }
        budget.take(raw_len)?;
        self.split(start, budget)?;
        Ok(rest)
    }

    /// Indexes the names in the text from `start` on.
    fn split(&mut self, mut start: usize, budget: &mut TextBudget) -> Result<(), String> {
        let text = self.text.get(start..).unwrap_or_default();
        for name in text.split(|byte| *byte == 1) {
            let end = start.saturating_add(name.len());
            if !name.is_empty() && self.index.insert(NameRef::of(name), range(start, end)?).is_none() {
                budget.take(INDEX_BYTES)?;
            }
            start = end.saturating_add(1);
        }
        Ok(())
    }
}

/// A range of a text of names.
fn range(start: usize, end: usize) -> Result<Range<u32>, String> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(format!("names take more than {} bytes", u32::MAX)),
    }
}

/// Takes a number off `bytes`.
fn uleb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn compressed(text: &[u8], claimed_len: u8) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        let zlib = encoder.finish().unwrap();
        [vec![claimed_len, u8::try_from(zlib.len()).unwrap()], zlib].concat()
    }

    #[test]
    fn chunks_are_found_behind_each_others_padding() {
        let blob = [&[9, 0][..], b"main\x01tick\0\0\0", &compressed(b"boot\x01idle", 9)].concat();
        let names = Names::decode(&blob).unwrap();
        assert_eq!(names.len(), 4);
        for name in [&b"main"[..], b"tick", b"boot", b"idle"] {
            assert_eq!(names.get(NameRef::of(name)), Some(name));
        }
        assert_eq!(names.get(NameRef::of(b"absent")), None);
    }

    #[test]
    fn a_reference_is_what_llvm_computes() {
        // `llvm-profdata-19 show --all-functions` of a profile of `main`, names section 04 00 "main".
        assert_eq!(NameRef::of(b"main").get(), 0xdb95_6436_e78d_d5fa);
    }

    #[test]
    fn a_chunk_that_decompresses_to_more_than_it_says_is_refused() {
        let fault = Names::decode(&compressed(&[b'a'; 100], 50)).unwrap_err();
        assert_eq!(fault.detail, "decompressed to 51 bytes or more, not to 50");
        let fault = Names::decode(&compressed(b"short", 50)).unwrap_err();
        assert_eq!(fault.detail, "decompressed to 5 bytes or more, not to 50");
    }

    #[test]
    fn a_cut_off_chunk_says_where_and_how_much() {
        let fault = Names::decode(&[2, 0, b'f', b'g', 0, 5, 0, b'm']).unwrap_err();
        assert_eq!(fault, NamesFault { offset: 5, detail: "5 bytes are said to follow, there are 1".into() });
        assert!(Names::decode(&[0x80; 12]).is_err());
    }
}
