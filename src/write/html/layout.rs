//! What all pages share: head, header, figures and footer.

use maud::{DOCTYPE, Markup, html};

use super::metrics::{self, Column};
use super::number::{grouped, percent};
use super::text::visible;
use super::{GENERATOR, Options};
use crate::coverage::{Statistics, Tally};

/// Nothing is loaded but the site's own two files, whatever stands in a source.
const POLICY: &str = "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// A page: `up` leads from it to the index's directory, `kind` is for the script to know what it is on.
pub(super) fn page(title: &str, up: &str, kind: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(GENERATOR);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                link rel="stylesheet" href={ (up) "style.css" };
                script src={ (up) "script.js" } {}
            }
            body data-page=(kind) { (body) }
        }
    }
}

/// What the site is of, in a word or two.
pub(super) fn subject(options: &Options<'_>) -> String {
    let name = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        visible(name.as_encoded_bytes()).into_owned()
    };
    match options.images {
        [] => "coverage".to_owned(),
        [one] => name(one),
        [first, rest @ ..] => format!("{} and {} more", name(first), rest.len()),
    }
}

/// What it was made of, when, and by what.
pub(super) fn origin(options: &Options<'_>) -> Markup {
    let paths = |paths: &[std::path::PathBuf]| {
        let names = paths.iter().map(|path| visible(path.as_os_str().as_encoded_bytes()).into_owned());
        names.collect::<Vec<_>>().join(", ")
    };
    html! {
        dl.origin {
            @for (name, files) in [("ELF", options.images), ("profile", options.profiles)] {
                @if !files.is_empty() {
                    div { dt { (name) } dd { (paths(files)) } }
                }
            }
            div { dt { "made" } dd { (made_at(options)) " by covtap " (env!("CARGO_PKG_VERSION")) } }
        }
    }
}

fn made_at(options: &Options<'_>) -> Markup {
    let at = options.made_at;
    html! {
        time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) }
    }
}

/// Below each page, for those who come to it by a link.
pub(super) fn footer(options: &Options<'_>) -> Markup {
    html! {
        footer { (subject(options)) ", " (made_at(options)) ", covtap " (env!("CARGO_PKG_VERSION")) }
    }
}

/// What is to be known of the counts.
pub(super) fn cautions(options: &Options<'_>) -> Markup {
    html! {
        @for caution in options.cautions { p.caution { (visible(caution.as_bytes())) } }
    }
}

/// The figures of a file or of all.
pub(super) fn figures(shown: &[Column], statistics: &Statistics) -> Markup {
    tallies(shown.iter().map(|column| (column.name, statistics.of(column.metric))))
}

/// Figures, each with its name.
pub(super) fn tallies<'n>(named: impl IntoIterator<Item = (&'n str, Tally)>) -> Markup {
    html! {
        dl.figures {
            @for (name, Tally { covered, total }) in named {
                div.(metrics::grade(covered, total)) style=(metrics::bar(covered, total)) {
                    dt { (name) }
                    dd { b { (percent(covered, total)) } " " span { (grouped(covered)) " of " (grouped(total)) } }
                }
            }
        }
    }
}
