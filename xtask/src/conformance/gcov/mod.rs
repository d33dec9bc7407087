//! `cargo xtask conformance gcov`: covtap's `.gcda` files beside libgcov's, and its counts of lines, functions,
//! branches and conditions beside gcov's, in numbers and as `covtap report` has them, for a corpus of small programs
//! that every GCC at hand builds in every way.
//!
//! What enters is the programs of C and C++ under `tests/conformance` and those under `tests/gcov`; what leaves is a
//! table of cases run and cases equal, and of each difference its first place.
//!
//! What always holds: a case is one program as one compiler makes it with one set of flags; it is equal only if all of
//! it is: each file byte for byte, each line. A compiler that this release of Debian has must be there.

mod build;
mod compare;
mod files;
mod flavours;
mod report;
mod table;
mod toolchains;
mod trace;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::corpus::{self, Program};
use super::{Part, on_all_cores};
use crate::{Outcome, covtap};
use flavours::{FLAVOURS, Flavour};
use table::{Ended, Table};
use toolchains::Toolchain;

/// In a run of a part, of so many cases one is run.
const QUICK_OF: usize = 7;

/// One program as one compiler makes it.
#[derive(Clone, Copy, Debug)]
struct Case<'a> {
    program: &'a Program,
    toolchain: &'a Toolchain,
    flavour: &'static Flavour,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{} {} {} {}", self.toolchain, self.flavour.name, self.program.language, self.program.name)
    }

    /// A folder of its own, kept if the case differs.
    fn dir(&self) -> PathBuf {
        self.toolchain.work_dir().join(self.name().replace(' ', "-"))
    }
}

/// Runs what is asked for.
pub(super) fn run(part: &Part) -> Result<Outcome> {
    let start = Instant::now();
    let programs = corpus::of_gcc()?;
    let toolchains = if part.quick { toolchains::of_system() } else { toolchains::all()? };
    let cases = chosen(&programs, &toolchains, part);
    ensure!(!cases.is_empty(), "no case has all of {:?} in its name", part.only);
    for toolchain in &toolchains {
        toolchain.prepare()?;
    }
    let covtap = covtap::build_unoptimised()?;
    let ended = on_all_cores(&cases, |case| {
        let ended = Ended::new(*case, compare::case(case, &covtap));
        // What is wrong is seen at once.
        print!("{ended}");
        ended
    })?;
    let table = Table::new(&ended);
    print!("{table}");
    println!("programs {}, in {:.1} s", programs.len(), start.elapsed().as_secs_f64());
    println!("cases run {}, equal {}, kept differences {}", table.run(), table.equal(), table.kept());
    Ok(if table.is_as_expected() { Outcome::Passed } else { Outcome::Failed })
}

/// The cases to run.
fn chosen<'a>(programs: &'a [Program], toolchains: &'a [Toolchain], part: &Part) -> Vec<Case<'a>> {
    let setups = toolchains.iter().flat_map(|toolchain| {
        let flavours = FLAVOURS.iter().filter(|flavour| flavour.since <= toolchain.release);
        flavours.map(move |flavour| (toolchain, flavour))
    });
    let cases = setups.enumerate().flat_map(|(row, (toolchain, flavour))| {
        let fitting = programs.iter().filter(|program| toolchain.takes(program)).enumerate();
        // Of neighbours in a row or a column none are both in the part.
        let wanted =
            fitting.filter(move |(column, _)| !part.quick || (row + column).is_multiple_of(QUICK_OF));
        wanted.map(move |(_, program)| Case { program, toolchain, flavour })
    });
    cases.filter(|case| part.has(&case.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_every_program_and_every_flavour_of_this_systems_compilers() {
        let programs = corpus::of_gcc().unwrap();
        let toolchains = toolchains::of_system();
        let part = chosen(&programs, &toolchains, &Part::quick());
        let newest = toolchains.iter().map(|toolchain| toolchain.release).max().unwrap();
        for program in &programs {
            assert!(part.iter().any(|case| std::ptr::eq(case.program, program)), "{}", program.name);
        }
        for flavour in FLAVOURS.iter().filter(|flavour| flavour.since <= newest) {
            assert!(part.iter().any(|case| case.flavour.name == flavour.name), "{}", flavour.name);
        }
    }
}
