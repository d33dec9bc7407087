//! Functions of a file: a list, and the instantiations of one piece of source.

use maud::{Markup, html};

use super::function_name;
use super::number::{counted, grouped, percent, short};
use super::object::{self, ObjectPages};
use crate::coverage::{FileCoverage, FileFunction, LineRun, Tally};

/// As many instantiations of one function are shown.
const MAX_INSTANTIATIONS: usize = 200;
/// As many stretches of lines that did not run are named of one instantiation.
const MAX_STRETCHES: usize = 12;
/// As many pages of object code are named of one function.
const MAX_LINKS: usize = 12;

/// The list of a file's functions, with links to their object code.
pub(super) fn list(file: &FileCoverage<'_>, object: &ObjectPages<'_>) -> Markup {
    let mut functions: Vec<FileFunction<'_>> = file.functions().collect();
    functions.sort_by_key(|function| function.start_line());
    let not_run = functions.iter().filter(|function| function.count == 0).count();
    let code: Vec<_> =
        functions.iter().map(|function| object.of_source(file.name(), function.name)).collect();
    let has_code = code.iter().any(|links| !links.is_empty());
    html! {
        @if !functions.is_empty() {
            details.functions {
                summary {
                    (counted(functions.len(), "function", "functions"))
                    @if not_run > 0 { ", " span.miss { "✕ " (not_run) " not entered" } }
                }
                table {
                    thead {
                        tr {
                            th.num scope="col" { "Line" }
                            th.num scope="col" { "Entered" }
                            th.num scope="col" { "Lines" }
                            th scope="col" { "Name" }
                            @if has_code { th scope="col" { "Object code" } }
                        }
                    }
                    tbody {
                        @for (function, links) in functions.iter().zip(&code) {
                            (row(*function, true, has_code.then_some(links)))
                        }
                    }
                }
            }
        }
    }
}

/// The instantiations of what begins at one place, those that did not run first.
pub(super) fn instantiations(group: &[FileFunction<'_>]) -> Markup {
    let mut group: Vec<(bool, String, FileFunction<'_>)> =
        group.iter().map(|function| (function.count > 0, function_name(function.name), *function)).collect();
    group.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let more = group.len().saturating_sub(MAX_INSTANTIATIONS);
    html! {
        table.instantiations {
            caption { (counted(group.len(), "instantiation", "instantiations")) }
            thead {
                tr {
                    th.num scope="col" { "Entered" }
                    th.num scope="col" { "Lines" }
                    th scope="col" { "Name" }
                    th scope="col" { "Lines not run" }
                }
            }
            tbody { @for (_, _, function) in group.iter().take(MAX_INSTANTIATIONS) { (row(*function, false, None)) } }
        }
        @if more > 0 { p { "and " (more) " more" } }
    }
}

fn row(function: FileFunction<'_>, is_list: bool, code: Option<&Vec<(String, &str)>>) -> Markup {
    let runs = function.lines();
    let Tally { covered, total } = runs.iter().map(LineRun::tally).sum();
    let line = function.start_line();
    html! {
        tr.miss[function.count == 0] {
            @if is_list { td.num { a href={ "#L" (line) } { (line) } } }
            td.num title=(grouped(function.count)) { @if function.count == 0 { "✕ " } (short(function.count)) }
            td.num title={ (grouped(covered)) " of " (grouped(total)) } { (percent(covered, total)) }
            td.name { (function_name(function.name)) }
            @if !is_list { td { (not_run(&runs)) } }
            @if let Some(links) = code { td { (object_code(links)) } }
        }
    }
}

/// Pages of object code, as links.
fn object_code(links: &[(String, &str)]) -> Markup {
    html! {
        @for (index, (label, page)) in links.iter().take(MAX_LINKS).enumerate() {
            @if index > 0 { ", " }
            a href={ "../" (object::DIR) "/" (page) } { (label) }
        }
        @if links.len() > MAX_LINKS { ", …" }
    }
}

/// The lines that did not run, as links.
fn not_run(runs: &[LineRun]) -> Markup {
    let mut stretches: Vec<(u32, u32)> = Vec::new();
    for run in runs.iter().filter(|run| run.count == 0) {
        match stretches.last_mut() {
            Some((_, end)) if end.saturating_add(1) == *run.lines.start() => *end = *run.lines.end(),
            _ => stretches.push((*run.lines.start(), *run.lines.end())),
        }
    }
    html! {
        @for (index, (start, end)) in stretches.iter().take(MAX_STRETCHES).enumerate() {
            @if index > 0 { ", " }
            a href={ "#L" (start) } { (start) @if end > start { "–" (end) } }
        }
        @if stretches.len() > MAX_STRETCHES { ", …" }
    }
}
