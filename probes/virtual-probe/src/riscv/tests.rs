//! The debug module, one access at a time, and by scans.

use proptest::prelude::*;

use super::*;
use crate::riscv::dmi::*;
use crate::shared_riscv;
use crate::tap::host::Host;
use crate::target::Ram;
use crate::{dtm, lock};

const BASE: u32 = 0x8000_0000;
const BLOCK: u32 = SBREADONADDR | SBREADONDATA | SBAUTOINCREMENT | SBACCESS_32;
/// s0 and s1, of which a debugger makes use.
const S0: u32 = GPR0 + 8;
const S1: u32 = GPR0 + 9;

fn riscv(chip: Chip) -> Riscv {
    let mut riscv = Riscv::new(chip, Box::new(Ram::of_words(BASE, 100..200, vec![0x8000_0040])));
    riscv.write(DMCONTROL, DMACTIVE);
    riscv
}

fn halted(chip: Chip) -> Riscv {
    let mut riscv = riscv(chip);
    riscv.write(DMCONTROL, DMACTIVE | HALTREQ);
    riscv.write(DMCONTROL, DMACTIVE);
    riscv
}

impl Riscv {
    fn words(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.read(SBDATA0)).collect()
    }

    fn register(&mut self, number: u32) -> u32 {
        self.write(COMMAND, AARSIZE_32 | TRANSFER | number);
        self.read(DATA0)
    }

    fn set_register(&mut self, number: u32, value: u32) {
        self.write(DATA0, value);
        self.write(COMMAND, AARSIZE_32 | TRANSFER | WRITE | number);
    }

    fn command_error(&mut self) -> u32 {
        self.read(ABSTRACTCS) >> 8 & 7
    }

    /// What abstractcs says after a program, which it forgets.
    fn execute(&mut self, program: &[u32]) -> u32 {
        for (address, word) in (PROGBUF0..).zip(program) {
            self.write(address, *word);
        }
        self.write(COMMAND, POSTEXEC);
        let error = self.command_error();
        self.write(ABSTRACTCS, 7 << 8);
        error
    }
}

#[test]
fn words_come_by_the_system_bus_while_the_hart_runs() {
    let mut riscv = riscv(Chip::default());
    assert_eq!(riscv.read(SBCS), SBVERSION | SBACCESS_32 | 32 << 5 | 0b111);
    riscv.write(SBCS, BLOCK);
    riscv.write(SBADDRESS0, BASE + 8);
    assert_eq!(riscv.words(4), [102, 103, 104, 105]);
    assert_eq!(riscv.read(SBADDRESS0), BASE + 28, "one access ahead");
    riscv.write(SBCS, SBACCESS_32);
    assert_eq!(riscv.words(2), [106, 106], "nothing is read on");
    assert_eq!((riscv.stats().halts, riscv.stats().system_bus_reads), (0, 5));
    assert_ne!(riscv.read(DMSTATUS) & RUNNING, 0);
}

#[test]
fn bytes_and_writes_go_over_the_system_bus() {
    let mut riscv = riscv(Chip::default());
    riscv.write(SBCS, SBAUTOINCREMENT);
    riscv.write(SBADDRESS0, BASE + 1);
    riscv.write(SBDATA0, 0xFFFF_FF01);
    riscv.write(SBDATA0, 2);
    riscv.write(SBCS, SBREADONADDR | SBACCESS_32);
    riscv.write(SBADDRESS0, BASE);
    assert_eq!(riscv.words(1), [0x0002_0164]);
    assert_eq!((riscv.stats().memory_writes, riscv.stats().system_bus_writes), (2, 2));
    riscv.write(SBCS, SBREADONADDR | 1 << 17);
    riscv.write(SBADDRESS0, BASE + 2);
    assert_eq!(riscv.words(1), [2]);
}

#[test]
fn an_error_of_the_system_bus_stays_until_it_is_cleared() {
    let mut riscv = riscv(Chip::default());
    let faults = [(BLOCK, BASE - 4, 2), (BLOCK, BASE + 2, 3), (BLOCK | 3 << 17, BASE, 4)];
    for (sbcs, address, error) in faults {
        riscv.write(SBCS, sbcs);
        riscv.write(SBADDRESS0, address);
        assert_eq!((riscv.read(SBCS) & SBERROR) >> 12, error);
        assert_eq!(riscv.words(1), [0]);
        riscv.write(SBADDRESS0, BASE);
        assert_eq!(riscv.words(1), [0], "no access is made");
        riscv.write(SBCS, SBERROR);
        assert_eq!(riscv.read(SBCS) & SBERROR, 0);
    }
    riscv.write(SBCS, BLOCK);
    riscv.inject(Fault::BusFault);
    riscv.write(SBADDRESS0, BASE);
    assert_eq!((riscv.read(SBCS) & SBERROR) >> 12, 2);
}

#[test]
fn what_finds_the_bus_busy_is_lost() {
    let mut riscv = riscv(Chip::default());
    riscv.write(SBCS, BLOCK);
    riscv.write(SBADDRESS0, BASE);
    riscv.inject(Fault::SystemBusBusy { times: 2 });
    assert_eq!(riscv.words(3), [100, 100, 100]);
    assert_ne!(riscv.read(SBCS) & SBBUSYERROR, 0);
    riscv.write(SBCS, BLOCK | SBBUSYERROR);
    riscv.write(SBADDRESS0, BASE + 40);
    assert_eq!(riscv.read(SBADDRESS0), BASE + 4, "the second time");
    riscv.write(SBCS, BLOCK | SBBUSYERROR);
    assert_eq!(riscv.words(2), [100, 101]);
}

#[test]
fn what_a_chip_does_not_have_reads_as_nothing() {
    let mut riscv = halted(Chip { system_bus: false, progbuf_words: 0 });
    for address in [SBCS, SBADDRESS0, SBDATA0, PROGBUF0, 0x7F] {
        riscv.write(address, u32::MAX);
        assert_eq!(riscv.read(address), 0, "{address:#x}");
    }
    assert_eq!(riscv.read(DMSTATUS) & IMPEBREAK, 0);
    riscv.write(COMMAND, POSTEXEC);
    assert_eq!(riscv.command_error(), 2);
    assert_eq!(Riscv::new(Chip { system_bus: true, progbuf_words: 99 }, ram()).read(ABSTRACTCS) >> 24, 16);
}

fn ram() -> Box<Ram> {
    Box::new(Ram::of_words(0, [], vec![]))
}

#[test]
fn a_halt_and_a_resume_are_counted_once_and_told() {
    let mut riscv = riscv(Chip::default());
    riscv.write(DMCONTROL, DMACTIVE | HALTREQ);
    riscv.write(DMCONTROL, DMACTIVE | HALTREQ);
    assert_eq!(riscv.read(DMSTATUS) & (HALTED | RUNNING | RESUMEACK), HALTED);
    assert_eq!((riscv.read(HALTSUM0), riscv.read(DMCONTROL)), (1, DMACTIVE));
    riscv.write(DMCONTROL, DMACTIVE | RESUMEREQ);
    riscv.write(DMCONTROL, DMACTIVE);
    assert_eq!(riscv.read(DMSTATUS) & (HALTED | RUNNING | RESUMEACK), RUNNING | RESUMEACK);
    assert_eq!((riscv.stats().halts, riscv.stats().resumes), (1, 1));
    riscv.write(DMCONTROL, DMACTIVE | HARTSEL | HALTREQ);
    assert_eq!(riscv.read(DMSTATUS) & (NONEXISTENT | HALTED | RUNNING), NONEXISTENT);
    assert_eq!(riscv.stats().halts, 1, "there is no such hart");
}

#[test]
fn registers_move_while_the_hart_is_halted() {
    let mut riscv = halted(Chip::default());
    assert_eq!([riscv.register(S0), riscv.register(GPR0)], [0xC0DE_0008, 0]);
    assert_eq!(riscv.register(DPC.into()), 0x8000_0040);
    assert_eq!(riscv.register(DCSR.into()), 0x4000_00C3, "a debugger has asked for it");
    assert_eq!(riscv.register(MISA.into()), 0x4000_1105);
    riscv.set_register(S0, 7);
    assert_eq!((riscv.register(S0), riscv.command_error()), (7, 0));
    riscv.register(0x7A0);
    assert_eq!(riscv.command_error(), 2, "no such register");
    riscv.set_register(S0, 8);
    riscv.write(ABSTRACTCS, 7 << 8);
    assert_eq!(riscv.register(S0), 7, "nothing is executed after an error");
    riscv.write(DMCONTROL, DMACTIVE | RESUMEREQ);
    riscv.register(S0);
    assert_eq!(riscv.command_error(), 4, "it runs");
}

#[test]
fn registers_are_to_be_put_back_before_the_hart_runs_on() {
    for (s1, left_changed) in [(0xC0DE_0009, 0), (0xC0DE_0008, 1)] {
        let mut riscv = halted(Chip::default());
        riscv.set_register(S0, 1);
        riscv.set_register(S0, 0xC0DE_0008);
        riscv.set_register(S1, s1);
        riscv.write(DMCONTROL, DMACTIVE | RESUMEREQ);
        assert_eq!(riscv.stats().registers_left_changed, left_changed);
        riscv.write(DMCONTROL, DMACTIVE | HALTREQ);
        assert_eq!(riscv.register(S1), 0xC0DE_0009, "the target's own");
    }
}

#[test]
fn a_program_reads_and_writes_memory() {
    let mut riscv = halted(Chip::default());
    riscv.set_register(S0, BASE);
    // lw s1, 4(s0); addi s0, s0, 4
    assert_eq!(riscv.execute(&[0x0044_2483, 0x0044_0413, 0x0010_0073]), 0);
    assert_eq!([riscv.register(S0), riscv.register(S1)], [BASE + 4, 101]);
    riscv.set_register(S1, 0xFFFF_8081);
    // sw s1, 8(s0); lb s1, 8(s0); fence; fence.i
    assert_eq!(riscv.execute(&[0x0094_2423, 0x0084_0483, 0x0FF0_000F, 0x0000_100F, 0x0010_0073]), 0);
    assert_eq!((riscv.register(S1), riscv.stats().memory_writes), (0xFFFF_FF81, 1));
    // lhu s1, 8(s0); sb s1, -4(s0); lw s1, -4(s0)
    assert_eq!(riscv.execute(&[0x0084_5483, 0xFE94_0E23, 0xFFC4_2483, 0x0010_0073]), 0);
    assert_eq!(riscv.register(S1), 0x81);
    // csrr s1, misa; csrw dscratch0, s1
    assert_eq!(riscv.execute(&[0x3010_24F3, 0x7B24_9073, 0x0010_0073]), 0);
    assert_eq!(riscv.register(DSCRATCH0.into()), 0x4000_1105);
}

#[test]
fn what_a_program_cannot_do_is_an_exception() {
    let mut riscv = halted(Chip::default());
    riscv.set_register(S0, BASE);
    // lw s1, -4(s0); lw s1, 1(s0); csrr s1, 0x7A0; j 0; nothing; lwu s1, 0(s0); ld s1, 0(s0)
    for word in [0xFFC4_2483, 0x0014_2483, 0x7A00_24F3, 0x6F, 0, 0x0004_6483, 0x0004_3483] {
        assert_eq!(riscv.execute(&[word, 0x0010_0073]), 3, "{word:#x}");
    }
    riscv.inject(Fault::BusFault);
    assert_eq!(riscv.execute(&[0x0004_2483, 0x0010_0073]), 3);
    assert_eq!(riscv.execute(&[0x0004_2483, 0x0010_0073]), 0);
}

#[test]
fn a_command_is_executed_again_where_that_is_asked_for() {
    let mut riscv = halted(Chip { system_bus: false, progbuf_words: 2 });
    riscv.set_register(S0, BASE);
    riscv.write(PROGBUF0, 0x0004_2483);
    riscv.write(PROGBUF0 + 1, 0x0044_0413);
    riscv.write(COMMAND, AARSIZE_32 | TRANSFER | POSTEXEC | S1);
    riscv.write(ABSTRACTAUTO, u32::MAX);
    assert_eq!(riscv.read(ABSTRACTAUTO), 0x0003_0003, "what there is of them");
    riscv.write(ABSTRACTAUTO, 1);
    riscv.read(DATA0);
    assert_eq!([riscv.read(DATA0), riscv.read(DATA0), riscv.read(DATA1)], [100, 101, 0]);
    riscv.write(ABSTRACTAUTO, 0);
    assert_eq!((riscv.read(DATA0), riscv.read(DATA0)), (102, 102));
}

#[test]
fn a_reset_is_told_until_it_is_acknowledged_and_caught_where_asked() {
    let mut riscv = riscv(Chip::default());
    assert_ne!(riscv.read(DMSTATUS) & HAVERESET, 0, "power came");
    riscv.write(DMCONTROL, DMACTIVE | ACKHAVERESET);
    assert_eq!(riscv.read(DMSTATUS) & HAVERESET, 0);
    riscv.inject(Fault::TargetReset);
    assert_eq!(riscv.read(DMSTATUS) & (HAVERESET | RUNNING), HAVERESET | RUNNING);
    riscv.write(DMCONTROL, DMACTIVE | NDMRESET);
    assert_eq!(riscv.read(DMSTATUS) & (RUNNING | HALTED | UNAVAIL), UNAVAIL);
    riscv.write(DMCONTROL, DMACTIVE | SETRESETHALTREQ);
    assert_eq!(riscv.read(DMSTATUS) & (RUNNING | HALTED | UNAVAIL), RUNNING, "the request came later");
    riscv.write(DMCONTROL, DMACTIVE | NDMRESET);
    riscv.write(DMCONTROL, DMACTIVE);
    assert_eq!(riscv.read(DMSTATUS) & (RUNNING | HALTED | UNAVAIL), HALTED);
    assert_eq!((riscv.stats().resets, riscv.stats().halts), (3, 1));
}

#[test]
fn a_step_ends_halted() {
    let mut riscv = halted(Chip::default());
    riscv.set_register(DCSR.into(), STEP | EBREAKS | 3);
    riscv.write(DMCONTROL, DMACTIVE | RESUMEREQ);
    assert_eq!(riscv.read(DMSTATUS) & (HALTED | RESUMEACK), HALTED | RESUMEACK);
    assert_eq!((riscv.stats().steps, riscv.stats().resumes), (1, 0));
    assert_eq!(riscv.debug_registers().dcsr, 0x4000_B107);
}

#[test]
fn a_loss_of_power_takes_what_the_module_held() {
    let mut riscv = halted(Chip::default());
    riscv.write(SBCS, BLOCK);
    riscv.set_register(DCSR.into(), EBREAKS | 3);
    riscv.inject(Fault::PowerLoss);
    assert_eq!((riscv.read(DMCONTROL), riscv.is_halted()), (0, false));
    riscv.write(SBADDRESS0, BASE);
    assert_eq!((riscv.read(SBDATA0), riscv.read(SBCS) & SBVERSION), (0, SBVERSION));
    assert_eq!(riscv.debug_registers().dcsr & EBREAKS, 0);
    riscv.write(DMCONTROL, DMACTIVE);
    riscv.write(SBCS, BLOCK);
    riscv.write(SBADDRESS0, BASE);
    assert_eq!(riscv.words(1), [100]);
}

#[test]
fn a_module_that_loses_its_power_holds_nothing_in_reset() {
    let mut riscv = riscv(Chip::default());
    riscv.write(DMCONTROL, DMACTIVE | NDMRESET);
    riscv.inject(Fault::PowerLoss);
    assert_eq!(riscv.read(DMSTATUS) & (RUNNING | HALTED | UNAVAIL), RUNNING);
    assert_eq!((riscv.stats().resets, riscv.stats().halts), (1, 0));
}

#[test]
fn a_locked_chip_is_out_of_reach() {
    let mut riscv = riscv(Chip::default());
    riscv.inject(Fault::Locked);
    riscv.write(DMCONTROL, DMACTIVE | HALTREQ);
    riscv.write(SBCS, BLOCK);
    assert_eq!((riscv.read(DMSTATUS), riscv.read(SBCS), riscv.stats().halts), (VERSION, 0, 0));
    riscv.mend();
    assert_ne!(riscv.read(DMSTATUS) & AUTHENTICATED, 0);
}

const DMI: u8 = 0x11;
const DTMCS: u8 = 0x10;
const NOTHING: u64 = 0;
const READ: u64 = 1;
const DO_WRITE: u64 = 2;

impl Host<Riscv> {
    fn connect() -> Self {
        let mut host = Self::new(shared_riscv(Chip::default(), Ram::of_words(BASE, 100..200, vec![])));
        host.instruction(DMI);
        host.scan(DO_WRITE, DMCONTROL, DMACTIVE);
        host
    }

    /// The status and value of the operation before.
    fn scan(&mut self, op: u64, address: u8, value: u32) -> (u64, u32) {
        let out = self.data(u64::from(address) << 34 | u64::from(value) << 2 | op, 41);
        (out & 3, u32::try_from(out >> 2 & 0xFFFF_FFFF).expect("32 bits"))
    }
}

#[test]
fn scans_identify_the_chip_and_carry_operations() {
    let mut host = Host::connect();
    host.reset();
    assert_eq!(host.data(0, 32), u64::from(dtm::IDCODE));
    host.instruction(DTMCS);
    assert_eq!(host.data(0, 32), 1 << 12 | 7 << 4 | 1);
    host.instruction(DMI);
    host.scan(READ, DMSTATUS, 0);
    let (status, value) = host.scan(DO_WRITE, SBCS, BLOCK);
    assert_eq!((status, value & (RUNNING | VERSION)), (0, RUNNING | VERSION));
    host.scan(DO_WRITE, SBADDRESS0, BASE);
    host.scan(READ, SBDATA0, 0);
    assert_eq!(host.scan(READ, SBDATA0, 0), (0, 100));
    assert_eq!([host.scan(NOTHING, 0, 0), host.scan(NOTHING, 0, 0)], [(0, 101), (0, 101)]);
    let stats = lock(&host.chip).take_stats();
    assert_eq!((stats.dmi_scans, stats.dmi_reads, stats.dmi_writes, stats.halts), (8, 3, 3, 0));
}

#[test]
fn an_operation_in_progress_is_done_and_those_after_it_are_not() {
    let mut host = Host::connect();
    host.scan(DO_WRITE, SBCS, BLOCK);
    host.scan(DO_WRITE, SBADDRESS0, BASE);
    lock(&host.chip).inject(Fault::Wait { times: 1 });
    host.scan(READ, SBDATA0, 0);
    assert_eq!([host.scan(READ, SBDATA0, 0).0, host.scan(READ, SBDATA0, 0).0], [3, 3]);
    host.instruction(DTMCS);
    assert_eq!(host.data(1 << 16, 32) >> 10 & 3, 3);
    host.instruction(DMI);
    assert_eq!([host.scan(READ, SBDATA0, 0), host.scan(NOTHING, 0, 0)], [(0, 100), (0, 101)]);
    host.scan(3, 0, 0);
    assert_eq!(host.scan(NOTHING, 0, 0).0, 2, "no such operation");
}

#[test]
fn faults_of_the_wire_and_of_identification_last_until_they_are_mended() {
    let mut host = Host::connect();
    lock(&host.chip).set_injector(Injector::new().at(1, Fault::LinkLoss));
    host.scan(READ, DMSTATUS, 0);
    assert_eq!(host.scan(READ, DMCONTROL, 0).0, 0);
    assert_eq!(host.scan(DO_WRITE, DMCONTROL, HALTREQ), (3, u32::MAX));
    lock(&host.chip).mend();
    lock(&host.chip).inject(Fault::WrongIdcode(0x1234_5679));
    host.reset();
    assert_eq!((host.data(0, 32), lock(&host.chip).stats().halts), (0x1234_5679, 0));
    lock(&host.chip).mend();
    host.reset();
    assert_eq!(host.data(0, 32), u64::from(dtm::IDCODE));
}

proptest! {
    #[test]
    fn no_operation_panics(
        operations in proptest::collection::vec((0_u8..0x48, any::<u32>(), any::<bool>()), 0..200),
        progbuf_words in 0_usize..20,
        system_bus in any::<bool>(),
    ) {
        let mut riscv = halted(Chip { system_bus, progbuf_words });
        for (address, value, is_read) in operations {
            if is_read {
                riscv.read(address);
            } else {
                riscv.write(address, value | u32::from(address == DMCONTROL));
            }
        }
    }

    #[test]
    fn no_instruction_panics(words in proptest::collection::vec(any::<u32>(), 0..8)) {
        let mut riscv = halted(Chip::default());
        riscv.set_register(S0, BASE);
        // Of loads and stores too, which would be few.
        for word in words {
            riscv.execute(&[word & !0x7F | 0x03, word & !0x7F | 0x23, word]);
        }
    }
}
