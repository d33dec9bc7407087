//! Lists of a scripted target, whole and changed while they are followed, and such as no program makes.

use std::time::Duration;

use covtap_link::scripted::{Fault, ScriptedLink};
use covtap_link::{Endianness, PointerWidth};

use super::super::counters::tests::region;
use super::super::reader::tests::taken;
use super::super::{Reader, Snapshot};
use super::*;
use crate::locate::MergeRule;

const HEADS: u64 = 0x2000_0000;
const POOL: u64 = 0x2000_1000;
const NODE: u64 = 24;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The address of a node of the pool.
fn node(index: u64) -> u64 {
    POOL + NODE * index
}

/// Two heads, and a pool of nodes {value, count, next}.
fn link(heads: [[u64; 3]; 2], pool: &[[u64; 3]]) -> ScriptedLink {
    let pool = [words(pool.as_flattened()), vec![0; 64]].concat();
    ScriptedLink::new([(TargetAddr::new(HEADS), words(heads.as_flattened())), (TargetAddr::new(POOL), pool)])
}

fn reader(link: ScriptedLink) -> Reader {
    let mut regions = vec![region(HEADS, 48, MergeRule::Latest, Endianness::Little)];
    regions[0].element_bytes = 8;
    let head = |offset| ListHead {
        region: 0,
        offset,
        endianness: Endianness::Little,
        pointer_width: PointerWidth::Bits64,
    };
    let reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
    reader.with_lists(vec![head(0), head(24)])
}

fn take(link: ScriptedLink) -> Snapshot {
    taken(reader(link).take(Duration::ZERO))
}

/// Two nodes of the first list and one of the second.
fn whole() -> ScriptedLink {
    link([[9, 2, node(0)], [4, 1, node(2)]], &[[100, 6, node(1)], [101, 3, 0], [200, 4, 0]])
}

fn change(at: u64, to: &[u64]) -> Fault {
    Fault::Change(TargetAddr::new(at), words(to))
}

// Read 0 is the one made by `Reader::new`, 1 that of the regions, then one for each step, and one of all again.

#[test]
fn lists_are_followed_side_by_side() {
    let snapshot = take(whole());
    assert_eq!(snapshot.lists, [Ok(vec![(100, 6), (101, 3)]), Ok(vec![(200, 4)])]);
    let none = link([[0; 3], [0; 3]], &[]).with_fault(2, Fault::Refuse);
    assert_eq!(take(none).lists, [Ok(vec![]), Ok(vec![])]);
    // A total without nodes: there was no memory for them.
    assert_eq!(take(link([[7, 0, 0], [0; 3]], &[])).lists[0], Ok(vec![]));
}

#[test]
fn counts_that_grow_meanwhile_are_of_the_second_reading_with_their_total() {
    let counted = whole().with_fault(4, change(node(1), &[101, 5])).with_fault(4, change(HEADS, &[11]));
    let snapshot = take(counted);
    assert_eq!(snapshot.lists[0], Ok(vec![(100, 6), (101, 5)]));
    assert_eq!(snapshot.counters.regions()[0][..8], 11u64.to_le_bytes());
}

/// A full list gives a node to another value: its old value never had the new count.
#[test]
fn a_node_that_changes_its_value_is_read_again() {
    for fault in [
        Fault::Change(TargetAddr::new(node(1)), words(&[777, 1])),
        // Only the count was written when it was read.
        Fault::Change(TargetAddr::new(node(1) + 8), words(&[1])),
    ] {
        let changed = whole().with_fault(4, fault).with_fault(5, change(node(1), &[777, 1]));
        assert_eq!(take(changed).lists, [Ok(vec![(100, 6), (777, 1)]), Ok(vec![(200, 4)])]);
    }
}

#[test]
fn a_list_that_grows_meanwhile_is_followed_again() {
    let grown = whole()
        .with_fault(4, change(node(3), &[300, 1, 0]))
        .with_fault(4, change(node(2) + 16, &[node(3)]))
        .with_fault(4, change(HEADS + 24, &[5, 2]));
    assert_eq!(take(grown).lists[1], Ok(vec![(200, 4), (300, 1)]));
}

#[test]
fn a_list_that_never_rests_is_not_told() {
    let faults = (2..40).map(|read| (read, change(node(0), &[read])));
    let restless = faults.fold(whole(), |link, (read, fault)| link.with_fault(read, fault));
    assert_eq!(take(restless).lists, [Err(ListFault::Restless { times: MAX_TRIES }), Ok(vec![(200, 4)])]);
}

#[test]
fn what_no_program_makes_is_refused_and_spoils_no_other_list() {
    let good = Ok(vec![(200, 4)]);
    let at = |first: u64, pool: [u64; 3]| {
        let second = [4, 1, node(2)];
        let lists = take(link([[9, 2, first], second], &[pool, [101, 3, 0], [200, 4, 0]])).lists;
        assert_eq!(lists[1], good);
        lists[0].clone().unwrap_err()
    };
    // Nowhere, past the end, unaligned, and round and round.
    assert_eq!(at(0x10, [0; 3]), ListFault::NoNode { at: 0x10 });
    assert_eq!(at(u64::MAX - 7, [0; 3]), ListFault::NoNode { at: u64::MAX - 7 });
    assert_eq!(at(node(0) + 4, [0; 3]), ListFault::NoNode { at: node(0) + 4 });
    assert_eq!(at(node(0), [1, 1, 0x30]), ListFault::NoNode { at: 0x30 });
    assert_eq!(at(node(0), [1, 1, node(0)]), ListFault::Circle { at: node(0) });
    // Its head lies.
    assert_eq!(at(node(0), [1, 1, 0]), ListFault::TooShort { said: 2, found: 1 });
    assert_eq!(at(0, [1, 1, 0]), ListFault::TooShort { said: 2, found: 0 });
    // It is none, and what it points to is not read.
    for said in [0, MAX_NODES as u64 + 1, u64::MAX] {
        let unset = link([[9, said, node(0)], [0; 3]], &[[1, 1, 0]]).with_fault(2, Fault::ShortRead);
        let error = reader(unset).take(Duration::ZERO).expect_err("the heads are read again");
        assert!(error.to_string().starts_with("read 24 bytes at 0x20000000"), "{error}");
        let lists = take(link([[9, said, node(0)], [0; 3]], &[[1, 1, 0]])).lists;
        assert_eq!(lists[0], Err(ListFault::NoHead { said }));
    }
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let pool: Vec<_> = (0..400).map(|index| [index, 1, node(index + 1)]).collect();
    let lists = take(link([[400, 200, node(0)], [0; 3]], &pool)).lists;
    assert_eq!(lists, [Err(ListFault::TooLong { nodes: MAX_NODES }), Ok(vec![])]);
}

/// Threads race for the number of nodes; the nodes are there all the same.
#[test]
fn more_nodes_than_the_head_says_are_told() {
    assert_eq!(
        take(link([[9, 1, node(0)], [0; 3]], &[[1, 5, node(1)], [2, 4, 0]])).lists[0].as_ref().unwrap().len(),
        2
    );
}

#[test]
fn a_link_that_fails_otherwise_ends_the_snapshot() {
    let error = reader(whole().with_fault(2, Fault::Timeout)).take(Duration::ZERO).expect_err("no snapshot");
    assert!(matches!(error, CollectError::Link(LinkError::Timeout { .. })), "{error}");
    let refused = take(whole().with_fault(2, Fault::Refuse));
    assert_eq!(refused.lists[0], Ok(vec![(100, 6), (101, 3)]), "each was asked for on its own");
}
