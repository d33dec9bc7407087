//! How much was reached, for a line of status.

use std::iter::Sum;
use std::ops::Add;

/// The largest count that is believed: no run reaches it, and LLVM's reader of raw profiles refuses more.
/// Source: `RawInstrProfReader::readRawCounts` in `llvm/lib/ProfileData/InstrProfReader.cpp`, llvmorg-19.1.7.
pub(super) const MAX_COUNT: u64 = 1 << 56;

/// How much was reached.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Counters that are not 0, or covered.
    pub counters_hit: usize,
    /// All counters.
    pub counters: usize,
    /// Functions of which some counter is not 0.
    ///
    /// Not the first one alone: rustc does not always count the entry there, but may derive it from others.
    pub functions_entered: usize,
    /// All functions.
    pub functions: usize,
}

impl Stats {
    /// Of one function with these counts.
    pub(super) fn of_function(counts: &[u64]) -> Self {
        let counters_hit = counts.iter().filter(|count| **count > 0).count();
        let functions_entered = usize::from(counters_hit > 0);
        Self { counters_hit, counters: counts.len(), functions_entered, functions: 1 }
    }
}

/// How many counts are larger than any run makes them: the memory was not set to zero, or is not theirs.
pub(super) fn num_unbelievable<'a>(counts: impl IntoIterator<Item = &'a u64>) -> usize {
    counts.into_iter().filter(|count| **count > MAX_COUNT).count()
}

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            counters_hit: self.counters_hit.saturating_add(other.counters_hit),
            counters: self.counters.saturating_add(other.counters),
            functions_entered: self.functions_entered.saturating_add(other.functions_entered),
            functions: self.functions.saturating_add(other.functions),
        }
    }
}

impl Sum for Stats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}
