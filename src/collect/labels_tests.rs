//! What tests counted, in any order and over several runs.

use super::super::counters::tests::region;
use super::*;
use covtap_link::Endianness;

fn regions() -> Vec<CounterRegion> {
    vec![
        region(0, 16, MergeRule::Add, Endianness::Big),
        region(16, 2, MergeRule::ClearedWhenHit, Endianness::Little),
        region(18, 1, MergeRule::BitmapOr, Endianness::Little),
        region(19, 8, MergeRule::Latest, Endianness::Little),
    ]
}

fn all(counts: [u64; 2], bytes: [u8; 2], bits: u8) -> Arc<Counters> {
    let mut counters = Counters::for_regions(&regions()).expect("room");
    let parts = [counts.map(u64::to_be_bytes).concat(), bytes.to_vec(), vec![bits], vec![9; 8]];
    counters.regions_mut().clone_from_slice(&parts);
    Arc::new(counters)
}

fn counted(test: &TestCounts) -> Vec<Vec<u8>> {
    test.counters(&regions()).expect("room").regions().to_vec()
}

#[test]
fn each_test_has_what_was_counted_while_it_ran() {
    let mut tests = Labels::default();
    let first = all([1, 2], [0xff, 0xff], 0);
    tests.begin("a".into(), Arc::clone(&first));
    let a = tests.end(&regions(), &all([4, 2], [0, 0xff], 0b01)).expect("it ran");
    assert_eq!(
        counted(&a),
        [[3u64, 0].map(u64::to_be_bytes).concat(), vec![0, 0xff], vec![0b01], vec![0; 8]]
    );
    // Between the two something else counted.
    tests.begin("b".into(), all([10, 2], [0, 0xff], 0b01));
    let b = tests.end(&regions(), &all([10, 7], [0, 0], 0b11)).expect("it ran");
    assert_eq!(
        counted(&b),
        [[0u64, 5].map(u64::to_be_bytes).concat(), vec![0xff, 0], vec![0b10], vec![0; 8]]
    );
    assert_eq!((a.index, b.index, tests.num_ended()), (0, 1, 2));
}

#[test]
fn runs_of_one_test_are_added_up() {
    let mut tests = Labels::default();
    for run in 1..=3 {
        tests.begin("a".into(), all([run, 0], [0xff, 0xff], 0));
        let test = tests.end(&regions(), &all([run + 10, 0], [0xff, 0xff], 0)).expect("it ran");
        assert_eq!((test.runs, test.index), (run, 0));
        assert_eq!(counted(&test)[0], [10 * run, 0].map(u64::to_be_bytes).concat());
    }
}

#[test]
fn what_does_not_fit_is_refused_and_a_retry_is_nothing() {
    let mut tests = Labels::default();
    assert_eq!(tests.may_end(None), Err(TestError::None));
    assert_eq!(tests.may_begin("a"), Ok(true));
    tests.begin("a".into(), all([0, 0], [0, 0], 0));
    assert_eq!(tests.may_begin("a"), Ok(false));
    assert!(matches!(tests.may_begin("b"), Err(TestError::Runs { .. })));
    assert!(matches!(tests.may_end(Some("b")), Err(TestError::Other { .. })));
    assert_eq!(tests.may_end(Some("a")), Ok(()));
    for name in ["", "a\nb", &"x".repeat(MAX_TEST_NAME_BYTES + 1)] {
        assert!(matches!(tests.may_begin(name), Err(TestError::Name { .. })), "{name:?}");
    }
}
