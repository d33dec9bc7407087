//! The layout of the shared file, as docs/trace-memory.md has it: 64-bit words, in chunks behind a header.

/// How the file begins: "covtaptm".
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"covtaptm");

/// The layout's version.
pub(crate) const VERSION: u64 = 2;

/// The length of the header: a multiple of every host's page.
pub(crate) const HEADER_BYTES: usize = 1 << 16;

/// What QEMU keeps for each vCPU and chunk. A power of two: QEMU's code finds a vCPU's by a shift then, and not by a
/// multiplication. It allocates at least 16 at once, which no heap keeps among small blocks, so that the pages replaced there
/// are nobody else's.
pub(crate) const ELEMENT_BYTES: usize = 1 << 20;

/// What of it is not used, because it does not begin on a page: the longest page of any host.
const MAX_PAGE_BYTES: usize = 1 << 16;

/// Entries of one chunk.
pub(crate) const CHUNK_ENTRIES: usize = (ELEMENT_BYTES - MAX_PAGE_BYTES) / WORD;

/// More chunks are not made: 15 million entries.
pub(crate) const MAX_CHUNKS: usize = 128;

/// Words of one entry.
pub(crate) const ENTRY_WORDS: usize = 4;

/// Bytes of one word.
pub(crate) const WORD: usize = 8;

/// Words of the header by their places.
pub(crate) mod word {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const STATE: usize = 2;
    pub(crate) const MODE: usize = 3;
    pub(crate) const COUNTING: usize = 4;
    pub(crate) const NUM_VCPUS: usize = 5;
    pub(crate) const CHUNK_ENTRIES: usize = 6;
    pub(crate) const NUM_CHUNKS: usize = 7;
    pub(crate) const NUM_ENTRIES: usize = 8;
    pub(crate) const NOT_RECORDED: usize = 9;
    pub(crate) const FLAGS: usize = 10;
    pub(crate) const HEADER_BYTES: usize = 11;
    pub(crate) const ARCHITECTURE: usize = 12;
    pub(crate) const UNSEEN_OUTCOMES: usize = 15;
}

/// Bytes of the architecture's name.
pub(crate) const ARCHITECTURE_BYTES: usize = 24;

/// The guest may run.
pub(crate) const STATE_RUNS: u64 = 1;

/// QEMU ended in order.
pub(crate) const STATE_ENDED: u64 = 2;

/// Counts are added by QEMU's own code.
pub(crate) const COUNTING_INLINE: u64 = 1;

/// Counts are added by calls.
pub(crate) const COUNTING_CALLBACKS: u64 = 2;

/// Of the header: a vCPU has no row of counts, and what it executed is missing.
pub(crate) const FLAG_UNCOUNTED_VCPU: u64 = 1;

/// Of the header: it was asked for code of one privilege, and of some blocks it is not known, so that they are missing.
pub(crate) const FLAG_UNKNOWN_PRIVILEGE: u64 = 2;

/// Of an entry: other bytes were executed at the same address before.
pub(crate) const FLAG_OTHER_BYTES: u64 = 1;

/// What an entry counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Block = 1,
    Instruction = 2,
    BranchTaken = 3,
    BranchFellThrough = 4,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Mode {
    Blocks = 1,
    Edges = 2,
    Insns = 3,
}

/// Bytes of a chunk's table.
pub(crate) const TABLE_BYTES: usize = CHUNK_ENTRIES * ENTRY_WORDS * WORD;

/// Bytes of a vCPU's counts in a chunk.
pub(crate) const ROW_BYTES: usize = CHUNK_ENTRIES * WORD;

/// Where a chunk is in the file, and its length.
pub(crate) fn chunk(index: usize, num_vcpus: usize) -> Option<(usize, usize)> {
    let len = num_vcpus.checked_mul(ROW_BYTES)?.checked_add(TABLE_BYTES)?;
    Some((index.checked_mul(len)?.checked_add(HEADER_BYTES)?, len))
}
