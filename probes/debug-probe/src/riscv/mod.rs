//! Memory behind the debug module of a RISC-V chip, and what it is believed by.
//!
//! What enters is a probe that was attached; what leaves is words of memory. What always holds: where the debug module has a
//! system bus the hart is never halted; where it has none the hart is halted only if that was allowed, for how long is
//! measured from before the request until after it runs again, and `dcsr` stays as it was; a read during which operations
//! were lost is not believed.
//!
//! Source: RISC-V External Debug Support 0.13.2.

pub(crate) mod behind;
mod module;
mod program_buffer;

use std::time::{Duration, Instant};

use covtap_link::Effect;
use probe_rs::Target;
use probe_rs::architecture::riscv::communication_interface::{RiscvDebugInterfaceState, RiscvError, Sbcs};
use probe_rs::architecture::riscv::{Abstractcs, Dmcontrol};
use probe_rs::probe::{DebugProbeError, Probe};

use self::module::{
    ALLHALTED, AUTHENTICATED, DMACTIVE, HARTSEL, IMPEBREAK, Module, SB_FIXED, SBBUSYERROR, SBERROR,
};
use self::program_buffer::{CMDERR, ProgramBuffer};
use crate::memory::{Fault, Memory, Processor, Words};

/// What executes.
const PROCESSOR: Processor = Processor { name: "RISC-V", architecture: "riscv", pointer_width: None };

/// How memory is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    /// Beside the hart.
    SystemBus,
    /// By instructions that the hart executes while it is halted.
    ProgramBuffer { may_halt: bool, buffer: ProgramBuffer },
}

/// The memory of a chip.
pub(crate) struct RiscvMemory {
    probe: Probe,
    state: RiscvDebugInterfaceState,
    /// What `probe-rs` knows of the chip.
    target: Option<Target>,
    method: Method,
    /// What `sbcs` says that does not change.
    fixed: u32,
    /// Whether the hart was found halted: then the module stays active, which may be what keeps it so.
    was_halted: bool,
    /// Whether nothing comes back any more.
    is_lost: bool,
    pause: Duration,
}

impl RiscvMemory {
    /// Before anything was asked of the chip.
    pub(crate) fn new(probe: Probe, state: RiscvDebugInterfaceState, target: Option<Target>) -> Self {
        let (method, fixed, pause) = (Method::SystemBus, 0, Duration::ZERO);
        Self { probe, state, target, method, fixed, was_halted: false, is_lost: false, pause }
    }

    /// Begins with the debug module, and selects a hart.
    pub(crate) fn enter(&mut self, hart: Option<u32>) -> Result<(), Fault> {
        self.with_module(|module| {
            module.enter_debug_mode()?;
            Ok(hart.map_or(Ok(()), |hart| module.select_hart(hart))?)
        })
    }

    /// Ends a reset that is held.
    pub(crate) fn let_go(&mut self) -> Result<(), DebugProbeError> {
        self.probe.target_reset_deassert()
    }

    /// Finds out how memory is reached.
    ///
    /// # Errors
    ///
    /// What came back, or why the chip is not read.
    pub(crate) fn begin(&mut self, may_halt: bool) -> Result<(), Fault> {
        let (status, sbcs) =
            self.surely_in_the_end(|module| Ok((module::status(module)?, module::sbcs(module)?)))?;
        if status & AUTHENTICATED == 0 {
            return Err(Fault::Locked);
        }
        self.fixed = sbcs & SB_FIXED;
        self.was_halted = status & ALLHALTED != 0;
        self.method = match module::has_system_bus(sbcs) {
            true => Method::SystemBus,
            false => self.program_buffer(status & IMPEBREAK != 0, may_halt)?,
        };
        self.with_module(module::use_system_bus)?;
        self.clear_errors()?;
        let fixed = self.fixed;
        self.surely(|module| module::check(module, fixed))
    }

    /// How memory is reached by the hart.
    fn program_buffer(&mut self, ends_itself: bool, may_halt: bool) -> Result<Method, Fault> {
        self.add_idle_cycles()?;
        let found = self.surely_in_the_end(|module| ProgramBuffer::find(module, ends_itself))?;
        let buffer = found.ok_or(Fault::NoWay)?;
        Ok(Method::ProgramBuffer { may_halt, buffer })
    }

    /// Does something with the debug module.
    fn with_module<T>(&mut self, what: impl FnOnce(&mut Module<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let builder = self.probe.try_get_riscv_interface_builder()?;
        let module = match &self.target {
            Some(target) => builder.attach_auto(target, &mut self.state),
            None => builder.attach(&mut self.state),
        };
        what(&mut module.map_err(RiscvError::from)?)
    }

    /// Does something that is not believed if the transport module was overtaken: after that `probe-rs` goes on without the
    /// operations that were lost, a read among them whose value is that of another then. It tells nobody, but leaves more
    /// idle cycles from then on.
    fn surely<T>(&mut self, what: impl FnOnce(&mut Module<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let before = self.idle_cycles();
        if self.is_lost {
            return Err(RiscvError::Timeout.into());
        }
        let done = self.with_module(what);
        self.is_lost = done.as_ref().is_err_and(Fault::is_timeout);
        match self.idle_cycles() {
            _ if self.is_lost => done,
            after if after != before || after == Some(u8::MAX) => Err(Fault::Overtaken),
            _ => done,
        }
    }

    fn idle_cycles(&mut self) -> Option<u8> {
        self.probe.try_as_jtag_probe().map(|probe| probe.idle_cycles())
    }

    /// Leaves more time between operations than the chip asks for: what is lost while a hart is halted may be its registers.
    fn add_idle_cycles(&mut self) -> Result<(), Fault> {
        const MARGIN: u8 = 2;
        match self.probe.try_as_jtag_probe() {
            Some(probe) => {
                let more = probe.idle_cycles().saturating_add(MARGIN);
                Ok(probe.set_idle_cycles(more).map_err(RiscvError::from)?)
            }
            None => Ok(()),
        }
    }

    fn is_halted(&mut self) -> Result<bool, Fault> {
        Ok(self.surely(module::status)? & ALLHALTED != 0)
    }

    /// Does something a few times, if operations were lost: it is such that it may be done twice.
    fn surely_in_the_end<T>(
        &mut self,
        mut what: impl FnMut(&mut Module<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        const MAX_TRIES: usize = 8;
        for _ in 1..MAX_TRIES {
            match self.surely(&mut what) {
                Err(Fault::Overtaken | Fault::OtherWord { .. }) => {}
                done => return done,
            }
        }
        self.surely(what)
    }

    /// Halts the hart, reads, and lets it run again.
    fn read_while_halted(
        &mut self,
        buffer: ProgramBuffer,
        sweep: &mut [Words],
        progress: &dyn Fn(),
    ) -> Result<(), Fault> {
        let began = Instant::now();
        let halted = self.surely_in_the_end(module::halt);
        let read = halted.and_then(|()| self.read_halted(buffer, sweep, progress));
        // Also after a halt that did not come in time: it may come yet.
        let resumed = self.surely_in_the_end(|module| Ok(module.resume_core()?));
        self.pause += began.elapsed();
        read.and(resumed)
    }

    /// Reads by a hart that is halted.
    fn read_halted(
        &mut self,
        buffer: ProgramBuffer,
        sweep: &mut [Words],
        progress: &dyn Fn(),
    ) -> Result<(), Fault> {
        let saved = self.surely_in_the_end(program_buffer::save)?;
        let fixed = self.fixed;
        let read = self.surely(|module| {
            buffer.read(module, saved, sweep, progress)?;
            module::check(module, fixed)
        });
        let put_back = self.surely_in_the_end(|module| program_buffer::put_back(module, saved));
        put_back.map_err(|fault| Fault::Disturbed(Box::new(fault)))?;
        read
    }
}

impl Memory for RiscvMemory {
    fn processor(&self) -> Option<Processor> {
        Some(PROCESSOR)
    }

    fn effect(&self) -> Effect {
        match self.method {
            Method::SystemBus => Effect::Free,
            Method::ProgramBuffer { .. } if self.was_halted => Effect::NeedsHalt,
            Method::ProgramBuffer { .. } => Effect::Pauses,
        }
    }

    fn sweep(&mut self, sweep: &mut [Words], progress: &dyn Fn()) -> Result<(), Fault> {
        let Method::ProgramBuffer { may_halt, buffer } = self.method else {
            let fixed = self.fixed;
            return self.surely(|module| module::read(module, fixed, sweep, progress));
        };
        let read = match (self.is_halted()?, may_halt) {
            (true, _) => self.read_halted(buffer, sweep, progress),
            (false, true) => self.read_while_halted(buffer, sweep, progress),
            (false, false) => Err(Fault::NeedsHalt),
        };
        if let Err(fault) = &read {
            self.method = Method::ProgramBuffer { may_halt, buffer: buffer.after(fault) };
        }
        read
    }

    fn clear_errors(&mut self) -> Result<(), Fault> {
        let method = self.method;
        self.surely(|module| {
            if method == Method::SystemBus {
                module.write_dm_register(Sbcs::from(SBBUSYERROR | SBERROR))?;
            }
            Ok(module.write_dm_register(Abstractcs::from(CMDERR))?)
        })
    }

    /// By what one trip to the probe takes.
    fn pause_of(&mut self, words: u64, pieces: u64) -> Result<Option<Duration>, Fault> {
        const NUM_SAMPLES: u32 = 16;
        let Method::ProgramBuffer { may_halt: false, buffer } = self.method else { return Ok(None) };
        if self.is_halted()? {
            return Ok(None);
        }
        let began = Instant::now();
        for _ in 0..NUM_SAMPLES {
            self.surely(module::status)?;
        }
        let trip = began.elapsed() / NUM_SAMPLES;
        Ok(Some(trip.saturating_mul(u32::try_from(buffer.trips(words, pieces)).unwrap_or(u32::MAX))))
    }

    fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    fn restore(&mut self) -> Result<(), Fault> {
        let was_halted = self.was_halted;
        self.surely(|module| {
            let control = if was_halted { module::control(module)? & HARTSEL | DMACTIVE } else { 0 };
            Ok(module.write_dm_register(Dmcontrol::from(control))?)
        })
    }
}
