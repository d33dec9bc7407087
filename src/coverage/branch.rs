//! Branches as reports show them, whoever counted them: a place with a table of outcomes.
//!
//! LLVM knows conditions, each with a column, and counts how often one was true and how often false. gcov knows arcs of
//! the flow graph and the line they are on: all of a line are one branch here, in the order of `gcov --json-format`,
//! which is also how lcov and gcovr number them. Arcs to handlers of exceptions are among them, as they are with gcov,
//! lcov and gcovr unless those are told otherwise.

use super::function::CountedRegion;
use super::gcov;
use super::mapping::LineCol;
use super::statistics::Tally;

/// A branch as a file has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileBranch<'a> {
    /// Where it is in this file: for one in a macro, where the outermost expansion begins, with the column that the
    /// branch has in the macro; gcov's have column 0.
    pub start: LineCol,
    /// Where it ends, behind its last column, if that is in the same text; else where it begins.
    pub end: LineCol,
    /// The ways that it can take.
    pub ways: Ways<'a>,
    /// The compiler knew the outcome, and counts nothing.
    pub is_folded: bool,
}

/// The ways that a branch can take, by who counted them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ways<'a> {
    /// A condition, by LLVM.
    Condition {
        /// How often it was true.
        count: u64,
        /// How often it was false.
        false_count: u64,
    },
    /// The arcs of a line, by gcov.
    Arcs {
        /// In the order of blocks, and those of a block in the order of destinations.
        arcs: &'a [gcov::Branch],
        /// Code on the line ran, or none of it was left out: what lcov goes by.
        is_reached: bool,
    },
}

/// One way that a branch can take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Which.
    pub kind: OutcomeKind,
    /// How often it was taken.
    pub count: u64,
    /// Whether what decides it ran at all.
    pub is_reached: bool,
}

/// Which way a branch takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutcomeKind {
    /// The condition is true.
    True,
    /// The condition is false.
    False,
    /// On to what follows, without a jump.
    Fallthrough,
    /// With a jump.
    Jump,
    /// To a handler of exceptions.
    Throw,
}

impl<'a> FileBranch<'a> {
    /// A condition that LLVM counted.
    #[must_use]
    pub fn condition(start: LineCol, count: u64, false_count: u64) -> Self {
        Self { start, end: start, ways: Ways::Condition { count, false_count }, is_folded: false }
    }

    /// Arcs that gcov counted.
    #[must_use]
    pub fn arcs(at: LineCol, arcs: &'a [gcov::Branch], is_reached: bool) -> Self {
        Self { start: at, end: at, ways: Ways::Arcs { arcs, is_reached }, is_folded: false }
    }

    /// Its outcomes, in the order in which formats number them.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> + use<'a> {
        let (pair, arcs) = match self.ways {
            Ways::Condition { count, false_count } => (Some(condition(count, false_count)), &[][..]),
            Ways::Arcs { arcs, .. } => (None, arcs),
        };
        pair.into_iter().flatten().chain(arcs.iter().map(arc))
    }

    /// Whether it was reached at all, as LLVM's tools and lcov tell it.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        match self.ways {
            Ways::Condition { count, false_count } => (count, false_count) != (0, 0),
            Ways::Arcs { is_reached, .. } => is_reached,
        }
    }

    /// How many of its outcomes there were.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally::of(self.outcomes().map(|outcome| outcome.count > 0))
    }
}

impl From<&CountedRegion> for FileBranch<'_> {
    fn from(region: &CountedRegion) -> Self {
        let CountedRegion { start, end, count, false_count, is_folded, .. } = *region;
        Self { end, is_folded, ..Self::condition(start, count, false_count) }
    }
}

fn condition(count: u64, false_count: u64) -> [Outcome; 2] {
    let is_reached = (count, false_count) != (0, 0);
    let outcome = |kind, count| Outcome { kind, count, is_reached };
    [outcome(OutcomeKind::True, count), outcome(OutcomeKind::False, false_count)]
}

fn arc(arc: &gcov::Branch) -> Outcome {
    let kind = match arc {
        gcov::Branch { throw: true, .. } => OutcomeKind::Throw,
        gcov::Branch { fallthrough: true, .. } => OutcomeKind::Fallthrough,
        _ => OutcomeKind::Jump,
    };
    Outcome { kind, count: arc.count, is_reached: arc.is_reached }
}
