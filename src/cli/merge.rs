//! `covtap merge`: profiles of several runs, made into one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::profile::{self, StoredProfile};
use crate::write::{self, proftext};

/// Add up the profiles of several runs, each a .profraw or a .proftext, into a .proftext.
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
    let mut sum: Option<StoredProfile> = None;
    let mut said = 0;
    for path in &args.profiles {
        let profile = load(path)?;
        match &mut sum {
            None => sum = Some(profile),
            Some(sum) => sum.merge(profile).with_context(|| format!("add {}", path.display()))?,
        }
        let conflicts = sum.as_ref().map(StoredProfile::conflicts).unwrap_or_default();
        for conflict in conflicts.iter().skip(said) {
            eprintln!("covtap: {}: {conflict}", path.display());
        }
        said = conflicts.len();
    }
    let sum = sum.unwrap_or_default();
    if sum.value_sites_left_out() > 0 {
        eprintln!(
            "covtap: value profiles (call targets, sizes) are left out: {} sites in all profiles together",
            sum.value_sites_left_out()
        );
    }
    write::write_whole(&args.output, &proftext::encode(&sum)?)?;
    Ok(())
}

fn load(path: &Path) -> Result<StoredProfile> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(profile::read(&path.display().to_string(), &bytes)?)
}
