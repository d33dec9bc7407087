//! The table of what was run, and of what differs.

use std::fmt;

use anyhow::Result;

use super::compare::{Difference, Found};
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
        let is_kept = |difference: &Difference| kept::reason(&name, difference.what).is_some();
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

    pub(super) fn kept(&self) -> usize {
        self.0.iter().filter(|ended| !ended.is_equal() && ended.is_as_expected()).count()
    }

    pub(super) fn is_as_expected(&self) -> bool {
        self.0.iter().all(Ended::is_as_expected)
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

impl fmt::Display for Table<'_> {
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
                match kept::reason(&name, what) {
                    Some(reason) => writeln!(f, "{name}: {what} differs, as it is meant to: {reason}"),
                    None => writeln!(f, "{name}: {what} differs: {detail}"),
                }
            }),
        }
    }
}
