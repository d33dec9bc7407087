//! A RISC-V debug module with one hart (RISC-V External Debug Support 0.13.2, 3).
//!
//! What enters are reads and writes on the debug module interface; what leaves are values, and what is asked of the hart.
//!
//! What always holds:
//! - while dmactive is 0 everything has its reset value, and a write of dmactive alone counts;
//! - while the debugger is not authenticated, nothing but dmcontrol and dmstatus is there, and the hart is out of reach;
//! - a register that is not there reads as 0.

use crate::riscv::abstract_command::AbstractCommands;
use crate::riscv::dmi::{
    self, ACKHAVERESET, AUTHENTICATED, CLRRESETHALTREQ, DMACTIVE, HALTED, HALTREQ, HARTSEL, HASRESETHALTREQ,
    HAVERESET, IMPEBREAK, NDMRESET, NONEXISTENT, RESUMEACK, RESUMEREQ, RUNNING, SETRESETHALTREQ, UNAVAIL,
};
use crate::riscv::reach::Reach;
use crate::riscv::system_bus::SystemBus;

/// What of dmcontrol reads as it was written.
const DMCONTROL_KEPT: u32 = HARTSEL | NDMRESET | DMACTIVE;
/// hartinfo: two scratch registers, no data that the hart can see.
const HARTINFO: u32 = 2 << 20;

/// What a chip's debug module has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Chip {
    /// Memory is reached while the hart runs.
    pub system_bus: bool,
    /// How many words the program buffer has, 16 at most. Without one, a halted hart's memory is out of reach.
    pub progbuf_words: usize,
}

impl Default for Chip {
    /// A system bus, and eight words.
    fn default() -> Self {
        Self { system_bus: true, progbuf_words: 8 }
    }
}

/// The module's registers.
#[derive(Debug)]
pub(crate) struct DebugModule {
    chip: Chip,
    control: u32,
    halts_at_reset: bool,
    commands: AbstractCommands,
    bus: SystemBus,
}

impl DebugModule {
    /// A module that is not active.
    pub(crate) fn new(chip: Chip) -> Self {
        let commands = AbstractCommands::new(chip.progbuf_words);
        Self { chip, control: 0, halts_at_reset: false, commands, bus: SystemBus::new() }
    }

    /// dmcontrol, haltreq among it, which no debugger can read.
    pub(crate) fn control(&self) -> u32 {
        self.control
    }

    pub(crate) fn abstractauto(&self) -> u32 {
        self.commands.abstractauto()
    }

    pub(crate) fn sbcs(&self) -> u32 {
        if self.chip.system_bus { self.bus.sbcs() } else { 0 }
    }

    /// Whether a reset ends halted.
    pub(crate) fn is_reset_caught(&self) -> bool {
        self.control & HALTREQ != 0 || self.halts_at_reset
    }

    /// Everything as it is while dmactive is 0.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.chip);
    }

    pub(crate) fn read(&mut self, address: u8, reach: &mut Reach<'_>) -> u32 {
        match address {
            dmi::DMCONTROL => self.control & DMCONTROL_KEPT,
            dmi::DMSTATUS => self.dmstatus(reach),
            _ if reach.conditions.is_locked => 0,
            dmi::HARTINFO => HARTINFO,
            dmi::ABSTRACTCS => self.commands.abstractcs(),
            dmi::ABSTRACTAUTO => self.commands.abstractauto(),
            dmi::DATA0 | dmi::DATA1 | dmi::PROGBUF0..=dmi::PROGBUF15 => self.commands.read(address, reach),
            dmi::SBCS => self.sbcs(),
            dmi::SBADDRESS0 if self.chip.system_bus => self.bus.sbaddress0(),
            dmi::SBDATA0 if self.chip.system_bus => self.bus.read_sbdata0(reach),
            dmi::HALTSUM0 => u32::from(reach.hart.is_halted()),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, address: u8, value: u32, reach: &mut Reach<'_>) {
        match address {
            dmi::DMCONTROL => self.write_dmcontrol(value, reach),
            _ if reach.conditions.is_locked || self.control & DMACTIVE == 0 => {}
            dmi::ABSTRACTCS => self.commands.write_abstractcs(value),
            dmi::COMMAND => self.commands.write_command(value, reach),
            dmi::ABSTRACTAUTO => self.commands.write_abstractauto(value),
            dmi::DATA0 | dmi::DATA1 | dmi::PROGBUF0..=dmi::PROGBUF15 => {
                self.commands.write(address, value, reach);
            }
            dmi::SBCS if self.chip.system_bus => self.bus.write_sbcs(value),
            dmi::SBADDRESS0 if self.chip.system_bus => self.bus.write_sbaddress0(value, reach),
            dmi::SBDATA0 if self.chip.system_bus => self.bus.write_sbdata0(value, reach),
            _ => {}
        }
    }

    fn write_dmcontrol(&mut self, value: u32, reach: &mut Reach<'_>) {
        let was_in_reset = self.control & NDMRESET != 0;
        if value & DMACTIVE == 0 {
            self.reset();
        } else {
            self.control = value & (DMCONTROL_KEPT | HALTREQ);
        }
        if reach.conditions.is_locked {
            self.control &= DMACTIVE;
        }
        let Reach { hart, stats, .. } = reach;
        let is_in_reset = self.control & NDMRESET != 0;
        if is_in_reset {
            hart.hold(stats);
        } else if was_in_reset && hart.is_held() {
            hart.reset(self.is_reset_caught(), stats);
        }
        if self.control & (DMACTIVE | HARTSEL) == DMACTIVE && !reach.conditions.is_locked {
            self.control_hart(value, reach);
        }
    }

    /// What a write of dmcontrol asks of the hart that it selects.
    fn control_hart(&mut self, value: u32, reach: &mut Reach<'_>) {
        let Reach { hart, stats, .. } = reach;
        if value & ACKHAVERESET != 0 {
            hart.acknowledge_reset();
        }
        if value & SETRESETHALTREQ != 0 {
            self.halts_at_reset = true;
        }
        if value & CLRRESETHALTREQ != 0 {
            self.halts_at_reset = false;
        }
        if value & HALTREQ != 0 {
            hart.halt(stats);
        } else if value & RESUMEREQ != 0 {
            hart.resume(stats);
        }
    }

    fn dmstatus(&self, reach: &Reach<'_>) -> u32 {
        if reach.conditions.is_locked {
            return dmi::VERSION;
        }
        let has_ebreak = self.commands.has_program();
        let module = dmi::VERSION | AUTHENTICATED | HASRESETHALTREQ | if has_ebreak { IMPEBREAK } else { 0 };
        if self.control & HARTSEL != 0 {
            return module | NONEXISTENT;
        }
        let hart = &reach.hart;
        let state = match (hart.is_held(), hart.is_halted()) {
            (true, _) => UNAVAIL,
            (false, true) => HALTED,
            (false, false) => RUNNING,
        };
        let reset = if hart.has_reset() { HAVERESET } else { 0 };
        let resumed = if hart.has_resumed() { RESUMEACK } else { 0 };
        module | state | reset | resumed
    }
}
