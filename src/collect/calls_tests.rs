//! Calls and resets of a target whose every step is written down: what outlives a reset, and what is seen after it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use covtap_link::{
    Effect, Endianness, Link, LinkInfo, Operation, PointerWidth, ReadMemory, ReadReport, ReadRequest,
    TargetEvent, TargetEvents,
};
use crossbeam_channel::bounded;

use super::super::counters::tests::region;
use super::super::label_on::LabelSpec;
use super::super::queue::Told;
use super::super::session::{Session, Stop};
use super::super::{ResetEvidence, Schedule};
use super::*;
use crate::image::{Image, Slide};
use crate::locate::MergeRule;

const BASE: TargetAddr = TargetAddr::new(0x2000_0000);

/// What the target does next while it runs.
enum Step {
    /// Comes to the function, with that in the register of its first argument; it stops there if that has a breakpoint.
    Enter(TargetAddr, u64),
    /// Has these counts from here on.
    Count([u64; 2]),
    /// Has its code loaded again: breakpoints in memory are gone.
    LoadAgain,
    /// Runs until somebody stops it.
    RunOn,
}

use Step::{Count, Enter, LoadAgain, RunOn};

/// What a session tells.
#[derive(PartialEq, Eq, Debug)]
enum Heard {
    Counts(Vec<u8>),
    Notice(Notice),
    Test(String),
}

/// Each breakpoint that was set, with true, or cleared.
type Log = Arc<Mutex<Vec<(bool, TargetAddr)>>>;

/// A target that is under way when it is met. It refuses a second breakpoint at one place, as some servers do.
struct Board {
    steps: VecDeque<Step>,
    counters: Vec<u8>,
    breakpoints: BTreeSet<TargetAddr>,
    /// Since its code was loaded again.
    refuses_breakpoints: Option<bool>,
    state: RunState,
    events: VecDeque<TargetEvent>,
    next: TargetAddr,
    argument: u64,
    log: Log,
}

impl Board {
    fn new(counts: [u64; 2], steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: std::iter::once(RunOn).chain(steps).collect(),
            counters: bytes(counts),
            breakpoints: BTreeSet::new(),
            refuses_breakpoints: None,
            state: RunState::Running,
            events: VecDeque::new(),
            next: BASE,
            argument: 0,
            log: Log::default(),
        }
    }

    fn refused(&self, at: TargetAddr) -> LinkError {
        let (operation, endpoint) = (Operation::Breakpoint(at), self.info().endpoint);
        LinkError::Refused { operation, endpoint, reason: "E01".into() }
    }
}

fn bytes(counts: [u64; 2]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}

impl ReadMemory for Board {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        for read in reads {
            assert_eq!((read.addr, read.buf.len()), (BASE, self.counters.len()), "nothing else is read");
            read.buf.copy_from_slice(&self.counters);
        }
        Ok(ReadReport { elapsed: Duration::ZERO, pause: Duration::ZERO })
    }
}

impl TargetEvents for Board {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        Ok(self.events.pop_front())
    }
}

impl Link for Board {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            endpoint: "board".into(),
            server: "a board of steps".into(),
            architecture: None,
            endianness: Some(Endianness::Little),
            pointer_width: Some(PointerWidth::Bits32),
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }

    fn control(&mut self) -> Option<&mut dyn RunControl> {
        Some(self)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

impl RunControl for Board {
    fn state(&self) -> RunState {
        self.state
    }

    fn stop(&mut self) -> Result<(), LinkError> {
        if self.state == RunState::Running {
            (self.state, self.next) = (RunState::Stopped, BASE);
            if let Some(RunOn) = self.steps.front() {
                self.steps.pop_front();
            }
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), LinkError> {
        self.state = RunState::Running;
        while let Some(step) = self.steps.pop_front_if(|step| !matches!(step, RunOn)) {
            match step {
                Enter(at, argument) => (self.next, self.argument) = (at, argument),
                Count(counts) => self.counters = bytes(counts),
                LoadAgain => {
                    self.breakpoints.clear();
                    self.refuses_breakpoints = self.refuses_breakpoints.map(|_| true);
                }
                RunOn => {}
            }
            if let Enter(at, _) = step
                && self.breakpoints.contains(&at)
            {
                self.state = RunState::Stopped;
                self.events.push_back(TargetEvent::Stopped);
                break;
            }
        }
        Ok(())
    }

    fn set_breakpoint(&mut self, addr: TargetAddr, kind: u8) -> Result<(), LinkError> {
        assert_eq!((self.state, kind), (RunState::Stopped, 2));
        self.log.lock().unwrap().push((true, addr));
        if self.refuses_breakpoints == Some(true) || !self.breakpoints.insert(addr) {
            return Err(self.refused(addr));
        }
        Ok(())
    }

    fn clear_breakpoint(&mut self, addr: TargetAddr, _: u8) -> Result<(), LinkError> {
        assert_eq!(self.state, RunState::Stopped);
        self.log.lock().unwrap().push((false, addr));
        if self.breakpoints.remove(&addr) { Ok(()) } else { Err(self.refused(addr)) }
    }

    fn read_register(&mut self, name: &str) -> Result<u64, LinkError> {
        match name {
            "pc" => Ok(self.next.get()),
            "r0" => Ok(self.argument),
            other => panic!("{other}"),
        }
    }

    fn step(&mut self) -> Result<(), LinkError> {
        unreachable!("nobody steps")
    }

    fn wait_for_stop(&mut self, _: Duration) -> Result<bool, LinkError> {
        unreachable!("events tell")
    }

    fn num_threads(&mut self) -> Result<usize, LinkError> {
        Ok(1)
    }

    fn select_thread(&mut self, _: usize) -> Result<(), LinkError> {
        Ok(())
    }

    fn leave_stopped(&mut self) {}
}

/// The program that the target is said to run: of a Cortex-M.
fn program() -> Image {
    let elf = fs::read(covtap_testbed::fixture("c-an385/covered.elf")).unwrap();
    Image::parse("covered.elf", elf).unwrap()
}

fn on_label(program: &Image) -> LabelOn {
    let spec: LabelSpec = "apply:1i".parse().unwrap();
    LabelOn::find(&spec, std::iter::once((program, Slide::ZERO))).unwrap()
}

fn on_reset(program: &Image) -> ResetOn {
    ResetOn::find("reset_fault", std::iter::once((program, Slide::ZERO))).unwrap()
}

/// Records until `is_enough`, which sees all that was told, or for so long that it will not come to that.
fn record(
    board: Board,
    label: Option<LabelOn>,
    reset: Option<ResetOn>,
    every: Duration,
    mut is_enough: impl FnMut(&[Heard]) -> bool,
) -> Vec<Heard> {
    let regions = vec![region(BASE.get(), 16, MergeRule::Add, Endianness::Little)];
    let mut reader = Reader::new(MeteredLink::new(Box::new(board)), regions).unwrap();
    assert!(reader.stop_at_calls(label, reset).unwrap());
    let (ask, stop) = bounded(1);
    let session = Session {
        reader,
        schedule: Schedule { every, duration: Some(Duration::from_secs(20)), snapshots: None },
        stop,
        requests: crossbeam_channel::never(),
        has_labels: true,
        reconnect: None,
    };
    let mut all = Vec::new();
    let summary = session.run(|told| -> Result<(), CollectError> {
        all.push(match told {
            Told::Snapshot(snapshot) => Heard::Counts(snapshot.counters.regions()[0].clone()),
            Told::Notice(notice) => Heard::Notice(notice.clone()),
            Told::Test(test) => Heard::Test(test.name.clone()),
            Told::Answer(_) => unreachable!("nobody asks"),
        });
        if is_enough(&all) {
            // It was asked for before, or is now.
            let _ = ask.try_send(Stop::AtOnce);
        }
        Ok(())
    });
    summary.unwrap();
    all
}

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

fn notices(heard: &[Heard]) -> Vec<&Notice> {
    heard.iter().filter_map(|heard| if let Heard::Notice(it) = heard { Some(it) } else { None }).collect()
}

fn tests(heard: &[Heard]) -> Vec<&str> {
    heard
        .iter()
        .filter_map(|heard| if let Heard::Test(it) = heard { Some(it.as_str()) } else { None })
        .collect()
}

/// The second run is ahead of the first when it calls the function: only at `main` it is to be seen that it is another.
#[test]
fn the_first_reset_shows_where_start_up_code_has_cleared_the_counters() {
    let program = program();
    let on = on_reset(&program);
    let [entry, start, main] = [Some(on.function.entry), on.start, on.main].map(|it| it.unwrap().at);
    let steps = [
        Count([5, 7]),
        Enter(entry, 0),
        Enter(start, 0),
        Count([0, 0]),
        Enter(main, 0),
        Count([50, 70]),
        Enter(entry, 0),
    ];
    let board = Board::new([1, 1], steps);
    let log = Arc::clone(&board.log);
    let sum = Heard::Counts(bytes([55, 77]));
    let told = record(board, None, Some(on), HOUR, |told| told.last() == Some(&sum));
    assert_eq!(told.last(), Some(&sum), "{told:?}");
    let said = notices(&told);
    assert!(matches!(said[..], [Notice::Reset { evidence: ResetEvidence::Event, .. }]), "{said:?}");
    let log = log.lock().unwrap();
    let changes = [(true, entry), (true, start), (false, start), (true, main), (false, main)];
    assert_eq!(log[..changes.len()], changes, "one after the other, and each is gone when it has served");
}

/// The target loads its code again, and with it what was there before somebody set breakpoints.
#[test]
fn breakpoints_that_a_reset_takes_away_are_set_again() {
    let program = program();
    let on = on_label(&program);
    let label = on.entry();
    let steps = [
        Count([5, 7]),
        Enter(label, 1),
        LoadAgain,
        Count([1, 2]),
        RunOn,
        Enter(label, 2),
        Count([3, 4]),
        Enter(label, 3),
    ];
    let board = Board::new([1, 1], steps);
    let log = Arc::clone(&board.log);
    let told = record(board, Some(on), None, MOMENT, |told| tests(told).len() == 2);
    assert_eq!(tests(&told), ["1", "2"], "{told:?}");
    assert_eq!(notices(&told).len(), 1, "of the reset alone: {:?}", notices(&told));
    assert_eq!(*log.lock().unwrap(), [(true, label), (false, label), (true, label)]);
}

/// Under an emulator they stay, and so does the server's list of them.
#[test]
fn breakpoints_that_outlive_a_reset_are_there_once() {
    let program = program();
    let (on, before_reset) = (on_label(&program), on_reset(&program));
    let [label, entry, start, main] = [
        on.function.entry.at,
        before_reset.entry(),
        before_reset.start.unwrap().at,
        before_reset.main.unwrap().at,
    ];
    let steps = [
        Count([5, 7]),
        Enter(label, 1),
        Enter(entry, 0),
        Enter(start, 0),
        Count([0, 0]),
        Enter(main, 0),
        Enter(label, 2),
        Count([3, 4]),
        Enter(label, 3),
    ];
    let board = Board::new([1, 1], steps);
    let log = Arc::clone(&board.log);
    let told = record(board, Some(on), Some(before_reset), HOUR, |told| tests(told).len() == 2);
    assert_eq!(tests(&told), ["1", "2"], "{told:?}");
    assert_eq!(notices(&told).len(), 1, "of the reset alone: {:?}", notices(&told));
    let log = log.lock().unwrap();
    let set = |at| log.iter().filter(|change| **change == (true, at)).count();
    assert_eq!([label, entry, start, main].map(set), [2, 2, 1, 1], "{log:?}");
}

/// It is said once, and the session goes on.
#[test]
fn a_server_that_no_longer_sets_breakpoints_is_told_of_once() {
    let program = program();
    let on = on_label(&program);
    let label = on.entry();
    let steps =
        [Count([5, 7]), Enter(label, 1), LoadAgain, Count([1, 2]), RunOn, Enter(label, 2), Count([3, 4])];
    let board = Board { refuses_breakpoints: Some(false), ..Board::new([1, 1], steps) };
    let log = Arc::clone(&board.log);
    let last = Heard::Counts(bytes([5 + 3, 7 + 4]));
    let is_enough = |told: &[Heard]| told.iter().filter(|told| **told == last).count() >= 3;
    let told = record(board, Some(on), None, MOMENT, is_enough);
    assert!(is_enough(&told), "it runs on: {told:?}");
    let said: Vec<_> = notices(&told).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("a call of apply: none may be met since the reset ("), "{said:?}");
    assert_eq!(log.lock().unwrap().len(), 3, "it was tried once");
}
