//! `covtap merge`: profiles of several runs, or traces, made into one.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::inputs::first_bytes;
use super::profiles::Sum;
use super::traces::{self, TraceReportError};
use crate::profile::trace;
use crate::write::{self, proftext};

/// Add up the profiles of several runs, each a .profraw, .profdata or .proftext, into a .proftext; or traces into a trace.
///
/// Do not merge several snapshots of one run: each holds all counts since the start.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// A profile to add; its content says which form it has
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<PathBuf>,
    /// The text profile, or trace, to write
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
    if are_traces(&args.profiles)? {
        return Ok(write::write_whole(&args.output, &trace::encode(&traces::sum(&args.profiles)?))?);
    }
    let mut sum = Sum::default();
    args.profiles.iter().try_for_each(|path| sum.add_file(path, || Ok(Vec::new())))?;
    write::write_whole(&args.output, &proftext::encode(&sum.finish().unwrap_or_default())?)?;
    Ok(())
}

/// Whether all files are traces.
fn are_traces(paths: &[PathBuf]) -> Result<bool> {
    let mut all = None;
    for path in paths {
        let bytes = first_bytes(path).with_context(|| format!("read {}", path.display()))?;
        let is_trace = trace::is_trace(&bytes);
        if *all.get_or_insert(is_trace) != is_trace {
            let is = if is_trace { "a trace" } else { "a profile" };
            return Err(TraceReportError::Mixed { path: path.display().to_string(), is }.into());
        }
    }
    Ok(all.unwrap_or_default())
}
