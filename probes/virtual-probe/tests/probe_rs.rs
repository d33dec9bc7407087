//! probe-rs itself in front of the virtual probe: in this process, and over a socket.
//!
//! Attached without a session, as covtap does it: a session would halt the processor.

use std::error::Error;
use std::sync::mpsc;

use covtap_virtual_probe::{
    Fault, Injector, ListenAddress, Port, Protocol, Ram, Server, SharedDap, Stats, TransferProbe, WireProbe,
    lock, plug_in, ppb, shared,
};
use probe_rs::Permissions;
use probe_rs::architecture::arm::ap::{ApRegister, BD3, CSW, IDR, TAR};
use probe_rs::architecture::arm::dp::{Abort, Ctrl, DpAddress, DpRegister};
use probe_rs::architecture::arm::sequences::DefaultArmSequence;
use probe_rs::architecture::arm::{ArmDebugInterface, ArmError, DapError, FullyQualifiedApAddress};
use probe_rs::probe::list::Lister;
use probe_rs::probe::{DebugProbeSelector, Probe, WireProtocol};

const BASE: u32 = 0x2000_0000;
const WORDS: u32 = 4096;

fn dap() -> SharedDap {
    shared(Ram::of_words(BASE, 0..WORDS, vec![0x100, 0x104, 0x108]))
}

fn ap() -> FullyQualifiedApAddress {
    FullyQualifiedApAddress::v1_with_default_dp(0)
}

/// Connects to the debug port, and leaves the processor alone.
fn connect(mut probe: Probe) -> anyhow::Result<Box<dyn ArmDebugInterface>> {
    probe.attach_to_unspecified()?;
    let mut arm =
        probe.try_into_arm_debug_interface(DefaultArmSequence::create()).map_err(|(_, error)| error)?;
    arm.select_debug_port(DpAddress::Default)?;
    Ok(arm)
}

fn in_process(dap: &SharedDap) -> anyhow::Result<Box<dyn ArmDebugInterface>> {
    connect(Probe::new(TransferProbe::new(SharedDap::clone(dap))))
}

fn by_wires(dap: &SharedDap, protocol: WireProtocol) -> anyhow::Result<Box<dyn ArmDebugInterface>> {
    let mut probe = Probe::new(WireProbe::new(SharedDap::clone(dap)));
    probe.select_protocol(protocol)?;
    connect(probe)
}

fn take_stats(dap: &SharedDap) -> Stats {
    lock(dap).take_stats()
}

fn words(arm: &mut dyn ArmDebugInterface, count: usize) -> Result<Vec<u32>, ArmError> {
    let mut words = vec![0; count];
    arm.memory_interface(&ap())?.read_32(u64::from(BASE), &mut words)?;
    Ok(words)
}

fn first(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[test]
fn a_block_is_read_without_a_halt() {
    let dap = dap();
    let before = lock(&dap).debug_registers();
    let mut arm = in_process(&dap).expect("a debug port");
    assert_eq!(words(&mut *arm, 512).expect("2 KiB"), first(512));
    drop(arm);
    let stats = take_stats(&dap);
    assert_eq!((stats.halts, stats.steps, stats.resumes, stats.resets), (0, 0, 0, 0));
    assert_eq!((stats.dhcsr_writes, stats.demcr_writes, stats.memory_writes), (vec![], vec![], 0));
    assert_eq!(lock(&dap).debug_registers(), before);
}

#[test]
fn a_block_costs_a_transfer_a_word_and_one_in_each_kibibyte() {
    let dap = dap();
    let mut arm = in_process(&dap).expect("a debug port");
    assert_eq!(costs(&take_stats(&dap)), [8, 6, 0, 0], "to connect");
    let mut memory = arm.memory_interface(&ap()).expect("memory");
    assert_eq!(costs(&take_stats(&dap)), [0, 4, 3, 1], "to open memory");
    let mut words = vec![0; 1024];
    for _ in 0..2 {
        memory.read_32(u64::from(BASE), &mut words).expect("4 KiB");
        let block = take_stats(&dap);
        assert_eq!((block.drw_reads, block.tar_writes), (1024, 4));
        assert_eq!(costs(&block), [0, 0, 1024, 4], "nothing is added");
    }
    memory.read_word_32(u64::from(BASE)).expect("a word");
    assert_eq!(costs(&take_stats(&dap)), [0, 0, 1, 1]);
    memory.read_8(u64::from(BASE), &mut [0; 3]).expect("bytes");
    assert_eq!(costs(&take_stats(&dap)), [0, 0, 3, 2], "a transfer for each, TAR, and CSW with another size");
    drop(memory);
    drop(arm);
    assert_eq!(costs(&take_stats(&dap)), [1, 2, 0, 0], "to power down");
}

/// Reads and writes of the debug port, reads and writes of the access port.
fn costs(stats: &Stats) -> [u64; 4] {
    [stats.dp_reads, stats.dp_writes, stats.ap_reads, stats.ap_writes]
}

#[test]
fn a_session_halts_and_what_it_did_is_told() {
    let dap = dap();
    let probe = Probe::new(TransferProbe::new(SharedDap::clone(&dap)));
    let session = probe.attach("Cortex-M3", Permissions::default()).expect("a session");
    let attached = take_stats(&dap);
    assert_eq!((attached.halts, attached.steps, attached.resumes), (1, 1, 1));
    assert_eq!(attached.dhcsr_writes.first(), Some(&(ppb::DBGKEY | ppb::C_DEBUGEN)));
    drop(session);
    let ended = take_stats(&dap);
    assert_eq!((ended.halts, ended.steps, ended.resumes), (1, 1, 1));
    assert_eq!((ended.dhcsr_writes.last(), ended.demcr_writes), (Some(&ppb::DBGKEY), vec![0]));
}

#[test]
fn a_session_under_reset_is_halted_before_the_first_instruction() {
    let dap = dap();
    // The processor catches resets while this is on, and probe-rs turns it on too late.
    enable_debugging(&dap);
    let probe = Probe::new(TransferProbe::new(SharedDap::clone(&dap)));
    let session = probe.attach_under_reset("Cortex-M3", Permissions::default()).expect("a session");
    let stats = take_stats(&dap);
    assert!(lock(&dap).is_halted());
    assert_eq!((stats.resets, stats.halts), (1, 1));
    drop(session);
    assert!(!lock(&dap).is_halted());
}

fn enable_debugging(dap: &SharedDap) {
    let transfers = [
        (Port::Debug, 0x4, 0x5000_0000),
        (Port::Access, 0x4, ppb::DHCSR),
        (Port::Access, 0xC, ppb::DBGKEY | ppb::C_DEBUGEN),
    ];
    for (port, a, value) in transfers {
        assert_eq!(lock(dap).write(port, a, value), Ok(()));
    }
}

#[test]
fn program_counters_cost_a_transfer_each() {
    let dap = dap();
    let mut arm = in_process(&dap).expect("a debug port");
    let demcr = u64::from(ppb::DEMCR);
    {
        let mut memory = arm.memory_interface(&ap()).expect("memory");
        let value = memory.read_word_32(demcr).expect("DEMCR");
        memory.write_word_32(demcr, value | ppb::TRCENA).expect("DEMCR");
    }
    let around = ppb::DWT_PCSR & !0xF;
    arm.write_raw_ap_register(&ap(), CSW::ADDRESS, 0x2300_0002).expect("CSW");
    arm.write_raw_ap_register(&ap(), TAR::ADDRESS, around).expect("TAR");
    let mut samples = [0; 3];
    arm.read_raw_ap_register_repeated(&ap(), BD3::ADDRESS, &mut samples).expect("samples");
    take_stats(&dap);
    let mut more = [0; 100];
    arm.read_raw_ap_register_repeated(&ap(), BD3::ADDRESS, &mut more).expect("samples");
    let stats = take_stats(&dap);
    assert_eq!((stats.transfers(), stats.bd_reads, stats.pcsr_reads), (100, 100, 100));
    assert_eq!(samples, [0x100, 0x104, 0x108]);
    assert_eq!(lock(&dap).debug_registers().demcr, ppb::TRCENA, "left on by this test");
}

#[test]
fn a_probe_is_found_by_its_name_while_it_is_plugged_in() {
    let dap = dap();
    let plugged_in = plug_in("found", SharedDap::clone(&dap));
    let selector: DebugProbeSelector = plugged_in.selector().parse().expect("a selector");
    assert_eq!(plugged_in.selector(), "1209:c0de:found");
    assert!(!Lister::new().list(Some(&selector)).is_empty());
    let mut arm = connect(Lister::new().open(selector.clone()).expect("it is there")).expect("a debug port");
    assert_eq!(words(&mut *arm, 4).expect("words"), first(4));
    drop((arm, plugged_in));
    assert!(Lister::new().open(selector).is_err());
}

/// What probe-rs wraps in the name of a register and of an access port, or does not.
fn dap_error(error: &ArmError) -> Option<DapError> {
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(*found);
        }
        next = error.source();
    }
    None
}

#[test]
fn acknowledgements_are_errors_of_probe_rs() {
    let cases = [
        (Fault::Wait { times: 1 }, DapError::WaitResponse),
        (Fault::BusFault, DapError::FaultResponse),
        (Fault::LinkLoss, DapError::NoAcknowledge),
    ];
    for (fault, expected) in cases {
        let dap = dap();
        let mut arm = in_process(&dap).expect("a debug port");
        lock(&dap).set_injector(Injector::new().at(0, fault));
        let error = words(&mut *arm, 4).expect_err("a fault");
        assert_eq!(dap_error(&error), Some(expected), "{fault:?}: {error:?}");
        lock(&dap).mend();
    }
}

#[test]
fn a_silent_fault_and_lost_power_read_as_0() {
    for (fault, expected) in [(Fault::SilentBusFault, 0xF000_0F20), (Fault::PowerLoss, 0)] {
        let dap = dap();
        let mut arm = in_process(&dap).expect("a debug port");
        let mut memory = arm.memory_interface(&ap()).expect("memory");
        lock(&dap).inject(fault);
        let mut words = [1; 4];
        memory.read_32(u64::from(BASE), &mut words).expect("no error");
        assert_eq!(words, [0; 4]);
        assert_eq!(lock(&dap).read(Port::Debug, 0x4), Ok(expected), "CTRL/STAT tells of {fault:?}");
    }
}

/// A bank whose request was refused counts as selected, so that another register is read then.
#[test]
fn a_bank_is_taken_for_selected_although_it_was_refused() {
    const STKERRCLR: u32 = 1 << 2;
    let dap = dap();
    let mut arm = in_process(&dap).expect("a debug port");
    let mut memory = arm.memory_interface(&ap()).expect("memory");
    lock(&dap).inject(Fault::BusFault);
    memory.read_word_32(u64::from(BASE) + 4).expect_err("the bus refuses it");
    drop(memory);
    arm.read_raw_ap_register(&ap(), IDR::ADDRESS).expect_err("the sticky error is set");
    arm.write_raw_dp_register(DpAddress::Default, Abort::ADDRESS, STKERRCLR).expect("ABORT");
    let read = arm.read_raw_ap_register(&ap(), IDR::ADDRESS).expect("what is taken for IDR");
    assert_eq!(read, 1, "the word that was refused");
}

fn has_sticky_error(arm: &mut dyn ArmDebugInterface) -> Result<bool, ArmError> {
    Ok(Ctrl(arm.read_raw_dp_register(DpAddress::Default, Ctrl::ADDRESS)?).sticky_err())
}

/// By wires as well as in whole transfers.
#[test]
fn a_block_is_read_by_wires() {
    for protocol in [WireProtocol::Swd, WireProtocol::Jtag] {
        let dap = dap();
        let mut arm = by_wires(&dap, protocol).expect("a debug port");
        assert_eq!(words(&mut *arm, 512).expect("2 KiB"), first(512), "{protocol}");
        assert_eq!(take_stats(&dap).halts, 0);
    }
}

/// A word that the bus refuses while the next one is answered WAIT: what was refused is cleared with the overrun.
#[test]
fn by_swd_a_refusal_is_forgotten_where_a_wait_follows() {
    let dap = dap();
    let mut arm = by_wires(&dap, WireProtocol::Swd).expect("a debug port");
    let mut memory = arm.memory_interface(&ap()).expect("memory");
    lock(&dap).set_injector(Injector::new().at(3, Fault::BusFault).at(4, Fault::Wait { times: 1 }));
    let mut words = [0; 8];
    memory.read_32(u64::from(BASE), &mut words).expect("no error");
    assert_ne!(words.as_slice(), first(8), "words that are another's");
    drop(memory);
    assert!(!has_sticky_error(&mut *arm).expect("CTRL/STAT"));
}

#[test]
fn by_jtag_a_refusal_is_not_noticed() {
    let dap = dap();
    let mut arm = by_wires(&dap, WireProtocol::Jtag).expect("a debug port");
    let mut memory = arm.memory_interface(&ap()).expect("memory");
    assert_eq!(memory.read_word_32(0x1000_0000).expect("no error"), 0);
    drop(memory);
    assert!(has_sticky_error(&mut *arm).expect("CTRL/STAT"));
}

#[test]
fn another_chip_and_a_locked_one_are_seen() {
    let dap = dap();
    lock(&dap).inject(Fault::Locked);
    let mut arm = in_process(&dap).expect("a debug port");
    let csw = arm.read_raw_ap_register(&ap(), CSW::ADDRESS).expect("CSW");
    assert_eq!(csw & 1 << 6, 0);
    assert!(words(&mut *arm, 4).is_err());
}

#[test]
fn an_unmodified_probe_rs_reads_over_a_socket() {
    let dir = tempfile::tempdir().expect("a folder");
    let listens =
        [ListenAddress::Tcp("127.0.0.1:0".to_owned()), ListenAddress::Unix(dir.path().join("probe.sock"))];
    for listen in listens {
        let dap = dap();
        let (told, ends) = mpsc::channel();
        let on_end = move |ended: &Result<_, _>, stats: &Stats| {
            told.send((ended.is_ok(), stats.clone())).expect("the test waits");
        };
        let server = Server::start(&listen, Protocol::Glasgow, SharedDap::clone(&dap), on_end);
        let server = server.expect("a server");
        let selector: DebugProbeSelector = server.selector().parse().expect("a selector");
        let mut arm = connect(Lister::new().open(selector).expect("it listens")).expect("a debug port");
        assert_eq!(words(&mut *arm, 512).expect("2 KiB"), first(512));
        drop(arm);
        let (is_ok, stats) = ends.recv().expect("the connection's end");
        assert!(is_ok);
        assert_eq!((stats.drw_reads, stats.halts, stats.dhcsr_writes), (512, 0, vec![]));
    }
}
