//! The link on a RISC-V debug module behind an access port of Arm's: what it reads, what it leaves as it was, and what faults
//! come to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{NUM_WORDS, Turns, bytes, read_at, word};
use covtap_debug_probe::{DebugProbe, Options};
use covtap_link::{Effect, Link, LinkError};
use covtap_virtual_probe::{
    Chip, Fault, Injector, PluggedIn, Ram, SharedDap, SharedRiscv, lock, plug_in, plug_in_wires,
    shared_module, shared_riscv,
};

const BASE: u32 = 0x2000_0000;

const DESCRIPTION: &str = include_str!("../../virtual-probe/chips.yaml");

/// What makes a probe of a debug port.
type Plug = fn(&str, SharedDap) -> PluggedIn;

/// A chip that tests do things to, and its probe.
struct Behind {
    dap: SharedDap,
    chip: SharedRiscv,
    plugged_in: PluggedIn,
}

impl Behind {
    fn new(name: &str, chip: Chip, plug: Plug) -> Self {
        let chip = shared_riscv(chip, Ram::of_words(BASE, (0..NUM_WORDS).map(word), vec![]));
        let dap = shared_module(chip.clone());
        Self { plugged_in: plug(name, dap.clone()), dap, chip }
    }

    fn options(&self) -> Options {
        let selector = Some(self.plugged_in.selector().parse().unwrap());
        let (chip, chip_description) = (Some("VIRTUAL-BEHIND".to_owned()), Some(DESCRIPTION.to_owned()));
        let reply_timeout = Duration::from_secs(20);
        Options { selector, chip, chip_description, reply_timeout, ..Options::default() }
    }

    fn open(&self) -> Result<DebugProbe, LinkError> {
        DebugProbe::open(&self.options())
    }

    fn refused(&self) -> String {
        self.open().map(|_| ()).unwrap_err().to_string()
    }
}

#[test]
fn what_is_read_is_there_and_nothing_is_halted_or_changed() {
    for (name, plug) in [("transfers", plug_in as Plug), ("wires", plug_in_wires)] {
        let scene = Behind::new(name, Chip::default(), plug);
        let before = lock(&scene.chip).debug_registers();
        let mut link = scene.open().unwrap();
        assert_eq!((link.info().architecture.as_deref(), link.info().effect), (Some("riscv"), Effect::Free));
        for (offset, len) in [(0, 4), (0, 4096), (1, 1), (3, 2), (1023, 1030), (5, 0), (8, 20_000)] {
            let (start, got) = (offset as usize, read_at(&mut link, BASE, offset, len).unwrap());
            assert_eq!(got, bytes()[start..start + len], "{name}: {len} bytes at {offset}");
        }
        let outside = read_at(&mut link, BASE, NUM_WORDS * 4, 4).unwrap_err();
        assert!(outside.to_string().contains("the system bus refused a read: a bad address"), "{outside}");
        assert_eq!(read_at(&mut link, BASE, 0, 64).unwrap(), bytes()[..64], "after a refusal");
        assert!(link.sampler().is_none());
        link.detach().unwrap();
        let chip = lock(&scene.chip);
        let stats = chip.stats();
        assert_eq!((stats.halts, stats.resets, stats.system_bus_writes), (0, 0, 0), "{stats}");
        let after = chip.debug_registers();
        assert_eq!((after.dcsr, after.dmcontrol), (before.dcsr, before.dmcontrol));
    }
}

/// A word costs a transfer, and no word behind the last is read: it may be a register that is changed by that.
#[test]
fn a_sweep_costs_little_more_than_its_words() {
    let scene = Behind::new("cost", Chip::default(), plug_in);
    let mut link = scene.open().unwrap();
    let before = [lock(&scene.dap).stats().transfers(), lock(&scene.chip).stats().system_bus_reads];
    read_at(&mut link, BASE, 0, 16 * 1024).unwrap();
    let after = [lock(&scene.dap).stats().transfers(), lock(&scene.chip).stats().system_bus_reads];
    let [transfers, reads] = [after[0] - before[0], after[1] - before[1]];
    assert_eq!(reads, 4096);
    assert!(transfers < 4096 + 16 * 24, "{transfers}");
}

#[test]
fn what_cannot_be_begun_with_is_said() {
    let scene = Behind::new("no bus", Chip { system_bus: false, ..Chip::default() }, plug_in);
    assert!(scene.refused().ends_with("has no system bus, and its processor is not halted there"));
    let scene = Behind::new("locked", Chip::default(), plug_in);
    lock(&scene.chip).inject(Fault::Locked);
    assert!(scene.refused().ends_with("the chip is locked: its debug module wants to know who debugs it"));
    let other = Options { access_port: Some(3), ..scene.options() };
    let said = DebugProbe::open(&other).map(|_| ()).unwrap_err().to_string();
    assert!(said.ends_with("V1(3) } does not exist"), "{said}");
}

/// Five thousand reads, while something goes wrong on the way to the access port, and on that to the debug module and its bus.
#[test]
fn no_wrong_value_is_accepted() {
    const ON_THE_WAY: [Fault; 5] =
        [Fault::Wait { times: 3 }, Fault::BusFault, Fault::SilentBusFault, Fault::LinkLoss, Fault::PowerLoss];
    const IN_THE_MODULE: [Fault; 4] =
        [Fault::SystemBusBusy { times: 1 }, Fault::BusFault, Fault::PowerLoss, Fault::TargetReset];
    for (name, num, plug) in [("faults", 4_000, plug_in as Plug), ("faults by wires", 1_000, plug_in_wires)] {
        let scene = Behind::new(name, Chip::default(), plug);
        lock(&scene.dap).set_injector(Injector::new().at_random(1, 1.0 / 400.0, ON_THE_WAY));
        lock(&scene.chip).set_injector(Injector::new().at_random(2, 1.0 / 400.0, IN_THE_MODULE));
        let mend = || {
            lock(&scene.dap).mend();
            lock(&scene.chip).mend();
        };
        let turns = Turns::take(num, 500, BASE, || scene.open(), mend);
        let faults = [lock(&scene.dap).stats().faults, lock(&scene.chip).stats().faults];
        println!("{name}: {turns:?}, {faults:?} faults");
        assert!(turns.given > num / 2 && turns.refused > 50, "{turns:?}");
        assert_eq!(lock(&scene.chip).stats().halts, 0);
    }
}
