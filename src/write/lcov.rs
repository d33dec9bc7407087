//! lcov's trace files, as `llvm-cov export --format=lcov` writes them; what gcov counted, as lcov's own geninfo.
//!
//! ```text
//! TN:test            if the counts are of one test among several
//! SF:path            for each file
//! FN:line,name       for each function, then
//! FNDA:count,name    for each function
//! FNF:n FNH:n        functions found, hit
//! DA:line,count      for each line that has code
//! BRDA:line,block,branch,count   two for each condition, one for each of gcov's arcs; `-` if it was never reached
//! BRF:n BRH:n        outcomes of branches found, hit
//! MCDC:line,size,t or f,count,index,index   two for each condition that gcov counted
//! MCF:n MCH:n        outcomes of conditions found, hit
//! LF:n LH:n          lines found, hit
//! end_of_record
//! ```
//!
//! The totals are those of functions, not of the lines above them: a line that is in two functions is found twice. Of
//! gcov's they are those of lines; instantiations of a template are one function, as they are for lcov 2.
//! A condition is a block of its own, and gcov's arcs on a line are one block, exceptional ones among them, as for lcov
//! without `no_exception_branch`. Decisions of one size on a line are one for lcov: the count is in how many of them
//! the outcome was seen, and the totals are of what is written. lcov adds up the counts of units and instantiations, of
//! which covtap keeps whether one saw it: what is 0 is the same.
//! Source: `llvm/tools/llvm-cov/CoverageExporterLcov.cpp`, llvmorg-19.1.7; `bin/geninfo`, lcov 1.16 and 2.0; of
//! `MCDC`, `bin/geninfo` and `lib/lcovutil.pm`, lcov 2.3.1.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use rayon::prelude::*;

use crate::coverage::gcov::ConditionCount;
use crate::coverage::{Coverage, FileBranch, FileCoverage, Tally, Ways};

/// How many files' texts are in memory at a time: enough for processors to share them out.
const BATCH: usize = 128;

/// Writes the coverage as a trace file.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, out: &mut impl Write) -> io::Result<()> {
    write_each(coverage, b"", out)
}

/// As [`write()`], of one test; a trace may have several of them. `name` is one of [`test_names`].
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write_test(coverage: &Coverage, name: &str, out: &mut impl Write) -> io::Result<()> {
    write_each(coverage, format!("TN:{name}\n").as_bytes(), out)
}

/// The name of a test in the characters that lcov takes.
#[must_use]
pub fn plain_test_name(name: &str) -> String {
    // Without a name lcov takes the counts for those of no test.
    let name = if name.is_empty() { "_" } else { name };
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Names for tests that lcov takes as they are: of letters, digits and underscores, and each once.
#[must_use]
pub fn test_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let plain: Vec<String> = names.into_iter().map(plain_test_name).collect();
    // A name that is made up must not be one that another test has.
    let mut taken: HashSet<String> = plain.iter().cloned().collect();
    let mut given: HashMap<&str, u64> = HashMap::new();
    let mut unique = Vec::with_capacity(plain.len());
    for name in &plain {
        let number = given.entry(name).or_default();
        *number = number.saturating_add(1);
        let mut name_and_number = if *number == 1 { name.clone() } else { format!("{name}_{number}") };
        while *number > 1 && !taken.insert(name_and_number.clone()) {
            *number = number.saturating_add(1);
            name_and_number = format!("{name}_{number}");
        }
        unique.push(name_and_number);
    }
    unique
}

/// Writes the files, each with `head` before it.
fn write_each(coverage: &Coverage, head: &[u8], out: &mut impl Write) -> io::Result<()> {
    let files: Vec<FileCoverage<'_>> = coverage.files().collect();
    for some in files.chunks(BATCH) {
        let texts: Vec<Vec<u8>> = some.par_iter().map(text).collect();
        for text in texts {
            out.write_all(head)?;
            out.write_all(&text)?;
        }
    }
    Ok(())
}

/// The bytes of the coverage's trace file.
#[must_use]
pub fn encode(coverage: &Coverage) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(coverage, &mut bytes);
    bytes
}

fn text(file: &FileCoverage<'_>) -> Vec<u8> {
    let statistics = file.statistics();
    let mut text = Text::default();
    text.put("SF:", &[]);
    text.name(file.name());
    for function in file.functions() {
        text.put("FN:", &[function.start_line().into()]);
        text.put(",", &[]);
        text.name(function.name);
    }
    for function in file.functions() {
        text.put("FNDA:", &[function.count]);
        text.put(",", &[]);
        text.name(function.name);
    }
    text.totals(["FNF:", "FNH:"], statistics.functions);
    for run in file.lines() {
        for line in run.lines {
            text.put("DA:", &[line.into(), run.count]);
            text.put("\n", &[]);
        }
    }
    let branches = file.branches().into_iter().filter(|branch| !branch.is_folded);
    let branches: Vec<FileBranch<'_>> = branches.collect();
    for on_line in branches.chunk_by(|a, b| a.start.line == b.start.line) {
        let mut number = 0;
        (0..).zip(on_line).for_each(|(block, branch)| text.branch(block, &mut number, branch));
    }
    text.totals(["BRF:", "BRH:"], statistics.branches);
    text.conditions(file);
    text.totals(["LF:", "LH:"], statistics.lines);
    text.put("end_of_record\n", &[]);
    text.0
}

/// Of the decisions of each size, in how many each condition decided by being true, and by being false.
fn by_size(decisions: &[ConditionCount]) -> BTreeMap<u32, Vec<[u64; 2]>> {
    let mut sizes: BTreeMap<u32, Vec<[u64; 2]>> = BTreeMap::new();
    for decision in decisions {
        let counts = sizes.entry(decision.num_terms).or_default();
        for (index, (_, [is_true, is_false])) in decision.outcomes().enumerate() {
            if index == counts.len() {
                counts.push([0, 0]);
            }
            if let Some([by_true, by_false]) = counts.get_mut(index) {
                *by_true = by_true.saturating_add(is_true.into());
                *by_false = by_false.saturating_add(is_false.into());
            }
        }
    }
    sizes
}

/// The text of a file.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    /// Puts a word and numbers with commas between them.
    fn put(&mut self, word: &str, numbers: &[u64]) {
        self.0.extend_from_slice(word.as_bytes());
        for (index, number) in numbers.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
    }

    /// Puts bytes of the program's, up to the end of the line.
    fn name(&mut self, name: &[u8]) {
        // A line break in a name would begin an entry of the format. Looking for one takes less time than replacing.
        if name.contains(&b'\n') || name.contains(&b'\r') {
            self.0.extend(name.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b'?' } else { *byte }));
        } else {
            self.0.extend_from_slice(name);
        }
        self.put("\n", &[]);
    }

    /// Puts how many were found and how many hit.
    fn totals(&mut self, [found, hit]: [&str; 2], tally: Tally) {
        self.put(found, &[tally.total]);
        self.put("\n", &[]);
        self.put(hit, &[tally.covered]);
        self.put("\n", &[]);
    }

    /// Puts the outcomes of conditions, and how many there are, if gcov counted any.
    fn conditions(&mut self, file: &FileCoverage<'_>) {
        let mut tally = Tally::default();
        for (line, decisions) in file.conditions() {
            for (size, seen) in by_size(decisions) {
                for (index, counts) in (0u64..).zip(seen) {
                    for (sense, count) in [",t", ",f"].into_iter().zip(counts) {
                        self.put("MCDC:", &[line.into(), size.into()]);
                        self.put(sense, &[]);
                        self.put(",", &[count, index, index]);
                        self.put("\n", &[]);
                        tally = tally + Tally { covered: u64::from(count > 0), total: 1 };
                    }
                }
            }
        }
        if tally.total > 0 {
            self.totals(["MCF:", "MCH:"], tally);
        }
    }

    /// Puts the outcomes of a branch; `number` goes on over those of a line.
    fn branch(&mut self, block: u64, number: &mut u64, branch: &FileBranch<'_>) {
        // LLVM keeps 32 bits of its counts.
        let (mask, is_reached) = match branch.ways {
            Ways::Condition { .. } => {
                let mask = u64::from(u32::MAX);
                (mask, branch.outcomes().any(|outcome| outcome.count & mask != 0))
            }
            Ways::Arcs { .. } => (u64::MAX, branch.is_reached()),
        };
        for outcome in branch.outcomes() {
            self.put("BRDA:", &[branch.start.line.into(), block, *number]);
            *number = number.saturating_add(1);
            if is_reached {
                self.put(",", &[outcome.count & mask]);
                self.put("\n", &[]);
            } else {
                self.put(",-\n", &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_are_plain_and_there_once() {
        let names = |names: &[&'static str]| test_names(names.iter().copied());
        assert_eq!(names(&["boot/self test", "Valve_2", "ü,x"]), ["boot_self_test", "Valve_2", "__x"]);
        assert_eq!(names(&["a b", "a-b", "a_b_2", "a_b"]), ["a_b", "a_b_3", "a_b_2", "a_b_4"]);
        assert_eq!(names(&["a b", "a-b", "a_b"]), ["a_b", "a_b_2", "a_b_3"]);
        assert_eq!(names(&["", "_", "__2"]), ["_", "__3", "__2"]);
    }

    #[test]
    fn a_name_is_one_line() {
        let mut text = Text::default();
        text.put("FN:", &[7]);
        text.name(b",a\nDA:1,1\r");
        assert_eq!(text.0, b"FN:7,a?DA:1,1?\n");
    }
}
