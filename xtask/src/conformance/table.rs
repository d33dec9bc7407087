//! The table of what was run, and of what differs.

use std::collections::BTreeMap;
use std::fmt;

use super::Case;
use super::compare::{Difference, Found};
use super::ended::{self, Compared, Named};
use super::kept::{self, Kept};
use super::setups::Setup;

/// A case that was run to its end.
pub(super) type Ended<'a> = ended::Ended<Case<'a>, Found>;

/// How the cases ended.
pub(super) type Table<'t, 'a> = ended::Table<'t, Case<'a>, Found>;

impl Named for Case<'_> {
    const KEPT: &'static [Kept] = kept::OF_LLVM;

    fn name(&self) -> String {
        Case::name(self)
    }
}

impl Compared for Found {
    fn differing(&self) -> impl Iterator<Item = &'static str> {
        self.differences.iter().map(|difference| difference.report)
    }
}

impl fmt::Display for Table<'_, '_> {
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
    if let Some(reason) = kept::reason(kept::OF_LLVM, name, report) {
        return writeln!(f, "{name}: {report} of {counts} counts differs, as it is meant to: {reason}");
    }
    writeln!(
        f,
        "{name}: {report} of {counts} counts differs in line {line}:\n  LLVM:   {theirs}\n  covtap: {ours}"
    )
}
