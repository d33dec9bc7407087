//! A piece of source with its counts, and the views inside of it.
//!
//! What always holds: views are made when they are printed, so that only those that are inside of each other are in
//! memory.

use std::io::{self, Write};
use std::rc::Rc;

use super::Printer;
use super::below::Below;
use super::line::{Line, margin};
use super::source::Text;
use crate::coverage::gcov::ConditionCount;
use crate::coverage::{
    CountedRegion, FileBranch, FileCoverage, FileFunction, FunctionCoverage, LineRun, McdcRecord, RegionKind,
    Segment,
};

/// A macro or an include in a function.
#[derive(Clone, Copy)]
pub(super) struct Expansion<'a> {
    pub(super) function: &'a FunctionCoverage,
    /// Where it is used.
    pub(super) region: &'a CountedRegion,
    /// The index of the file of its text.
    file: u32,
}

impl<'a> Expansion<'a> {
    fn new(function: &'a FunctionCoverage, region: &'a CountedRegion) -> Option<Self> {
        let RegionKind::Expansion { file } = region.kind else { return None };
        Some(Self { function, region, file })
    }

    fn all(function: &'a FunctionCoverage, file: u32) -> impl Iterator<Item = Self> {
        function.expansions_of(file).filter_map(|region| Self::new(function, region))
    }

    fn text(&self, printer: &mut Printer<'_>) -> Option<Rc<Text>> {
        let name = self.function.files.get(usize::try_from(self.file).ok()?)?;
        printer.text(name)
    }
}

/// A file, a function or an expansion.
pub(super) struct View<'a> {
    text: Rc<Text>,
    is_whole_file: bool,
    segments: Vec<Segment>,
    lines: Vec<LineRun>,
    /// In the order of their places, as the others.
    pub(super) expansions: Vec<Expansion<'a>>,
    /// Each with the line that it is shown below.
    pub(super) instantiations: Vec<(u32, FileFunction<'a>)>,
    /// Those that follow each other on a line are together.
    pub(super) branches: Vec<(u32, Vec<FileBranch<'a>>)>,
    /// The same of decisions, by the lines that they end on.
    pub(super) mcdc: Vec<(u32, Vec<&'a McdcRecord>)>,
    /// gcov's decisions, by their lines.
    pub(super) conditions: Vec<(u32, &'a [ConditionCount])>,
}

impl<'a> View<'a> {
    /// A whole file; `None` if there is nothing to show.
    pub(super) fn of_file(file: &FileCoverage<'a>, printer: &mut Printer<'_>) -> Option<Self> {
        let text = printer.text(file.name())?;
        let segments = file.segments();
        if segments.is_empty() {
            return None;
        }
        let groups = file.instantiation_groups().into_values().filter(|group| group.len() > 1);
        let mut instantiations: Vec<(u32, FileFunction<'_>)> = Vec::new();
        if printer.options.instantiations {
            instantiations.extend(groups.flatten().map(|function| (function.last_line(), function)));
            instantiations.sort_by_key(|(line, _)| *line);
        }
        Some(Self {
            text,
            is_whole_file: true,
            segments,
            lines: file.lines(),
            expansions: expansions(
                file.expansions().filter_map(|of| Expansion::new(of.function, of.region)),
                printer,
            ),
            instantiations,
            branches: branches(|| file.shown_branches(), printer),
            mcdc: decisions(file.mcdc_records(), printer),
            conditions: file.conditions().filter(|_| printer.options.mcdc).collect(),
        })
    }

    /// An instantiation, whose text is that of the view that it is in.
    pub(super) fn of_function(&self, function: FileFunction<'a>, printer: &mut Printer<'_>) -> Self {
        // Without a body it is not in a group.
        let llvm = function.llvm().map(|llvm| (llvm, llvm.main_file().unwrap_or_default()));
        let records = llvm
            .into_iter()
            .flat_map(|(llvm, body)| llvm.mcdc_records.iter().filter(move |record| record.file == body));
        let used = llvm.into_iter().flat_map(|(llvm, body)| Expansion::all(llvm, body));
        Self {
            text: Rc::clone(&self.text),
            is_whole_file: false,
            segments: function.segments(),
            lines: function.lines(),
            expansions: expansions(used, printer),
            instantiations: Vec::new(),
            branches: branches(|| function.own_branches(), printer),
            mcdc: decisions(records, printer),
            conditions: function.conditions().filter(|_| printer.options.mcdc).collect(),
        }
    }

    /// `None` if there is nothing to show.
    pub(super) fn of_expansion(expansion: &Expansion<'a>, printer: &mut Printer<'_>) -> Option<Self> {
        let Expansion { function, file, .. } = *expansion;
        Some(Self {
            text: expansion.text(printer)?,
            is_whole_file: false,
            segments: function.segments_of(file),
            lines: function.lines_of(file),
            expansions: expansions(Expansion::all(function, file), printer),
            instantiations: Vec::new(),
            branches: branches(|| function.branches_of(file).iter().map(FileBranch::from).collect(), printer),
            // LLVM shows those with the file.
            mcdc: Vec::new(),
            // gcov knows no expansions.
            conditions: Vec::new(),
        })
    }

    /// Writes the view, `depth` bars from the left.
    pub(super) fn print(
        &self,
        printer: &mut Printer<'_>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let first = self.segments.first().map_or(1, |segment| segment.start.line);
        let last = self.segments.last().map_or(0, |segment| segment.start.line);
        let (mut segments, mut runs) = (&*self.segments, self.lines.iter().peekable());
        let mut wrapped = None;
        let mut below = Below::new(self);
        let text = Rc::clone(&self.text);
        for (number, source) in text.lines_from(if self.is_whole_file { 1 } else { first }) {
            if number > last && !self.is_whole_file {
                break;
            }
            let on_line = segments.iter().take_while(|segment| segment.start.line <= number).count();
            let (on_line, others) = segments.split_at_checked(on_line).unwrap_or_default();
            while runs.next_if(|run| *run.lines.end() < number).is_some() {}
            let count = runs.peek().filter(|run| run.lines.contains(&number)).map(|run| run.count);
            // Behind the last segment nothing reaches in.
            let reaches_in = wrapped.filter(|_| number <= last);
            let line = Line { number, source, count, segments: on_line, wrapped: reaches_in };
            bars(depth, out)?;
            let expansion = below.expansion(number);
            line.print(printer, expansion, out)?;
            if printer.options.regions && line.has_markers() {
                bars(depth, out)?;
                write!(out, "{:1$}", "", margin(printer))?;
                line.print_markers(out)?;
            }
            below.print(&line, printer, depth, out)?;
            wrapped = on_line.last().or(wrapped);
            segments = others;
        }
        Ok(())
    }
}

/// The bars at the left of a view that is in another.
pub(super) fn bars(depth: usize, out: &mut impl Write) -> io::Result<()> {
    (0..depth).try_for_each(|_| out.write_all(b"  |"))
}

/// The expansions that are shown, by their places.
fn expansions<'a>(all: impl Iterator<Item = Expansion<'a>>, printer: &mut Printer<'_>) -> Vec<Expansion<'a>> {
    if !printer.options.expansions {
        return Vec::new();
    }
    let can_be_shown = |expansion: &Expansion<'_>| {
        let is_known = !expansion.function.segments_of(expansion.file).is_empty();
        is_known && expansion.text(printer).is_some()
    };
    let mut shown: Vec<Expansion<'a>> = all.filter(can_be_shown).collect();
    shown.sort_by_key(|expansion| expansion.region.start);
    shown
}

/// The branches that are shown, by their lines.
fn branches<'a>(
    all: impl FnOnce() -> Vec<FileBranch<'a>>,
    printer: &Printer<'_>,
) -> Vec<(u32, Vec<FileBranch<'a>>)> {
    if printer.options.branches.is_some() { by_line(all(), |branch| branch.start.line) } else { Vec::new() }
}

/// The decisions that are shown, by their lines.
fn decisions<'a>(
    all: impl IntoIterator<Item = &'a McdcRecord>,
    printer: &Printer<'_>,
) -> Vec<(u32, Vec<&'a McdcRecord>)> {
    if printer.options.mcdc { by_line(all, |record| record.end.line) } else { Vec::new() }
}

/// Groups of those that follow each other on a line, by their lines.
fn by_line<T>(all: impl IntoIterator<Item = T>, line: impl Fn(&T) -> u32) -> Vec<(u32, Vec<T>)> {
    let mut groups: Vec<(u32, Vec<T>)> = Vec::new();
    for item in all {
        match groups.last_mut().filter(|(of_group, _)| *of_group == line(&item)) {
            Some((_, group)) => group.push(item),
            None => groups.push((line(&item), vec![item])),
        }
    }
    groups.sort_by_key(|(line, _)| *line);
    groups
}
