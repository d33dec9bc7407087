//! Counts whose halves are of two moments, read again and again.

use super::super::counters::tests::region;
use super::*;
use crate::locate::MergeRule;
use covtap_link::PointerWidth;

struct Scene {
    regions: Vec<CounterRegion>,
    standing: Standing,
}

impl Scene {
    fn new(endianness: Endianness) -> Self {
        Self { regions: vec![region(0, 8, MergeRule::Add, endianness)], standing: Standing::default() }
    }

    fn reading(&self, count: u64) -> Counters {
        let mut counters = Counters::for_regions(&self.regions).expect("room");
        write_uint(&mut counters.regions_mut()[0], &self.regions[0], count);
        counters
    }

    /// What is believed after these readings; `None` if nothing is.
    fn believed(&self, before: u64, readings: &[u64]) -> Option<u64> {
        self.examine(before, readings).err()
    }

    fn examine(&self, before: u64, readings: &[u64]) -> Result<Doubt, u64> {
        self.examine_as(false, before, readings)
    }

    fn examine_as(&self, is_first: bool, before: u64, readings: &[u64]) -> Result<Doubt, u64> {
        let (first, further) = readings.split_first().expect("a reading");
        let before = self.reading(before);
        let (regions, standing) = (&self.regions[..], &self.standing);
        let context = Context { regions, before: &before, is_first, moved: &[false], standing };
        let Examined { doubts, .. } = context.examine(&self.reading(*first));
        let Some(mut doubt) = doubts.first().copied() else { return Err(*first) };
        for again in further {
            if let Some(value) = context.look(&mut doubt, &self.reading(*again)) {
                return Err(value);
            }
        }
        Ok(doubt)
    }

    /// Lets what stands have stood for long.
    fn pass_time(&mut self) {
        self.standing.values.values_mut().for_each(|(_, since)| *since -= STANDS_FOR);
    }
}

#[test]
fn a_count_without_a_carry_is_believed_at_once() {
    for endianness in [Endianness::Little, Endianness::Big] {
        assert_eq!(Scene::new(endianness).believed(0x1_0000_0005, &[0x1_ffff_ffff]), Some(0x1_ffff_ffff));
    }
}

#[test]
fn a_carry_is_believed_once_the_count_goes_on_or_rests() {
    let scene = Scene::new(Endianness::Little);
    assert_eq!(scene.believed(0xffff_fff0, &[0x1_0000_0002]), None);
    assert_eq!(scene.believed(0xffff_fff0, &[0x1_0000_0002, 0x1_0000_0009]), Some(0x1_0000_0002));
    assert_eq!(scene.believed(0xffff_fff0, &[0x1_0000_0002, 0x1_0000_0002]), Some(0x1_0000_0002));
}

#[test]
fn a_count_that_is_torn_downwards_is_never_believed() {
    let scene = Scene::new(Endianness::Little);
    let doubt = scene.examine(0xffff_fff0, &[5, 5, 5, 5]).expect("a doubt");
    assert!(doubt.looks_torn() && !doubt.is_behind());
    assert_eq!(scene.believed(0xffff_fff0, &[5, 0x1_0000_0005, 0x1_0000_0008]), Some(0x1_0000_0005));
}

#[test]
fn a_count_that_is_torn_upwards_is_never_believed_however_often_it_is_the_same() {
    let scene = Scene::new(Endianness::Little);
    assert_eq!(scene.believed(0xffff_fff0, &[0x1_ffff_fff8; 12]), None);
    let settled = [0x1_ffff_fff8, 0x1_0000_0001, 0x1_0000_0001];
    assert_eq!(scene.believed(0xffff_fff0, &settled), Some(0x1_0000_0001));
}

#[test]
fn a_count_that_carries_in_every_reading_is_not_believed() {
    let scene = Scene::new(Endianness::Little);
    let carrying: Vec<u64> = (1..12).map(|n| n << 32).collect();
    let doubt = scene.examine(7, &carrying).expect("a doubt");
    assert!(!doubt.looks_torn() && !doubt.is_behind());
}

#[test]
fn a_count_far_above_is_believed_when_it_has_stood_for_long() {
    let mut scene = Scene::new(Endianness::Little);
    let far = 0x9_0000_0000;
    let doubt = scene.examine(7, &[far, far]).expect("a doubt");
    scene.standing.keep(&[doubt]);
    assert_eq!(scene.believed(7, &[far, far]), None, "it has just come");
    scene.pass_time();
    assert_eq!(scene.believed(7, &[far, far]), Some(far));
    assert_eq!(scene.believed(7, &[far + 1, far + 1]), None, "it is another one");
}

#[test]
fn a_target_that_writes_whole_counts_has_none_that_are_torn() {
    let mut scene = Scene::new(Endianness::Little);
    scene.regions[0].pointer_width = PointerWidth::Bits64;
    assert_eq!(scene.believed(7, &[9 << 32]), Some(9 << 32));
    let doubt = scene.examine(9 << 32, &[7, 7]).expect("a doubt");
    assert!(doubt.is_behind() && !doubt.looks_torn());
}

#[test]
fn a_count_that_is_behind_and_goes_on_is_no_tear() {
    let scene = Scene::new(Endianness::Little);
    let doubt = scene.examine(100, &[90, 95]).expect("a doubt");
    assert!(doubt.is_behind() && !doubt.looks_torn());
    assert_eq!(scene.believed(100, &[90, 103]), Some(103));
}

/// A counter that n times 0xffff_ffff was added to, as a target has it that writes the lower half first: before the last
/// of them, between its stores, and after it.
const STORM: [u64; 3] = [5 * 0xffff_ffff, 5 * 0xffff_ffff - 1, 6 * 0xffff_ffff];

#[test]
fn a_count_that_carries_twice_between_snapshots_may_be_torn_however_near_it_is() {
    let mut scene = Scene::new(Endianness::Little);
    let [rested, torn, next] = STORM;
    let before = rested - 0xffff_ffff;
    let doubt = scene.examine(7, &[rested, next]).expect("a doubt");
    assert!(doubt.is_fast());
    scene.standing.mark_fast([doubt.place()]);
    // Above the one before it looks like a carry, and just below like a lost update.
    for before in [before, rested] {
        let doubt = scene.examine(before, &[torn; 4]).expect("a doubt");
        assert!(!doubt.is_behind(), "{before:#x}");
    }
    // Where it adds less, it does not even show in the upper half.
    let doubt = scene.examine(0x5_0000_0000, &[0x5_8000_0000; 4]).expect("a doubt");
    assert!(doubt.stood);
    assert_eq!(scene.believed(0x5_0000_0000, &[0x5_8000_0000, 0x5_8000_0001]), Some(0x5_8000_0000));
    let doubt = scene.examine(rested, &[next; 4]).expect("a doubt");
    scene.standing.keep(&[doubt]);
    scene.pass_time();
    assert_eq!(scene.believed(rested, &[next, next]), Some(next), "it has stood for long");
}

#[test]
fn a_first_count_with_an_upper_half_is_believed_when_it_goes_on_or_has_stood_for_long() {
    let mut scene = Scene::new(Endianness::Little);
    let [_, torn, _] = STORM;
    let doubt = scene.examine_as(true, 0, &[torn; 8]).expect("a doubt");
    assert!(doubt.stood && !doubt.is_behind());
    assert_eq!(scene.examine_as(true, 0, &[9 << 32, (9 << 32) + 1]), Err(9 << 32));
    scene.standing.keep(&[doubt]);
    scene.pass_time();
    assert_eq!(scene.examine_as(true, 0, &[torn; 2]), Err(torn));
}
