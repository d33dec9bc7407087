//! Sorting as LLVM's tools do where they use `std::sort`: what is equal comes out in an order that depends on that
//! function, and ends up in their output.
//!
//! Source: `bits/stl_algo.h` of libstdc++ 12, which those tools are built with on Linux. It partitions; parts that
//! take too many steps, as sorted lists put behind each other do, it sorts as heaps.

use std::cmp::Ordering;

/// At most this many elements are sorted by insertion, which keeps the order of what is equal.
const THRESHOLD: usize = 16;

/// Sorts as `std::sort` of libstdc++ does.
pub(super) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let depth = items.len().checked_ilog2().unwrap_or(0).saturating_mul(2);
    let mut pending = vec![(&mut *items, depth)];
    while let Some((part, depth)) = pending.pop() {
        if part.len() <= THRESHOLD {
            continue;
        }
        if depth == 0 {
            heap_sort(part, &key);
            continue;
        }
        let cut = partition(part, &key);
        if let Some((left, right)) = part.split_at_mut_checked(cut) {
            pending.extend([(left, depth.saturating_sub(1)), (right, depth.saturating_sub(1))]);
        }
    }
    // What is left to do is insertion, the result of which any stable sort has.
    items.sort_by_key(key);
}

/// Moves what is below the median of three elements to the left of the rest; gives where the rest begins.
fn partition<T, K: Ord>(items: &mut [T], key: &impl Fn(&T) -> K) -> usize {
    let (middle, last) = (items.len() / 2, items.len().saturating_sub(1));
    let median = median(items, [1, middle, last], key);
    items.swap(0, median);
    let Some((pivot, rest)) = items.split_first_mut() else { return 0 };
    let pivot = key(pivot);
    let (mut left, mut right) = (0, rest.len());
    loop {
        while rest.get(left).is_some_and(|item| key(item) < pivot) {
            left = left.saturating_add(1);
        }
        right = right.saturating_sub(1);
        while right > 0 && rest.get(right).is_some_and(|item| pivot < key(item)) {
            right = right.saturating_sub(1);
        }
        if left >= right {
            return left.saturating_add(1);
        }
        rest.swap(left, right);
        left = left.saturating_add(1);
    }
}

/// Which of three elements is between the others.
fn median<T, K: Ord>(items: &[T], [a, b, c]: [usize; 3], key: &impl Fn(&T) -> K) -> usize {
    let at = |index: usize| items.get(index).map(key);
    let below = |one, other| at(one) < at(other);
    match (below(a, b), below(a, c), below(b, c)) {
        (true, _, true) => b,
        (true, true, false) => c,
        (true, false, false) => a,
        (false, true, _) => a,
        (false, false, true) => c,
        (false, false, false) => b,
    }
}

/// `std::make_heap` and `std::sort_heap`.
fn heap_sort<T, K: Ord>(items: &mut [T], key: &impl Fn(&T) -> K) {
    for parent in (0..items.len() / 2).rev() {
        sift(items, parent, key);
    }
    for last in (1..items.len()).rev() {
        items.swap(0, last);
        if let Some(heap) = items.get_mut(..last) {
            sift(heap, 0, key);
        }
    }
}

/// Takes the element at `top` down to the leaves, along the larger children, and up again to where it belongs.
fn sift<T, K: Ord>(heap: &mut [T], top: usize, key: &impl Fn(&T) -> K) {
    let below = |heap: &[T], one: usize, other: usize| heap.get(one).map(key) < heap.get(other).map(key);
    let mut hole = top;
    loop {
        let left = hole.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let child = match right.cmp(&heap.len()) {
            Ordering::Less if below(heap, right, left) => left,
            Ordering::Less => right,
            Ordering::Equal => left,
            Ordering::Greater => break,
        };
        heap.swap(hole, child);
        hole = child;
    }
    while hole > top {
        let parent = hole.saturating_sub(1) / 2;
        if !below(heap, parent, hole) {
            break;
        }
        heap.swap(parent, hole);
        hole = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_elements_keep_their_order() {
        let mut items: Vec<(u8, usize)> = (0..16).map(|index| (u8::from(index % 3 == 0), index)).collect();
        let mut stable = items.clone();
        stable.sort_by_key(|item| item.0);
        sort_by_key(&mut items, |item| item.0);
        assert_eq!(items, stable);
    }

    #[test]
    fn a_heap_comes_out_in_order() {
        for len in 0..40 {
            let mut items: Vec<usize> = (0..len).map(|index| index * 7 % 11).collect();
            let mut sorted = items.clone();
            sorted.sort_unstable();
            heap_sort(&mut items, &|item| *item);
            assert_eq!(items, sorted);
        }
    }

    proptest! {
        #[test]
        fn all_elements_come_out_in_order(keys in prop::collection::vec(0u8..20, 0..300)) {
            let mut items = keys.clone();
            sort_by_key(&mut items, |item| *item);
            let mut sorted = keys;
            sorted.sort_unstable();
            prop_assert_eq!(items, sorted);
        }
    }
}
