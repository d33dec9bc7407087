//! What LLVM's own tools make of a profile.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use covtap_testbed::run;

use super::build::tool_of_release;
use super::setups::Setup;

/// A profile that llvm-cov takes.
pub(super) fn indexed(profraw: &Path) -> Result<PathBuf> {
    let indexed = profraw.with_extension("profdata");
    run("llvm-profdata-19", merge(profraw, &["-o".as_ref(), indexed.as_os_str()]))?;
    Ok(indexed)
}

/// `llvm-cov-19 export` in a format.
pub(super) fn export(exe: &Path, indexed: &Path, format: &str) -> Result<String> {
    run("llvm-cov-19", export_args(exe, indexed, format).iter().map(String::as_str))
}

/// What llvm-cov-19 prints for people.
pub(super) fn view(exe: &Path, indexed: &Path, verb: &str, args: &[&str]) -> Result<String> {
    let (exe, profile) = (exe.display().to_string(), format!("-instr-profile={}", indexed.display()));
    run("llvm-cov-19", [verb, &exe, &profile].iter().chain(args))
}

/// The counts as the tool of the compiler's own release reads them.
pub(super) fn text(setup: &Setup, profraw: &Path) -> Result<String> {
    tool_of_release(
        "llvm-profdata",
        setup,
        &merge(profraw, &["--text".as_ref(), "-o".as_ref(), "-".as_ref()]),
    )
}

/// The trace as the tools of the compiler's own release make it, from a profile of the compiler's own version.
pub(super) fn own_lcov(setup: &Setup, exe: &Path, profraw: &Path) -> Result<String> {
    let indexed = profraw.with_extension("own.profdata");
    tool_of_release("llvm-profdata", setup, &merge(profraw, &["-o".as_ref(), indexed.as_os_str()]))?;
    let args = export_args(exe, &indexed, "lcov");
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    tool_of_release("llvm-cov", setup, &args)
}

fn merge<'a>(profraw: &'a Path, args: &[&'a OsStr]) -> Vec<&'a OsStr> {
    let threads = "--num-threads=1".as_ref();
    ["merge".as_ref(), threads, profraw.as_os_str()].into_iter().chain(args.iter().copied()).collect()
}

fn export_args(exe: &Path, indexed: &Path, format: &str) -> [String; 4] {
    let profile = format!("-instr-profile={}", indexed.display());
    ["export".to_owned(), format!("-format={format}"), exe.display().to_string(), profile]
}
