//! The source of a Debian package, unpacked below cargo's target folder.
//!
//! What enters is a package's name; what leaves is a folder with its upstream source, as Debian has it, unpatched. What
//! always holds: the mirror and keys are those of the machine's own sources; a source is there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use covtap_testbed::{tool, workspace_root};

use super::alone::Alone;
use super::apt;
use crate::child;

/// The source of `package` in this system's release, which is fetched if it is not there.
///
/// # Errors
///
/// The machine's sources do not have it, or it cannot be unpacked.
pub(crate) fn of(package: &str) -> Result<PathBuf> {
    let path = workspace_root().join("target/sources").join(package);
    if path.is_dir() {
        return Ok(path);
    }
    println!("fetching the source of {package} into {}", path.display());
    let part = path.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
    }
    fetch(package, &part).with_context(|| format!("get the source of {package}"))?;
    fs::rename(part.join("source"), &path).with_context(|| format!("move {}", path.display()))?;
    fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
    Ok(path)
}

fn fetch(package: &str, part: &Path) -> Result<()> {
    let (extension, text) = apt::source_packages()?;
    let source = part.join("source");
    fs::create_dir_all(&source).with_context(|| format!("make {}", source.display()))?;
    let apt = Alone::prepare(part, extension, &text)?;
    apt.get(&["update"])?;
    apt.get(&["source", "--download-only", package])?;
    let entries = fs::read_dir(part).with_context(|| format!("list {}", part.display()))?;
    let is_upstream = |path: &PathBuf| path.to_string_lossy().contains(".orig.tar.");
    let archive = entries.flatten().map(|entry| entry.path()).find(is_upstream);
    let archive = archive.context("apt fetched no .orig.tar file")?;
    let mut tar = Command::new(tool("tar")?);
    tar.args(["--extract", "--strip-components=1", "--directory"]).arg(&source).arg("--file").arg(&archive);
    child::run_well(&mut tar)
}
