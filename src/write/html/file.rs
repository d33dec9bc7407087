//! The page of a source file.
//!
//! What always holds: each line that has a count shows it; where the text cannot be read, each at which a count
//! begins does. A page has no more than [`MAX_LINES`] lines.

use std::rc::Rc;

use maud::{Markup, html};

use super::functions;
use super::layout;
use super::metrics::Column;
use super::notes::{self, Around, Notes};
use super::number::counted;
use super::paint::{self, Painter};
use super::source::Source;
use super::text::visible;
use super::{Options, Page};
use crate::coverage::{FileCoverage, LineRun};
use crate::write::sources::SourceError;

/// As many lines are shown; no person wrote more into one file.
const MAX_LINES: u32 = 200_000;
/// Lines that a browser lays out together, or not at all while they are out of sight.
const CHUNK: usize = 64;

/// What the page of a file stands on.
pub(super) struct FilePage<'a, 's> {
    /// The file.
    pub(super) file: &'s FileCoverage<'a>,
    /// Its entry in the index.
    pub(super) page: &'s Page,
    /// The directories that it is in: their row of the index, and their name.
    pub(super) crumbs: &'s [(usize, &'s [u8])],
    /// Its own name below the last of them.
    pub(super) name: &'s [u8],
    /// The metrics that the build carries.
    pub(super) shown: &'s [Column],
    /// What the user said.
    pub(super) options: &'s Options<'s>,
}

/// A line as it is shown.
struct Line {
    number: u32,
    count: Option<u64>,
    state: State,
    code: Markup,
    note: Option<Markup>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NoCode,
    Covered,
    Partial,
    NotRun,
}

impl State {
    fn class(self) -> &'static str {
        match self {
            Self::NoCode => "l",
            Self::Covered => "l c",
            Self::Partial => "l p",
            Self::NotRun => "l u",
        }
    }

    fn mark(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NoCode | Self::Covered => None,
            Self::Partial => Some(("◑", "partly run")),
            Self::NotRun => Some(("✕", "not run")),
        }
    }

    fn is_stop(self) -> bool {
        self.mark().is_some()
    }
}

impl FilePage<'_, '_> {
    /// The page; the error is the source's, which the page shows.
    pub(super) fn render(&self, around: &mut Around<'_, '_>) -> (Markup, Option<Rc<SourceError>>) {
        let source = around.sources.get(self.file.name());
        let runs = self.file.lines();
        let mut notes = Notes::of(self.file);
        let (lines, error) = match &source {
            Ok(source) => (self.with_text(source, &runs, &mut notes, around), None),
            Err(error) => (without_text(&runs, &mut notes, around), Some(Rc::clone(error))),
        };
        let body = html! {
            (self.header())
            main {
                (layout::figures(self.shown, &self.page.statistics))
                (layout::cautions(self.options))
                @if let Some(error) = &error {
                    p.warn { "⚠ The text is not shown: " (visible(error.to_string().as_bytes())) }
                }
                @if let Ok(source) = &source { (doubts(source, &runs)) }
                (functions::list(self.file))
                (listing(&lines))
            }
            (layout::footer(self.options))
        };
        let title = format!("{} – {}", visible(self.name), layout::subject(self.options));
        (layout::page(&title, "../", "file", &body), error)
    }

    fn header(&self) -> Markup {
        html! {
            header.top {
                nav aria-label="Directories" {
                    a #up href="../index.html" { (layout::subject(self.options)) }
                    @for (row, name) in self.crumbs {
                        " / " a href={ "../index.html#d" (row) } { (visible(name.strip_suffix(b"/").unwrap_or(name))) }
                    }
                }
                h1 { (visible(self.name)) }
                p.path { (visible(self.file.name())) }
            }
        }
    }

    fn with_text(
        &self,
        source: &Source,
        runs: &[LineRun],
        notes: &mut Notes<'_>,
        around: &mut Around<'_, '_>,
    ) -> Vec<Line> {
        let segments = self.file.segments();
        let mut painter = Painter::new(&segments);
        let mut runs = runs.iter().peekable();
        (1..=source.num_lines().min(MAX_LINES))
            .map(|number| {
                while runs.next_if(|run| *run.lines.end() < number).is_some() {}
                let count = runs.peek().filter(|run| run.lines.contains(&number)).map(|run| run.count);
                let text = source.line(number);
                let (code, is_partial) = paint::mark(text, &painter.line(number), count);
                line(number, count, is_partial, code, notes.line(number, text, around))
            })
            .collect()
    }
}

/// The lines at which something begins; those between have the count of the one before.
fn without_text(runs: &[LineRun], notes: &mut Notes<'_>, around: &mut Around<'_, '_>) -> Vec<Line> {
    let max = usize::try_from(MAX_LINES).unwrap_or(usize::MAX);
    let lines = runs.iter().take(max).map(|run| {
        let (first, last) = (*run.lines.start(), *run.lines.end());
        let code = html! { @if last > first { span.upto { "to line " (last) } } };
        line(first, Some(run.count), false, code, notes.line(first, b"", around))
    });
    lines.collect()
}

fn line(number: u32, count: Option<u64>, is_partial: bool, code: Markup, note: Option<notes::Note>) -> Line {
    let is_missed = note.as_ref().is_some_and(|note| note.is_missed);
    let state = match count {
        None => State::NoCode,
        Some(0) => State::NotRun,
        Some(_) if is_partial || is_missed => State::Partial,
        Some(_) => State::Covered,
    };
    Line { number, count, state, code, note: note.map(|note| note.markup) }
}

/// Signs that the text is not the one that was compiled, or not all of it.
fn doubts(source: &Source, runs: &[LineRun]) -> Markup {
    let has = source.num_lines();
    let last = runs.last().map_or(0, |run| *run.lines.end());
    html! {
        @if last > has {
            p.warn {
                "⚠ This is not the text that was compiled: it has "
                (counted(usize::try_from(has).unwrap_or(0), "line", "lines"))
                ", and there are counts up to line " (last) "."
            }
        }
        @if has > MAX_LINES { p.warn { "⚠ Only the first " (MAX_LINES) " lines of " (has) " are shown." } }
    }
}

fn listing(lines: &[Line]) -> Markup {
    let mut next = next_stops(lines).into_iter();
    html! {
        section.source aria-label="Source" {
            @for chunk in lines.chunks(CHUNK) {
                div.chunk style={ "--n:" (chunk.len()) } {
                    @for line in chunk { (row(line, next.next().flatten())) }
                }
            }
        }
    }
}

/// For each line that begins a stretch of lines not run or partly run: the line that begins the next one.
fn next_stops(lines: &[Line]) -> Vec<Option<u32>> {
    let mut next = None;
    let mut stops: Vec<Option<u32>> = Vec::with_capacity(lines.len());
    for index in (0..lines.len()).rev() {
        let is_stop = |line: Option<&Line>| line.is_some_and(|line| line.state.is_stop());
        let is_first =
            is_stop(lines.get(index)) && !is_stop(index.checked_sub(1).and_then(|before| lines.get(before)));
        stops.push(next.filter(|_| is_first));
        if is_first {
            next = lines.get(index).map(|line| line.number);
        }
    }
    stops.reverse();
    stops
}

fn row(line: &Line, next: Option<u32>) -> Markup {
    let Line { number, count, state, code, note } = line;
    html! {
        div class=(state.class()) #{ "L" (number) } {
            a.n href={ "#L" (number) } { (number) }
            (notes::count(*count))
            @if let Some((sign, words)) = state.mark() {
                @if let Some(next) = next {
                    a.k href={ "#L" (next) } title={ (words) "; next: line " (next) } { (sign) }
                } @else {
                    span.k title=(words) { (sign) }
                }
            }
            code { (code) }
            @if let Some(note) = note { (note) }
        }
    }
}
