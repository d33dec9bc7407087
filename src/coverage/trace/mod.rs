//! A trace on source lines: what was executed, by the debug information of programs that nobody instrumented.
//!
//! What enters is an [`Image`] with DWARF 2 to 5, where it was, and a [`Space`] of a trace; what leaves is a
//! [`TracedImage`], whose lines and functions a [`Coverage`](super::Coverage) takes as those of a unit of gcov's, and
//! what of the trace is in no image ([`Unmapped`]). The rules are in `lines.rs` and `functions.rs`.
//!
//! What always holds: nothing here does I/O, nor trusts what it reads; of debug information that is damaged the good
//! part counts and the rest is named; memory is bounded by the image's length and the trace's. Code counts by where it
//! is: discarded code is left out (`code.rs` says how it is told), and code that has no symbols is not.
//!
//! Nothing is looked up address by address: ranges of functions, rows of lines and runs of a trace are each in order, and
//! passed once. Units and programs of line numbers are read by all processors, and what comes out is the same on one.

mod code;
mod entries;
mod executed;
mod functions;
mod lines;
mod sections;
mod segments;
mod sources;
mod split;
mod unit;
mod unmapped;

use rayon::prelude::*;

use super::FileName;
use super::gcov::{FunctionCount, SourceCount, UnitCoverage};
use crate::image::{Image, ImageType, Slide};
use crate::profile::trace::{Counting, Space};

use code::{Code, Function};
use executed::Executed;
use functions::Names;
use lines::{Around, LineProgram, Lines};
use sections::DebugSections;
use segments::Segment;
use sources::Sources;
use split::{SplitFile, SplitParts};
use unit::Unit;

pub(super) use code::without_clone;
pub use split::{SplitUnit, packaged, split_units};
pub use unmapped::{Mapped, Unmapped};

/// What was executed of an image, on its source.
#[derive(Debug)]
pub struct TracedImage {
    /// Lines and functions. Flow graphs are the compiler's alone: there are no branches.
    pub unit: UnitCoverage,
    /// Whether it has any lines. Without, its functions are those of its symbols, in a source that has the image's name.
    pub has_lines: bool,
    /// How many functions its symbols name that have no line, and are left out beside others that do.
    pub num_without_line: usize,
    /// How many units have their debug information in files of their own.
    pub num_split: usize,
    /// The names of those files of them that were not found: functions in these units are known by their symbols alone.
    pub missing: Vec<String>,
    /// What of the debug information could not be read.
    pub problems: Vec<String>,
}

/// Nothing of an image can be put on lines.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TracedImageError {
    /// Its addresses are not known yet.
    #[error("map {image}: it is not linked, and has no addresses that a trace could name")]
    NotLinked {
        /// The image's name.
        image: String,
    },
    /// A section of debug information is damaged.
    #[error("map {image}: {detail}")]
    Sections {
        /// The image's name.
        image: String,
        /// What is wrong.
        detail: String,
    },
    /// It says nothing of its functions.
    #[error("map {image}: it has neither debug information nor symbols of functions")]
    Stripped {
        /// The image's name.
        image: String,
    },
}

impl TracedImage {
    /// Puts what was executed in an address space on the lines of an image that was moved by `slide` there. `split` are the
    /// files, or packages of them, that have debug information of the image's units ([`split_units`]).
    ///
    /// # Errors
    ///
    /// The image cannot be mapped.
    pub fn new(
        image: &Image,
        split: &[Image],
        slide: Slide,
        space: &Space,
        counting: Counting,
    ) -> Result<Self, TracedImageError> {
        let name = || image.name().to_owned();
        if image.image_type() == ImageType::Relocatable {
            return Err(TracedImageError::NotLinked { image: name() });
        }
        let code = Code::of(image);
        let executed = Executed::of(space, &code, slide, image.pointer_width());
        let sections = DebugSections::of(image)
            .map_err(|detail| TracedImageError::Sections { image: name(), detail })?;
        let files: Vec<_> = split.iter().map(SplitFile::of).collect();
        let (files, faults): (Vec<_>, Vec<_>) = files.into_iter().partition(Result::is_ok);
        let files: Vec<_> = files.into_iter().flatten().collect();
        let wanted = if files.is_empty() { Vec::new() } else { entries::skeletons(&sections) };
        let parts = SplitParts::find(&sections, &files, &wanted);
        let max = if counting == Counting::Times { u64::MAX } else { 1 };
        let mut traced = Mapping::of(&sections, &parts, &code, &executed).finish(image, max);
        traced.problems.extend(faults.into_iter().filter_map(Result::err));
        traced.problems.extend_from_slice(&parts.problems);
        if traced.unit.sources.is_empty() {
            return Err(TracedImageError::Stripped { image: name() });
        }
        Ok(traced)
    }
}

/// What the debug information of an image says, as far as it is read.
struct Mapping<'w, 'a> {
    sections: &'a DebugSections<'a>,
    code: &'w Code<'w>,
    executed: &'w Executed,
    units: Vec<Unit<'a>>,
    programs: Vec<LineProgram<'a>>,
    problems: Vec<String>,
}

impl<'w, 'a> Mapping<'w, 'a> {
    fn of(
        sections: &'a DebugSections<'a>,
        parts: &'a SplitParts<'a>,
        code: &'w Code<'w>,
        executed: &'w Executed,
    ) -> Self {
        let has_run = |start, end| executed.any(start, end);
        let (mut units, fault) = entries::units(sections, parts, code, has_run);
        let mut problems: Vec<String> = units.iter_mut().filter_map(|unit| unit.fault.take()).collect();
        problems.extend(fault);
        let (places, overlapping) = places(sections, &units);
        problems.extend(overlapping);
        let heads: Vec<_> =
            places.par_iter().map(|(offset, unit)| LineProgram::of(sections, unit, *offset)).collect();
        let mut programs = Vec::with_capacity(heads.len());
        for head in heads {
            match head {
                Ok(program) => programs.push(program),
                Err(problem) => problems.push(problem),
            }
        }
        Self { sections, code, executed, units, programs, problems }
    }

    fn finish(mut self, image: &Image, max: u64) -> TracedImage {
        let segments = self.segments();
        let bare = bare(self.code, &segments);
        let around = Around { code: self.code, executed: self.executed, segments: &segments, bare: &bare };
        let mut lines: Vec<Lines> = self.programs.par_iter().map(|program| program.lines(around)).collect();
        self.problems.extend(lines.iter_mut().filter_map(|lines| lines.fault.take()));
        let mut sources = Sources::default();
        let named = self.add_lines(&mut sources, &lines);
        let names = Names { sections: self.sections, units: &self.units, programs: &self.programs };
        sources.add_functions(names.functions(self.executed));
        let of_symbols = functions::of_symbols(named.into_iter(), &bare, self.executed);
        let num_without_line =
            bare.len().saturating_sub(of_symbols.iter().map(|function| function.entries.len()).sum());
        sources.add_functions(of_symbols);
        let mut sources = sources.finish(max);
        let has_lines = sources.iter().any(|source| !source.lines.is_empty());
        if !has_lines && !bare.is_empty() {
            sources.push(of_symbols_alone(image, &bare, self.executed, max));
        }
        TracedImage {
            unit: UnitCoverage { sources, mismatches: Vec::new(), incoherent: Vec::new() },
            has_lines,
            num_without_line: if has_lines { num_without_line } else { 0 },
            num_split: self.units.iter().filter(|unit| unit.is_found || unit.split.name.is_some()).count(),
            missing: self.units.iter().filter_map(|unit| unit.split.name).map(text).collect(),
            problems: self.problems,
        }
    }

    /// Whose the addresses are, of all units.
    fn segments(&mut self) -> Vec<Segment> {
        let flatten = |(index, unit): (usize, &mut Unit<'a>)| {
            // There are fewer units than bytes of a file.
            let base = (index as u64) << 32;
            segments::flatten(std::mem::take(&mut unit.extents), base)
        };
        let by_unit: Vec<_> = self.units.par_iter_mut().enumerate().map(flatten).collect();
        segments::apart(by_unit.into_iter().flatten().collect())
    }

    /// Adds lines to sources; gives the places of functions that symbols alone name.
    fn add_lines<'l>(&mut self, sources: &mut Sources<'l>, lines: &'l [Lines]) -> Vec<(u64, FileName, u32)> {
        let mut functions = Vec::new();
        for (program, lines) in self.programs.iter().zip(lines) {
            let mut left = program.max_names_bytes();
            for file in &lines.files {
                let Some(path) = program.path(self.sections, file.file) else {
                    self.problems
                        .push(format!("the lines at {:#x} name no file {}", program.offset, file.file));
                    continue;
                };
                let Some(rest) = left.checked_sub(path.len()) else {
                    self.problems
                        .push(format!("the names of the lines at {:#x} are too long", program.offset));
                    break;
                };
                left = rest;
                let path = FileName::from(path);
                for (address, _, line) in lines.functions.iter().filter(|(_, of, _)| *of == file.file) {
                    functions.push((*address, FileName::clone(&path), *line));
                }
                sources.add_lines(path, file);
            }
        }
        functions
    }
}

/// Where programs of line numbers are, each with the first unit that refers to it. Those that overlap another are left
/// out, so that the work is bounded.
fn places<'u, 'a>(
    sections: &DebugSections<'_>,
    units: &'u [Unit<'a>],
) -> (Vec<(usize, &'u Unit<'a>)>, Vec<String>) {
    let mut places: Vec<_> =
        units.iter().filter_map(|unit| unit.line_program.map(|offset| (offset, unit))).collect();
    places.sort_by_key(|(offset, unit)| (*offset, unit.offset));
    places.dedup_by_key(|(offset, _)| *offset);
    let (mut end, mut problems) = (0, Vec::new());
    places.retain(|(offset, _)| {
        let is_apart = *offset >= end;
        if is_apart {
            end = offset.saturating_add(sections.len_of_lines(*offset));
        } else {
            problems.push(format!("the lines at {offset:#x} of .debug_line overlap others"));
        }
        is_apart
    });
    (places, problems)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The functions that symbols alone name.
fn bare<'c>(code: &Code<'c>, segments: &[Segment]) -> Vec<Function<'c>> {
    let is_known = |address: u64| {
        let index = segments.partition_point(|segment| segment.end <= address);
        segments.get(index).is_some_and(|segment| segment.start <= address)
    };
    let functions = code.functions.iter().filter(|function| code.is_at(function.start));
    functions.filter(|function| !is_known(function.start)).copied().collect()
}

/// What is known without debug information: functions, on no line.
fn of_symbols_alone(image: &Image, bare: &[Function<'_>], executed: &Executed, max: u64) -> SourceCount {
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    for function in bare {
        let count = counts.entry(code::without_clone(function.name)).or_default();
        *count = count.saturating_add(functions::count(function, executed));
    }
    let function = |(number, (name, count)): (u32, (&str, u64))| FunctionCount {
        name: name.as_bytes().into(),
        start_line: 0,
        // What begins at one place is taken for instances of one function.
        start_column: Some(number),
        end_line: None,
        end_column: None,
        blocks: 0,
        blocks_executed: 0,
        execution_count: count.min(max),
        paths: None,
    };
    SourceCount {
        name: image.name().as_bytes().into(),
        functions: (0..).zip(counts).map(function).collect(),
        lines: Vec::new(),
    }
}
