//! How much ran, as the tables that `llvm-cov report` prints.
//!
//! What enters is files with their coverage; what leaves is a table of them, or one of each file's functions. With
//! [`Options::llvm`] it is llvm-cov's, byte for byte. What always holds: unless that is asked for, a metric that the
//! build does not carry has no columns, and of nothing there is no percentage.
//! Source: `llvm/tools/llvm-cov/CoverageReport.cpp`, llvmorg-19.1.7.

use std::io::{self, Write};

use anstyle::Style;

use super::paint::{GREEN, Paint, RED, YELLOW};
use super::paths;
use crate::coverage::{Coverage, FileCoverage, Metric, Statistics, Tally};

/// Whether a metric has columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Show {
    /// It has none.
    Never,
    /// If the build carries it.
    WhereCarried,
    /// Also if it does not.
    Always,
}

/// What a table shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Regions; tables of functions always have them where the build carries them.
    pub regions: Show,
    /// Functions of the program, as against those of the source; not in tables of functions.
    pub instantiations: Show,
    /// Outcomes of branches.
    pub branches: Show,
    /// Conditions of decisions: MC/DC.
    pub mcdc: Show,
    /// Outcomes of conditions, as gcov counts them.
    pub conditions: Show,
    /// Prime paths of functions, as gcov counts them.
    pub paths: Show,
    /// Say 0.00% of nothing in tables of functions, as `llvm-cov` does, and not `-`.
    pub is_nothing_zero: bool,
    /// Names of functions as in the source.
    pub is_demangled: bool,
    /// Colours for a terminal.
    pub is_coloured: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            regions: Show::WhereCarried,
            branches: Show::WhereCarried,
            mcdc: Show::WhereCarried,
            conditions: Show::WhereCarried,
            paths: Show::WhereCarried,
            is_nothing_zero: false,
            is_demangled: true,
            ..Self::llvm()
        }
    }
}

impl Options {
    /// What `llvm-cov report` shows if it is not told otherwise.
    #[must_use]
    pub fn llvm() -> Self {
        Self {
            regions: Show::Always,
            instantiations: Show::Never,
            branches: Show::Always,
            mcdc: Show::Never,
            conditions: Show::Never,
            paths: Show::Never,
            is_nothing_zero: true,
            is_demangled: false,
            is_coloured: false,
        }
    }
}

/// Three columns: how many there are, how many did not run, and the percentage of those that did.
struct Columns {
    heads: [&'static str; 3],
    widths: [usize; 3],
    metric: Metric,
    /// What the colour of those that did not run goes by; `None` if they have none.
    missed_colour: Option<Metric>,
    percent_colour: Metric,
    show: fn(&Options) -> Show,
}

const OF_FILES: [Columns; 8] = [
    Columns {
        heads: ["Regions", "Missed Regions", "Cover"],
        widths: [12, 18, 10],
        metric: Metric::Regions,
        missed_colour: Some(Metric::Regions),
        percent_colour: Metric::Regions,
        show: |options| options.regions,
    },
    Columns {
        heads: ["Functions", "Missed Functions", "Executed"],
        widths: [12, 18, 10],
        metric: Metric::Functions,
        missed_colour: None,
        percent_colour: Metric::Functions,
        show: |_| Show::Always,
    },
    Columns {
        heads: ["Instantiations", "Missed Insts.", "Executed"],
        widths: [16, 16, 10],
        metric: Metric::Instantiations,
        missed_colour: None,
        percent_colour: Metric::Instantiations,
        show: |options| options.instantiations,
    },
    Columns {
        heads: ["Lines", "Missed Lines", "Cover"],
        widths: [12, 18, 10],
        metric: Metric::Lines,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Lines,
        show: |_| Show::Always,
    },
    Columns {
        heads: ["Branches", "Missed Branches", "Cover"],
        widths: [12, 18, 10],
        metric: Metric::Branches,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Lines,
        show: |options| options.branches,
    },
    Columns {
        heads: ["MC/DC Conditions", "Missed Conditions", "Cover"],
        widths: [20, 21, 10],
        metric: Metric::Mcdc,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Lines,
        show: |options| options.mcdc,
    },
    Columns {
        heads: ["Condition Outcomes", "Missed Outcomes", "Cover"],
        widths: [20, 18, 10],
        metric: Metric::Conditions,
        missed_colour: Some(Metric::Conditions),
        percent_colour: Metric::Conditions,
        show: |options| options.conditions,
    },
    Columns {
        heads: ["Prime Paths", "Missed Paths", "Cover"],
        widths: [14, 18, 10],
        metric: Metric::Paths,
        missed_colour: Some(Metric::Paths),
        percent_colour: Metric::Paths,
        show: |options| options.paths,
    },
];

const OF_FUNCTIONS: [Columns; 6] = [
    Columns {
        heads: ["Regions", "Miss", "Cover"],
        widths: [10, 8, 8],
        metric: Metric::Regions,
        missed_colour: Some(Metric::Regions),
        percent_colour: Metric::Regions,
        show: |_| Show::WhereCarried,
    },
    Columns {
        heads: ["Lines", "Miss", "Cover"],
        widths: [10, 8, 8],
        metric: Metric::Lines,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Lines,
        show: |_| Show::Always,
    },
    Columns {
        heads: ["Branches", "Miss", "Cover"],
        widths: [10, 8, 8],
        metric: Metric::Branches,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Branches,
        show: |options| options.branches,
    },
    Columns {
        heads: ["MC/DC Conditions", "Miss", "Cover"],
        widths: [20, 8, 8],
        metric: Metric::Mcdc,
        missed_colour: Some(Metric::Lines),
        percent_colour: Metric::Mcdc,
        show: |options| options.mcdc,
    },
    Columns {
        heads: ["Condition Outcomes", "Miss", "Cover"],
        widths: [20, 8, 8],
        metric: Metric::Conditions,
        missed_colour: Some(Metric::Conditions),
        percent_colour: Metric::Conditions,
        show: |options| options.conditions,
    },
    Columns {
        heads: ["Prime Paths", "Miss", "Cover"],
        widths: [14, 8, 8],
        metric: Metric::Paths,
        missed_colour: Some(Metric::Paths),
        percent_colour: Metric::Paths,
        show: |options| options.paths,
    },
];

/// The narrowest column of names.
const NAME_WIDTH: usize = 25;

/// Writes one table of all files, with their sum.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let files: Vec<FileCoverage<'_>> = coverage.files().collect();
    let names: Vec<&[u8]> = files.iter().map(FileCoverage::name).collect();
    let shared = paths::redundant_prefix_len(&names);
    let rows: Vec<(&[u8], Statistics)> =
        files.iter().map(|file| (file.name().get(shared..).unwrap_or_default(), file.statistics())).collect();
    let total = sum(rows.iter().map(|(_, statistics)| *statistics));
    let name_width = rows.iter().map(|(name, _)| name.len()).fold(NAME_WIDTH, usize::max);
    let table = Table::new(&OF_FILES, coverage, options, name_width, false);
    let (empty, with_functions): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, of)| of.functions.total == 0);
    table.head("Filename", out)?;
    table.divider(out)?;
    for (name, statistics) in with_functions {
        table.row(&paths::tidy(name), &statistics, out)?;
    }
    if !empty.is_empty() {
        writeln!(out, "\nFiles which contain no functions:")?;
    }
    for (name, statistics) in empty {
        table.row(&paths::tidy(name), &statistics, out)?;
    }
    table.divider(out)?;
    table.row(b"TOTAL", &total, out)
}

/// Writes a table of each file's functions, with their sum.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write_functions(coverage: &Coverage, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let mut name_width = NAME_WIDTH;
    for (index, file) in coverage.files().enumerate() {
        let rows: Vec<(Vec<u8>, Statistics)> = file
            .functions()
            .map(|function| {
                (paths::function_name(function.name, options.is_demangled), function.statistics())
            })
            .collect();
        // It grows from table to table.
        name_width = rows.iter().map(|(name, _)| name.len()).fold(name_width, usize::max);
        let table = Table::new(&OF_FUNCTIONS, coverage, options, name_width, options.is_nothing_zero);
        if index > 0 {
            writeln!(out)?;
        }
        out.write_all(&[b"File '", &*paths::printable(file.name()), b"':\n"].concat())?;
        table.head("Name", out)?;
        table.divider(out)?;
        for (name, statistics) in &rows {
            table.row(name, statistics, out)?;
        }
        if !rows.is_empty() {
            table.divider(out)?;
            table.row(b"TOTAL", &sum(rows.iter().map(|(_, statistics)| *statistics)), out)?;
        }
    }
    Ok(())
}

fn sum(all: impl Iterator<Item = Statistics>) -> Statistics {
    all.fold(Statistics::default(), |mut sum, one| {
        sum += one;
        sum
    })
}

struct Table {
    columns: Vec<&'static Columns>,
    name_width: usize,
    is_nothing_zero: bool,
    paint: Paint,
}

impl Table {
    fn new(
        columns: &'static [Columns],
        coverage: &Coverage,
        options: &Options,
        name_width: usize,
        is_nothing_zero: bool,
    ) -> Self {
        let is_shown = |columns: &&Columns| match (columns.show)(options) {
            Show::Never => false,
            Show::WhereCarried => coverage.carries(columns.metric),
            Show::Always => true,
        };
        let columns = columns.iter().filter(is_shown).collect();
        Self { columns, name_width, is_nothing_zero, paint: Paint::new(options.is_coloured) }
    }

    fn head(&self, name: &str, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{name:<0$}", self.name_width)?;
        for columns in &self.columns {
            for (head, width) in columns.heads.iter().zip(columns.widths) {
                write!(out, "{head:>width$}")?;
            }
        }
        writeln!(out)
    }

    fn divider(&self, out: &mut impl Write) -> io::Result<()> {
        let width: usize = self.columns.iter().flat_map(|columns| columns.widths).sum();
        writeln!(out, "{}", "-".repeat(self.name_width.saturating_add(width)))
    }

    fn row(&self, name: &[u8], statistics: &Statistics, out: &mut impl Write) -> io::Result<()> {
        out.write_all(name)?;
        write!(out, "{:1$}", "", self.name_width.saturating_sub(name.len()))?;
        for columns in &self.columns {
            let tally = statistics.of(columns.metric);
            let [total_width, missed_width, percent_width] = columns.widths;
            write!(out, "{:>total_width$}", tally.total)?;
            let missed = format!("{:>missed_width$}", missed(tally));
            let colour = columns.missed_colour.map(|by| colour_of(statistics.of(by)));
            self.paint.text(colour, &missed, out)?;
            match tally.percent().or(self.is_nothing_zero.then_some(0.0)) {
                None => write!(out, "{:>percent_width$}", "-")?,
                Some(percent) => {
                    let percent = format!("{percent:.2}%");
                    let colour = colour_of(statistics.of(columns.percent_colour));
                    self.paint.text(Some(colour), format!("{percent:>percent_width$}"), out)?;
                }
            }
        }
        writeln!(out)
    }
}

/// How many did not run. Of MC/DC more can be covered than there are (see [`Statistics::mcdc`]), and LLVM has 32 bits
/// of the difference.
fn missed(tally: Tally) -> u64 {
    tally.total.wrapping_sub(tally.covered) & u64::from(u32::MAX)
}

/// Green for all, yellow for most.
fn colour_of(tally: Tally) -> Style {
    match tally.percent() {
        _ if tally.covered == tally.total => GREEN,
        Some(80.0..) => YELLOW,
        _ => RED,
    }
}
