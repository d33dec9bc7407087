//! `covtap record`: snapshots until Ctrl-C, a time, a number, or the target's end.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::Verdict;
use super::session::SessionArgs;
use super::tap::{self, TapArgs};
use super::units;
use crate::collect::Schedule;

/// Attach to a running target and keep a profile of its coverage up to date.
///
/// Goes on when the target is reset: what its runs count is added up. Ends with Ctrl-C (a last snapshot is taken; a second
/// Ctrl-C stops at once), after --for, after --snapshots, or when the target ends; with a dump, which does not change,
/// after one snapshot.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// Time from one snapshot to the next
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::parse_duration)]
    every: Duration,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration)]
    duration: Option<Duration>,
    /// Stop after this many snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    snapshots: Option<u64>,
    /// When the way to the target fails, try so long to find it again; 0s ends the session at once
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::parse_patience)]
    reconnect: Duration,
    #[command(flatten)]
    tap: TapArgs,
    #[command(flatten)]
    session: SessionArgs,
}

/// Records.
///
/// # Errors
///
/// Anything that kept covtap from attaching, reading or writing.
pub(super) fn run(mut args: RecordArgs) -> Result<Verdict> {
    let schedule = if args.tap.is_of_dump() {
        Schedule::once()
    } else {
        Schedule { every: args.every, duration: args.duration, snapshots: args.snapshots }
    };
    tap::run(&mut args.tap, &args.session, schedule, args.reconnect)
}
