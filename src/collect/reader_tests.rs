//! What a reader makes of readings that are torn, moved, behind, refused or cut short.

use super::super::Delta;
use super::super::counters::tests::region;
use super::*;
use crate::locate::{BiasWord, MergeRule};
use covtap_link::scripted::{Fault, ScriptedLink};
use covtap_link::{Endianness, TargetAddr};

const BASE: TargetAddr = TargetAddr::new(0x2000_0000);

fn bytes(counts: &[u64]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

fn reader(link: ScriptedLink) -> Reader {
    let regions = vec![region(BASE.get(), 16, MergeRule::Add, Endianness::Little)];
    Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading")
}

fn link() -> ScriptedLink {
    ScriptedLink::new([(BASE, bytes(&[5, 0xffff_fff0]))])
}

/// The snapshot that was taken.
pub(crate) fn taken(taken: Result<Taken, CollectError>) -> Snapshot {
    taken.expect("no error").snapshot().expect("a snapshot")
}

fn take(reader: &mut Reader) -> Snapshot {
    taken(reader.take(Duration::ZERO))
}

// Read 0 is the one made by `Reader::new`.

#[test]
fn a_snapshot_says_what_changed() {
    let mut reader = reader(link().with_fault(2, Fault::Change(BASE, bytes(&[6]))));
    assert_eq!(take(&mut reader).delta, Delta::default());
    let second = take(&mut reader);
    assert_eq!((second.number, second.delta), (2, Delta { changed: 1, backwards: 0 }));
    assert_eq!(second.counters.regions(), [bytes(&[6, 0xffff_fff0])]);
}

#[test]
fn a_snapshot_says_where_it_differs_from_the_one_before() {
    let mut reader = reader(link().with_fault(2, Fault::Change(BASE, bytes(&[6]))));
    assert_eq!(take(&mut reader).changes, None);
    let second = take(&mut reader);
    assert_eq!(second.changes_since(1).expect("known").of_region(0).first(), Some(&(0..8)));
    assert_eq!(second.changes_since(0), None);
    assert!(take(&mut reader).changes_since(2).expect("known").of_region(0).is_empty());
    reader.reset().expect("room");
    assert_eq!(take(&mut reader).changes, None);
    assert!(take(&mut reader).changes_since(4).is_some());
}

#[test]
fn many_counters_wait_for_the_writer_and_few_do_not() {
    for (len_bytes, waits) in [(MANY_BYTES, true), (MANY_BYTES - 8, false)] {
        let link = ScriptedLink::new([(BASE, vec![0; usize::try_from(len_bytes).expect("a length")])]);
        let regions = vec![region(BASE.get(), len_bytes, MergeRule::Add, Endianness::Little)];
        let mut reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
        let first = take(&mut reader);
        assert!(!reader.waits_for_writer(), "there is room for a second one");
        let second = take(&mut reader);
        assert_eq!(reader.waits_for_writer(), waits, "both are still held");
        drop(first);
        assert!(!reader.waits_for_writer(), "the first one's room is free");
        assert_eq!(second.number, 2);
    }
}

#[test]
fn a_torn_counter_is_read_again() {
    let high = BASE.checked_add(8).expect("in range");
    let torn = link()
        .with_fault(1, Fault::Change(high, bytes(&[0])))
        .with_fault(2, Fault::Change(high, bytes(&[0x1_0000_0000])));
    let mut reader = reader(torn);
    let snapshot = take(&mut reader);
    // Once because it went backwards, and once because it carried.
    assert_eq!(snapshot.rereads, 2);
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0000])]);
}

/// The target has written the upper half and not yet the lower one.
#[test]
fn a_counter_that_is_torn_upwards_is_not_believed() {
    let high = BASE.checked_add(8).expect("in range");
    let torn = link()
        .with_fault(1, Fault::Change(high, bytes(&[0x1_ffff_ffff])))
        .with_fault(2, Fault::Change(high, bytes(&[0x1_0000_0002])));
    let mut reader = reader(torn);
    let snapshot = take(&mut reader);
    assert_eq!(snapshot.rereads, 2);
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0002])]);
    assert_eq!(take(&mut reader).rereads, 0);
}

/// What is torn when covtap attaches would make all that comes later look too small.
#[test]
fn the_first_reading_may_be_torn_as_well() {
    let high = BASE.checked_add(8).expect("in range");
    let torn = ScriptedLink::new([(BASE, bytes(&[5, 0x1_ffff_ffff]))])
        .with_fault(1, Fault::Change(high, bytes(&[0x1_0000_0002])));
    let snapshot = take(&mut reader(torn));
    assert_eq!(snapshot.rereads, 0);
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0x1_0000_0002])]);
}

/// It is read again so often, and no oftener; the other counter is as good as ever.
#[test]
fn a_counter_that_carries_in_every_reading_keeps_its_last_good_value() {
    let carrying = (1..100).fold(link(), |link, read| {
        link.with_fault(read, Fault::Change(BASE, bytes(&[read << 32, 0xffff_fff0 + read])))
    });
    let mut reader = reader(carrying);
    let snapshot = take(&mut reader);
    assert_eq!((snapshot.unsettled, snapshot.rereads), (1, 12));
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0xffff_fff1])]);
    assert_eq!(reader.notices(), []);
}

#[test]
fn what_was_counted_before_a_reset_in_mid_snapshot_is_added_to_what_comes_after() {
    let mut reader = reader(link().with_fault(2, Fault::Reset { after_bytes: 3 }));
    take(&mut reader);
    let snapshot = take(&mut reader);
    assert_eq!((snapshot.number, snapshot.resets), (2, 1));
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 0xffff_fff0])]);
    assert_eq!(reader.notices(), [Notice::Reset { after: 1, evidence: ResetEvidence::Event }]);
}

#[test]
fn a_target_that_ends_in_mid_snapshot_gives_none_and_no_error() {
    let mut reader = reader(link().with_fault(2, Fault::End));
    take(&mut reader);
    assert!(matches!(reader.take(Duration::ZERO), Ok(Taken::Ended)));
    assert_eq!(reader.taken(), 1);
}

#[test]
fn counters_that_stay_behind_mean_a_reset_even_without_an_event() {
    let mut reader = reader(link().with_fault(1, Fault::Change(BASE, bytes(&[1, 1]))));
    let snapshot = take(&mut reader);
    let evidence = ResetEvidence::Backwards { counters: 2, rereads: 12 };
    assert_eq!(reader.notices(), [Notice::Reset { after: 0, evidence }]);
    assert_eq!((snapshot.resets, snapshot.counters.regions()), (1, &[bytes(&[6, 0xffff_fff1])][..]));
}

/// Start-up code sets one counter to zero after the other: what is not zero yet is of the run that ended.
#[test]
fn nothing_of_the_old_run_is_counted_for_the_new_one() {
    let old = ScriptedLink::new([(BASE, bytes(&[500, 700]))]);
    let half = old.with_fault(1, Fault::Change(BASE, bytes(&[0, 700])));
    // The reading that is doubtful, twelve more, and the two that the new run is watched with.
    let mut reader = reader(half.with_fault(15, Fault::Change(BASE, bytes(&[1, 2]))));
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[501, 702])]);
}

/// The first reset comes to light by the second: a target that begins at zero once always does.
#[test]
fn a_run_that_overtook_the_one_before_is_believed_when_a_later_one_falls() {
    let link = ScriptedLink::new([(BASE, bytes(&[5, 7]))])
        .with_fault(1, Fault::Tell(TargetEvent::Reset))
        .with_fault(1, Fault::Change(BASE, bytes(&[6, 9])))
        .with_fault(2, Fault::Tell(TargetEvent::Reset))
        .with_fault(2, Fault::Change(BASE, bytes(&[1, 2])));
    let mut reader = reader(link);
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[6, 9])]);
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[5 + 6 + 1, 7 + 9 + 2])]);
}

/// What is there after a further reset is what was there before it, until something counts again.
#[test]
fn what_is_left_of_a_run_is_not_taken_for_the_next_one() {
    let link = ScriptedLink::new([(BASE, bytes(&[5, 7]))])
        .with_fault(1, Fault::Tell(TargetEvent::Reset))
        .with_fault(1, Fault::Change(BASE, bytes(&[1, 2])));
    let mut reader = reader(link);
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[6, 9])]);
    reader.is_reset_told = true;
    assert!(matches!(reader.take(Duration::ZERO), Ok(Taken::Restarting)), "nothing shows that it began");
}

/// Bytes that are 0 say that everything ran, until start-up code sets them.
#[test]
fn what_was_there_before_anything_ran_is_no_run() {
    let link = ScriptedLink::new([(BASE, vec![0; 2])]).with_fault(1, Fault::Change(BASE, vec![0xff, 0]));
    let regions = vec![region(BASE.get(), 2, MergeRule::ClearedWhenHit, Endianness::Little)];
    let reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
    let mut reader = reader.at_rest();
    let snapshot = take(&mut reader);
    assert_eq!((snapshot.resets, snapshot.counters.regions()), (0, &[vec![0xff, 0]][..]));
    assert_eq!(reader.notices(), []);
}

#[test]
fn a_target_that_is_reset_and_keeps_its_counters_goes_on() {
    let link = ScriptedLink::new([(BASE, bytes(&[5, 7]))])
        .with_fault(1, Fault::Tell(TargetEvent::Reset))
        .with_fault(1, Fault::Change(BASE, bytes(&[6, 7])));
    let mut reader = reader(link);
    let snapshot = take(&mut reader);
    assert_eq!(snapshot.counters.regions(), [bytes(&[6, 7])]);
    assert_eq!(reader.notices(), [Notice::ResetUnseen { after: 0 }]);
}

/// With the server's word for it no counter may be behind, not even a few.
#[test]
fn a_reset_that_was_told_is_no_lost_update() {
    let link = || {
        let before = ScriptedLink::new([(BASE, bytes(&[0x1_0000, 7]))]);
        before.with_fault(1, Fault::Change(BASE, bytes(&[0xffff, 8])))
    };
    let mut lost = reader(link());
    assert_eq!((take(&mut lost).lost, lost.resets()), (1, 0));
    let mut reset = reader(link().with_fault(1, Fault::Tell(TargetEvent::Reset)));
    assert_eq!(take(&mut reset).counters.regions(), [bytes(&[0x1_ffff, 15])]);
}

#[test]
fn counting_anew_leaves_the_target_alone_and_outlives_its_resets() {
    let link =
        link().with_fault(2, Fault::Change(BASE, bytes(&[9]))).with_fault(3, Fault::Reset { after_bytes: 0 });
    let mut reader = reader(link).with_baseline();
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[0, 0])]);
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[4, 0])]);
    reader.reset().expect("room");
    let after = take(&mut reader);
    assert_eq!((after.era, after.resets), (1, 1));
    assert_eq!(after.counters.regions(), [bytes(&[0, 0])]);
}

/// The target copied its counters, went on where they were, and then moved.
#[test]
fn counters_that_move_are_followed_and_that_is_no_reset() {
    let (elsewhere, word) = (TargetAddr::new(0x1000_0000), TargetAddr::new(0x2000_0100));
    let link = ScriptedLink::new([(BASE, bytes(&[5, 9])), (elsewhere, bytes(&[4, 9])), (word, vec![0; 8])]);
    let moved = link.with_fault(2, Fault::Change(word, vec![0, 0, 0, 0xf0, 0, 0, 0, 0]));
    let restarted =
        moved.with_fault(5, Fault::Change(word, vec![0; 8])).with_fault(5, Fault::Change(BASE, vec![0; 16]));
    let bias = BiasWord {
        range: covtap_link::AddrRange::new(word, 8).expect("a range"),
        endianness: Endianness::Little,
        pointer_width: covtap_link::PointerWidth::Bits32,
    };
    let counters = region(BASE.get(), 16, MergeRule::Add, Endianness::Little);
    let regions = vec![CounterRegion { bias: Some(bias), ..counters }];
    let mut reader = Reader::new(MeteredLink::new(Box::new(restarted)), regions).expect("first reading");
    assert!(!take(&mut reader).moved);
    let there = take(&mut reader);
    assert_eq!((there.moved, there.rereads), (true, 1));
    assert_eq!(there.counters.regions(), [bytes(&[4, 9])]);
    assert!(!take(&mut reader).moved);
    let evidence = ResetEvidence::Backwards { counters: 2, rereads: 12 };
    take(&mut reader);
    assert_eq!(reader.notices(), [Notice::Reset { after: 3, evidence }]);
}

#[test]
fn a_link_that_fails_once_leaves_the_next_snapshot_right() {
    let mut reader = reader(link().with_fault(1, Fault::Refuse).with_fault(2, Fault::ShortRead));
    assert!(matches!(reader.take(Duration::ZERO), Err(CollectError::Link(_))));
    assert!(matches!(reader.take(Duration::ZERO), Err(CollectError::Link(_))));
    assert_eq!(take(&mut reader).counters.regions(), [bytes(&[5, 0xffff_fff0])]);
}

#[test]
fn buffers_come_back_once_nobody_holds_them() {
    let mut reader = reader(link());
    let seen: std::collections::BTreeSet<_> =
        (0..6).map(|_| Arc::as_ptr(&take(&mut reader).counters)).collect();
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_snapshot_that_somebody_holds_stays_as_it_was() {
    let mut reader = reader(link().with_fault(2, Fault::Change(BASE, bytes(&[9]))));
    let held = take(&mut reader);
    for _ in 0..3 {
        take(&mut reader);
    }
    assert_eq!(held.counters.regions(), [bytes(&[5, 0xffff_fff0])]);
}

#[test]
fn an_absurd_region_is_refused_before_any_memory_is_taken() {
    let regions = vec![region(0, 1 << 40, MergeRule::Add, Endianness::Little)];
    let error = Reader::new(MeteredLink::new(Box::new(link())), regions).err().expect("refused");
    assert_eq!(
        error.to_string(),
        "make room for 1099511627776 bytes of counters: the limit is 1073741824 bytes"
    );
}
