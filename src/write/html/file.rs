//! The page of a source file.
//!
//! What always holds: each line that has a count shows it; where the text cannot be read, each at which a count
//! begins does. A page has no more than [`MAX_LINES`] lines.

use std::rc::Rc;

use maud::{Markup, html};

use super::functions;
use super::layout;
use super::listing::{Row, State, listing};
use super::metrics::Column;
use super::notes::{self, Around, Notes};
use super::number::counted;
use super::object::ObjectPages;
use super::paint::{self, Painter};
use super::source::Source;
use super::text::visible;
use super::{Options, Page};
use crate::coverage::{FileCoverage, LineRun};
use crate::write::sources::SourceError;

/// As many lines are shown; no person wrote more into one file.
const MAX_LINES: u32 = 200_000;

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
    /// The object code of its functions, if there is any.
    pub(super) object: &'s ObjectPages<'s>,
    /// What the user said.
    pub(super) options: &'s Options<'s>,
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
                (functions::list(self.file, self.object))
                (listing(&lines, "Source", "line"))
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
    ) -> Vec<Row> {
        let segments = self.file.segments();
        let mut painter = Painter::new(&segments);
        let mut runs = runs.iter().peekable();
        (1..=source.num_lines().min(MAX_LINES))
            .map(|number| {
                while runs.next_if(|run| *run.lines.end() < number).is_some() {}
                let count = runs.peek().filter(|run| run.lines.contains(&number)).map(|run| run.count);
                let text = source.line(number);
                let (code, is_partial) = paint::mark(text, &painter.line(number), count);
                line(number, count, is_partial, &code, notes.line(number, text, around))
            })
            .collect()
    }
}

/// The lines at which something begins; those between have the count of the one before.
fn without_text(runs: &[LineRun], notes: &mut Notes<'_>, around: &mut Around<'_, '_>) -> Vec<Row> {
    let max = usize::try_from(MAX_LINES).unwrap_or(usize::MAX);
    let lines = runs.iter().take(max).map(|run| {
        let (first, last) = (*run.lines.start(), *run.lines.end());
        let code = html! { @if last > first { span.upto { "to line " (last) } } };
        line(first, Some(run.count), false, &code, notes.line(first, b"", around))
    });
    lines.collect()
}

fn line(number: u32, count: Option<u64>, is_partial: bool, code: &Markup, note: Option<notes::Note>) -> Row {
    let is_missed = note.as_ref().is_some_and(|note| note.is_missed);
    let state = match count {
        None => State::NoCode,
        Some(0) => State::NotRun,
        Some(_) if is_partial || is_missed => State::Partial,
        Some(_) => State::Covered,
    };
    Row {
        id: format!("L{number}"),
        label: number.to_string(),
        count,
        state,
        body: html! { code { (code) } @if let Some(note) = note { (note.markup) } },
        before: None,
    }
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
