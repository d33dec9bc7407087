//! probe-rs itself in front of the virtual RISC-V chip: in this process.
//!
//! Attached without a session, as covtap does it.

use std::time::Duration;

use covtap_virtual_probe::{Chip, Ram, SharedRiscv, Stats, VirtualJtagProbe, lock, plug_in, shared_riscv};
use probe_rs::MemoryInterface;
use probe_rs::architecture::riscv::communication_interface::RiscvCommunicationInterface;
use probe_rs::probe::list::Lister;
use probe_rs::probe::{DebugProbeSelector, Probe, WireProtocol};

const BASE: u32 = 0x8000_0000;
const WORDS: u32 = 1024;
const NO_BUS: Chip = Chip { system_bus: false, progbuf_words: 8 };

fn riscv(chip: Chip) -> SharedRiscv {
    shared_riscv(chip, Ram::of_words(BASE, 0..WORDS, vec![BASE + 0x40]))
}

fn probe(chip: &SharedRiscv) -> Probe {
    Probe::new(VirtualJtagProbe::new(SharedRiscv::clone(chip)))
}

/// Connects to the debug module, and has something done.
fn connected<T>(
    mut probe: Probe,
    work: impl FnOnce(&mut RiscvCommunicationInterface<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    probe.select_protocol(WireProtocol::Jtag)?;
    probe.attach_to_unspecified()?;
    let builder = probe.try_get_riscv_interface_builder()?;
    let mut state = builder.create_state();
    let mut interface = builder.attach(&mut state)?;
    interface.enter_debug_mode()?;
    work(&mut interface)
}

fn words(interface: &mut RiscvCommunicationInterface<'_>, count: usize) -> anyhow::Result<Vec<u32>> {
    let mut words = vec![0; count];
    interface.read_32(u64::from(BASE), &mut words)?;
    Ok(words)
}

fn take_stats(chip: &SharedRiscv) -> Stats {
    lock(chip).take_stats()
}

fn first(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[test]
fn a_block_is_read_by_the_system_bus_without_a_halt() {
    let chip = riscv(Chip::default());
    let before = lock(&chip).debug_registers();
    let read = connected(probe(&chip), |interface| words(interface, 512)).expect("2 KiB");
    assert_eq!(read, first(512));
    let stats = take_stats(&chip);
    assert_eq!((stats.halts, stats.steps, stats.resumes, stats.resets), (0, 0, 0, 0));
    assert_eq!((stats.system_bus_reads, stats.abstract_commands, stats.memory_writes), (512, 0, 0));
    assert_eq!(lock(&chip).debug_registers().dcsr, before.dcsr);
}

#[test]
fn a_program_buffer_needs_a_halt_and_registers_are_put_back() {
    let chip = riscv(NO_BUS);
    let read = connected(probe(&chip), |interface| words(interface, 64)).expect("256 bytes");
    assert_eq!(read, first(64));
    let stats = take_stats(&chip);
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (1, 1, 0), "{stats}");
    assert!(stats.abstract_commands > 64 && stats.system_bus_reads == 0, "{stats}");
    assert!(!lock(&chip).is_halted());
}

#[test]
fn a_probe_is_found_by_its_name_and_speaks_jtag_alone() {
    let chip = riscv(Chip::default());
    let plugged_in = plug_in("riscv board", SharedRiscv::clone(&chip));
    let selector: DebugProbeSelector = plugged_in.selector().parse().expect("a selector");
    let mut probe = Lister::new().open(selector).expect("it is plugged in");
    assert!(probe.has_riscv_interface() && !probe.has_arm_debug_interface());
    assert!(probe.select_protocol(WireProtocol::Swd).is_err());
    assert_eq!(connected(probe, |interface| words(interface, 4)).expect("16 bytes"), first(4));
}

#[test]
fn a_halt_and_a_resume_are_told() {
    let chip = riscv(Chip::default());
    connected(probe(&chip), |interface| {
        interface.halt(Duration::from_secs(1))?;
        assert!(lock(&chip).is_halted());
        interface.resume_core()?;
        Ok(())
    })
    .expect("halted and resumed");
    let stats = take_stats(&chip);
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (1, 1, 0));
}
