//! How much ran: of functions, instantiations, lines, regions, branches and conditions.
//!
//! Sums over files are over groups of instantiations, of which the best covered counts, as Clang's documentation
//! of source-based coverage defines it; gcov's lines, branches and conditions are added up over instantiations first.
//! Source: `CoverageSummaryInfo.cpp` and `CoverageReport.cpp` in `llvm/tools/llvm-cov`, llvmorg-19.1.7.

use std::collections::HashMap;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use super::file::FileCoverage;
use super::function::{CountedRegion, FunctionCoverage};
use super::gcov::{ConditionCount, FunctionSum, LineSum, SourceSum};
use super::lines::LineRun;
use super::mapping::RegionKind;
use super::mcdc::McdcCondition;
use super::whole_lines;

/// How many of how many. None of 0 also where the build does not carry the metric:
/// [`Coverage::carries`](super::Coverage::carries) tells.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Those that ran.
    pub covered: u64,
    /// All.
    pub total: u64,
}

impl Tally {
    /// The share that ran; none where there is nothing.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a share of more than 2^53 things is none the worse for it"
    )]
    pub fn percent(self) -> Option<f64> {
        (self.total > 0).then(|| self.covered as f64 / self.total as f64 * 100.0)
    }

    pub(super) fn of(covered: impl Iterator<Item = bool>) -> Self {
        covered.map(Self::one).sum()
    }

    fn one(is_covered: bool) -> Self {
        Self { covered: u64::from(is_covered), total: 1 }
    }

    fn max(self, other: Self) -> Self {
        Self { covered: self.covered.max(other.covered), total: self.total.max(other.total) }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            covered: self.covered.saturating_add(other.covered),
            total: self.total.saturating_add(other.total),
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Self::add)
    }
}

/// How much ran, by what is counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Statistics {
    /// Functions of the source: each counts once, and ran if an instantiation of it did.
    pub functions: Tally,
    /// Functions of the program.
    pub instantiations: Tally,
    /// Lines that have code.
    pub lines: Tally,
    /// Regions of code.
    pub regions: Tally,
    /// Outcomes of branches, two for each.
    pub branches: Tally,
    /// Conditions of decisions that were shown to decide by themselves (MC/DC). As llvm-cov 19 counts them, those that
    /// the compiler knew the outcome of are not among all of them, but are among those that ran if they are.
    pub mcdc: Tally,
    /// Outcomes of conditions, two for each, that were seen to decide by themselves: what gcov's `--conditions` counts.
    pub conditions: Tally,
    /// Prime paths of functions that were taken: what gcov's `--prime-paths` counts.
    pub paths: Tally,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Metric {
    /// [`Statistics::functions`].
    Functions,
    /// [`Statistics::instantiations`].
    Instantiations,
    /// [`Statistics::lines`].
    Lines,
    /// [`Statistics::regions`].
    Regions,
    /// [`Statistics::branches`].
    Branches,
    /// [`Statistics::mcdc`].
    Mcdc,
    /// [`Statistics::conditions`].
    Conditions,
    /// [`Statistics::paths`].
    Paths,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Functions,
        Self::Instantiations,
        Self::Lines,
        Self::Regions,
        Self::Branches,
        Self::Mcdc,
        Self::Conditions,
        Self::Paths,
    ];
}

impl Statistics {
    /// The tally of a metric.
    #[must_use]
    pub fn of(&self, metric: Metric) -> Tally {
        match metric {
            Metric::Functions => self.functions,
            Metric::Instantiations => self.instantiations,
            Metric::Lines => self.lines,
            Metric::Regions => self.regions,
            Metric::Branches => self.branches,
            Metric::Mcdc => self.mcdc,
            Metric::Conditions => self.conditions,
            Metric::Paths => self.paths,
        }
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.functions = self.functions + other.functions;
        self.instantiations = self.instantiations + other.instantiations;
        self.lines = self.lines + other.lines;
        self.regions = self.regions + other.regions;
        self.branches = self.branches + other.branches;
        self.mcdc = self.mcdc + other.mcdc;
        self.conditions = self.conditions + other.conditions;
        self.paths = self.paths + other.paths;
    }
}

pub(super) fn of_file(file: &FileCoverage<'_>) -> Statistics {
    let sum = of_llvm(file);
    match file.sum {
        None => sum,
        Some(units) => {
            let whole = of_whole_lines(units.lines());
            let (functions, instantiations) = of_both(file, units, sum);
            // A line that both count is one.
            let lines = file.lines().iter().map(LineRun::tally).sum();
            let branches = sum.branches + whole.branches;
            Statistics {
                functions,
                instantiations,
                lines,
                branches,
                conditions: whole.conditions,
                paths: of_paths(units.functions()),
                ..sum
            }
        }
    }
}

/// How many functions and instantiations LLVM and gcov know together: one of the same name is the same.
fn of_both(file: &FileCoverage<'_>, units: &SourceSum, llvm: Statistics) -> (Tally, Tally) {
    let (mut functions, mut instantiations) = (llvm.functions, llvm.instantiations);
    let mut known: HashMap<&[u8], bool> = HashMap::new();
    for group in file.llvm_groups().into_values() {
        let has_run = group.iter().any(|function| function.count > 0);
        known.extend(group.into_iter().map(|function| (&*function.name, has_run)));
    }
    let place = |function: &FunctionSum| (function.start_line, function.start_column);
    for group in units.functions().chunk_by(|a, b| place(a) == place(b)) {
        let has_run = group.iter().any(|function| function.count > 0);
        match group.iter().find(|function| known.contains_key(&*function.name)) {
            None => {
                functions = functions + Tally::one(has_run);
                instantiations = instantiations + Tally::of(group.iter().map(|function| function.count > 0));
            }
            Some(function) => {
                let ran_before = known.insert(&function.name, has_run).unwrap_or_default();
                functions.covered = functions.covered.saturating_add(u64::from(has_run && !ran_before));
            }
        }
    }
    functions.covered = functions.covered.min(functions.total);
    (functions, instantiations)
}

/// All of one of gcov's functions.
pub(super) fn of_sum(function: &FunctionSum) -> Statistics {
    Statistics { paths: of_paths(std::slice::from_ref(function)), ..of_whole_lines(&function.lines) }
}

fn of_paths(functions: &[FunctionSum]) -> Tally {
    let counted = functions.iter().filter_map(|function| function.paths);
    counted.map(|paths| Tally { covered: paths.covered.into(), total: paths.total.into() }).sum()
}

/// Lines, branches and conditions of lines that are counted as wholes.
fn of_whole_lines(lines: &[LineSum]) -> Statistics {
    let decisions = lines.iter().flat_map(|line| &line.conditions);
    Statistics {
        lines: Tally::of(lines.iter().map(|line| line.count > 0)),
        branches: whole_lines::branches(lines).map(|branch| branch.tally()).sum(),
        conditions: decisions.map(ConditionCount::tally).sum(),
        ..Statistics::default()
    }
}

fn of_llvm(file: &FileCoverage<'_>) -> Statistics {
    let mut sum = Statistics::default();
    for group in file.llvm_groups().values() {
        let best = group.iter().map(|function| of_function(function));
        let best = best.reduce(|a, b| Statistics {
            lines: a.lines.max(b.lines),
            regions: a.regions.max(b.regions),
            branches: a.branches.max(b.branches),
            mcdc: a.mcdc.max(b.mcdc),
            ..a
        });
        sum += Statistics {
            // The sum of all counts, which wraps as LLVM's does.
            functions: Tally::one(group.iter().fold(0u64, |sum, f| sum.wrapping_add(f.count)) > 0),
            instantiations: Tally::of(group.iter().map(|function| function.count > 0)),
            ..best.unwrap_or_default()
        };
    }
    sum
}

/// Lines, regions, branches and conditions of one function.
pub(super) fn of_function(function: &FunctionCoverage) -> Statistics {
    let code = function.regions.iter().filter(|region| region.kind == RegionKind::Code);
    let main = function.main_file().unwrap_or(u32::MAX);
    let expanded = function.expanded_branches(main).map(|(_, branch)| branch);
    let branches = function.branches.iter().filter(|branch| branch.file == main).chain(expanded);
    let records = function.mcdc_records.iter().filter(|record| record.file == main);
    Statistics {
        lines: function.lines().iter().map(LineRun::tally).sum(),
        regions: Tally::of(code.map(|region| region.count > 0)),
        branches: Tally::of(branches.filter(|branch| !branch.is_folded).flat_map(outcomes)),
        mcdc: of_conditions(records.flat_map(|record| &record.conditions)),
        ..Statistics::default()
    }
}

fn outcomes(branch: &CountedRegion) -> [bool; 2] {
    [branch.count > 0, branch.false_count > 0]
}

fn of_conditions<'a>(conditions: impl Iterator<Item = &'a McdcCondition>) -> Tally {
    let tally = |condition: &McdcCondition| Tally {
        covered: u64::from(condition.pair.is_some()),
        total: u64::from(!condition.is_folded),
    };
    conditions.map(tally).sum()
}
