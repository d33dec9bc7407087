//! The example of Cargo's runner, as its README has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covtap_testbed::{tool, workspace_root};

use crate::common;

/// Cargo in the example's folder, with this build of covtap in `PATH` and everything that is written in `dir`.
fn cargo_test(dir: &Path, incremental: &str, arguments: &[&str]) -> Output {
    tool("qemu-system-x86_64").expect("QEMU");
    let covtap = Path::new(env!("CARGO_BIN_EXE_covtap")).parent().expect("its folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(covtap.into()).chain(std::env::split_paths(&path)));
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace_root().join("examples/cargo-runner"));
    command.args(["test", "--quiet", "--target-dir"]).arg(dir).args(arguments);
    command.env("CARGO_INCREMENTAL", incremental);
    command.env("PATH", path.expect("a PATH")).env("LLVM_PROFILE_FILE", dir.join("%p.profraw"));
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    command.output().expect("cargo starts")
}

/// The files in a folder that are so named.
fn files(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    let wanted = entries.filter(|entry| is_wanted(&entry.file_name().to_string_lossy()));
    wanted.map(|entry| entry.path()).collect()
}

#[test]
fn tests_of_a_bare_metal_crate_give_their_coverage() {
    // Where a build is not incremental, a crate's small functions are compiled where they are called, unless told otherwise.
    for incremental in ["0", "1"] {
        give_their_coverage(incremental);
    }
}

fn give_their_coverage(incremental: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let output = cargo_test(dir.path(), incremental, &[]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", common::stderr(&output));
    for test in ["first_in_first_out", "around_the_end", "a_full_queue_takes_nothing"] {
        assert!(printed.contains(&format!("test {test} ... ok")), "{printed}");
    }
    let profiles = files(dir.path(), |name| name.ends_with(".profraw"));
    assert_eq!(profiles.len(), 2, "{profiles:?}");
    let programs = files(&dir.path().join("x86_64-unknown-linux-gnu/debug/deps"), |name| {
        (name.starts_with("order-") || name.starts_with("limits-")) && !name.contains('.')
    });
    let report = [Path::new("report"), Path::new("--show-missing-lines")].map(Path::to_owned);
    let output = common::run(report.into_iter().chain(programs).chain(profiles));
    common::assert_done(&output);
    // Only `clear` is called by no test.
    let missing = String::from_utf8_lossy(&output.stdout);
    assert!(missing.ends_with("queue/src/lib.rs: 38-40\n") && missing.lines().count() == 1, "{missing}");
}
