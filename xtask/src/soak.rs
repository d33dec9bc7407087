//! `cargo xtask soak`: what a user may do to covtap, very often.

mod gcov;
mod kill;
mod torn;

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

use crate::Outcome;
use crate::provision::{self, Need};

/// Arguments of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End covtap by SIGKILL at random moments of a recording, in each way to keep a file; no profile may break or lack
    /// more than the snapshot at work, nothing be added twice, no tapped guest stand still
    Kill(kill::Args),
    /// Read a guest that counts without a rest; no count may be negative, here or in gcov
    Gcov(gcov::Args),
    /// Read a guest whose counters carry into their upper half all the time; no value may be torn
    Torn(torn::Args),
}

/// A guest that does not come up within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Args) -> Result<Outcome> {
    provision::ensure(Need::Soak)?;
    match &args.what {
        What::Kill(args) => kill::run(args),
        What::Gcov(args) => gcov::run(args),
        What::Torn(args) => torn::run(args),
    }
}
