//! The table of functions.

use maud::{Markup, html};

use super::super::Options;
use super::super::layout;
use super::super::metrics::tally_cell;
use super::super::number::{counted, grouped, short};
use super::{DIR, Function, MAX_PAGES, ObjectPages, Program, function_name};
use crate::coverage::object::ObjectTally;

pub(super) fn page(pages: &ObjectPages<'_>, options: &Options<'_>) -> Markup {
    let subject = layout::subject(options);
    let body = html! {
        header.top {
            nav aria-label="Directories" { a #up href="index.html" { (subject) } }
            h1 { "Object code of " (subject) }
            (layout::origin(options))
        }
        main {
            (figures(pages.tally(), pages.has_branches()))
            (layout::cautions(options))
            (doubts(pages))
            div.scroll { (functions(pages)) }
        }
        (layout::footer(options))
    };
    layout::page(&format!("Object code of {subject}"), "", "index", &body)
}

/// The figures of a function or of all; ways are left out if nobody looked.
pub(super) fn figures(tally: ObjectTally, has_branches: bool) -> Markup {
    let ways = has_branches.then_some(("Ways of branches", tally.ways));
    layout::tallies([("Instructions", tally.instructions)].into_iter().chain(ways))
}

fn doubts(pages: &ObjectPages<'_>) -> Markup {
    let without_page =
        pages.programs.iter().flat_map(|program| &program.functions).filter(|it| it.page.is_none()).count();
    let unknown = pages.tally().unknown;
    html! {
        @if !pages.has_branches() {
            p.warn { "⚠ Nobody looked which way branches went." }
        } @else if unknown > 0 {
            p.warn { "⚠ Of " (grouped(unknown)) " branches that ran it is not known which way they went; no figure has them." }
        }
        @if without_page > 0 {
            p.warn { "⚠ The first " (grouped(MAX_PAGES as u64)) " functions have pages, those that ran before the others." }
        }
    }
}

fn functions(pages: &ObjectPages<'_>) -> Markup {
    let has_branches = pages.has_branches();
    let total: usize = pages.programs.iter().map(|program| program.functions.len()).sum();
    let is_tree = pages.programs.len() > 1;
    // Addresses are too large for the numbers of a script: it sorts by their rank.
    let mut ranks = 0_u64..;
    html! {
        table.files data-noun="functions" {
            caption { (counted(total, "function", "functions")) }
            thead {
                tr {
                    th scope="col" aria-sort="none" { "Name" }
                    th scope="col" aria-sort="ascending" { "Address" }
                    th scope="col" aria-sort="none" { "Entered" }
                    th scope="col" aria-sort="none" { "Instructions" }
                    @if has_branches { th scope="col" aria-sort="none" { "Ways of branches" } }
                }
            }
            tbody {
                @for program in &pages.programs {
                    @let rank = ranks.next().unwrap_or_default();
                    @if is_tree {
                        tr.dir style="--d:0" {
                            th scope="row" { (program.label) "/" }
                            td.num data-n=(rank) {}
                            td.num {}
                            (tally_cell(program.tally.instructions))
                            @if has_branches { (tally_cell(program.tally.ways)) }
                        }
                    }
                    @for function in &program.functions {
                        @let rank = ranks.next().unwrap_or_default();
                        (row(program, function, rank, is_tree, has_branches))
                    }
                }
            }
            tfoot {
                tr {
                    th scope="row" { "All functions" }
                    td {}
                    td {}
                    (tally_cell(pages.tally().instructions))
                    @if has_branches { (tally_cell(pages.tally().ways)) }
                }
            }
        }
    }
}

fn row(
    program: &Program<'_>,
    function: &Function<'_>,
    rank: u64,
    is_within: bool,
    has_branches: bool,
) -> Markup {
    let Function { symbol, address, count, tally, page } = function;
    let name = function_name(symbol.as_bytes());
    html! {
        tr style=(if is_within { "--d:1" } else { "--d:0" }) {
            th scope="row" {
                @if let Some(page) = page { a href={ (DIR) "/" (page) } { (name) } } @else { (name) }
            }
            td.num.at data-n=(rank) { code { (program.address(address.get())) } }
            td.num.miss[*count == 0] data-n=(count) title=(grouped(*count)) {
                @if *count == 0 { "✕ " }
                (short(*count))
            }
            (tally_cell(tally.instructions))
            @if has_branches { (tally_cell(tally.ways)) }
        }
    }
}
