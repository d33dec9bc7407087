//! How often loops that lie within one line went round.
//!
//! What enters is the blocks of a line; what leaves is the sum of the loops' counts. What always holds: the work ends
//! within the steps that are given, whatever the graph.
//!
//! The method is that of K. A. Hawick and H. A. James, "Enumerating Circuits and Loops in Graphs with Self-Arcs and
//! Multiple-Arcs", in the order and with the pruning of `circuit` and `get_cycles_count` in `gcc/gcov.cc`, since the
//! order decides which loop gets the count of an arc that two of them share.

use std::collections::{HashMap, HashSet};

use super::evaluate::Graphs;
use super::solve::SolvedArc;

/// A block of a unit: the function's index and the block's number.
pub(super) type Place = (usize, u32);

/// An arc: its place of source, and which of that block's arcs it is.
type ArcKey = (Place, usize);

/// One block on the way from where the search began.
#[derive(Debug)]
struct Step {
    place: Place,
    next: usize,
    has_loop: bool,
}

/// The search for loops of one line.
#[derive(Debug)]
pub(super) struct Cycles<'a> {
    graphs: &'a Graphs,
    places: HashSet<Place>,
    /// What is left of the counts of arcs that loops were found with.
    left: HashMap<ArcKey, u64>,
    count: u64,
}

/// The search from one block.
#[derive(Debug, Default)]
struct Search {
    path: Vec<ArcKey>,
    steps: Vec<Step>,
    /// Blocks not to be entered, with those to be released when they are.
    blocked: HashMap<Place, Vec<Place>>,
    /// How long the path is up to its first arc that is used up.
    used_up_at: Option<usize>,
}

impl<'a> Cycles<'a> {
    /// The loops within a line's blocks. Returns `None` if `budget`, the number of steps left, does not suffice.
    pub(super) fn count(graphs: &'a Graphs, blocks: &[Place], budget: &mut u64) -> Option<u64> {
        let places = blocks.iter().copied().collect();
        let mut cycles = Self { graphs, places, left: HashMap::new(), count: 0 };
        blocks.iter().try_for_each(|start| cycles.from(*start, budget))?;
        Some(cycles.count)
    }

    fn left(&self, key: ArcKey, arc: &SolvedArc) -> u64 {
        self.left.get(&key).copied().unwrap_or(arc.count)
    }

    /// The arc, if the search may follow it.
    fn usable(&self, key: ArcKey, start: Place) -> Option<Place> {
        let arc = self.graphs.leaving(key.0).get(key.1)?;
        let to = (key.0.0, arc.destination);
        (to >= start && self.left(key, arc) > 0 && self.places.contains(&to)).then_some(to)
    }

    fn from(&mut self, start: Place, budget: &mut u64) -> Option<()> {
        let mut search = Search::default();
        search.enter(start);
        while let Some(step) = search.steps.last_mut() {
            *budget = budget.checked_sub(1)?;
            let key = (step.place, step.next);
            if step.next >= self.graphs.leaving(step.place).len() {
                self.leave(&mut search, start, budget)?;
                continue;
            }
            step.next += 1;
            let Some(to) = self.usable(key, start) else { continue };
            search.path.push(key);
            if to == start {
                *budget = budget.checked_sub(u64::try_from(search.path.len()).unwrap_or(u64::MAX))?;
                self.take_loop(&mut search);
            } else if search.used_up_at.is_none() && !search.blocked.contains_key(&to) {
                search.enter(to);
                continue;
            }
            search.pop_arc();
        }
        Some(())
    }

    /// Counts the loop that the path is, and takes its count from its arcs.
    fn take_loop(&mut self, search: &mut Search) {
        let arc = |key: &ArcKey| self.graphs.leaving(key.0).get(key.1);
        let counts = search.path.iter().map(|key| arc(key).map_or(0, |arc| self.left(*key, arc)));
        let counts: Vec<_> = counts.collect();
        let taken = counts.iter().copied().min().unwrap_or(0);
        self.count = self.count.saturating_add(taken);
        let used_up = counts.iter().position(|count| *count == taken);
        search.used_up_at = used_up.map(|first| first.saturating_add(1));
        for (key, count) in search.path.iter().zip(counts) {
            self.left.insert(*key, count.saturating_sub(taken));
        }
        search.steps.last_mut().into_iter().for_each(|step| step.has_loop = true);
    }

    /// Goes back from a block all of whose arcs were followed.
    fn leave(&self, search: &mut Search, start: Place, budget: &mut u64) -> Option<()> {
        let Some(Step { place, has_loop, .. }) = search.steps.pop() else { return Some(()) };
        if has_loop {
            search.unblock(place, budget)?;
            search.steps.last_mut().into_iter().for_each(|step| step.has_loop = true);
        } else {
            for arc in 0..self.graphs.leaving(place).len() {
                *budget = budget.checked_sub(1)?;
                let to = self.usable((place, arc), start);
                let waiting = to.and_then(|to| search.blocked.get_mut(&to));
                if let Some(waiting) = waiting.filter(|waiting| waiting.last() != Some(&place)) {
                    waiting.push(place);
                }
            }
        }
        search.pop_arc();
        Some(())
    }
}

impl Search {
    fn enter(&mut self, place: Place) {
        self.blocked.insert(place, Vec::new());
        self.steps.push(Step { place, next: 0, has_loop: false });
    }

    fn pop_arc(&mut self) {
        self.path.pop();
        self.used_up_at = self.used_up_at.filter(|len| *len <= self.path.len());
    }

    /// Releases a block, and those that wait for it.
    fn unblock(&mut self, place: Place, budget: &mut u64) -> Option<()> {
        let mut released = vec![place];
        while let Some(place) = released.pop() {
            *budget = budget.checked_sub(1)?;
            released.extend(self.blocked.remove(&place).unwrap_or_default());
        }
        Some(())
    }
}
