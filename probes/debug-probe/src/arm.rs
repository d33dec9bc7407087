//! Memory behind an access port of Arm's debug port, read while the processor runs, and what it is believed by.
//!
//! What enters is a probe that is attached; what leaves is words of memory, and program counters. What always holds: no
//! debug register of the processor is written but `DEMCR`, for samples, and that is restored.
//!
//! Source: Arm Debug Interface v5.2 (IHI 0031), Armv7-M Architecture Reference Manual (DDI 0403) C1.

use probe_rs::architecture::arm::ap::{ApRegister, BD3, IDR, TAR};
use probe_rs::architecture::arm::dp::{Abort, Ctrl, DpRegister};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{ArmError, FullyQualifiedApAddress};

use crate::chip;

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

/// How often what is not believed is read.
const MAX_TRIES: usize = 4;

/// What a word is believed by: that it reads as it did.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// The processor's id.
    Cpuid(u32),
    /// The access port's.
    AccessPort(u32),
}

/// Why a sweep is not believed, or not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The wire or the access port said so.
    #[error("{}", crate::choose::said(.0))]
    Said(#[from] ArmError),
    /// Reads succeeded, and the debug port has kept an error of theirs.
    #[error("the bus refused a read that the probe gave a value for (CTRL/STAT {0:#010x})")]
    Kept(u32),
    /// The chip's debug domain has no power any more.
    #[error("the chip has no debug power any more (CTRL/STAT {0:#010x})")]
    Unpowered(u32),
    /// What is known reads otherwise.
    #[error("a word that is known reads as {found:#010x} instead of {known:#010x}")]
    OtherWord { known: u32, found: u32 },
}

impl Fault {
    /// Whether another try may do better.
    fn may_pass(&self) -> bool {
        !matches!(self, Self::Said(ArmError::AddressOutOf32BitAddressSpace | ArmError::OutOfBounds))
    }
}

/// The memory of a chip.
pub(crate) struct Memory<'a> {
    memory: Box<dyn ArmMemoryInterface + 'a>,
    access_port: FullyQualifiedApAddress,
    known: Known,
    /// What `DEMCR` was before samples were taken.
    demcr: Option<u32>,
}

impl<'a> Memory<'a> {
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

    /// Reads a sweep, until it is believed. `progress` is called now and then.
    pub(crate) fn read(&mut self, sweep: &mut [Words], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        self.until_believed(|memory| memory.sweep(sweep, progress))
    }

    /// Reads where the processor is, once for each place in `samples`, until that is believed.
    pub(crate) fn sample(&mut self, samples: &mut [u32], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        self.until_believed(|memory| {
            memory.let_be_sampled()?;
            progress();
            memory.burst(samples)
        })
    }

    /// Does something again, a few times, after what may pass.
    fn until_believed(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for _ in 1..MAX_TRIES {
            match attempt(self) {
                Err(fault) if fault.may_pass() => {
                    // If that fails too, the next try says so.
                    let _ = self.clear_errors();
                }
                done => return done,
            }
        }
        attempt(self).map_err(|fault| self.power_fault().unwrap_or(fault))
    }

    /// Whether there is no power: what else was said follows from that.
    fn power_fault(&mut self) -> Option<Fault> {
        let status = self.status().ok()?;
        (status & POWER != POWER).then_some(Fault::Unpowered(status))
    }

    fn status(&mut self) -> Result<u32, Fault> {
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        Ok(arm.read_raw_dp_register(self.access_port.dp(), Ctrl::ADDRESS)?)
    }

    fn sweep(&mut self, sweep: &mut [Words], progress: &mut dyn FnMut()) -> Result<(), Fault> {
        /// The access port counts its address up within 1 KiB.
        const PIECE_WORDS: usize = 256;
        for words in sweep {
            let mut at = words.start;
            let mut rest = words.values.as_mut_slice();
            while !rest.is_empty() {
                let to_boundary = usize::try_from((0x400 - at % 0x400) / 4).unwrap_or(PIECE_WORDS);
                let (piece, others) = rest.split_at_mut(to_boundary.min(rest.len()));
                self.memory.read_32(at, piece)?;
                at = at.saturating_add(piece.len() as u64 * 4);
                rest = others;
                progress();
            }
        }
        self.check()
    }

    /// Whether what was read can be believed.
    fn check(&mut self) -> Result<(), Fault> {
        match self.known {
            Known::Cpuid(known) => same(known, self.memory.read_word_32(CPUID)?)?,
            Known::AccessPort(known) => {
                same(known, access_port_id(&mut *self.memory, &self.access_port)?)?;
            }
        }
        match self.status()? {
            status if status & POWER != POWER => Err(Fault::Unpowered(status)),
            status if status & ERRORS != 0 => Err(Fault::Kept(status)),
            _ => Ok(()),
        }
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

    /// One burst of samples. What was read last was words, as is the processor's id: so are these, each by one transfer, since
    /// a register of a bank is read as often as wanted for one address.
    fn burst(&mut self, samples: &mut [u32]) -> Result<(), Fault> {
        let arm = self.memory.get_arm_debug_interface().map_err(ArmError::from)?;
        arm.write_raw_ap_register(&self.access_port, TAR::ADDRESS, DWT_PCSR_BANK)?;
        arm.read_raw_ap_register_repeated(&self.access_port, BD3::ADDRESS, samples)?;
        self.check()
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

    /// Changes back what was changed.
    pub(crate) fn restore(&mut self) -> Result<(), Fault> {
        if let Some(demcr) = self.demcr.take().filter(|demcr| demcr & TRCENA == 0) {
            self.memory.write_word_32(DEMCR, demcr)?;
            self.memory.flush()?;
        }
        Ok(())
    }
}

fn same(known: u32, found: u32) -> Result<(), Fault> {
    if known == found { Ok(()) } else { Err(Fault::OtherWord { known, found }) }
}

fn access_port_id(
    memory: &mut dyn ArmMemoryInterface,
    access_port: &FullyQualifiedApAddress,
) -> Result<u32, Fault> {
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    Ok(arm.read_raw_ap_register(access_port, IDR::ADDRESS)?)
}

/// Words of memory from an address on, which is one of a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Words {
    pub(crate) start: u64,
    pub(crate) values: Vec<u32>,
}

impl Words {
    /// The words that have these bytes.
    pub(crate) fn around(start: u64, len_bytes: usize) -> Option<Self> {
        let first = start & !3;
        let end = start.checked_add(len_bytes as u64)?.checked_next_multiple_of(4)?;
        let num = usize::try_from(end.checked_sub(first)? / 4).ok()?;
        Some(Self { start: first, values: vec![0; num] })
    }

    /// Copies the bytes from `start` on into a buffer: they are in the order of the bus, lowest address first.
    pub(crate) fn copy_to(&self, start: u64, buf: &mut [u8]) {
        let skipped = usize::try_from(start.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let bytes = self.values.iter().flat_map(|word| word.to_le_bytes()).skip(skipped);
        buf.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_words_around_them() {
        let mut words = Words::around(0x1002, 5).unwrap();
        assert_eq!((words.start, words.values.len()), (0x1000, 2));
        words.values = vec![0x4433_2211, 0x8877_6655];
        let mut bytes = [0; 5];
        words.copy_to(0x1002, &mut bytes);
        assert_eq!(bytes, [0x33, 0x44, 0x55, 0x66, 0x77]);
        assert_eq!(Words::around(0x1000, 0).unwrap().values, []);
        assert_eq!(Words::around(u64::MAX, 4), None);
    }
}
