//! The table of what was run, and of what differs.

use std::fmt;

use super::super::ended::{self, Compared, Named};
use super::super::kept::{self, Kept};
use super::Case;
use super::compare::{Difference, Found};

/// A case that was run to its end.
pub(super) type Ended<'a> = ended::Ended<Case<'a>, Found>;

/// How the cases ended.
pub(super) type Table<'t, 'a> = ended::Table<'t, Case<'a>, Found>;

impl Named for Case<'_> {
    const KEPT: &'static [Kept] = kept::OF_GCOV;

    fn name(&self) -> String {
        Case::name(self)
    }
}

impl Compared for Found {
    fn differing(&self) -> impl Iterator<Item = &'static str> {
        self.differences.iter().map(|difference| difference.what)
    }
}

/// A column's name, and what it adds up.
type Column = (&'static str, fn(&Found) -> usize);

const COLUMNS: [Column; 6] = [
    ("gcda", |found| found.data_files),
    ("functions", |found| found.functions),
    ("lines", |found| found.lines),
    ("branches", |found| found.branches),
    ("conditions", |found| found.conditions),
    ("lcov", |found| found.entries),
];

impl fmt::Display for Table<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}{:>6}{:>7}", "compiler", "cases", "equal")?;
        COLUMNS.iter().try_for_each(|(name, _)| write!(f, "{name:>11}"))?;
        writeln!(f)?;
        // The cases of one setup follow each other.
        let is_same = |a: &Ended<'_>, b: &Ended<'_>| {
            std::ptr::eq(a.case.toolchain, b.case.toolchain) && a.case.flavour == b.case.flavour
        };
        for row in self.0.chunk_by(is_same) {
            let Some(Ended { case, .. }) = row.first() else { continue };
            let equal = row.iter().filter(|ended| ended.is_equal()).count();
            let setup = format!("{} {}", case.toolchain, case.flavour.name);
            write!(f, "{setup:<24}{:>6}{equal:>7}", row.len())?;
            for (_, of) in COLUMNS {
                let found = row.iter().filter_map(|ended| ended.found.as_ref().ok());
                write!(f, "{:>11}", found.map(of).sum::<usize>())?;
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
            Ok(found) => found.differences.iter().try_for_each(|Difference { what, detail }| {
                match kept::reason(kept::OF_GCOV, &name, what) {
                    Some(reason) => writeln!(f, "{name}: {what} differs, as it is meant to: {reason}"),
                    None => writeln!(f, "{name}: {what} differs: {detail}"),
                }
            }),
        }
    }
}
