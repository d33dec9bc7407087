//! covtap's own chores: `cargo xtask VERB`.
//!
//! What enters is a verb; what leaves is an exit code: 0 done, 1 something was found wrong, 2 it could not be
//! found out, 130 interrupted.
//!
//! What always holds: whatever was started has ended when a verb ends, by Ctrl-C too.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use provision::Need;

mod bench;
mod child;
mod committed;
mod conformance;
mod covtap;
mod demo;
mod e2e;
mod figures;
mod fixtures;
mod provision;
mod soak;
mod test;

/// covtap's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what is missing, then run every check there is.
    Test(test::Args),
    /// Record the coverage of a guest in QEMU that is never stopped
    Demo,
    /// Measure, beside what else there is
    Bench(bench::Args),
    /// Abuse, very often
    Soak(soak::Args),
    /// Tap a whole system that is built here
    E2e(e2e::Args),
    /// Compare covtap's reports with those of the tools that it stands in for
    Conformance(conformance::Args),
    /// Build the example guests and make the files under tests/fixtures from them
    Fixtures(fixtures::Args),
    /// Install what one verb needs, and nothing else.
    Provision(provision::Args),
}

/// How a verb ended that did end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// All is well.
    Passed,
    /// Something was found wrong, and said.
    Failed,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = child::listen().and_then(|()| match cli.verb {
        Verb::Test(args) => test::run(&args),
        Verb::Demo => demo::run(),
        Verb::Bench(args) => bench::run(&args),
        Verb::Soak(args) => soak::run(&args),
        Verb::E2e(args) => e2e::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::Fixtures(args) => provision::ensure(Need::Fixtures).and_then(|()| fixtures::run(&args)),
        Verb::Provision(args) => provision::run(&args),
    });
    match outcome {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        // Ctrl-C reaches guests as well: whatever went wrong after it did so for its sake.
        Err(_) if child::go_on().is_err() => {
            eprintln!("xtask: interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
