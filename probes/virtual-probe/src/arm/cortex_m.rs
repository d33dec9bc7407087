//! A Cortex-M3 on its bus: its debug registers, and memory behind them.
//!
//! What enters are reads and writes by address; what leaves are bytes, or a bus error. Halts, steps, resumes and resets
//! reach the target from here alone, and each is counted.

use crate::arm::ppb::{self, C_DEBUGEN, C_HALT, C_STEP, TRCENA};
use crate::arm::registers::{DWT_FIXED, DebugRegisters, FP_FIXED};
use crate::arm::swo::Swo;
use crate::processor::{BusError, Processor, bus, note};
use crate::stats::Stats;
use crate::target::Target;

/// C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS, C_SNAPSTALL.
const DHCSR_CONTROL: u32 = 0x2F;
const S_REGRDY: u32 = 1 << 16;
const S_RETIRE_ST: u32 = 1 << 24;
const DFSR_HALTED: u32 = 1 << 0;
const DFSR_VCATCH: u32 = 1 << 3;
const REGWNR: u32 = 1 << 16;
const DWT_WRITABLE: u32 = 0x007F_FFFF;
const FP_KEY: u32 = 1 << 1;
const FP_ENABLE: u32 = 1 << 0;
const VECTKEYSTAT: u32 = 0xFA05_0000;

/// The processor, its debug registers and its bus.
pub(crate) struct CortexM {
    processor: Processor,
    registers: DebugRegisters,
    swo: Swo,
    /// Whether its debug registers are on the bus: those of other processors are not modelled.
    is_on_bus: bool,
    /// Bits of DWT_CTRL that say what there is not.
    lacks: u32,
    dcrdr: u32,
    dfsr: u32,
    was_reset: bool,
}

impl CortexM {
    pub(crate) fn new(target: Box<dyn Target>) -> Self {
        let registers = DebugRegisters::at_power_on();
        let (processor, swo) = (Processor::new(target), Swo::new());
        Self { processor, registers, swo, is_on_bus: true, lacks: 0, dcrdr: 0, dfsr: 0, was_reset: false }
    }

    /// A processor whose debug registers are elsewhere: memory alone is on the bus.
    pub(crate) fn off_bus(target: Box<dyn Target>) -> Self {
        Self { is_on_bus: false, ..Self::new(target) }
    }

    /// Where the bus has a table of what is on it.
    pub(crate) fn rom_table(&self) -> Option<u32> {
        self.is_on_bus.then_some(ppb::ROM_TABLE)
    }

    pub(crate) fn debug_registers(&self) -> &DebugRegisters {
        &self.registers
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.processor.is_halted()
    }

    /// What the debug domain held is gone. A processor that it held runs on.
    pub(crate) fn lose_power(&mut self, stats: &mut Stats) {
        self.registers = DebugRegisters::at_power_on();
        self.swo.follow(&mut self.registers);
        (self.dcrdr, self.dfsr) = (0, 0);
        self.set_halted(false, stats);
    }

    /// The reset pin goes low. What happens when it goes high is a reset.
    pub(crate) fn hold(&mut self, stats: &mut Stats) {
        if self.processor.hold(stats) {
            self.registers.dhcsr_control &= !(C_HALT | C_STEP);
            self.was_reset = true;
        }
    }

    /// The reset pin goes high.
    pub(crate) fn release(&mut self, stats: &mut Stats) {
        if self.processor.is_held() {
            self.reset(stats);
        }
    }

    /// A reset of the system. Debug registers keep their values.
    pub(crate) fn reset(&mut self, stats: &mut Stats) {
        let DebugRegisters { dhcsr_control, demcr, .. } = self.registers;
        let is_caught = dhcsr_control & C_DEBUGEN != 0 && demcr & ppb::VC_CORERESET != 0;
        self.processor.reset(is_caught, stats);
        self.was_reset = true;
        self.registers.dhcsr_control &= !(C_HALT | C_STEP);
        if is_caught {
            self.registers.dhcsr_control |= C_HALT;
            self.dfsr |= DFSR_VCATCH;
        }
    }

    /// Fills `bytes`, which do not cross a word, from an address.
    pub(crate) fn read(&mut self, address: u32, bytes: &mut [u8], stats: &mut Stats) -> Result<(), BusError> {
        if !self.has_register(address) {
            let done = self.processor.target().read(address, bytes);
            return bus(done, stats);
        }
        let word = self.read_register(address & !3, stats)?.to_le_bytes();
        let lanes = word.iter().skip(usize::from(word_offset(address)));
        for (byte, lane) in bytes.iter_mut().zip(lanes) {
            *byte = *lane;
        }
        Ok(())
    }

    /// Writes `bytes`, which do not cross a word, to an address.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8], stats: &mut Stats) -> Result<(), BusError> {
        if !self.has_register(address) {
            stats.memory_writes += 1;
            let done = self.processor.target().write(address, bytes);
            return bus(done, stats);
        }
        // Debug registers are written as words alone.
        if let Ok(word) = <[u8; 4]>::try_from(bytes) {
            self.write_register(address, u32::from_le_bytes(word), stats);
        }
        Ok(())
    }

    fn has_register(&self, address: u32) -> bool {
        self.is_on_bus && ppb::has(address)
    }

    fn read_register(&mut self, address: u32, stats: &mut Stats) -> Result<u32, BusError> {
        Ok(match address {
            ppb::DWT_CTRL => self.registers.dwt_ctrl | self.lacks,
            ppb::DWT_PCSR => self.sample(stats)?,
            ppb::FP_CTRL => self.registers.fp_ctrl,
            ppb::CPUID => ppb::CORTEX_M3,
            ppb::AIRCR => VECTKEYSTAT,
            ppb::DFSR => self.dfsr,
            ppb::DHCSR => self.dhcsr(),
            ppb::DCRDR => self.dcrdr,
            ppb::DEMCR => self.registers.demcr,
            _ => match self.swo.read(address, &self.registers) {
                Some(value) => value,
                None => match self.comparator(address) {
                    Some(comparator) => *comparator,
                    None => ppb::identification(address),
                },
            },
        })
    }

    fn write_register(&mut self, address: u32, value: u32, stats: &mut Stats) {
        match address {
            ppb::DWT_CTRL => self.registers.dwt_ctrl = DWT_FIXED | value & DWT_WRITABLE,
            ppb::FP_CTRL if value & FP_KEY != 0 => self.registers.fp_ctrl = FP_FIXED | value & FP_ENABLE,
            ppb::AIRCR if value & 0xFFFF_0000 == ppb::VECTKEY && value & ppb::SYSRESETREQ != 0 => {
                self.reset(stats);
            }
            ppb::DFSR => self.dfsr &= !value,
            ppb::DHCSR => {
                stats.dhcsr_writes.push(value);
                if value & 0xFFFF_0000 == ppb::DBGKEY {
                    self.control(value & DHCSR_CONTROL, stats);
                }
            }
            ppb::DCRSR => self.move_register(value, stats),
            ppb::DCRDR => self.dcrdr = value,
            ppb::DEMCR => {
                stats.demcr_writes.push(value);
                self.registers.demcr = value;
            }
            _ => match self.comparator(address) {
                Some(comparator) => *comparator = value,
                None => self.swo.write(address, value, &mut self.registers),
            },
        }
        self.swo.follow(&mut self.registers);
    }

    /// Has DWT lack what bits 24 to 27 of DWT_CTRL stand for.
    pub(crate) fn set_lacks(&mut self, bits: u32) {
        self.lacks = bits & 0x0F00_0000;
    }

    /// Has the probe's receiver listen at a baud rate, or no more.
    pub(crate) fn set_swo_receiver(&mut self, baud: Option<u32>) {
        self.swo.set_receiver(baud);
    }

    /// What the probe's receiver has got since it was asked last.
    pub(crate) fn swo_bytes(&mut self, stats: &mut Stats) -> Result<Vec<u8>, BusError> {
        let is_halted = self.processor.is_halted() || self.processor.is_held();
        let received = self.swo.received(&self.registers, is_halted, &mut || self.processor.target().pc());
        let bytes = bus(received, stats)?;
        stats.swo_bytes = stats.swo_bytes.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    /// A comparator's register of DWT or FPB.
    fn comparator(&mut self, address: u32) -> Option<&mut u32> {
        if let Some(offset) = address.checked_sub(ppb::FP_COMP0) {
            return self.registers.fp_comparators.get_mut(usize::try_from(offset / 4).ok()?);
        }
        let offset = usize::try_from(address.checked_sub(ppb::DWT_COMP0)?).ok()?;
        self.registers.dwt_comparators.get_mut(offset / 16)?.get_mut(offset % 16 / 4)
    }

    /// DWT_PCSR: 0 while DWT is off, all ones while the processor is halted.
    fn sample(&mut self, stats: &mut Stats) -> Result<u32, BusError> {
        stats.pcsr_reads += 1;
        if self.registers.demcr & TRCENA == 0 {
            return Ok(0);
        }
        if self.is_halted() {
            return Ok(u32::MAX);
        }
        let pc = self.processor.target().pc();
        bus(pc, stats)
    }

    fn dhcsr(&mut self) -> u32 {
        let state = if self.is_halted() { ppb::S_HALT } else { S_RETIRE_ST };
        let reset = if std::mem::take(&mut self.was_reset) { ppb::S_RESET_ST } else { 0 };
        self.registers.dhcsr_control | S_REGRDY | state | reset
    }

    /// A write to DHCSR with its key.
    fn control(&mut self, control: u32, stats: &mut Stats) {
        let is_enabled = control & C_DEBUGEN != 0;
        self.registers.dhcsr_control = if is_enabled { control } else { control & !(C_HALT | C_STEP) };
        if is_enabled && self.is_halted() && control & (C_STEP | C_HALT) == C_STEP {
            self.processor.step(stats);
            // It has executed an instruction, and is halted again.
            self.registers.dhcsr_control |= C_HALT;
            self.dfsr |= DFSR_HALTED;
            return;
        }
        self.set_halted(self.registers.dhcsr_control & C_HALT != 0, stats);
    }

    fn set_halted(&mut self, is_halted: bool, stats: &mut Stats) {
        if self.processor.set_halted(is_halted, stats) && is_halted {
            self.registers.dhcsr_control |= C_HALT;
            self.dfsr |= DFSR_HALTED;
        }
    }

    /// A write to DCRSR: a register of the processor moves to DCRDR, or from there.
    fn move_register(&mut self, dcrsr: u32, stats: &mut Stats) {
        let [number, ..] = (dcrsr & 0x7F).to_le_bytes();
        let done = if dcrsr & REGWNR != 0 {
            self.processor.target().write_register(number, self.dcrdr)
        } else {
            self.processor.target().read_register(number).map(|value| self.dcrdr = value)
        };
        note(done, stats);
    }
}

/// The byte's place in its word.
fn word_offset(address: u32) -> u8 {
    let [low, ..] = address.to_le_bytes();
    low & 3
}

#[cfg(test)]
#[path = "cortex_m_tests.rs"]
mod tests;
