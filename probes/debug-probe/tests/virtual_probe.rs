//! The link on a virtual probe: what it reads, what it costs, what it changes, and what faults come to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{NUM_WORDS, Turns, bytes, read_at, word};
use covtap_debug_probe::{DebugProbe, Options, Protocol};
use covtap_link::{Effect, Link, LinkError, ReadMemory, ReadRequest, TargetAddr};
use covtap_virtual_probe::{
    Fault, Injector, PluggedIn, Ram, SharedDap, Stats, lock, plug_in, plug_in_wires, shared, shared_memory,
};

const BASE: u32 = 0x2000_0000;
const PCS: [u32; 3] = [0x100, 0x104, 0x108];

/// A chip that tests do things to, and its probe.
struct Chip {
    dap: SharedDap,
    plugged_in: PluggedIn,
    protocol: Option<Protocol>,
}

impl Chip {
    /// `name` is the probe's serial number, one for each test.
    fn new(name: &str) -> Self {
        Self::of(name, shared(ram()))
    }

    /// One whose access port leads to memory alone.
    fn of_memory(name: &str) -> Self {
        Self::of(name, shared_memory(ram()))
    }

    fn of(name: &str, dap: SharedDap) -> Self {
        Self { plugged_in: plug_in(name, dap.clone()), dap, protocol: None }
    }

    /// By a probe that moves wires, as those of Segger's and FTDI's do.
    fn by_wires(name: &str, dap: SharedDap, protocol: &str) -> Self {
        Self { plugged_in: plug_in_wires(name, dap.clone()), dap, protocol: Some(protocol.parse().unwrap()) }
    }

    fn options(&self) -> Options {
        let selector = Some(self.plugged_in.selector().parse().unwrap());
        Options {
            selector,
            protocol: self.protocol,
            reply_timeout: Duration::from_secs(20),
            ..Options::default()
        }
    }

    fn open(&self) -> DebugProbe {
        DebugProbe::open(&self.options()).unwrap()
    }

    fn refused(&self, options: &Options) -> String {
        DebugProbe::open(options).map(|_| ()).unwrap_err().to_string()
    }

    fn stats(&self) -> Stats {
        lock(&self.dap).stats().clone()
    }
}

fn ram() -> Ram {
    Ram::of_words(BASE, (0..NUM_WORDS).map(word), PCS.to_vec())
}

fn read(link: &mut DebugProbe, offset: u32, len: usize) -> Result<Vec<u8>, LinkError> {
    read_at(link, BASE, offset, len)
}

#[test]
fn what_is_read_is_there_and_nothing_is_halted_or_changed() {
    let chip = Chip::new("reads");
    let before = lock(&chip.dap).debug_registers();
    let mut link = chip.open();
    assert_eq!(link.info().endpoint, format!("debug probe {}", chip.plugged_in.selector()));
    let all = bytes();
    for (offset, len) in [(0, 4), (0, 4096), (1, 1), (3, 2), (1023, 1030), (5, 0), (8, 20_000)] {
        let start = offset as usize;
        assert_eq!(read(&mut link, offset, len).unwrap(), all[start..start + len], "{len} bytes at {offset}");
    }
    let (mut one, mut two) = ([0; 8], [0; 6]);
    link.read_many(&mut [
        ReadRequest { addr: TargetAddr::new(u64::from(BASE)), buf: &mut one },
        ReadRequest { addr: TargetAddr::new(u64::from(BASE) + 100), buf: &mut two },
    ])
    .unwrap();
    assert_eq!((&one[..], &two[..]), (&all[..8], &all[100..106]));
    link.detach().unwrap();
    let stats = chip.stats();
    assert_eq!((stats.halts, stats.steps, stats.resumes, stats.memory_writes), (0, 0, 0, 0));
    assert_eq!((stats.dhcsr_writes, stats.demcr_writes), (vec![], vec![]));
    assert_eq!(lock(&chip.dap).debug_registers(), before);
}

/// What is no Cortex-M is read by its access port, as is a Cortex-A; what its debug registers would show is not had.
#[test]
fn memory_is_read_without_a_processor_beside_it() {
    let chip = Chip::of_memory("memory");
    let mut link = chip.open();
    assert_eq!((link.info().architecture, link.info().effect), (None, Effect::Free));
    for (offset, len) in [(0, 4), (3, 2), (1023, 1030), (8, 20_000)] {
        let start = offset as usize;
        assert_eq!(
            read(&mut link, offset, len).unwrap(),
            bytes()[start..start + len],
            "{len} bytes at {offset}"
        );
    }
    let outside = read(&mut link, NUM_WORDS * 4, 4).unwrap_err();
    assert!(matches!(outside, LinkError::Refused { .. }), "{outside}");
    assert!(link.sampler().is_none(), "there is no DWT");
    link.detach().unwrap();
    assert_eq!(chip.stats().memory_writes, 0);
}

#[test]
fn a_sweep_costs_little_more_than_its_words() {
    let chip = Chip::new("transfers");
    let mut link = chip.open();
    for len in [664, 16 * 1024] {
        read(&mut link, 0, len).unwrap();
        let before = chip.stats();
        read(&mut link, 0, len).unwrap();
        let cost = chip.stats().since(&before);
        let words = len / 4;
        let least = (words + len.div_ceil(1024)) as u64;
        assert_eq!(cost.drw_reads, words as u64 + 1, "the words, and the processor's id");
        let all = cost.transfers();
        assert!(all >= least && (all - least) * 20 <= least, "{all} transfers, {least} at least: {cost:?}");
    }
}

#[test]
fn a_sample_costs_one_transfer_and_what_was_changed_is_changed_back() {
    let chip = Chip::new("samples");
    let before = lock(&chip.dap).debug_registers();
    let mut link = chip.open();
    let mut samples = Vec::new();
    link.sampler().unwrap().sample(&mut samples).unwrap();
    assert_ne!(lock(&chip.dap).debug_registers(), before, "without TRCENA there are no samples");
    samples.clear();
    let earlier = chip.stats();
    let num = link.sampler().unwrap().sample(&mut samples).unwrap().num;
    let cost = chip.stats().since(&earlier);
    assert_eq!((num, samples.len()), (256, 256));
    assert!(samples.iter().all(|at| PCS.contains(&u32::try_from(at.get()).unwrap())));
    assert_eq!(cost.bd_reads, 256);
    assert!(cost.transfers() <= 256 + 12, "{cost:?}");
    link.detach().unwrap();
    assert_eq!(lock(&chip.dap).debug_registers(), before);
    assert_eq!(chip.stats().halts, 0);
}

#[test]
fn a_link_that_is_dropped_leaves_nothing_changed() {
    let chip = Chip::new("drop");
    let before = lock(&chip.dap).debug_registers();
    let mut link = chip.open();
    link.sampler().unwrap().sample(&mut Vec::new()).unwrap();
    drop(link);
    assert_eq!(lock(&chip.dap).debug_registers(), before);
}

/// What goes wrong once is read again; what the bus refuses stays refused, and a value of the probe's is none then.
#[test]
fn a_fault_is_repaired_or_said() {
    let chip = Chip::new("repairs");
    let mut link = chip.open();
    for fault in [Fault::Wait { times: 1 }, Fault::BusFault, Fault::SilentBusFault] {
        for transfer in [0, 1, 7, 40] {
            lock(&chip.dap).set_injector(Injector::new().at(transfer, fault));
            let got =
                read(&mut link, 0, 256).unwrap_or_else(|error| panic!("{fault:?} at {transfer}: {error}"));
            assert_eq!(got, bytes()[..256], "{fault:?} at {transfer}");
        }
    }
    let outside = read(&mut link, NUM_WORDS * 4, 4).unwrap_err();
    assert!(matches!(outside, LinkError::Refused { .. }), "{outside}");
    assert_eq!(read(&mut link, 0, 64).unwrap(), bytes()[..64], "after a refusal");
}

#[test]
fn a_link_that_is_lost_is_found_again() {
    for (name, fault) in [("cable", Fault::LinkLoss), ("power", Fault::PowerLoss)] {
        let chip = Chip::new(name);
        let mut link = chip.open();
        lock(&chip.dap).inject(fault);
        let error = read(&mut link, 0, 64).unwrap_err();
        assert!(error.is_fatal(), "{name}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
        drop(link);
        lock(&chip.dap).mend();
        assert_eq!(read(&mut chip.open(), 0, 64).unwrap(), bytes()[..64], "{name}");
    }
}

#[test]
fn what_cannot_be_begun_with_is_said() {
    let chip = Chip::new("begin");
    let wrong = Options { chip: Some("STM32F407VGTx".to_owned()), ..chip.options() };
    let said = chip.refused(&wrong);
    assert!(
        said.ends_with("the processor is a Cortex-M3, and that of STM32F407VGTx is another (Armv7em)"),
        "{said}"
    );
    let unknown = Options { chip: Some("no such chip".to_owned()), ..chip.options() };
    assert!(chip.refused(&unknown).contains("no such chip"));
    lock(&chip.dap).inject(Fault::LinkLoss);
    let said = chip.refused(&chip.options());
    assert!(said.starts_with("attach on debug probe 1209:c0de:begin: "), "{said}");
    lock(&chip.dap).mend();
    lock(&chip.dap).inject(Fault::Locked);
    let said = chip.refused(&chip.options());
    assert!(
        said.contains("begin: refused: the chip is locked: its access port does not reach memory (CSW 0x"),
        "{said}"
    );
    lock(&chip.dap).mend();
    assert_eq!(read(&mut chip.open(), 0, 4).unwrap(), bytes()[..4]);
}

/// Samples are read again as memory is, and one that the bus refused is none.
#[test]
fn faults_while_sampling_are_repaired() {
    let chip = Chip::new("sampling");
    let mut link = chip.open();
    for fault in [Fault::Wait { times: 1 }, Fault::BusFault, Fault::SilentBusFault] {
        for transfer in [0, 3, 100] {
            lock(&chip.dap).set_injector(Injector::new().at(transfer, fault));
            let mut samples = Vec::new();
            let num = link.sampler().unwrap().sample(&mut samples).unwrap().num;
            assert_eq!((num, samples.len()), (256, 256), "{fault:?} at {transfer}");
            assert!(samples.iter().all(|at| PCS.contains(&u32::try_from(at.get()).unwrap())));
        }
    }
}

/// Where several are there, none is taken for the one that is meant.
#[test]
fn probes_of_which_none_is_named_are_listed() {
    let chips = [Chip::new("one"), Chip::new("another")];
    let said = chips[0].refused(&Options::default());
    assert!(said.starts_with("connect to a debug probe: ") && said.contains(" are connected: "), "{said}");
    assert!(chips.iter().all(|chip| said.contains(&chip.plugged_in.selector())), "{said}");
    assert!(chips.iter().all(|chip| chip.stats().transfers() == 0));
}

#[test]
fn a_reset_that_is_asked_for_is_one_and_no_halt() {
    let chip = Chip::new("reset");
    let options = Options { connect_under_reset: true, ..chip.options() };
    let mut link = DebugProbe::open(&options).unwrap();
    assert!(link.info().attach_pause > Duration::ZERO);
    assert_eq!(read(&mut link, 0, 64).unwrap(), bytes()[..64]);
    link.detach().unwrap();
    let stats = chip.stats();
    assert_eq!((stats.resets, stats.halts, stats.dhcsr_writes), (1, 0, vec![]));
}

/// A chip that cannot be begun with is let out of reset all the same.
#[test]
fn a_reset_ends_also_where_the_chip_does_not_answer() {
    let chip = Chip::new("held");
    lock(&chip.dap).inject(Fault::LinkLoss);
    let options = Options { connect_under_reset: true, ..chip.options() };
    assert!(chip.refused(&options).starts_with("attach on debug probe 1209:c0de:held: "));
    lock(&chip.dap).mend();
    assert_eq!(chip.stats().resets, 1);
    assert_eq!(read(&mut chip.open(), 0, 4).unwrap(), bytes()[..4]);
}

const FAULTS: [Fault; 6] = [
    Fault::Wait { times: 3 },
    Fault::BusFault,
    Fault::SilentBusFault,
    Fault::LinkLoss,
    Fault::PowerLoss,
    Fault::TargetReset,
];

/// Has something go wrong at every two hundredth transfer: what is given is true.
fn read_with_faults(chip: &Chip, num: u32) {
    let before = lock(&chip.dap).debug_registers();
    lock(&chip.dap).set_injector(Injector::new().at_random(1, 1.0 / 200.0, FAULTS));
    let (open, mend) = (|| DebugProbe::open(&chip.options()), || lock(&chip.dap).mend());
    let turns = Turns::take(num, 500, BASE, open, mend);
    let stats = chip.stats();
    println!("{}: {turns:?}, {} faults", chip.plugged_in.selector(), stats.faults);
    assert!(turns.given > num / 2 && turns.refused > num / 100, "{turns:?}");
    assert_eq!((stats.halts, stats.memory_writes), (0, 0));
    assert_eq!(lock(&chip.dap).debug_registers(), before);
}

/// Ten thousand reads of each.
#[test]
fn no_wrong_value_is_accepted() {
    read_with_faults(&Chip::new("faults"), 10_000);
    read_with_faults(&Chip::of_memory("faults of memory"), 10_000);
}

/// Ten thousand reads in all by the wires, where `probe-rs` has posted reads and overrun detection, or goes by JTAG.
#[test]
fn no_wrong_value_is_accepted_by_wires() {
    for protocol in ["swd", "jtag"] {
        for (kind, dap) in [("a processor", shared(ram())), ("memory", shared_memory(ram()))] {
            read_with_faults(&Chip::by_wires(&format!("{protocol} of {kind}"), dap, protocol), 2_500);
        }
    }
}

/// Nothing is taken for a place where the processor was but what the register showed.
#[test]
fn no_wrong_sample_is_accepted() {
    const BURSTS: u32 = 400;
    for (name, protocol) in [("samples by swd", "swd"), ("samples by jtag", "jtag")] {
        let chip = Chip::by_wires(name, shared(ram()), protocol);
        lock(&chip.dap).set_injector(Injector::new().at_random(1, 1.0 / 300.0, FAULTS));
        let (mut given, mut link) = (0, None);
        for _ in 0..BURSTS {
            let Ok(mut opened) = link.take().map_or_else(|| DebugProbe::open(&chip.options()), Ok) else {
                lock(&chip.dap).mend();
                continue;
            };
            let mut samples = Vec::new();
            match opened.sampler().map(|sampler| sampler.sample(&mut samples)) {
                Some(Ok(_)) => given += 1,
                _ => lock(&chip.dap).mend(),
            }
            for at in &samples {
                assert!(PCS.contains(&u32::try_from(at.get()).unwrap()), "{name}: {at}");
            }
            link = (!samples.is_empty()).then_some(opened);
        }
        println!("{name}: {given} bursts of {BURSTS}, {} faults", chip.stats().faults);
        assert!(given > BURSTS / 4, "{given}");
    }
}
