//! Coverage in the forms that were asked for: what `report`, `record` and `snapshot` share.
//!
//! What enters is images with their mappings, and counts; what leaves is files, text on stdout, and a verdict.
//! What always holds: files are checked before a target is touched, and each is written whole; stdout gets text once, at
//! the end.

mod files;
mod threshold;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;

use super::Verdict;
use crate::coverage::{Coverage, Mapping};
use crate::image::Image;
use crate::locate::llvm::Names;
use crate::write::{self, cobertura, codecov, json, lcov, missing, sonarqube};

use files::FileArgs;
use threshold::ThresholdArgs;

/// The forms that coverage can be written in.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Coverage")]
pub(super) struct FormatArgs {
    /// Lines, functions and branches for the usual viewers, as `llvm-cov export --format=lcov` writes them
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
    /// All there is, as `llvm-cov export` writes it
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// In the JSON only the summaries
    #[arg(long, requires = "json")]
    summary_only: bool,
    /// In the JSON no functions
    #[arg(long, requires = "json")]
    skip_functions: bool,
    /// In the JSON no expansions of macros
    #[arg(long, requires = "json")]
    skip_expansions: bool,
    /// Cobertura's XML, for Jenkins, GitLab and Azure DevOps
    #[arg(long, value_name = "FILE")]
    cobertura: Option<PathBuf>,
    /// SonarQube's generic test coverage
    #[arg(long, value_name = "FILE")]
    sonarqube: Option<PathBuf>,
    /// Codecov's own JSON
    #[arg(long, value_name = "FILE")]
    codecov: Option<PathBuf>,
    /// Print the lines that did not run, file by file, on stdout
    #[arg(long)]
    show_missing_lines: bool,
    /// The folder of the checkout, from which Cobertura, SonarQube and Codecov name files [default: the current one]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

/// A form of coverage that is one file; `-` stands for stdout.
struct FileFormat {
    path: fn(&FormatArgs) -> Option<&Path>,
    write: fn(&Coverage, &Around<'_>, &mut dyn Write) -> io::Result<()>,
}

/// What a format tells beside the coverage, and how.
struct Around<'a> {
    args: &'a FormatArgs,
    root: PathBuf,
    time_s: u64,
}

const FILE_FORMATS: &[FileFormat] = &[
    FileFormat {
        path: |args| args.lcov.as_deref(),
        write: |coverage, _, mut out| lcov::write(coverage, &mut out),
    },
    FileFormat {
        path: |args| args.json.as_deref(),
        write: |coverage, around, mut out| {
            let FormatArgs { summary_only, skip_functions, skip_expansions, .. } = *around.args;
            json::write(coverage, json::Options { summary_only, skip_functions, skip_expansions }, &mut out)
        },
    },
    FileFormat {
        path: |args| args.cobertura.as_deref(),
        write: |coverage, around, mut out| {
            cobertura::write(coverage, Some(&around.root), around.time_s, &mut out)
        },
    },
    FileFormat {
        path: |args| args.sonarqube.as_deref(),
        write: |coverage, around, mut out| sonarqube::write(coverage, Some(&around.root), &mut out),
    },
    FileFormat {
        path: |args| args.codecov.as_deref(),
        write: |coverage, around, mut out| codecov::write(coverage, Some(&around.root), &mut out),
    },
];

/// The forms that were asked for, and the last coverage there was.
pub(super) struct Formats<'a> {
    args: &'a FormatArgs,
    last: Option<Coverage>,
}

impl<'a> Formats<'a> {
    /// Checks that all files could be written.
    ///
    /// # Errors
    ///
    /// One cannot.
    pub(super) fn prepare(args: &'a FormatArgs) -> Result<Self> {
        let formats = Self { args, last: None };
        for (path, _) in formats.files() {
            write::check_writable(path)?;
        }
        if FILE_FORMATS.iter().filter_map(|format| (format.path)(args)).filter(|path| is_stdout(path)).count()
            > 1
        {
            bail!("write to stdout: more than one option wants to (-)");
        }
        Ok(formats)
    }

    /// Whether anything was asked for that needs the source.
    pub(super) fn are_wanted(&self) -> bool {
        FILE_FORMATS.iter().any(|format| (format.path)(self.args).is_some())
            || self.args.show_missing_lines
            || self.args.thresholds.are_given()
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

    /// Writes the files of one snapshot or profile.
    ///
    /// # Errors
    ///
    /// A file could not be written.
    pub(super) fn write(&mut self, mut coverage: Coverage) -> Result<()> {
        self.args.files.leave_out(&mut coverage);
        let around = self.around()?;
        for (path, format) in self.files() {
            write::write_whole_with(path, |out| (format.write)(&coverage, &around, out))?;
        }
        self.last = Some(coverage);
        Ok(())
    }

    /// Prints what goes to stdout, and judges the last coverage.
    ///
    /// # Errors
    ///
    /// Stdout could not be written to; or there is nothing to judge.
    pub(super) fn finish(&self) -> Result<Verdict> {
        let Some(coverage) = &self.last else {
            return if self.args.thresholds.are_given() {
                bail!("judge the coverage: there is none")
            } else {
                Ok(Verdict::Passed)
            };
        };
        let around = self.around()?;
        for format in FILE_FORMATS {
            if (format.path)(self.args).is_some_and(is_stdout) {
                print(|out| (format.write)(coverage, &around, out))?;
            }
        }
        if self.args.show_missing_lines {
            print(|mut out| missing::write(coverage, &mut out))?;
        }
        self.args.thresholds.judge(coverage)
    }

    fn around(&self) -> Result<Around<'a>> {
        let root = match &self.args.root {
            Some(root) => root.clone(),
            None => std::env::current_dir().context("ask for the current folder")?,
        };
        let time_s = u64::try_from(Timestamp::now().as_second()).context("read the clock")?;
        Ok(Around { args: self.args, root, time_s })
    }

    fn files(&self) -> impl Iterator<Item = (&'a Path, &'static FileFormat)> + use<'a> {
        let args = self.args;
        FILE_FORMATS.iter().filter_map(move |format| {
            let path = (format.path)(args).filter(|path| !is_stdout(path))?;
            Some((path, format))
        })
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes to stdout; a reader that has seen enough is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("write to stdout"),
    }
}
