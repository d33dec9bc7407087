//! What code was executed, by address: the counts of targets that were traced, and not instrumented.
//!
//! What enters is blocks, instructions and branches as they are seen, in any order and as often as they are, over address
//! spaces; what leaves is a [`Trace`]: for each space, runs of bytes that were executed equally often, and how often
//! branches went each way.
//!
//! What always holds: runs are in order, apart and not empty, and neighbours differ in their counts. Sums stop at the
//! largest number. Memory is bounded by how much different code there is, never by how long it ran, and by [`MAX_BLOCKS`].
//! Nothing here knows an instruction's length: an instruction was executed as often as its first byte was.

pub mod import;
mod memory;
mod runs;
mod text;

use std::collections::{BTreeMap, HashMap};

use crate::image::BuildId;

pub use memory::{Entry, Kind, ReadAt, TraceMemory, TraceMemoryError};
pub use text::{TraceFileError, encode, is_trace, parse};

/// More different blocks than this are refused: no code has as many.
pub const MAX_BLOCKS: usize = 1 << 24;

/// More address spaces than this are refused.
pub const MAX_SPACES: usize = 1 << 12;

/// What a count says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Counting {
    /// That the code was seen when it was looked: what has no count may have run too.
    Samples,
    /// That it ran: every count is 1.
    Reached,
    /// How often it ran.
    #[default]
    Times,
}

/// What was executed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trace {
    /// What the counts say.
    pub counting: Counting,
    /// Whether it was looked which way branches went: else nothing is known of them.
    pub has_branches: bool,
    /// The programs that are known to have run, by their build ids; none if that is not known.
    pub build_ids: Vec<BuildId>,
    spaces: BTreeMap<String, Space>,
}

/// What was executed in one address space.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Space {
    runs: Vec<Run>,
    branches: BTreeMap<u64, Ways>,
}

/// Bytes that were executed equally often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The address of the first.
    pub start: u64,
    /// The address of the last: a run may end at the end of memory.
    pub last: u64,
    /// How often; never 0.
    pub count: u64,
}

/// How often a conditional branch went each way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ways {
    /// To its target.
    pub taken: u64,
    /// To the instruction behind it.
    pub fell_through: u64,
}

/// A trace is larger than any code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TraceTooLarge {
    /// It has too many blocks.
    #[error("it has more than {MAX_BLOCKS} different blocks")]
    Blocks,
    /// It has too many spaces.
    #[error("it has more than {MAX_SPACES} address spaces")]
    Spaces,
}

impl Trace {
    /// The address spaces by their names. Where there is only one, it has none.
    pub fn spaces(&self) -> impl Iterator<Item = (&str, &Space)> {
        self.spaces.iter().map(|(name, space)| (name.as_str(), space))
    }

    /// One address space.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&Space> {
        self.spaces.get(name)
    }

    /// How many different bytes were executed.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        let runs = self.spaces.values().flat_map(|space| &space.runs);
        runs.fold(0, |sum, run| sum.saturating_add(run.last.saturating_sub(run.start).saturating_add(1)))
    }

    /// Whether nothing was executed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spaces.values().all(|space| space.runs.is_empty() && space.branches.is_empty())
    }

    /// Adds another trace of the same programs. What both say is left: counts of code that was reached, or sampled, are
    /// no counts of times.
    pub fn add(&mut self, other: &Self) {
        let is_same = self.is_empty() || other.is_empty() || self.counting == other.counting;
        let counting = match (self.is_empty(), other.is_empty()) {
            (true, _) => other.counting,
            (_, true) => self.counting,
            _ => self.counting.min(other.counting),
        };
        self.has_branches |= other.has_branches;
        for id in &other.build_ids {
            if !self.build_ids.contains(id) {
                self.build_ids.push(id.clone());
            }
        }
        for (name, space) in &other.spaces {
            self.spaces.entry(name.clone()).or_default().add(space);
        }
        self.counting = counting;
        if counting == Counting::Reached || !is_same {
            self.spaces.values_mut().for_each(Space::forget_times);
        }
    }
}

impl Space {
    /// One in which nothing was executed.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: Vec::new(), branches: BTreeMap::new() }
    }

    /// What was executed, by address.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How often branches went each way, by the addresses of their instructions.
    pub fn branches(&self) -> impl ExactSizeIterator<Item = (u64, Ways)> {
        self.branches.iter().map(|(address, ways)| (*address, *ways))
    }

    /// How often the branch at an address went each way, if it was executed.
    #[must_use]
    pub fn branch(&self, address: u64) -> Option<Ways> {
        self.branches.get(&address).copied()
    }

    /// How often the instruction at an address was executed.
    #[must_use]
    pub fn count_at(&self, address: u64) -> u64 {
        self.within(address, address).next().map_or(0, |run| run.count)
    }

    /// The runs that have bytes from `start` to `last`.
    pub fn within(&self, start: u64, last: u64) -> impl Iterator<Item = Run> {
        let first = self.runs.partition_point(|run| run.last < start);
        let rest = self.runs.get(first..).unwrap_or_default();
        rest.iter().copied().take_while(move |run| run.start <= last)
    }

    fn add(&mut self, other: &Self) {
        self.runs = runs::sum(self.runs.iter().chain(&other.runs).copied());
        for (address, ways) in &other.branches {
            self.branches.entry(*address).or_default().add(*ways);
        }
    }

    fn forget_times(&mut self) {
        let reached = self.runs.iter().map(|run| Run { count: 1, ..*run });
        self.runs = runs::joined(reached);
        for ways in self.branches.values_mut() {
            *ways = Ways { taken: ways.taken.min(1), fell_through: ways.fell_through.min(1) };
        }
    }
}

impl Ways {
    /// Adds what another trace says of the same branch.
    pub fn add(&mut self, other: Self) {
        self.taken = self.taken.saturating_add(other.taken);
        self.fell_through = self.fell_through.saturating_add(other.fell_through);
    }
}

/// A trace as it is taken in.
#[derive(Default, Debug)]
pub struct TraceBuilder {
    counting: Counting,
    spaces: BTreeMap<String, Blocks>,
    num_blocks: usize,
    has_branches: bool,
}

/// Different blocks of a space, by their first and last bytes.
#[derive(Default, Debug)]
struct Blocks {
    blocks: HashMap<(u64, u64), u64>,
    branches: BTreeMap<u64, Ways>,
}

impl TraceBuilder {
    /// Of what counts that say this.
    #[must_use]
    pub fn new(counting: Counting) -> Self {
        Self { counting, ..Self::default() }
    }

    /// Adds a block, or an instruction, of `len_bytes` from `start` on that was executed `count` times. One of unknown
    /// length has 1 byte. What has no length, or was executed never, is nothing; one that passes the end of memory ends
    /// there.
    ///
    /// # Errors
    ///
    /// There is too much.
    pub fn block(
        &mut self,
        space: &str,
        start: u64,
        len_bytes: u64,
        count: u64,
    ) -> Result<(), TraceTooLarge> {
        if len_bytes == 0 || count == 0 {
            return Ok(());
        }
        let last = start.saturating_add(len_bytes - 1);
        let reached = self.counting == Counting::Reached;
        let num_before = self.num_blocks;
        let blocks = &mut self.space(space)?.blocks;
        let sum = blocks.entry((start, last)).or_insert(0);
        let is_new = *sum == 0;
        *sum = if reached { 1 } else { sum.saturating_add(count) };
        self.num_blocks = num_before.saturating_add(usize::from(is_new));
        if self.num_blocks > MAX_BLOCKS { Err(TraceTooLarge::Blocks) } else { Ok(()) }
    }

    /// Adds how often the conditional branch at an address went each way. That it was executed is for its block to say.
    ///
    /// # Errors
    ///
    /// There is too much.
    pub fn branch(&mut self, space: &str, address: u64, ways: Ways) -> Result<(), TraceTooLarge> {
        self.has_branches = true;
        let branches = &mut self.space(space)?.branches;
        branches.entry(address).or_default().add(ways);
        if branches.len() > MAX_BLOCKS { Err(TraceTooLarge::Blocks) } else { Ok(()) }
    }

    /// It was looked which way branches go, though none may have been executed.
    pub fn look_at_branches(&mut self) {
        self.has_branches = true;
    }

    /// Counts say this at most, as it turned out.
    pub fn say_no_more_than(&mut self, counting: Counting) {
        self.counting = self.counting.min(counting);
    }

    /// What was taken in so far.
    #[must_use]
    pub fn finish(&self) -> Trace {
        let spaces = self.spaces.iter().map(|(name, blocks)| {
            let of_block = |((start, last), count): (&(u64, u64), &u64)| Run {
                start: *start,
                last: *last,
                count: *count,
            };
            let runs = runs::sum(blocks.blocks.iter().map(of_block));
            let mut space = Space { runs, branches: blocks.branches.clone() };
            if self.counting == Counting::Reached {
                space.forget_times();
            }
            (name.clone(), space)
        });
        let spaces = spaces.collect();
        Trace { counting: self.counting, has_branches: self.has_branches, build_ids: Vec::new(), spaces }
    }

    fn space(&mut self, name: &str) -> Result<&mut Blocks, TraceTooLarge> {
        if !self.spaces.contains_key(name) {
            if self.spaces.len() >= MAX_SPACES {
                return Err(TraceTooLarge::Spaces);
            }
            self.spaces.insert(name.to_owned(), Blocks::default());
        }
        // It is there.
        self.spaces.get_mut(name).ok_or(TraceTooLarge::Spaces)
    }
}

#[cfg(test)]
mod tests;
