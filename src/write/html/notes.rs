//! What a line has besides its text: branches, macros that it uses, instantiations of the function that it begins.
//!
//! What always holds: however macros nest and however often they are used, a page has at most [`MAX_MACRO_LINES`]
//! lines of them, nested [`MAX_DEPTH`] deep at most; what is left away is said.

use std::collections::{BTreeMap, HashMap};

use maud::{Markup, html};

use super::conditions;
use super::decisions;
use super::functions;
use super::number::{counted, grouped, short};
use super::paint::{self, Painter};
use super::source::Sources;
use super::text::visible;
use crate::coverage::gcov::ConditionCount;
use crate::coverage::{
    FileBranch, FileCoverage, FileFunction, LineRun, MacroUse, McdcRecord, Outcome, OutcomeKind, Ways,
};

/// As many lines of macros are on one page.
const MAX_MACRO_LINES: u32 = 20_000;
/// As many lines of one macro are shown.
const MAX_LINES_EACH: u32 = 200;
/// Macros in macros are shown so deep.
const MAX_DEPTH: usize = 8;

/// What the lines of a file have, by line.
pub(super) struct Notes<'a> {
    branches: BTreeMap<u32, Vec<FileBranch<'a>>>,
    decisions: BTreeMap<u32, Vec<&'a McdcRecord>>,
    conditions: BTreeMap<u32, &'a [ConditionCount]>,
    expansions: BTreeMap<u32, Vec<MacroUse<'a>>>,
    groups: BTreeMap<u32, Vec<Vec<FileFunction<'a>>>>,
    macro_lines_left: u32,
}

/// What one line has.
pub(super) struct Note {
    /// An outcome of a branch never came about, or a condition was not shown to decide.
    pub(super) is_missed: bool,
    /// The text, folded.
    pub(super) markup: Markup,
}

/// What notes refer to beyond their file.
pub(super) struct Around<'a, 's> {
    /// The sources that macros come from.
    pub(super) sources: &'s mut Sources<'a>,
    /// The pages of files, by name.
    pub(super) pages: &'s HashMap<&'s [u8], &'s str>,
}

impl<'a> Notes<'a> {
    pub(super) fn of(file: &FileCoverage<'a>) -> Self {
        let mut notes = Self {
            branches: BTreeMap::new(),
            decisions: BTreeMap::new(),
            conditions: file.conditions().collect(),
            expansions: BTreeMap::new(),
            groups: BTreeMap::new(),
            macro_lines_left: MAX_MACRO_LINES,
        };
        for branch in file.own_branches() {
            notes.branches.entry(branch.start.line).or_default().push(branch);
        }
        for decision in file.own_decisions() {
            notes.decisions.entry(decision.start.line).or_default().push(decision);
        }
        for expansion in file.macro_uses() {
            notes.expansions.entry(expansion.start.line).or_default().push(expansion);
        }
        for (start, group) in file.instantiation_groups() {
            if group.len() > 1 {
                notes.groups.entry(start.line).or_default().push(group);
            }
        }
        notes
    }

    /// What the line has, if anything; `text` is the line's.
    pub(super) fn line(&mut self, line: u32, text: &[u8], around: &mut Around<'_, '_>) -> Option<Note> {
        let branches = self.branches.remove(&line).unwrap_or_default();
        let decisions = self.decisions.remove(&line).unwrap_or_default();
        let conditions = self.conditions.remove(&line).unwrap_or_default();
        let expansions = self.expansions.remove(&line).unwrap_or_default();
        let groups = self.groups.remove(&line).unwrap_or_default();
        let has_decisions = !decisions.is_empty() || !conditions.is_empty();
        if branches.is_empty() && !has_decisions && expansions.is_empty() && groups.is_empty() {
            return None;
        }
        let uses = all_uses(&expansions);
        let in_macros: Vec<FileBranch<'_>> = uses.iter().flat_map(MacroUse::own_branches).collect();
        let mut all_decisions = decisions.clone();
        all_decisions.extend(uses.iter().flat_map(MacroUse::own_decisions));
        let [missed, total] = outcomes(branches.iter().chain(&in_macros));
        let [missed_mcdc, total_mcdc] = decisions::missed(&all_decisions);
        let markup = html! {
            details {
                summary {
                    (branch_badge(&branches, missed, total))
                    (decisions::badge(missed_mcdc, total_mcdc))
                    (conditions::badge(conditions))
                    @if !expansions.is_empty() { span { (counted(expansions.len(), "macro", "macros")) } }
                    @for group in &groups { (group_badge(group)) }
                }
                div {
                    (table(&branches, |_| text))
                    (decisions::list(&decisions, |at| if at == line { text } else { &[] }))
                    (conditions::list(conditions))
                    @for expansion in &expansions { (self.expansion(expansion, text, 1, around)) }
                    @for group in &groups { (functions::instantiations(group)) }
                }
            }
        };
        let is_missed = missed > 0 || missed_mcdc > 0 || conditions::missed(conditions) > 0;
        Some(Note { is_missed, markup })
    }

    /// A macro: what was written, where it is from, its lines with counts, its branches, and the macros in it.
    fn expansion(
        &mut self,
        expansion: &MacroUse<'_>,
        user: &[u8],
        depth: usize,
        around: &mut Around<'_, '_>,
    ) -> Markup {
        let source = around.sources.get(expansion.file).ok();
        let text = |line: u32| source.as_ref().map_or(&[][..], |source| source.line(line));
        let runs = expansion.lines();
        let first = runs.first().map(|run| *run.lines.start());
        let inner = if depth < MAX_DEPTH { expansion.macro_uses() } else { Vec::new() };
        let segments = expansion.segments();
        let mut painter = Painter::new(&segments);
        html! {
            div.macro {
                p {
                    code { (visible(paint::excerpt(user, expansion.start, expansion.end))) }
                    " expands to " (place(expansion.file, first, around.pages, ""))
                }
                div.lines {
                    @for (line, count) in self.macro_lines(&runs) {
                        div.l.u[count == 0] {
                            span.n { (line) }
                            (self::count(Some(count)))
                            code { (paint::mark(text(line), &painter.line(line), Some(count)).0) }
                        }
                    }
                    @if self.macro_lines_left == 0 { p { "The page has no room for the lines of further macros." } }
                }
                (table(&expansion.own_branches(), text))
                (decisions::list(&expansion.own_decisions(), text))
                @for inner in &inner {
                    (self.expansion(inner, text(inner.start.line), depth.saturating_add(1), around))
                }
            }
        }
    }

    /// The lines to show of a macro, with their counts.
    fn macro_lines(&mut self, runs: &[LineRun]) -> Vec<(u32, u64)> {
        let room = MAX_LINES_EACH.min(self.macro_lines_left);
        let lines = runs.iter().flat_map(|run| run.lines.clone().map(|line| (line, run.count)));
        let lines: Vec<(u32, u64)> = lines.take(usize::try_from(room).unwrap_or(0)).collect();
        self.macro_lines_left =
            self.macro_lines_left.saturating_sub(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        lines
    }
}

/// The count in the margin.
pub(super) fn count(count: Option<u64>) -> Markup {
    html! {
        @if let Some(count) = count {
            span.c title=[(count > 999).then(|| grouped(count))] { (short(count)) }
        }
    }
}

/// A line of a file, as a link if that has a page: those are in the folder `dir`, as seen from here.
pub(super) fn place(file: &[u8], line: Option<u32>, pages: &HashMap<&[u8], &str>, dir: &str) -> Markup {
    let name = visible(file.rsplit(|byte| *byte == b'/').next().unwrap_or(file));
    let text = html! { (name) @if let Some(line) = line { ":" (line) } };
    html! {
        @match (pages.get(file), line) {
            (Some(page), Some(line)) => a href={ (dir) (page) "#L" (line) } title=(visible(file)) { (text) },
            _ => span title=(visible(file)) { (text) },
        }
    }
}

/// Macros with the macros in them.
fn all_uses<'a>(uses: &[MacroUse<'a>]) -> Vec<MacroUse<'a>> {
    let mut all = Vec::new();
    let mut pending = uses.to_vec();
    while let Some(inner) = pending.pop() {
        pending.extend(inner.macro_uses());
        all.push(inner);
    }
    all
}

/// How many outcomes never came about, of how many.
fn outcomes<'b>(branches: impl Iterator<Item = &'b FileBranch<'b>>) -> [usize; 2] {
    let outcomes = branches.filter(|branch| !branch.is_folded).flat_map(FileBranch::outcomes);
    outcomes.fold([0, 0], |[missed, total], outcome| {
        [missed.saturating_add(usize::from(outcome.count == 0)), total.saturating_add(1)]
    })
}

fn branch_badge(own: &[FileBranch<'_>], missed: usize, total: usize) -> Markup {
    html! {
        @match (own, total) {
            ([], 0) => {},
            (_, 0) => span { "constant" },
            ([FileBranch { ways: Ways::Condition { count, false_count }, is_folded: false, .. }], 2) => {
                (outcome("T", *count))
                (outcome("F", *false_count))
            },
            _ => {
                span.miss[missed > 0] title="outcomes of branches that came about" {
                    @if missed > 0 { "✕ " }
                    (total.saturating_sub(missed)) "/" (total) " outcomes"
                }
            },
        }
    }
}

fn outcome(name: &str, count: u64) -> Markup {
    html! {
        span.miss[count == 0] title={ (if name == "T" { "true " } else { "false " }) (grouped(count)) "×" } {
            @if count == 0 { "✕ " }
            (name) " " (short(count))
        }
    }
}

fn group_badge(group: &[FileFunction<'_>]) -> Markup {
    let not_run = group.iter().filter(|function| function.count == 0).count();
    html! {
        span.miss[not_run > 0] {
            @if not_run > 0 { "✕ " (not_run) " of " }
            (counted(group.len(), "instantiation", "instantiations"))
            @if not_run > 0 { " not entered" }
        }
    }
}

/// Branches: those of gcov, and conditions, which are in the lines that `text` gives.
fn table<'t>(branches: &[FileBranch<'_>], text: impl Fn(u32) -> &'t [u8]) -> Markup {
    let is_condition = |branch: &&FileBranch<'_>| matches!(branch.ways, Ways::Condition { .. });
    let (conditions, others): (Vec<_>, Vec<_>) = branches.iter().partition(is_condition);
    html! {
        @for branch in others { (arcs(branch)) }
        @if !conditions.is_empty() {
            table.branches {
                thead {
                    tr {
                        th.num scope="col" { "Line:column" }
                        th scope="col" { "Condition" }
                        th.num scope="col" { "True" }
                        th.num scope="col" { "False" }
                    }
                }
                tbody {
                    @for branch in conditions {
                        tr {
                            td.num { (branch.start.line) ":" (branch.start.col) }
                            td { code { (visible(paint::excerpt(text(branch.start.line), branch.start, branch.end))) } }
                            @if branch.is_folded {
                                td.num colspan="2" { "known to the compiler" }
                            } @else {
                                @for outcome in branch.outcomes() { (taken(outcome.count)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The arcs of a line, as gcov numbers them.
fn arcs(branch: &FileBranch<'_>) -> Markup {
    html! {
        table.branches {
            thead {
                tr {
                    th.num scope="col" { "Branch" }
                    th scope="col" { "Way" }
                    th.num scope="col" { "Taken" }
                }
            }
            tbody {
                @for (number, outcome) in branch.outcomes().enumerate() {
                    tr {
                        td.num { (number) }
                        td { (way(outcome)) }
                        (taken(outcome.count))
                    }
                }
            }
        }
    }
}

/// gcov's own words.
fn way(outcome: Outcome) -> Markup {
    let way = match outcome.kind {
        OutcomeKind::Fallthrough => "fallthrough",
        OutcomeKind::Throw => "throw",
        OutcomeKind::Jump | OutcomeKind::True | OutcomeKind::False => "jump",
    };
    html! { (way) @if !outcome.is_reached { ", never reached" } }
}

fn taken(count: u64) -> Markup {
    html! {
        td.num.miss[count == 0] title=(grouped(count)) {
            @if count == 0 { "✕ " }
            (short(count))
        }
    }
}
