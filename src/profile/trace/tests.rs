use proptest::prelude::*;

use super::*;

fn runs_of(trace: &Trace) -> Vec<(u64, u64, u64)> {
    let space = trace.space("").unwrap();
    space.runs().iter().map(|run| (run.start, run.last, run.count)).collect()
}

fn built(counting: Counting, blocks: &[(u64, u64, u64)]) -> Trace {
    let mut builder = TraceBuilder::new(counting);
    for (start, len, count) in blocks {
        builder.block("", *start, *len, *count).unwrap();
    }
    builder.finish()
}

#[test]
fn blocks_that_overlap_add_up_where_they_do() {
    // The second block is entered in the middle of the first.
    let trace = built(Counting::Times, &[(0x100, 12, 3), (0x108, 8, 2), (0x200, 4, 1), (0x100, 12, 1)]);
    assert_eq!(runs_of(&trace), [(0x100, 0x107, 4), (0x108, 0x10b, 6), (0x10c, 0x10f, 2), (0x200, 0x203, 1)]);
    let space = trace.space("").unwrap();
    assert_eq!([0xff, 0x100, 0x10a, 0x10f, 0x110].map(|at| space.count_at(at)), [0, 4, 6, 2, 0]);
    assert_eq!(space.within(0x10b, 0x1ff).map(|run| run.count).collect::<Vec<_>>(), [6, 2]);
    assert_eq!(space.within(0x110, 0x1ff).count(), 0);
}

#[test]
fn what_was_only_reached_has_counts_of_1() {
    let trace = built(Counting::Reached, &[(0x100, 12, 3), (0x108, 8, 2)]);
    assert_eq!(runs_of(&trace), [(0x100, 0x10f, 1)]);
}

#[test]
fn memory_has_an_end() {
    let trace =
        built(Counting::Times, &[(u64::MAX - 1, 100, 2), (u64::MAX, 1, u64::MAX), (0, 1, 5), (7, 0, 1)]);
    let expected = [(0, 0, 5), (u64::MAX - 1, u64::MAX - 1, 2), (u64::MAX, u64::MAX, u64::MAX)];
    assert_eq!(runs_of(&trace), expected);
}

#[test]
fn sums_of_traces_say_what_both_say() {
    let times = built(Counting::Times, &[(0x100, 4, 3)]);
    let mut sum = Trace::default();
    sum.add(&times);
    sum.add(&times);
    assert_eq!((sum.counting, runs_of(&sum)), (Counting::Times, vec![(0x100, 0x103, 6)]));
    sum.add(&built(Counting::Reached, &[(0x104, 4, 1)]));
    assert_eq!((sum.counting, runs_of(&sum)), (Counting::Reached, vec![(0x100, 0x107, 1)]));
}

#[test]
fn branches_add_up() {
    let mut builder = TraceBuilder::default();
    builder.branch("el1", 0x10, Ways { taken: 1, fell_through: 0 }).unwrap();
    builder.branch("el1", 0x10, Ways { taken: 2, fell_through: u64::MAX }).unwrap();
    let trace = builder.finish();
    let ways = trace.space("el1").unwrap().branch(0x10);
    assert_eq!(ways, Some(Ways { taken: 3, fell_through: u64::MAX }));
    assert!(trace.has_branches && !built(Counting::Times, &[]).has_branches);
}

#[test]
fn a_file_is_lines() {
    let mut trace = built(Counting::Times, &[(0x100, 4, 3), (0xffff_ffff_ffff_fffe, 2, 1)]);
    trace.build_ids.push(BuildId::new([0x0a, 0xff]));
    let text =
        "covtap trace 1\ncounting times\nbuild-id 0aff\nspace \nrun 0x100 4 3\nrun 0xfffffffffffffffe 2 1\n";
    assert_eq!(String::from_utf8(encode(&trace)).unwrap(), text);
    assert_eq!(parse("a", text.as_bytes()).unwrap(), trace);
}

#[test]
fn damage_is_said() {
    let cases = [
        ("", "read trace a: it does not begin with \"covtap trace 1\""),
        ("covtap trace 1\nrun 0x1 1 1", "read trace a: line 2 belongs to no space"),
        ("covtap trace 1\nspace\nrun 0x1 0 1", "read trace a: line 3 has no address, length and count"),
        (
            "covtap trace 1\nspace\nrun 0xffffffffffffffff 2 1",
            "read trace a: line 3 passes the end of memory",
        ),
        (
            "covtap trace 1\nspace\nrun 0x5 2 1\nrun 0x6 1 1",
            "read trace a: line 4 is out of order, or counts nothing",
        ),
        ("covtap trace 1\nspace\nspace", "read trace a: line 3 begins a space that was there already"),
        ("covtap trace 1\nspace\nbranch 0x1 1", "read trace a: line 3 has no address and two counts"),
        ("covtap trace 1\nbuild-id 123", "read trace a: line 2 has no build id"),
        ("covtap trace 1\ncounting sheep", "read trace a: line 2 has an unknown way of counting"),
        ("covtap trace 1\nrum", "read trace a: line 2 begins with an unknown word"),
    ];
    for (text, message) in cases {
        assert_eq!(parse("a", text.as_bytes()).unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn counts_are_the_sums_of_the_blocks_there(blocks in prop::collection::vec((0u64..64, 1u64..16, 1u64..5), 0..30)) {
        let mut builder = TraceBuilder::default();
        for (start, len, count) in &blocks {
            builder.block("", *start, *len, *count).unwrap();
        }
        let trace = builder.finish();
        let count_at = |at: u64| trace.space("").map_or(0, |space| space.count_at(at));
        for at in 0..90 {
            let there = blocks.iter().filter(|(start, len, _)| (*start..start + len).contains(&at));
            prop_assert_eq!(count_at(at), there.map(|(_, _, count)| count).sum::<u64>());
        }
        if let Some(space) = trace.space("") {
            for pair in space.runs().windows(2) {
                prop_assert!(pair[0].last < pair[1].start);
                prop_assert!(pair[0].last + 1 < pair[1].start || pair[0].count != pair[1].count);
            }
        }
        prop_assert_eq!(parse("a", &encode(&trace)).unwrap(), trace);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(covtap trace 1\n)?([a-z -]{0,12}|run 0x[0-9a-f]{1,17} [0-9]{1,40} [0-9]{1,21}|space x?|branch 0x1 1 1|\n){0,20}") {
        let _ = parse("a", text.as_bytes());
    }
}
