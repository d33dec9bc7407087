//! What is shown of how much ran: one row of a table for each metric.
//!
//! What always holds: a metric that the build does not carry is not shown at all, rather than as 0 or 100 %.

use maud::{Markup, html};

use super::number::{grouped, per_mille, percent};
use crate::coverage::{Coverage, Metric, Statistics, Tally};

/// A metric that is shown, and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// What is counted.
    pub(super) name: &'static str,
    /// Where the numbers are.
    pub(super) metric: Metric,
}

/// All of them, in the order of columns.
const COLUMNS: [Column; 7] = [
    Column { name: "Lines", metric: Metric::Lines },
    Column { name: "Functions", metric: Metric::Functions },
    Column { name: "Regions", metric: Metric::Regions },
    Column { name: "Branches", metric: Metric::Branches },
    Column { name: "MC/DC", metric: Metric::Mcdc },
    Column { name: "Conditions", metric: Metric::Conditions },
    Column { name: "Prime paths", metric: Metric::Paths },
];

/// Those that the build carries.
pub(super) fn shown(coverage: &Coverage) -> Vec<Column> {
    COLUMNS.into_iter().filter(|column| coverage.carries(column.metric)).collect()
}

/// A cell of a table: a bar, the share and the numbers.
pub(super) fn cell(column: Column, statistics: &Statistics) -> Markup {
    tally_cell(statistics.of(column.metric))
}

/// The same of any share.
pub(super) fn tally_cell(Tally { covered, total }: Tally) -> Markup {
    if total == 0 {
        return html! { td.m.none { "–" } };
    }
    html! {
        td.m.(grade(covered, total)) style=(bar(covered, total)) {
            b { (percent(covered, total)) } " "
            span { (grouped(covered)) "/" (grouped(total)) }
        }
    }
}

/// The class of a share: `all`, `some` or `no`.
pub(super) fn grade(covered: u64, total: u64) -> &'static str {
    match covered {
        covered if covered >= total => "all",
        0 => "no",
        _ => "some",
    }
}

/// The length of a bar.
pub(super) fn bar(covered: u64, total: u64) -> String {
    let tenths = per_mille(covered, total).unwrap_or(0);
    format!("--p:{}.{}%", tenths / 10, tenths % 10)
}
