//! The processor's registers, one access at a time.

use super::*;
use crate::target::Ram;

struct Machine {
    core: CortexM,
    stats: Stats,
}

impl Machine {
    fn new() -> Self {
        let ram = Ram::of_words(0x2000_0000, [0x0403_0201, 0], vec![0x100, 0x104]);
        Self { core: CortexM::new(Box::new(ram)), stats: Stats::default() }
    }

    fn read(&mut self, address: u32) -> u32 {
        let mut word = [0; 4];
        self.core.read(address, &mut word, &mut self.stats).expect("a word");
        u32::from_le_bytes(word)
    }

    fn write(&mut self, address: u32, value: u32) {
        self.core.write(address, &value.to_le_bytes(), &mut self.stats).expect("a word");
    }

    fn control(&mut self, bits: u32) {
        self.write(ppb::DHCSR, ppb::DBGKEY | bits);
    }
}

#[test]
fn a_halt_is_a_change_and_counted_once() {
    let mut machine = Machine::new();
    machine.control(C_HALT);
    assert_eq!((machine.stats.halts, machine.read(ppb::DHCSR) & C_HALT), (0, 0), "debugging is not enabled");
    machine.control(C_DEBUGEN | C_HALT);
    machine.control(C_DEBUGEN | C_HALT);
    let dhcsr = machine.read(ppb::DHCSR);
    assert_eq!(dhcsr & (ppb::S_HALT | S_RETIRE_ST | 0xF), ppb::S_HALT | C_DEBUGEN | C_HALT);
    assert_eq!(machine.read(ppb::DFSR), DFSR_HALTED);
    machine.write(ppb::DFSR, DFSR_HALTED);
    assert_eq!(machine.read(ppb::DFSR), 0);
    machine.control(C_DEBUGEN);
    assert_eq!((machine.stats.halts, machine.stats.resumes, machine.stats.dhcsr_writes.len()), (1, 1, 4));
    assert!(!machine.core.is_halted());
}

#[test]
fn a_step_ends_halted() {
    let mut machine = Machine::new();
    machine.control(C_DEBUGEN | C_STEP);
    assert_eq!(machine.stats.steps, 0, "it is not halted");
    machine.control(C_DEBUGEN | C_HALT);
    machine.control(C_DEBUGEN | C_STEP);
    assert_eq!((machine.stats.steps, machine.stats.resumes), (1, 0));
    assert_ne!(machine.read(ppb::DHCSR) & ppb::S_HALT, 0);
}

#[test]
fn dhcsr_has_a_key() {
    let mut machine = Machine::new();
    machine.write(ppb::DHCSR, C_DEBUGEN | C_HALT);
    assert_eq!((machine.stats.halts, machine.stats.dhcsr_writes.as_slice()), (0, &[3][..]));
}

#[test]
fn program_counters_are_sampled_while_dwt_is_on_and_the_processor_runs() {
    let mut machine = Machine::new();
    assert_eq!(machine.read(ppb::DWT_PCSR), 0);
    machine.write(ppb::DEMCR, TRCENA);
    assert_eq!([machine.read(ppb::DWT_PCSR), machine.read(ppb::DWT_PCSR)], [0x100, 0x104]);
    machine.control(C_DEBUGEN | C_HALT);
    assert_eq!(machine.read(ppb::DWT_PCSR), u32::MAX);
    assert_eq!((machine.stats.pcsr_reads, machine.stats.demcr_writes.as_slice()), (4, &[TRCENA][..]));
}

#[test]
fn registers_move_by_dcrdr() {
    let mut machine = Machine::new();
    machine.write(ppb::DCRDR, 77);
    machine.write(ppb::DCRSR, REGWNR | 3);
    machine.write(ppb::DCRDR, 0);
    machine.write(ppb::DCRSR, 3);
    assert_eq!(machine.read(ppb::DCRDR), 77);
    machine.write(ppb::DCRSR, REGWNR | 15);
    assert_eq!(machine.stats.target_errors, 1, "its program counter is a list");
}

#[test]
fn a_reset_is_told_once_and_caught_where_asked() {
    let mut machine = Machine::new();
    machine.write(0x2000_0004, 9);
    machine.write(ppb::AIRCR, ppb::SYSRESETREQ);
    assert_eq!(machine.stats.resets, 0, "without its key");
    machine.write(ppb::AIRCR, ppb::VECTKEY | ppb::SYSRESETREQ);
    assert_eq!((machine.stats.resets, machine.read(0x2000_0004), machine.stats.halts), (1, 0, 0));
    let told = [machine.read(ppb::DHCSR), machine.read(ppb::DHCSR)].map(|dhcsr| dhcsr & ppb::S_RESET_ST);
    assert_eq!(told, [ppb::S_RESET_ST, 0]);
    machine.control(C_DEBUGEN);
    machine.write(ppb::DEMCR, ppb::VC_CORERESET);
    machine.write(ppb::AIRCR, ppb::VECTKEY | ppb::SYSRESETREQ);
    assert!(machine.core.is_halted() && machine.stats.halts == 1);
    assert_eq!(machine.read(ppb::DFSR), DFSR_VCATCH);
}

#[test]
fn a_processor_in_reset_is_neither_halted_nor_let_run_until_it_is_released() {
    let mut machine = Machine::new();
    machine.core.release(&mut machine.stats);
    assert_eq!(machine.stats.resets, 0, "it was not held");
    machine.core.hold(&mut machine.stats);
    machine.core.hold(&mut machine.stats);
    assert_ne!(machine.read(ppb::DHCSR) & ppb::S_RESET_ST, 0);
    machine.control(C_DEBUGEN | C_HALT);
    assert!(!machine.core.is_halted());
    machine.write(ppb::DEMCR, ppb::VC_CORERESET);
    machine.core.release(&mut machine.stats);
    assert!(machine.core.is_halted());
    machine.core.hold(&mut machine.stats);
    assert!(!machine.core.is_halted());
    machine.write(ppb::DEMCR, 0);
    machine.core.release(&mut machine.stats);
    assert!(!machine.core.is_halted());
    let Stats { halts, resumes, resets, .. } = machine.stats;
    assert_eq!((halts, resumes, resets), (1, 1, 2));
}

#[test]
fn comparators_and_switches_are_in_the_snapshot() {
    let mut machine = Machine::new();
    let before = machine.core.debug_registers().clone();
    machine.write(ppb::FP_COMP0 + 4 * 7, 0x101);
    machine.write(ppb::FP_COMP0 + 4 * 8, 0x102);
    machine.write(ppb::DWT_COMP0 + 16 * 3 + 8, 5);
    machine.write(ppb::DWT_COMP0 + 12, 6);
    machine.write(ppb::FP_CTRL, 1);
    machine.write(ppb::DWT_CTRL, u32::MAX);
    let after = machine.core.debug_registers();
    assert_ne!(before, *after);
    assert_eq!(
        (after.fp_comparators[7], after.dwt_comparators),
        (0x101, {
            let mut comparators = [[0; 3]; 4];
            comparators[3][2] = 5;
            comparators
        })
    );
    assert_eq!((after.fp_ctrl, after.dwt_ctrl), (0x260, 0x407F_FFFF), "FP_CTRL has a key");
    assert_eq!((machine.read(ppb::FP_COMP0 + 4 * 7), machine.read(ppb::DWT_COMP0 + 16 * 3 + 8)), (0x101, 5));
    machine.write(ppb::FP_CTRL, FP_KEY | 1);
    assert_eq!(machine.read(ppb::FP_CTRL), 0x261);
}

#[test]
fn bytes_of_registers_are_in_their_lanes() {
    let mut machine = Machine::new();
    let mut half = [0; 2];
    machine.core.read(ppb::CPUID + 2, &mut half, &mut machine.stats).expect("half a word");
    assert_eq!(half, [0x2F, 0x41]);
    machine.core.read(0x2000_0001, &mut half, &mut machine.stats).expect("half a word");
    assert_eq!(half, [2, 3]);
    machine.core.write(ppb::DEMCR, &[1], &mut machine.stats).expect("ignored");
    assert_eq!(machine.read(ppb::DEMCR), 0);
    assert_eq!(machine.core.read(0, &mut half, &mut machine.stats), Err(BusError::Fault));
    assert_eq!(machine.stats.target_errors, 0, "a bus fault is no failure of the target");
}

#[test]
fn a_processor_without_power_in_its_debug_domain_runs_on() {
    let mut machine = Machine::new();
    machine.write(ppb::DEMCR, TRCENA);
    machine.control(C_DEBUGEN | C_HALT);
    machine.core.lose_power(&mut machine.stats);
    assert_eq!(*machine.core.debug_registers(), DebugRegisters::at_power_on());
    assert!(!machine.core.is_halted());
}
