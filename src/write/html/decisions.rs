//! MC/DC of decisions: their conditions, and what was executed of them.

use maud::{Markup, html};

use super::number::counted;
use super::paint;
use super::text::visible;
use crate::coverage::{McdcCondition, McdcRecord};

/// As many decisions are shown at one place; a template has one for each instantiation.
const MAX_DECISIONS: usize = 20;
/// As many test vectors are shown of a decision.
const MAX_VECTORS: usize = 24;

/// How many conditions were not shown to decide, of how many. Of the instantiations of one decision, which stand
/// beside each other, the best counts.
pub(super) fn missed(decisions: &[&McdcRecord]) -> [usize; 2] {
    let same_place = decisions.chunk_by(|a, b| (a.start, a.end) == (b.start, b.end));
    same_place.fold([0, 0], |[missed, total], decisions| {
        let best = decisions.iter().map(|decision| of_decision(decision)).min().unwrap_or_default();
        [missed.saturating_add(best[0]), total.saturating_add(best[1])]
    })
}

fn of_decision(decision: &McdcRecord) -> [usize; 2] {
    let counted = || decision.conditions.iter().filter(|condition| !condition.is_folded);
    [counted().filter(|condition| condition.pair.is_none()).count(), counted().count()]
}

/// What a line says of its decisions while they are folded.
pub(super) fn badge(missed: usize, total: usize) -> Markup {
    html! {
        @if total > 0 {
            span.miss[missed > 0] title="conditions that were shown to decide by themselves" {
                @if missed > 0 { "✕ " }
                "MC/DC " (total.saturating_sub(missed)) "/" (total)
            }
        }
    }
}

/// The decisions, whose text is in the lines that `text` gives.
pub(super) fn list<'t>(decisions: &[&McdcRecord], text: impl Fn(u32) -> &'t [u8]) -> Markup {
    html! {
        @for decision in decisions.iter().take(MAX_DECISIONS) { (one(decision, &text)) }
        @if decisions.len() > MAX_DECISIONS {
            p { "and " (counted(decisions.len().saturating_sub(MAX_DECISIONS), "decision", "decisions")) " more" }
        }
    }
}

fn one<'t>(decision: &McdcRecord, text: &impl Fn(u32) -> &'t [u8]) -> Markup {
    let excerpt = |start, end, line| visible(paint::excerpt(text(line), start, end));
    let vectors = decision.vectors.get(..MAX_VECTORS).unwrap_or(&decision.vectors);
    let more = decision.vectors.len().saturating_sub(vectors.len());
    html! {
        table.decision {
            caption {
                "Decision " code { (excerpt(decision.start, decision.end, decision.start.line)) } ", "
                (counted(decision.vectors.len(), "test vector", "test vectors")) " executed"
                @if more > 0 { ", of which " (vectors.len()) " are shown" }
            }
            thead {
                tr {
                    th.num scope="col" { "Line:column" }
                    th scope="col" { "Condition" }
                    th scope="col" { "Decides" }
                    @for number in 1..=vectors.len() { th scope="col" { (number) } }
                }
            }
            tbody {
                @for (index, condition) in decision.conditions.iter().enumerate() {
                    tr {
                        td.num { (condition.start.line) ":" (condition.start.col) }
                        td {
                            @if condition.file == decision.file {
                                code { (excerpt(condition.start, condition.end, condition.start.line)) }
                            } @else {
                                "in a macro"
                            }
                        }
                        (decides(condition))
                        @for vector in vectors { td { (value(vector.values.get(index).copied().flatten())) } }
                    }
                }
                tr {
                    td {}
                    th scope="row" { "Result" }
                    td {}
                    @for vector in vectors { td { b { (value(Some(vector.result))) } } }
                }
            }
        }
    }
}

/// The test vectors that show it, numbered from 1.
fn decides(condition: &McdcCondition) -> Markup {
    html! {
        @match condition {
            McdcCondition { is_folded: true, .. } => td { "known to the compiler" },
            McdcCondition { pair: None, .. } => td.miss { "✕ not shown" },
            McdcCondition { pair: Some((a, b)), .. } => {
                td { "shown by " (a.saturating_add(1)) " and " (b.saturating_add(1)) }
            },
        }
    }
}

fn value(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "T",
        Some(false) => "F",
        None => "–",
    }
}
