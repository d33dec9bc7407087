//! lcov's trace files, as `llvm-cov export --format=lcov` writes them.
//!
//! ```text
//! SF:path            for each file
//! FN:line,name       for each function, then
//! FNDA:count,name    for each function
//! FNF:n FNH:n        functions found, hit
//! DA:line,count      for each line that has code
//! BRDA:line,pair,branch,count    two for each branch; `-` if it was never reached
//! BRF:n BRH:n        outcomes of branches found, hit
//! LF:n LH:n          lines found, hit
//! end_of_record
//! ```
//!
//! The totals are those of functions, not of the lines above them: a line that is in two functions is found twice.
//! Source: `llvm/tools/llvm-cov/CoverageExporterLcov.cpp`, llvmorg-19.1.7.

use std::io::{self, Write};

use crate::coverage::{Coverage, FileBranch, FileCoverage};

/// Writes the coverage as a trace file.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, out: &mut impl Write) -> io::Result<()> {
    coverage.files().try_for_each(|file| write_file(&file, out))
}

/// The bytes of the coverage's trace file.
#[must_use]
pub fn encode(coverage: &Coverage) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(coverage, &mut bytes);
    bytes
}

fn write_file(file: &FileCoverage<'_>, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let statistics = file.statistics();
    line(out, "SF:", file.name())?;
    for function in file.functions() {
        line(out, &format!("FN:{},", function.start_line()), &function.name)?;
    }
    for function in file.functions() {
        line(out, &format!("FNDA:{},", function.count), &function.name)?;
    }
    writeln!(out, "FNF:{}\nFNH:{}", statistics.functions.total, statistics.functions.covered)?;
    for run in file.lines() {
        for line in run.lines {
            writeln!(out, "DA:{line},{}", run.count)?;
        }
    }
    let branches: Vec<FileBranch> = file.branches().into_iter().filter(|branch| !branch.is_folded).collect();
    for on_line in branches.chunk_by(|a, b| a.start.line == b.start.line) {
        for (pair, branch) in on_line.iter().enumerate() {
            write_branch(pair, branch, out)?;
        }
    }
    writeln!(out, "BRF:{}\nBRH:{}", statistics.branches.total, statistics.branches.covered)?;
    writeln!(out, "LF:{}\nLH:{}\nend_of_record", statistics.lines.total, statistics.lines.covered)
}

fn write_branch(pair: usize, branch: &FileBranch, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    // LLVM keeps 32 bits of these counts.
    let counts = [branch.count, branch.false_count].map(|count| count & u64::from(u32::MAX));
    for (outcome, count) in counts.into_iter().enumerate() {
        let number = pair.saturating_mul(2).saturating_add(outcome);
        write!(out, "BRDA:{},{pair},{number},", branch.start.line)?;
        if counts == [0, 0] {
            writeln!(out, "-")?;
        } else {
            writeln!(out, "{count}")?;
        }
    }
    Ok(())
}

/// A line that ends with bytes of the program's.
fn line(out: &mut (impl Write + ?Sized), start: &str, end: &[u8]) -> io::Result<()> {
    out.write_all(start.as_bytes())?;
    // A line break in a name would begin an entry of the format.
    let end: Vec<u8> =
        end.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b'?' } else { *byte }).collect();
    out.write_all(&end)?;
    out.write_all(b"\n")
}
