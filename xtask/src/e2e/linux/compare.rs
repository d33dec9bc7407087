//! `.gcda` files of covtap's beside those that the kernel itself makes.
//!
//! What enters is what covtap wrote before and after the kernel was asked, and what the kernel said; what leaves is a
//! [`Comparison`]. A kernel never rests as a whole: to ask it is work for it. So a unit whose counters were the same
//! before and after must be the same in between, byte for byte, and each counter of the others must lie between.
//!
//! Linux writes the same as libgcov, but for four things, which are all that [`as_linux`] changes: it has no summary
//! and no word of 0 at the end, its checksum is 0, and counters that are all 0 stand there as values.
//!
//! Source: `convert_to_gcda` in `kernel/gcov/gcc_4_7.c`, Linux 6.1.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ::covtap::profile::gcov::{self, GcdaFile};
use ::covtap::write::gcda;
use anyhow::{Context, Result, ensure};

/// The tags of a file, as they are drawn in covtap's own reader.
const MAGIC: u32 = 0x6763_6461;
const TAG_FUNCTION: u32 = 0x0100_0000;
const TAG_ARCS: u32 = 0x01a1_0000;

/// Files by the names that the image has for them.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// How the files of the units compare.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Units at rest whose files are equal.
    pub(super) equal: usize,
    /// Units that worked meanwhile, each counter of which is between covtap's two.
    pub(super) between: usize,
    /// What is wrong with the others.
    pub(super) wrong: Vec<String>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equal, between, wrong } = self;
        write!(f, "{equal} units at rest are equal to the kernel's own, byte for byte but for what Linux ")?;
        write!(f, "leaves out; {between} that worked meanwhile are between; {} are wrong", wrong.len())?;
        wrong.iter().take(10).try_for_each(|wrong| write!(f, "\n  {wrong}"))
    }
}

/// Compares every unit that anybody has.
pub(super) fn compare(before: &Files, kernels: &Files, after: &Files) -> Comparison {
    let mut comparison = Comparison::default();
    let mut names: Vec<&PathBuf> = before.keys().chain(kernels.keys()).chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let three = before.get(name).zip(kernels.get(name)).zip(after.get(name));
        let outcome = three.context("one of the three lacks it");
        match outcome.and_then(|((before, kernels), after)| unit(before, kernels, after)) {
            Ok(true) => comparison.equal += 1,
            Ok(false) => comparison.between += 1,
            Err(error) => comparison.wrong.push(format!("{}: {error:#}", name.display())),
        }
    }
    comparison
}

/// Whether the unit was at rest, and its files are equal. If it was not, they are as they may be.
fn unit(before: &[u8], kernels: &[u8], after: &[u8]) -> Result<bool> {
    let [before, after] = [before, after].map(|bytes| gcov::read("covtap's file", bytes));
    let (before, after) = (before?, after?);
    if as_linux(&before) == as_linux(&after) {
        ensure!(as_linux(&before) == kernels, "at rest, and the kernel says something else");
        return Ok(true);
    }
    let kernels = gcov::read("the kernel's file", kernels)?;
    let same = |one: &GcdaFile, other: &GcdaFile| with_values(one, 0) == with_values(other, 0);
    ensure!(same(&before, &kernels) && same(&kernels, &after), "other functions or other counters");
    for ((low, middle), high) in values(&before).zip(values(&kernels)).zip(values(&after)) {
        ensure!(low <= middle && middle <= high, "a counter is {low}, then {middle}, then {high}");
    }
    Ok(false)
}

/// What `files` have more than `earlier` ones of the same units.
///
/// # Errors
///
/// Units differ, or a counter is less than it was.
pub(super) fn since(earlier: &Files, files: &Files) -> Result<Files> {
    ensure!(earlier.keys().eq(files.keys()), "there are files of other units than before");
    let more = |((name, earlier), later): ((&PathBuf, &Vec<u8>), &Vec<u8>)| {
        let more = unit_since(earlier, later).with_context(|| name.display().to_string())?;
        Ok((name.clone(), gcda::encode(&more)))
    };
    earlier.iter().zip(files.values()).map(more).collect()
}

fn unit_since(earlier: &[u8], later: &[u8]) -> Result<GcdaFile> {
    let earlier = gcov::read("the earlier file", earlier)?;
    let mut more = gcov::read("the later file", later)?;
    ensure!(with_values(&earlier, 0) == with_values(&more, 0), "other functions or other counters");
    let counters = more.functions.iter_mut().flatten().flat_map(|function| &mut function.counters);
    for (value, earlier) in counters.flat_map(|counters| &mut counters.values).zip(values(&earlier)) {
        let less = || format!("a counter is {value}, and was {earlier}");
        *value = value.checked_sub(earlier).with_context(less)?;
    }
    Ok(more)
}

fn values(file: &GcdaFile) -> impl Iterator<Item = u64> {
    file.functions.iter().flatten().flat_map(|function| &function.counters).flat_map(|c| c.values.clone())
}

/// The file with all counters set to `value`: what is left is what was compiled.
fn with_values(file: &GcdaFile, value: u64) -> Vec<u8> {
    let mut file = file.clone();
    let counters = file.functions.iter_mut().flatten().flat_map(|function| &mut function.counters);
    counters.for_each(|counters| counters.values.fill(value));
    as_linux(&file)
}

/// The file as Linux writes it.
fn as_linux(file: &GcdaFile) -> Vec<u8> {
    let unit = if file.layout().lengths_in_bytes { 4 } else { 1 };
    let mut words = vec![MAGIC, file.version().word(), file.stamp];
    words.extend(file.checksum.map(|_| 0));
    for function in file.functions.iter().flatten() {
        words.extend([TAG_FUNCTION, 3 * unit, function.ident]);
        words.extend([function.lineno_checksum, function.cfg_checksum]);
        for counters in &function.counters {
            let [index, num] =
                [counters.index, counters.values.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            words.extend([TAG_ARCS + (index << 17), num.saturating_mul(2 * unit)]);
            words.extend(counters.values.iter().flat_map(|value| [*value, *value >> 32]).map(low_half));
        }
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// All `.gcda` files below `dir`, by their paths from there, which begin with a slash.
pub(super) fn read_files(dir: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "gcda") {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                files.insert(Path::new("/").join(path.strip_prefix(dir)?), bytes);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use covtap::locate::gcov::Version;
    use covtap::profile::gcov::{GcdaCounters, GcdaFunction, GcdaSummary};
    use covtap_link::Endianness;

    use super::*;

    fn file(values: [u64; 2]) -> GcdaFile {
        let version = Version::from_word(u32::from_be_bytes(*b"B22*")).unwrap();
        let mut file = GcdaFile::new(version, Endianness::Little, 7).unwrap();
        file.checksum = Some(8);
        file.summary = Some(GcdaSummary { runs: 1, sum_max: 9 });
        let counters = vec![GcdaCounters { index: 0, values: values.to_vec() }];
        file.functions.push(Some(GcdaFunction { ident: 1, lineno_checksum: 2, cfg_checksum: 3, counters }));
        file
    }

    fn compared(before: [u64; 2], kernels: &GcdaFile, after: [u64; 2]) -> (usize, usize, Vec<String>) {
        let files = |bytes: Vec<u8>| Files::from([("/a.gcda".into(), bytes)]);
        let ours = |values| files(gcda::encode(&file(values)));
        let Comparison { equal, between, wrong } =
            compare(&ours(before), &files(as_linux(kernels)), &ours(after));
        (equal, between, wrong)
    }

    #[test]
    fn a_unit_at_rest_must_be_equal_and_another_between() {
        assert_eq!(compared([0, 0], &file([0, 0]), [0, 0]), (1, 0, vec![]));
        assert_eq!(compared([1, 1 << 40], &file([2, 1 << 40]), [2, 1 << 41]), (0, 1, vec![]));
        let (equal, between, wrong) = compared([1, 5], &file([1, 6]), [1, 5]);
        assert_eq!((equal, between, wrong.len()), (0, 0, 1));
        let (.., wrong) = compared([1, 5], &file([1, 4]), [2, 5]);
        assert_eq!(wrong, ["/a.gcda: a counter is 5, then 4, then 5"]);
        let mut other = file([1, 5]);
        other.stamp += 1;
        assert_eq!(compared([1, 5], &other, [1, 6]).2, ["/a.gcda: other functions or other counters"]);
    }

    #[test]
    fn a_unit_that_one_side_lacks_is_wrong() {
        let comparison = compare(&Files::from([("/a.gcda".into(), vec![])]), &Files::new(), &Files::new());
        assert_eq!(comparison.wrong, ["/a.gcda: one of the three lacks it"]);
    }

    #[test]
    fn what_was_counted_since_is_the_difference_and_never_negative() {
        let files = |values| Files::from([("/a.gcda".into(), gcda::encode(&file(values)))]);
        let more = since(&files([1, 1 << 40]), &files([6, 1 << 41])).unwrap();
        assert_eq!(gcov::read("a", &more[Path::new("/a.gcda")]).unwrap(), file([5, 1 << 40]));
        let error = since(&files([1, 5]), &files([1, 4])).unwrap_err();
        assert_eq!(format!("{error:#}"), "/a.gcda: a counter is 4, and was 5");
        since(&files([1, 5]), &Files::new()).unwrap_err();
    }

    #[test]
    fn linuxs_form_is_read_as_the_same_counts() {
        let mut expected = file([0, 0]);
        let read = gcov::read("a", &as_linux(&expected)).unwrap();
        (expected.summary, expected.checksum) = (None, Some(0));
        assert_eq!(read, expected);
    }
}
