//! The rules of the debug port, and each fault.

use super::*;
use crate::arm::ppb;
use crate::target::Ram;

const ABORT: u8 = 0x0;
const SELECT: u8 = 0x8;
const RDBUFF: u8 = 0xC;
const AP_CSW: u8 = 0x0;
const AP_TAR: u8 = 0x4;
const AP_DRW: u8 = 0xC;
const POWERED: u32 = 0xF000_0000;
const BASE: u32 = 0x2000_0000;

fn unpowered() -> Dap {
    Dap::new(Box::new(Ram::of_words(BASE, 100..356, vec![0x100])))
}

/// Powered up, with TAR at the first word.
fn powered() -> Dap {
    let mut dap = unpowered();
    power_up(&mut dap);
    dap
}

fn power_up(dap: &mut Dap) {
    dap.write(Port::Debug, CTRL_STAT, POWER_REQUESTS).expect("power up");
    dap.write(Port::Access, AP_CSW, 0x2300_0012).expect("CSW");
    dap.write(Port::Access, AP_TAR, BASE).expect("TAR");
}

fn next_word(dap: &mut Dap) -> Result<u32, Ack> {
    dap.read(Port::Access, AP_DRW)
}

fn ctrl_stat(dap: &mut Dap) -> u32 {
    dap.read(Port::Debug, CTRL_STAT).expect("always answered")
}

#[test]
fn registers_identify_the_ports() {
    let mut dap = powered();
    assert_eq!(dap.read(Port::Debug, 0), Ok(DPIDR));
    dap.write(Port::Debug, SELECT, 0xF0).expect("SELECT");
    assert_eq!([0x4, 0x8, 0xC].map(|a| dap.read(Port::Access, a)), [Ok(0), Ok(0xE00F_F003), Ok(mem_ap::IDR)]);
    dap.write(Port::Debug, SELECT, 0x0100_00F0).expect("SELECT");
    assert_eq!(dap.read(Port::Access, 0xC), Ok(0), "there is one access port");
}

#[test]
fn power_is_acknowledged_and_needed() {
    let mut dap = unpowered();
    assert_eq!((ctrl_stat(&mut dap), next_word(&mut dap)), (0, Err(Ack::Fault)));
    dap.write(Port::Debug, ABORT, STKERRCLR).expect("always answered");
    power_up(&mut dap);
    assert_eq!((ctrl_stat(&mut dap), next_word(&mut dap)), (POWERED, Ok(100)));
    dap.write(Port::Debug, CTRL_STAT, 0).expect("power down");
    assert_eq!(ctrl_stat(&mut dap), 0);
}

#[test]
fn banks_are_selected() {
    let mut dap = powered();
    dap.write(Port::Debug, SELECT, 0x1).expect("SELECT");
    assert_eq!(ctrl_stat(&mut dap), DLCR);
    dap.write(Port::Debug, CTRL_STAT, 0).expect("DLCR");
    dap.write(Port::Debug, SELECT, 0x10).expect("SELECT");
    assert_eq!(ctrl_stat(&mut dap), POWERED);
    assert_eq!([0x0, 0x4, 0x8, 0xC].map(|a| dap.read(Port::Access, a)), [Ok(100), Ok(101), Ok(102), Ok(103)]);
    assert_eq!((dap.stats().bd_reads, dap.stats().drw_reads), (4, 0));
}

#[test]
fn the_last_read_is_posted() {
    let mut dap = powered();
    assert_eq!([next_word(&mut dap), next_word(&mut dap)], [Ok(100), Ok(101)]);
    assert_eq!((dap.read(Port::Debug, RDBUFF), dap.posted()), (Ok(101), 101));
}

#[test]
fn after_a_bus_fault_all_is_refused_until_it_is_cleared() {
    let mut dap = powered();
    dap.write(Port::Access, AP_TAR, 0x1000).expect("TAR");
    assert_eq!(next_word(&mut dap), Err(Ack::Fault));
    assert_eq!(dap.read(Port::Access, AP_TAR), Err(Ack::Fault));
    assert_eq!(dap.read(Port::Debug, RDBUFF), Err(Ack::Fault));
    assert_eq!(dap.write(Port::Debug, SELECT, 0), Err(Ack::Fault));
    assert_eq!(dap.read(Port::Debug, 0), Ok(DPIDR));
    assert_eq!(ctrl_stat(&mut dap), POWERED | STICKYERR);
    dap.write(Port::Debug, ABORT, 0x1A).expect("always answered");
    assert!(dap.has_sticky_error(), "other errors were cleared");
    dap.write(Port::Debug, ABORT, STKERRCLR).expect("always answered");
    dap.write(Port::Access, AP_TAR, BASE).expect("TAR");
    assert_eq!((ctrl_stat(&mut dap), next_word(&mut dap)), (POWERED, Ok(100)));
}

#[test]
fn transfers_are_counted_also_refused_ones() {
    let mut dap = powered();
    dap.inject(Fault::LinkLoss);
    assert_eq!(next_word(&mut dap), Err(Ack::None));
    let stats = dap.take_stats();
    let counts = (stats.dp_writes, stats.ap_writes, stats.csw_writes, stats.tar_writes, stats.drw_reads);
    assert_eq!((counts, stats.transfers(), stats.faults), ((1, 2, 1, 1, 1), 4, 1));
    assert_eq!(*dap.stats(), Stats::default());
}

#[test]
fn waits_are_as_many_as_asked_for() {
    let mut dap = powered();
    dap.inject(Fault::Wait { times: 2 });
    assert_eq!(ctrl_stat(&mut dap), POWERED, "the debug port is not busy");
    let answers = [next_word(&mut dap), next_word(&mut dap), next_word(&mut dap)];
    assert_eq!(answers, [Err(Ack::Wait), Err(Ack::Wait), Ok(100)]);
}

#[test]
fn a_bus_fault_waits_for_an_access_of_memory() {
    let mut dap = powered();
    dap.set_injector(Injector::new().at(1, Fault::BusFault));
    assert_eq!(next_word(&mut dap), Ok(100));
    assert_eq!(dap.read(Port::Access, AP_TAR), Ok(BASE + 4));
    assert_eq!((next_word(&mut dap), dap.has_sticky_error()), (Err(Ack::Fault), true));
    dap.write(Port::Debug, ABORT, STKERRCLR).expect("always answered");
    assert_eq!(next_word(&mut dap), Ok(101));
}

#[test]
fn a_silent_bus_fault_reads_as_0_until_it_is_cleared() {
    let mut dap = powered();
    dap.inject(Fault::SilentBusFault);
    assert_eq!([next_word(&mut dap), next_word(&mut dap)], [Ok(0), Ok(0)]);
    assert_eq!(dap.write(Port::Access, AP_TAR, BASE + 8), Ok(()), "and is lost");
    assert_eq!(ctrl_stat(&mut dap), POWERED | STICKYERR);
    dap.write(Port::Debug, ABORT, STKERRCLR).expect("always answered");
    assert_eq!(next_word(&mut dap), Ok(100));
}

#[test]
fn a_lost_link_stays_lost_until_it_is_mended() {
    let mut dap = powered();
    dap.inject(Fault::LinkLoss);
    assert_eq!([dap.read(Port::Debug, 0), dap.read(Port::Debug, 0)], [Err(Ack::None); 2]);
    dap.mend();
    assert_eq!((dap.read(Port::Debug, 0), next_word(&mut dap)), (Ok(DPIDR), Ok(100)));
}

#[test]
fn another_chip_answers_until_it_is_mended() {
    let mut dap = powered();
    dap.inject(Fault::WrongIdcode(0x0BC1_1477));
    assert_eq!(dap.read(Port::Debug, 0), Ok(0x0BC1_1477));
    dap.mend();
    assert_eq!(dap.read(Port::Debug, 0), Ok(DPIDR));
}

#[test]
fn lost_power_reads_as_0_until_it_is_requested_again() {
    let mut dap = powered();
    dap.write(Port::Access, AP_TAR, ppb::DEMCR).expect("TAR");
    dap.write(Port::Access, AP_DRW, ppb::TRCENA).expect("DEMCR");
    assert_eq!(dap.debug_registers().demcr, ppb::TRCENA);
    dap.inject(Fault::PowerLoss);
    dap.mend();
    assert_eq!((ctrl_stat(&mut dap), next_word(&mut dap)), (0, Ok(0)));
    assert_eq!(dap.debug_registers().demcr, 0);
    power_up(&mut dap);
    assert_eq!((ctrl_stat(&mut dap), next_word(&mut dap)), (POWERED, Ok(100)));
}

#[test]
fn a_locked_chip_says_so_and_gives_nothing() {
    let mut dap = powered();
    dap.inject(Fault::Locked);
    let device_en = 1 << 6;
    assert_eq!(dap.read(Port::Access, AP_CSW).expect("CSW") & device_en, 0);
    assert_eq!(next_word(&mut dap), Err(Ack::Fault));
    dap.mend();
    dap.write(Port::Debug, ABORT, STKERRCLR).expect("always answered");
    assert_eq!(dap.read(Port::Access, AP_CSW).expect("CSW") & device_en, device_en);
    assert_eq!(next_word(&mut dap), Ok(100));
}

#[test]
fn a_reset_of_the_target_leaves_the_link() {
    let mut dap = powered();
    dap.write(Port::Access, AP_DRW, 7).expect("a word");
    dap.inject(Fault::TargetReset);
    dap.write(Port::Access, AP_TAR, BASE).expect("TAR");
    assert_eq!((next_word(&mut dap), dap.stats().resets, dap.stats().halts), (Ok(100), 1, 0));
}

#[test]
fn a_target_that_is_gone_does_not_acknowledge() {
    struct Gone;
    impl Target for Gone {
        fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), crate::TargetError> {
            Err(crate::TargetError::Unsupported("read what is gone"))
        }
        fn write(&mut self, _: u32, _: &[u8]) -> Result<(), crate::TargetError> {
            Ok(())
        }
        fn pc(&mut self) -> Result<u32, crate::TargetError> {
            Ok(0)
        }
        fn halt(&mut self) -> Result<(), crate::TargetError> {
            Ok(())
        }
        fn resume(&mut self) -> Result<(), crate::TargetError> {
            Ok(())
        }
        fn step(&mut self) -> Result<(), crate::TargetError> {
            Ok(())
        }
        fn reset(&mut self) -> Result<(), crate::TargetError> {
            Ok(())
        }
        fn read_register(&mut self, _: u8) -> Result<u32, crate::TargetError> {
            Ok(0)
        }
        fn write_register(&mut self, _: u8, _: u32) -> Result<(), crate::TargetError> {
            Ok(())
        }
    }
    let mut dap = Dap::new(Box::new(Gone));
    power_up(&mut dap);
    assert_eq!(next_word(&mut dap), Err(Ack::None));
    let stats = dap.stats();
    assert_eq!(stats.last_target_error.as_deref(), Some("read what is gone: this target cannot do it"));
}
