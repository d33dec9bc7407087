//! Memory behind an access port of Arm's debug port, read while the processor runs, and what it is believed by.
//!
//! What enters is a probe that is attached; what leaves is words of memory, and program counters. What always holds: no
//! debug register of the processor is written but `DEMCR`, for samples, and that is restored.
//!
//! Source: Arm Debug Interface v5.2 (IHI 0031), Armv7-M Architecture Reference Manual (DDI 0403) C1.

use covtap_link::PointerWidth;
use probe_rs::architecture::arm::ap::{ApRegister, BD3, IDR, TAR};
use probe_rs::architecture::arm::dp::{Abort, Ctrl, DpRegister};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{ArmError, FullyQualifiedApAddress};

use crate::chip;
use crate::memory::{self, Fault, Memory, Processor, Words};

/// The processor's id, on every Cortex-M.
const CPUID: u64 = 0xe000_ed00;
/// Debug exception and monitor control, and its bit that lets the counters below be read.
const DEMCR: u64 = 0xe000_edfc;
const TRCENA: u32 = 1 << 24;
/// What the banked data registers are read at, so that the last of them is `DWT_PCSR` (0xe000101c): where the processor is, as a
/// register that is read and not halted for.
const DWT_PCSR_BANK: u32 = 0xe000_1010;

/// `CTRL/STAT`: errors that the debug port keeps until they are cleared.
const ERRORS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7;
/// `CTRL/STAT`: debug and system have power.
const POWER: u32 = 1 << 29 | 1 << 31;

/// What a word is believed by: that it reads as it did.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// The processor's id.
    Cpuid(u32),
    /// The access port's.
    AccessPort(u32),
}

/// The memory of a chip.
pub(crate) struct ArmMemory<'a> {
    memory: Box<dyn ArmMemoryInterface + 'a>,
    access_port: FullyQualifiedApAddress,
    known: Known,
    /// What `DEMCR` was before samples were taken.
    demcr: Option<u32>,
}

impl<'a> ArmMemory<'a> {
    /// Learns what reads are believed by.
    pub(crate) fn new(
        mut memory: Box<dyn ArmMemoryInterface + 'a>,
        access_port: FullyQualifiedApAddress,
    ) -> Result<Self, Fault> {
        let cpuid = memory.read_word_32(CPUID).ok().filter(|id| chip::processor(*id).is_some());
        let known = match cpuid {
            Some(id) => Known::Cpuid(id),
            None => Known::AccessPort(access_port_id(&mut *memory, &access_port)?),
        };
        let mut made = Self { memory, access_port, known, demcr: None };
        if cpuid.is_none() {
            // There was no such word, which is no error of later reads.
            made.clear_errors()?;
        }
        made.check()?;
        Ok(made)
    }

    /// The id of its Cortex-M.
    pub(crate) fn cpuid(&self) -> Option<u32> {
        match self.known {
            Known::Cpuid(id) => Some(id),
            Known::AccessPort(_) => None,
        }
    }

    fn status(&mut self) -> Result<u32, Fault> {
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        Ok(arm.read_raw_dp_register(self.access_port.dp(), Ctrl::ADDRESS)?)
    }

    /// Whether what was read can be believed.
    fn check(&mut self) -> Result<(), Fault> {
        match self.known {
            Known::Cpuid(known) => memory::same(known, self.memory.read_word_32(CPUID)?)?,
            Known::AccessPort(known) => {
                memory::same(known, access_port_id(&mut *self.memory, &self.access_port)?)?;
            }
        }
        match self.status()? {
            status if status & POWER != POWER => Err(Fault::Unpowered(status)),
            status if status & ERRORS != 0 => Err(Fault::Kept(status)),
            _ => Ok(()),
        }
    }

    fn let_be_sampled(&mut self) -> Result<(), Fault> {
        if self.demcr.is_none() {
            let demcr = self.memory.read_word_32(DEMCR)?;
            self.check()?;
            self.demcr = Some(demcr);
            if demcr & TRCENA == 0 {
                self.memory.write_word_32(DEMCR, demcr | TRCENA)?;
                self.memory.flush()?;
            }
        }
        Ok(())
    }
}

impl Memory for ArmMemory<'_> {
    fn processor(&self) -> Option<Processor> {
        let found = self.cpuid().and_then(chip::processor);
        let pointer_width = Some(PointerWidth::Bits32);
        found.map(|(name, _)| Processor { name, architecture: "arm", pointer_width })
    }

    fn is_sampled(&self) -> bool {
        self.cpuid().is_some()
    }

    fn sweep(&mut self, sweep: &mut [Words], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        memory::in_pieces(sweep, |at, piece| Ok(self.memory.read_32(at, piece)?), progress)?;
        self.check()
    }

    /// One burst of samples. What was read last was words, as is the processor's id: so are these, each by one transfer, since
    /// a register of a bank is read as often as wanted for one address.
    fn burst(&mut self, samples: &mut [u32], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        self.let_be_sampled()?;
        progress();
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        arm.write_raw_ap_register(&self.access_port, TAR::ADDRESS, DWT_PCSR_BANK)?;
        arm.read_raw_ap_register_repeated(&self.access_port, BD3::ADDRESS, samples)?;
        self.check()
    }

    /// Clears the errors that the debug port has kept, after which it accepts reads again.
    fn clear_errors(&mut self) -> Result<(), Fault> {
        let mut abort = Abort(0);
        abort.set_orunerrclr(true);
        abort.set_wderrclr(true);
        abort.set_stkerrclr(true);
        abort.set_stkcmpclr(true);
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        arm.write_raw_dp_register(self.access_port.dp(), Abort::ADDRESS, abort.into())?;
        arm.flush()?;
        Ok(())
    }

    /// Whether there is no power: what else was said follows from that.
    fn cause(&mut self, fault: Fault) -> Fault {
        match self.status() {
            Ok(status) if status & POWER != POWER => Fault::Unpowered(status),
            _ => fault,
        }
    }

    fn restore(&mut self) -> Result<(), Fault> {
        if let Some(demcr) = self.demcr.take().filter(|demcr| demcr & TRCENA == 0) {
            self.memory.write_word_32(DEMCR, demcr)?;
            self.memory.flush()?;
        }
        Ok(())
    }
}

fn access_port_id(
    memory: &mut dyn ArmMemoryInterface,
    access_port: &FullyQualifiedApAddress,
) -> Result<u32, Fault> {
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    Ok(arm.read_raw_ap_register(access_port, IDR::ADDRESS)?)
}
