//! From a probe to the memory of the chip behind it.
//!
//! What enters is what was asked for; what leaves is memory, for as long as somebody has use for it: it borrows of what is on
//! the stack here. What always holds: a reset that is held is let go, whatever comes back.

use std::time::{Duration, Instant};

use covtap_link::{Effect, LinkError, Operation};
use probe_rs::architecture::arm::ArmDebugInterface;
use probe_rs::architecture::riscv::communication_interface::RiscvError;
use probe_rs::probe::{DebugProbeError, Probe, WireProtocol};

use crate::Options;
use crate::arm::ArmMemory;
use crate::chip::{ArmWay, Chip, RiscvWay, Way};
use crate::choose::{endpoint, open, said};
use crate::memory::{Memory, Processor};
use crate::riscv::RiscvMemory;
use crate::riscv::behind::MemoryBehind;
use crate::swo::{Sent, Swo};

/// What the probe is, and the chip.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) probe: String,
    pub(crate) speed_khz: u32,
    pub(crate) chip: Option<String>,
    /// For how long the chip was held in reset.
    pub(crate) held: Duration,
    /// Its processor, as far as it was recognised.
    pub(crate) processor: Option<Processor>,
    pub(crate) effect: Effect,
    pub(crate) is_sampled: bool,
}

/// Begins with the chip, and has its memory used.
pub(crate) fn with_memory(
    options: &Options,
    step: &dyn Fn(),
    used: &mut dyn FnMut(Begun, &mut dyn Memory),
) -> Result<(), LinkError> {
    let refused = |reason: String| {
        let (operation, endpoint) = (Operation::Attach, endpoint(options));
        LinkError::Refused { operation, endpoint, reason }
    };
    let Chip { name, way } = Chip::of(options).map_err(refused)?;
    step();
    let probe = open(options, matches!(way, Way::Riscv(_)).then_some(WireProtocol::Jtag))?;
    let held = Held::new(options.connect_under_reset);
    let (probe_name, speed_khz) = (probe.get_name(), probe.speed_khz());
    let mut use_it = |held: Duration, memory: &mut dyn Memory| {
        let begun = Begun {
            probe: probe_name.clone(),
            speed_khz,
            chip: name.clone(),
            held,
            processor: memory.processor(),
            effect: memory.effect(),
            is_sampled: memory.is_sampled(),
        };
        used(begun, memory);
    };
    let (probe, way) = held.wire(probe, way, step).map_err(refused)?;
    let done = match way {
        Way::Riscv(way) => held.riscv(probe, way, options.allow_halt, step, &mut use_it),
        Way::Arm(way) => held.arm(probe, &way, options.swo, step, &mut use_it),
        Way::Either { access_port } => {
            held.arm(probe, &ArmWay::unknown(access_port), options.swo, step, &mut use_it)
        }
    };
    done.map_err(refused)
}

/// Whoever has use for memory, who is told for how long the chip was held in reset before.
type Used<'a> = dyn FnMut(Duration, &mut dyn Memory) + 'a;

/// A chip's reset, which may be held from here until its debug port was begun with.
#[derive(Clone, Copy)]
struct Held {
    is_under_reset: bool,
    began: Instant,
}

impl Held {
    fn new(is_under_reset: bool) -> Self {
        Self { is_under_reset, began: Instant::now() }
    }

    /// For how long it was held.
    fn until_now(self) -> Duration {
        if self.is_under_reset { self.began.elapsed() } else { Duration::ZERO }
    }

    /// Lets it go after a failure; and what that was.
    fn let_go(self, mut probe: Probe, error: &(dyn std::error::Error + 'static)) -> String {
        // It may be the pin that failed: what was said first tells more.
        let _ = if self.is_under_reset { probe.target_reset_deassert() } else { Ok(()) };
        said(error)
    }

    /// Has the probe begin with its wire.
    fn wire(self, mut probe: Probe, way: Way, step: &dyn Fn()) -> Result<(Probe, Way), String> {
        step();
        let chain = match &way {
            Way::Riscv(way) => expect_chain(&mut probe, way),
            Way::Arm(_) | Way::Either { .. } => Ok(()),
        };
        let attached = chain.and_then(|()| match self.is_under_reset {
            true => probe.attach_to_unspecified_under_reset(),
            false => Ok(probe.attach_to_unspecified()?),
        });
        step();
        if let Err(error) = attached {
            return Err(self.let_go(probe, &error));
        }
        let way = match way {
            Way::Either { .. } if is_riscv_chain(&mut probe) => Way::Riscv(RiscvWay::default()),
            known => known,
        };
        Ok((probe, way))
    }

    fn arm(
        self,
        probe: Probe,
        way: &ArmWay,
        swo: Option<Swo>,
        step: &dyn Fn(),
        used: &mut Used<'_>,
    ) -> Result<(), String> {
        let has_receiver = probe.get_swo_interface().is_some();
        let (mut arm, held) = self.debug_port(probe, way)?;
        step();
        let memory = arm.memory_interface(&way.access_port).map_err(|error| said(&error))?;
        if way.is_of_module {
            used(held, &mut MemoryBehind::new(memory).map_err(|fault| fault.to_string())?);
            return Ok(());
        }
        let memory = ArmMemory::new(memory, way.access_port.clone(), way.may_be_cortex_m());
        let mut memory = memory.map_err(|fault| fault.to_string())?;
        way.check(memory.cpuid().unwrap_or(0))?;
        if let Some(swo) = swo {
            memory.send_samples(Sent::new(swo, has_receiver, way.own_sequence()));
        }
        used(held, &mut memory);
        Ok(())
    }

    fn debug_port(
        self,
        probe: Probe,
        way: &ArmWay,
    ) -> Result<(Box<dyn ArmDebugInterface>, Duration), String> {
        let arm = probe.try_into_arm_debug_interface(way.sequence.clone());
        let mut arm = arm.map_err(|(probe, error)| self.let_go(probe, &error))?;
        let selected = arm.select_debug_port(way.access_port.dp());
        let mut held = Duration::ZERO;
        if self.is_under_reset {
            let let_go = way.sequence.reset_hardware_deassert(&mut *arm, &way.access_port);
            held = self.until_now();
            let_go.map_err(|error| said(&error))?;
        }
        selected.map_err(|error| said(&error))?;
        Ok((arm, held))
    }

    fn riscv(
        self,
        mut probe: Probe,
        way: RiscvWay,
        may_halt: bool,
        step: &dyn Fn(),
        used: &mut Used<'_>,
    ) -> Result<(), String> {
        let selected = select_tap(&mut probe, way.tap).map_err(RiscvError::from);
        let state = selected.and_then(|()| Ok(probe.try_get_riscv_interface_builder()?.create_state()));
        let state = match state {
            Ok(state) => state,
            Err(error) => return Err(self.let_go(probe, &error)),
        };
        let mut memory = RiscvMemory::new(probe, state, way.target);
        let entered = memory.enter(way.hart).map_err(|fault| fault.to_string());
        let held = self.until_now();
        let let_go = if self.is_under_reset { memory.let_go() } else { Ok(()) };
        entered.and(let_go.map_err(|error| said(&error)))?;
        step();
        memory.begin(may_halt).map_err(|fault| fault.to_string())?;
        step();
        used(held, &mut memory);
        Ok(())
    }
}

/// Tells the probe which chips there are on its chain, where that is known.
fn expect_chain(probe: &mut Probe, way: &RiscvWay) -> Result<(), probe_rs::Error> {
    let jtag = way.target.as_ref().and_then(|target| target.jtag.as_ref());
    let Some((jtag, chain)) = jtag.and_then(|jtag| Some((jtag, jtag.scan_chain.as_ref()?))) else {
        return Ok(());
    };
    match probe.try_as_jtag_probe() {
        Some(probe) if jtag.force_scan_chain => probe.set_scan_chain(chain)?,
        Some(probe) => probe.set_expected_scan_chain(chain)?,
        None => {}
    }
    Ok(())
}

/// Whether a JTAG chain is one of RISC-V: instructions of Arm's debug ports have 4 bits (IHI 0031, B3.2), those of RISC-V's
/// transport modules 5 (Debug Support 0.13.2, 6.1.2).
fn is_riscv_chain(probe: &mut Probe) -> bool {
    const RISCV_INSTRUCTION_BITS: u8 = 5;
    if probe.protocol() != Some(WireProtocol::Jtag) || !probe.has_riscv_interface() {
        return false;
    }
    let chain = probe.try_as_jtag_probe().and_then(|probe| probe.scan_chain().ok());
    chain.is_some_and(|chain| chain.iter().any(|tap| tap.ir_len == Some(RISCV_INSTRUCTION_BITS)))
}

/// Chooses among the chips on the chain, where the probe knows of a chain.
fn select_tap(probe: &mut Probe, tap: usize) -> Result<(), DebugProbeError> {
    let Some(probe) = probe.try_as_jtag_probe() else { return Ok(()) };
    match probe.scan_chain() {
        Ok([]) | Err(_) => Ok(()),
        Ok(_) => probe.select_target(tap),
    }
}
