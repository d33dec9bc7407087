//! What is counted in bits: which outcomes of conditions decided something (MC/DC, from GCC 14), and which prime paths
//! were taken (from GCC 15).
//!
//! What enters is a function's notes and its counters of either kind; what leaves is a [`ConditionCount`] for each block
//! that decides, and a [`PathCount`]. What always holds: bits beyond those that the notes tell of count nothing.
//!
//! A decision has two counters, one for each outcome: a bit for each condition, set when the condition alone was seen to
//! bring that outcome about. Prime paths, the longest that do not pass a block twice, have a bit each.
//!
//! Source: `read_count_file`, `condition_info` and `output_intermediate_json_line` in `gcc/gcov.cc`, releases/gcc-15.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::gcno::Function;
use super::solve::index;
use crate::coverage::statistics::Tally;

/// The counters of each decision: what was true, then what was false.
const COUNTERS: usize = 2;

/// One decision: a condition, or several that are joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConditionCount {
    /// How many conditions it has, no more than 64.
    pub num_terms: u32,
    is_true: u64,
    is_false: u64,
}

impl ConditionCount {
    pub(super) fn new(num_terms: u32, is_true: u64, is_false: u64) -> Self {
        let num_terms = num_terms.min(u64::BITS);
        let mask = u64::MAX.checked_shr(u64::BITS.saturating_sub(num_terms)).unwrap_or(0);
        Self { num_terms, is_true: is_true & mask, is_false: is_false & mask }
    }

    /// Adds what another unit, or instantiation, has of the decision. The one with more conditions stays where the two
    /// differ: they are not the same source then.
    pub(super) fn add(&mut self, other: &Self) {
        match self.num_terms.cmp(&other.num_terms) {
            Ordering::Less => *self = *other,
            Ordering::Equal => {
                self.is_true |= other.is_true;
                self.is_false |= other.is_false;
            }
            Ordering::Greater => {}
        }
    }

    /// How many outcomes there are: two of each condition.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.num_terms.saturating_mul(2)
    }

    /// How many of them were seen to decide.
    #[must_use]
    pub fn covered(&self) -> u32 {
        self.is_true.count_ones().saturating_add(self.is_false.count_ones())
    }

    /// Both together.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { covered: self.covered().into(), total: self.count().into() }
    }

    /// The conditions, from 0, that were never seen to decide by being true.
    pub fn not_covered_true(&self) -> impl Iterator<Item = u32> {
        unset(self.is_true, self.num_terms)
    }

    /// The conditions, from 0, that were never seen to decide by being false.
    pub fn not_covered_false(&self) -> impl Iterator<Item = u32> {
        unset(self.is_false, self.num_terms)
    }

    /// The conditions, from 0, with whether each was seen to decide by being true and by being false.
    pub fn outcomes(&self) -> impl Iterator<Item = (u32, [bool; 2])> {
        let (is_true, is_false) = (self.is_true, self.is_false);
        (0..self.num_terms).map(move |number| (number, [is_set(is_true, number), is_set(is_false, number)]))
    }

    /// Those of them with an outcome that was never seen.
    pub fn not_covered(&self) -> impl Iterator<Item = (u32, [bool; 2])> {
        self.outcomes().filter(|(_, outcomes)| *outcomes != [true, true])
    }
}

fn unset(bits: u64, num: u32) -> impl Iterator<Item = u32> {
    (0..num).filter(move |bit| !is_set(bits, *bit))
}

fn is_set(bits: u64, bit: u32) -> bool {
    bits.checked_shr(bit).unwrap_or(0) & 1 != 0
}

/// The prime paths of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathCount {
    /// How many there are.
    pub total: u32,
    /// How many of them were taken.
    pub covered: u32,
}

impl PathCount {
    /// The better of two copies of the function: which paths were taken is not known here, so that they do not add up.
    /// The one with more paths stays where the two differ.
    pub(super) fn better(self, other: Self) -> Self {
        if (self.total, self.covered) < (other.total, other.covered) { other } else { self }
    }
}

/// How many counters of paths data files have for the function.
pub(super) fn num_path_counters(function: &Function) -> usize {
    index(function.num_paths.unwrap_or(0).div_ceil(u64::BITS))
}

/// A function's paths; counters that are missing are 0.
pub(super) fn paths(function: &Function, counters: &[u64]) -> Option<PathCount> {
    let total = function.num_paths?;
    let taken = counters.iter().fold(0, |sum: u32, bits| sum.saturating_add(bits.count_ones()));
    Some(PathCount { total, covered: taken.min(total) })
}

/// How many counters of conditions data files have for the function.
pub(super) fn num_counters(function: &Function) -> usize {
    function.conditions.len().saturating_mul(COUNTERS)
}

/// A function's decisions by block; counters that are missing are 0.
pub(super) fn by_block(function: &Function, counters: &[u64]) -> HashMap<u32, ConditionCount> {
    let mut counters = counters.iter().copied();
    let mut next = || counters.next().unwrap_or(0);
    let counted = function.conditions.iter().map(|condition| {
        let (is_true, is_false) = (next(), next());
        (condition.block, ConditionCount::new(condition.num_terms, is_true, is_false))
    });
    counted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bits_of_conditions_count() {
        for num_terms in [0, 1, 5, 63, 64, 65, u32::MAX] {
            let all = ConditionCount::new(num_terms, u64::MAX, u64::MAX);
            assert_eq!((all.covered(), all.count()), (2 * num_terms.min(64), 2 * num_terms.min(64)));
            assert_eq!(all.not_covered_true().count(), 0);
            let none = ConditionCount::new(num_terms, 0, 0);
            assert_eq!(
                (none.covered(), none.not_covered_false().max()),
                (0, num_terms.min(64).checked_sub(1))
            );
        }
        let some = ConditionCount::new(3, 0b101, 0b010);
        assert_eq!(some.not_covered_true().collect::<Vec<_>>(), [1]);
        assert_eq!(some.not_covered_false().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn of_two_copies_the_one_with_more_paths_taken_stays() {
        let of = |covered, total| PathCount { total, covered };
        assert_eq!(of(2, 5).better(of(4, 5)), of(4, 5));
        assert_eq!(of(4, 5).better(of(2, 5)), of(4, 5));
        assert_eq!(of(4, 5).better(of(0, 6)), of(0, 6));
    }

    #[test]
    fn an_outcome_was_seen_if_one_saw_it_and_the_larger_decision_stays() {
        let mut sum = ConditionCount::new(2, 0b01, 0b00);
        sum.add(&ConditionCount::new(2, 0b10, 0b10));
        assert_eq!(sum, ConditionCount::new(2, 0b11, 0b10));
        sum.add(&ConditionCount::new(1, 0b1, 0b1));
        assert_eq!(sum, ConditionCount::new(2, 0b11, 0b10));
        sum.add(&ConditionCount::new(3, 0b100, 0));
        assert_eq!(sum, ConditionCount::new(3, 0b100, 0));
    }
}
