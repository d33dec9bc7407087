//! The guest that GCC instrumented.

use std::path::PathBuf;
use std::process::Command;

use covtap_testbed::workspace_root;
use tempfile::{TempDir, tempdir};

/// The instrumented sources of the guest.
pub(crate) const UNITS: [&str; 3] = ["command", "main", "valve"];

/// The guest's ELF, in a folder with the objects and their notes.
pub(crate) fn build(variant: &str) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let elf = dir.path().join("guest.elf");
    let script = workspace_root().join("examples/guests/c-gcov-an385/build.sh");
    let output = Command::new(script).arg(variant).arg(&elf).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (dir, elf)
}
