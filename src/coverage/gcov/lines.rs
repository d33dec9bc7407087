//! Counts of lines, branches and functions, by gcov's rules.
//!
//! What enters is notes and solved graphs; what leaves is a [`SourceCount`] for each source file. What always holds:
//! lines are in the order in which gcov prints them.
//!
//! A line's count is how often its blocks were entered from other lines, and how often loops within it went round.
//! Where several functions begin on one line (templates, mostly), each has its lines for itself: a *group*.
//!
//! Source: `add_line_counts`, `accumulate_line_info`, `process_all_functions` and `output_json_intermediate_file` in
//! `gcc/gcov.cc`, releases 9 to 15.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::bits::{ConditionCount, PathCount};
use super::cycles::{Cycles, Place};
use super::evaluate::Graphs;
use super::gcno::{Function, Location, Notes};
use super::solve::index;
use crate::coverage::FileName;

/// One source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceCount {
    /// Its name, as the compiler was given it.
    pub name: FileName,
    /// The functions that begin in it, by place.
    pub functions: Vec<FunctionCount>,
    /// Its lines with code. Those of a group of functions stand where it begins, once for each function of it; the
    /// others are in order.
    pub lines: Vec<LineCount>,
}

/// One function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionCount {
    /// The name that the linker knows.
    pub name: FileName,
    /// The first line.
    pub start_line: u32,
    /// The column that it starts in (from GCC 8).
    pub start_column: Option<u32>,
    /// The last line (from GCC 8).
    pub end_line: Option<u32>,
    /// The column that it ends in (from GCC 9).
    pub end_column: Option<u32>,
    /// How many blocks it has, without entry and exit.
    pub blocks: u32,
    /// How many of them ran.
    pub blocks_executed: u32,
    /// How often it was called.
    pub execution_count: u64,
    /// Its prime paths, if they were counted (from GCC 15, with `-fpath-coverage`).
    pub paths: Option<PathCount>,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineCount {
    /// Its number, from 1.
    pub line_number: u32,
    /// The function that it is in, if that begins in the same file.
    pub function_name: Option<FileName>,
    /// How often it ran.
    pub count: u64,
    /// A block on it did not run.
    pub unexecuted_block: bool,
    /// All of its blocks are reached through exceptions only.
    pub is_exceptional: bool,
    /// The count is a lower bound, and branches may be missing: the graph is too large to be searched.
    pub is_cut: bool,
    /// The branches that end on it.
    pub branches: Vec<Branch>,
    /// The calls on it that might not return.
    pub calls: Vec<Call>,
    /// The decisions that are taken on it (from GCC 14, with `-fcondition-coverage`).
    pub conditions: Vec<ConditionCount>,
}

/// One way that a branch can take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branch {
    /// How often it was taken.
    pub count: u64,
    /// Whether the branch was reached at all.
    pub is_reached: bool,
    /// It leads to a handler of exceptions.
    pub throw: bool,
    /// It is taken without a jump.
    pub fallthrough: bool,
}

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// How often it was made.
    pub count: u64,
    /// How often it returned: more often for `setjmp` and the like.
    pub returned: u64,
}

/// What is known of a line while it is added up.
#[derive(Debug, Default)]
struct Line {
    count: u64,
    unexecuted_block: bool,
    is_unexceptional: bool,
    is_cut: bool,
    blocks: Vec<Place>,
}

/// The release since which gcov takes a line behind a function's end for one of no function, or of the one around it.
const ENDS_FUNCTIONS: u8 = 11;

/// Whose a line is: a source's, or a function's of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Owner {
    Source(usize),
    Group(usize),
}

/// The lines of a unit.
#[derive(Debug)]
pub(super) struct Lines {
    by_owner: BTreeMap<Owner, BTreeMap<u32, Line>>,
    groups: HashSet<usize>,
    /// The last line of each source that a function has code for.
    last: HashMap<usize, u32>,
    /// How many more arcs lines may have.
    room: u64,
    /// How many more steps the search for loops may take.
    steps: u64,
}

/// What a unit may take, beside a share for each of its arcs: more than any program does, and bounded by its size.
const BASE_ROOM: u64 = 1 << 16;
const ROOM_PER_ARC: u64 = 32;
const BASE_STEPS: u64 = 1 << 24;
const STEPS_PER_ARC: u64 = 256;

impl Lines {
    pub(super) fn new(notes: &Notes, graphs: &Graphs) -> Self {
        let num_arcs: usize = notes.functions.iter().map(|function| function.arcs.len()).sum();
        let num_arcs = u64::try_from(num_arcs).unwrap_or(u64::MAX);
        let mut lines = Self {
            by_owner: BTreeMap::new(),
            groups: groups(notes),
            last: HashMap::new(),
            room: num_arcs.saturating_mul(ROOM_PER_ARC).saturating_add(BASE_ROOM),
            steps: num_arcs.saturating_mul(STEPS_PER_ARC).saturating_add(BASE_STEPS),
        };
        let functions = notes.functions.iter().enumerate();
        functions.filter(|(at, _)| graphs.get(*at).is_some()).for_each(|it| lines.add(it, graphs));
        lines.finish(graphs);
        lines
    }

    fn add(&mut self, (at, function): (usize, &Function), graphs: &Graphs) {
        let mut locations: Vec<_> = function.locations.iter().collect();
        locations.sort_by_key(|location| location.block);
        for of_block in locations.chunk_by(|a, b| a.block == b.block) {
            let mut line = None;
            for location in of_block {
                line = self.add_location((at, function), location, graphs).or(line);
                let is_inner =
                    location.block != 0 && location.block.checked_add(1) != Some(function.num_blocks);
                if let Some((owner, number)) = line.filter(|_| is_inner) {
                    self.add_block(owner, number, (at, location.block), graphs);
                }
            }
        }
    }

    /// Adds a block's count to its lines in one file, and gives the last of them.
    fn add_location(
        &mut self,
        (at, function): (usize, &Function),
        location: &Location,
        graphs: &Graphs,
    ) -> Option<(Owner, u32)> {
        let block = graphs.get(at)?.blocks.get(index(location.block))?;
        let mut numbers = location.lines.clone();
        numbers.sort_unstable();
        let mut last = None;
        for number in numbers {
            let is_own = self.groups.contains(&at)
                && function.source == location.source
                && function.start_line <= number
                && function.end_line.is_some_and(|end| number <= end);
            let owner = if is_own { Owner::Group(at) } else { Owner::Source(location.source) };
            let line = self.by_owner.entry(owner).or_default().entry(number).or_default();
            line.count = line.count.saturating_add(block.count);
            line.is_unexceptional |= !block.is_exceptional;
            line.unexecuted_block |= !block.is_exceptional && block.count == 0;
            last = Some((owner, number));
            let last_of_source = self.last.entry(location.source).or_default();
            *last_of_source = number.max(*last_of_source);
        }
        last
    }

    fn add_block(&mut self, owner: Owner, number: u32, place: Place, graphs: &Graphs) {
        let Some(line) = self.by_owner.get_mut(&owner).and_then(|lines| lines.get_mut(&number)) else {
            return;
        };
        let Some(graph) = graphs.get(place.0) else { return };
        let num_arcs = graph.leaving(place.1).len().saturating_add(graph.entering(place.1).len());
        let cost = u64::try_from(num_arcs).unwrap_or(u64::MAX).saturating_add(1);
        match self.room.checked_sub(cost) {
            Some(left) => {
                self.room = left;
                line.blocks.push(place);
            }
            None => line.is_cut = true,
        }
    }

    fn finish(&mut self, graphs: &Graphs) {
        for line in self.by_owner.values_mut().flat_map(BTreeMap::values_mut) {
            if !line.blocks.is_empty() {
                let loops = Cycles::count(graphs, &line.blocks, &mut self.steps);
                line.is_cut |= loops.is_none();
                line.count = line.entered(graphs).saturating_add(loops.unwrap_or(0));
            }
        }
    }

    /// All sources of the notes.
    pub(super) fn sources(&self, notes: &Notes, graphs: &Graphs) -> Vec<SourceCount> {
        let mut by_source: HashMap<usize, Vec<usize>> = HashMap::new();
        let functions = notes.functions.iter().enumerate();
        for (at, function) in functions.filter(|(at, _)| graphs.get(*at).is_some()) {
            by_source.entry(function.source).or_default().push(at);
        }
        let all = notes.sources.iter().enumerate();
        all.map(|(source, name)| {
            let mut functions = by_source.remove(&source).unwrap_or_default();
            let start = |at: &usize| notes.functions.get(*at).map(|it| (it.start_line, it.start_column));
            functions.sort_by_key(start);
            let lines = self.in_order(source, &functions, notes, graphs);
            let functions = functions.iter().filter_map(|at| function_count(*at, notes, graphs)).collect();
            SourceCount { name: Arc::clone(name), functions, lines }
        })
        .collect()
    }

    /// The lines of a source as gcov prints them.
    fn in_order(&self, source: usize, functions: &[usize], notes: &Notes, graphs: &Graphs) -> Vec<LineCount> {
        let Some(last) = self.last.get(&source).copied() else { return Vec::new() };
        let own = self.by_owner.get(&Owner::Source(source));
        let functions = functions.iter().filter_map(|at| Some((*at, notes.functions.get(*at)?)));
        let functions: Vec<_> = functions.collect();
        let ends = functions.iter().filter_map(|(_, function)| function.end_line);
        let starts = functions.iter().map(|(_, function)| function.start_line);
        let numbers: BTreeSet<u32> =
            own.into_iter().flat_map(BTreeMap::keys).copied().chain(ends).chain(starts).collect();
        let mut starting = functions.into_iter().peekable();
        let mut printed = Vec::new();
        // The functions that a line is in, the innermost last.
        let mut within: Vec<&Function> = Vec::new();
        for number in numbers
            .into_iter()
            .skip_while(|number| *number == 0)
            .take_while(|number| *number <= last.saturating_add(1))
        {
            while let Some((at, function)) = starting.next_if(|(_, function)| function.start_line <= number) {
                if self.groups.contains(&at) {
                    let lines = self.by_owner.get(&Owner::Group(at)).into_iter().flatten();
                    printed.extend(
                        lines.map(|(number, line)| line.shown(*number, Some(&function.name), graphs)),
                    );
                } else {
                    within.push(function);
                }
            }
            let line = own.and_then(|own| own.get(&number));
            let name = within.last().map(|function| &function.name);
            printed.extend(line.map(|line| line.shown(number, name, graphs)));
            if notes.version.major() >= ENDS_FUNCTIONS {
                within.pop_if(|function| function.end_line == Some(number));
            }
        }
        printed
    }
}

impl Line {
    /// How often its blocks were entered from other lines.
    fn entered(&self, graphs: &Graphs) -> u64 {
        let places: HashSet<_> = self.blocks.iter().copied().collect();
        let is_outside = |function: usize, block: u32| !places.contains(&(function, block));
        let arcs = self.blocks.iter().flat_map(|place| graphs.entering(*place).map(|arc| (place.0, arc)));
        let from_outside = arcs.filter(|(function, arc)| is_outside(*function, arc.source));
        from_outside.fold(0, |sum: u64, (_, arc)| sum.saturating_add(arc.count))
    }

    fn shown(&self, line_number: u32, function: Option<&FileName>, graphs: &Graphs) -> LineCount {
        let arcs = || {
            let of_block = |place: &Place| (graphs.count(*place), graphs.leaving(*place));
            let blocks = self.blocks.iter().map(of_block);
            blocks.flat_map(|(count, arcs)| arcs.iter().map(move |arc| (count, arc)))
        };
        let branches = arcs().filter(|(_, arc)| !arc.is_unconditional && !arc.is_call_non_return);
        let calls = arcs().filter(|(_, arc)| arc.is_call_non_return);
        let conditions = self.blocks.iter().filter_map(|(at, block)| graphs.get(*at)?.conditions.get(block));
        LineCount {
            line_number,
            function_name: function.cloned(),
            count: self.count,
            unexecuted_block: self.unexecuted_block,
            is_exceptional: !self.is_unexceptional,
            is_cut: self.is_cut,
            branches: branches
                .map(|(count, arc)| Branch {
                    count: arc.count,
                    is_reached: count != 0,
                    throw: arc.is_throw,
                    fallthrough: arc.is_fallthrough,
                })
                .collect(),
            calls: calls.map(|(count, arc)| Call { count, returned: arc.returned }).collect(),
            conditions: conditions.filter(|it| it.num_terms > 0).copied().collect(),
        }
    }
}

/// The functions that begin on the same line as another.
fn groups(notes: &Notes) -> HashSet<usize> {
    let mut by_start: HashMap<(usize, u32), Vec<usize>> = HashMap::new();
    let functions = notes.functions.iter().enumerate().filter(|(_, function)| !function.is_artificial);
    for (at, function) in functions {
        by_start.entry((function.source, function.start_line)).or_default().push(at);
    }
    // Before GCC 8 notes do not say where functions end, and gcov knew no groups.
    let has_end = |at: &usize| notes.functions.get(*at).is_some_and(|function| function.end_line.is_some());
    by_start.into_values().filter(|of_line| of_line.len() > 1).flatten().filter(has_end).collect()
}

fn function_count(at: usize, notes: &Notes, graphs: &Graphs) -> Option<FunctionCount> {
    let function = notes.functions.get(at)?;
    let blocks = &graphs.get(at)?.blocks;
    // gcov leaves out the first and the last, though the exit is the second.
    let inner = blocks.get(1..blocks.len().saturating_sub(1)).unwrap_or_default();
    let executed = inner.iter().filter(|block| block.count != 0).count();
    Some(FunctionCount {
        name: Arc::clone(&function.name),
        start_line: function.start_line,
        start_column: function.start_column,
        end_line: function.end_line,
        end_column: function.end_column,
        blocks: function.num_blocks.saturating_sub(2),
        blocks_executed: u32::try_from(executed).unwrap_or(u32::MAX),
        execution_count: blocks.first().map_or(0, |entry| entry.count),
        paths: graphs.get(at)?.paths,
    })
}
