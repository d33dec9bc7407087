//! Coverage as one file, for other programs: `--lcov`, `--json`, `--cobertura`, `--sonarqube`, `--codecov`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;

use crate::coverage::{Coverage, FileCoverage, Metric};
use crate::write::{self, cobertura, codecov, json, lcov, sonarqube};

/// Files for other programs; `-` stands for stdout.
#[derive(Debug, Default, Args)]
pub(super) struct ExportArgs {
    /// Lines, functions and branches for the usual viewers, as `llvm-cov export --format=lcov` writes them
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
    /// All that LLVM's part of a build has, as `llvm-cov export` writes it
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
    /// The folder of the checkout, from which Cobertura, SonarQube and Codecov name files [default: the current one]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Nothing of the build is in llvm-cov's terms.
#[derive(Debug, thiserror::Error)]
#[error("write JSON: it is of regions, and neither what GCC compiled nor a trace has any")]
pub(in crate::cli) struct NoRegions;

/// A form of coverage that is one file.
struct Export {
    path: fn(&ExportArgs) -> Option<&Path>,
    write: fn(&Coverage, &Around<'_>, &mut dyn Write) -> io::Result<()>,
}

/// What a file tells beside the coverage, and how.
struct Around<'a> {
    args: &'a ExportArgs,
    root: PathBuf,
    time_s: u64,
    /// lcov's traces of tests, in place of one of the coverage.
    trace: Option<&'a File>,
}

const EXPORTS: &[Export] = &[
    Export {
        path: |args| args.lcov.as_deref(),
        write: |coverage, around, mut out| match around.trace {
            Some(trace) => copy(trace, out),
            None => lcov::write(coverage, &mut out),
        },
    },
    Export {
        path: |args| args.json.as_deref(),
        write: |coverage, around, mut out| {
            let ExportArgs { summary_only, skip_functions, skip_expansions, .. } = *around.args;
            json::write(coverage, json::Options { summary_only, skip_functions, skip_expansions }, &mut out)
        },
    },
    Export {
        path: |args| args.cobertura.as_deref(),
        write: |coverage, around, mut out| {
            cobertura::write(coverage, Some(&around.root), around.time_s, &mut out)
        },
    },
    Export {
        path: |args| args.sonarqube.as_deref(),
        write: |coverage, around, mut out| sonarqube::write(coverage, Some(&around.root), &mut out),
    },
    Export {
        path: |args| args.codecov.as_deref(),
        write: |coverage, around, mut out| codecov::write(coverage, Some(&around.root), &mut out),
    },
];

impl ExportArgs {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.wanted().next().is_some()
    }

    /// What no file that was asked for has a form for, if it has to be said.
    ///
    /// # Errors
    ///
    /// There is nothing else.
    pub(super) fn left_out(&self, coverage: &Coverage) -> Result<Option<String>> {
        if self.json.is_none() {
            return Ok(None);
        }
        if !coverage.carries(Metric::Regions) {
            return Err(NoRegions.into());
        }
        let files = coverage.files().filter(FileCoverage::has_gcov_part).count();
        let plural = if files == 1 { "" } else { "s" };
        Ok((files > 0).then(|| format!("left out of the JSON: what gcov counted of {files} file{plural}")))
    }

    /// Whether a trace of lcov's is among them.
    pub(super) fn wants_trace(&self) -> bool {
        self.lcov.is_some()
    }

    /// How many go to stdout.
    pub(super) fn num_to_stdout(&self) -> usize {
        self.wanted().filter(|(path, _)| is_stdout(path)).count()
    }

    /// Checks that all files could be written.
    ///
    /// # Errors
    ///
    /// One cannot.
    pub(super) fn check(&self) -> Result<()> {
        for (path, _) in self.wanted().filter(|(path, _)| !is_stdout(path)) {
            write::check_writable(path)?;
        }
        Ok(())
    }

    /// Writes the files; `trace` is what lcov's has, if it is not the coverage's.
    ///
    /// # Errors
    ///
    /// One could not be written; those before it are.
    pub(super) fn write(&self, coverage: &Coverage, trace: Option<&File>) -> Result<()> {
        let around = self.around(trace)?;
        for (path, export) in self.wanted().filter(|(path, _)| !is_stdout(path)) {
            write::write_whole_with(path, |out| (export.write)(coverage, &around, out))?;
        }
        Ok(())
    }

    /// Writes what goes to stdout to `out`.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub(super) fn print(&self, coverage: &Coverage, trace: Option<&File>, out: &mut dyn Write) -> Result<()> {
        let around = self.around(trace)?;
        for (_, export) in self.wanted().filter(|(path, _)| is_stdout(path)) {
            (export.write)(coverage, &around, out)?;
        }
        Ok(())
    }

    fn wanted(&self) -> impl Iterator<Item = (&Path, &'static Export)> {
        EXPORTS.iter().filter_map(|export| Some(((export.path)(self)?, export)))
    }

    fn around<'a>(&'a self, trace: Option<&'a File>) -> Result<Around<'a>> {
        let root = match &self.root {
            Some(root) => std::path::absolute(root).with_context(|| format!("find {}", root.display()))?,
            None => std::env::current_dir().context("ask for the current folder")?,
        };
        let time_s = u64::try_from(Timestamp::now().as_second()).context("read the clock")?;
        Ok(Around { args: self, root, time_s, trace })
    }
}

fn copy(mut trace: &File, out: &mut dyn Write) -> io::Result<()> {
    trace.rewind()?;
    io::copy(&mut trace, out).map(drop)
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}
