//! Solves a function's flow graph: the counts of all arcs and blocks, from those of the arcs that have counters.
//!
//! What enters is a [`Function`] and its counters; what leaves is a [`Graph`]. What always holds: no count is negative.
//! Counters that no run can have left (a snapshot taken between two increments, a race of two threads) are reported
//! as [`Incoherence`], and what would be negative counts as 0.
//!
//! GCC counts only arcs off a spanning tree. As many times as a block is entered it is left, so wherever all arcs of
//! one side but one are known, that one is too.
//!
//! Source: `solve_flow_graph` and `find_exception_blocks` in `gcc/gcov.cc`, releases 9 to 15.

use std::collections::HashMap;
use std::ops::Range;

use super::bits::{ConditionCount, PathCount};
use super::conservation::open_ends;
use super::gcno::Function;

/// Why counters do not fit a flow graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Incoherence {
    /// An arc would have been taken less than never.
    #[error("the arc from block {source_block} to block {destination} would have been taken {count} times")]
    Negative {
        /// The block it leaves.
        source_block: u32,
        /// The block it enters.
        destination: u32,
        /// What its count would be.
        count: i128,
    },
    /// A block was entered and left a different number of times.
    #[error("block {block} was entered {entered} times and left {left} times")]
    Unbalanced {
        /// The block.
        block: u32,
        /// The sum of the arcs that enter it.
        entered: i128,
        /// The sum of those that leave it.
        left: i128,
    },
    /// A call returned more often than it was made, as `setjmp` and `fork` do: [not certain](Self::is_certain).
    #[error("the call in block {block} returned {times} times more than it was made")]
    ExtraReturns {
        /// The block.
        block: u32,
        /// How many more.
        times: i128,
    },
    /// The arcs without counters are no tree.
    #[error("the count of block {block} does not follow from the counters")]
    Unsolvable {
        /// The first such block.
        block: u32,
    },
}

impl Incoherence {
    /// Whether no run at all can have left such counters. Calls that return more often than they are made are such that
    /// return twice, unless the counters say too little; counts of lines and branches do not depend on them.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::ExtraReturns { .. })
    }
}

/// An arc with its count.
#[derive(Clone, Copy, Debug)]
pub(super) struct SolvedArc {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) count: u64,
    pub(super) is_fake: bool,
    pub(super) is_fallthrough: bool,
    /// To a handler of exceptions.
    pub(super) is_throw: bool,
    /// A call that did not return.
    pub(super) is_call_non_return: bool,
    /// How often the call returned.
    pub(super) returned: u64,
    /// The only way out of its block.
    pub(super) is_unconditional: bool,
}

/// A block with its count.
#[derive(Clone, Debug, Default)]
pub(super) struct SolvedBlock {
    pub(super) count: u64,
    /// It is only reached through exceptions.
    pub(super) is_exceptional: bool,
    /// Its arcs in [`Graph::arcs`].
    leaving: Range<usize>,
}

/// A solved function.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) blocks: Vec<SolvedBlock>,
    /// By source, then by destination.
    arcs: Vec<SolvedArc>,
    /// Indices into `arcs`, by destination.
    entering: Vec<usize>,
    /// Where in `entering` a block's begin, and the end.
    entering_starts: Vec<usize>,
    pub(super) incoherence: Option<Incoherence>,
    /// By the block that decides.
    pub(super) conditions: HashMap<u32, ConditionCount>,
    pub(super) paths: Option<PathCount>,
}

/// An index of a number in a file; what does not fit is an index of nothing.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Graph {
    /// Solves a function; counters that are missing are 0.
    pub(super) fn solve(function: &Function, counters: &[u64]) -> Self {
        let (mut graph, known) = Self::new(function, counters);
        let (counts, solved) = Solver::new(&graph, known, function.exit_block).solve(&graph);
        graph.incoherence = solved.incoherence(&graph, &counts, function);
        // Negative ones are reported; they must not reach a report as numbers.
        let shown = |count: i128| u64::try_from(count.max(0)).unwrap_or(u64::MAX);
        for (arc, count) in graph.arcs.iter_mut().zip(counts) {
            arc.count = shown(count);
            if arc.is_call_non_return {
                arc.returned = shown(solved.count(arc.source).saturating_sub(count));
            }
        }
        let blocks = graph.blocks.iter_mut().zip(solved.blocks);
        blocks.for_each(|(block, state)| block.count = shown(state.count));
        if graph.arcs.iter().any(|arc| arc.is_throw) {
            graph.find_exceptional();
        }
        graph
    }

    /// The graph without derived counts, and what is known of each arc.
    fn new(function: &Function, counters: &[u64]) -> (Self, Vec<Option<u64>>) {
        let mut noted = function.arcs.clone();
        noted.sort_by_key(|arc| arc.source);
        let mut counters = counters.iter().copied();
        let mut counted: Vec<_> = noted
            .into_iter()
            .map(|arc| (arc, (!arc.is_on_tree()).then(|| counters.next().unwrap_or(0))))
            .collect();
        counted.sort_by_key(|(arc, _)| (arc.source, arc.destination));
        let known = counted.iter().map(|(_, count)| *count).collect();
        let solved = |(arc, _): (super::gcno::Arc, _)| SolvedArc {
            source: arc.source,
            destination: arc.destination,
            count: 0,
            is_fake: arc.is_fake(),
            is_fallthrough: arc.is_fallthrough(),
            is_throw: false,
            is_call_non_return: arc.is_fake() && arc.source != 0,
            returned: 0,
            is_unconditional: false,
        };
        let arcs: Vec<_> = counted.into_iter().map(solved).collect();
        let blocks = vec![SolvedBlock::default(); index(function.num_blocks)];
        let mut graph = Self {
            blocks,
            arcs,
            entering: Vec::new(),
            entering_starts: Vec::new(),
            incoherence: None,
            conditions: HashMap::new(),
            paths: None,
        };
        graph.link();
        (graph, known)
    }

    fn link(&mut self) {
        let mut start = 0;
        for of_block in self.arcs.chunk_by_mut(|a, b| a.source == b.source) {
            let end = start + of_block.len();
            if let Some(block) = of_block.first().and_then(|arc| self.blocks.get_mut(index(arc.source))) {
                block.leaving = start..end;
            }
            start = end;
            mark(of_block);
        }
        self.entering = (0..self.arcs.len()).collect();
        self.entering.sort_by_key(|arc| self.arcs.get(*arc).map(|arc| arc.destination));
        let mut arcs = self.entering.iter().filter_map(|arc| self.arcs.get(*arc)).peekable();
        let mut at = 0;
        for block in 0..=self.blocks.len() {
            while arcs.next_if(|arc| index(arc.destination) < block).is_some() {
                at += 1;
            }
            self.entering_starts.push(at);
        }
    }

    /// Where the arcs that leave a block stand.
    fn leaving_at(&self, block: u32) -> Range<usize> {
        self.blocks.get(index(block)).map(|block| block.leaving.clone()).unwrap_or_default()
    }

    /// Where the arcs that enter a block stand.
    fn entering_at(&self, block: u32) -> &[usize] {
        let start = |block: usize| self.entering_starts.get(block).copied();
        let range = start(index(block)).zip(start(index(block).saturating_add(1)));
        range.and_then(|(start, end)| self.entering.get(start..end)).unwrap_or_default()
    }

    /// The arcs that leave a block, by destination.
    pub(super) fn leaving(&self, block: u32) -> &[SolvedArc] {
        self.arcs.get(self.leaving_at(block)).unwrap_or_default()
    }

    /// The arcs that enter a block.
    pub(super) fn entering(&self, block: u32) -> impl ExactSizeIterator<Item = &SolvedArc> {
        // What stands in `entering` is there.
        self.entering_at(block).iter().map(|arc| self.arcs.get(*arc).unwrap_or(&NO_ARC))
    }

    /// Marks the blocks that no way leads to but exceptions.
    fn find_exceptional(&mut self) {
        let mut is_reached = vec![false; self.blocks.len()];
        let mut waiting = vec![0];
        while let Some(block) = waiting.pop() {
            let Some(reached) = is_reached.get_mut(index(block)).filter(|reached| !**reached) else {
                continue;
            };
            *reached = true;
            let ways = self.leaving(block).iter().filter(|arc| !arc.is_fake && !arc.is_throw);
            waiting.extend(ways.map(|arc| arc.destination));
        }
        self.blocks
            .iter_mut()
            .zip(is_reached)
            .for_each(|(block, is_reached)| block.is_exceptional = !is_reached);
    }
}

const NO_ARC: SolvedArc = SolvedArc {
    source: 0,
    destination: 0,
    count: 0,
    is_fake: true,
    is_fallthrough: false,
    is_throw: false,
    is_call_non_return: false,
    returned: 0,
    is_unconditional: false,
};

/// What the arcs that leave one block say about each other.
fn mark(arcs: &mut [SolvedArc]) {
    let has_call = arcs.iter().any(|arc| arc.is_call_non_return);
    let is_only = arcs.iter().filter(|arc| !arc.is_fake).count() == 1;
    for arc in arcs.iter_mut().filter(|arc| !arc.is_fake) {
        arc.is_throw = has_call && !arc.is_fallthrough;
        arc.is_unconditional = is_only;
    }
}

/// What is known of a block while solving.
#[derive(Clone, Copy, Debug)]
struct State {
    /// How many arcs are not known; `None` where there are none to sum up: before the entry and behind the exit.
    unknown_leaving: Option<usize>,
    unknown_entering: Option<usize>,
    is_known: bool,
    count: i128,
}

#[derive(Debug)]
struct Solver {
    arcs: Vec<Option<i128>>,
    blocks: Vec<State>,
    waiting: Vec<u32>,
}

/// The blocks of a solved graph.
#[derive(Debug)]
struct Solution {
    blocks: Vec<State>,
}

impl Solver {
    fn new(graph: &Graph, known: Vec<Option<u64>>, exit_block: u32) -> Self {
        let arcs: Vec<_> = known.into_iter().map(|count| count.map(i128::from)).collect();
        let is_unknown = |arc: usize| arcs.get(arc).is_some_and(Option::is_none);
        let all = 0..u32::try_from(graph.blocks.len()).unwrap_or(u32::MAX);
        let state = |block: u32| {
            let (leaving, entering) = (graph.leaving_at(block), graph.entering_at(block));
            let is_start = block == 0 && entering.is_empty();
            let is_end = block == exit_block && leaving.is_empty();
            let leaving = leaving.filter(|arc| is_unknown(*arc)).count();
            let entering = entering.iter().filter(|arc| is_unknown(**arc)).count();
            State {
                unknown_leaving: (!is_end).then_some(leaving),
                unknown_entering: (!is_start).then_some(entering),
                is_known: false,
                count: 0,
            }
        };
        let blocks = all.clone().map(state).collect();
        Self { arcs, blocks, waiting: all.rev().collect() }
    }

    fn solve(mut self, graph: &Graph) -> (Vec<i128>, Solution) {
        // An arc becomes known once, and each time two blocks wait again at most.
        while let Some(block) = self.waiting.pop() {
            self.learn_block(graph, block);
            self.learn_arc(graph, block, true);
            self.learn_arc(graph, block, false);
        }
        let arcs = self.arcs.into_iter().map(Option::unwrap_or_default).collect();
        (arcs, Solution { blocks: self.blocks })
    }

    fn state(&mut self, block: u32) -> Option<&mut State> {
        self.blocks.get_mut(index(block))
    }

    /// The sum of what is known of some arcs, and the last one that is not.
    fn sum(&self, arcs: impl Iterator<Item = usize>) -> (i128, Option<usize>) {
        arcs.fold((0, None), |(sum, unknown), arc| match self.arcs.get(arc) {
            Some(Some(count)) => (count.saturating_add(sum), unknown),
            _ => (sum, Some(arc)),
        })
    }

    fn sum_of_side(&self, graph: &Graph, block: u32, is_leaving: bool) -> (i128, Option<usize>) {
        if is_leaving {
            self.sum(graph.leaving_at(block))
        } else {
            self.sum(graph.entering_at(block).iter().copied())
        }
    }

    fn learn_block(&mut self, graph: &Graph, block: u32) {
        let Some(state) = self.blocks.get(index(block)).filter(|state| !state.is_known) else { return };
        let is_leaving = state.unknown_leaving == Some(0);
        if !is_leaving && state.unknown_entering != Some(0) {
            return;
        }
        let (count, _) = self.sum_of_side(graph, block, is_leaving);
        if let Some(state) = self.state(block) {
            (state.count, state.is_known) = (count, true);
        }
    }

    /// The one unknown arc of a side of a block whose count is known.
    fn learn_arc(&mut self, graph: &Graph, block: u32, is_leaving: bool) {
        let Some(state) = self.blocks.get(index(block)).filter(|state| state.is_known) else { return };
        let unknown = if is_leaving { state.unknown_leaving } else { state.unknown_entering };
        let total = state.count;
        if unknown != Some(1) {
            return;
        }
        let (sum, Some(arc)) = self.sum_of_side(graph, block, is_leaving) else { return };
        if let Some(count) = self.arcs.get_mut(arc) {
            *count = Some(total.saturating_sub(sum));
        }
        let Some(SolvedArc { source, destination, .. }) = graph.arcs.get(arc).copied() else { return };
        let less = |unknown: &mut Option<usize>| *unknown = unknown.map(|count| count.saturating_sub(1));
        self.state(source).into_iter().for_each(|state| less(&mut state.unknown_leaving));
        self.state(destination).into_iter().for_each(|state| less(&mut state.unknown_entering));
        self.waiting.extend([source, destination]);
    }
}

impl Solution {
    fn count(&self, block: u32) -> i128 {
        self.blocks.get(index(block)).map_or(0, |state| state.count)
    }

    /// The first thing that no run can have left.
    fn incoherence(&self, graph: &Graph, counts: &[i128], function: &Function) -> Option<Incoherence> {
        let all = || (0..).zip(&self.blocks);
        let unsolvable = all().find(|(_, state)| !state.is_known);
        let below = |is_call: bool| {
            let mut arcs = graph.arcs.iter().zip(counts).filter(|(_, count)| **count < 0);
            arcs.find(move |(arc, _)| arc.is_call_non_return == is_call)
        };
        let sum = |arcs: &mut dyn Iterator<Item = usize>| {
            arcs.filter_map(|arc| counts.get(arc)).fold(0, |sum: i128, count| sum.saturating_add(*count))
        };
        let unbalanced = all().zip(open_ends(function)).find_map(|((block, _), is_open)| {
            let entered = sum(&mut graph.entering_at(block).iter().copied());
            let left = sum(&mut graph.leaving_at(block));
            let is_inner = block != 0 && block != function.exit_block;
            (is_inner && !is_open && entered != left).then_some(Incoherence::Unbalanced {
                block,
                entered,
                left,
            })
        });
        let unsolvable = unsolvable.map(|(block, _)| Incoherence::Unsolvable { block });
        let negative = below(false).map(|(arc, count)| Incoherence::Negative {
            source_block: arc.source,
            destination: arc.destination,
            count: *count,
        });
        let returns = below(true).map(|(arc, count)| Incoherence::ExtraReturns {
            block: arc.source,
            times: count.saturating_neg(),
        });
        unsolvable.or(negative).or(unbalanced).or(returns)
    }
}
