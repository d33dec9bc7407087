//! Readings that a target tears, and what becomes of them.

use covtap_link::scripted::{Fault, ScriptedLink};
use covtap_link::{Endianness, TargetAddr};

use super::super::Taken;
use super::super::counters::tests::region;
use super::super::reader::tests::taken;
use super::super::{Reader, Snapshot};
use super::*;
use crate::locate::MergeRule;

const BASE: TargetAddr = TargetAddr::new(0x2000_0000);

/// Groups of two counters, the second of which is counted after the first.
struct Pairs(Vec<Group>);

impl Coherence for Pairs {
    fn groups(&self) -> &[Group] {
        &self.0
    }

    fn fault(&self, group: usize, regions: &[Vec<u8>]) -> Option<String> {
        let [first, second] = self.0[group].parts[0].of(regions).as_chunks::<8>().0 else { panic!("two") };
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        (second > first).then(|| format!("{second} after {first}"))
    }
}

fn bytes(counts: &[u64]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

fn at(counter: u64) -> TargetAddr {
    BASE.checked_add(8 * counter).unwrap()
}

/// Two pairs, the first of which has counted to 5 and the second to 7.
fn link() -> ScriptedLink {
    ScriptedLink::new([(BASE, bytes(&[5, 5, 7, 7]))])
}

/// What a link does that changes pair 0 while it reads: the second counter is seen as it is later.
fn torn(count: u64) -> Fault {
    Fault::ChangeDuring { after_bytes: 8, addr: BASE, bytes: bytes(&[count, count]) }
}

fn reader(link: ScriptedLink) -> Reader {
    let regions = vec![region(BASE.get(), 32, MergeRule::Add, Endianness::Little)];
    let pair = |index: usize| Group {
        name: format!("pair {index}").into_bytes().into(),
        parts: vec![Part { region: 0, offset: 16 * index, len_bytes: 16 }],
    };
    let reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
    reader.with_checks(Box::new(Pairs(vec![pair(0), pair(1)])))
}

fn take(reader: &mut Reader) -> (Snapshot, Checked) {
    let snapshot = taken(reader.take(Duration::ZERO));
    let checked = snapshot.checked.clone().expect("it was checked");
    (snapshot, checked)
}

// Read 0 is the one made by `Reader::new`.

#[test]
fn only_what_changed_is_checked_and_only_what_is_torn_is_read_again() {
    let link = link().with_fault(2, torn(6)).with_fault(3, Fault::Change(at(2), bytes(&[8, 8])));
    let mut reader = reader(link);
    assert_eq!(take(&mut reader).1, Checked::default());
    let (snapshot, checked) = take(&mut reader);
    assert_eq!(checked, Checked { changed: 1, read_again: 1, rounds: 1, incoherent: vec![] });
    assert_eq!(snapshot.counters.regions(), [bytes(&[6, 6, 7, 7])]);
    assert_eq!((snapshot.delta.changed, snapshot.delta.backwards, snapshot.rereads), (2, 0, 0));
    let (snapshot, checked) = take(&mut reader);
    assert_eq!((checked.changed, checked.read_again), (1, 0));
    assert_eq!(snapshot.counters.regions(), [bytes(&[6, 6, 8, 8])]);
}

#[test]
fn what_never_settles_is_named_and_as_it_was_until_it_does() {
    let settles = 2 + u64::from(MAX_ROUNDS);
    let link = link()
        .with_fault(1, Fault::Change(BASE, bytes(&[6, 9, 8, 8])))
        .with_fault(settles, Fault::Change(BASE, bytes(&[10, 10])));
    let mut reader = reader(link);
    let (snapshot, checked) = take(&mut reader);
    assert_eq!((checked.changed, checked.read_again, checked.rounds), (2, 1, MAX_ROUNDS));
    let named = Incoherent { group: 0, name: b"pair 0"[..].into(), detail: "9 after 6".to_owned() };
    assert_eq!(checked.incoherent, [named]);
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 5, 8, 8])]);
    assert_eq!(snapshot.delta.changed, 2, "the other pair's");
    let (snapshot, checked) = take(&mut reader);
    assert_eq!(checked, Checked { changed: 1, ..Checked::default() });
    assert_eq!(snapshot.counters.regions(), [bytes(&[10, 10, 8, 8])]);
}

#[test]
fn a_first_reading_that_is_torn_is_no_reading() {
    let link = ScriptedLink::new([(BASE, bytes(&[5, 6, 7, 7]))]);
    let mut reader = reader(link);
    let (snapshot, checked) = take(&mut reader);
    assert_eq!(snapshot.counters.regions(), [bytes(&[0, 0, 7, 7])]);
    assert_eq!((checked.changed, checked.incoherent.len()), (1, 1));
}

/// The second reading is behind the first, and the third carries: each is only compared with.
#[test]
fn a_further_reading_may_be_torn_as_well() {
    const CARRIED: u64 = 0x1_0000_0006;
    let link = link()
        .with_fault(1, torn(6))
        .with_fault(2, Fault::Change(BASE, bytes(&[4, 4])))
        .with_fault(3, Fault::Change(BASE, bytes(&[CARRIED, CARRIED])));
    let (snapshot, checked) = take(&mut reader(link));
    assert_eq!((checked.rounds, checked.incoherent.len()), (3, 0));
    assert_eq!(snapshot.counters.regions(), [bytes(&[CARRIED, CARRIED, 7, 7])]);
}

#[test]
fn a_link_that_stops_the_target_is_not_asked_often() {
    let pause = Duration::from_millis(1);
    let link = link().with_pause(pause).with_fault(1, Fault::Change(BASE, bytes(&[6, 9])));
    let (snapshot, checked) = take(&mut reader(link));
    assert_eq!((checked.rounds, checked.incoherent.len()), (MAX_ROUNDS_PAUSING, 1));
    assert_eq!(snapshot.report.pause, pause * (1 + MAX_ROUNDS_PAUSING));
}

#[test]
fn a_reset_or_an_end_while_reading_again_is_what_it_always_is() {
    let mut reset = reader(link().with_fault(1, torn(6)).with_fault(2, Fault::Reset { after_bytes: 0 }));
    assert_eq!(take(&mut reset).0.counters.regions(), [bytes(&[5, 5, 7, 7])]);
    let after = take(&mut reset).0;
    assert_eq!((after.resets, after.counters.regions()), (1, &[bytes(&[5, 5, 7, 7])][..]));
    let mut ended = reader(link().with_fault(1, torn(6)).with_fault(2, Fault::End));
    assert!(matches!(ended.take(Duration::ZERO), Ok(Taken::Ended)));
    let mut refused = reader(link().with_fault(1, torn(6)).with_fault(2, Fault::Refuse));
    assert!(matches!(refused.take(Duration::ZERO), Err(CollectError::Link(_))));
    assert_eq!(take(&mut refused).0.counters.regions(), [bytes(&[6, 6, 7, 7])]);
}

/// No link tells of the reset, which comes while a group is read again: its zeros are of one moment, and of another run.
#[test]
fn what_is_behind_the_snapshot_before_settles_nothing() {
    let restarts = 2 + u64::from(MAX_ROUNDS);
    let link = link().with_fault(1, torn(6)).with_fault(2, Fault::Change(BASE, bytes(&[0, 0, 0, 0])));
    let mut reader = reader(link.with_fault(restarts, Fault::Change(BASE, bytes(&[1, 1, 1, 1]))));
    let (snapshot, checked) = take(&mut reader);
    assert_eq!((checked.rounds, checked.incoherent.len()), (MAX_ROUNDS, 1));
    assert_eq!(snapshot.counters.regions(), [bytes(&[5, 5, 7, 7])]);
    let after = take(&mut reader).0;
    assert_eq!((after.resets, after.counters.regions()), (1, &[bytes(&[6, 6, 8, 8])][..]));
}

/// What a group says of regions that are not there is checked like any other bytes from outside.
#[test]
fn parts_of_other_regions_have_no_bytes() {
    let part = Part { region: 0, offset: usize::MAX, len_bytes: 8 };
    assert!(part.of(&[vec![0; 16]]).is_empty());
    assert!(Part { region: 1, offset: 0, ..part }.of(&[vec![0; 16]]).is_empty());
}
