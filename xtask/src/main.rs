//! covtap's own chores: `cargo xtask VERB`.
//!
//! What enters is a verb; what leaves is an exit code: 0 done, 1 something was found wrong, 2 it could not be
//! found out, 130 interrupted.
//!
//! What always holds: whatever was started has ended when a verb ends, by Ctrl-C too.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod child;
mod committed;
mod provision;
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
        Verb::Provision(args) => provision::run(&args),
    });
    match outcome {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) if error.is::<child::Interrupted>() => {
            eprintln!("xtask: {error}");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
