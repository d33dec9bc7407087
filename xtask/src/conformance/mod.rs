//! `cargo xtask conformance`: covtap beside the tools that it stands in for, [`gcov`] for one.
//!
//! `cargo xtask conformance llvm`: covtap's reports beside those of LLVM's own tools, for a corpus of small programs
//! that every compiler at hand builds for every target at hand.
//!
//! What enters is the programs under `tests/conformance`; what leaves is a table of cases run and cases equal, and of
//! each difference its first lines.
//!
//! What always holds: a case is one program as one compiler makes it for one target; it is equal only if every
//! report of it is, byte for byte, for every set of counts. What is not run is named. A compiler that Debian has
//! must be there.

mod alone;
mod build;
mod compare;
mod corpus;
mod counts;
mod ended;
mod gcov;
mod kept;
mod oracle;
mod rust_core;
mod setups;
mod table;
mod trace;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use covtap_testbed::workspace_root;

use crate::provision::{self, Need};
use crate::{Outcome, child};
use alone::Alone;
use build::Builder;
use corpus::Program;
use setups::Setup;
use table::{Ended, Table};

/// What `cargo xtask conformance` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    family: Family,
}

#[derive(Debug, clap::Subcommand)]
enum Family {
    /// Compare with llvm-profdata and llvm-cov
    Llvm(Part),
    /// Compare with libgcov and gcov; a quick run has the compilers of this system
    Gcov(Part),
    /// Compare traces with QEMU's log of each instruction, and their lines with gcov's; a quick run has each compiler for each
    /// target at one level, and only short programs step by step
    Trace(Part),
}

/// Which cases are run.
#[derive(Debug, Default, clap::Args)]
struct Part {
    /// Run a part: every program, and every compiler at hand, at least once
    #[arg(long)]
    quick: bool,
    /// Run only what has this in its name; can be given several times, then all must be in it
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

impl Part {
    /// The part that every check of everything runs.
    fn quick() -> Self {
        Self { quick: true, only: Vec::new() }
    }

    /// Whether what has this name is run.
    fn has(&self, name: &str) -> bool {
        self.only.iter().all(|text| name.contains(text.as_str()))
    }
}

/// In a run of a part, of so many setups one is run with a program.
const QUICK_OF: usize = 7;

/// After so many cases a line says so.
const PROGRESS_OF: usize = 250;

/// One program as one compiler makes it for one target.
#[derive(Clone, Copy, Debug)]
struct Case<'a> {
    program: &'a Program,
    setup: &'a Setup,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.setup.name(), self.program.name)
    }

    /// A folder of its own, kept if the case differs.
    fn dir(&self) -> PathBuf {
        work_dir().join(self.name().replace([' ', '/'], "-"))
    }
}

/// What is built and compared lies here.
fn work_dir() -> PathBuf {
    workspace_root().join("target/conformance")
}

/// Runs what is asked for.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let is_of_traces = matches!(args.family, Family::Trace(_));
    provision::ensure(if is_of_traces { Need::ConformanceTrace } else { Need::Conformance })?;
    let _alone = Alone::in_dir(&work_dir())?;
    match &args.family {
        Family::Llvm(part) => llvm(part),
        Family::Gcov(part) => gcov::run(part),
        Family::Trace(part) => trace::run(part),
    }
}

/// The part that every check of everything runs.
///
/// # Errors
///
/// A case differs, or could not be run.
pub(crate) fn quick() -> Result<()> {
    let _alone = Alone::in_dir(&work_dir())?;
    let outcome = llvm(&Part::quick())?;
    ensure!(outcome == Outcome::Passed, "covtap's reports are not those of LLVM's tools");
    let outcome = gcov::run(&Part::quick())?;
    ensure!(outcome == Outcome::Passed, "covtap's files and counts are not those of libgcov and gcov");
    let outcome = trace::run(&Part::quick())?;
    ensure!(outcome == Outcome::Passed, "covtap's traces are not what QEMU logs, or their lines not gcov's");
    Ok(())
}

fn llvm(part: &Part) -> Result<Outcome> {
    let start = Instant::now();
    let programs = corpus::programs()?;
    let (setups, absent) = setups::all()?;
    let cases = chosen(&programs, &setups, part);
    ensure!(!cases.is_empty(), "no case has all of {:?} in its name", part.only);
    let builder = Builder::prepare()?;
    let ended = run_cases(&cases, &builder)?;
    let table = Table::new(&ended);
    print!("{table}");
    absent.iter().for_each(|absent| println!("not run: {absent}"));
    println!("programs {}, in {:.1} s", programs.len(), start.elapsed().as_secs_f64());
    println!("cases run {}, equal {}, kept differences {}", table.run(), table.equal(), table.kept());
    Ok(if table.is_as_expected() { Outcome::Passed } else { Outcome::Failed })
}

/// The cases to run.
fn chosen<'a>(programs: &'a [Program], setups: &'a [Setup], part: &Part) -> Vec<Case<'a>> {
    let fitting = setups.iter().enumerate().flat_map(|(row, setup)| {
        let fitting = programs.iter().filter(|program| setup.takes(program)).enumerate();
        fitting.map(move |(column, program)| (row, column, Case { program, setup }))
    });
    let all: Vec<_> = fitting.collect();
    let wanted = all.iter().filter(|(row, column, _)| !part.quick || (row + column).is_multiple_of(QUICK_OF));
    let mut cases: Vec<Case<'_>> = wanted.map(|(_, _, case)| *case).collect();
    // A row or a column may be too short to be met.
    for (_, _, case) in &all {
        let is_met = cases.iter().any(|met| std::ptr::eq(met.program, case.program))
            && cases.iter().any(|met| std::ptr::eq(met.setup, case.setup));
        if !is_met {
            cases.push(*case);
        }
    }
    cases.retain(|case| part.has(&case.name()));
    cases
}

/// Runs the cases on all cores, and gives how they ended, in their order.
fn run_cases<'a>(cases: &[Case<'a>], builder: &Builder) -> Result<Vec<Ended<'a>>> {
    on_all_cores(cases, |case| {
        let case = Ended::new(*case, compare::case(case, builder));
        // What is wrong is seen at once.
        print!("{case}");
        case
    })
}

/// Does the work for each case, several at a time, and gives what came of it, in their order.
fn on_all_cores<C: Sync, E: Send>(cases: &[C], work: impl Fn(&C) -> E + Sync) -> Result<Vec<E>> {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::with_capacity(cases.len()));
    let worker = || {
        while let Some((index, case)) = next_case(&next, cases) {
            if index > 0 && index.is_multiple_of(PROGRESS_OF) {
                eprintln!("{index} of {} cases begun", cases.len());
            }
            let case = work(case);
            if let Ok(mut ended) = ended.lock() {
                ended.push((index, case));
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker))));
    child::go_on()?;
    let mut ended = ended.into_inner().ok().context("a case panicked")?;
    ended.sort_by_key(|(index, _)| *index);
    Ok(ended.into_iter().map(|(_, ended)| ended).collect())
}

/// The next case that nobody runs, unless the user has interrupted.
fn next_case<'c, C>(next: &AtomicUsize, cases: &'c [C]) -> Option<(usize, &'c C)> {
    child::go_on().ok()?;
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, case))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_every_program_and_every_setup() {
        let programs = corpus::programs().unwrap();
        let setups = setups::clang();
        let part = chosen(&programs, &setups, &Part::quick());
        let all = chosen(&programs, &setups, &Part::default());
        assert!(part.len() < all.len() / 3, "{} of {}", part.len(), all.len());
        for setup in &setups {
            assert!(part.iter().any(|case| std::ptr::eq(case.setup, setup)), "{}", setup.name());
        }
        for program in programs.iter().filter(|program| program.language != corpus::Language::Rust) {
            assert!(part.iter().any(|case| std::ptr::eq(case.program, program)), "{}", program.name);
        }
    }
}
