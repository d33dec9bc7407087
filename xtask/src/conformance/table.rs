//! The table of what was run, and of what differs.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

use super::compare::{Difference, Found};
use super::setups::Setup;
use super::{Case, kept};

/// A case that was run to its end.
pub(super) struct Ended<'a> {
    case: Case<'a>,
    found: Result<Found>,
}

impl<'a> Ended<'a> {
    pub(super) fn new(case: Case<'a>, found: Result<Found>) -> Self {
        Self { case, found }
    }

    fn is_equal(&self) -> bool {
        self.found.as_ref().is_ok_and(|found| found.differences.is_empty())
    }

    /// Whether all that differs is kept on purpose.
    fn is_as_expected(&self) -> bool {
        let name = self.case.name();
        let is_kept = |difference: &Difference| kept::reason(&name, difference.report).is_some();
        self.found.as_ref().is_ok_and(|found| found.differences.iter().all(is_kept))
    }
}

/// How the cases ended.
pub(super) struct Table<'a>(&'a [Ended<'a>]);

impl<'a> Table<'a> {
    pub(super) fn new(ended: &'a [Ended<'a>]) -> Self {
        Self(ended)
    }

    pub(super) fn run(&self) -> usize {
        self.0.len()
    }

    pub(super) fn equal(&self) -> usize {
        self.0.iter().filter(|ended| ended.is_equal()).count()
    }

    pub(super) fn is_as_expected(&self) -> bool {
        self.0.iter().all(Ended::is_as_expected)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<usize, (&Setup, [usize; 4])> = BTreeMap::new();
        let mut known: Vec<&Setup> = Vec::new();
        for ended in self.0 {
            let setup = ended.case.setup;
            let index = known.iter().position(|known| std::ptr::eq(*known, setup)).unwrap_or(known.len());
            if index == known.len() {
                known.push(setup);
            }
            let (reports, is_other) = ended
                .found
                .as_ref()
                .map_or((0, false), |found| (found.reports, found.is_other_in_own_release));
            let (_, sums) = rows.entry(index).or_insert((setup, [0; 4]));
            let case = [1, usize::from(ended.is_equal()), reports, usize::from(is_other)];
            sums.iter_mut().zip(case).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
        let (language, compiler) = ("", "compiler");
        writeln!(
            f,
            "{language:<6}{compiler:<24}{:<10}{:<12}{:>6}{:>7}{:>9}",
            "target", "", "cases", "equal", "reports"
        )?;
        for (setup, [run, equal, reports, other]) in rows.values() {
            write!(f, "{setup}{run:>6}{equal:>7}{reports:>9}")?;
            if *other > 0 {
                write!(f, "   {other} traces of llvm-cov-{} are not those of 19", setup.compiler.llvm)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Ended<'_> {
    /// What is wrong with the case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.case.name();
        match &self.found {
            Err(error) => writeln!(f, "{name}: {error:#}"),
            Ok(found) => found.differences.iter().try_for_each(|one| difference(f, &name, one)),
        }
    }
}

fn difference(f: &mut fmt::Formatter<'_>, name: &str, difference: &Difference) -> fmt::Result {
    let Difference { report, counts, line, ours, theirs } = difference;
    if let Some(reason) = kept::reason(name, report) {
        return writeln!(f, "{name}: {report} of {counts} counts differs, as it is meant to: {reason}");
    }
    writeln!(
        f,
        "{name}: {report} of {counts} counts differs in line {line}:\n  LLVM:   {theirs}\n  covtap: {ours}"
    )
}
