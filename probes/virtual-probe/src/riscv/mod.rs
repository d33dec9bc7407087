//! A RISC-V chip: a debug transport module, a debug module, one hart, and memory.
//!
//! What enters are operations on the debug module interface, and faults; what leaves are values, and counts of what
//! happened to the target. A TAP leads here by [`dtm`](crate::riscv::dtm).
//!
//! What always holds: each operation is counted, also one that has no effect.

pub(crate) mod abstract_command;
pub(crate) mod debug_module;
pub mod dmi;
pub mod dtm;
mod hart;
mod program_buffer;
mod reach;
mod system_bus;
pub(crate) mod window;

use crate::faults::{Announced, Conditions, Fault, Injector};
use crate::riscv::debug_module::{Chip, DebugModule};
use crate::riscv::dmi::NDMRESET;
use crate::riscv::dtm::Dtm;
use crate::riscv::hart::Hart;
use crate::riscv::reach::Reach;
use crate::stats::Stats;
use crate::target::Target;

/// What debuggers set in a RISC-V chip, for a test to see that nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RiscvDebugRegisters {
    /// dcsr of the hart.
    pub dcsr: u32,
    /// dmcontrol, haltreq among it.
    pub dmcontrol: u32,
    /// abstractauto.
    pub abstractauto: u32,
    /// sbcs, 0 without a system bus.
    pub sbcs: u32,
}

/// A RISC-V chip in front of a target.
pub struct Riscv {
    pub(crate) dtm: Dtm,
    module: DebugModule,
    hart: Hart,
    pub(crate) conditions: Conditions,
    injector: Injector,
    pub(crate) stats: Stats,
}

impl std::fmt::Debug for Riscv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { dtm, module, conditions, stats, .. } = self;
        f.debug_struct("Riscv")
            .field("dtm", dtm)
            .field("module", module)
            .field("conditions", conditions)
            .field("stats", stats)
            .finish_non_exhaustive()
    }
}

impl Riscv {
    /// A chip that was just powered on, in front of a target that runs.
    #[must_use]
    pub fn new(chip: Chip, target: Box<dyn Target>) -> Self {
        Self {
            dtm: Dtm::default(),
            module: DebugModule::new(chip),
            hart: Hart::new(target),
            conditions: Conditions::default(),
            injector: Injector::new(),
            stats: Stats::default(),
        }
    }

    /// Reads a register of the debug module by its address, as a scan does.
    pub fn read(&mut self, address: u8) -> u32 {
        self.stats.dmi_reads += 1;
        let Self { module, hart, conditions, stats, .. } = self;
        module.read(address, &mut Reach { hart, conditions, stats })
    }

    /// Writes one.
    pub fn write(&mut self, address: u8, value: u32) {
        self.stats.dmi_writes += 1;
        let Self { module, hart, conditions, stats, .. } = self;
        module.write(address, value, &mut Reach { hart, conditions, stats });
    }

    /// Lets a fault happen, now or at the next operation that can have it.
    pub fn inject(&mut self, fault: Fault) {
        self.stats.faults += 1;
        let conditions = &mut self.conditions;
        match fault {
            Fault::Wait { times } => conditions.waits_left = times,
            Fault::SystemBusBusy { times } => conditions.bus_busy_left = times,
            Fault::BusFault | Fault::SilentBusFault => conditions.bus_fault = Some(Announced::Yes),
            Fault::LinkLoss => conditions.is_link_lost = true,
            Fault::WrongIdcode(idcode) => conditions.idcode = Some(idcode),
            Fault::Locked => conditions.is_locked = true,
            Fault::TargetReset => self.reset_target(),
            Fault::PowerLoss => self.lose_power(),
        }
    }

    fn lose_power(&mut self) {
        let was_in_reset = self.module.control() & NDMRESET != 0;
        self.dtm = Dtm::default();
        self.module.reset();
        self.hart.lose_power(&mut self.stats);
        if was_in_reset {
            self.reset_target();
        }
    }

    /// Puts an injector in place of the one before. It counts operations from now on.
    pub fn set_injector(&mut self, injector: Injector) {
        self.injector = injector;
    }

    /// Ends every fault that lasts, but not the injector, errors that a debugger has to clear, or a loss of power.
    pub fn mend(&mut self) {
        self.conditions = Conditions::default();
    }

    /// Whether the hart is halted.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.hart.is_halted()
    }

    /// What debuggers have set.
    #[must_use]
    pub fn debug_registers(&self) -> RiscvDebugRegisters {
        RiscvDebugRegisters {
            dcsr: self.hart.dcsr(),
            dmcontrol: self.module.control(),
            abstractauto: self.module.abstractauto(),
            sbcs: self.module.sbcs(),
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What has happened so far; counting begins anew.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }

    /// Resets the hart and what is around it at once, but not the debug module.
    pub fn reset_target(&mut self) {
        self.hart.reset(self.module.is_reset_caught(), &mut self.stats);
    }

    /// Moves the reset pin. The hart executes nothing while it is asserted, and is reset when it is released.
    pub fn set_reset_pin(&mut self, is_asserted: bool) {
        if is_asserted {
            self.hart.hold(&mut self.stats);
        } else if self.hart.is_held() {
            self.reset_target();
        }
    }

    /// The faults that are due when an operation begins.
    pub(crate) fn begin(&mut self) {
        if let Some(fault) = self.injector.due() {
            self.inject(fault);
        }
    }
}

#[cfg(test)]
mod tests;
