//! The index: all files as a tree, with totals.

use maud::{Markup, html};

use super::layout;
use super::metrics::{self, Column};
use super::number::{counted, grouped, percent};
use super::object::{self, ObjectPages};
use super::text::visible;
use super::tree::{Node, Row, Tree};
use super::{Options, Page, function_name};
use crate::coverage::object::ObjectTally;
use crate::coverage::{Coverage, Statistics, Tally, Uncounted};

/// As many of the things that were left out are named.
const MAX_NAMED: usize = 200;

/// The index page; `pages` are in the order of the tree.
pub(super) fn page(
    coverage: &Coverage,
    tree: &Tree,
    pages: &[Page],
    shown: &[Column],
    object: &ObjectPages<'_>,
    options: &Options<'_>,
) -> Markup {
    let totals = sum(pages);
    let subject = layout::subject(options);
    let body = html! {
        header.top {
            h1 { "Coverage of " (subject) }
            (layout::origin(options))
        }
        main {
            (layout::figures(shown, &totals))
            (layout::cautions(options))
            (object_code(object))
            (left_out(coverage))
            div.scroll { (files(tree, pages, shown, &totals)) }
        }
        (layout::footer(options))
    };
    layout::page(&format!("Coverage of {subject}"), "", "index", &body)
}

/// Where the object code is, and how much of it was executed.
fn object_code(object: &ObjectPages<'_>) -> Markup {
    let ObjectTally { instructions, ways, .. } = object.tally();
    let share = |Tally { covered, total }: Tally| {
        format!("{} ({} of {})", percent(covered, total), grouped(covered), grouped(total))
    };
    html! {
        @if !object.is_empty() {
            p.object {
                a href=(object::TABLE) { "Object code" } ": " (share(instructions)) " of its instructions"
                @if object.has_branches() { ", " (share(ways)) " of the ways of branches" }
            }
        }
    }
}

fn sum(pages: &[Page]) -> Statistics {
    pages.iter().fold(Statistics::default(), |mut sum, page| {
        sum += page.statistics;
        sum
    })
}

fn files(tree: &Tree, pages: &[Page], shown: &[Column], totals: &Statistics) -> Markup {
    html! {
        table.files {
            caption {
                (counted(pages.len(), "file", "files"))
                @if !tree.root.is_empty() { " in " code { (visible(&tree.root)) } }
            }
            thead {
                tr {
                    th scope="col" aria-sort="ascending" { "Name" }
                    @for column in shown { th scope="col" aria-sort="none" { (column.name) } }
                }
            }
            tbody {
                @for (number, row) in tree.rows.iter().enumerate() { (line(number, row, pages, shown)) }
            }
            tfoot {
                tr {
                    th scope="row" { "All files" }
                    @for column in shown { (metrics::cell(*column, totals)) }
                }
            }
        }
    }
}

fn line(number: usize, row: &Row, pages: &[Page], shown: &[Column]) -> Markup {
    // So that a deep tree does not push its names out of sight.
    let indent = format!("--d:{}", row.depth);
    match &row.node {
        Node::Dir(files) => {
            let totals = sum(pages.get(files.clone()).unwrap_or_default());
            html! {
                tr.dir #{ "d" (number) } style=(indent) {
                    th scope="row" { (visible(&row.name)) }
                    @for column in shown { (metrics::cell(*column, &totals)) }
                }
            }
        }
        Node::File(index) => html! {
            @if let Some(page) = pages.get(*index) {
                tr style=(indent) {
                    th scope="row" { a href={ "files/" (page.file_name) } { (visible(&row.name)) } }
                    @for column in shown { (metrics::cell(*column, &page.statistics)) }
                }
            }
        },
    }
}

/// What the figures do not speak of.
fn left_out(coverage: &Coverage) -> Markup {
    let mismatches = coverage.mismatches().iter().map(|mismatch| {
        format!("{}: the profile's counts are those of another build", function_name(&mismatch.name))
    });
    let uncounted = coverage.uncounted().iter().map(|Uncounted { name, detail, is_only_mcdc }| {
        let what = if *is_only_mcdc { "MC/DC only: " } else { "" };
        format!("{}: {what}{detail}", function_name(name))
    });
    let problems = coverage.problems().iter().map(ToString::to_string);
    let doubts = coverage.doubts().iter().map(|doubt| doubt.line(function_name));
    let mut all = mismatches.chain(uncounted).chain(problems).chain(doubts);
    let named: Vec<String> = all.by_ref().take(MAX_NAMED).collect();
    let more = all.count();
    let what = if coverage.doubts().is_empty() { "Left out of all figures" } else { "Left out, or doubtful" };
    html! {
        @if !named.is_empty() {
            details.warn {
                summary {
                    "⚠ " (what) ": "
                    (counted(named.len().saturating_add(more), "item", "items"))
                }
                ul {
                    @for text in &named { li { (visible(text.as_bytes())) } }
                    @if more > 0 { li { "and " (more) " more" } }
                }
            }
        }
    }
}
