//! `covtap merge`: profiles of several runs, made into one.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::profiles::Sum;
use crate::write::{self, proftext};

/// Add up the profiles of several runs, each a .profraw, .profdata or .proftext, into a .proftext.
///
/// Do not merge several snapshots of one run: each holds all counts since the start.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// A profile to add; its content says which form it has
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<PathBuf>,
    /// The text profile to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// Merges profiles. What does not fit together is said, one line for each function, and the rest is merged.
///
/// # Errors
///
/// A profile cannot be read, or counts something else than those before it; or the sum cannot be written.
pub(super) fn run(args: &MergeArgs) -> Result<()> {
    write::check_writable(&args.output)?;
    let mut sum = Sum::default();
    args.profiles.iter().try_for_each(|path| sum.add_file(path, || Ok(Vec::new())))?;
    write::write_whole(&args.output, &proftext::encode(&sum.finish().unwrap_or_default())?)?;
    Ok(())
}
