//! The most frequent values of an expression, which each generation of GCC keeps and merges in a way of its own.
//!
//! | GCC | form of one expression |
//! |---|---|
//! | 4.7 to 9 | value, count, total |
//! | 4.7 to 6, differences | last value, difference, count, total |
//! | 5 to 9, several call targets | evictions, 4 x (target, count) |
//! | 10 | total, 4 x (value, count) |
//! | from 11 | total, n, n x (value, count); n is at most 32 unless threads raced |
//!
//! From GCC 10 on, a negative total says that values were lost. All arithmetic wraps, as libgcov's does on the
//! machines it runs on.
//!
//! Source: `libgcc/libgcov-merge.c` and `libgcc/libgcov.h` of releases/gcc-7, releases/gcc-10 and releases/gcc-12.

use crate::locate::gcov::{CounterKind, Layout};

/// How many values of an expression libgcov keeps (`GCOV_TOPN_MAXIMUM_TRACKED_VALUES`).
const MAX_TRACKED: usize = 32;
/// How many values a file's list may have. Threads that race may add a few beyond what is kept.
const MAX_LISTED: u64 = 4096;

/// The number of values in the fixed form of GCC 10.
const FIXED_LEN: usize = 9;

/// Checks that the values of a file have the form of their kind; what is wrong otherwise.
pub(super) fn check_shape(layout: &Layout, index: usize, values: &[u64]) -> Result<(), String> {
    let count = values.len();
    if layout.is_topn_list(index) {
        return lists(values).map(drop);
    }
    let Some(tuple) = tuple_len(layout, index) else { return Ok(()) };
    if count.is_multiple_of(tuple) {
        Ok(())
    } else {
        Err(format!("{count} counters of index {index}, which come by {tuple}"))
    }
}

/// How many counters belong together, of kinds that have no lists.
fn tuple_len(layout: &Layout, index: usize) -> Option<usize> {
    match layout.counters.get(index)?.0 {
        CounterKind::TopN | CounterKind::IndirectCall if layout.since >= (10, 0) => Some(FIXED_LEN),
        CounterKind::TopN | CounterKind::IndirectCall => Some(3),
        CounterKind::Delta => Some(4),
        _ => None,
    }
}

/// One expression's list.
#[derive(Debug)]
pub(super) struct List {
    total: i64,
    pairs: Vec<(u64, i64)>,
}

/// The lists that stand behind each other in a file.
pub(super) fn lists(mut values: &[u64]) -> Result<Vec<List>, String> {
    let mut lists = Vec::new();
    while let Some((total, rest)) = values.split_first() {
        let (n, rest) = rest.split_first().ok_or("a list of values without its length")?;
        if *n > MAX_LISTED {
            return Err(format!("a list of {n} values is more than is plausible"));
        }
        let len = usize::try_from(*n).ok().and_then(|n| n.checked_mul(2));
        let (pairs, rest) = len
            .and_then(|len| rest.split_at_checked(len))
            .ok_or_else(|| format!("a list of {n} values, {} are left", rest.len() / 2))?;
        let pairs = pairs.as_chunks::<2>().0.iter().map(|[value, count]| (*value, count.cast_signed()));
        lists.push(List { total: total.cast_signed(), pairs: pairs.collect() });
        values = rest;
    }
    Ok(lists)
}

impl List {
    /// Adds what the file has (`__gcov_merge_topn`, from GCC 11).
    fn merge(&mut self, file: &Self) {
        let mut is_full = file.total < 0;
        self.total = self.total.wrapping_add(file.total.wrapping_abs());
        for (value, count) in &file.pairs {
            is_full |= self.add(*value, *count);
        }
        if is_full {
            self.total = self.total.wrapping_neg();
        }
    }

    /// Adds a value; `true` if one was lost.
    fn add(&mut self, value: u64, count: i64) -> bool {
        if let Some((_, sum)) = self.pairs.iter_mut().find(|(known, _)| *known == value) {
            *sum = sum.wrapping_add(count);
            return false;
        }
        if self.pairs.len() < MAX_TRACKED {
            self.pairs.push((value, count));
            return false;
        }
        // The first of the smallest.
        if let Some(smallest) = self.pairs.iter_mut().min_by_key(|(_, count)| *count) {
            smallest.1 = smallest.1.wrapping_sub(1);
            if smallest.1 < count {
                *smallest = (value, count);
            }
        }
        true
    }

    fn append_to(self, values: &mut Vec<u64>) {
        values.extend([self.total.cast_unsigned(), self.pairs.len() as u64]);
        values.extend(self.pairs.iter().flat_map(|(value, count)| [*value, count.cast_unsigned()]));
    }
}

/// Merges lists of equally many expressions; what is wrong otherwise.
pub(super) fn merge_lists(values: &mut Vec<u64>, file: &[u64]) -> Result<(), String> {
    let (mut ours, theirs) = (lists(values)?, lists(file)?);
    ours.iter_mut().zip(&theirs).for_each(|(list, file)| list.merge(file));
    values.clear();
    ours.into_iter().for_each(|list| list.append_to(values));
    Ok(())
}

/// Takes from what GCC 10 has in memory the values that its libgcov writes no file with (`prune_topn_counter`): those
/// that were not all there were.
pub(super) fn prune_fixed(layout: &Layout, index: usize, values: &mut [u64]) {
    if layout.has_topn_lists || tuple_len(layout, index) != Some(FIXED_LEN) {
        return;
    }
    for [total, pairs @ ..] in values.as_chunks_mut::<FIXED_LEN>().0 {
        let rare = |[_, count]: &&mut [u64; 2]| count.cast_signed() < total.cast_signed();
        pairs.as_chunks_mut::<2>().0.iter_mut().filter(rare).for_each(|pair| *pair = [0; 2]);
    }
}

/// Merges the fixed forms of GCC 10.
pub(super) fn merge_fixed(values: &mut [u64], file: &[u64]) {
    let (ours, theirs) = (values.as_chunks_mut::<FIXED_LEN>().0, file.as_chunks::<FIXED_LEN>().0);
    for ([total, pairs @ ..], [all, read @ ..]) in ours.iter_mut().zip(theirs) {
        let all = all.cast_signed();
        let sum = if all < 0 { total.wrapping_neg() } else { *total };
        *total = sum.wrapping_add_signed(all);
        let (pairs, _) = pairs.as_chunks_mut::<2>();
        for [value, count] in read.as_chunks::<2>().0 {
            let is_lost = *count != 0 && add_fixed(pairs, *value, *count);
            if is_lost && total.cast_signed() >= 0 {
                *total = total.wrapping_neg();
            }
        }
    }
}

/// Adds a value; `true` if one was lost.
fn add_fixed(pairs: &mut [[u64; 2]], value: u64, count: u64) -> bool {
    if let Some([_, sum]) = pairs.iter_mut().find(|[known, _]| *known == value) {
        *sum = sum.wrapping_add(count);
        return false;
    }
    let smallest = pairs.iter_mut().min_by_key(|[_, count]| count.cast_signed());
    let Some([known, sum]) = smallest else { return false };
    let is_lost = *sum != 0;
    if !is_lost || count.cast_signed() > sum.cast_signed() {
        (*known, *sum) = (value, count);
    } else {
        *sum = sum.wrapping_sub(count);
    }
    is_lost
}

/// Merges {value, count, total} of which the first `skipped` of each tuple are no part: 1 of differences.
pub(super) fn merge_single(values: &mut [u64], file: &[u64], skipped: usize) {
    let tuple = skipped.saturating_add(3);
    for (ours, theirs) in values.chunks_exact_mut(tuple).zip(file.chunks_exact(tuple)) {
        let (Some([known, sum, total]), Some([value, count, all])) =
            (ours.get_mut(skipped..), theirs.get(skipped..))
        else {
            continue;
        };
        if known == value {
            *sum = sum.wrapping_add(*count);
        } else if count.cast_signed() > sum.cast_signed() {
            (*known, *sum) = (*value, count.wrapping_sub(*sum));
        } else {
            *sum = sum.wrapping_sub(*count);
        }
        *total = total.wrapping_add(*all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::gcov::Version;

    fn merged_list(ours: &[u64], file: &[u64]) -> Vec<u64> {
        let mut values = ours.to_vec();
        merge_lists(&mut values, file).unwrap();
        values
    }

    #[test]
    fn lists_take_new_values_behind_their_own() {
        assert_eq!(merged_list(&[3, 1, 7, 3], &[5, 2, 9, 4, 7, 1]), [8, 2, 7, 4, 9, 4]);
        assert_eq!(merged_list(&[0, 0], &[2, 1, 5, 2]), [2, 1, 5, 2]);
        // The file has lost values, which stays known.
        let lost = |total: i64| total.cast_unsigned();
        assert_eq!(merged_list(&[3, 0], &[lost(-4), 0]), [lost(-7), 0]);
    }

    #[test]
    fn a_full_list_loses_the_smallest() {
        let full: Vec<u64> = [100, 32].into_iter().chain((0..32).flat_map(|n| [n, 10 + n])).collect();
        let merged = merged_list(&full, &[1, 1, 77, 1]);
        assert_eq!((merged[0].cast_signed(), merged[1], &merged[2..4]), (-101, 32, &[0, 9][..]));
        let merged = merged_list(&full, &[10, 1, 77, 10]);
        assert_eq!((merged[0].cast_signed(), &merged[2..4]), (-110, &[77, 10][..]));
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        for values in [&[1][..], &[1, 1], &[1, 1, 5], &[1, 0, 3], &[1, u64::MAX, 1, 1], &[1, 5000]] {
            assert!(lists(values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn fixed_forms_fill_empty_places_and_then_lose_the_smallest() {
        let mut values = [3, 7, 3, 0, 0, 0, 0, 0, 0];
        merge_fixed(&mut values, &[4, 9, 2, 7, 1, 8, 1, 0, 0]);
        assert_eq!(values, [7, 7, 4, 9, 2, 8, 1, 0, 0]);
        merge_fixed(&mut values, &[9, 5, 3, 6, 6, 0, 0, 0, 0]);
        assert_eq!(values.map(u64::cast_signed), [-16, 7, 4, 9, 2, 6, 6, 5, 3]);
    }

    #[test]
    fn gcc_10_writes_values_that_were_all_there_were() {
        let version = |text: &[u8; 4]| Version::from_word(u32::from_be_bytes(*text)).unwrap();
        let memory = [40, 10, 20, 5, 40, 2, 41, 1, 4, u64::MAX, 7, 0, 8, u64::MAX, 9, 2, 6, u64::MAX - 1];
        let mut values = memory;
        prune_fixed(version(b"B02*").layout().unwrap(), 3, &mut values);
        assert_eq!(values, [40, 0, 0, 5, 40, 2, 41, 0, 0, u64::MAX, 7, 0, 8, u64::MAX, 9, 2, 0, 0]);
        for (text, index) in [(b"B02*", 0), (b"A93*", 3), (b"B13*", 3)] {
            let mut values = memory;
            prune_fixed(version(text).layout().unwrap(), index, &mut values);
            assert_eq!(values, memory);
        }
    }

    #[test]
    fn single_values_fight_for_their_place() {
        let mut values = [7, 3, 3, 1, 5, 9];
        merge_single(&mut values, &[7, 2, 4, 2, 6, 8], 0);
        assert_eq!(values, [7, 5, 7, 2, 1, 17]);
        merge_single(&mut values, &[8, 1, 1, 2, 0, 1], 0);
        assert_eq!(values, [7, 4, 8, 2, 1, 18]);
        let mut differences = [50, 2, 3, 4];
        merge_single(&mut differences, &[60, 2, 1, 1], 1);
        assert_eq!(differences, [50, 2, 4, 5]);
    }
}
