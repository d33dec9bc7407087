//! What is shown below a line: the views of its expansions, instantiations and branches.

use std::io::{self, Write};

use super::conditions;
use super::line::{Line, margin, shown_count};
use super::mcdc;
use super::view::{Expansion, View, bars};
use super::{Branches, MAX_NESTED, Printer};
use crate::coverage::gcov::ConditionCount;
use crate::coverage::{FileBranch, FileFunction, McdcRecord, OutcomeKind, Tally};
use crate::write::paint::{ON_RED, RED};
use crate::write::paths;

/// What is still to be shown below the lines of a view.
pub(super) struct Below<'v, 'a> {
    view: &'v View<'a>,
    expansions: &'v [Expansion<'a>],
    instantiations: &'v [(u32, FileFunction<'a>)],
    branches: &'v [(u32, Vec<FileBranch<'a>>)],
    mcdc: &'v [(u32, Vec<&'a McdcRecord>)],
    conditions: &'v [(u32, &'a [ConditionCount])],
}

impl<'v, 'a> Below<'v, 'a> {
    pub(super) fn new(view: &'v View<'a>) -> Self {
        let View { expansions, instantiations, branches, mcdc, conditions, .. } = view;
        Self { view, expansions, instantiations, branches, mcdc, conditions }
    }

    /// The column of the first expansion on the line.
    pub(super) fn expansion(&self, number: u32) -> Option<u32> {
        let start = self.expansions.first()?.region.start;
        (start.line == number).then_some(start.col)
    }

    /// Writes what belongs below the line.
    pub(super) fn print(
        &mut self,
        line: &Line<'_>,
        printer: &mut Printer<'_>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut is_any = false;
        while let Some(expansion) = next(&mut self.expansions, |next| next.region.start.line == line.number) {
            divider(printer, depth, out)?;
            if is_any {
                self.site(line, expansion, printer, depth, out)?;
            }
            print_expansion(expansion, printer, depth, out)?;
            is_any = true;
        }
        while let Some((_, function)) = next(&mut self.instantiations, |(at, _)| *at == line.number) {
            divider(printer, depth, out)?;
            self.instantiation(*function, printer, depth, out)?;
            is_any = true;
        }
        while let Some((_, branches)) = next(&mut self.branches, |(at, _)| *at == line.number) {
            divider(printer, depth, out)?;
            branches.iter().try_for_each(|branch| print_branch(branch, printer, depth, out))?;
            is_any = true;
        }
        while let Some((_, records)) = next(&mut self.mcdc, |(at, _)| *at == line.number) {
            divider(printer, depth, out)?;
            records
                .iter()
                .try_for_each(|record| mcdc::print(record, printer, depth.saturating_add(1), out))?;
            is_any = true;
        }
        while let Some((_, decisions)) = next(&mut self.conditions, |(at, _)| *at == line.number) {
            divider(printer, depth, out)?;
            for decision in *decisions {
                conditions::print(line.number, decision, printer, depth.saturating_add(1), out)?;
            }
            is_any = true;
        }
        if is_any { divider(printer, depth, out) } else { Ok(()) }
    }

    /// The line again, for another of its expansions.
    fn site(
        &self,
        line: &Line<'_>,
        expansion: &Expansion<'_>,
        printer: &Printer<'_>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        bars(depth, out)?;
        write!(out, "{:1$}", "", margin(printer).saturating_add(usize::from(depth > 0)))?;
        line.print_source(printer, Some(expansion.region.start.col), out)?;
        divider(printer, depth, out)
    }

    fn instantiation(
        &self,
        function: FileFunction<'a>,
        printer: &mut Printer<'_>,
        depth: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let name = paths::function_name(function.name, printer.options.is_demangled);
        let inner = depth.saturating_add(1);
        bars(inner, out)?;
        out.write_all(b" ")?;
        if function.count == 0 {
            let text = [b"Unexecuted instantiation: ", &*name, b"\n"].concat();
            return printer.paint.text(Some(RED), text, out);
        }
        printer.title(&name, out)?;
        self.view.of_function(function, printer).print(printer, inner, out)
    }
}

/// Takes the first of the items, if it belongs to the line.
fn next<'v, T>(items: &mut &'v [T], is_on_line: impl Fn(&T) -> bool) -> Option<&'v T> {
    let (first, others) = items.split_first()?;
    is_on_line(first).then(|| {
        *items = others;
        first
    })
}

fn divider(printer: &Printer<'_>, depth: usize, out: &mut impl Write) -> io::Result<()> {
    bars(depth, out)?;
    writeln!(out, "  {}", "-".repeat(margin(printer).saturating_add(4)))
}

fn print_expansion(
    expansion: &Expansion<'_>,
    printer: &mut Printer<'_>,
    depth: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    // Each level adds two bars.
    if depth / 2 >= MAX_NESTED {
        printer.omit_too_deep(&expansion.function.name);
        return Ok(());
    }
    match View::of_expansion(expansion, printer) {
        Some(view) => view.print(printer, depth.saturating_add(2), out),
        None => Ok(()),
    }
}

fn print_branch(
    branch: &FileBranch<'_>,
    printer: &Printer<'_>,
    depth: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    bars(depth.saturating_add(1), out)?;
    // gcov knows no columns.
    let col = Some(branch.start.col).filter(|col| *col > 0).map(|col| format!(":{col}"));
    write!(out, "  Branch ({}{}): [", branch.start.line, col.unwrap_or_default())?;
    if branch.is_folded {
        return writeln!(out, "Folded - Ignored]");
    }
    let total = branch.outcomes().fold(0u64, |sum, outcome| sum.wrapping_add(outcome.count));
    for (number, outcome) in branch.outcomes().enumerate() {
        if number > 0 {
            out.write_all(b", ")?;
        }
        let count = outcome.count;
        printer.paint.text(Some(ON_RED).filter(|_| count == 0), name(number, outcome.kind), out)?;
        match printer.options.branches {
            Some(Branches::Percents) => {
                let percent = Tally { covered: count, total }.percent().unwrap_or_default();
                write!(out, ": {percent:.2}%")?;
            }
            _ => write!(out, ": {}", shown_count(count))?,
        }
    }
    writeln!(out, "]")
}

/// What an outcome is called: gcov's have numbers.
fn name(number: usize, kind: OutcomeKind) -> String {
    match kind {
        OutcomeKind::True => "True".to_owned(),
        OutcomeKind::False => "False".to_owned(),
        OutcomeKind::Jump => format!("branch {number}"),
        OutcomeKind::Fallthrough => format!("branch {number} (fallthrough)"),
        OutcomeKind::Throw => format!("branch {number} (throw)"),
    }
}
