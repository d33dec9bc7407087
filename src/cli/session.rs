//! What counts in a session that lasts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::test_dir::TestDir;
use crate::collect::Reader;
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
    pub(super) fn apply(&self, mut reader: Reader) -> Result<Reader> {
        if self.snapshot_on_reset {
            reader.hold_before_loss()?;
        }
        Ok(if self.baseline { reader.with_baseline() } else { reader })
    }
}
