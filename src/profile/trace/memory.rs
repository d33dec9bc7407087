//! The memory that a tracer shares: what was executed up to now, as docs/trace-memory.md lays it out.
//!
//! ```text
//! | header, 65536 | chunk 0: entries, row of vCPU 0, row of vCPU 1, ... | chunk 1 ...
//! ```
//!
//! What enters is pieces of the memory, which may change meanwhile; what leaves is entries with their counts, and a
//! [`Trace`]. What always holds: no length, number or place in it is believed before it was checked, and what is read at
//! once is bounded.

use std::io;

use super::{Counting, Trace, TraceBuilder, TraceTooLarge, Ways};

const MAGIC: &[u8; 8] = b"covtaptm";
const VERSION: u64 = 2;
const WORD: u64 = 8;
const ENTRY_BYTES: u64 = 32;
const HEADER_WORDS: usize = 16;

/// More of anything is no trace.
const MAX_CHUNK_ENTRIES: u64 = 1 << 22;
const MAX_CHUNKS: u64 = 1 << 12;
const MAX_VCPUS: u64 = 1 << 12;
const MAX_HEADER_BYTES: u64 = 1 << 24;

/// Words of the header by their places.
mod word {
    pub(super) const VERSION: usize = 1;
    pub(super) const STATE: usize = 2;
    pub(super) const MODE: usize = 3;
    pub(super) const NUM_VCPUS: usize = 5;
    pub(super) const CHUNK_ENTRIES: usize = 6;
    pub(super) const NUM_CHUNKS: usize = 7;
    pub(super) const NUM_ENTRIES: usize = 8;
    pub(super) const NOT_RECORDED: usize = 9;
    pub(super) const FLAGS: usize = 10;
    pub(super) const HEADER_BYTES: usize = 11;
    pub(super) const ARCHITECTURE: usize = 12;
    pub(super) const UNSEEN_OUTCOMES: usize = 15;
}

const STATE_ENDED: u64 = 2;
const MODE_EDGES: u64 = 2;
const FLAG_UNCOUNTED_VCPU: u64 = 1;
const FLAG_UNKNOWN_PRIVILEGE: u64 = 2;

/// Gives bytes from a place on.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<()> + 'a;

/// A memory is no trace, or damaged.
#[derive(Debug, thiserror::Error)]
pub enum TraceMemoryError {
    /// It cannot be read, or ends too early.
    #[error("read {len_bytes} bytes at {offset:#x} of the trace: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// How many.
        len_bytes: usize,
        /// What came back.
        source: io::Error,
    },
    /// It begins with something else.
    #[error("read the trace's header: it does not begin with covtaptm")]
    OtherFile,
    /// It is of another version.
    #[error("read the trace's header: version {found} is not {VERSION}")]
    OtherVersion {
        /// The version.
        found: u64,
    },
    /// A number in it cannot be.
    #[error("read the trace: {what} is {value}")]
    Value {
        /// Which number.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// It has too much.
    #[error("read the trace: {0}")]
    TooLarge(#[from] TraceTooLarge),
}

/// What the header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceMemory {
    /// QEMU's name of the target.
    pub architecture: String,
    /// Whether the tracer ended in order: else it runs, or was killed.
    pub has_ended: bool,
    /// Whether it is counted which way branches go.
    pub has_branches: bool,
    /// Translations that found no room, and whose executions were not counted.
    pub not_recorded: u64,
    /// Whether a processor's executions are missing.
    pub is_vcpu_missing: bool,
    /// Whether only code of one privilege was to be counted, and of some it was not known, so that it is missing.
    pub is_privilege_unknown: bool,
    /// How often a branch was executed, and it is not known which way it went.
    pub unseen_outcomes: u64,
    num_vcpus: u64,
    chunk_entries: u64,
    num_entries: u64,
    header_bytes: u64,
}

/// What an entry counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// How often a block began.
    Block,
    /// How often an instruction began.
    Instruction,
    /// How often a block began whose conditional branch, at its end, was taken.
    BranchTaken,
    /// The same, and it was not.
    BranchFellThrough,
}

/// Something that was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its virtual address.
    pub vaddr: u64,
    /// Its length.
    pub len_bytes: u32,
    /// The length of its last instruction.
    pub last_bytes: u32,
    /// What is counted.
    pub kind: Kind,
    /// Whether other bytes were executed there before.
    pub has_other_bytes: bool,
    /// How often, by all processors.
    pub count: u64,
}

impl TraceMemory {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// It is none, or of another version, or damaged.
    pub fn read(read_at: &mut ReadAt<'_>) -> Result<Self, TraceMemoryError> {
        let bytes = get(read_at, 0, HEADER_WORDS * 8)?;
        if !bytes.starts_with(MAGIC) {
            return Err(TraceMemoryError::OtherFile);
        }
        let words: Vec<u64> = words(&bytes).collect();
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        if word(word::VERSION) != VERSION {
            return Err(TraceMemoryError::OtherVersion { found: word(word::VERSION) });
        }
        let within = |index, what, least: u64, most: u64| {
            let value = word(index);
            let is_good = (least..=most).contains(&value);
            if is_good { Ok(value) } else { Err(TraceMemoryError::Value { what, value }) }
        };
        let chunk_entries =
            within(word::CHUNK_ENTRIES, "the number of a chunk's entries", 1, MAX_CHUNK_ENTRIES)?;
        let num_chunks = within(word::NUM_CHUNKS, "the number of chunks", 0, MAX_CHUNKS)?;
        let room = chunk_entries.saturating_mul(num_chunks);
        let header_bytes = (HEADER_WORDS as u64).saturating_mul(WORD);
        let name = bytes.iter().copied().take(word::UNSEEN_OUTCOMES * 8).skip(word::ARCHITECTURE * 8);
        let name: Vec<u8> = name.take_while(|byte| *byte != 0).collect();
        Ok(Self {
            architecture: String::from_utf8_lossy(&name).chars().filter(|c| !c.is_control()).collect(),
            has_ended: word(word::STATE) == STATE_ENDED,
            has_branches: within(word::MODE, "the mode", 1, 3)? == MODE_EDGES,
            not_recorded: word(word::NOT_RECORDED),
            is_vcpu_missing: word(word::FLAGS) & FLAG_UNCOUNTED_VCPU != 0,
            is_privilege_unknown: word(word::FLAGS) & FLAG_UNKNOWN_PRIVILEGE != 0,
            unseen_outcomes: word(word::UNSEEN_OUTCOMES),
            num_vcpus: within(word::NUM_VCPUS, "the number of vCPUs", 1, MAX_VCPUS)?,
            chunk_entries,
            num_entries: within(word::NUM_ENTRIES, "the number of entries", 0, room)?,
            header_bytes: within(word::HEADER_BYTES, "the header's length", header_bytes, MAX_HEADER_BYTES)?,
        })
    }

    /// Gives all entries with the counts of now, those that were never executed too.
    ///
    /// # Errors
    ///
    /// The memory ends too early, an entry is damaged, or `take` fails.
    pub fn entries(
        &self,
        read_at: &mut ReadAt<'_>,
        take: &mut dyn FnMut(Entry) -> Result<(), TraceMemoryError>,
    ) -> Result<(), TraceMemoryError> {
        let row_bytes = self.chunk_entries.saturating_mul(WORD);
        let table_bytes = self.chunk_entries.saturating_mul(ENTRY_BYTES);
        let chunk_bytes = row_bytes.saturating_mul(self.num_vcpus).saturating_add(table_bytes);
        let (mut left, mut at) = (self.num_entries, self.header_bytes);
        while left > 0 {
            let num = left.min(self.chunk_entries);
            let table = get(read_at, at, len(num, ENTRY_BYTES)?)?;
            let mut sums = vec![0_u64; len(num, 1)?];
            for vcpu in 0..self.num_vcpus {
                let row = at.saturating_add(table_bytes).saturating_add(vcpu.saturating_mul(row_bytes));
                let counts = get(read_at, row, len(num, WORD)?)?;
                let both = sums.iter_mut().zip(words(&counts));
                both.for_each(|(sum, count)| *sum = sum.saturating_add(count));
            }
            for (entry, count) in table.as_chunks::<32>().0.iter().zip(sums) {
                take(Entry::parse(entry, count)?)?;
            }
            left = left.saturating_sub(num);
            at = at.saturating_add(chunk_bytes);
        }
        Ok(())
    }

    /// The trace up to now.
    ///
    /// # Errors
    ///
    /// The memory ends too early, or is damaged, or has too much.
    pub fn trace(&self, read_at: &mut ReadAt<'_>) -> Result<Trace, TraceMemoryError> {
        let mut builder = TraceBuilder::new(Counting::Times);
        if self.has_branches {
            builder.look_at_branches();
        }
        self.entries(read_at, &mut |entry| {
            let Entry { vaddr, len_bytes, kind, count, .. } = entry;
            builder.block("", vaddr, len_bytes.into(), count)?;
            let ways = match kind {
                Kind::Block | Kind::Instruction => return Ok(()),
                Kind::BranchTaken => Ways { taken: count, fell_through: 0 },
                Kind::BranchFellThrough => Ways { taken: 0, fell_through: count },
            };
            Ok(builder.branch("", entry.last_insn(), ways)?)
        })?;
        Ok(builder.finish())
    }
}

impl Entry {
    fn parse(bytes: &[u8; 32], count: u64) -> Result<Self, TraceMemoryError> {
        let [vaddr, about, last_bytes] = [0, 1, 3].map(|index| words(bytes).nth(index).unwrap_or(0));
        let [a, b, c, d, kind, _space, flags, _] = about.to_le_bytes();
        let kind = match kind {
            1 => Kind::Block,
            2 => Kind::Instruction,
            3 => Kind::BranchTaken,
            4 => Kind::BranchFellThrough,
            other => return Err(TraceMemoryError::Value { what: "an entry's kind", value: other.into() }),
        };
        let len_bytes = u32::from_le_bytes([a, b, c, d]);
        let last = u32::try_from(last_bytes).ok().filter(|last| *last <= len_bytes);
        let what = "the length of an entry's last instruction";
        let last_bytes = last.ok_or(TraceMemoryError::Value { what, value: last_bytes })?;
        Ok(Self { vaddr, len_bytes, last_bytes, kind, has_other_bytes: flags & 1 != 0, count })
    }

    /// The address of its last instruction.
    fn last_insn(&self) -> u64 {
        self.vaddr.wrapping_add(self.len_bytes.saturating_sub(self.last_bytes).into())
    }
}

/// Bytes of a number of things, as a length in memory.
fn len(num: u64, each: u64) -> Result<usize, TraceMemoryError> {
    let len = num.saturating_mul(each);
    usize::try_from(len).map_err(|_| TraceMemoryError::Value { what: "a length", value: len })
}

fn get(read_at: &mut ReadAt<'_>, offset: u64, len_bytes: usize) -> Result<Vec<u8>, TraceMemoryError> {
    let mut bytes = vec![0; len_bytes];
    read_at(offset, &mut bytes).map_err(|source| TraceMemoryError::Read { offset, len_bytes, source })?;
    Ok(bytes)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
