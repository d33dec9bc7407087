//! What counts in a session that lasts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::programs::Programs;
use super::status::Status;
use super::test_dir::TestDir;
use crate::collect::{LabelOn, LabelOnError, LabelSpec, Reader};
use crate::control::Server;

/// Options of verbs whose session lasts.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Session")]
pub(super) struct SessionArgs {
    /// Count from when covtap attaches: what was counted before is left out
    #[arg(long)]
    baseline: bool,
    /// Stop the target before each reset and before its end for as long as a last snapshot takes, so that no count is
    /// missed; with --qemu
    #[arg(long)]
    snapshot_on_reset: bool,
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

impl SessionArgs {
    /// Listens for requests, if the user wants it.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub(super) fn listen(&self) -> Result<Option<Server>> {
        Ok(self.control.as_deref().map(Server::listen).transpose()?)
    }

    /// Finds the function whose calls name tests, if the user wants one.
    ///
    /// # Errors
    ///
    /// Nobody keeps the tests, or there is no such function.
    pub(super) fn label_on(&self, programs: &Programs) -> Result<Option<LabelOn>> {
        let Some(spec) = &self.label_on else { return Ok(None) };
        if self.test_dir.is_none() {
            return Err(LabelOnError::NoTests { symbol: spec.symbol.clone() }.into());
        }
        let images = programs.iter().map(|program| (&program.image, program.slide));
        Ok(Some(LabelOn::find(spec, images)?))
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
        label_on: Option<LabelOn>,
        status: &Status,
    ) -> Result<Reader> {
        if self.snapshot_on_reset {
            reader.hold_before_loss()?;
        }
        if let Some(label_on) = label_on {
            let (symbol, at) = (label_on.symbol().to_owned(), label_on.entry());
            reader.label_on(label_on)?;
            status.note(&format!("each call of {symbol}, at {at}, pauses the target for a snapshot"));
        }
        Ok(if self.baseline { reader.with_baseline() } else { reader })
    }
}
