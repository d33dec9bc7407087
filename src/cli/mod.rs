//! The command line: one file per verb, raw arguments made into checked ones once, errors made into one line
//! and a next step.
//!
//! What always holds: data goes to stdout or into files; status, errors and hints go to stderr; the exit code
//! is 0 for done, 1 for done and below a threshold, and 2 for an error; `run` has its guest's besides.

mod attach;
mod by_test;
mod ctl;
mod formats;
mod gcda;
mod gcov_units;
mod hints;
mod import;
mod inputs;
mod inspect;
mod interrupt;
mod live_notes;
mod merge;
mod notes;
mod output;
mod pattern;
#[cfg(feature = "probe")]
mod probe;
mod profiles;
mod programs;
mod record;
mod report;
mod run;
mod session;
mod snapshot;
mod split;
mod status;
mod tap;
mod target;
mod terminal;
mod test_dir;
mod trace;
mod traces;
mod units;
mod up_to_date;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code of coverage below a threshold.
const EXIT_BELOW_THRESHOLD: u8 = 1;

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
    Run(run::RunArgs),
    Snapshot(snapshot::SnapshotArgs),
    Trace(trace::TraceArgs),
    Report(report::ReportArgs),
    Inspect(inspect::InspectArgs),
    Merge(merge::MergeArgs),
    Import(import::ImportArgs),
    Ctl(ctl::CtlArgs),
    #[cfg(feature = "probe")]
    Probes(probe::ProbesArgs),
}

/// How a verb ended that did what it was asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// All is well.
    Passed,
    /// Less is covered than was asked for.
    BelowThreshold,
    /// A program that covtap ran ended with this code, and covtap does.
    Exit(u8),
}

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(feature = "probe")]
    probe::keep_panics();
    let done = match Arguments::parse().verb {
        Verb::Record(args) => record::run(args),
        Verb::Run(args) => run::run(&args),
        Verb::Snapshot(args) => snapshot::run(args),
        Verb::Trace(args) => trace::run(args),
        Verb::Report(args) => report::run(args),
        Verb::Inspect(args) => inspect::run(&args).map(|()| Verdict::Passed),
        Verb::Ctl(args) => ctl::run(&args).map(|()| Verdict::Passed),
        Verb::Import(args) => import::run(&args).map(|()| Verdict::Passed),
        Verb::Merge(args) => merge::run(&args).map(|()| Verdict::Passed),
        #[cfg(feature = "probe")]
        Verb::Probes(args) => {
            probe::run(&args);
            Ok(Verdict::Passed)
        }
    };
    match done {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::BelowThreshold) => ExitCode::from(EXIT_BELOW_THRESHOLD),
        Ok(Verdict::Exit(code)) => ExitCode::from(code),
        Err(error) => {
            complain(&error);
            ExitCode::from(EXIT_ERROR)
        }
    }
}

/// One line that says what was tried, where, and what came back; a second one if there is a next step.
fn complain(error: &anyhow::Error) {
    terminal::say(&format!("error: {}", causes(error)));
    if let Some(hint) = hints::for_error(error) {
        terminal::say(&format!("hint: {hint}"));
    }
}

/// An error and its causes. Errors of libraries may have their cause in their own words: it is not said again.
fn causes(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&format!(": {cause}")) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let refused = || std::io::Error::other("refused");
        let connect = covtap_link::LinkError::Connect { endpoint: "here".to_owned(), source: refused() };
        assert_eq!(causes(&connect.into()), "connect to here: refused");
        let read = anyhow::Error::new(refused()).context("read a");
        assert_eq!(causes(&read.context("report")), "report: read a: refused");
    }
}
