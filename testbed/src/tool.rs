//! Tools of other projects that serve as oracles, and where this project's own files are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of covtap's workspace.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// A file below `tests/fixtures`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    workspace_root().join("tests/fixtures").join(name)
}

/// The path of a program that a test cannot do without.
///
/// # Errors
///
/// The program is not in `PATH`; the message says how all of them are installed.
pub fn tool(name: &str) -> Result<PathBuf> {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed; `cargo xtask test` installs what the tests need"))
}

/// Runs a tool to its end and gives what it printed on stdout.
///
/// # Errors
///
/// The tool is missing, could not be started, or did not exit with 0: then with what it printed on stderr.
pub fn run<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let output =
        Command::new(tool(name)?).args(args).output().with_context(|| format!("could not start {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
