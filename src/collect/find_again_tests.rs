//! Images that a reset loads elsewhere, in a machine whose memory is what the test makes of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use covtap_link::{
    Effect, Endianness, Link, LinkError, LinkInfo, Operation, PhysicalMemory, PointerWidth, ReadMemory,
    ReadReport, TargetEvent, TargetEvents,
};

use super::super::PhysicalLink;
use super::super::Taken;
use super::super::counters::tests::region;
use super::super::find_image::tests::{X86_PVH, image, loaded};
use super::*;
use crate::image::Slide;
use crate::locate::MergeRule;

/// Where the fixture's counters are.
const COUNTERS: u64 = 0x10_6218;

/// Places for it, as far from its own as the machine's memory is.
const A: usize = 0x1000;
const B: usize = 0x8_0000;

const MEMORY_BYTES: usize = 1 << 20;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to memory before each reading of two counters.
type Happen = Box<dyn FnMut(u64, &mut [u8]) + Send>;

struct State {
    memory: Vec<u8>,
    events: VecDeque<TargetEvent>,
    happen: Happen,
}

/// A machine that test and link have in common.
#[derive(Clone)]
struct Machine(Arc<Mutex<State>>);

impl Machine {
    fn new() -> Self {
        let happen: Happen = Box::new(|_, _| {});
        let state = State { memory: vec![0; MEMORY_BYTES], events: VecDeque::new(), happen };
        Self(Arc::new(Mutex::new(state)))
    }

    fn at<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Loads the image at `place`, with these counts.
    fn load(&self, place: usize, counts: [u64; 2]) {
        let (_, content) = loaded(X86_PVH);
        self.at(|state| state.memory[place..][..content.len()].copy_from_slice(&content));
        self.count(place, counts);
    }

    fn count(&self, place: usize, counts: [u64; 2]) {
        let at = counters_at(place);
        self.at(|state| put(&mut state.memory, at, counts));
    }

    fn reset(&self) {
        self.at(|state| state.events.push_back(TargetEvent::Reset));
    }

    fn link(&self) -> MeteredLink {
        MeteredLink::new(Box::new(PhysicalLink::new(Box::new(self.clone())).unwrap()))
    }

    /// A reader of the image at `place`.
    fn reader(&self, place: usize) -> Reader {
        let expected = Expected::of(&image(X86_PVH), slide(place));
        let regions = vec![region(counters_at(place) as u64, 16, MergeRule::Add, Endianness::Little)];
        let movable = Movable { program: 0, expected: expected.clone(), regions: 0..1 };
        let reader = Reader::new(self.link(), regions).unwrap();
        reader.expecting(vec![expected]).finding_again(vec![movable])
    }
}

fn slide(place: usize) -> Slide {
    Slide::new((place as u64).wrapping_sub(loaded(X86_PVH).0))
}

fn counters_at(place: usize) -> usize {
    usize::try_from(COUNTERS.wrapping_add(slide(place).get())).unwrap()
}

fn put(memory: &mut [u8], at: usize, counts: [u64; 2]) {
    let bytes: Vec<u8> = counts.into_iter().flat_map(u64::to_le_bytes).collect();
    memory[at..][..bytes.len()].copy_from_slice(&bytes);
}

impl ReadMemory for Machine {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.at(|state| {
            for read in reads {
                let start = usize::try_from(read.addr.get()).unwrap();
                if read.buf.len() == 16 {
                    (state.happen)(read.addr.get(), &mut state.memory);
                }
                let found = state.memory.get(start..start + read.buf.len());
                let refused = || LinkError::Refused {
                    operation: Operation::Read { addr: read.addr, len_bytes: read.buf.len() as u64 },
                    endpoint: "machine".to_owned(),
                    reason: "no memory there".to_owned(),
                };
                read.buf.copy_from_slice(found.ok_or_else(refused)?);
            }
            Ok(ReadReport::default())
        })
    }
}

impl PhysicalMemory for Machine {
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError> {
        Ok(vec![AddrRange::new(TargetAddr::new(0), MEMORY_BYTES as u64).unwrap()])
    }

    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_many(reads)
    }
}

impl TargetEvents for Machine {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        Ok(self.at(|state| state.events.pop_front()))
    }
}

impl Link for Machine {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            endpoint: "machine".into(),
            server: "machine".into(),
            architecture: None,
            endianness: Some(Endianness::Little),
            pointer_width: Some(PointerWidth::Bits64),
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }

    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        Some(self)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

fn counts(counters: &super::super::Counters) -> Vec<u64> {
    counters.regions()[0].chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect()
}

/// The next snapshot, as a session takes it.
fn next(reader: &mut Reader) -> Vec<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no snapshot: {:?}", reader.notices());
        reader.watch().unwrap();
        if let Taken::Snapshot(snapshot) = reader.take(Duration::ZERO).unwrap() {
            return counts(&snapshot.counters);
        }
    }
}

/// Looks until a notice comes; nothing that could be a snapshot may come before it.
fn restarting_until(reader: &mut Reader, is_it: impl Fn(&Notice) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no such notice");
        reader.watch().unwrap();
        assert!(matches!(reader.take(Duration::ZERO).unwrap(), Taken::Restarting), "nothing runs");
        if reader.notices().iter().any(&is_it) {
            return;
        }
    }
}

fn is_moved(notice: &Notice, place: usize) -> bool {
    matches!(notice, Notice::Moved { slide: found, .. } if *found == slide(place))
}

fn assert_moved(reader: &mut Reader, place: usize) {
    let notices = reader.notices();
    let reset = Notice::Reset { after: 1, evidence: ResetEvidence::Event };
    assert_eq!(notices[0], reset);
    assert!(notices.len() == 2 && is_moved(&notices[1], place), "{notices:?}");
}

#[test]
fn an_image_that_a_reset_loads_elsewhere_is_read_there_though_the_old_copy_is_whole() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    assert_eq!(next(&mut reader), [5, 7]);
    machine.load(B, [1, 2]);
    machine.reset();
    assert_eq!(next(&mut reader), [6, 9]);
    assert_moved(&mut reader, B);
    machine.count(B, [3, 2]);
    // What becomes of the old copy is nobody's concern.
    machine.count(A, [900, 900]);
    assert_eq!(next(&mut reader), [8, 9]);
    assert_eq!((reader.resets(), reader.notices()), (1, Vec::new()));
}

/// A kernel is unpacked long after the reset, and until then its old copy lies there and is written over.
#[test]
fn nothing_is_counted_until_the_next_boot_has_loaded_its_own() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    machine.reset();
    restarting_until(&mut reader, |notice| matches!(notice, Notice::Reset { .. }));
    machine.count(A, [900, 900]);
    assert!(matches!(reader.take(Duration::ZERO).unwrap(), Taken::Restarting));
    let (_, content) = loaded(X86_PVH);
    machine.at(|state| state.memory[A..][..content.len()].fill(0xee));
    restarting_until(
        &mut reader,
        |notice| matches!(notice, Notice::OtherImage { error } if error.starts_with("find a.elf in machine: ")),
    );
    machine.load(B, [10, 20]);
    assert_eq!(next(&mut reader), [15, 27]);
}

/// The image is there before its start-up code has set its counters to zero.
#[test]
fn what_was_in_memory_before_the_image_is_not_counted() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    machine.load(B, [900, 900]);
    let (at, mut count) = (counters_at(B), 0);
    machine.at(|state| {
        state.happen = Box::new(move |addr, memory| {
            if addr == at as u64 {
                count += 1;
                let garbage = if count < 10 { 900 } else { 0 };
                put(memory, at, [garbage + count, garbage]);
            }
        });
    });
    machine.reset();
    let sums = next(&mut reader);
    assert!(sums[0] > 5 && sums[0] < 900, "{sums:?}");
    assert_eq!(sums[1], 7);
}

/// Copies of the two runs before are there, and the third one is loaded over the first.
#[test]
fn among_copies_that_are_known_the_one_that_counts_is_the_new_runs() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    machine.load(B, [1, 2]);
    machine.reset();
    assert_eq!(next(&mut reader), [6, 9]);
    reader.notices();
    machine.reset();
    restarting_until(&mut reader, |notice| matches!(notice, Notice::OtherImage { .. }));
    machine.load(A, [10, 10]);
    assert_eq!(next(&mut reader), [16, 19]);
    assert!(is_moved(&reader.notices()[0], A));
}

#[test]
fn an_image_that_is_loaded_where_it_was_is_read_there() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    machine.load(A, [1, 2]);
    machine.reset();
    assert_eq!(next(&mut reader), [6, 9]);
    assert_eq!(reader.notices(), [Notice::Reset { after: 1, evidence: ResetEvidence::Event }]);
}

/// It counts as far again while it is searched for, and rests.
#[test]
fn a_reset_that_shows_for_a_moment_is_seen() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    let (at, mut reads) = (counters_at(A), 0);
    machine.at(|state| {
        state.happen = Box::new(move |addr, memory| {
            reads += u64::from(addr == at as u64);
            put(memory, at, if reads < 2 { [0, 0] } else { [5, 7] });
        });
    });
    machine.reset();
    assert_eq!(next(&mut reader), [10, 14]);
}

/// What was taken for the new run was the old copy, of which something set the counters to zero.
#[test]
fn the_search_goes_on_where_the_old_place_was_believed() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    machine.count(A, [0, 0]);
    machine.reset();
    assert_eq!(next(&mut reader), [5, 7]);
    machine.load(B, [1, 2]);
    let deadline = Instant::now() + PATIENCE;
    while next(&mut reader) != [6, 9] {
        assert!(Instant::now() < deadline, "{:?}", reader.notices());
    }
}

/// It was reset while there was no link, so that nobody told.
#[test]
fn an_image_is_found_again_over_another_link() {
    let machine = Machine::new();
    machine.load(A, [5, 7]);
    let mut reader = machine.reader(A);
    next(&mut reader);
    let next_boot = Machine::new();
    let error = reader.reconnect(next_boot.link()).unwrap_err();
    assert!(matches!(error, CollectError::Find(FindError::Nowhere { .. })), "{error}");
    next_boot.load(B, [1, 2]);
    reader.reconnect(next_boot.link()).unwrap();
    assert_eq!(next(&mut reader), [6, 9]);
    let notices = reader.notices();
    assert_eq!(notices[0], Notice::Reset { after: 1, evidence: ResetEvidence::Moved });
    assert!(is_moved(&notices[1], B), "{notices:?}");
    // The same one over a third link.
    reader.reconnect(next_boot.link()).unwrap();
    assert_eq!((next(&mut reader), reader.resets()), (vec![6, 9], 1));
}

#[test]
fn searches_take_a_third_of_the_time_at_most_and_come_less_often() {
    let mut again = FindAgain::new(Vec::new());
    let search = Duration::from_secs(10);
    let now = Instant::now();
    again.wait_after(search);
    assert!(again.next >= now + search * PAUSE_BY_SEARCH);
    let pauses: Vec<Duration> = (0..9).map(|_| (again.pause, again.wait_after(Duration::ZERO)).0).collect();
    assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
}
