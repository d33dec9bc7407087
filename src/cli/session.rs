//! How a session goes on: what counts, and what it outlives.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::attach;
use super::tap::TapArgs;
use super::units;
use crate::collect::{Reader, Reconnect};

/// Options of verbs whose session lasts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session")]
pub(super) struct SessionArgs {
    /// Count from when covtap attaches: what was counted before is left out
    #[arg(long)]
    baseline: bool,
    /// Stop the target before each reset and before its end for as long as a last snapshot takes, so that no count is
    /// missed; with --qemu
    #[arg(long)]
    snapshot_on_reset: bool,
    /// When the way to the target fails, try so long to find it again; 0s ends the session at once
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::parse_patience)]
    reconnect: Duration,
}

impl SessionArgs {
    /// A session of one moment, which outlives nothing.
    pub(super) fn once() -> Self {
        Self { baseline: false, snapshot_on_reset: false, reconnect: Duration::ZERO }
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

    /// What to do when the link fails.
    pub(super) fn reconnect<'a>(&self, tap: &'a TapArgs) -> Option<Reconnect<'a>> {
        let connect = Box::new(|| attach::connect_again(tap));
        (!self.reconnect.is_zero()).then_some(Reconnect { connect, patience: self.reconnect })
    }
}
