//! LLVM's coverage in JSON, as `llvm-cov export --format=text` writes it: `llvm.coverage.json.export` 2.0.1.
//!
//! ```text
//! { data: [ { files: [file], functions: [function], totals: summary } ], type, version }
//! file:      { branches: [branch], expansions: [expansion], filename, mcdc_records: [record], segments: [segment],
//!              summary }
//! function:  { branches: [branch], count, filenames: [string], mcdc_records: [record], name, regions: [region] }
//! expansion: { branches: [branch], filenames: [string], source_region: region, target_regions: [region] }
//! summary:   { branches, functions, instantiations, lines, mcdc, regions: { count, covered, notcovered, percent } }
//! segment:   [ line, column, count, has a count, is a region's entry, is a gap ]
//! region:    [ line, column, line, column behind the end, count, file, expanded file, kind ]
//! record:    [ line, column, line, column behind the end, expanded file, kind, [ is condition covered ] ]
//! branch:    [ line, column, line, column behind the end, count if true, if false, file, expanded file, kind ]
//! ```
//!
//! What always holds: keys are in alphabetical order, and there is no space and no line break. An expansion has all
//! regions of its function. Branches that the compiler knew the outcome of are in files, not in functions and
//! expansions. Files and functions are written one by one: no more than one file's segments is held. What gcov counted
//! is not in it, nor in its totals: it knows no regions, and readers tell lines from regions.
//! Source: `llvm/tools/llvm-cov/CoverageExporterJson.cpp` and `llvm/lib/Support/JSON.cpp`, llvmorg-19.1.7.

mod llvm;
mod record;

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::coverage::{Coverage, Statistics};
use record::{File, Function, Summary};

/// The version of the format.
const VERSION: &str = "2.0.1";

/// What is left out, by the names of llvm-cov's flags.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Of files the name and the summary only, and no functions.
    pub summary_only: bool,
    /// No expansions, which are most of what is written where macros are used.
    pub skip_expansions: bool,
    /// No functions.
    pub skip_functions: bool,
}

/// Writes the coverage as JSON.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, options: Options, out: &mut impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut totals = Statistics::default();
    out.write_all(b"{\"data\":[{\"files\":[")?;
    for (index, file) in coverage.files().filter_map(|file| file.llvm_part()).enumerate() {
        let statistics = file.statistics();
        totals += statistics;
        element(index, &File::new(&file, statistics, options), &mut out)?;
    }
    if !options.summary_only && !options.skip_functions {
        out.write_all(b"],\"functions\":[")?;
        for (index, function) in coverage.functions().iter().enumerate() {
            element(index, &Function::new(function), &mut out)?;
        }
    }
    out.write_all(b"],\"totals\":")?;
    llvm::value(&Summary::new(&totals), &mut out)?;
    write!(out, "}}],\"type\":\"llvm.coverage.json.export\",\"version\":\"{VERSION}\"}}")?;
    out.flush()
}

/// The bytes of the coverage as JSON.
#[must_use]
pub fn encode(coverage: &Coverage, options: Options) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(coverage, options, &mut bytes);
    bytes
}

fn element(index: usize, value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    if index > 0 {
        out.write_all(b",")?;
    }
    llvm::value(value, out)
}
