//! Lines of a source, or instructions, one below the other, with counts in the margin.
//!
//! What always holds: what did not run, or ran in part, has a sign as well as a colour; those that begin a stretch of such
//! rows lead to the next one, also without a script.

use maud::{Markup, html};

use super::notes;

/// Rows that a browser lays out together, or not at all while they are out of sight.
const CHUNK: usize = 64;

/// A row as it is shown.
pub(super) struct Row {
    /// What an address of the page names it by: a letter, and its number.
    pub(super) id: String,
    /// What stands in the margin.
    pub(super) label: String,
    /// How often it ran, if it can.
    pub(super) count: Option<u64>,
    /// Whether it ran.
    pub(super) state: State,
    /// What it is.
    pub(super) body: Markup,
    /// What stands above it.
    pub(super) before: Option<Markup>,
}

/// Whether a row ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is nothing that runs.
    NoCode,
    /// It ran.
    Covered,
    /// It ran, and something of it did not.
    Partial,
    /// It did not run.
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

/// Rows, of which each is one `noun`.
pub(super) fn listing(rows: &[Row], label: &str, noun: &str) -> Markup {
    let mut next = next_stops(rows).into_iter();
    html! {
        section.source aria-label=(label) {
            @for chunk in rows.chunks(CHUNK) {
                @let above = chunk.iter().filter(|row| row.before.is_some()).count();
                div.chunk style={ "--n:" (chunk.len().saturating_add(above)) } {
                    @for row in chunk { (one(row, next.next().flatten(), noun)) }
                }
            }
        }
    }
}

/// For each row that begins a stretch of rows not run or partly run: the row that begins the next one.
fn next_stops(rows: &[Row]) -> Vec<Option<&Row>> {
    let mut next = None;
    let mut stops: Vec<Option<&Row>> = Vec::with_capacity(rows.len());
    for index in (0..rows.len()).rev() {
        let is_stop = |row: Option<&Row>| row.is_some_and(|row| row.state.is_stop());
        let is_first =
            is_stop(rows.get(index)) && !is_stop(index.checked_sub(1).and_then(|before| rows.get(before)));
        stops.push(next.filter(|_| is_first));
        if is_first {
            next = rows.get(index);
        }
    }
    stops.reverse();
    stops
}

fn one(row: &Row, next: Option<&Row>, noun: &str) -> Markup {
    let Row { id, label, count, state, body, before } = row;
    html! {
        @if let Some(before) = before { (before) }
        div class=(state.class()) #(id) {
            a.n href={ "#" (id) } { (label) }
            (notes::count(*count))
            @if let Some((sign, words)) = state.mark() {
                @if let Some(next) = next {
                    a.k href={ "#" (next.id) } title={ (words) "; next: " (noun) " " (next.label) } { (sign) }
                } @else {
                    span.k title=(words) { (sign) }
                }
            }
            (body)
        }
    }
}
