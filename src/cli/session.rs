//! What counts in a session that lasts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::programs::Programs;
use super::status::Status;
use super::test_dir::TestDir;
use crate::collect::{CallError, LabelOn, LabelSpec, Reader, ResetOn, Wanted};
use crate::control::Server;

/// Options of verbs whose session lasts.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Session")]
pub(super) struct SessionArgs {
    /// Count from when covtap attaches: what was counted before is left out
    #[arg(long)]
    baseline: bool,
    /// Stop the target before each reset and before its end for as long as a last snapshot takes, so that no count is
    /// missed; with --qemu. With --gdb, FUNCTION is the one that the target calls to reset itself: it is stopped at each
    /// call, and what the function itself counts is not in the snapshot
    #[arg(long, value_name = "FUNCTION", num_args = 0..=1, require_equals = true)]
    snapshot_on_reset: Option<Option<String>>,
    /// Listen on this Unix socket for covtap ctl, and whatever else speaks its protocol
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Write a profile of each test that covtap ctl begins and ends, and an index of them, for covtap report --by-test
    #[arg(long, value_name = "DIR")]
    test_dir: Option<PathBuf>,
    /// Let the target name the tests of --test-dir: each call of SYMBOL ends the test that runs, and begins the one that
    /// its argument N names (1 if left out): a string, or with an i behind N an int. A null pointer or an empty string
    /// begins none. The target stands still at each call for a snapshot; with --gdb
    #[arg(long, value_name = "SYMBOL[:N[i]]")]
    label_on: Option<LabelSpec>,
}

/// The functions at whose calls the target stops.
#[derive(Default)]
pub(super) struct CallsArg {
    label: Option<LabelOn>,
    reset: Option<ResetOn>,
}

impl SessionArgs {
    /// Listens for requests, if the user wants it.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub(super) fn listen(&self) -> Result<Option<Server>> {
        Ok(self.control.as_deref().map(Server::listen).transpose()?)
    }

    /// Finds the functions whose calls are to be met, if the user wants any.
    ///
    /// # Errors
    ///
    /// Nobody keeps the tests, or there is no such function.
    pub(super) fn calls(&self, programs: &Programs) -> Result<CallsArg> {
        let images = || programs.iter().map(|program| (&program.image, program.slide));
        let mut calls = CallsArg::default();
        if let Some(spec) = &self.label_on {
            if self.test_dir.is_none() {
                return Err(CallError::NoTests { wanted: Wanted::tests(&spec.symbol) }.into());
            }
            calls.label = Some(LabelOn::find(spec, images())?);
        }
        if let Some(Some(function)) = &self.snapshot_on_reset {
            calls.reset = Some(ResetOn::find(function, images())?);
        }
        Ok(calls)
    }

    /// Makes room for the profiles of tests, if the user wants them.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn test_dir(&self) -> Result<Option<TestDir>> {
        self.test_dir.as_deref().map(TestDir::prepare).transpose()
    }

    /// Has the reader do what was asked for.
    ///
    /// # Errors
    ///
    /// The link cannot do it.
    pub(super) fn apply(
        &self,
        mut reader: Reader,
        CallsArg { label, reset }: CallsArg,
        status: &Status,
    ) -> Result<Reader> {
        if let Some(None) = self.snapshot_on_reset {
            reader.hold_before_loss()?;
        }
        let label_note = label.as_ref().map(|on| (on.symbol().to_owned(), on.entry()));
        let reset_note = reset.as_ref().map(|on| (on.symbol().to_owned(), on.entry()));
        if !reader.stop_at_calls(label, reset)? {
            status.note("the target is halted: calls may not be met, unless it runs before covtap attaches");
        }
        for (symbol, at) in label_note.into_iter().chain(reset_note) {
            status.note(&format!("each call of {symbol}, at {at}, pauses the target for a snapshot"));
        }
        Ok(if self.baseline { reader.with_baseline() } else { reader })
    }
}
