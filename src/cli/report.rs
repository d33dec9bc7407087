//! `covtap report`: coverage from profiles on disk; by test, where a session told tests apart ([`by_test`](super::by_test)).

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use clap::Args;

use super::by_test::TestArgs;
use super::formats::{FormatArgs, Formats};
use super::inputs::Inputs;
use super::profiles::Sum;
use super::programs::ElfArg;
use super::terminal::say as note;
use super::traces::{ImageArgs, TraceReportError};
use super::{Verdict, by_test, gcov_units, tap};
use crate::coverage::{Counts, Coverage, Mapping};
use crate::image::Slide;
use crate::locate::llvm::{self, LlvmImage};
use crate::write::demangle::demangle;

/// More functions than this are not named one by one.
const MAX_NAMED: usize = 20;

/// Show the coverage that profiles hold, of whatever LLVM or GCC; none of their tools is needed.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The programs and the profiles of their runs (.profraw, .proftext, .profdata); of GCC's the .gcda and .gcno files,
    /// or folders to search for them; or traces of programs that count nothing, with a slide for an ELF that was moved;
    /// in any order
    #[arg(value_name = "ELF[@SLIDE]|PROFILE|TRACE|FOLDER", required_unless_present = "by_test")]
    inputs: Vec<PathBuf>,
    /// Name every function and file that is left out or doubtful, not the first 20 alone
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    tests: TestArgs,
    #[command(flatten)]
    formats: FormatArgs,
}

/// What is missing of what a report needs.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// Only profiles were given.
    #[error("report coverage: no ELF among the files")]
    NoElf,
    /// Only ELFs were given, and nothing of gcov's.
    #[error("report coverage: no profile among the files")]
    NoProfile,
    /// What was executed and what was counted do not add up.
    #[error("report coverage: there are a trace and a profile among the files, which do not add up")]
    TraceAndProfile,
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
/// A file cannot be read, or is nothing that has to do with coverage; a program has no coverage mapping, or none of the
/// profile's functions; none of gcov's files is of use; or what was asked for cannot be written.
pub(super) fn run(args: ReportArgs) -> Result<Verdict> {
    let ReportArgs { inputs, verbose, images, tests, formats } = args;
    if let Some(folder) = &tests.by_test {
        return by_test::run(folder, &tests, &inputs, verbose, &formats);
    }
    let formats = formats.or_summary();
    let inputs = Inputs::sort(&inputs)?;
    check(&inputs, &images)?;
    if !inputs.traces.is_empty() {
        return run_traced(&inputs, &images, verbose, &formats);
    }
    let Inputs { elves, profiles, notes, data, of_gcov, .. } = inputs;
    let mut formats = Formats::prepare(&formats, elves.clone())?;
    let mut coverage = Coverage::default();
    // Beside gcov's files there may be programs that LLVM has no part in.
    let of_llvm = if of_gcov.is_empty() { paths(&elves) } else { with_mapping(&elves)? };
    if profiles.is_empty() {
        of_llvm.iter().for_each(|path| {
            note(&without_profile(path));
        });
    } else {
        // Without any, the error says what is missing.
        let of_llvm = if of_llvm.is_empty() { paths(&elves) } else { of_llvm };
        add_llvm(&mut coverage, &formats, &of_llvm, &profiles, verbose)?;
    }
    if !of_gcov.is_empty() {
        if data.is_empty() {
            note("none of the files is a .gcda: as far as they tell nothing of what GCC compiled ran");
        }
        let left_out = gcov_units::add(&mut coverage, &formats, notes, &data)?;
        say_of_gcov(&coverage, &left_out, verbose);
    }
    formats.write(coverage, &[profiles, of_gcov].concat(), note)?;
    formats.finish(note)
}

/// Reports what traces say; what counts itself has its own report.
fn run_traced(inputs: &Inputs, images: &ImageArgs, verbose: bool, formats: &FormatArgs) -> Result<Verdict> {
    let elves = inputs.elves.iter().zip(&inputs.slides);
    let elves: Vec<_> = elves.map(|(path, slide)| ElfArg { path: path.clone(), slide: *slide }).collect();
    let paths = elves.iter().map(|elf| elf.path.clone()).chain(images.paths()).collect();
    let mut formats = Formats::prepare(formats, paths)?;
    let mut coverage = Coverage::default();
    images.add(&mut coverage, &mut formats, &elves, &inputs.traces, verbose)?;
    formats.write(coverage, &inputs.traces, note)?;
    formats.finish(note)
}

/// Makes sure that something can be reported.
fn check(inputs: &Inputs, images: &ImageArgs) -> Result<()> {
    let Inputs { elves, slides, profiles, traces, .. } = inputs;
    let of_others = !profiles.is_empty() || inputs.has_gcov();
    let wanted = images.wants().or(slides.iter().any(Option::is_some).then_some("a slide is given"));
    if let Some(what) = wanted.filter(|_| traces.is_empty()) {
        return Err(TraceReportError::NoTrace { what: what.to_owned() }.into());
    }
    match () {
        () if !traces.is_empty() && of_others => Err(ReportError::TraceAndProfile),
        () if !traces.is_empty() => Ok(()),
        () if elves.is_empty() && !profiles.is_empty() => Err(ReportError::NoElf),
        () if !of_others => Err(ReportError::NoProfile),
        () => Ok(()),
    }?;
    Ok(())
}

pub(super) fn paths(elves: &[PathBuf]) -> Vec<&Path> {
    elves.iter().map(PathBuf::as_path).collect()
}

/// The programs that LLVM's profiles can be of.
pub(super) fn with_mapping(elves: &[PathBuf]) -> Result<Vec<&Path>> {
    let mut with_mapping = Vec::new();
    for path in paths(elves) {
        if Mapping::is_in(&tap::load(path)?) {
            with_mapping.push(path);
        }
    }
    Ok(with_mapping)
}

/// Adds what LLVM's profiles counted.
fn add_llvm(
    coverage: &mut Coverage,
    formats: &Formats<'_>,
    elves: &[&Path],
    profiles: &[PathBuf],
    verbose: bool,
) -> Result<()> {
    let (first, others) = elves.split_first().ok_or(ReportError::NoElf)?;
    let add_up = || -> Result<Sum> {
        let mut sum = Sum::default();
        profiles.iter().try_for_each(|path| sum.add_file(path, || locate(elves)))?;
        Ok(sum)
    };
    // Decompressing names takes long on either side.
    let (sum, first) = rayon::join(add_up, || MappingOf::decode(formats, first));
    let profile = sum?.finish().ok_or(ReportError::NoProfile)?;
    let counts = Counts::from(&profile);
    first?.add_to(coverage, &counts);
    for path in others {
        MappingOf::decode(formats, path)?.add_to(coverage, &counts);
    }
    say(&left_out(coverage), "functions", verbose);
    let functions = profile.functions().count();
    if functions > 0 && coverage.num_found() == 0 {
        return Err(ReportError::OtherProgram { functions, images: listed(elves) }.into());
    }
    Ok(())
}

/// The programs as text.
pub(super) fn listed(elves: &[&Path]) -> String {
    elves.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What is to be said of a program that no profile is of.
pub(super) fn without_profile(elf: &Path) -> String {
    format!("LLVM's part of {} is left out: there is no profile of it", elf.display())
}

/// A program's mapping, and what is to be said of it.
pub(super) struct MappingOf {
    mapping: Mapping,
    notes: Vec<String>,
}

impl MappingOf {
    pub(super) fn decode(formats: &Formats<'_>, path: &Path) -> Result<Self> {
        let image = tap::load(path)?;
        let notes = RefCell::new(Vec::new());
        let note = |line: &str| notes.borrow_mut().push(line.to_owned());
        let mapping = formats.mapping(&image, &llvm::names(&image)?, note)?;
        Ok(Self { mapping, notes: notes.into_inner() })
    }

    /// Says what is to be said, and gives the mapping.
    pub(super) fn say(self) -> Mapping {
        self.notes.iter().for_each(|line| note(line));
        self.mapping
    }

    fn add_to(self, coverage: &mut Coverage, counts: &Counts<'_>) {
        coverage.add(&self.say(), counts);
    }
}

/// What the programs' own records say of their counters.
pub(super) fn locate(elves: &[&Path]) -> Result<Vec<LlvmImage>> {
    let locate = |path: &&Path| Ok(llvm::locate(&tap::load(path)?, Slide::ZERO)?.image);
    elves.iter().map(locate).collect()
}

/// The functions of LLVM's that are not in the report.
pub(super) fn left_out(coverage: &Coverage) -> Vec<String> {
    let mismatches = coverage.mismatches().iter().map(|function| {
        let (name, hash) = (demangle(&function.name), function.func_hash);
        format!("{name} is left out: the profile has it from another build (func_hash is not {hash:#x})")
    });
    let uncounted = coverage.uncounted().iter().map(|function| {
        let what = if function.is_only_mcdc { "MC/DC of " } else { "" };
        format!("{what}{} is left out: {}", demangle(&function.name), function.detail)
    });
    mismatches.chain(uncounted).collect()
}

/// Says which files of gcov's are left out, and which functions are.
pub(super) fn say_of_gcov(coverage: &Coverage, left_out: &[Error], all: bool) {
    let lines: Vec<String> = left_out.iter().map(|error| format!("left out: {error:#}")).collect();
    say(&lines, "files", all);
    say(&doubts(coverage), "functions", all);
}

/// The functions of gcov's that are not in the report, or not to be relied on.
fn doubts(coverage: &Coverage) -> Vec<String> {
    coverage.doubts().iter().map(|doubt| doubt.line(|name| demangle(name).into_owned())).collect()
}

/// Says lines on stderr, some or all.
pub(super) fn say(lines: &[String], what: &str, all: bool) {
    let shown = if all { lines.len() } else { MAX_NAMED };
    lines.iter().take(shown).for_each(|line| note(line));
    if lines.len() > shown {
        let more = lines.len().saturating_sub(shown);
        note(&format!("and {more} more {what}: --verbose names them"));
    }
}
