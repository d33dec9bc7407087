//! Targets that lose updates, that are reset, and both.

use std::time::Duration;

use covtap_link::scripted::{Fault, ScriptedLink};
use covtap_link::{Endianness, TargetAddr};

use super::super::counters::tests::region;
use super::super::reader::tests::taken;
use super::super::{MeteredLink, Notice, Reader, ResetEvidence, Snapshot};
use super::*;

const BASE: TargetAddr = TargetAddr::new(0x2000_0000);
/// As many as all of its counters.
const NUM: usize = 64;
/// What each of them has when covtap attaches.
const OLD: u64 = 10_000;
/// A reading that went backwards is read again so often.
const REREADS: u32 = 12;

fn bytes(counts: &[u64]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

/// All of them a little later, but for some that are as given.
fn later(but: &[(usize, u64)]) -> Vec<u64> {
    let mut counts = vec![OLD + 100; NUM];
    but.iter().for_each(|(index, count)| counts[*index] = *count);
    counts
}

/// A target that changes its counters before each of some reads. Read 0 is the one made by `Reader::new`.
fn reader<'c>(changes: impl IntoIterator<Item = (u64, &'c [u64])>) -> Reader {
    let link = ScriptedLink::new([(BASE, bytes(&[OLD; NUM]))]);
    let link = changes
        .into_iter()
        .fold(link, |link, (n, counts)| link.with_fault(n, Fault::Change(BASE, bytes(counts))));
    let regions = vec![region(BASE.get(), 8 * NUM as u64, MergeRule::Add, Endianness::Little)];
    Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading")
}

fn take(reader: &mut Reader) -> Snapshot {
    taken(reader.take(Duration::ZERO))
}

/// How many counters were behind when the target was found to be reset.
fn reset(reader: &mut Reader) -> u64 {
    take(reader);
    match *reader.notices() {
        [Notice::Reset { evidence: ResetEvidence::Backwards { counters, rereads: REREADS }, .. }] => counters,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn lost_updates_are_the_targets_own_counts() {
    let first = later(&[(3, OLD - 1), (9, OLD - 400)]);
    let second: Vec<u64> = first.iter().map(|count| count + 1000).collect();
    let third: Vec<u64> =
        second.iter().enumerate().map(|(i, count)| count + 7 - 17 * u64::from(i == 5)).collect();
    let mut reader = reader([(1, &*first), (3, &*second), (4, &*third)]);
    let snapshot = take(&mut reader);
    assert_eq!((snapshot.lost, snapshot.rereads, snapshot.delta.backwards), (401, 1, 2));
    assert_eq!(snapshot.counters.regions(), [bytes(&first)]);
    assert_eq!((take(&mut reader).lost, take(&mut reader).lost), (401, 411));
}

/// A thread waited for a processor between load and store. A tear that looks like that settles meanwhile.
#[test]
fn large_losses_are_believed_once_they_stay() {
    let counts = later(&[(3, 7)]);
    let snapshot = take(&mut reader([(1, &*counts)]));
    assert_eq!((snapshot.lost, snapshot.rereads), (OLD - 7, REREADS));
    assert_eq!(snapshot.counters.regions(), [bytes(&counts)]);
}

#[test]
fn a_reset_takes_back_all_that_has_not_caught_up() {
    // Just after it, and when all counters but one have nearly caught up.
    for count in [1, OLD - 1] {
        let counts: Vec<u64> = (0..NUM as u64).map(|i| if i == 0 { OLD + 1 } else { count }).collect();
        assert_eq!(reset(&mut reader([(1, &*counts)])), NUM as u64 - 1);
    }
    // Most have caught up: more are behind than threads can leave so.
    let counts = later(&[(1, OLD - 1), (2, OLD - 1), (3, OLD - 2), (4, OLD - 3), (5, OLD - 3)]);
    assert_eq!(reset(&mut reader([(1, &*counts)])), 5);
    // All but one have, which has not run again.
    assert_eq!(reset(&mut reader([(1, &*later(&[(8, 0)]))])), 1);
    // Nothing else ran yet.
    let counts: Vec<u64> = (0..NUM).map(|i| if i == 0 { OLD - 1 } else { OLD }).collect();
    assert_eq!(reset(&mut reader([(1, &*counts)])), 1);
}

#[test]
fn a_reset_of_a_target_that_loses_updates_is_one() {
    let lost = later(&[(3, OLD - 1), (9, OLD - 20)]);
    let restarted = vec![40; NUM];
    let mut between = reader([(1, &*lost), (3, &*restarted)]);
    assert_eq!(take(&mut between).lost, 21);
    assert_eq!(reset(&mut between), NUM as u64);
    // While what was lost is read again.
    assert_eq!(reset(&mut reader([(1, &*lost), (2, &*restarted)])), NUM as u64);
}

/// Two readings differ by a torn upper half, which has to settle, while a third counter has lost something.
#[test]
fn a_torn_counter_beside_a_lost_update_is_still_read_again() {
    const CARRIED: u64 = 0x1_0000_0002;
    let torn = later(&[(3, OLD - 1), (4, 0x1_ffff_ffff)]);
    let whole = later(&[(3, OLD - 1), (4, CARRIED)]);
    let snapshot = take(&mut reader([(1, &*torn), (2, &*whole)]));
    assert_eq!((snapshot.lost, snapshot.rereads), (1, 2));
    assert_eq!(snapshot.counters.regions(), [bytes(&whole)]);
}

fn losses(merge: MergeRule, old: &[u8], new: &[u8]) -> Losses {
    let mut losses = Losses::default();
    losses.add_region(&region(0, old.len() as u64, merge, Endianness::Big), old, new);
    losses
}

#[test]
fn a_loss_is_small_beside_its_counter_and_never_as_large_as_a_tear() {
    for (old, new, is_small) in [
        (3_u64, 1_u64, true),
        (3, 0, false),
        (17, 1, true),
        (1600, 1484, true),
        (1600, 1483, false),
        (0x0001_0002_0000_0000, 0x0001_0001_8000_0000, true),
        (0x0001_0002_0000_0000, 0x0001_0001_7fff_ffff, false),
        (u64::MAX, 1, false),
    ] {
        let found = losses(MergeRule::Add, &old.to_be_bytes(), &new.to_be_bytes());
        assert_eq!((found.counts, found.are_small()), (old - new, is_small), "{old} {new}");
    }
}

#[test]
fn bits_can_be_lost_and_bytes_cannot() {
    let bits = losses(MergeRule::BitmapOr, &[0b0110, 0, 0], &[0b0010, 1, 1]);
    assert_eq!((bits.counts, bits.are_lost_updates()), (1, true));
    assert!(!losses(MergeRule::BitmapOr, &[0b0100, 0, 0], &[0, 1, 1]).are_lost_updates());
    assert!(!losses(MergeRule::ClearedWhenHit, &[0, 0xff, 0xff], &[0xff, 0, 0]).are_lost_updates());
    assert!(losses(MergeRule::Latest, &[9, 9], &[1, 0]).are_lost_updates());
}
