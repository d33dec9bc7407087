//! The link on a virtual RISC-V chip: what it reads by the system bus and by a halt, what it changes, and what faults come to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{NUM_WORDS, Turns, bytes, read_at, word};
use covtap_debug_probe::{DebugProbe, NEEDS_HALT, Options};
use covtap_link::{AddrRange, Effect, Link, LinkError, ReadMemory, ReadRequest, TargetAddr};
use covtap_virtual_probe::{
    Chip, Fault, Injector, PluggedIn, Ram, SharedRiscv, Stats, dmi, lock, plug_in, shared_riscv,
};

const BASE: u32 = 0x8000_0000;
const DCSR_CAUSE: u32 = 0x1c0;
const WITHOUT_BUS: Chip = Chip { system_bus: false, progbuf_words: 8 };

/// A chip that tests do things to, and its probe.
struct Board {
    chip: SharedRiscv,
    plugged_in: PluggedIn,
}

impl Board {
    /// `name` is the probe's serial number, one for each test.
    fn new(name: &str, chip: Chip) -> Self {
        let ram = Ram::of_words(BASE, (0..NUM_WORDS).map(word), vec![BASE]);
        let chip = shared_riscv(chip, ram);
        Self { plugged_in: plug_in(name, chip.clone()), chip }
    }

    fn options(&self) -> Options {
        Options {
            selector: Some(self.plugged_in.selector().parse().unwrap()),
            protocol: Some("jtag".parse().unwrap()),
            reply_timeout: Duration::from_secs(20),
            ..Options::default()
        }
    }

    fn halting(&self) -> Options {
        Options { allow_halt: true, ..self.options() }
    }

    fn open(&self) -> DebugProbe {
        DebugProbe::open(&self.options()).unwrap()
    }

    fn refused(&self, options: &Options) -> String {
        DebugProbe::open(options).map(|_| ()).unwrap_err().to_string()
    }

    fn stats(&self) -> Stats {
        lock(&self.chip).stats().clone()
    }
}

fn read(link: &mut DebugProbe, offset: u32, len: usize) -> Result<Vec<u8>, LinkError> {
    read_at(link, BASE, offset, len)
}

#[test]
fn a_system_bus_reads_without_a_halt() {
    let board = Board::new("bus", Chip::default());
    let before = lock(&board.chip).debug_registers();
    let mut link = board.open();
    let info = link.info();
    assert_eq!((info.effect, info.architecture.as_deref()), (Effect::Free, Some("riscv")));
    assert!(link.halting().is_none() && link.sampler().is_none());
    for (offset, len) in [(0, 4), (0, 4096), (1, 1), (3, 2), (1023, 1030), (5, 0), (8, 20_000)] {
        let start = offset as usize;
        assert_eq!(read(&mut link, offset, len).unwrap(), bytes()[start..start + len], "{len} at {offset}");
    }
    link.detach().unwrap();
    let stats = board.stats();
    assert_eq!((stats.halts, stats.resumes, stats.resets), (0, 0, 0), "{stats}");
    assert_eq!((stats.abstract_commands, stats.memory_writes, stats.system_bus_writes), (0, 0, 0), "{stats}");
    assert_eq!(lock(&board.chip).debug_registers(), before);
}

#[test]
fn a_sweep_costs_little_more_than_its_words() {
    let board = Board::new("accesses", Chip::default());
    let mut link = board.open();
    let len = 16 * 1024;
    let before = board.stats();
    read(&mut link, 0, len).unwrap();
    let cost = board.stats().since(&before);
    let words = len as u64 / 4;
    assert_eq!(cost.system_bus_reads, words);
    // The words; mode, address and mode at the end of each piece, and what it came to.
    assert!(cost.dmi_reads + cost.dmi_writes <= words + 16 * 4 + 8, "{cost:?}");
}

#[test]
fn what_takes_a_halt_is_refused_and_its_pause_is_told() {
    let board = Board::new("refuses", WITHOUT_BUS);
    let mut link = board.open();
    assert_eq!(link.info().effect, Effect::Pauses);
    let error = read(&mut link, 0, 64).unwrap_err();
    assert!(matches!(&error, LinkError::Refused { reason, .. } if reason == NEEDS_HALT), "{error}");
    let mut pause_of = |lens: &[u64]| {
        let range = |len: &u64| AddrRange::new(TargetAddr::new(u64::from(BASE)), *len).unwrap();
        let ranges: Vec<_> = lens.iter().map(range).collect();
        link.halting().unwrap().pause_of(&ranges).unwrap().unwrap()
    };
    let (short, many, long) = (pause_of(&[4]), pause_of(&[4; 64]), pause_of(&[1 << 20]));
    assert!(
        short > Duration::ZERO && many > 4 * short && long > 100 * short,
        "{short:?}, {many:?}, {long:?}"
    );
    link.detach().unwrap();
    let stats = board.stats();
    assert_eq!((stats.halts, stats.system_bus_reads), (0, 0), "{stats}");
}

#[test]
fn a_halt_that_is_allowed_is_measured_and_leaves_the_hart_as_it_was() {
    let board = Board::new("halts", WITHOUT_BUS);
    let before = lock(&board.chip).debug_registers();
    let mut link = DebugProbe::open(&board.halting()).unwrap();
    assert!(link.info().effect == Effect::Pauses && link.halting().is_none());
    assert_eq!(board.stats().halts, 0, "to begin takes none");
    for (halts, len) in [(1, 4), (2, 64), (3, 4096)] {
        let mut buf = vec![0; len];
        let mut reads = [ReadRequest { addr: TargetAddr::new(u64::from(BASE)), buf: &mut buf }];
        let report = link.read_many(&mut reads).unwrap();
        assert_eq!(buf, bytes()[..len]);
        assert!(report.pause > Duration::ZERO && report.pause <= report.elapsed, "{report:?}");
        let stats = board.stats();
        assert_eq!((stats.halts, stats.resumes), (halts, halts), "{len} bytes: {stats}");
        assert!(!lock(&board.chip).is_halted());
    }
    link.detach().unwrap();
    let stats = board.stats();
    assert_eq!((stats.halts, stats.registers_left_changed), (3, 0), "{stats}");
    let mut after = lock(&board.chip).debug_registers();
    // Why it was halted last, which nobody sets.
    after.dcsr = after.dcsr & !DCSR_CAUSE | before.dcsr & DCSR_CAUSE;
    assert_eq!(after, before);
}

/// Who has halted it has a reason to.
#[test]
fn a_hart_that_was_halted_stays_so() {
    let board = Board::new("halted", WITHOUT_BUS);
    lock(&board.chip).write(dmi::DMCONTROL, dmi::DMACTIVE);
    lock(&board.chip).write(dmi::DMCONTROL, dmi::DMACTIVE | dmi::HALTREQ);
    assert!(lock(&board.chip).is_halted());
    let mut link = board.open();
    assert!(link.info().effect == Effect::NeedsHalt && link.halting().is_none());
    assert_eq!(read(&mut link, 0, 256).unwrap(), bytes()[..256]);
    link.detach().unwrap();
    assert!(lock(&board.chip).is_halted());
    assert_eq!(board.stats().resumes, 0);
}

/// What goes wrong once is read again; what the bus refuses stays refused.
#[test]
fn a_fault_is_repaired_or_said() {
    let faults = [Fault::BusFault, Fault::SystemBusBusy { times: 2 }, Fault::Wait { times: 1 }];
    for (name, chip) in [("repairs", Chip::default()), ("repairs by halts", WITHOUT_BUS)] {
        let board = Board::new(name, chip);
        let mut link = DebugProbe::open(&board.halting()).unwrap();
        for fault in faults {
            for operation in [0, 1, 7, 40] {
                lock(&board.chip).set_injector(Injector::new().at(operation, fault));
                let got = read(&mut link, 0, 256)
                    .unwrap_or_else(|error| panic!("{name}, {fault:?} at {operation}: {error}"));
                assert_eq!(got, bytes()[..256], "{name}, {fault:?} at {operation}");
            }
        }
        lock(&board.chip).set_injector(Injector::new());
        let outside = read(&mut link, NUM_WORDS * 4, 4).unwrap_err();
        assert!(matches!(outside, LinkError::Refused { .. }), "{name}: {outside}");
        let [pause, more] = [link.pause_of_failures(), link.pause_of_failures()];
        assert!(
            (pause > Duration::ZERO) == (chip == WITHOUT_BUS) && more == Duration::ZERO,
            "{name}: {pause:?}"
        );
        assert_eq!(read(&mut link, 0, 64).unwrap(), bytes()[..64], "{name}, after a refusal");
        let stats = board.stats();
        assert_eq!((stats.halts, stats.registers_left_changed), (stats.resumes, 0), "{name}: {stats}");
    }
}

/// `probe-rs` tries for ever what a bus is too busy for.
#[test]
fn a_bus_that_stays_busy_is_not_waited_for() {
    let board = Board::new("busy", Chip::default());
    let options = Options { reply_timeout: Duration::from_millis(200), ..board.options() };
    let mut link = DebugProbe::open(&options).unwrap();
    lock(&board.chip).inject(Fault::SystemBusBusy { times: u32::MAX });
    let error = read(&mut link, 0, 64).unwrap_err();
    assert!(matches!(error, LinkError::Timeout { .. }) && error.is_fatal(), "{error}");
    lock(&board.chip).mend();
}

#[test]
fn a_link_that_is_lost_is_found_again() {
    for (name, fault) in [("riscv cable", Fault::LinkLoss), ("riscv power", Fault::PowerLoss)] {
        let board = Board::new(name, Chip::default());
        let mut link = board.open();
        lock(&board.chip).inject(fault);
        let error = read(&mut link, 0, 64).unwrap_err();
        assert!(error.is_fatal(), "{name}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
        drop(link);
        lock(&board.chip).mend();
        assert_eq!(read(&mut board.open(), 0, 64).unwrap(), bytes()[..64], "{name}");
    }
}

#[test]
fn what_cannot_be_begun_with_is_said() {
    let board = Board::new("riscv begin", Chip::default());
    lock(&board.chip).inject(Fault::Locked);
    let said = board.refused(&board.options());
    assert_eq!(
        said,
        "attach on debug probe 1209:c0de:riscv begin: refused: the chip is locked: its debug module wants to know who debugs it"
    );
    lock(&board.chip).mend();
    lock(&board.chip).inject(Fault::LinkLoss);
    let said = board.refused(&board.options());
    assert!(said.starts_with("attach on debug probe 1209:c0de:riscv begin: "), "{said}");
    lock(&board.chip).mend();
    let neither = Board::new("riscv neither", Chip { system_bus: false, progbuf_words: 0 });
    let said = neither.refused(&neither.halting());
    assert!(said.ends_with("its debug module has neither a system bus nor a program buffer"), "{said}");
    assert_eq!(neither.stats().halts, 0);
}

#[test]
fn a_reset_that_is_asked_for_is_one_and_no_halt() {
    let board = Board::new("riscv reset", Chip::default());
    let options = Options { connect_under_reset: true, ..board.options() };
    let mut link = DebugProbe::open(&options).unwrap();
    assert!(link.info().attach_pause > Duration::ZERO);
    assert_eq!(read(&mut link, 0, 64).unwrap(), bytes()[..64]);
    link.detach().unwrap();
    let stats = board.stats();
    assert_eq!((stats.resets, stats.halts), (1, 0), "{stats}");
}

/// A chip that cannot be begun with is let out of reset all the same.
#[test]
fn a_reset_ends_also_where_the_chip_does_not_answer() {
    let board = Board::new("riscv held", Chip::default());
    lock(&board.chip).inject(Fault::LinkLoss);
    let options = Options { connect_under_reset: true, ..board.options() };
    assert!(board.refused(&options).starts_with("attach on debug probe 1209:c0de:riscv held: "));
    lock(&board.chip).mend();
    assert_eq!(board.stats().resets, 1);
    assert_eq!(read(&mut board.open(), 0, 4).unwrap(), bytes()[..4]);
}

/// Short reads while something goes wrong at every two hundredth operation: what is given is true, and a hart that was halted runs
/// again with its registers.
fn nothing_wrong_is_accepted(name: &str, chip: Chip, num: u32, faults: &[Fault]) {
    let board = Board::new(name, chip);
    lock(&board.chip).set_injector(Injector::new().at_random(1, 1.0 / 200.0, faults));
    let (open, mend) = (|| DebugProbe::open(&board.halting()), || lock(&board.chip).mend());
    let turns = Turns::take(num, 64, BASE, open, mend);
    let stats = board.stats();
    assert!(chip == WITHOUT_BUS || stats.halts == 0, "{stats}");
    println!("{name}: {turns:?}, {} faults", stats.faults);
    assert!(turns.given > num / 2 && turns.refused > 0, "{turns:?}");
    assert_eq!(stats.registers_left_changed, 0, "{stats}");
}

const FAULTS: [Fault; 5] = [
    Fault::Wait { times: 3 },
    Fault::SystemBusBusy { times: 3 },
    Fault::BusFault,
    Fault::PowerLoss,
    Fault::TargetReset,
];

#[test]
fn no_wrong_value_is_accepted() {
    nothing_wrong_is_accepted("riscv faults", Chip::default(), 10_000, &FAULTS);
}

#[test]
fn no_wrong_value_is_accepted_of_a_hart_that_is_halted() {
    nothing_wrong_is_accepted("riscv halt faults", WITHOUT_BUS, 500, &FAULTS);
}

/// Few, for `probe-rs` waits two seconds for what is lost.
#[test]
fn a_cable_that_is_pulled_again_and_again_gives_no_wrong_value() {
    nothing_wrong_is_accepted("riscv pulled", Chip::default(), 12, &[Fault::LinkLoss]);
}
