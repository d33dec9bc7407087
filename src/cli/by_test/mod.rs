//! `covtap report --by-test`: what each of a session's labelled tests reaches.
//!
//! What enters is a folder that `--test-dir` of a session wrote, and the programs; what leaves is a table of tests, one
//! of lines, traces by test, and all that `report` makes of the sum. What always holds: programs and notes are decoded
//! once; few tests' counts are in memory at a time; tests are in the order of the index, however they were shared out.

mod folder;
mod gcov;
mod llvm;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use rayon::prelude::*;

use super::Verdict;
use super::formats::{self, FormatArgs, Formats};
use super::inputs::Inputs;
use super::report::{self, ReportError};
use super::terminal::say as note;
use crate::coverage::{ByTest, Coverage, TestReach};
use crate::profile::StoredProfile;
use crate::write::{self, by_test, lcov};

use folder::TestFiles;
use gcov::{GcovPart, TestData};
use llvm::LlvmPart;

/// How many tests each processor has in memory.
const TESTS_PER_PROCESSOR: usize = 2;

/// Tests that a session told apart.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Tests")]
pub(super) struct TestArgs {
    /// Print what each test reaches of those that --test-dir of a session wrote to DIR; other reports are of all
    /// together, --lcov of each
    #[arg(long, value_name = "DIR")]
    pub(super) by_test: Option<PathBuf>,
    /// Print the tests that reach a line, with its counts; FILE is a path or the end of one; may be given again
    #[arg(long, value_name = "FILE:LINE", requires = "by_test", value_parser = Place::parse)]
    tests_of: Vec<Place>,
    /// Write the tests of every line, as JSON
    #[arg(long, value_name = "FILE", requires = "by_test")]
    test_table: Option<PathBuf>,
}

/// A line of a file, as the user names it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    file: String,
    line: u32,
}

/// What a folder of tests or the programs do not have.
#[derive(Debug, thiserror::Error)]
pub(super) enum ByTestError {
    /// The index is empty.
    #[error("report by test: {} names no test", index.display())]
    NoTests {
        /// The index.
        index: PathBuf,
    },
    /// A file is elsewhere.
    #[error("report test {test}: {} leads out of the folder, to {}", path.display(), real.display())]
    Outside {
        /// The test.
        test: String,
        /// The file.
        path: PathBuf,
        /// Where it is.
        real: PathBuf,
    },
    /// A profile is something else.
    #[error("report test {test}: {} is no file", path.display())]
    NotAFile {
        /// The test.
        test: String,
        /// What should be a profile.
        path: PathBuf,
    },
    /// A folder is something else.
    #[error("report test {test}: {} is no folder", path.display())]
    NotAFolder {
        /// The test.
        test: String,
        /// What should be a folder.
        path: PathBuf,
    },
    /// Nothing of a test's profile fits.
    #[error(
        "report test {test}: of the {functions} functions of its profile none is in {images} as it was built"
    )]
    OtherProgram {
        /// The test.
        test: String,
        /// How many functions its profile has.
        functions: usize,
        /// The ELFs.
        images: String,
    },
    /// Counts are given that no test has.
    #[error("report by test: {} has counts, and is of no test", path.display())]
    OfNoTest {
        /// The file.
        path: PathBuf,
    },
}

impl Place {
    /// Reads `FILE:LINE`.
    fn parse(text: &str) -> Result<Self, String> {
        let (file, line) = text.rsplit_once(':').ok_or("wants FILE:LINE")?;
        let line = line.parse().map_err(|error| format!("its line: {error}"))?;
        match (file, line) {
            ("", _) => Err("no file before the :".to_owned()),
            (_, 0) => Err("lines begin at 1".to_owned()),
            _ => Ok(Self { file: file.to_owned(), line }),
        }
    }
}

/// Reports.
///
/// # Errors
///
/// The folder is none of tests, or a file of it cannot be read or is of another program; or what was asked for cannot be
/// written.
pub(super) fn run(
    folder: &Path,
    args: &TestArgs,
    inputs: &[PathBuf],
    verbose: bool,
    format_args: &FormatArgs,
) -> Result<Verdict> {
    let inputs = Inputs::sort(inputs)?;
    if let Some(path) = inputs.profiles.iter().chain(&inputs.data).chain(&inputs.traces).next() {
        return Err(ByTestError::OfNoTest { path: path.clone() }.into());
    }
    let mut formats = Formats::prepare(format_args, inputs.elves.clone())?;
    let prints_summary = check_outputs(args, &formats)?;
    let tests = folder::open(folder)?;
    for test in tests.iter().filter(|test| test.is_cut) {
        note(&format!(
            "test {} had not ended when its session did: what it counted until then is shown",
            test.name
        ));
    }
    let (by_test, all, trace) = Evaluation::new(&formats, &inputs, &tests)?.run(verbose)?;
    let places = find(&by_test, &args.tests_of)?;
    if let Some(path) = args.test_table.as_ref().filter(|path| path.as_os_str() != "-") {
        write::write_whole_with(path, |mut out| by_test::write_table(&by_test, &mut out))?;
    }
    let runs: Vec<u64> = tests.iter().map(|test| test.runs).collect();
    formats::print(|mut out| {
        if prints_summary {
            by_test::write_summary(&by_test, &runs, &all, &mut out)?;
        } else if args.test_table.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            by_test::write_table(&by_test, &mut out)?;
        }
        for (file, line) in &places {
            writeln!(out)?;
            by_test::write_tests_of(&by_test, file, *line, &mut out)?;
        }
        if formats.has_text() {
            writeln!(out)?;
        }
        Ok(())
    })?;
    formats.set_trace(trace);
    formats.write(all, &[folder.to_owned()], note)?;
    formats.finish(note)
}

/// Checks that all files could be written, and tells whether stdout is free for the table of tests.
fn check_outputs(args: &TestArgs, formats: &Formats<'_>) -> Result<bool> {
    let mut num_files = formats.num_files_to_stdout();
    match &args.test_table {
        Some(path) if path.as_os_str() == "-" => num_files = num_files.saturating_add(1),
        Some(path) => write::check_writable(path)?,
        None => {}
    }
    let has_text = formats.has_text() || !args.tests_of.is_empty();
    if num_files.saturating_add(usize::from(has_text)) > 1 {
        bail!(formats::MORE_THAN_ONE);
    }
    Ok(num_files == 0)
}

/// The full names of files, each with a line.
fn find<'b>(by_test: &'b ByTest, places: &[Place]) -> Result<Vec<(&'b [u8], u32)>> {
    places.iter().map(|place| Ok((by_test.find_file(&place.file)?, place.line))).collect()
}

/// The tests, one after the other, and their sum.
struct Evaluation<'a> {
    formats: &'a Formats<'a>,
    tests: &'a [TestFiles],
    llvm: Option<LlvmPart<'a>>,
    gcov: Option<GcovPart>,
    trace: Option<Trace>,
}

/// Traces of lcov's, until they are put where they belong.
struct Trace {
    names: Vec<String>,
    out: BufWriter<File>,
}

/// A test by itself.
struct Evaluated {
    reach: TestReach,
    trace: Vec<u8>,
    profile: Option<StoredProfile>,
    data: TestData,
}

impl<'a> Evaluation<'a> {
    fn new(formats: &'a Formats<'a>, inputs: &'a Inputs, tests: &'a [TestFiles]) -> Result<Self> {
        let gcov = gcov_part(inputs, tests)?;
        let elves = &inputs.elves;
        // Beside gcov's files there may be programs that LLVM has no part in.
        let of_llvm = if gcov.is_some() { report::with_mapping(elves)? } else { report::paths(elves) };
        let has_profiles = tests.iter().any(|test| test.profile.is_some());
        let llvm = match (has_profiles, gcov.is_some()) {
            (true, _) if elves.is_empty() => return Err(ReportError::NoElf.into()),
            // Without any, the error says what is missing.
            (true, _) if of_llvm.is_empty() => Some(LlvmPart::new(formats, report::paths(elves))?),
            (true, _) => Some(LlvmPart::new(formats, of_llvm)?),
            (false, false) => return Err(ReportError::NoProfile.into()),
            (false, true) => {
                of_llvm.iter().for_each(|path| note(&report::without_profile(path)));
                None
            }
        };
        let trace = if formats.wants_trace() { Some(Trace::new(tests)?) } else { None };
        Ok(Self { formats, tests, llvm, gcov, trace })
    }

    /// Evaluates all tests, and what they reached together.
    fn run(mut self, verbose: bool) -> Result<(ByTest, Coverage, Option<File>)> {
        let mut by_test = ByTest::default();
        let tests = self.tests;
        let batch = rayon::current_num_threads().saturating_mul(TESTS_PER_PROCESSOR).max(1);
        let mut trace_names =
            self.trace.as_ref().map(|trace| trace.names.clone()).unwrap_or_default().into_iter();
        for some in tests.chunks(batch) {
            let some: Vec<(&TestFiles, Option<String>)> =
                some.iter().map(|test| (test, trace_names.next())).collect();
            let evaluated: Vec<Result<Evaluated>> = some
                .par_iter()
                .map(|(test, trace_name)| self.evaluate(test, trace_name.as_deref()))
                .collect();
            for ((test, _), evaluated) in some.iter().zip(evaluated) {
                self.take(&mut by_test, test, evaluated?)?;
            }
        }
        let all = self.sum(verbose)?;
        by_test.finish(&all);
        Ok((by_test, all, self.trace.map(Trace::finish).transpose()?))
    }

    fn evaluate(&self, test: &TestFiles, trace_name: Option<&str>) -> Result<Evaluated> {
        let mut coverage = Coverage::default();
        let mut profile = None;
        if let (Some(llvm), Some(path)) = (&self.llvm, &test.profile) {
            let counts = llvm.read(path)?;
            llvm.add_test(&mut coverage, &test.name, &counts)?;
            profile = Some(counts);
        }
        let mut data = TestData::default();
        if let Some(gcov) = &self.gcov {
            data = gcov.read(test);
            gcov.add_test(self.formats, &mut coverage, &data);
        }
        self.formats.leave_out(&mut coverage);
        let mut trace = Vec::new();
        if let Some(name) = trace_name {
            lcov::write_test(&coverage, name, &mut trace).context("write a trace to memory")?;
        }
        Ok(Evaluated { reach: TestReach::of(&coverage), trace, profile, data })
    }

    fn take(&mut self, by_test: &mut ByTest, test: &TestFiles, evaluated: Evaluated) -> Result<()> {
        let Evaluated { reach, trace, profile, data } = evaluated;
        by_test.add(&test.name, reach);
        if let Some(file) = &mut self.trace {
            file.out.write_all(&trace).context(TRACE_FAILED)?;
        }
        if let (Some(llvm), Some(path), Some(profile)) = (&mut self.llvm, &test.profile, profile) {
            llvm.sum_up(path, profile)?;
        }
        if let Some(gcov) = &mut self.gcov {
            gcov.sum_up(data);
        }
        Ok(())
    }

    /// What all tests reached together; what is left out is said.
    fn sum(&mut self, verbose: bool) -> Result<Coverage> {
        let mut all = Coverage::default();
        if let Some(llvm) = &mut self.llvm {
            llvm.add_sum(&mut all);
            report::say(&report::left_out(&all), "functions", verbose);
        }
        if let Some(gcov) = &mut self.gcov {
            let left_out = gcov.add_sum(self.formats, &mut all)?;
            report::say_of_gcov(&all, &left_out, verbose);
        }
        self.formats.leave_out(&mut all);
        Ok(all)
    }
}

/// gcov's part, if there is any.
fn gcov_part(inputs: &Inputs, tests: &[TestFiles]) -> Result<Option<GcovPart>> {
    if !inputs.has_gcov() && tests.iter().all(|test| test.data.is_empty() && test.notes.is_empty()) {
        return Ok(None);
    }
    let of_tests = tests.iter().flat_map(|test| &test.notes);
    Ok(Some(GcovPart::new(inputs.notes.iter().chain(of_tests).cloned())?))
}

const TRACE_FAILED: &str = "write a trace to the folder for temporary files";

impl Trace {
    fn new(tests: &[TestFiles]) -> Result<Self> {
        let names = lcov::test_names(tests.iter().map(|test| test.name.as_str()));
        for (test, name) in tests.iter().zip(&names) {
            if *name != lcov::plain_test_name(&test.name) {
                note(&format!("test {} is {name} in the trace: another one has its name there", test.name));
            }
        }
        Ok(Self { names, out: BufWriter::new(tempfile::tempfile().context(TRACE_FAILED)?) })
    }

    fn finish(self) -> Result<File> {
        self.out.into_inner().context(TRACE_FAILED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_and_a_line() {
        let place = |file: &str, line| Ok(Place { file: file.to_owned(), line });
        assert_eq!(Place::parse("src/a.c:12"), place("src/a.c", 12));
        assert_eq!(Place::parse("c:/a.c:1"), place("c:/a.c", 1));
        for text in ["a.c", ":1", "a.c:", "a.c:0", "a.c:-1", "a.c:4294967296", "a.c:1x"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
