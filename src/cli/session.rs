//! What counts in a session that lasts.

use anyhow::Result;
use clap::Args;

use crate::collect::Reader;

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
}

impl SessionArgs {
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
