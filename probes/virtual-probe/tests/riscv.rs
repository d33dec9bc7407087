//! probe-rs itself in front of the virtual RISC-V chip: in this process, and over a socket.
//!
//! Attached without a session, as covtap does it.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::connected;
use covtap_virtual_probe::{
    Chip, Fault, Injector, ListenAddress, Protocol, Ram, Server, SharedRiscv, Stats, WireProbe, dmi, lock,
    plug_in, shared_riscv,
};
use probe_rs::architecture::riscv::Dmcontrol;
use probe_rs::architecture::riscv::communication_interface::RiscvCommunicationInterface;
use probe_rs::probe::list::Lister;
use probe_rs::probe::{DebugProbeSelector, Probe, WireProtocol};
use probe_rs::{MemoryInterface, Permissions};

const BASE: u32 = 0x8000_0000;
const WORDS: u32 = 1024;
const NO_BUS: Chip = Chip { system_bus: false, progbuf_words: 8 };

fn riscv(chip: Chip) -> SharedRiscv {
    shared_riscv(chip, Ram::of_words(BASE, 0..WORDS, vec![BASE + 0x40]))
}

fn probe(chip: &SharedRiscv) -> Probe {
    Probe::new(WireProbe::new(SharedRiscv::clone(chip)))
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

#[test]
fn probe_rs_reads_over_a_socket_as_from_a_black_magic_probe() {
    let chip = riscv(Chip::default());
    let listen = ListenAddress::Tcp("127.0.0.1:0".to_owned());
    let (told, ends) = mpsc::channel();
    let server =
        Server::start(&listen, Protocol::BlackMagic, SharedRiscv::clone(&chip), move |ended, stats| {
            told.send((ended.is_ok(), stats.clone())).expect("the test waits");
        });
    let server = server.expect("a server");
    let selector: DebugProbeSelector = server.selector().parse().expect("a selector");
    let probe = Lister::new().open(selector).expect("it listens");
    let read = connected(probe, |interface| words(interface, 100)).expect("400 bytes");
    assert_eq!(read, first(100));
    let (is_ok, stats) = ends.recv().expect("its end");
    assert_eq!((is_ok, stats.halts, stats.system_bus_reads), (true, 0, 100));
}

#[test]
fn a_program_buffer_is_reached_over_a_socket_too() {
    let chip = riscv(NO_BUS);
    let listen = ListenAddress::Tcp("127.0.0.1:0".to_owned());
    let server = Server::start(&listen, Protocol::BlackMagic, SharedRiscv::clone(&chip), |_, _| {});
    let server = server.expect("a server");
    let selector: DebugProbeSelector = server.selector().parse().expect("a selector");
    let probe = Lister::new().open(selector).expect("it listens");
    assert_eq!(connected(probe, |interface| words(interface, 20)).expect("80 bytes"), first(20));
    let stats = take_stats(&chip);
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (1, 1, 0));
}

#[test]
fn a_glasgow_has_no_way_to_the_chip() {
    let listen = ListenAddress::Tcp("127.0.0.1:0".to_owned());
    let server = Server::start(&listen, Protocol::Glasgow, riscv(Chip::default()), |_, _| {});
    assert!(server.is_err_and(|error| error.to_string().contains("SWD")));
}

/// Reads words twice, the second time from another place and with a fault at one of its operations.
fn read_again(fault: Fault, at: u64) -> anyhow::Result<Vec<u32>> {
    let chip = riscv(Chip::default());
    let read = connected(probe(&chip), |interface| {
        words(interface, 8)?;
        lock(&chip).set_injector(Injector::new().at(at, fault));
        let mut words = vec![0; 20];
        interface.read_32(u64::from(BASE + 400), &mut words)?;
        Ok(words)
    });
    assert_eq!(take_stats(&chip).halts, 0);
    read
}

/// What is read there: 20 words that begin with the hundredth.
fn again() -> Vec<u32> {
    (100..120).collect()
}

#[test]
fn probe_rs_reads_again_what_found_the_system_bus_busy() {
    for at in 0..23 {
        let read = read_again(Fault::SystemBusBusy { times: 1 }, at);
        assert_eq!(read.expect("20 words"), again(), "{at}");
    }
}

#[test]
fn probe_rs_waits_for_a_read_that_is_in_progress() {
    for at in (2..21).chain(22..24) {
        let read = read_again(Fault::Wait { times: 1 }, at);
        assert_eq!(read.expect("20 words"), again(), "{at}");
    }
}

/// What follows in a batch is not done, and of what it does not look at probe-rs 0.32 believes that it is. The words are
/// wrong, and there is no error.
#[test]
fn probe_rs_loses_what_follows_a_write_that_is_in_progress() {
    let read = |at| read_again(Fault::Wait { times: 1 }, at).expect("20 words");
    // Of sbcs: sbaddress0 is still that of the block before.
    assert_eq!(read(0)[1..], (7..26).collect::<Vec<_>>());
    // Of sbaddress0: the first read of sbdata0 is lost.
    assert_eq!(read(1)[1..], again()[..19]);
    // Of sbcs before the last word: the last read of sbdata0 is lost.
    let last = read(21);
    assert_eq!((&last[..19], last[19]), (&again()[..19], 0));
}

#[test]
fn probe_rs_looks_at_what_tells_of_a_fault_and_at_no_more() {
    let read_after = |fault| {
        let chip = riscv(Chip::default());
        connected(probe(&chip), |interface| {
            lock(&chip).inject(fault);
            words(interface, 8)
        })
    };
    for fault in [Fault::BusFault, Fault::LinkLoss] {
        assert!(read_after(fault).is_err(), "{fault:?}");
    }
    // Of dmactive and authenticated nobody asks again, and what reads as 0 has no error in it.
    for fault in [Fault::Locked, Fault::PowerLoss] {
        assert_eq!(read_after(fault).expect("words"), [0; 8], "{fault:?}");
    }
}

#[test]
fn a_program_buffer_leaves_dcsr_changed() {
    let chip = riscv(NO_BUS);
    connected(probe(&chip), |interface| words(interface, 4)).expect("16 bytes");
    let registers = lock(&chip).debug_registers();
    assert_eq!(registers.dcsr & dmi::EBREAKS, dmi::EBREAKS, "ebreak would halt the hart");
    assert_eq!((registers.dmcontrol, registers.abstractauto), (dmi::DMACTIVE, 0));
}

#[test]
fn probe_rs_halts_a_hart_that_runs_to_disable_the_module() {
    let chip = riscv(Chip::default());
    connected(probe(&chip), |interface| {
        words(interface, 4)?;
        assert_eq!(take_stats(&chip).halts, 0);
        interface.disable_debug_module()?;
        Ok(())
    })
    .expect("disabled");
    let stats = take_stats(&chip);
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (2, 2, 0));
    let registers = lock(&chip).debug_registers();
    assert_eq!((registers.dmcontrol, registers.dcsr & dmi::EBREAKS), (0, 0));
}

#[test]
fn a_write_to_dmcontrol_disables_the_module_without_a_halt() {
    let chip = riscv(Chip::default());
    connected(probe(&chip), |interface| {
        words(interface, 4)?;
        interface.write_dm_register(Dmcontrol(0))?;
        Ok(())
    })
    .expect("disabled");
    assert_eq!((take_stats(&chip).halts, lock(&chip).debug_registers().dmcontrol), (0, 0));
}

#[test]
fn a_session_halts_and_what_it_did_is_told() {
    let chip = riscv(Chip::default());
    let mut probe = probe(&chip);
    probe.select_protocol(WireProtocol::Jtag).expect("JTAG");
    let session = probe.attach("riscv", Permissions::default()).expect("a session");
    let attached = take_stats(&chip);
    assert_eq!((attached.halts, attached.steps, attached.resumes), (2, 1, 2));
    drop(session);
    let ended = take_stats(&chip);
    assert_eq!((ended.halts, ended.steps, ended.resumes), (3, 1, 3));
    assert_eq!([attached, ended].map(|stats| stats.registers_left_changed), [0, 0]);
    let registers = lock(&chip).debug_registers();
    assert_eq!((registers.dmcontrol, registers.dcsr & dmi::STEPIE), (0, dmi::STEPIE), "it leaves it set");
}
