use proptest::prelude::*;

use super::*;
use crate::coverage::mapping::{Counter, Region};
use crate::locate::llvm::NameRef;

fn region(kind: RegionKind, file: u32, start: (u32, u32), end: (u32, u32)) -> Region {
    let at = |(line, col)| LineCol { line, col };
    let (count, false_count) = (Counter::Reference(0), Counter::Reference(1));
    Region { kind, count, false_count, file, start: at(start), end: at(end) }
}

fn decision(bitmap_index: u32, num_conditions: u16, line: u32) -> Region {
    let kind = RegionKind::McdcDecision { bitmap_index, num_conditions };
    region(kind, 0, (line, 1), (line, 100_000))
}

/// A condition of a decision on that line; the next ones are those if it is false and if it is true.
fn condition(condition: u16, next_if_false: Option<u16>, next_if_true: Option<u16>, line: u32) -> Region {
    let kind = RegionKind::McdcBranch { condition, next_if_false, next_if_true };
    let col = u32::from(condition) + 2;
    region(kind, 0, (line, col), (line, col + 1))
}

/// `a && b`
fn both(bitmap_index: u32, line: u32) -> Vec<Region> {
    vec![decision(bitmap_index, 2, line), condition(1, None, None, line), condition(0, None, Some(1), line)]
}

fn function(regions: Vec<Region>) -> MappedFunction<'static> {
    MappedFunction {
        name_ref: NameRef::of(b"f"),
        name: b"f",
        func_hash: 1,
        files: vec![(*b"m.c").as_slice().into(); 3],
        expressions: Vec::new(),
        regions,
    }
}

fn read(regions: Vec<Region>, bitmap: Option<&[u8]>) -> (Vec<McdcRecord>, Vec<String>) {
    records(&function(regions), bitmap)
}

type Pair = Option<(usize, usize)>;

/// The vectors as text, and the pairs.
fn shown(record: &McdcRecord) -> (Vec<String>, Vec<Pair>) {
    let value = |value: &Option<bool>| value.map_or('-', |value| if value { 'T' } else { 'F' });
    let vector = |vector: &TestVector| {
        let values: String = vector.values.iter().map(value).collect();
        format!("{values} {}", value(&Some(vector.result)))
    };
    let pairs = record.conditions.iter().map(|condition| condition.pair).collect();
    (record.vectors.iter().map(vector).collect(), pairs)
}

#[test]
fn a_condition_is_covered_by_two_vectors_that_differ_in_it_alone() {
    // LLVM 19 numbers the ways `F-`, `TF`, `TT`.
    let cases: [(u8, &[&str], [Pair; 2]); 4] = [
        (0b000, &[], [None, None]),
        (0b101, &["F- F", "TT T"], [Some((0, 1)), None]),
        (0b110, &["TF F", "TT T"], [None, Some((0, 1))]),
        (0b111, &["F- F", "TF F", "TT T"], [Some((0, 2)), Some((1, 2))]),
    ];
    for (bits, vectors, pairs) in cases {
        let (records, faults) = read(both(3, 7), Some(&[bits]));
        assert_eq!(faults, [""; 0]);
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.start.line, record.conditions[0].start.col), (7, 2));
        assert_eq!(shown(record), (vectors.iter().map(|v| (*v).to_owned()).collect(), pairs.to_vec()));
    }
}

#[test]
fn the_length_of_a_bitmap_tells_what_its_bits_mean() {
    // With LLVM 18 the second decision has a byte of its own, and bit 3 is "both are true".
    let (records, faults) = read([both(0, 1), both(1, 2)].concat(), Some(&[0, 0b1010]));
    assert_eq!(faults, [""; 0]);
    assert_eq!(shown(&records[0]).0, [""; 0]);
    assert_eq!(shown(&records[1]).0, ["TF F", "TT T"]);
    // With LLVM 19 both share one.
    let (records, faults) = read([both(3, 1), both(6, 2)].concat(), Some(&[0b11_0000]));
    assert_eq!(faults, [""; 0]);
    assert_eq!((shown(&records[0]).0, shown(&records[1]).0), (vec![], vec!["TF F".into(), "TT T".into()]));
}

#[test]
fn without_counts_nothing_was_executed_and_a_bitmap_that_is_missing_is_said() {
    let (records, faults) = read(both(3, 1), None);
    assert_eq!((shown(&records[0]).1, faults.len()), (vec![None, None], 0));
    let (records, faults) = read(both(3, 1), Some(&[]));
    assert_eq!(records, []);
    assert_eq!(faults, ["the decision at 1:1: 0 bytes of bitmap fit no LLVM's decisions"]);
}

/// The conditions of a decision may be in a macro that it uses, and in one that this uses.
#[test]
fn conditions_in_expansions_are_the_decisions() {
    let expansion = |file, of, start, end| region(RegionKind::Expansion { file }, of, start, end);
    let mut regions = both(3, 5);
    regions.insert(1, expansion(1, 0, (5, 2), (5, 9)));
    regions.insert(2, expansion(2, 1, (1, 1), (1, 9)));
    (regions[3].file, regions[4].file) = (1, 2);
    (regions[4].start, regions[4].end) = (LineCol { line: 90, col: 1 }, LineCol { line: 90, col: 2 });
    (regions[4].count, regions[4].false_count) = (Counter::Zero, Counter::Zero);
    let (records, faults) = read(regions, Some(&[0b111]));
    assert_eq!(faults, [""; 0]);
    let conditions: Vec<_> = records[0].conditions.iter().map(|c| (c.file, c.is_folded)).collect();
    assert_eq!(conditions, [(2, true), (1, false)]);
}

#[test]
fn what_makes_no_sense_has_no_record_and_is_said() {
    let circle = vec![decision(9, 2, 1), condition(0, None, Some(1), 1), condition(1, Some(0), None, 1)];
    let apart = vec![decision(9, 2, 1), condition(0, None, None, 1), condition(1, None, None, 1)];
    let cases: [(Vec<Region>, &str); 6] = [
        (
            circle,
            "the decision at 1:1: its conditions do not all follow from the first one, or lead on in circles",
        ),
        (
            apart,
            "the decision at 1:1: its conditions do not all follow from the first one, or lead on in circles",
        ),
        (
            vec![decision(9, 1, 1), condition(0, None, Some(1), 1)],
            "the decision at 1:1: condition 1 of 1 is next",
        ),
        (
            vec![decision(9, 2, 1), condition(0, None, Some(1), 1)],
            "the decision at 1:1: 1 of its conditions are missing",
        ),
        (vec![condition(0, None, None, 4)], "condition 0 at 4:2 is in no decision"),
        (both(2, 1), "the decision at 1:1: 3 test vectors at index 2 of a bitmap of 16 bits"),
    ];
    for (regions, fault) in cases {
        let (records, faults) = read(regions, Some(&[0xff; 2]));
        assert_eq!((records, faults), (vec![], vec![fault.to_owned()]));
    }
}

#[test]
fn work_that_would_not_end_is_refused() {
    // Both ways lead on to the next condition: two to the power of so many vectors.
    let ladder = |len: u16| {
        let step = |number| {
            let next = Some(number + 1).filter(|next| *next < len);
            condition(number, next, next, 1)
        };
        [vec![decision(u32::MAX >> 4, len, 1)], (0..len).map(step).collect()].concat()
    };
    let (_, faults) = read(ladder(100), None);
    assert_eq!(faults, ["the decision at 1:1: it has too many test vectors"]);
    let bitmap = vec![0xff; 1 << 25];
    let (_, faults) = read(ladder(27), Some(&bitmap));
    let refused = "its decisions have more conditions and test vectors than is plausible";
    assert_eq!(faults, [format!("the decision at 1:1: {refused}")]);
    // Decisions that wait for conditions that never come.
    let mut waiting = vec![decision(9, 2, 1); 10_000];
    waiting.extend((0..10_000).map(|_| condition(0, None, Some(1), 2)));
    assert!(read(waiting, None).1.contains(&refused.to_owned()));
}

proptest! {
    #[test]
    fn any_regions_are_read_or_refused(
        numbers in prop::collection::vec((0..7u8, 0..6u16, 0..6u16, 0..6u16), 0..40),
        bitmap in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let regions = numbers.into_iter().map(|(kind, a, b, c)| match kind {
            0 | 1 => decision(u32::from(a) * u32::from(b), c, 1),
            2 => region(RegionKind::Expansion { file: u32::from(a) }, u32::from(b), (1, 2), (1, 3)),
            _ => condition(a, b.checked_sub(1), c.checked_sub(1), 1),
        });
        let (records, _) = read(regions.collect(), Some(&bitmap));
        for record in &records {
            let vectors = &record.vectors;
            prop_assert!(vectors.is_sorted_by_key(|vector| vector.result));
            for (position, condition) in record.conditions.iter().enumerate() {
                let Some((if_false, if_true)) = condition.pair else { continue };
                let (a, b) = (&vectors[if_false], &vectors[if_true]);
                prop_assert_eq!((a.result, b.result), (false, true));
                prop_assert_eq!(a.values[position].map(|value| !value), b.values[position]);
            }
        }
    }
}
