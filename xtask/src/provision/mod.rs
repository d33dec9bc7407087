//! Installing what a chore needs, and only what is not there.
//!
//! What enters is a chore; what leaves is a machine on which each of its packages is proven to be there, or an
//! error that says what is missing.
//!
//! What always holds:
//! - what is missing is said before anything is done, with what each package is for;
//! - a package that is there is not touched;
//! - without root or without apt nothing is tried: the commands are printed for a person to run.

use std::path::Path;

use anyhow::{Result, bail};
use nix::unistd::Uid;

use crate::Outcome;
use packages::Package;

mod alone;
mod apt;
mod backports;
mod packages;
mod root;
pub(crate) mod source;
mod version;

pub(crate) use packages::Need;
pub(crate) use root::Root;

/// Arguments of `cargo xtask provision`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The chore to install for
    #[arg(value_enum, default_value = "test")]
    need: Need,
}

/// Installs what one chore needs.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    ensure(args.need)?;
    println!("everything is there");
    Ok(Outcome::Passed)
}

/// Installs what `need` has missing.
///
/// # Errors
///
/// Something is missing and was not installed: no root, no apt, or apt failed.
pub(crate) fn ensure(need: Need) -> Result<()> {
    let missing = packages::missing(need);
    if missing.is_empty() {
        return Ok(());
    }
    println!("{}", wanted(&missing));
    let names = names(&missing);
    if !Path::new(apt::APT_GET).is_file() {
        bail!("no apt on this system: install what Debian packages as {names}, then run this again");
    }
    if !Uid::effective().is_root() {
        println!("as root:\n{}", apt::plan(&missing)?);
        bail!("not root, so nothing was installed: run the commands above, then run this again");
    }
    apt::install(&missing)?;
    let still = packages::missing(need);
    if !still.is_empty() {
        bail!("apt was content, but this is still not there:\n{}", wanted(&still));
    }
    Ok(())
}

fn names(packages: &[&Package]) -> String {
    packages.iter().map(|p| p.name).collect::<Vec<_>>().join(" ")
}

fn wanted(packages: &[&Package]) -> String {
    let line = |p: &&Package| format!("  {:24}{} (not found: {})", p.name, p.purpose, p.proof.sought());
    let lines: Vec<String> = packages.iter().map(line).collect();
    format!("missing packages:\n{}", lines.join("\n"))
}
