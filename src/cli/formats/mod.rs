//! Coverage in the forms that were asked for: what `report`, `record` and `snapshot` share.
//!
//! What enters is images with their mappings, and counts; what leaves is files, text on stdout, and a verdict.
//! What always holds: files are checked before a target is touched, and each is written whole; stdout gets text once, at
//! the end.

mod exports;
mod files;
mod site;
mod text;
mod threshold;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::Verdict;
use crate::coverage::gcov::{FunctionCounters, Notes, UnitCoverage};
use crate::coverage::trace::TracedImage;
use crate::coverage::{Coverage, Mapping};
use crate::image::Image;
use crate::locate::llvm::Names;
use crate::write::html::ObjectProgram;

use exports::ExportArgs;
pub(super) use exports::NoRegions;
use files::FileArgs;
use site::SiteArgs;
use text::TextArgs;
use threshold::ThresholdArgs;

/// The forms that coverage can be written in.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Coverage")]
pub(super) struct FormatArgs {
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    exports: ExportArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

/// Stdout is wanted twice.
pub(super) const MORE_THAN_ONE: &str = "write to stdout: more than one option wants to";

/// The forms that were asked for, and the last coverage there was.
pub(super) struct Formats<'a> {
    args: &'a FormatArgs,
    images: Vec<PathBuf>,
    /// What is to be known of the counts, for who reads the pages.
    cautions: Vec<String>,
    last: Option<Coverage>,
    said: HashSet<String>,
    /// lcov's traces of tests, in place of one of the coverage.
    trace: Option<File>,
}

impl FormatArgs {
    /// Whether anything was asked for.
    fn any(&self) -> bool {
        self.text.any() || self.site.any() || self.exports.any() || self.thresholds.any()
    }

    /// Asks for the table of files if nothing else was asked for.
    pub(super) fn or_summary(mut self) -> Self {
        if !self.any() {
            self.text.ask_for_summary();
        }
        self
    }
}

impl<'a> Formats<'a> {
    /// Checks that all files could be written. `images` are the programs that the coverage will be of.
    ///
    /// # Errors
    ///
    /// One cannot.
    pub(super) fn prepare(args: &'a FormatArgs, images: Vec<PathBuf>) -> Result<Self> {
        if args.exports.num_to_stdout().saturating_add(usize::from(args.text.any())) > 1 {
            bail!(MORE_THAN_ONE);
        }
        args.exports.check()?;
        args.site.check()?;
        Ok(Self { args, images, cautions: Vec::new(), last: None, said: HashSet::new(), trace: None })
    }

    /// Whether anything was asked for that needs the source.
    pub(super) fn are_wanted(&self) -> bool {
        self.args.any()
    }

    /// Whether text on stdout was asked for.
    pub(super) fn has_text(&self) -> bool {
        self.args.text.any()
    }

    /// How many files go to stdout.
    pub(super) fn num_files_to_stdout(&self) -> usize {
        self.args.exports.num_to_stdout()
    }

    /// Whether a trace of lcov's was asked for.
    pub(super) fn wants_trace(&self) -> bool {
        self.args.exports.wants_trace()
    }

    /// Takes traces of tests, which are written where one of the coverage would be.
    pub(super) fn set_trace(&mut self, trace: Option<File>) {
        self.trace = trace;
    }

    /// Leaves out the files that are not wanted.
    pub(super) fn leave_out(&self, coverage: &mut Coverage) {
        self.args.files.leave_out(coverage);
    }

    /// Decodes an image's mapping, with the names of files as they are to be shown; `note` is told what is left out.
    ///
    /// # Errors
    ///
    /// The image has no coverage mapping.
    pub(super) fn mapping(&self, image: &Image, names: &Names, note: impl Fn(&str)) -> Result<Mapping> {
        let mut mapping = Mapping::decode(image, names)?;
        for problem in mapping.problems() {
            note(&format!("left out of the coverage: {problem}"));
        }
        self.args.files.rename(&mut mapping);
        Ok(mapping)
    }

    /// Evaluates a unit of gcov's, with the names of files as they are to be shown.
    pub(super) fn unit<'c>(
        &self,
        notes: &Notes,
        counters: impl IntoIterator<Item = FunctionCounters<'c>>,
    ) -> UnitCoverage {
        let mut unit = UnitCoverage::new(notes, counters);
        self.args.files.rename_unit(notes, &mut unit);
        unit
    }

    /// Where a file is now that was compiled elsewhere, if that was said.
    pub(super) fn moved(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.args.files.moved(name)
    }

    /// Keeps what is to be known of the counts.
    pub(super) fn caution(&mut self, text: &str) {
        self.cautions.push(text.to_owned());
    }

    /// Gives the sources of a trace the names that they are shown under.
    pub(super) fn rename_traced(&self, traced: &mut TracedImage) {
        self.args.files.rename_traced(traced);
    }

    /// Whether pages were asked for.
    pub(super) fn wants_site(&self) -> bool {
        self.args.site.any()
    }

    /// Writes the files of one snapshot or of profiles on disk. `note` is told once of each source that is missing.
    ///
    /// # Errors
    ///
    /// A file could not be written.
    pub(super) fn write(
        &mut self,
        mut coverage: Coverage,
        profiles: &[PathBuf],
        note: impl Fn(&str),
    ) -> Result<()> {
        self.leave_out(&mut coverage);
        self.write_traced(coverage, profiles, &[], note)
    }

    /// The same of traces, from which was [left out](Self::leave_out) what is not wanted, with their programs' object code.
    ///
    /// # Errors
    ///
    /// A file could not be written.
    pub(super) fn write_traced(
        &mut self,
        coverage: Coverage,
        profiles: &[PathBuf],
        programs: &[ObjectProgram<'_>],
        note: impl Fn(&str),
    ) -> Result<()> {
        if let Some(line) = self.args.exports.left_out(&coverage)? {
            self.note_once(line, &note);
        }
        self.args.exports.write(&coverage, self.trace.as_ref())?;
        let site = &self.args.site;
        for line in site.write(&coverage, &self.images, profiles, programs, &self.cautions)? {
            self.note_once(line, &note);
        }
        self.last = Some(coverage);
        Ok(())
    }

    /// Prints what goes to stdout, and judges the last coverage.
    ///
    /// # Errors
    ///
    /// Stdout could not be written to; or there is nothing to judge.
    pub(super) fn finish(mut self, note: impl Fn(&str)) -> Result<Verdict> {
        let Some(coverage) = self.last.take() else {
            return if self.args.thresholds.any() {
                bail!("judge the coverage: there is none")
            } else {
                Ok(Verdict::Passed)
            };
        };
        print(|out| self.args.exports.print(&coverage, self.trace.as_ref(), out))?;
        let mut omitted = Vec::new();
        print(|out| {
            omitted = self.args.text.print(&coverage, is_coloured(), out)?;
            Ok(())
        })?;
        omitted.into_iter().for_each(|line| self.note_once(line, &note));
        let verdict = self.args.thresholds.judge(&coverage);
        // The process ends soon: giving back its memory piece by piece would only take time.
        std::mem::forget(coverage);
        verdict
    }

    fn note_once(&mut self, line: String, note: impl Fn(&str)) {
        if !self.said.contains(&line) {
            note(&line);
            self.said.insert(line);
        }
    }
}

/// Whether stdout is a terminal whose user did not ask for no colours (<https://no-color.org>).
fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to stdout; a reader that has seen enough is no error.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = write(&mut out).and_then(|()| Ok(out.flush()?));
    let is_closed = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    match done {
        Err(error) if is_closed(&error) => Ok(()),
        done => done.context("write to stdout"),
    }
}
