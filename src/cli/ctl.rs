//! `covtap ctl`: asks a session that goes on.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::control::{self, Verb};

/// Drive a session that was started with --control.
///
/// Prints the session's answer, a line of JSON. Ends with 2 if the session refuses.
#[derive(Debug, Args)]
pub(super) struct CtlArgs {
    /// The session's --control socket
    #[arg(value_name = "SOCKET")]
    socket: PathBuf,
    #[command(subcommand)]
    verb: CtlVerb,
}

#[derive(Debug, Subcommand)]
enum CtlVerb {
    /// How the session goes
    Status,
    /// Take a snapshot now; the answer comes when it is written
    Snapshot {
        /// Count anew from this snapshot on, in one step with it
        #[arg(long)]
        reset: bool,
    },
    /// Count anew from now on; the target is left alone
    Reset,
    /// A test begins: what is counted from now on is its own
    Begin {
        /// Its name
        #[arg(value_name = "TEST")]
        test: String,
    },
    /// The test that runs ends; the answer comes when its files are written
    End {
        /// Its name, to make sure that it is this one that ends
        #[arg(value_name = "TEST")]
        test: Option<String>,
    },
    /// End the session after a last snapshot
    Stop,
}

/// Asks, and prints the answer.
///
/// # Errors
///
/// Nobody listens, or the session refuses.
pub(super) fn run(args: &CtlArgs) -> Result<()> {
    let (verb, reset, test) = match &args.verb {
        CtlVerb::Status => (Verb::Status, false, None),
        CtlVerb::Snapshot { reset } => (Verb::Snapshot, *reset, None),
        CtlVerb::Reset => (Verb::Reset, false, None),
        CtlVerb::Begin { test } => (Verb::Begin, false, Some(test.as_str())),
        CtlVerb::End { test } => (Verb::End, false, test.as_deref()),
        CtlVerb::Stop => (Verb::Stop, false, None),
    };
    let reply = control::call(&args.socket, verb, reset, test)?;
    let line = serde_json::to_string(&reply).context("write the answer")?;
    match writeln!(std::io::stdout(), "{line}") {
        // Whoever has seen enough need not see more.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("write to stdout"),
        _ => Ok(()),
    }
}
