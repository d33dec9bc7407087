//! `.gcda` read: what libgcov, Linux, LLVM's runtime or covtap wrote.
//!
//! ```text
//! magic "gcda" | version | stamp | [checksum: from GCC 12]
//! tag 0xa1000000 | length | runs | sum_max                              from GCC 9, optional
//! tag 0xa3000000 | length | words                                       up to GCC 8, any number
//! tag 0x01000000 | length | ident | lineno_checksum | cfg_checksum      each function; length 0: absent
//!   tag 0x01a10000 + (index << 17) | length | values                    its counters, indices ascending
//! 0                                                                     optional; what follows is not read:
//!                                                                       libgcov does not shorten a longer file
//! ```
//!
//! A summary behind the functions is clang's, whose files end in two words of 0.
//!
//! All are words of 4 bytes in the target's order, values two words, the low one first. Lengths are in words up to
//! GCC 11 and in bytes since; from GCC 11 on, a negative one says that all values are 0 and none follows.
//!
//! What always holds: a tag that is not understood is refused, and memory is a small multiple of the file's length
//! and of what `MAX_ZEROS` allows.
//!
//! Source: `gcc/gcov-io.h`, `gcc/gcov-io.c` and `libgcc/libgcov-driver.c`, releases/gcc-11 and releases/gcc-12;
//! `compiler-rt/lib/profile/GCDAProfiling.c`, llvmorg-19.1.7; `kernel/gcov/gcc_4_7.c`, Linux 6.1.

use covtap_link::Endianness;

use super::topn;
use super::{
    GcdaCounters, GcdaFile, GcdaFunction, GcdaSummary, MAGIC, TAG_COUNTER_BASE, TAG_COUNTER_SHIFT,
    TAG_FUNCTION,
};
use crate::locate::gcov::{Layout, Version};
use crate::profile::cursor::{Cursor, Fault};

/// A `.gcda` file could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadGcdaError {
    /// It does not begin as one.
    #[error("read {file}: it is no .gcda file")]
    NotGcda {
        /// What errors call the file.
        file: String,
    },
    /// It is damaged, or of a kind that is not read.
    #[error("read {file} at offset {offset:#x}: {detail}")]
    Damaged {
        /// What errors call the file.
        file: String,
        /// Where in the file, in bytes.
        offset: usize,
        /// What is wrong.
        detail: String,
    },
}

/// How many zeros that do not stand in the file it may announce, beside one for each of its bytes.
const MAX_ZEROS: usize = 1 << 20;

/// Reads a file; `name` is what errors call it.
///
/// # Errors
///
/// It is no `.gcda` file, a damaged one, or has what is not understood.
pub fn read(name: &str, bytes: &[u8]) -> Result<GcdaFile, ReadGcdaError> {
    let mut cursor = Cursor::new(bytes);
    let Some(endianness) = endianness(&mut cursor) else {
        return Err(ReadGcdaError::NotGcda { file: name.to_owned() });
    };
    file(cursor, endianness, bytes.len()).map_err(|Fault { offset, detail }| ReadGcdaError::Damaged {
        file: name.to_owned(),
        offset,
        detail,
    })
}

/// Passes the magic.
fn endianness(cursor: &mut Cursor<'_>) -> Option<Endianness> {
    let magic = cursor.take(4, "magic").ok()?;
    match u32::from_be_bytes(magic.try_into().ok()?) {
        MAGIC => Some(Endianness::Big),
        word if word.swap_bytes() == MAGIC => Some(Endianness::Little),
        _ => None,
    }
}

fn file(mut cursor: Cursor<'_>, endianness: Endianness, len: usize) -> Result<GcdaFile, Fault> {
    let at_version = cursor.clone();
    let word = cursor.u32(endianness, "version")?;
    let version = Version::from_word(word);
    let version =
        version.ok_or_else(|| at_version.fault(format!("no compiler has the version {word:#010x}")))?;
    let stamp = cursor.u32(endianness, "stamp")?;
    let mut file = GcdaFile::new(version, endianness, stamp)
        .ok_or_else(|| at_version.fault(format!("files of GCC {version} are not read")))?;
    if file.layout().has_checksum {
        file.checksum = Some(cursor.u32(endianness, "checksum")?);
    }
    let layout = file.layout();
    let zeros = len.saturating_add(MAX_ZEROS);
    let mut reader = Reader { cursor, endianness, layout, zeros, is_summary_behind: false };
    while reader.record(&mut file)? {}
    if reader.is_summary_behind {
        file.become_clangs();
    }
    Ok(file)
}

struct Reader<'b> {
    cursor: Cursor<'b>,
    endianness: Endianness,
    layout: &'static Layout,
    /// How many more zeros may be announced.
    zeros: usize,
    /// Whether there was a summary behind functions.
    is_summary_behind: bool,
}

impl Reader<'_> {
    /// Reads the next record; `false` at the end.
    fn record(&mut self, file: &mut GcdaFile) -> Result<bool, Fault> {
        if self.cursor.is_at_end() {
            return Ok(false);
        }
        let start = self.cursor.clone();
        let tag = self.u32("tag")?;
        match tag {
            0 => return Ok(false),
            TAG_FUNCTION => file.functions.push(self.function()?),
            tag if tag == self.layout.summary_tag => self.summary(&start, file)?,
            tag => self.counters(&start, tag, file)?,
        }
        Ok(true)
    }

    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        self.cursor.u32(self.endianness, what)
    }

    /// A length, which must not be negative, in bytes.
    fn len_bytes(&self, start: &Cursor<'_>, length: i32) -> Result<usize, Fault> {
        let unit = if self.layout.lengths_in_bytes { 1 } else { 4 };
        let len = usize::try_from(length).ok().and_then(|length| length.checked_mul(unit));
        len.ok_or_else(|| start.fault(format!("a record has the length {length}")))
    }

    fn length(&mut self) -> Result<i32, Fault> {
        Ok(self.u32("length")?.cast_signed())
    }

    fn function(&mut self) -> Result<Option<GcdaFunction>, Fault> {
        let start = self.cursor.clone();
        let length = self.length()?;
        match self.len_bytes(&start, length)? {
            0 => Ok(None),
            12 => Ok(Some(GcdaFunction {
                ident: self.u32("ident")?,
                lineno_checksum: self.u32("lineno_checksum")?,
                cfg_checksum: self.u32("cfg_checksum")?,
                counters: Vec::new(),
            })),
            len => Err(start.fault(format!("a function of {len} bytes"))),
        }
    }

    fn summary(&mut self, start: &Cursor<'_>, file: &mut GcdaFile) -> Result<(), Fault> {
        self.is_summary_behind |= !file.functions.is_empty();
        let length = self.length()?;
        let len = self.len_bytes(start, length)?;
        if !self.layout.is_object_summary() {
            if !len.is_multiple_of(4) {
                return Err(start.fault(format!("a summary of {len} bytes")));
            }
            let mut body = self.cursor.part(len as u64, "summary")?;
            let mut words = Vec::with_capacity(len / 4);
            while !body.is_at_end() {
                words.push(body.u32(self.endianness, "summary")?);
            }
            file.program_summaries.push(words);
            return Ok(());
        }
        if len != 8 {
            return Err(start.fault(format!("a summary of {len} bytes")));
        }
        if file.summary.is_some() {
            return Err(start.fault("a second summary"));
        }
        file.summary = Some(GcdaSummary { runs: self.u32("runs")?, sum_max: self.u32("sum_max")? });
        Ok(())
    }

    fn counters(&mut self, start: &Cursor<'_>, tag: u32, file: &mut GcdaFile) -> Result<(), Fault> {
        let index =
            self.index(tag).ok_or_else(|| start.fault(format!("the tag {tag:#010x} is not known")))?;
        let Some(function) = file.functions.last_mut().and_then(Option::as_mut) else {
            return Err(start.fault("counters of no function"));
        };
        if function.counters.last().is_some_and(|last| last.index >= index) {
            return Err(start.fault(format!("counters of index {index} are not in order")));
        }
        let length = self.length()?;
        let values = if length < 0 && self.layout.has_zero_lengths && !self.layout.is_topn_list(index) {
            self.zeros(start, length)?
        } else {
            self.values(start, length)?
        };
        topn::check_shape(self.layout, index, &values).map_err(|detail| start.fault(detail))?;
        function.counters.push(GcdaCounters { index, values });
        Ok(())
    }

    /// The index that a tag of counters is of.
    fn index(&self, tag: u32) -> Option<usize> {
        let distance = tag.checked_sub(TAG_COUNTER_BASE)?;
        let index = usize::try_from(distance >> TAG_COUNTER_SHIFT).ok()?;
        let is_whole = distance.trailing_zeros() >= TAG_COUNTER_SHIFT;
        (is_whole && index < self.layout.counters.len()).then_some(index)
    }

    fn count(&self, start: &Cursor<'_>, length: i32) -> Result<usize, Fault> {
        let len = self.len_bytes(start, length)?;
        if !len.is_multiple_of(8) {
            return Err(start.fault(format!("counters of {len} bytes")));
        }
        Ok(len / 8)
    }

    fn zeros(&mut self, start: &Cursor<'_>, length: i32) -> Result<Vec<u64>, Fault> {
        let count = self.count(start, length.checked_neg().unwrap_or(length))?;
        let left = self.zeros.checked_sub(count);
        self.zeros = left.ok_or_else(|| start.fault(format!("{count} zeros are more than is plausible")))?;
        Ok(vec![0; count])
    }

    fn values(&mut self, start: &Cursor<'_>, length: i32) -> Result<Vec<u64>, Fault> {
        let count = self.count(start, length)?;
        let mut body = self.cursor.part(8u64.saturating_mul(count as u64), "counters")?;
        let mut values = Vec::with_capacity(count);
        while !body.is_at_end() {
            let low = body.u32(self.endianness, "counter")?;
            let high = body.u32(self.endianness, "counter")?;
            values.push(u64::from(high) << 32 | u64::from(low));
        }
        Ok(values)
    }
}
