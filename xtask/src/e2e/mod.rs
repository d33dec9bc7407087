//! `cargo xtask e2e`: covtap on a whole system, or beside a tool, that is built here. It takes long, so no other verb runs it.
//!
//! What always holds: what was built stays below cargo's target directory, and is built again only if what it is made
//! of has changed.

use anyhow::Result;
use clap::Subcommand;

use crate::provision::{self, Need};
use crate::{Outcome, child};

mod linux;
mod probe_rs;

/// Arguments of `cargo xtask e2e`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A Linux kernel with coverage of all of it, at an address of its own choice, in QEMU
    Linux(linux::Args),
    /// The stock probe-rs beside covtap, on one virtual probe: both read the same words
    ProbeRs,
}

/// Runs it, in a release build.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    if cfg!(debug_assertions) {
        return child::again_in_release();
    }
    provision::ensure(match &args.what {
        What::Linux(_) => Need::E2e,
        What::ProbeRs => Need::E2eProbeRs,
    })?;
    match &args.what {
        What::Linux(args) => linux::run(args),
        What::ProbeRs => probe_rs::run(),
    }
}
