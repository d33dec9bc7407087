//! Counters of two runs in one file, by libgcov's rules.
//!
//! What enters is what a target has, and what an earlier run left in a file; what leaves is what libgcov would write
//! over that file. Which is which matters: lists of values keep the target's order. What always holds: a file that
//! does not match changes nothing.
//!
//! Source: `merge_one_data` and `dump_one_gcov` in `libgcc/libgcov-driver.c`, and `libgcc/libgcov-merge.c`,
//! releases/gcc-12.

use super::{GcdaCounters, GcdaFile, GcdaFunction, GcdaSummary, topn};
use crate::locate::gcov::{CounterKind, Dialect, Layout, MergeFn};

/// Two files cannot be merged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeGcdaError {
    /// What is true of the whole file differs, by which it is of another build.
    #[error("merge with the file: its {what} is {there}, not {here}")]
    OtherBuild {
        /// `stamp` up to GCC 11, `checksum` since: libgcov merges what the same source gave again.
        what: &'static str,
        /// The target's.
        here: String,
        /// The file's.
        there: String,
    },
    /// What no two builds of a program differ in, and libgcov leaves alone.
    #[error("merge with the file: its {what} is {there}, not {here}")]
    OtherTarget {
        /// `version` or `byte order`.
        what: &'static str,
        /// The target's.
        here: String,
        /// The file's.
        there: String,
    },
    /// The functions differ though the stamp does not.
    #[error("merge with the file: {detail}")]
    Functions {
        /// Which function, and how.
        detail: String,
    },
    /// A kind of counters that is not merged.
    #[error("merge with the file: counters of index {index} are several call targets, which are not merged")]
    NotMerged {
        /// The index.
        index: usize,
    },
}

impl MergeGcdaError {
    /// Whether libgcov would write over the file instead, since it is of another compilation.
    #[must_use]
    pub fn is_other_build(&self) -> bool {
        matches!(self, Self::OtherBuild { .. })
    }
}

impl GcdaFile {
    /// Adds what an earlier run left in a file to what a target has.
    ///
    /// Arcs and the like add up and wrap at 64 bits; of times the smallest that is not 0 stays; runs add up, and so do
    /// the largest counters of each run, at 32 bits. Functions that only one has are taken. Program summaries of
    /// GCC 8 and before are the file's, where it has any; clang's runs add up. The stamp stays the target's.
    /// compiler-rt counts a run in the first file that a process writes, here it counts in each; and it adds up what is
    /// of another build, if the numbers of counters happen to be the same, which here is refused.
    ///
    /// # Errors
    ///
    /// The file is of another build or target, or its functions are not these.
    pub fn merge(&mut self, file: &Self) -> Result<(), MergeGcdaError> {
        self.check(file)?;
        let layout = self.layout();
        let mut functions = self.functions.clone();
        for (ours, theirs) in functions.iter_mut().zip(&file.functions) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => function(layout, ours, theirs)?,
                (ours @ None, Some(theirs)) => *ours = Some(theirs.clone()),
                (_, None) => {}
            }
        }
        self.functions = functions;
        self.summary = summary(self.summary, file.summary);
        match (&mut *self.program_summaries, &*file.program_summaries) {
            (_, []) => {}
            ([ours], [theirs]) if layout.dialect == Dialect::Clang => add_runs(ours, theirs),
            _ => self.program_summaries.clone_from(&file.program_summaries),
        }
        Ok(())
    }

    fn check(&self, file: &Self) -> Result<(), MergeGcdaError> {
        let target = |what, here: String, there: String| MergeGcdaError::OtherTarget { what, here, there };
        if self.version() != file.version() {
            return Err(target("version", format!("{:?}", self.version()), format!("{:?}", file.version())));
        }
        if self.endianness != file.endianness {
            return Err(target("byte order", self.endianness.to_string(), file.endianness.to_string()));
        }
        let build = |what, here: u32, there: u32| MergeGcdaError::OtherBuild {
            what,
            here: format!("{here:#010x}"),
            there: format!("{there:#010x}"),
        };
        // A checksum tells builds apart that differ; a stamp also those that do not.
        match (self.checksum, file.checksum) {
            (Some(here), Some(there)) if here != there => return Err(build("checksum", here, there)),
            (None, None) if self.stamp != file.stamp => return Err(build("stamp", self.stamp, file.stamp)),
            _ => {}
        }
        let (here, there) = (self.functions.len(), file.functions.len());
        if here != there {
            return Err(MergeGcdaError::Functions {
                detail: format!("it has {there} functions, not {here}"),
            });
        }
        Ok(())
    }
}

/// Adds the runs in clang's summary of a program: the third word, behind a checksum and a number of counters.
fn add_runs(ours: &mut [u32], theirs: &[u32]) {
    const RUNS: usize = 2;
    if let (Some(ours), Some(theirs)) = (ours.get_mut(RUNS), theirs.get(RUNS)) {
        *ours = ours.wrapping_add(*theirs);
    }
}

fn summary(ours: Option<GcdaSummary>, file: Option<GcdaSummary>) -> Option<GcdaSummary> {
    match (ours, file) {
        (Some(ours), Some(file)) => Some(GcdaSummary {
            runs: ours.runs.wrapping_add(file.runs),
            sum_max: ours.sum_max.wrapping_add(file.sum_max),
        }),
        (ours, file) => ours.or(file),
    }
}

fn function(layout: &Layout, ours: &mut GcdaFunction, theirs: &GcdaFunction) -> Result<(), MergeGcdaError> {
    let ident = ours.ident;
    let differs = |what: &str, here: u32, there: u32| MergeGcdaError::Functions {
        detail: format!("the {what} of its function {ident:#010x} is {there:#010x}, not {here:#010x}"),
    };
    if ident != theirs.ident {
        return Err(MergeGcdaError::Functions {
            detail: format!("it has the function {:#010x} in the place of {ident:#010x}", theirs.ident),
        });
    }
    if ours.lineno_checksum != theirs.lineno_checksum {
        return Err(differs("lineno_checksum", ours.lineno_checksum, theirs.lineno_checksum));
    }
    if ours.cfg_checksum != theirs.cfg_checksum {
        return Err(differs("cfg_checksum", ours.cfg_checksum, theirs.cfg_checksum));
    }
    if !ours.counters.iter().map(|c| c.index).eq(theirs.counters.iter().map(|c| c.index)) {
        return Err(MergeGcdaError::Functions {
            detail: format!("its function {ident:#010x} has other kinds of counters"),
        });
    }
    let mut pairs = ours.counters.iter_mut().zip(&theirs.counters);
    pairs.try_for_each(|(ours, theirs)| counters(layout, ident, ours, theirs))
}

fn counters(
    layout: &Layout,
    ident: u32,
    ours: &mut GcdaCounters,
    theirs: &GcdaCounters,
) -> Result<(), MergeGcdaError> {
    let index = ours.index;
    let wrong = |detail: String| MergeGcdaError::Functions {
        detail: format!("counters of index {index} of its function {ident:#010x}: {detail}"),
    };
    if layout.is_topn_list(index) {
        let count = |values: &[u64]| topn::lists(values).map(|lists| lists.len()).map_err(wrong);
        let (here, there) = (count(&ours.values)?, count(&theirs.values)?);
        if here != there {
            return Err(wrong(format!("{there} lists of values, not {here}")));
        }
        return topn::merge_lists(&mut ours.values, &theirs.values).map_err(wrong);
    }
    let (here, there) = (ours.values.len(), theirs.values.len());
    if here != there {
        return Err(wrong(format!("{there} values, not {here}")));
    }
    let rule = layout.counters.get(index).ok_or_else(|| wrong("no counters have that index".to_owned()))?;
    let each = |ours: &mut GcdaCounters, combine: fn(u64, u64) -> u64| {
        let pairs = ours.values.iter_mut().zip(&theirs.values);
        pairs.for_each(|(here, there)| *here = combine(*here, *there));
    };
    match rule {
        (_, MergeFn::Add) => each(ours, u64::wrapping_add),
        (_, MergeFn::Ior) => each(ours, |here, there| here | there),
        (_, MergeFn::TimeProfile) => each(ours, earliest),
        (CounterKind::IndirectCallTopN, MergeFn::TopN) => {
            // Without the compiler's parameter they are there and 0.
            if theirs.values.iter().any(|value| *value != 0) {
                return Err(MergeGcdaError::NotMerged { index });
            }
        }
        (_, MergeFn::TopN) if layout.since >= (10, 0) => topn::merge_fixed(&mut ours.values, &theirs.values),
        (_, MergeFn::TopN) => topn::merge_single(&mut ours.values, &theirs.values, 0),
        (_, MergeFn::Delta) => topn::merge_single(&mut ours.values, &theirs.values, 1),
    }
    Ok(())
}

/// The smaller one that is not 0, as signed numbers.
fn earliest(here: u64, there: u64) -> u64 {
    if there != 0 && (here == 0 || there.cast_signed() < here.cast_signed()) { there } else { here }
}
