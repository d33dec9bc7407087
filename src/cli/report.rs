//! `covtap report`: coverage from profiles on disk.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::formats::{FormatArgs, Formats};
use super::profiles::Sum;
use super::{Verdict, tap};
use crate::coverage::{Counts, Coverage, Mapping};
use crate::image::Slide;
use crate::locate::llvm::{self, LlvmImage};
use crate::write::demangle::demangle;

/// More functions than this are not named one by one.
const MAX_NAMED: usize = 20;

/// Show the coverage that profiles hold, of whatever LLVM; none of LLVM's tools is needed.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The programs, and the profiles of their runs (.profraw, .proftext, .profdata), in any order
    #[arg(value_name = "ELF|PROFILE", required = true)]
    inputs: Vec<PathBuf>,
    /// Name every function whose counts belong to another build
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    formats: FormatArgs,
}

/// What is missing of what a report needs.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// Only profiles were given.
    #[error("report coverage: no ELF among the files")]
    NoElf,
    /// Only ELFs were given.
    #[error("report coverage: no profile among the files")]
    NoProfile,
    /// Nothing of the profile fits.
    #[error(
        "report coverage: of the {functions} functions of the profile none is in {images} as it was built"
    )]
    OtherProgram {
        /// How many functions the profile has.
        functions: usize,
        /// The ELFs.
        images: String,
    },
}

/// Reports.
///
/// # Errors
///
/// A file cannot be read, or is neither an ELF nor a profile; a program has no coverage mapping, or none of the
/// profile's functions; or what was asked for cannot be written.
pub(super) fn run(args: ReportArgs) -> Result<Verdict> {
    let ReportArgs { inputs, verbose, formats } = args;
    let formats = formats.or_summary();
    let (elves, profiles) = sort(&inputs)?;
    let mut formats = Formats::prepare(&formats, elves.iter().map(PathBuf::from).collect())?;
    let (first, others) = elves.split_first().ok_or(ReportError::NoElf)?;
    let add_up = || -> Result<Sum> {
        let mut sum = Sum::default();
        profiles.iter().try_for_each(|path| sum.add_file(path, || locate(&elves)))?;
        Ok(sum)
    };
    // Decompressing names takes long on either side.
    let (sum, first) = rayon::join(add_up, || MappingOf::decode(&formats, first));
    let profile = sum?.finish().ok_or(ReportError::NoProfile)?;
    let counts = Counts::from(&profile);
    let mut coverage = Coverage::default();
    first?.add_to(&mut coverage, &counts);
    for path in others {
        MappingOf::decode(&formats, path)?.add_to(&mut coverage, &counts);
    }
    say_what_is_left_out(&coverage, verbose);
    let functions = profile.functions().count();
    if functions > 0 && coverage.num_found() == 0 {
        let images = elves.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(ReportError::OtherProgram { functions, images }.into());
    }
    formats.write(coverage, &profiles.iter().map(PathBuf::from).collect::<Vec<_>>(), note)?;
    formats.finish(note)
}

/// A program's mapping, and what is to be said of it.
struct MappingOf {
    mapping: Mapping,
    notes: Vec<String>,
}

impl MappingOf {
    fn decode(formats: &Formats<'_>, path: &Path) -> Result<Self> {
        let image = tap::load(path)?;
        let notes = RefCell::new(Vec::new());
        let note = |line: &str| notes.borrow_mut().push(line.to_owned());
        let mapping = formats.mapping(&image, &llvm::names(&image)?, note)?;
        Ok(Self { mapping, notes: notes.into_inner() })
    }

    fn add_to(self, coverage: &mut Coverage, counts: &Counts<'_>) {
        self.notes.iter().for_each(|line| note(line));
        coverage.add(&self.mapping, counts);
    }
}

/// Says something that is no error.
fn note(line: &str) {
    eprintln!("covtap: {line}");
}

/// What the programs' own records say of their counters.
fn locate(elves: &[&Path]) -> Result<Vec<LlvmImage>> {
    let locate = |path: &&Path| Ok(llvm::locate(&tap::load(path)?, Slide::ZERO)?.image);
    elves.iter().map(locate).collect()
}

/// The ELFs and the others, by their first bytes.
fn sort(inputs: &[PathBuf]) -> Result<(Vec<&Path>, Vec<&Path>)> {
    let (mut elves, mut profiles) = (Vec::new(), Vec::new());
    for path in inputs {
        let mut magic = Vec::new();
        let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut magic));
        read.with_context(|| format!("read {}", path.display()))?;
        if magic == *b"\x7fELF" { elves.push(path.as_path()) } else { profiles.push(path.as_path()) }
    }
    if elves.is_empty() {
        return Err(ReportError::NoElf.into());
    }
    Ok((elves, profiles))
}

/// Names the functions that are not in the report, on stderr.
fn say_what_is_left_out(coverage: &Coverage, all: bool) {
    let mismatches = coverage.mismatches().iter().map(|function| {
        let (name, hash) = (demangle(&function.name), function.func_hash);
        format!("{name} is left out: the profile has it from another build (func_hash is not {hash:#x})")
    });
    let uncounted = coverage.uncounted().iter().map(|function| {
        let what = if function.is_only_mcdc { "MC/DC of " } else { "" };
        format!("{what}{} is left out: {}", demangle(&function.name), function.detail)
    });
    let lines: Vec<String> = mismatches.chain(uncounted).collect();
    let shown = if all { lines.len() } else { MAX_NAMED };
    for line in lines.iter().take(shown) {
        note(line);
    }
    if lines.len() > shown {
        note(&format!(
            "{} more functions are left out; --verbose names them",
            lines.len().saturating_sub(shown)
        ));
    }
}
