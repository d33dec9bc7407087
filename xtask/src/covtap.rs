//! The covtap that the chores run: built here, from this workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::child;

/// Builds covtap as users have it and gives the program's path, wherever cargo's target directory is.
pub(crate) fn build() -> Result<PathBuf> {
    build_with(&["--release"])
}

/// Builds covtap as the tests have it, not optimised, and gives the program's path.
pub(crate) fn build_unoptimised() -> Result<PathBuf> {
    build_with(&[])
}

/// Builds QEMU's plugin as the tests have it, and gives its path: beside covtap.
pub(crate) fn build_plugin(covtap: &Path) -> Result<PathBuf> {
    let mut command = child::cargo(["build", "--package", "covtap-qemu-plugin"]);
    println!("$ {}", child::show(&command));
    child::run_well(command.arg("--quiet"))?;
    let plugin = covtap.with_file_name("libcovtap_qemu_plugin.so");
    ensure!(plugin.is_file(), "build the plugin: {} is not there", plugin.display());
    Ok(plugin)
}

fn build_with(profile: &[&str]) -> Result<PathBuf> {
    let mut command = child::cargo(["build", "--package", "covtap", "--bin", "covtap"]);
    command.args(profile);
    println!("$ {}", child::show(&command));
    command.arg("--message-format=json-render-diagnostics");
    let messages = child::capture(&mut command)?;
    messages.lines().find_map(executable).context("cargo did not say where it put covtap")
}

/// The program's path in one of cargo's messages, if that is what the message is about.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    (name == "covtap").then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let library =
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"covtap"},"executable":null}"#;
        let program = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"covtap"},"executable":"/t/covtap"}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable(program), Some("/t/covtap".into()));
    }
}
