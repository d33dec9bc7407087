//! `covtap snapshot`: one snapshot, now.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::Verdict;
use super::session::SessionArgs;
use super::tap::{self, TapArgs};
use crate::collect::Schedule;

/// Attach to a running target, take one snapshot, and leave.
#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    tap: TapArgs,
}

/// Takes a snapshot.
///
/// # Errors
///
/// Anything that kept covtap from attaching, reading or writing.
pub(super) fn run(mut args: SnapshotArgs) -> Result<Verdict> {
    tap::run(&mut args.tap, &SessionArgs::default(), Schedule::once(), Duration::ZERO)
}
