//! `cargo xtask fixtures`: the guests under examples/guests, and a few hosted programs, become the files under
//! tests/fixtures.
//!
//! What enters is source code; what leaves, for each guest, is its images, the counters of one run that came to
//! rest, what that run printed, and a README that says which compilers made them.
//!
//! What always holds: everything is made below `target/guests` first, and committed files are written only once
//! all of it is there. The same compilers make the same bytes, wherever the workspace lies.

mod build;
mod capture;
mod hosted;
mod readme;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use covtap_testbed::{Machine, workspace_root};

use crate::Outcome;

/// What `cargo xtask fixtures` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; say which committed files differ from what would be written
    #[arg(long)]
    check: bool,
    /// Only this folder of tests/fixtures: a guest, or `hosted`
    #[arg(long, value_name = "FOLDER")]
    only: Option<String>,
}

/// How a guest is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A package of the guests' workspace, for this target.
    Rust { target: &'static str },
    /// The folder's own build script.
    Script,
}

/// How an image differs from the others of its guest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Variant {
    /// Not instrumented.
    Plain,
    /// Coverage counters, no profiling runtime.
    Covered,
    /// Covered, and steps follow each other as fast as they can.
    Spin,
    /// As a developer has it: not instrumented, with debug information; steps as fast as it can.
    Debug,
}

impl Variant {
    fn is_covered(self) -> bool {
        matches!(self, Self::Covered | Self::Spin)
    }

    fn is_flat_out(self) -> bool {
        matches!(self, Self::Spin | Self::Debug)
    }
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Covered => "covered",
            Self::Spin => "spin",
            Self::Debug => "debug",
        }
    }
}

/// One row of the table of guests.
#[derive(Debug)]
struct Guest {
    name: &'static str,
    machine: Machine,
    source: Source,
    variants: &'static [Variant],
}

const GUESTS: &[Guest] = &[
    Guest {
        name: "x86-pvh",
        machine: Machine::X86Pvh,
        source: Source::Rust { target: "x86_64-unknown-linux-gnu" },
        variants: &[Variant::Plain, Variant::Covered, Variant::Spin],
    },
    Guest {
        name: "arm-cortexm",
        machine: Machine::An385,
        source: Source::Rust { target: "thumbv7m-none-eabi" },
        variants: &[Variant::Plain, Variant::Covered, Variant::Debug],
    },
    Guest {
        name: "c-an385",
        machine: Machine::An385,
        source: Source::Script,
        variants: &[Variant::Plain, Variant::Covered, Variant::Spin],
    },
];

/// Files to be, by their path below the workspace.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Makes the fixtures, or finds out which would change.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let is_chosen = |folder: &str| args.only.as_deref().is_none_or(|only| only == folder);
    let mut files = Files::new();
    for guest in GUESTS.iter().filter(|guest| is_chosen(guest.name)) {
        make(guest, &mut files).with_context(|| format!("make the fixtures of {}", guest.name))?;
    }
    if is_chosen(hosted::FOLDER) {
        hosted::make(&mut files).context("make the hosted fixtures")?;
    }
    if files.is_empty() {
        let names: Vec<_> = GUESTS.iter().map(|guest| guest.name).chain([hosted::FOLDER]).collect();
        bail!("no such folder; there are {}", names.join(", "));
    }
    let table = readme::footprint(&files)?;
    files.insert(readme::GUESTS_README.into(), table);
    if args.check { compare(&files) } else { write(&files) }
}

/// Where a guest's file will be, below the workspace.
fn fixture_path(guest: &Guest, name: &str) -> PathBuf {
    Path::new("tests/fixtures").join(guest.name).join(name)
}

/// Builds one guest's images, and lets the covered one run until it rests.
fn make(guest: &Guest, files: &mut Files) -> Result<()> {
    for &variant in guest.variants {
        println!("{}: build {}", guest.name, variant.name());
        let image = build::image(guest, variant)?;
        if variant == Variant::Covered {
            println!("{}: run until it rests", guest.name);
            let capture = capture::at_rest(guest.machine, &image)?;
            files.insert(fixture_path(guest, "counters.bin"), capture.counters);
            files.insert(fixture_path(guest, "tally.txt"), capture.console.into_bytes());
        }
        files.insert(fixture_path(guest, &format!("{}.elf", variant.name())), read(&image)?);
    }
    let readme = readme::of_guest(guest, files)?;
    files.insert(fixture_path(guest, "README.md"), readme.into_bytes());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Says which committed files differ.
fn compare(files: &Files) -> Result<Outcome> {
    let mut outcome = Outcome::Passed;
    for (path, bytes) in files {
        let committed = std::fs::read(workspace_root().join(path));
        if committed.is_ok_and(|committed| committed == *bytes) {
            println!("{}: the same", path.display());
            continue;
        }
        println!("{}: differs", path.display());
        outcome = Outcome::Failed;
    }
    if outcome == Outcome::Failed {
        println!("the README beside each file says which compilers made it; other versions make other bytes");
    }
    Ok(outcome)
}

fn write(files: &Files) -> Result<Outcome> {
    for (path, bytes) in files {
        let path = workspace_root().join(path);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    println!("{} files written", files.len());
    Ok(Outcome::Passed)
}
