//! A function's flow graph, prepared so that its counters can be checked again and again.
//!
//! What enters is a [`Function`] of the notes; what leaves is a [`Conservation`], a list of sums. What always holds: it
//! finds the [certain](Incoherence::is_certain) faults that [`Graph::solve`](super::solve::Graph::solve) finds.
//!
//! As many times as a block is entered it is left. Each block but the entry and the exit gives one equation of its arcs,
//! and each equation gives the one arc in it that has no counter and follows from no other equation. An arc from a
//! block to itself is on both sides. [Open ends](open_ends) give none.

use super::gcno::{Arc, Function};
use super::solve::{Incoherence, index};

/// What follows from a function's counters, in the order in which it follows.
#[derive(Clone, Debug)]
pub(super) struct Conservation {
    num_arcs: usize,
    /// The arcs that have counters, in the order of the counters, with the blocks that they join.
    counted: Vec<(u32, Ends)>,
    derived: Vec<Derived>,
    /// Blocks all of whose arcs follow from other blocks.
    balanced: Vec<Balance>,
    /// What the sums are of.
    terms: Vec<Term>,
}

/// The block that an arc leaves and the one that it enters.
type Ends = (u32, u32);

/// An arc and the sum it has.
#[derive(Clone, Copy, Debug)]
struct Derived {
    arc: u32,
    /// Where its terms end.
    end: usize,
    ends: Ends,
    /// A call that did not return: negative if it returned twice.
    is_call_non_return: bool,
}

/// A block and the sum of all its arcs, which is 0.
#[derive(Clone, Copy, Debug)]
struct Balance {
    block: u32,
    end: usize,
}

/// An arc in a sum.
#[derive(Clone, Copy, Debug)]
struct Term {
    arc: u32,
    is_minus: bool,
}

/// Equations while they are sorted.
struct Equations<'f> {
    arcs: Vec<&'f Arc>,
    is_known: Vec<bool>,
    /// The arcs of each block, minus those that leave it; nothing of entry and exit.
    blocks: Vec<Vec<Term>>,
    /// How many arcs of each block are not known.
    unknown: Vec<usize>,
    is_used: Vec<bool>,
    derived: Vec<Derived>,
    terms: Vec<Term>,
}

/// Of each block, whether it is entered by arcs that have counters, and by its notes not left: of a thunk, which goes on
/// in another function, GCC notes no more.
pub(super) fn open_ends(function: &Function) -> Vec<bool> {
    let mut is_open = vec![true; index(function.num_blocks)];
    for arc in function.arcs.iter().filter(|arc| arc.source != arc.destination) {
        let closed = [Some(arc.source), arc.is_on_tree().then_some(arc.destination)];
        for block in closed.into_iter().flatten() {
            is_open.get_mut(index(block)).into_iter().for_each(|is_open| *is_open = false);
        }
    }
    is_open
}

impl Conservation {
    /// Prepares a function; `None` if counts of arcs do not follow from its counters.
    pub(super) fn of(function: &Function) -> Option<Self> {
        // Counters are in the order of the blocks that their arcs leave.
        let mut arcs: Vec<_> = function.arcs.iter().collect();
        arcs.sort_by_key(|arc| arc.source);
        let ends = |(at, arc): (u32, &&Arc)| (at, (arc.source, arc.destination));
        let counted = (0..).zip(&arcs).filter(|(_, arc)| !arc.is_on_tree()).map(ends).collect();
        let num_arcs = arcs.len();
        let mut equations = Equations::of(function, arcs);
        equations.solve();
        let Equations { is_known, blocks, is_used, derived, mut terms, .. } = equations;
        if is_known.contains(&false) {
            return None;
        }
        let mut balanced = Vec::new();
        let is_settled =
            is_used.into_iter().zip(open_ends(function)).map(|(is_used, is_open)| is_used || is_open);
        let unused = (0..)
            .zip(blocks)
            .zip(is_settled)
            .filter(|((_, terms), is_settled)| !is_settled && !terms.is_empty());
        for ((block, of_block), _) in unused {
            terms.extend(of_block);
            balanced.push(Balance { block, end: terms.len() });
        }
        Some(Self { num_arcs, counted, derived, balanced, terms })
    }

    /// Why those counters cannot be of one moment.
    pub(super) fn fault(&self, counters: impl Iterator<Item = u64>) -> Option<Incoherence> {
        let mut counts = vec![0i128; self.num_arcs];
        let mut fault = None;
        let mut see = |(source_block, destination): Ends, count: i128| {
            if count < 0 {
                fault.get_or_insert(Incoherence::Negative { source_block, destination, count });
            }
        };
        for ((arc, ends), counter) in self.counted.iter().zip(counters) {
            // gcov takes counters for signed: what is too large for that is no count.
            let count = counter.cast_signed().into();
            see(*ends, count);
            *counts.get_mut(index(*arc))? = count;
        }
        let mut start = 0;
        for Derived { arc, end, ends, is_call_non_return } in &self.derived {
            let count = self.sum(start..*end, &counts);
            if !is_call_non_return {
                see(*ends, count);
            }
            *counts.get_mut(index(*arc))? = count;
            start = *end;
        }
        for Balance { block, end } in &self.balanced {
            let side = |is_minus: bool| {
                let terms = self.terms.get(start..*end).unwrap_or_default().iter();
                terms.filter(|term| term.is_minus == is_minus).fold(0, |sum, term| add(sum, term, &counts))
            };
            let (entered, left) = (side(false), i128::saturating_neg(side(true)));
            if entered != left {
                fault.get_or_insert(Incoherence::Unbalanced { block: *block, entered, left });
            }
            start = *end;
        }
        fault
    }

    fn sum(&self, terms: std::ops::Range<usize>, counts: &[i128]) -> i128 {
        self.terms.get(terms).unwrap_or_default().iter().fold(0, |sum, term| add(sum, term, counts))
    }
}

fn add(sum: i128, term: &Term, counts: &[i128]) -> i128 {
    let count = counts.get(index(term.arc)).copied().unwrap_or(0);
    if term.is_minus { sum.saturating_sub(count) } else { sum.saturating_add(count) }
}

impl<'f> Equations<'f> {
    fn of(function: &Function, arcs: Vec<&'f Arc>) -> Self {
        let mut blocks = vec![Vec::new(); index(function.num_blocks)];
        let is_inner = |block: u32| block != 0 && block != function.exit_block;
        for (at, arc) in (0..).zip(&arcs).filter(|(_, arc)| arc.source != arc.destination) {
            for (block, is_minus) in [(arc.source, true), (arc.destination, false)] {
                let terms = blocks.get_mut(index(block)).filter(|_| is_inner(block));
                terms.into_iter().for_each(|terms| terms.push(Term { arc: at, is_minus }));
            }
        }
        let is_known: Vec<_> = arcs.iter().map(|arc| !arc.is_on_tree()).collect();
        let is_unknown = |term: &&Term| is_known.get(index(term.arc)) == Some(&false);
        let unknown = blocks.iter().map(|terms| terms.iter().filter(is_unknown).count()).collect();
        let is_used = vec![false; blocks.len()];
        Self { arcs, is_known, blocks, unknown, is_used, derived: Vec::new(), terms: Vec::new() }
    }

    fn solve(&mut self) {
        // An arc becomes known once, and then its other block may have one left that is not.
        let all = 0..u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let mut waiting: Vec<u32> = all.collect();
        while let Some(block) = waiting.pop() {
            // Where all but one are known, looking at them ends with none: each block is gone through once.
            if self.unknown.get(index(block)) == Some(&1) {
                waiting.extend(self.learn(block).into_iter().flatten());
            }
        }
    }

    /// Takes the one unknown arc of a block from its equation; the blocks that it joins.
    fn learn(&mut self, block: u32) -> Option<[u32; 2]> {
        let terms = self.blocks.get(index(block))?;
        let is_unknown = |term: &&Term| self.is_known.get(index(term.arc)) == Some(&false);
        let Term { arc, is_minus } = *terms.iter().find(is_unknown)?;
        // An arc that leaves is what enters less what leaves otherwise, and the other way round.
        let others = terms.iter().filter(|term| term.arc != arc);
        let others = others.map(|term| Term { is_minus: term.is_minus == is_minus, ..*term });
        self.terms.extend(others);
        let noted = self.arcs.get(index(arc))?;
        let ends = (noted.source, noted.destination);
        let is_call_non_return = noted.is_fake() && noted.source != 0;
        self.derived.push(Derived { arc, end: self.terms.len(), ends, is_call_non_return });
        *self.is_known.get_mut(index(arc))? = true;
        *self.is_used.get_mut(index(block))? = true;
        for end in [ends.0, ends.1] {
            self.unknown.get_mut(index(end)).into_iter().for_each(|left| *left = left.saturating_sub(1));
        }
        Some([ends.0, ends.1])
    }
}
