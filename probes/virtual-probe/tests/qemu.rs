//! The probe in front of a guest that runs in QEMU: its memory changes while it is read, and nothing stops it.

mod common;

use std::path::Path;

use anyhow::{Context, Result};
use common::Program;
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use covtap_virtual_probe::{MemoryRange, Port, Qemu, Target, TargetError, lock, ppb, shared};
use object::{Object, ObjectSection};
use probe_rs::architecture::arm::dp::DpAddress;
use probe_rs::architecture::arm::sequences::DefaultArmSequence;
use probe_rs::architecture::arm::{ArmDebugInterface, FullyQualifiedApAddress};
use probe_rs::probe::DebugProbeSelector;
use probe_rs::probe::list::Lister;

/// A guest that counts as fast as it can.
const SPIN: &str = "c-an385/spin.elf";
const MEMORY: [MemoryRange; 2] =
    [MemoryRange { base: 0, len_bytes: 4 << 20 }, MemoryRange { base: 0x2000_0000, len_bytes: 4 << 20 }];

fn start(qtest: &Path) -> Result<Guest> {
    Guest::builder(Machine::An385, fixture(SPIN)).without_gdb().qtest(qtest).start()
}

/// Where the counters are, and how many bytes.
fn counters() -> Result<(u32, usize)> {
    let bytes = std::fs::read(fixture(SPIN))?;
    let elf = object::File::parse(bytes.as_slice())?;
    let section = elf.section_by_name("__llvm_prf_cnts").context("no counters")?;
    Ok((section.address().try_into()?, section.size().try_into()?))
}

fn is_running(guest: &Guest) -> Result<bool> {
    let mut monitor = Monitor::connect(guest.control())?;
    Ok(monitor.status()? == "running")
}

#[test]
fn memory_and_program_counter_are_those_of_the_moment() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let qtest = dir.path().join("qtest.sock");
    let guest = start(&qtest)?;
    guest_is_up(&guest)?;
    let mut qemu = Qemu::connect(&qtest, guest.qmp(), MEMORY.to_vec())?;
    let (addr, len_bytes) = counters()?;
    let mut first = vec![0; len_bytes];
    let mut now = first.clone();
    qemu.read(addr, &mut first)?;
    while now == first || now.iter().all(|&byte| byte == 0) {
        qemu.read(addr, &mut now)?;
    }
    assert!(is_running(&guest)?);
    assert!(matches!(qemu.read(0xF000_0000, &mut now), Err(TargetError::Unmapped { .. })));
    let pc = qemu.pc()?;
    assert!((1..4 << 20).contains(&pc), "{pc:#x}");
    qemu.halt()?;
    assert!(!is_running(&guest)?);
    qemu.read(addr, &mut first)?;
    qemu.read(addr, &mut now)?;
    assert_eq!(first, now, "it is halted");
    qemu.resume()?;
    assert!(is_running(&guest)?);
    Ok(())
}

#[test]
fn a_halt_by_dhcsr_stops_the_guest() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let qtest = dir.path().join("qtest.sock");
    let guest = start(&qtest)?;
    guest_is_up(&guest)?;
    let dap = shared(Qemu::connect(&qtest, guest.qmp(), MEMORY.to_vec())?);
    let write = |port, a, value| lock(&dap).write(port, a, value).expect("acknowledged");
    write(Port::Debug, 0x4, 0x5000_0000);
    write(Port::Access, 0x0, 0x2300_0002);
    write(Port::Access, 0x4, ppb::DHCSR);
    write(Port::Access, 0xC, ppb::DBGKEY | ppb::C_DEBUGEN | ppb::C_HALT);
    assert!(!is_running(&guest)?);
    write(Port::Access, 0xC, ppb::DBGKEY);
    assert!(is_running(&guest)?);
    let dap = lock(&dap);
    assert_eq!((dap.stats().halts, dap.stats().resumes, dap.stats().target_errors), (1, 1, 0));
    Ok(())
}

#[test]
fn a_reset_is_caught_before_the_first_instruction() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let qtest = dir.path().join("qtest.sock");
    let guest = start(&qtest)?;
    guest_is_up(&guest)?;
    let mut qemu = Qemu::connect(&qtest, guest.qmp(), MEMORY.to_vec())?;
    let mut vector = [0; 4];
    qemu.read(4, &mut vector)?;
    let dap = shared(qemu);
    let write = |port, a, value| lock(&dap).write(port, a, value).expect("acknowledged");
    write(Port::Debug, 0x4, 0x5000_0000);
    write(Port::Access, 0x0, 0x2300_0002);
    let registers = [
        (ppb::DHCSR, ppb::DBGKEY | ppb::C_DEBUGEN),
        (ppb::DEMCR, ppb::VC_CORERESET),
        (ppb::AIRCR, ppb::VECTKEY | ppb::SYSRESETREQ),
        (ppb::DCRSR, 15),
    ];
    for (address, value) in registers {
        write(Port::Access, 0x4, address);
        write(Port::Access, 0xC, value);
    }
    write(Port::Access, 0x4, ppb::DCRDR);
    let pc = lock(&dap).read(Port::Access, 0xC).expect("acknowledged");
    // The vector has the bit of Thumb.
    assert_eq!(pc, u32::from_le_bytes(vector) & !1);
    assert!(!is_running(&guest)?);
    lock(&dap).set_reset_pin(true);
    write(Port::Access, 0x4, ppb::DEMCR);
    write(Port::Access, 0xC, 0);
    lock(&dap).set_reset_pin(false);
    assert!(is_running(&guest)?);
    let dap = lock(&dap);
    assert_eq!((dap.stats().halts, dap.stats().resets, dap.stats().target_errors), (1, 2, 0));
    Ok(())
}

#[test]
fn the_program_serves_an_unmodified_probe_rs() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let qtest = dir.path().join("qtest.sock");
    let guest = start(&qtest)?;
    guest_is_up(&guest)?;
    let mut program = Program::start(&guest, &qtest, &["--listen", "127.0.0.1:0"])?;
    let selector: DebugProbeSelector = format!("20b7:9db1:tcp:{}", program.address).parse()?;
    let mut probe = Lister::new().open(selector)?;
    probe.attach_to_unspecified()?;
    let mut arm =
        probe.try_into_arm_debug_interface(DefaultArmSequence::create()).map_err(|(_, error)| error)?;
    arm.select_debug_port(DpAddress::Default)?;
    watch_counters(&mut *arm)?;
    drop(arm);

    program.assert_harmless()?;
    assert!(is_running(&guest)?);
    Ok(())
}

/// Reads the counters until they have changed.
fn watch_counters(arm: &mut dyn ArmDebugInterface) -> Result<()> {
    let (addr, len_bytes) = counters()?;
    let ap = FullyQualifiedApAddress::v1_with_default_dp(0);
    let mut memory = arm.memory_interface(&ap)?;
    let mut first = vec![0; len_bytes / 4];
    memory.read_32(addr.into(), &mut first)?;
    let mut now = first.clone();
    while now == first {
        memory.read_32(addr.into(), &mut now)?;
    }
    Ok(())
}

/// The monitor answers when QEMU has made its other sockets.
fn guest_is_up(guest: &Guest) -> Result<()> {
    Monitor::connect(guest.control())?.status().map(drop)
}
