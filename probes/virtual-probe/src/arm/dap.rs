//! The debug port, and the rules by which it and the access port behind it acknowledge transfers.
//!
//! What enters are transfers: which port, bits 3 and 2 of the address, a value. What leaves is a value, or an
//! acknowledgement other than OK. A read of the access port gives its own value here; where a wire has it come with the
//! next transfer, the server of that wire sees to it by [`Dap::posted`].
//!
//! What always holds:
//! - after a bus fault everything is refused but reads of DPIDR and CTRL/STAT and writes of ABORT, until the sticky error
//!   is cleared there (ADIv5, B4.2.4);
//! - each transfer is counted, also one that is refused.

use crate::arm::cortex_m::CortexM;
use crate::arm::jtag::JtagDp;
use crate::arm::mem_ap::{self, MemAp};
use crate::arm::registers::DebugRegisters;
use crate::arm::transfer::{Ack, Port, Wire};
use crate::faults::{Announced, Conditions, Fault, Injector};
use crate::processor::BusError;
use crate::stats::Stats;
use crate::target::Target;

/// Identification of an SW-DP of Arm's, version 1.
pub const DPIDR: u32 = 0x2BA0_1477;

const DPIDR_OR_ABORT: u8 = 0x0;
const CTRL_STAT: u8 = 0x4;
const SELECT_OR_RESEND: u8 = 0x8;

const STKERRCLR: u32 = 1 << 2;
const ORUNERRCLR: u32 = 1 << 4;
const ORUNDETECT: u32 = 1 << 0;
const STICKYORUN: u32 = 1 << 1;
const STICKYERR: u32 = 1 << 5;
const POWER_REQUESTS: u32 = 0x5000_0000;
const DEBUG_POWER_REQUEST: u32 = 0x1000_0000;
/// Requests of reset and power, transaction counter, lanes, mode, overrun detection.
const CTRL_WRITABLE: u32 = 0x543F_FF0D;
/// DLCR, in bank 1 of CTRL/STAT's address: a turnaround of one cycle.
const DLCR: u32 = 0x40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Read,
    Write,
}

/// One debug port, one memory access port, one processor.
pub struct Dap {
    select: u32,
    ctrl_stat: u32,
    has_sticky_error: bool,
    /// Something was not answered OK while overruns are detected.
    has_overrun: bool,
    /// Accesses are answered OK with 0 while the sticky error is set.
    is_silent: bool,
    posted: u32,
    ap: MemAp,
    core: CortexM,
    pub(crate) jtag: JtagDp,
    conditions: Conditions,
    injector: Injector,
    stats: Stats,
}

impl std::fmt::Debug for Dap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { select, ctrl_stat, has_sticky_error, ap, conditions, stats, .. } = self;
        f.debug_struct("Dap")
            .field("select", select)
            .field("ctrl_stat", ctrl_stat)
            .field("has_sticky_error", has_sticky_error)
            .field("ap", ap)
            .field("conditions", conditions)
            .field("stats", stats)
            .finish_non_exhaustive()
    }
}

impl Dap {
    /// A debug port that was just powered on, in front of a target that runs.
    #[must_use]
    pub fn new(target: Box<dyn Target>) -> Self {
        Self::before(CortexM::new(target))
    }

    /// The same in front of a target whose processor is none of the Cortex-M: the access port leads to memory alone, as
    /// many of those of a Cortex-A do.
    #[must_use]
    pub fn of_memory(target: Box<dyn Target>) -> Self {
        Self::before(CortexM::off_bus(target))
    }

    fn before(core: CortexM) -> Self {
        Self {
            select: 0,
            ctrl_stat: 0,
            has_sticky_error: false,
            has_overrun: false,
            is_silent: false,
            posted: 0,
            ap: MemAp::new(),
            core,
            jtag: JtagDp::default(),
            conditions: Conditions::default(),
            injector: Injector::new(),
            stats: Stats::default(),
        }
    }

    /// Reads a register by bits 3 and 2 of its address, as over SWD.
    ///
    /// # Errors
    ///
    /// The acknowledgement, where it is not OK.
    pub fn read(&mut self, port: Port, a: u8) -> Result<u32, Ack> {
        self.read_by(Wire::Swd, port, a)
    }

    /// Writes a register.
    ///
    /// # Errors
    ///
    /// The acknowledgement, where it is not OK.
    pub fn write(&mut self, port: Port, a: u8, value: u32) -> Result<(), Ack> {
        self.write_by(Wire::Swd, port, a, value)
    }

    /// What the last read of the access port gave: on a wire it comes with the transfer after it.
    #[must_use]
    pub fn posted(&self) -> u32 {
        self.posted
    }

    /// Lets a fault happen, now or at the next transfer that can have it.
    pub fn inject(&mut self, fault: Fault) {
        self.stats.faults += 1;
        let conditions = &mut self.conditions;
        match fault {
            Fault::Wait { times } => conditions.waits_left = times,
            Fault::SystemBusBusy { .. } => {}
            Fault::BusFault => conditions.bus_fault = Some(Announced::Yes),
            Fault::SilentBusFault => conditions.bus_fault = Some(Announced::No),
            Fault::LinkLoss => conditions.is_link_lost = true,
            Fault::WrongIdcode(idcode) => conditions.idcode = Some(idcode),
            Fault::Locked => conditions.is_locked = true,
            Fault::TargetReset => self.core.reset(&mut self.stats),
            Fault::PowerLoss => {
                conditions.has_lost_power = true;
                (self.select, self.ctrl_stat, self.posted) = (0, 0, 0);
                (self.has_sticky_error, self.is_silent, self.has_overrun) = (false, false, false);
                self.ap = MemAp::new();
                self.core.lose_power(&mut self.stats);
            }
        }
    }

    /// Puts an injector in place of the one before. It counts transfers from now on.
    pub fn set_injector(&mut self, injector: Injector) {
        self.injector = injector;
    }

    /// Ends every fault that lasts, but not the injector, the sticky error or a loss of power, whose end is the
    /// debugger's to bring about.
    pub fn mend(&mut self) {
        let has_lost_power = self.conditions.has_lost_power;
        self.conditions = Conditions { has_lost_power, ..Conditions::default() };
    }

    /// Whether a bus fault was not cleared yet.
    #[must_use]
    pub fn has_sticky_error(&self) -> bool {
        self.has_sticky_error
    }

    /// Whether the processor is halted.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.core.is_halted()
    }

    /// What debuggers have set in the processor.
    #[must_use]
    pub fn debug_registers(&self) -> DebugRegisters {
        self.core.debug_registers().clone()
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

    /// Resets the target at once.
    pub fn reset_target(&mut self) {
        self.core.reset(&mut self.stats);
    }

    /// Moves the reset pin. The target executes nothing while it is asserted, and is reset when it is released.
    pub fn set_reset_pin(&mut self, is_asserted: bool) {
        if is_asserted {
            self.core.hold(&mut self.stats);
        } else {
            self.core.release(&mut self.stats);
        }
    }

    /// Has DWT lack what bits 24 to 27 of DWT_CTRL say that it may: that they say so.
    pub fn set_dwt_lacks(&mut self, bits: u32) {
        self.core.set_lacks(bits);
    }

    /// Has the probe's receiver of SWO listen at a baud rate, or no more.
    pub fn set_swo_receiver(&mut self, baud: Option<u32>) {
        self.core.set_swo_receiver(baud);
    }

    /// What that receiver has got since it was asked last.
    ///
    /// # Errors
    ///
    /// The probe, or the target, is gone.
    pub fn read_swo(&mut self) -> Result<Vec<u8>, Ack> {
        if self.conditions.is_link_lost {
            return Err(Ack::None);
        }
        self.core.swo_bytes(&mut self.stats).map_err(|_| Ack::None)
    }

    /// Whether nobody acknowledges.
    pub(crate) fn is_link_lost(&self) -> bool {
        self.conditions.is_link_lost
    }

    /// As [`read`](Self::read), by the rules of a wire.
    pub(crate) fn read_by(&mut self, wire: Wire, port: Port, a: u8) -> Result<u32, Ack> {
        let a = a & 0xC;
        let register = self.register(a);
        let counts = &mut self.stats;
        match port {
            Port::Debug => counts.dp_reads += 1,
            Port::Access => counts.ap_reads += 1,
        }
        match (port, register) {
            (Port::Access, mem_ap::DRW) => counts.drw_reads += 1,
            (Port::Access, mem_ap::BD0..=mem_ap::BD3) => counts.bd_reads += 1,
            _ => {}
        }
        self.begin(wire, port, a, Direction::Read)?;
        match port {
            Port::Debug => Ok(self.read_debug_port(a)),
            Port::Access => {
                let value = self.access(register, |dap| {
                    dap.ap.read(register, dap.conditions.is_locked, &mut dap.core, &mut dap.stats)
                })?;
                self.posted = value;
                Ok(value)
            }
        }
    }

    /// As [`write`](Self::write), by the rules of a wire.
    pub(crate) fn write_by(&mut self, wire: Wire, port: Port, a: u8, value: u32) -> Result<(), Ack> {
        let a = a & 0xC;
        self.note_write(port, self.register(a));
        self.begin(wire, port, a, Direction::Write)?;
        self.take_write(port, a, value)
    }

    /// Whether a write will be taken that the wire brings bit by bit.
    pub(crate) fn accept_write(&mut self, port: Port, a: u8) -> Result<u32, Ack> {
        self.note_write(port, self.register(a));
        self.begin(Wire::Swd, port, a, Direction::Write).map(|()| 0)
    }

    /// Takes a write that was accepted.
    pub(crate) fn take_write(&mut self, port: Port, a: u8, value: u32) -> Result<(), Ack> {
        let register = self.register(a);
        match port {
            Port::Debug => self.write_debug_port(a, value),
            Port::Access => {
                self.access(register, |dap| {
                    dap.ap.write(register, value, &mut dap.core, &mut dap.stats).map(|()| 0)
                })?;
            }
        }
        Ok(())
    }

    fn note_write(&mut self, port: Port, register: u8) {
        let counts = &mut self.stats;
        match port {
            Port::Debug => counts.dp_writes += 1,
            Port::Access => counts.ap_writes += 1,
        }
        match (port, register) {
            (Port::Access, mem_ap::TAR) => counts.tar_writes += 1,
            (Port::Access, mem_ap::CSW) => counts.csw_writes += 1,
            _ => {}
        }
    }

    /// Whether what is not answered OK has data all the same, and is remembered.
    pub(crate) fn detects_overruns(&self) -> bool {
        self.ctrl_stat & ORUNDETECT != 0
    }

    /// Clears the sticky error, as JTAG does by a write to CTRL/STAT.
    pub(crate) fn clear_sticky_error(&mut self) {
        (self.has_sticky_error, self.is_silent) = (false, false);
    }

    /// The access port's register that SELECT and an address name.
    fn register(&self, a: u8) -> u8 {
        let [banks, ..] = self.select.to_le_bytes();
        banks & 0xF0 | a
    }

    /// What happens before a transfer: the faults that are due, and refusals.
    fn begin(&mut self, wire: Wire, port: Port, a: u8, direction: Direction) -> Result<(), Ack> {
        let begun = self.try_begin(wire, port, a, direction);
        let is_refused = matches!(begun, Err(Ack::Wait | Ack::Fault));
        self.has_overrun |= is_refused && wire == Wire::Swd && self.detects_overruns();
        begun
    }

    fn try_begin(&mut self, wire: Wire, port: Port, a: u8, direction: Direction) -> Result<(), Ack> {
        if let Some(fault) = self.injector.due() {
            self.inject(fault);
        }
        if self.conditions.is_link_lost {
            return Err(Ack::None);
        }
        if port == Port::Debug && (wire == Wire::Jtag || is_always_answered(a, direction)) {
            return Ok(());
        }
        if let Some(left) = self.conditions.waits_left.checked_sub(1) {
            self.conditions.waits_left = left;
            return Err(Ack::Wait);
        }
        let has_error = self.has_sticky_error && !self.is_silent;
        if has_error || self.has_overrun && wire == Wire::Swd { Err(Ack::Fault) } else { Ok(()) }
    }

    /// An access by the access port, with the faults that it can have.
    fn access(
        &mut self,
        register: u8,
        access: impl FnOnce(&mut Self) -> Result<u32, BusError>,
    ) -> Result<u32, Ack> {
        if self.conditions.has_lost_power || self.has_sticky_error {
            return Ok(0);
        }
        if self.ctrl_stat & DEBUG_POWER_REQUEST == 0 {
            return self.fault(Announced::Yes);
        }
        if self.select >> 24 != 0 {
            // There is one access port; others have an IDR of 0.
            return Ok(0);
        }
        if mem_ap::is_memory(register) {
            if let Some(announced) = self.conditions.bus_fault.take() {
                return self.fault(announced);
            }
            if self.conditions.is_locked {
                return self.fault(Announced::Yes);
            }
        }
        match access(self) {
            Ok(value) => Ok(value),
            Err(BusError::Fault) => self.fault(Announced::Yes),
            Err(BusError::Gone) => Err(Ack::None),
        }
    }

    fn fault(&mut self, announced: Announced) -> Result<u32, Ack> {
        self.has_sticky_error = true;
        self.is_silent = announced == Announced::No;
        if self.is_silent { Ok(0) } else { Err(Ack::Fault) }
    }

    fn read_debug_port(&self, a: u8) -> u32 {
        match (a, self.select & 0xF) {
            (DPIDR_OR_ABORT, _) => self.conditions.idcode.unwrap_or(DPIDR),
            (CTRL_STAT, 0) => {
                let acknowledged = (self.ctrl_stat & POWER_REQUESTS) << 1;
                let sticky = if self.has_sticky_error { STICKYERR } else { 0 };
                let overrun = if self.has_overrun { STICKYORUN } else { 0 };
                self.ctrl_stat | acknowledged | sticky | overrun
            }
            (CTRL_STAT, 1) => DLCR,
            (CTRL_STAT, _) => 0,
            // RESEND and RDBUFF.
            _ => self.posted,
        }
    }

    fn write_debug_port(&mut self, a: u8, value: u32) {
        match (a, self.select & 0xF) {
            (DPIDR_OR_ABORT, _) => {
                if value & STKERRCLR != 0 {
                    self.clear_sticky_error();
                }
                self.has_overrun &= value & ORUNERRCLR == 0;
            }
            (CTRL_STAT, 0) => {
                self.ctrl_stat = value & CTRL_WRITABLE;
                if value & DEBUG_POWER_REQUEST != 0 {
                    self.conditions.has_lost_power = false;
                }
            }
            (SELECT_OR_RESEND, _) => self.select = value,
            _ => {}
        }
    }
}

/// What SWD answers whatever the state is: DPIDR, CTRL/STAT and ABORT.
fn is_always_answered(a: u8, direction: Direction) -> bool {
    match direction {
        Direction::Read => matches!(a, DPIDR_OR_ABORT | CTRL_STAT),
        Direction::Write => a == DPIDR_OR_ABORT,
    }
}

#[cfg(test)]
#[path = "dap_tests.rs"]
mod tests;
