//! Functions, and how often they were entered.
//!
//! What enters is units with their instances of functions, and symbols; what leaves is a [`FunctionAt`] for each function
//! that has code, by place and name. What always holds: a function's count is that of its entries, out of line and
//! inlined, each address once; one that was not seen entered and of which something ran has at least 1. Clones of GCC's
//! have no declaration of their own, and count for their function.

use std::collections::HashMap;

use gimli::AttributeValue;
use rayon::prelude::*;

use super::code::{Function, without_clone};
use super::executed::Executed;
use super::lines::LineProgram;
use super::sections::{DebugSections, Slice};
use super::unit::{Declaration, MAX_ORIGINS, Unit};
use crate::coverage::FileName;

/// A function that has code.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FunctionAt {
    pub(super) path: FileName,
    pub(super) line: u32,
    /// The name that the linker knows.
    pub(super) name: FileName,
    /// Where it is entered, and how often; in order.
    pub(super) entries: Vec<(u64, u64)>,
}

impl FunctionAt {
    /// How often it was entered.
    pub(super) fn count(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// What names are found by.
#[derive(Clone, Copy)]
pub(super) struct Names<'w, 'a, 's> {
    pub(super) sections: &'a DebugSections<'s>,
    pub(super) units: &'w [Unit<'a>],
    pub(super) programs: &'w [LineProgram<'a>],
}

impl<'a> Names<'_, 'a, '_> {
    /// The functions of all units.
    pub(super) fn functions(&self, executed: &Executed) -> Vec<FunctionAt> {
        let all: Vec<_> = self.units.par_iter().flat_map_iter(|unit| self.of_unit(unit, executed)).collect();
        sum(all)
    }

    fn of_unit(&self, unit: &Unit<'a>, executed: &Executed) -> Vec<FunctionAt> {
        let mut by_declaration: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
        for instance in unit.instances.iter().filter(|instance| instance.is_live) {
            let count = executed.count_at(instance.entry).max(u64::from(instance.has_run));
            by_declaration.entry(instance.declaration).or_default().push((instance.entry, count));
        }
        let mut paths = HashMap::new();
        let function = |(declaration, entries)| self.function(declaration, entries, &mut paths);
        by_declaration.into_iter().filter_map(function).collect()
    }

    /// The function that an entry declares; `None` if it has no line, or no name.
    fn function(
        &self,
        declaration: usize,
        entries: Vec<(u64, u64)>,
        paths: &mut HashMap<(usize, u64), Option<FileName>>,
    ) -> Option<FunctionAt> {
        let (mut name, mut linkage_name, mut place) = (None, None, None);
        let mut next = Some(declaration);
        for _ in 0..MAX_ORIGINS {
            let Some((unit, found)) = next.and_then(|offset| self.declaration(offset)) else { break };
            let text = |value: Option<AttributeValue<Slice<'a>>>| unit.sections.text(&value?, &unit.bases);
            name = name.or_else(|| text(found.name));
            linkage_name = linkage_name.or_else(|| text(found.linkage_name));
            if let (None, Some(line), Some(file)) = (place, found.line, found.file) {
                place = Some((unit.line_program?, file, u32::try_from(line).ok()?));
            }
            next = found.origin;
        }
        let (program, file, line) = place?;
        let path = paths.entry((program, file)).or_insert_with(|| self.path(program, file)).clone()?;
        Some(FunctionAt { path, line, name: linkage_name.or(name)?.into(), entries })
    }

    fn declaration(&self, offset: usize) -> Option<(&Unit<'a>, &Declaration<'a>)> {
        let after = self.units.partition_point(|unit| unit.offset <= offset);
        let unit = self.units.get(after.checked_sub(1)?)?;
        Some((unit, unit.declaration(offset)?))
    }

    fn path(&self, program: usize, file: u64) -> Option<FileName> {
        let index = self.programs.binary_search_by_key(&program, |program| program.offset).ok()?;
        self.programs.get(index)?.path(self.sections, file).map(FileName::from)
    }
}

/// Functions that symbols alone name, at the places where their lines begin.
pub(super) fn of_symbols<'a>(
    places: impl Iterator<Item = (u64, FileName, u32)>,
    functions: &[Function<'a>],
    executed: &Executed,
) -> Vec<FunctionAt> {
    let function = |(address, path, line): (u64, FileName, u32)| {
        let index = functions.binary_search_by_key(&address, |function| function.start).ok()?;
        let function = functions.get(index)?;
        let name = without_clone(function.name).as_bytes().into();
        Some(FunctionAt { path, line, name, entries: vec![(address, count(function, executed))] })
    };
    sum(places.filter_map(function).collect())
}

/// How often a symbol's function was entered.
pub(super) fn count(function: &Function<'_>, executed: &Executed) -> u64 {
    executed.count_at(function.start).max(u64::from(executed.any(function.start, function.end())))
}

/// Adds up what is one function, in order.
pub(super) fn sum(mut functions: Vec<FunctionAt>) -> Vec<FunctionAt> {
    functions.par_sort_unstable();
    functions.dedup_by(|next, kept| {
        let is_same = (&next.path, next.line, &next.name) == (&kept.path, kept.line, &kept.name);
        if is_same {
            kept.entries.append(&mut next.entries);
        }
        is_same
    });
    for function in &mut functions {
        function.entries.sort_unstable();
        // Copies of one function in several units are one.
        function.entries.dedup_by_key(|(entry, _)| *entry);
    }
    functions
}
