//! Coverage as text for people, on stdout: `--text`, `--functions`, `--show`, `--show-missing-lines`.

use std::io::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::coverage::Coverage;
use crate::write::annotate::{self, Branches};
use crate::write::{missing, sources, summary};

/// Text for people.
#[derive(Debug, Default, Args)]
pub(super) struct TextArgs {
    /// Print a table of files [default of `report`]
    #[arg(long)]
    text: bool,
    /// Print a table of functions for each file
    #[arg(long)]
    functions: bool,
    /// Print the source with its counts; WHAT, a list with commas, shows more of it
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, value_delimiter = ',',
          default_missing_value = "counts")]
    show: Option<Vec<Show>>,
    /// Print the lines that did not run, file by file
    #[arg(long)]
    show_missing_lines: bool,
}

/// What can be shown with the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Show {
    /// How often lines ran; always shown
    Counts,
    /// Counts within a line
    Regions,
    /// The outcomes of branches
    Branches,
    /// The conditions of decisions, as LLVM or gcov counts them
    #[value(alias = "conditions")]
    Mcdc,
    /// The text of macros where they are used
    Expansions,
}

impl TextArgs {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.text || self.functions || self.show.is_some() || self.show_missing_lines
    }

    /// Asks for the table of files.
    pub(super) fn ask_for_summary(&mut self) {
        self.text = true;
    }

    /// Writes what was asked for to `out`, and gives what could not be shown, a line each.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub(super) fn print(
        &self,
        coverage: &Coverage,
        is_coloured: bool,
        mut out: &mut dyn Write,
    ) -> Result<Vec<String>> {
        let options = summary::Options { is_coloured, ..summary::Options::default() };
        if self.text {
            summary::write(coverage, &options, &mut out)?;
        }
        if self.functions {
            summary::write_functions(coverage, &options, &mut out)?;
        }
        let mut omitted = Vec::new();
        if let Some(shown) = &self.show {
            omitted = annotate::write(coverage, &annotated(shown, is_coloured), &sources::read, &mut out)?;
        }
        if self.show_missing_lines {
            missing::write(coverage, &mut out)?;
        }
        Ok(omitted.iter().map(ToString::to_string).collect())
    }
}

fn annotated(shown: &[Show], is_coloured: bool) -> annotate::Options {
    let shows = |what| shown.contains(&what);
    annotate::Options {
        regions: shows(Show::Regions),
        branches: shows(Show::Branches).then_some(Branches::Counts),
        mcdc: shows(Show::Mcdc),
        expansions: shows(Show::Expansions),
        is_demangled: true,
        is_coloured,
        ..annotate::Options::default()
    }
}
