//! Brings notes and counters together.
//!
//! What enters is [`Notes`] and counters of functions; what leaves is a [`UnitCoverage`]. What always holds: counters
//! are used only if their ident, both checksums and their number are those of the notes.
//!
//! Source: `read_count_file` and `process_all_functions` in `gcc/gcov.cc`, releases 9 to 15.

use std::collections::HashMap;
use std::sync::Arc;

use super::bits;
use super::cycles::Place;
use super::gcno::{Function, Notes};
use super::lines::{Lines, SourceCount};
use super::solve::{Graph, Incoherence, SolvedArc, index};
use crate::coverage::FileName;
use crate::locate::gcov::CounterKind;
use crate::profile::gcov::GcdaFile;

/// The counters of one function, from a data file or from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionCounters<'a> {
    /// What the notes know the function by.
    pub ident: u32,
    /// Of the place in the source.
    pub lineno_checksum: u32,
    /// Of the flow graph.
    pub cfg_checksum: u32,
    /// One for each arc off the tree.
    pub arcs: &'a [u64],
    /// Two for each decision, if they are there (from GCC 14, with `-fcondition-coverage`).
    pub conditions: &'a [u64],
    /// A bit for each prime path, if they are there (from GCC 15, with `-fpath-coverage`).
    pub paths: &'a [u64],
}

impl<'a> FunctionCounters<'a> {
    /// Those of all functions in a data file.
    pub fn of(file: &'a GcdaFile) -> impl Iterator<Item = Self> {
        let kinds = file.layout().counters;
        file.functions.iter().flatten().map(move |function| {
            let of = |kind| {
                let is_of = |index: usize| kinds.get(index).is_some_and(|(of, _)| *of == kind);
                let found = function.counters.iter().find(|counters| is_of(counters.index));
                found.map_or(&[][..], |counters| &counters.values)
            };
            Self {
                ident: function.ident,
                lineno_checksum: function.lineno_checksum,
                cfg_checksum: function.cfg_checksum,
                arcs: of(CounterKind::Arcs),
                conditions: of(CounterKind::Conditions),
                paths: of(CounterKind::Paths),
            }
        })
    }
}

/// Counters that belong to another compile. The function is in no file of the coverage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What the counters call the function.
    pub ident: u32,
    /// The name that the notes have for it.
    pub name: Option<FileName>,
    /// What tells them apart.
    pub reason: MismatchReason,
}

/// What tells counters from notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MismatchReason {
    /// The notes have no such function.
    #[error("ident {0} is not in the notes")]
    Ident(u32),
    /// The function stood elsewhere in the source.
    #[error("lineno_checksum is {counters:#010x}, {notes:#010x} in the notes")]
    LinenoChecksum {
        /// In the notes.
        notes: u32,
        /// With the counters.
        counters: u32,
    },
    /// The function had another flow graph.
    #[error("cfg_checksum is {counters:#010x}, {notes:#010x} in the notes")]
    CfgChecksum {
        /// In the notes.
        notes: u32,
        /// With the counters.
        counters: u32,
    },
    /// There are more or fewer counters than arcs.
    #[error("there are {counters} counters of arcs, {notes} in the notes")]
    NumCounters {
        /// In the notes.
        notes: usize,
        /// With the counters.
        counters: usize,
    },
    /// There are other prime paths.
    #[error("there are {counters} counters of paths, {notes} in the notes")]
    NumPaths {
        /// In the notes.
        notes: usize,
        /// With the counters.
        counters: usize,
    },
    /// There are other decisions.
    #[error("there are {counters} counters of conditions, {notes} in the notes")]
    NumConditions {
        /// In the notes.
        notes: usize,
        /// With the counters.
        counters: usize,
    },
}

/// What ran of one unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitCoverage {
    /// The source files, in the order in which the notes name them; some have no lines.
    pub sources: Vec<SourceCount>,
    /// Counters that were not used.
    pub mismatches: Vec<Mismatch>,
    /// Functions whose counters do not fit their flow graph, by name: their counts are near the truth at best, if that
    /// [is certain](Incoherence::is_certain).
    pub incoherent: Vec<(FileName, Incoherence)>,
}

/// The solved functions of a unit; those that are left out have none.
#[derive(Debug)]
pub(super) struct Graphs(pub(super) Vec<Option<Graph>>);

impl Graphs {
    pub(super) fn get(&self, function: usize) -> Option<&Graph> {
        self.0.get(function)?.as_ref()
    }

    pub(super) fn leaving(&self, (function, block): Place) -> &[SolvedArc] {
        self.get(function).map(|graph| graph.leaving(block)).unwrap_or_default()
    }

    pub(super) fn entering(&self, (function, block): Place) -> impl Iterator<Item = &SolvedArc> {
        self.get(function).into_iter().flat_map(move |graph| graph.entering(block))
    }

    pub(super) fn count(&self, (function, block): Place) -> u64 {
        let block = self.get(function).and_then(|graph| graph.blocks.get(index(block)));
        block.map_or(0, |block| block.count)
    }
}

impl UnitCoverage {
    /// Evaluates a unit. Functions without counters did not run; counters of the same function add up.
    pub fn new<'a>(notes: &Notes, counters: impl IntoIterator<Item = FunctionCounters<'a>>) -> Self {
        let mut matched = Matched::new(notes);
        counters.into_iter().for_each(|counters| matched.take(notes, counters));
        let graphs = Graphs(notes.functions.iter().enumerate().map(|it| matched.solve(it)).collect());
        let incoherent =
            notes.functions.iter().zip(&graphs.0).filter_map(|(function, graph)| {
                Some((Arc::clone(&function.name), graph.as_ref()?.incoherence?))
            });
        let incoherent = incoherent.collect();
        let sources = Lines::new(notes, &graphs).sources(notes, &graphs);
        Self { sources, mismatches: matched.mismatches, incoherent }
    }

    /// Gives sources that have functions or lines other names; `None` keeps the one they have.
    pub fn rename_files(&mut self, rename: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        for source in self.sources.iter_mut().filter(|source| !source.is_empty()) {
            if let Some(name) = rename(&source.name) {
                source.name = name.into();
            }
        }
    }
}

/// Counters by function.
#[derive(Debug)]
struct Matched {
    by_ident: HashMap<u32, usize>,
    counters: Vec<Vec<u64>>,
    /// The same of conditions.
    conditions: Vec<Vec<u64>>,
    /// The same of paths.
    paths: Vec<Vec<u64>>,
    is_left_out: Vec<bool>,
    has_counters: bool,
    mismatches: Vec<Mismatch>,
}

impl Matched {
    fn new(notes: &Notes) -> Self {
        // Of two functions with the same ident gcov takes the last.
        let by_ident =
            notes.functions.iter().enumerate().map(|(at, function)| (function.ident, at)).collect();
        let count = notes.functions.len();
        Self {
            by_ident,
            counters: vec![Vec::new(); count],
            conditions: vec![Vec::new(); count],
            paths: vec![Vec::new(); count],
            is_left_out: vec![false; count],
            has_counters: false,
            mismatches: Vec::new(),
        }
    }

    fn take(&mut self, notes: &Notes, counters: FunctionCounters<'_>) {
        self.has_counters = true;
        let at = self.by_ident.get(&counters.ident).copied();
        let function = at.and_then(|at| notes.functions.get(at));
        let reason = match function {
            None => Some(MismatchReason::Ident(counters.ident)),
            Some(function) => {
                mismatch(function, (counters.lineno_checksum, counters.cfg_checksum), counters.arcs.len())
                    .or_else(|| other_bits(function, &counters))
            }
        };
        if let Some(reason) = reason {
            let name = function.map(|function| Arc::clone(&function.name));
            self.mismatches.push(Mismatch { ident: counters.ident, name, reason });
            at.and_then(|at| self.is_left_out.get_mut(at)).into_iter().for_each(|is_out| *is_out = true);
            return;
        }
        let Some(at) = at else { return };
        combine(self.counters.get_mut(at), counters.arcs, u64::saturating_add);
        combine(self.conditions.get_mut(at), counters.conditions, |a, b| a | b);
        combine(self.paths.get_mut(at), counters.paths, |a, b| a | b);
    }

    fn solve(&self, (at, function): (usize, &Function)) -> Option<Graph> {
        // gcov takes one without counters for one that another unit has.
        let is_elsewhere = self.has_counters && function.num_counters() == 0;
        let is_left_out = self.is_left_out.get(at).copied().unwrap_or(true);
        if is_elsewhere || is_left_out || function.is_artificial {
            return None;
        }
        let mut graph = Graph::solve(function, of_function(&self.counters, at));
        graph.conditions = bits::by_block(function, of_function(&self.conditions, at));
        graph.paths = bits::paths(function, of_function(&self.paths, at));
        Some(graph)
    }
}

fn of_function(all: &[Vec<u64>], at: usize) -> &[u64] {
    all.get(at).map(Vec::as_slice).unwrap_or_default()
}

/// Adds counters to those that were there, if there were any.
fn combine(sums: Option<&mut Vec<u64>>, counters: &[u64], add: fn(u64, u64) -> u64) {
    let Some(sums) = sums else { return };
    sums.resize(sums.len().max(counters.len()), 0);
    sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum = add(*sum, *counter));
}

/// Whether counters of bits are other ones; they may be missing as a whole.
fn other_bits(function: &Function, found: &FunctionCounters<'_>) -> Option<MismatchReason> {
    let differ =
        |notes: usize, counters: usize| (counters != 0 && counters != notes).then_some((notes, counters));
    let conditions = differ(bits::num_counters(function), found.conditions.len());
    let paths = differ(bits::num_path_counters(function), found.paths.len());
    conditions
        .map(|(notes, counters)| MismatchReason::NumConditions { notes, counters })
        .or(paths.map(|(notes, counters)| MismatchReason::NumPaths { notes, counters }))
}

/// What tells a function of the notes from one with those checksums and so many counters.
pub(super) fn mismatch(
    function: &Function,
    (lineno_checksum, cfg_checksum): (u32, u32),
    found: usize,
) -> Option<MismatchReason> {
    let differ = |notes, counters| (notes != counters).then_some((notes, counters));
    let lineno = differ(function.lineno_checksum, lineno_checksum);
    let cfg = differ(function.cfg_checksum, cfg_checksum);
    let expected = function.num_counters();
    lineno
        .map(|(notes, counters)| MismatchReason::LinenoChecksum { notes, counters })
        .or(cfg.map(|(notes, counters)| MismatchReason::CfgChecksum { notes, counters }))
        .or((expected != found).then_some(MismatchReason::NumCounters { notes: expected, counters: found }))
}
