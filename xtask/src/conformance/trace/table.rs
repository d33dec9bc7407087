//! The tables of what was run, and of what differs.

use std::collections::BTreeMap;
use std::fmt;

use super::kept::{self, KeptLine};
use super::lines::{Place, What};
use super::runs::Method;
use super::{Case, Level};

/// What was run.
pub(super) struct Tables<'t> {
    levels: &'t [Level],
}

impl<'t> Tables<'t> {
    pub(super) fn new(levels: &'t [Level]) -> Self {
        Self { levels }
    }

    fn cases(&self) -> impl Iterator<Item = &'t Case> {
        self.levels.iter().flat_map(|level| level.methods.values()).flatten()
    }

    pub(super) fn run(&self) -> usize {
        self.cases().count()
    }

    pub(super) fn equal(&self) -> usize {
        self.cases().filter(|case| case.difference.is_none()).count()
    }

    pub(super) fn is_as_expected(&self) -> bool {
        !self.levels.is_empty() && self.levels.iter().all(Level::is_as_expected)
    }
}

impl Level {
    fn num(&self, what: What) -> usize {
        self.lines.get(&what).map_or(0, std::collections::BTreeSet::len)
    }

    fn num_false(&self) -> usize {
        self.num(What::FalselyHit) + self.num(What::FalselyMissed)
    }

    /// Lines of which both sides know whether they ran.
    fn num_of_both(&self) -> usize {
        [What::BothHit, What::BothMissed, What::FalselyHit, What::FalselyMissed]
            .map(|what| self.num(what))
            .iter()
            .sum()
    }

    fn name(&self) -> String {
        format!("{} {}", self.toolchain, self.level)
    }

    fn is_optimised(&self) -> bool {
        self.level != "-O0"
    }

    /// Lines that are not the same in both.
    fn differing(&self) -> impl Iterator<Item = (What, &Place)> {
        let differing =
            self.lines.iter().filter(|(what, _)| !matches!(what, What::BothHit | What::BothMissed));
        differing.flat_map(|(what, places)| places.iter().map(|place| (*what, place)))
    }

    /// Why a line may differ.
    fn kept(&self, what: What, place: &Place) -> Option<&'static KeptLine> {
        if self.is_optimised() { None } else { kept::of(self.toolchain.compiler, what, place) }
    }

    /// What may not differ and does.
    fn unexpected(&self) -> impl Iterator<Item = (What, &Place)> {
        let is_optimised = self.is_optimised();
        self.differing().filter(move |(what, place)| !is_optimised && self.kept(*what, place).is_none())
    }

    /// Whether nothing differs but what may.
    pub(super) fn is_as_expected(&self) -> bool {
        let mut cases = self.methods.values().flatten();
        cases.all(|case| case.difference.is_none()) && self.has_expected_lines()
    }

    /// Whether lines are as they were counted, where they must be.
    fn has_expected_lines(&self) -> bool {
        self.num(What::BothHit) > 0 && self.num(What::BothMissed) > 0 && self.unexpected().next().is_none()
    }
}

impl What {
    const ALL: [Self; 6] = [
        Self::BothHit,
        Self::BothMissed,
        Self::FalselyHit,
        Self::FalselyMissed,
        Self::OnlyTraced,
        Self::OnlyCounted,
    ];

    fn is_false(self) -> bool {
        matches!(self, Self::FalselyHit | Self::FalselyMissed)
    }

    fn name(self) -> &'static str {
        match self {
            Self::BothHit => "both hit",
            Self::BothMissed => "both missed",
            Self::FalselyHit => "falsely hit",
            Self::FalselyMissed => "falsely missed",
            Self::OnlyTraced => "only traced",
            Self::OnlyCounted => "only counted",
        }
    }
}

impl fmt::Display for Level {
    /// What is wrong with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        for (method, cases) in &self.methods {
            for case in cases {
                if let Some(difference) = &case.difference {
                    writeln!(f, "{name} {} {}: {difference}", method.name(), case.program)?;
                }
            }
        }
        self.unexpected().try_for_each(|(what, place)| {
            writeln!(f, "{name}: {} {}:{}: {}", what.name(), place.file, place.line, place.text)
        })
    }
}

impl Tables<'_> {
    fn write_methods(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "executed instructions: cases equal / run")?;
        write!(f, "{:<22}", "")?;
        Method::ALL.iter().try_for_each(|method| write!(f, "{:>12}", method.name()))?;
        writeln!(f)?;
        for level in self.levels {
            write!(f, "{level_name:<22}", level_name = level.name())?;
            for method in Method::ALL {
                let cases = level.methods.get(&method).map(Vec::as_slice).unwrap_or_default();
                let equal = cases.iter().filter(|case| case.difference.is_none()).count();
                write!(f, "{:>12}", format!("{equal}/{}", cases.len()))?;
            }
            writeln!(f)?;
        }
        let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.levels.iter().flat_map(|level| &level.left_out) {
            *left_out.entry(name).or_default() += 1;
        }
        let num_levels = self.levels.len();
        left_out.iter().try_for_each(|(name, num)| {
            writeln!(f, "not stepped, since it executes too much: {name}, in {num} of {num_levels}")
        })
    }

    fn write_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lines, by the trace and by the compiler's own counters without optimisation")?;
        write!(f, "{:<22}", "")?;
        What::ALL.iter().try_for_each(|what| write!(f, "{:>15}", what.name()))?;
        writeln!(f, "{:>9}", "false")?;
        for level in self.levels {
            write!(f, "{:<22}", level.name())?;
            What::ALL.iter().try_for_each(|what| write!(f, "{:>15}", level.num(*what)))?;
            let share = 100.0 * level.num_false() as f64 / level.num_of_both().max(1) as f64;
            writeln!(f, "{share:>7.2} %")?;
        }
        Ok(())
    }

    /// What is kept of what is not optimised, and what differs elsewhere.
    fn write_differences(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut kept, mut optimised) = (BTreeMap::new(), BTreeMap::new());
        for level in self.levels {
            for (what, place) in level.differing() {
                match level.kept(what, place) {
                    Some(why) => *kept.entry((why.name, why.reason)).or_insert(0usize) += 1,
                    None if level.is_optimised() && what.is_false() => {
                        *optimised.entry((what, place)).or_insert(0usize) += 1;
                    }
                    None => {}
                }
            }
        }
        for ((name, reason), num) in kept {
            writeln!(f, "-O0: {num} kept differences, {name}: {reason}")?;
        }
        let num_optimised = self.levels.iter().filter(|level| level.is_optimised()).count();
        let sum = |count: fn(&Level) -> usize| -> usize {
            self.levels.iter().filter(|level| level.is_optimised()).map(count).sum()
        };
        let (wrong, of_both) = (sum(Level::num_false), sum(Level::num_of_both));
        if of_both > 0 {
            let share = 100.0 * wrong as f64 / of_both as f64;
            writeln!(f, "optimised: {wrong} of {of_both} lines false, {share:.2} %, goal at most 1 %")?;
        }
        optimised.iter().try_for_each(|((what, place), num)| {
            let (file, line, text) = (&place.file, place.line, place.text.trim());
            writeln!(f, "optimised: {} in {num} of {num_optimised}: {file}:{line}: {text:.60}", what.name())
        })
    }
}

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_methods(f)?;
        self.write_lines(f)?;
        self.write_differences(f)
    }
}
