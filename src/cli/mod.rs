//! The command line: one file per verb, raw arguments made into checked ones once, errors made into one line
//! and a next step.
//!
//! What always holds: data goes to stdout or into files; status, errors and hints go to stderr; the exit code
//! is 0 for done and 2 for an error.

mod hints;
mod inspect;
mod interrupt;
mod lcov;
mod merge;
mod output;
mod pattern;
mod record;
mod snapshot;
mod status;
mod tap;
mod target;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code of an error. (Clap's own errors have it too.)
const EXIT_ERROR: u8 = 2;

/// Taps code coverage from targets that keep running.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Record(record::RecordArgs),
    Snapshot(snapshot::SnapshotArgs),
    Inspect(inspect::InspectArgs),
    Merge(merge::MergeArgs),
}

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Record(args) => record::run(&args),
        Verb::Snapshot(args) => snapshot::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Merge(args) => merge::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(EXIT_ERROR)
        }
    }
}

/// One line that says what was tried, where, and what came back; a second one if there is a next step.
fn report(error: &anyhow::Error) {
    eprintln!("covtap: error: {error:#}");
    if let Some(hint) = hints::for_error(error) {
        eprintln!("covtap: hint: {hint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
