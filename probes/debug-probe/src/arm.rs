//! Memory behind an access port of Arm's debug port, read while the processor runs, and what it is believed by.
//!
//! What enters is a probe that is attached; what leaves is words of memory, and program counters. What always holds: no
//! debug register of the processor is written but `DEMCR` and, where it sends samples, those of its trace; what is
//! [changed](Changed) is changed back.
//!
//! Source: Arm Debug Interface v5.2 (IHI 0031), Armv7-M Architecture Reference Manual (DDI 0403) C1.

use covtap_link::{Burst, PointerWidth};
use probe_rs::architecture::arm::ap::{ApRegister, BD3, TAR};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{ArmError, FullyQualifiedApAddress};

use crate::access::{self, none_was_refused};
use crate::changed::Changed;
use crate::chip;
use crate::memory::{self, Fault, Memory, Processor, Words};
use crate::swo::Sent;

/// The processor's id, on every Cortex-M.
const CPUID: u64 = 0xe000_ed00;
/// Debug exception and monitor control, and its bit that lets the counters below be read.
const DEMCR: u64 = 0xe000_edfc;
const TRCENA: u32 = 1 << 24;
/// What the banked data registers are read at, so that the last of them is `DWT_PCSR` (0xe000101c): where the processor is, as a
/// register that is read and not halted for.
const DWT_PCSR_BANK: u32 = 0xe000_1010;
/// What `DWT_PCSR` is where nothing is sampled, and where the processor is halted or its place may not be told.
const NOWHERE: [u32; 2] = [0, u32::MAX];
/// So many samples are taken at once: few enough that they are had soon, and enough that the address that is written before
/// them does not count.
const BURST: usize = 256;

/// What reads are believed by, beside the access port's own address, which goes on with each word.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// The processor's id, a word that is read behind them as they were.
    Cpuid(u32),
    /// There is no such word: the access port's address, which is written and read.
    Address,
}

/// The memory of a chip.
pub(crate) struct ArmMemory<'a> {
    memory: Box<dyn ArmMemoryInterface + 'a>,
    access_port: FullyQualifiedApAddress,
    known: Known,
    /// What was changed for samples.
    changed: Changed,
    is_traced: bool,
    /// The processor sends samples, and is not asked for them.
    sent: Option<Sent>,
}

impl<'a> ArmMemory<'a> {
    /// Learns what reads are believed by.
    pub(crate) fn new(
        mut memory: Box<dyn ArmMemoryInterface + 'a>,
        access_port: FullyQualifiedApAddress,
        may_be_cortex_m: bool,
    ) -> Result<Self, Fault> {
        let found = if may_be_cortex_m { cpuid(&mut *memory)? } else { None };
        let known = found.map_or(Known::Address, Known::Cpuid);
        if found.is_none() {
            access::is_enabled(&mut *memory)?;
        }
        let (changed, is_traced, sent) = (Changed::default(), false, None);
        let mut made = Self { memory, access_port, known, changed, is_traced, sent };
        made.check()?;
        Ok(made)
    }

    /// The id of its Cortex-M.
    pub(crate) fn cpuid(&self) -> Option<u32> {
        match self.known {
            Known::Cpuid(id) => Some(id),
            Known::Address => None,
        }
    }

    /// Has samples sent, where they are asked for.
    pub(crate) fn send_samples(&mut self, sent: Sent) {
        self.sent = Some(sent);
    }

    /// Whether what is read now can be believed.
    fn check(&mut self) -> Result<(), Fault> {
        // Nothing is read there.
        const ANYWHERE: u32 = 0x5555_5554;
        match self.known {
            // It tells itself whether it was read.
            Known::Cpuid(known) => memory::same(known, self.memory.read_word_32(CPUID)?)?,
            Known::Address => {
                let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
                arm.write_raw_ap_register(&self.access_port, TAR::ADDRESS, ANYWHERE)?;
                access::has_come_to(&mut *self.memory, [ANYWHERE; 2])?;
            }
        }
        none_was_refused(&mut *self.memory)
    }

    fn let_be_traced(&mut self) -> Result<(), Fault> {
        if !self.is_traced {
            let demcr = access::read_word(&mut *self.memory, DEMCR)?;
            self.check()?;
            if demcr & TRCENA == 0 {
                self.changed.write(&mut *self.memory, DEMCR, demcr | TRCENA)?;
            }
            self.is_traced = true;
        }
        Ok(())
    }

    /// What was read last was words, as is the processor's id: so are these, each by one transfer, since a register of a bank
    /// is read as often as wanted for one address.
    fn asked_for(&mut self) -> Result<(Vec<u32>, Burst), Fault> {
        let mut samples = vec![0; BURST];
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        arm.write_raw_ap_register(&self.access_port, TAR::ADDRESS, DWT_PCSR_BANK)?;
        arm.read_raw_ap_register_repeated(&self.access_port, BD3::ADDRESS, &mut samples)?;
        self.check()?;
        let num = samples.len() as u64;
        samples.retain(|at| !NOWHERE.contains(at));
        Ok((samples, Burst { num, due: num, ..Burst::default() }))
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

    fn sweep(&mut self, sweep: &mut [Words], progress: &dyn Fn()) -> Result<(), Fault> {
        memory::in_pieces(sweep, |at, piece| access::read(&mut *self.memory, at, piece), progress)?;
        self.check()
    }

    fn burst(&mut self, progress: &dyn Fn()) -> Result<(Vec<u32>, Burst), Fault> {
        self.let_be_traced()?;
        progress();
        let Some(sent) = &mut self.sent else { return self.asked_for() };
        sent.receive(&mut *self.memory, &mut self.changed, progress)?;
        // The wire of the samples is another than that of the bus, and may be there without it.
        self.check()?;
        Ok(self.sent.as_mut().map(Sent::take).unwrap_or_default())
    }

    fn clear_errors(&mut self) -> Result<(), Fault> {
        access::clear_errors(&mut *self.memory)
    }

    /// Whether there is no power: what else was said follows from that.
    fn cause(&mut self, fault: Fault) -> Fault {
        access::cause(&mut *self.memory, fault)
    }

    fn restore(&mut self) -> Result<(), Fault> {
        self.is_traced = false;
        let restored = self.changed.restore(&mut *self.memory);
        let ended = self.sent.as_mut().map_or(Ok(()), |sent| sent.end(&mut *self.memory));
        restored.and(ended)
    }
}

/// The id of a Cortex-M, if there is one.
fn cpuid(memory: &mut dyn ArmMemoryInterface) -> Result<Option<u32>, Fault> {
    // A single failure may be that of the way.
    const MAX_TRIES: usize = 3;
    for _ in 0..MAX_TRIES {
        let id = access::read_word(memory, CPUID).ok();
        if let Some(id) = id.filter(|id| chip::processor(*id).is_some()) {
            return Ok(Some(id));
        }
        access::clear_errors(memory)?;
    }
    Ok(None)
}
