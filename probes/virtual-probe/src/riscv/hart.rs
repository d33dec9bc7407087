//! A RISC-V hart as its debug module sees it: its registers while it is halted, and memory.
//!
//! What enters are halts, resumes and accesses of registers; what leaves are values. A target's registers are read where
//! it has them, and what is written stays here, since QEMU's monitor cannot write a register.
//!
//! What always holds: when the hart runs on, each register that was written is compared with the target's own value, and
//! one that differs is counted in [`Stats::registers_left_changed`]. Registers of debug mode are the model's own.

use std::collections::BTreeMap;

use crate::processor::{BusError, Processor, bus};
use crate::riscv::dmi::{self, STEP};
use crate::stats::Stats;
use crate::target::{HartRegister, Target, TargetError};

/// RV32IMAC.
const MISA: u32 = 0x4000_1105;
/// dcsr: version 0.13, machine mode.
const DCSR_AT_RESET: u32 = 0x4000_0003;
/// dcsr: ebreakm, ebreaks, ebreaku, stepie, stopcount, stoptime, step, prv.
const DCSR_WRITABLE: u32 = 0xBE07;
const DCSR_CAUSE: u32 = 0b111 << 6;
const GPR0: u16 = 0x1000;
const GPR31: u16 = 0x101F;
const CSR_LAST: u16 = 0xFFF;
/// dcsr.cause: a debugger asked for it.
const CAUSE_HALTREQ: u32 = 3 << 6;
/// dcsr.cause: it has stepped.
const CAUSE_STEP: u32 = 4 << 6;

/// A hart and the target that it stands for.
pub(crate) struct Hart {
    processor: Processor,
    dcsr: u32,
    dscratch: [u32; 2],
    written: BTreeMap<HartRegister, u32>,
    /// It was reset, and nobody has acknowledged that.
    has_reset: bool,
    /// It has resumed since it was asked to.
    has_resumed: bool,
}

impl Hart {
    /// A hart that runs, and was reset when its power came.
    pub(crate) fn new(target: Box<dyn Target>) -> Self {
        Self {
            processor: Processor::new(target),
            dcsr: DCSR_AT_RESET,
            dscratch: [0; 2],
            written: BTreeMap::new(),
            has_reset: true,
            has_resumed: false,
        }
    }

    pub(crate) fn dcsr(&self) -> u32 {
        self.dcsr
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.processor.is_halted()
    }

    /// Whether it is held in reset.
    pub(crate) fn is_held(&self) -> bool {
        self.processor.is_held()
    }

    pub(crate) fn has_reset(&self) -> bool {
        self.has_reset
    }

    pub(crate) fn acknowledge_reset(&mut self) {
        self.has_reset = false;
    }

    pub(crate) fn has_resumed(&self) -> bool {
        self.has_resumed
    }

    pub(crate) fn halt(&mut self, stats: &mut Stats) {
        if self.processor.set_halted(true, stats) {
            self.set_cause(CAUSE_HALTREQ);
        }
    }

    /// Lets it run on, or one instruction if dcsr.step is set. One that runs already is left alone.
    pub(crate) fn resume(&mut self, stats: &mut Stats) {
        self.has_resumed = false;
        if !self.is_halted() {
            return;
        }
        self.compare_registers(stats);
        if self.dcsr & STEP != 0 {
            self.processor.step(stats);
            self.set_cause(CAUSE_STEP);
        } else {
            self.processor.set_halted(false, stats);
        }
        self.has_resumed = true;
    }

    /// Holds it in reset.
    pub(crate) fn hold(&mut self, stats: &mut Stats) {
        if self.processor.hold(stats) {
            self.forget();
        }
    }

    /// A reset of the system, which ends halted if that is asked for.
    pub(crate) fn reset(&mut self, is_caught: bool, stats: &mut Stats) {
        self.processor.reset(is_caught, stats);
        self.forget();
        if is_caught {
            self.set_cause(CAUSE_HALTREQ);
        }
    }

    /// What the debug domain held is gone. A hart that it held runs on.
    pub(crate) fn lose_power(&mut self, stats: &mut Stats) {
        self.written.clear();
        (self.dcsr, self.dscratch, self.has_resumed) = (DCSR_AT_RESET, [0; 2], false);
        self.processor.set_halted(false, stats);
    }

    /// A register by its number in an abstract command. There is none for most numbers.
    pub(crate) fn read_register(&mut self, number: u16, stats: &mut Stats) -> Option<u32> {
        match number {
            dmi::DCSR => Some(self.dcsr),
            dmi::DSCRATCH0 => Some(self.dscratch[0]),
            dmi::DSCRATCH1 => Some(self.dscratch[1]),
            dmi::MISA => Some(MISA),
            _ => self.read_own(own(number)?, stats),
        }
    }

    /// Writes one, where it is there.
    pub(crate) fn write_register(&mut self, number: u16, value: u32, stats: &mut Stats) -> Option<()> {
        match number {
            dmi::DCSR => self.dcsr = self.dcsr & !DCSR_WRITABLE | value & DCSR_WRITABLE,
            dmi::DSCRATCH0 => self.dscratch[0] = value,
            dmi::DSCRATCH1 => self.dscratch[1] = value,
            // What is not implemented cannot be enabled.
            dmi::MISA | GPR0 => {}
            _ => {
                let register = own(number)?;
                self.read_own(register, stats)?;
                self.written.insert(register, value);
            }
        }
        Some(())
    }

    pub(crate) fn read_memory(
        &mut self,
        address: u32,
        bytes: &mut [u8],
        stats: &mut Stats,
    ) -> Result<(), BusError> {
        let done = self.processor.target().read(address, bytes);
        bus(done, stats)
    }

    pub(crate) fn write_memory(
        &mut self,
        address: u32,
        bytes: &[u8],
        stats: &mut Stats,
    ) -> Result<(), BusError> {
        stats.memory_writes += 1;
        let done = self.processor.target().write(address, bytes);
        bus(done, stats)
    }

    /// A register that the target has.
    fn read_own(&mut self, register: HartRegister, stats: &mut Stats) -> Option<u32> {
        match self.written.get(&register) {
            Some(value) => Some(*value),
            None => self.read_target(register, stats),
        }
    }

    fn read_target(&mut self, register: HartRegister, stats: &mut Stats) -> Option<u32> {
        match self.processor.target().read_hart_register(register) {
            Err(TargetError::Unsupported(_)) => None,
            read => bus(read, stats).ok(),
        }
    }

    /// Whether a debugger has put back what it used.
    fn compare_registers(&mut self, stats: &mut Stats) {
        for (register, value) in std::mem::take(&mut self.written) {
            if self.read_target(register, stats) != Some(value) {
                stats.registers_left_changed += 1;
            }
        }
    }

    fn forget(&mut self) {
        self.written.clear();
        (self.dcsr, self.has_reset, self.has_resumed) = (DCSR_AT_RESET, true, false);
    }

    fn set_cause(&mut self, cause: u32) {
        self.dcsr = self.dcsr & !DCSR_CAUSE | cause;
    }
}

/// The target's register of a number.
fn own(number: u16) -> Option<HartRegister> {
    match number {
        dmi::DPC => Some(HartRegister::Pc),
        0..=CSR_LAST => Some(HartRegister::Csr(number)),
        GPR0..=GPR31 => u8::try_from(number - GPR0).ok().map(HartRegister::X),
        _ => None,
    }
}
