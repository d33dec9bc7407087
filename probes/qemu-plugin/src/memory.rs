//! The shared file as it is filled: entries of what may be executed, and a row of counts for each vCPU.
//!
//! What always holds: an entry is whole before the number of entries says that it is there, and is never changed; a
//! counter has one vCPU that writes it; what is in the file needs nobody to be flushed.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::{self, CHUNK_ENTRIES, ENTRY_WORDS, Kind, MAX_CHUNKS, Mode, ROW_BYTES, WORD, word};

/// The file, mapped.
pub(crate) struct Memory {
    file: File,
    header: &'static [AtomicU64],
    chunks: Vec<&'static [AtomicU64]>,
    num_vcpus: usize,
    num_entries: usize,
}

/// What is known of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) vaddr: u64,
    pub(crate) len_bytes: u32,
    /// Of its last instruction.
    pub(crate) last_bytes: u32,
    pub(crate) kind: Kind,
    /// Of its bytes.
    pub(crate) hash: u64,
}

/// The counters of an entry: the first is vCPU 0's, and others follow a stride apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    words: &'static [AtomicU64],
    stride: usize,
}

impl Counter {
    /// Words from vCPU 0's on, and how far apart those of vCPUs are.
    pub(crate) fn new(words: &'static [AtomicU64], stride: usize) -> Self {
        Self { words, stride }
    }

    /// Adds one. Nobody else writes this vCPU's counter.
    pub(crate) fn add(&self, vcpu: u32) {
        let at = (vcpu as usize).wrapping_mul(self.stride);
        if let Some(counter) = self.words.get(at) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }
}

impl Memory {
    /// Makes the file, in the place of what it had.
    pub(crate) fn create(
        path: &Path,
        mode: Mode,
        architecture: &str,
        num_vcpus: usize,
    ) -> Result<Self, String> {
        let failed = |step, error| format!("{step} {}: {error}", path.display());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| failed("open", error))?;
        let header = crate::mapping::map(&file, 0, layout::HEADER_BYTES);
        let header = header.map_err(|error| failed("map", error))?;
        let memory = Self { file, header, chunks: Vec::new(), num_vcpus, num_entries: 0 };
        memory.set(word::VERSION, layout::VERSION);
        memory.set(word::MODE, mode as u64);
        memory.set(word::NUM_VCPUS, num_vcpus as u64);
        memory.set(word::CHUNK_ENTRIES, CHUNK_ENTRIES as u64);
        memory.set(word::HEADER_BYTES, layout::HEADER_BYTES as u64);
        let mut name = [0; layout::ARCHITECTURE_BYTES];
        name.iter_mut().zip(architecture.bytes()).for_each(|(to, from)| *to = from);
        for (index, eight) in name.as_chunks::<WORD>().0.iter().enumerate() {
            memory.set(word::ARCHITECTURE.saturating_add(index), u64::from_le_bytes(*eight));
        }
        memory.set(word::STATE, layout::STATE_RUNS);
        // Last: whoever sees it finds the rest.
        memory.set(word::MAGIC, layout::MAGIC);
        Ok(memory)
    }

    /// Sets a word of the header.
    pub(crate) fn set(&self, word: usize, value: u64) {
        if let Some(place) = self.header.get(word) {
            place.store(value, Ordering::Release);
        }
    }

    /// A word of the header.
    pub(crate) fn get(&self, word: usize) -> u64 {
        self.header.get(word).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    /// Where it is counted how often it is not known which way a branch went.
    pub(crate) fn unseen_outcomes(&self) -> Option<&'static AtomicU64> {
        self.header.get(word::UNSEEN_OUTCOMES)
    }

    /// How many chunks there are.
    pub(crate) fn num_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// How many vCPUs have a row.
    pub(crate) fn num_vcpus(&self) -> usize {
        self.num_vcpus
    }

    /// Whether the next entry needs a chunk of its own.
    pub(crate) fn is_full(&self) -> bool {
        self.num_entries >= self.chunks.len().saturating_mul(CHUNK_ENTRIES)
    }

    /// Makes one more chunk. There may be too many, or no room on the disk.
    pub(crate) fn grow(&mut self) -> Result<(), String> {
        let index = self.chunks.len();
        let place = layout::chunk(index, self.num_vcpus).filter(|_| index < MAX_CHUNKS);
        let (offset, len) = place.ok_or_else(|| format!("the trace has {MAX_CHUNKS} chunks already"))?;
        let chunk = crate::mapping::map(&self.file, offset, len);
        self.chunks.push(chunk.map_err(|error| format!("make room for the trace: {error}"))?);
        self.set(word::NUM_CHUNKS, self.chunks.len() as u64);
        Ok(())
    }

    /// Adds an entry where there is room: its number is the result.
    pub(crate) fn push(&mut self, entry: &Entry, flags: u64) -> Option<usize> {
        let id = self.num_entries;
        let chunk = self.chunks.get(id / CHUNK_ENTRIES)?;
        let at = (id % CHUNK_ENTRIES).checked_mul(ENTRY_WORDS)?;
        let words = chunk.get(at..)?.first_chunk::<ENTRY_WORDS>()?;
        let about = u64::from(entry.len_bytes) | ((entry.kind as u64) << 32) | (flags << 48);
        for (place, value) in words.iter().zip([entry.vaddr, about, entry.hash, entry.last_bytes.into()]) {
            place.store(value, Ordering::Relaxed);
        }
        self.num_entries = id.checked_add(1)?;
        self.set(word::NUM_ENTRIES, self.num_entries as u64);
        Some(id)
    }

    /// The counters of an entry.
    pub(crate) fn counter(&self, id: usize) -> Option<Counter> {
        let rows = layout::TABLE_BYTES / WORD;
        let chunk = self.chunks.get(id / CHUNK_ENTRIES)?;
        let words = chunk.get(rows.checked_add(id % CHUNK_ENTRIES)?..)?;
        Some(Counter::new(words, CHUNK_ENTRIES))
    }

    /// The file, and where in it a vCPU's counts of a chunk are.
    pub(crate) fn row(&self, chunk: usize, vcpu: usize) -> Option<(&File, usize)> {
        let (offset, _) = layout::chunk(chunk, self.num_vcpus).filter(|_| vcpu < self.num_vcpus)?;
        let rows = offset.checked_add(layout::TABLE_BYTES)?;
        Some((&self.file, rows.checked_add(vcpu.checked_mul(ROW_BYTES)?)?))
    }
}
