//! `cargo xtask test`: every check there is, on a machine that has nothing but Rust.
//!
//! What always holds: no check is skipped, in continuous integration or elsewhere; the first that fails is named
//! and ends the run.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use covtap_testbed::workspace_root;
use object::{Object, ObjectSection};

use crate::provision::{self, Need};
use crate::{Outcome, child, committed, conformance};

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the steps and run none
    #[arg(long)]
    list: bool,
    /// Run this step alone; can be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

/// Quick ones first.
const STEPS: &[Step] = &[
    Step { name: "format", about: "the code is formatted", run: format },
    Step {
        name: "committed",
        about: "committed files name no path of one machine, and no fixture is ignored",
        run: committed::check,
    },
    Step { name: "guest", about: "an example guest builds as its README says", run: guest },
    Step { name: "clippy", about: "no lint fires", run: clippy },
    Step { name: "tests", about: "all tests pass, those with guests in QEMU too", run: tests },
    Step {
        name: "conformance",
        about: "reports are LLVM's own, and traces what QEMU logs, for a part of the corpus",
        run: conformance::quick,
    },
    Step { name: "doc", about: "the documentation builds and its links lead somewhere", run: doc },
];

/// Installs what is missing and runs the steps.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    if args.list {
        STEPS.iter().for_each(|step| println!("{:12}{}", step.name, step.about));
        return Ok(Outcome::Passed);
    }
    let steps = chosen(&args.only)?;
    provision::ensure(Need::Test)?;
    cargo_has("fmt", "rustfmt")?;
    cargo_has("clippy", "clippy")?;
    let start = Instant::now();
    for step in &steps {
        println!("== {}: {}", step.name, step.about);
        let step_start = Instant::now();
        let result = (step.run)();
        child::go_on()?;
        let seconds = step_start.elapsed().as_secs_f64();
        if let Err(error) = result {
            println!("== {}: FAILED after {seconds:.1} s: {error:#}", step.name);
            return Ok(Outcome::Failed);
        }
        println!("== {}: passed in {seconds:.1} s", step.name);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{} of {} steps run, all passed, in {seconds:.1} s", steps.len(), STEPS.len());
    Ok(Outcome::Passed)
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step is called {unknown}; there are {}", names.join(", "));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

/// A minimal toolchain has neither of cargo's helpers.
fn cargo_has(verb: &str, component: &str) -> Result<()> {
    if child::output(&mut child::cargo([verb, "--version"]))?.status.success() {
        return Ok(());
    }
    println!("missing: `cargo {verb}`; asking rustup for it");
    child::run_well(Command::new("rustup").args(["component", "add", component])).with_context(|| {
        format!("`cargo {verb}` is not there: install the toolchain's component {component}")
    })
}

/// Shows a command, then runs it.
fn shown(command: &mut Command) -> Result<()> {
    println!("$ {}", child::show(command));
    child::run_well(command)
}

/// The guests are a workspace of their own.
const GUESTS: &str = "examples/guests";

fn format() -> Result<()> {
    shown(&mut child::cargo(["fmt", "--all", "--check"]))?;
    shown(child::cargo(["fmt", "--all", "--check"]).current_dir(workspace_root().join(GUESTS)))
}

/// The command of the guests' README, with any stable toolchain, makes an image with counters.
fn guest() -> Result<()> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let target_dir = workspace_root().join("target/guests-stock");
    let mut command =
        child::cargo(["build", "--release", "--locked", "--target", TARGET, "--package", "x86-pvh"]);
    command.current_dir(workspace_root().join(GUESTS));
    command.env("RUSTC_WORKSPACE_WRAPPER", "./cov-rustc").env("CARGO_TARGET_DIR", &target_dir);
    // It would replace the flags that the guests configure.
    shown(command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    let image = target_dir.join(TARGET).join("release/x86-pvh");
    let bytes = std::fs::read(&image).with_context(|| format!("read {}", image.display()))?;
    let file = object::File::parse(bytes.as_slice()).context("parse the image")?;
    let counters = file.section_by_name("__llvm_prf_cnts").context("the image has no counters")?;
    ensure!(counters.size() > 0, "the image's section of counters is empty");
    Ok(())
}

fn clippy() -> Result<()> {
    shown(&mut child::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // What is left out by choice must not be needed.
    shown(&mut child::cargo([
        "clippy",
        "--package",
        "covtap",
        "--no-default-features",
        "--",
        "-D",
        "warnings",
    ]))
}

fn tests() -> Result<()> {
    shown(&mut child::cargo(["test", "--workspace"]))
}

fn doc() -> Result<()> {
    shown(child::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_all_of_them_by_none() {
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
        let one = chosen(&["clippy".to_owned()]).unwrap();
        assert_eq!(one.iter().map(|step| step.name).collect::<Vec<_>>(), ["clippy"]);
        let error = chosen(&["nothing".to_owned()]).err().unwrap();
        assert!(error.to_string().starts_with("no step is called nothing; there are format, "), "{error}");
    }
}
