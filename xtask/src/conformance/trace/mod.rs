//! `cargo xtask conformance trace`: what covtap says was executed of programs that count nothing, beside QEMU's own log of
//! each instruction, and its lines beside those of the compilers' own counters.
//!
//! What enters is the C programs under `tests/conformance` that need no library; what leaves is a table of cases run and
//! cases equal, and one of lines.
//!
//! What always holds: a case is one program as one compiler makes it for one target at one level, traced by one method; it
//! is equal only if each byte of its code is executed in both, or in neither, and as often where the method tells how often.
//! Line for line what is not optimised must be as counted, but for differences that are kept by name; of what is optimised
//! differences are counted.

mod compare;
mod guest;
mod kept;
mod lines;
mod runs;
mod setups;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::corpus::Program;
use super::{Part, on_all_cores, work_dir};
use crate::{Outcome, child};
use guest::{Guest, Objects};
use lines::{Compared, Lines};
use runs::{Method, Tools};
use setups::{Compiler, LEVELS, Toolchain};
use table::Tables;

/// Programs that execute more instructions are not stepped: a debugger does some thousands a second.
const MAX_STEPS: u64 = 4000;
const MAX_STEPS_QUICK: u64 = 400;

/// A compiler for a target, and the levels to run.
struct Setup {
    toolchain: Toolchain,
    levels: Vec<&'static str>,
}

/// What came of one level.
struct Level {
    toolchain: Toolchain,
    level: &'static str,
    methods: BTreeMap<Method, Vec<Case>>,
    /// The programs that take too many steps.
    left_out: Vec<String>,
    lines: Compared,
}

/// One program by one method.
struct Case {
    program: String,
    /// How it differs, if it does.
    difference: Option<String>,
}

/// Runs what is asked for.
pub(super) fn run(part: &Part) -> Result<Outcome> {
    let start = Instant::now();
    let programs = guest::programs()?;
    let setups = chosen(part);
    if setups.is_empty() {
        bail!("no setup has all of {:?} in its name", part.only);
    }
    let tools = Tools::build(&work_dir().join("trace"))?;
    let max_steps = if part.quick { MAX_STEPS_QUICK } else { MAX_STEPS };
    let ended = on_all_cores(&setups, |setup| {
        let ended = run_setup(setup, &programs, &tools, max_steps);
        match &ended {
            Ok(levels) => levels.iter().for_each(|level| print!("{level}")),
            Err(error) => println!("{}: {error:#}", setup.toolchain),
        }
        ended
    })?;
    let num_failed = ended.iter().filter(|ended| ended.is_err()).count();
    let levels: Vec<Level> = ended.into_iter().flatten().flatten().collect();
    let tables = Tables::new(&levels);
    print!("{tables}");
    println!("programs {}, in {:.1} s", programs.len(), start.elapsed().as_secs_f64());
    println!("cases run {}, equal {}", tables.run(), tables.equal());
    Ok(if num_failed == 0 && tables.is_as_expected() { Outcome::Passed } else { Outcome::Failed })
}

/// The setups to run.
fn chosen(part: &Part) -> Vec<Setup> {
    let all = Toolchain::all().into_iter().enumerate();
    let setup = |(index, toolchain): (usize, Toolchain)| {
        // Neighbours have other levels, and so have the two compilers of a target.
        let is_met =
            |level: usize| !part.quick || level == (index + index / Compiler::ALL.len()) % LEVELS.len();
        let levels = LEVELS.iter().enumerate().filter(|(number, _)| is_met(*number)).map(|(_, level)| *level);
        let name = |level: &str| format!("{toolchain} {level}");
        let levels = levels.filter(|level| part.has(&name(level)));
        Setup { toolchain, levels: levels.collect() }
    };
    all.map(setup).filter(|setup| !setup.levels.is_empty()).collect()
}

fn run_setup(setup: &Setup, programs: &[Program], tools: &Tools, max_steps: u64) -> Result<Vec<Level>> {
    let toolchain = setup.toolchain;
    let dir = work_dir().join("trace").join(format!("{}-{}", toolchain.target.name, toolchain.compiler));
    let flags: &[&str] = match toolchain.compiler {
        Compiler::Gcc => &["-O0", "--coverage", "-fprofile-info-section"],
        Compiler::Clang => &["-O0", "-fprofile-arcs", "-ftest-coverage"],
    };
    let all: Vec<usize> = (0..programs.len()).collect();
    let objects = Objects::compile(toolchain, programs, dir.join("counted"), flags, true)?;
    let counted = lines::counted(tools, &objects, &objects.link("all", &all)?)
        .context("the compiler's own counters")?;
    let mut levels = Vec::new();
    for level in &setup.levels {
        let objects = Objects::compile(toolchain, programs, dir.join(level), &[level], false)?;
        let done = run_level(&objects, level, &counted, tools, max_steps);
        levels.push(done.with_context(|| (*level).to_owned())?);
    }
    // It stays only if something is wrong.
    if levels.iter().all(Level::is_as_expected) {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(levels)
}

fn run_level(
    objects: &Objects<'_>,
    level: &'static str,
    counted: &Lines,
    tools: &Tools,
    max_steps: u64,
) -> Result<Level> {
    let programs = objects.programs();
    let all: Vec<usize> = (0..programs.len()).collect();
    let whole = Logged::link(tools, objects, "all", &all)?;
    let (short, long): (Vec<usize>, Vec<usize>) =
        all.iter().partition(|number| whole.num_executed(**number) <= max_steps);
    let stepped = Logged::link(tools, objects, "stepped", &short)?;
    let (mut methods, mut by_instruction) = (BTreeMap::new(), None);
    for method in Method::ALL {
        child::go_on()?;
        let logged = if method == Method::Step { &stepped } else { &whole };
        let (path, cases) = logged.cases(objects, tools, method).with_context(|| method.name())?;
        if method == Method::Plugin("insns") {
            by_instruction = Some(path);
        }
        methods.insert(method, cases);
    }
    let trace: PathBuf = by_instruction.context("no trace of instructions")?;
    let lines = lines::compare(&lines::traced(tools, &whole.guest, Path::new(&trace))?, counted)?;
    let left_out = long.iter().filter_map(|number| programs.get(*number)).map(|it| it.name.clone()).collect();
    Ok(Level { toolchain: objects.toolchain, level, methods, left_out, lines })
}

/// A guest, and how often each of its instructions is executed.
struct Logged {
    guest: Guest,
    exact: BTreeMap<u64, u64>,
}

impl Logged {
    fn link(tools: &Tools, objects: &Objects<'_>, name: &str, chosen: &[usize]) -> Result<Self> {
        let guest = objects.link(name, chosen)?;
        let exact = runs::exact(tools, objects.toolchain.target, &guest)?;
        for (_, code) in &guest.code {
            compare::is_of_instructions(&guest, &exact, code)?;
        }
        Ok(Self { guest, exact })
    }

    /// How many instructions a program executes.
    fn num_executed(&self, number: usize) -> u64 {
        let code = self.guest.code.iter().find(|(of, _)| *of == number);
        code.map_or(0, |(_, code)| self.exact.range(code.clone()).map(|(_, count)| count).sum())
    }

    /// Its programs, traced by a method; and the trace.
    fn cases(&self, objects: &Objects<'_>, tools: &Tools, method: Method) -> Result<(PathBuf, Vec<Case>)> {
        let (path, trace) = runs::traced(tools, objects.toolchain.target, &self.guest, method)?;
        let mut cases = Vec::with_capacity(self.guest.code.len());
        for (number, code) in &self.guest.code {
            let program = objects.programs().get(*number).map(|it| it.name.clone()).unwrap_or_default();
            let difference = compare::difference(&self.guest, &self.exact, code, &trace)?;
            cases.push(Case { program, difference });
        }
        Ok((path, cases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_every_toolchain_and_each_compiler_at_every_level() {
        let part = chosen(&Part::quick());
        assert_eq!(part.len(), Toolchain::all().len());
        assert!(part.iter().all(|setup| setup.levels.len() == 1));
        for compiler in Compiler::ALL {
            for level in LEVELS {
                let is_it = |setup: &Setup| setup.toolchain.compiler == compiler && setup.levels == [level];
                assert!(part.iter().any(is_it), "{compiler} {level}");
            }
        }
        let all: usize = chosen(&Part::default()).iter().map(|setup| setup.levels.len()).sum();
        assert_eq!(all, part.len() * LEVELS.len());
    }
}
