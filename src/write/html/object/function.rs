//! The page of a function's code.
//!
//! What always holds: an instruction stands behind the line that it is of; a page has no more than [`MAX_ITEMS`]
//! instructions.

use covtap_insn::Flow;
use maud::{Markup, html};

use super::super::layout;
use super::super::listing::{Row, State, listing};
use super::super::notes::{self, Around};
use super::super::number::{grouped, short};
use super::super::text::visible;
use super::super::{FILES, Options, function_name};
use super::{Program, table};
use crate::coverage::object::{DataPart, ObjectFunction, ObjectInstruction, ObjectItem, Outcome};
use crate::coverage::trace::Place;
use crate::image::ImageAddr;
use crate::profile::trace::Ways;
use crate::write::assembly::{Assembly, HAS_ASSEMBLY, digits_of, flow};

/// As many instructions are shown.
const MAX_ITEMS: usize = 50_000;
/// As many words are shown of data in one place.
const MAX_WORDS: usize = 64;
/// How many bytes of data are in a row.
const WORD_BYTES: usize = 4;

/// What the page of a function stands on.
pub(super) struct FunctionPage<'a, 's> {
    /// The program that it is of.
    pub(super) program: &'s Program<'a>,
    /// The function.
    pub(super) found: &'s ObjectFunction<'a>,
    /// Whether there are other programs.
    pub(super) several: bool,
    /// What the user said.
    pub(super) options: &'s Options<'s>,
}

impl FunctionPage<'_, '_> {
    pub(super) fn render(&self, assembly: &mut Assembly, around: &mut Around<'_, '_>) -> Markup {
        let object = self.program.program.object;
        let rows = self.rows(assembly, around);
        let digits = object.image().pointer_width().bytes() * 2;
        let name = function_name(self.found.name.as_bytes());
        let more = self.found.items().count().saturating_sub(MAX_ITEMS);
        let body = html! {
            (self.header(&name, around))
            main data-noun="instruction" {
                (table::figures(self.found.tally(), object.has_branches()))
                (layout::cautions(self.options))
                @if !object.has_branches() { p.warn { "⚠ Nobody looked which way branches went." } }
                @if !HAS_ASSEMBLY {
                    p.warn { "⚠ covtap was built without disassembly: instructions are shown as bytes." }
                }
                @if more > 0 { p.warn { "⚠ The last " (grouped(more as u64)) " instructions are not shown." } }
                div.asm style={ "--a:" (digits) } { (listing(&rows, "Object code", "instruction")) }
            }
            (layout::footer(self.options))
        };
        let title = format!("{name} – object code of {}", layout::subject(self.options));
        layout::page(&title, "../", "file", &body)
    }

    fn header(&self, name: &str, around: &Around<'_, '_>) -> Markup {
        let start = self.found.address;
        let place = self.program.program.places.at(start);
        html! {
            header.top {
                nav aria-label="Directories" {
                    a href="../index.html" { (layout::subject(self.options)) }
                    " / " a #up href="../object.html" { "Object code" }
                    @if self.several { " / " (self.program.label) }
                }
                h1 { (name) }
                p.path {
                    @if name != self.found.name { (visible(self.found.name.as_bytes())) ", " }
                    "at 0x" (self.program.address(start.get())) ", "
                    (grouped(self.found.end().saturating_sub(start.get()))) " bytes"
                    @if let Some(place) = place { ", from " (source(place, around)) }
                }
            }
        }
    }

    fn rows(&self, assembly: &mut Assembly, around: &mut Around<'_, '_>) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut last = None;
        for item in self.found.items().take(MAX_ITEMS) {
            let insn = match item {
                ObjectItem::Data(data) => {
                    last = None;
                    self.data(data, &mut rows);
                    continue;
                }
                ObjectItem::Instruction(insn) => insn,
            };
            let place = self.program.program.places.at(ImageAddr::new(insn.insn.address));
            let line = place.map(|place| (place.path, place.line));
            let before = (line != last).then(|| heading(place, around));
            last = line;
            rows.push(self.instruction(&insn, assembly, before));
        }
        rows
    }

    fn bytes(&self, address: u64, len_bytes: u64) -> &[u8] {
        let image = self.program.program.object.image();
        image.bytes_at(ImageAddr::new(address), len_bytes).unwrap_or_default()
    }

    fn instruction(&self, insn: &ObjectInstruction, assembly: &mut Assembly, before: Option<Markup>) -> Row {
        let address = insn.insn.address;
        let code = self.bytes(address, insn.insn.len_bytes as u64);
        let text = assembly.text(insn.isa, &insn.insn, code).unwrap_or_else(|| flow(&insn.insn));
        let body = html! {
            code.b { (digits_of(insn.isa, code)) }
            code { (visible(text.as_bytes())) }
            span.w { (self.target(insn)) (ways(insn)) }
        };
        self.row(address, Some(insn.count), state(insn), body, before)
    }

    fn row(
        &self,
        address: u64,
        count: Option<u64>,
        state: State,
        body: Markup,
        before: Option<Markup>,
    ) -> Row {
        Row { id: format!("A{address:x}"), label: self.program.address(address), count, state, body, before }
    }

    /// Where an instruction leads to that says so: in this function, or the beginning of another.
    fn target(&self, insn: &ObjectInstruction) -> Markup {
        let (Flow::Jump { target } | Flow::Conditional { target } | Flow::Call { target }) = insn.insn.flow
        else {
            return html! {};
        };
        let start = self.found.address.get();
        let within = target.filter(|target| (start..self.found.end()).contains(target));
        let within = within.filter(|target| *target != start);
        html! {
            @if let Some(target) = within {
                a href={ "#A" (format!("{target:x}")) } {
                    (if target > insn.insn.address { "↓ " } else { "↑ " }) (format!("{target:x}"))
                }
            } @else if let Some((name, page)) = target.and_then(|target| self.program.page_at(target)) {
                a href=(page) { "→ " (name) }
            }
        }
    }

    /// Words of data; of much data the first ones.
    fn data(&self, data: DataPart, rows: &mut Vec<Row>) {
        let start = data.address.get();
        let max = (MAX_WORDS * WORD_BYTES) as u64;
        let shown = self.bytes(start, data.len_bytes.min(max));
        let more = data.len_bytes.saturating_sub(shown.len() as u64);
        for (number, word) in (0u64..).zip(shown.chunks(WORD_BYTES)) {
            let digits = word.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let address = start.saturating_add(number.saturating_mul(WORD_BYTES as u64));
            let body = html! { code.b { (digits) } code { "data" } };
            rows.push(self.row(address, None, State::NoCode, body, None));
        }
        if more > 0 {
            let address = start.saturating_add(shown.len() as u64);
            let body = html! { code.b {} code { (grouped(more)) " more bytes of data" } };
            rows.push(self.row(address, None, State::NoCode, body, None));
        }
    }
}

fn state(insn: &ObjectInstruction) -> State {
    let one_way = match insn.branch {
        Some(Outcome::Known(Ways { taken, fell_through })) => (taken == 0) != (fell_through == 0),
        Some(Outcome::OneWay { .. }) => true,
        _ => false,
    };
    match insn.count {
        0 => State::NotRun,
        _ if one_way => State::Partial,
        _ => State::Covered,
    }
}

/// Which ways a branch went.
fn ways(insn: &ObjectInstruction) -> Markup {
    let way = |word: &str, count: u64| {
        html! {
            span.miss[count == 0] title={ (word) " " (grouped(count)) "×" } {
                @if count == 0 { "✕ never " (word) } @else { (word) " " (short(count)) }
            }
        }
    };
    match insn.branch {
        _ if insn.count == 0 => html! {},
        _ if insn.insn.is_predicated => {
            html! { span title="what an instruction under a condition did is in no trace" { "if its condition held" } }
        }
        None => html! {},
        // Something came between each time.
        Some(Outcome::Unknown | Outcome::Known(Ways { taken: 0, fell_through: 0 })) => {
            html! { span title="nobody saw which way it went" { "way unknown" } }
        }
        Some(Outcome::Known(Ways { taken, fell_through })) => html! {
            (way("taken", taken))
            (way("fell through", fell_through))
        },
        Some(Outcome::OneWay { is_taken: true }) => html! {
            span.miss title="nobody looked, but what is behind it did not run" { "✕ never fell through" }
        },
        Some(Outcome::OneWay { is_taken: false }) => html! {
            span.miss title="nobody looked, but its target did not run" { "✕ never taken" }
        },
    }
}

/// The line that what follows is of, with its text.
fn heading(place: Option<Place<'_>>, around: &mut Around<'_, '_>) -> Markup {
    let Some(place) = place else { return html! { div.from { "of no line" } } };
    let text = around.sources.get(place.path).ok();
    html! {
        div.from {
            (source(place, around))
            @if let Some(text) = &text { code { (visible(text.line(place.line).trim_ascii())) } }
        }
    }
}

/// A line of a source, as a link if that has a page.
fn source(place: Place<'_>, around: &Around<'_, '_>) -> Markup {
    notes::place(place.path, Some(place.line), around.pages, &format!("../{FILES}/"))
}
