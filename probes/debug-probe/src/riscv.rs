//! Memory behind the debug module of a RISC-V chip, and what it is believed by.
//!
//! What enters is a debug module that was begun with; what leaves is words of memory. What always holds: where the module has a
//! system bus the hart is never halted; where it has none the hart is halted only if that was allowed, for how long is
//! measured from before the request until after it runs again, and `dcsr` stays as it was.
//!
//! Source: RISC-V External Debug Support 0.13.2, 3.12 (registers) and 3.10 (system bus).

use std::thread;
use std::time::{Duration, Instant};

use covtap_link::Effect;
use probe_rs::architecture::riscv::communication_interface::{
    Abstractauto, RiscvCommunicationInterface, RiscvError, Sbcs,
};
use probe_rs::architecture::riscv::{Abstractcs, Dmcontrol, Dmstatus};
use probe_rs::{Error, MemoryInterface};

use crate::memory::{self, Fault, Memory, Processor, Words};

/// `dmcontrol`: a halt is asked for; the hart that is selected; the module is in use.
const HALTREQ: u32 = 1 << 31;
const HARTSEL: u32 = 0x03ff_ffc0;
const DMACTIVE: u32 = 1;

/// `dmstatus`: who debugs need not say who they are, or have said so; all selected harts are halted.
const AUTHENTICATED: u32 = 1 << 7;
const ALLHALTED: u32 = 1 << 9;

/// `sbcs`: what it can, which does not change; errors that it keeps until they are cleared.
const SB_FIXED: u32 = 0xe000_0fff;
const SBBUSYERROR: u32 = 1 << 22;
const SBERROR_SHIFT: u32 = 12;
const SBERROR: u32 = 7 << SBERROR_SHIFT;

/// `abstractcs`: how long the program buffer is; an error that it keeps.
const PROGBUFSIZE: u32 = 0x1f << 24;
const CMDERR: u32 = 7 << 8;

/// How memory is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    /// Beside the hart.
    SystemBus,
    /// By instructions that the hart executes while it is halted.
    ProgramBuffer { may_halt: bool },
}

/// The memory of a chip.
pub(crate) struct RiscvMemory<'a> {
    module: RiscvCommunicationInterface<'a>,
    method: Method,
    /// What `sbcs` says that does not change.
    fixed: u32,
    /// Whether the hart was found halted: then the module stays active, which may be what keeps it so.
    was_halted: bool,
    pause: Duration,
}

impl<'a> RiscvMemory<'a> {
    /// Finds out how memory is reached, by the hart with this number where it needs one.
    pub(crate) fn new(
        mut module: RiscvCommunicationInterface<'a>,
        hart: Option<u32>,
        may_halt: bool,
    ) -> Result<Self, String> {
        let said = |error: RiscvError| crate::choose::said(&error);
        if let Some(hart) = hart {
            module.select_hart(hart).map_err(said)?;
        }
        let status = u32::from(module.read_dm_register::<Dmstatus>().map_err(said)?);
        if status & AUTHENTICATED == 0 {
            return Err("the chip is locked: its debug module wants to know who debugs it".to_owned());
        }
        let sbcs = u32::from(module.read_dm_register::<Sbcs>().map_err(said)?);
        let abstractcs = u32::from(module.read_dm_register::<Abstractcs>().map_err(said)?);
        let method = match has_system_bus(sbcs) {
            true => Method::SystemBus,
            false if abstractcs & PROGBUFSIZE != 0 => Method::ProgramBuffer { may_halt },
            false => return Err("its debug module has neither a system bus nor a program buffer".to_owned()),
        };
        let (fixed, was_halted) = (sbcs & SB_FIXED, status & ALLHALTED != 0);
        let mut begun = Self { module, method, fixed, was_halted, pause: Duration::ZERO };
        begun.clear_errors().and_then(|()| begun.check()).map_err(|fault| fault.to_string())?;
        Ok(begun)
    }

    fn dmcontrol(&mut self) -> Result<u32, Fault> {
        Ok(u32::from(self.module.read_dm_register::<Dmcontrol>()?))
    }

    fn sbcs(&mut self) -> Result<u32, Fault> {
        Ok(u32::from(self.module.read_dm_register::<Sbcs>()?))
    }

    fn is_halted(&mut self) -> Result<bool, Fault> {
        Ok(u32::from(self.module.read_dm_register::<Dmstatus>()?) & ALLHALTED != 0)
    }

    /// Whether what was read can be believed: the module is as it was, and has kept no error.
    fn check(&mut self) -> Result<(), Fault> {
        let control = self.dmcontrol()?;
        let sbcs = self.sbcs()?;
        memory::same(self.fixed, sbcs & SB_FIXED)?;
        if control & DMACTIVE == 0 {
            return Err(Fault::Inactive(control));
        }
        match (sbcs & SBERROR) >> SBERROR_SHIFT {
            0 => Ok(()),
            sberror => Err(Fault::SystemBus { sberror }),
        }
    }

    fn read(&mut self, sweep: &mut [Words], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        let module = &mut self.module;
        let read = memory::in_pieces(sweep, |at, piece| module.read_32(at, piece).map_err(fault), progress);
        // What the bus refused is told there alone.
        match (self.check(), read) {
            (Err(fault @ (Fault::SystemBus { .. } | Fault::Inactive(_))), _) | (_, Err(fault)) => Err(fault),
            (checked, Ok(())) => checked,
        }
    }

    /// Does something while the hart is halted, after which it runs again.
    fn while_halted(&mut self, what: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.halt().and_then(|()| what(self));
        // Also after a halt that did not come in time: it may come yet.
        let resumed = self.module.resume_core().map_err(Fault::from);
        self.pause += began.elapsed();
        done.and(resumed)
    }

    /// Halts the hart. `probe-rs` has it stop at its program's own `ebreak` from then on, which it has to go on with here.
    fn halt(&mut self) -> Result<(), Fault> {
        const PATIENCE: Duration = Duration::from_millis(100);
        let hart = self.dmcontrol()? & HARTSEL | DMACTIVE;
        self.module.write_dm_register(Dmcontrol::from(hart | HALTREQ))?;
        let began = Instant::now();
        let mut is_halted = self.module.core_halted();
        while matches!(is_halted, Ok(false)) && began.elapsed() < PATIENCE {
            thread::yield_now();
            is_halted = self.module.core_halted();
        }
        self.module.write_dm_register(Dmcontrol::from(hart))?;
        if is_halted? { Ok(()) } else { Err(Fault::NotHalted { waited_ms: 100 }) }
    }
}

impl Memory for RiscvMemory<'_> {
    fn processor(&self) -> Option<Processor> {
        Some(Processor { name: "RISC-V", architecture: "riscv", pointer_width: None })
    }

    fn effect(&self) -> Effect {
        match self.method {
            Method::SystemBus => Effect::Free,
            Method::ProgramBuffer { .. } if self.was_halted => Effect::NeedsHalt,
            Method::ProgramBuffer { .. } => Effect::Pauses,
        }
    }

    fn sweep(&mut self, sweep: &mut [Words], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        let Method::ProgramBuffer { may_halt } = self.method else { return self.read(sweep, progress) };
        match (self.is_halted()?, may_halt) {
            (true, _) => self.read(sweep, progress),
            (false, true) => self.while_halted(|memory| memory.read(sweep, progress)),
            (false, false) => Err(Fault::NeedsHalt),
        }
    }

    fn clear_errors(&mut self) -> Result<(), Fault> {
        if self.method == Method::SystemBus {
            self.module.write_dm_register(Sbcs::from(SBBUSYERROR | SBERROR))?;
        }
        Ok(self.module.write_dm_register(Abstractcs::from(CMDERR))?)
    }

    /// A word takes a command and a read, as they are measured here; before the first, and after the last of each piece, come
    /// so many more.
    fn pause_of(&mut self, num_words: u64) -> Result<Option<Duration>, Fault> {
        const NUM_SAMPLES: u32 = 16;
        const NUM_AROUND: u64 = 64;
        const PIECE_WORDS: u64 = 256;
        if self.method != (Method::ProgramBuffer { may_halt: false }) || self.is_halted()? {
            return Ok(None);
        }
        let began = Instant::now();
        for _ in 0..NUM_SAMPLES {
            self.module.write_dm_register(Abstractauto::from(0))?;
            self.is_halted()?;
        }
        let one = began.elapsed() / NUM_SAMPLES;
        let around = num_words.div_ceil(PIECE_WORDS).saturating_mul(NUM_AROUND);
        let num = u32::try_from(num_words.saturating_add(around)).unwrap_or(u32::MAX);
        Ok(Some(one.saturating_mul(num)))
    }

    fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    fn restore(&mut self) -> Result<(), Fault> {
        let control = if self.was_halted { self.dmcontrol()? & HARTSEL | DMACTIVE } else { 0 };
        Ok(self.module.write_dm_register(Dmcontrol::from(control))?)
    }
}

/// Whether there is a system bus that reads words (version 1 is that of the specification).
fn has_system_bus(sbcs: u32) -> bool {
    const SBVERSION_SHIFT: u32 = 29;
    const SBASIZE: u32 = 0x7f << 5;
    const SBACCESS32: u32 = 1 << 2;
    sbcs >> SBVERSION_SHIFT == 1 && sbcs & SBASIZE != 0 && sbcs & SBACCESS32 != 0
}

/// What `probe-rs` says of memory.
fn fault(error: Error) -> Fault {
    match error {
        Error::Riscv(error) => error.into(),
        other => Fault::Probe(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_bus_has_a_version_addresses_and_words() {
        // As those of SiFive's, 32 bits wide, say.
        assert!(has_system_bus(0x2000_0407));
        for sbcs in [0, 0x0000_0407, 0x2000_0007, 0x2000_0403] {
            assert!(!has_system_bus(sbcs), "{sbcs:#x}");
        }
    }
}
