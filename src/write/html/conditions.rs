//! Decisions that gcov counted: which outcomes of their conditions were seen to decide.
//!
//! gcov knows the line of a decision, and numbers its conditions from 0; where they are in the text it does not know.

use maud::{Markup, html};

use super::number::counted;
use crate::coverage::Tally;
use crate::coverage::gcov::ConditionCount;

/// As many decisions of a line are shown.
const MAX_DECISIONS: usize = 20;

/// How many outcomes were not seen.
pub(super) fn missed(decisions: &[ConditionCount]) -> u64 {
    let Tally { covered, total } = decisions.iter().map(ConditionCount::tally).sum();
    total.saturating_sub(covered)
}

/// What a line says of its decisions while they are folded.
pub(super) fn badge(decisions: &[ConditionCount]) -> Markup {
    let Tally { covered, total } = decisions.iter().map(ConditionCount::tally).sum();
    let missed = total.saturating_sub(covered);
    html! {
        @if !decisions.is_empty() {
            span.miss[missed > 0] title="outcomes of conditions that were seen to decide by themselves" {
                @if missed > 0 { "✕ " }
                (covered) "/" (total) " conditions"
            }
        }
    }
}

/// The decisions of a line, in gcov's order.
pub(super) fn list(decisions: &[ConditionCount]) -> Markup {
    html! {
        @for decision in decisions.iter().take(MAX_DECISIONS) { (one(decision)) }
        @if decisions.len() > MAX_DECISIONS {
            p { "and " (counted(decisions.len().saturating_sub(MAX_DECISIONS), "decision", "decisions")) " more" }
        }
    }
}

fn one(decision: &ConditionCount) -> Markup {
    html! {
        table.conditions {
            caption { "Decision, " (decision.covered()) " of " (decision.count()) " outcomes of conditions seen" }
            thead {
                tr {
                    th.num scope="col" { "Condition" }
                    th scope="col" { "True" }
                    th scope="col" { "False" }
                }
            }
            tbody {
                @for (number, outcomes) in decision.outcomes() {
                    tr {
                        td.num { (number) }
                        @for is_seen in outcomes { td.miss[!is_seen] { (if is_seen { "decided" } else { "✕ not shown" }) } }
                    }
                }
            }
        }
    }
}
