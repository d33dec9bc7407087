//! The memory of a chip, however it is reached.
//!
//! What enters is which words are wanted; what leaves is words that are believed. What always holds: what is not believed is read
//! again, a few times, and then is an error; for how long the processor was halted is told, for what failed too.

use std::time::Duration;

use covtap_link::{Burst, Effect, PointerWidth};
use probe_rs::architecture::arm::{ArmError, DapError};
use probe_rs::architecture::riscv::communication_interface::RiscvError;

/// How often what is not believed is read.
const MAX_TRIES: usize = 4;

/// Why a read is refused that takes a halt which was not allowed.
pub const NEEDS_HALT: &str = "the processor would have to be halted for it";

/// Why a sweep is not believed, or not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The wire or the access port said so.
    #[error("{}", crate::choose::said(.0))]
    Arm(#[from] ArmError),
    /// The wire or the debug module said so.
    #[error("{}", crate::choose::said(.0))]
    Riscv(#[from] RiscvError),
    /// Neither, when a debug module was asked for memory.
    #[error("{}", crate::choose::said(.0))]
    Probe(probe_rs::Error),
    /// Reads succeeded, and the debug port has kept an error of theirs.
    #[error("the bus refused a read that the probe gave a value for (CTRL/STAT {0:#010x})")]
    Kept(u32),
    /// The debug module's system bus refused a read.
    #[error("the system bus refused a read: {} (sberror {sberror})", what_failed(*.sberror))]
    SystemBus { sberror: u32 },
    /// The chip's debug domain has no power any more.
    #[error("the chip has no debug power any more (CTRL/STAT {0:#010x})")]
    Unpowered(u32),
    /// The debug module has forgotten that it is in use.
    #[error("the debug module is not active any more (dmcontrol {0:#010x}): power or a reset took its state")]
    Inactive(u32),
    /// Operations were lost on the way to the debug module.
    #[error("the debug module was not done when more was asked of it, and operations were lost")]
    Overtaken,
    /// A command was not done.
    #[error("a command of the debug module was not done: {} (cmderr {cmderr})", what_kept(*.cmderr))]
    Command { cmderr: u32 },
    /// The registers that were used may not have their values any more.
    #[error("what the processor had in s0 and s1 while it was halted could not be put back: {0}")]
    Disturbed(Box<Fault>),
    /// The chip does not let itself be debugged.
    #[error("the chip is locked: its debug module wants to know who debugs it")]
    Locked,
    /// There is no memory to be had.
    #[error("its debug module has neither a system bus nor a program buffer")]
    NoWay,
    /// The chip has its access port off.
    #[error("the chip is locked: its access port does not reach memory (CSW {0:#010x})")]
    NotEnabled(u32),
    /// The access port was elsewhere, or something else was read.
    #[error(
        "reads have come to address {found:#010x} and not to {expected:#010x}: some were refused, or lost"
    )]
    OtherAddress { expected: u32, found: u32 },
    /// It cannot be read without a halt, and no halt is offered there.
    #[error(
        "its debug module, behind an access port, has no system bus, and its processor is not halted there"
    )]
    NoSystemBus,
    /// What is known reads otherwise.
    #[error("a word that is known reads as {found:#010x} instead of {known:#010x}")]
    OtherWord { known: u32, found: u32 },
    /// It cannot be read without a halt, which was not allowed.
    #[error("{NEEDS_HALT}")]
    NeedsHalt,
    /// The processor did not halt when it was told to.
    #[error("the processor did not halt within {waited_ms} ms")]
    NotHalted { waited_ms: u64 },
    /// There is no register of it.
    #[error("this processor does not show where it is while it runs")]
    NoSamples,
    /// It does not send where it is.
    #[error("this processor {0}")]
    SendsNone(&'static str),
    /// The probe does not receive what it sends.
    #[error("the probe's receiver of SWO: {0}")]
    NoReceiver(String),
    /// The chip's own part of a trace.
    #[error("have the chip's pin carry the trace: {0}")]
    NotRouted(String),
    /// A register of a trace was not taken, or was changed by somebody else.
    #[error("{name} reads as {found:#010x}, and {wrote:#010x} was written")]
    NotSet { name: &'static str, wrote: u32, found: u32 },
    /// What was sent did not arrive.
    #[error(
        "in {waited_ms} ms {num_bytes} bytes came by SWO at {baud} baud, and no synchronisation of a trace"
    )]
    NotHeard { num_bytes: u64, baud: u32, waited_ms: u64 },
}

impl Fault {
    /// Whether another try may do better.
    fn may_pass(&self) -> bool {
        let is_final = matches!(
            self,
            Self::NeedsHalt
                | Self::NoSamples
                | Self::Disturbed(_)
                | Self::SendsNone(_)
                | Self::NoReceiver(_)
                | Self::NotHeard { .. }
        );
        !self.is_out_of_range() && !self.is_timeout() && !is_final
    }

    /// Whether `probe-rs` has tried for seconds already.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Riscv(RiscvError::Timeout) | Self::Probe(probe_rs::Error::Riscv(RiscvError::Timeout))
        )
    }

    /// Whether there are no such addresses.
    fn is_out_of_range(&self) -> bool {
        matches!(self, Self::Arm(ArmError::AddressOutOf32BitAddressSpace | ArmError::OutOfBounds))
    }

    /// Whether it is the chip that refused: the way to it is there.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Kept(_) | Self::SystemBus { .. } | Self::Command { .. } | Self::NeedsHalt => true,
            Self::NoSamples | Self::SendsNone(_) | Self::NoReceiver(_) | Self::NotRouted(_) => true,
            Self::NotSet { .. } | Self::NotHeard { .. } => true,
            // Deep within what it was for.
            Self::Arm(error) => {
                self.is_out_of_range()
                    || causes(error)
                        .any(|cause| matches!(cause.downcast_ref(), Some(DapError::FaultResponse)))
            }
            _ => false,
        }
    }
}

/// What a system bus found wrong (`sbcs.sberror`).
fn what_failed(sberror: u32) -> &'static str {
    match sberror {
        1 => "a timeout",
        2 => "a bad address",
        3 => "an alignment error",
        4 => "no access of this size",
        _ => "an error",
    }
}

/// What kept a command from being done (`abstractcs.cmderr`).
fn what_kept(cmderr: u32) -> &'static str {
    match cmderr {
        1 => "another one was being done",
        2 => "it is not supported",
        3 => "an exception",
        4 => "the processor runs, or is not there",
        5 => "a bus error",
        _ => "an error",
    }
}

/// An error and what it came from.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// A processor that was recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Processor {
    pub(crate) name: &'static str,
    /// As GDB has it.
    pub(crate) architecture: &'static str,
    /// Where all of them have one.
    pub(crate) pointer_width: Option<PointerWidth>,
}

/// One way to the memory of one chip. What is read in one call is believed, or is a fault.
pub(crate) trait Memory {
    /// What executes there, as far as it was recognised.
    fn processor(&self) -> Option<Processor>;

    /// Whether there is a register that shows where the processor is while it runs.
    fn is_sampled(&self) -> bool {
        false
    }

    /// What it does to the workload to read.
    fn effect(&self) -> Effect {
        Effect::Free
    }

    /// Reads a sweep. `progress` is called now and then.
    fn sweep(&mut self, sweep: &mut [Words], progress: &dyn Fn()) -> Result<(), Fault>;

    /// Where the processor was, a few times, and what became of other samples.
    fn burst(&mut self, _progress: &dyn Fn()) -> Result<(Vec<u32>, Burst), Fault> {
        Err(Fault::NoSamples)
    }

    /// Clears the errors that were kept, after which reads are accepted again.
    fn clear_errors(&mut self) -> Result<(), Fault>;

    /// What a fault follows from, where that can be found out.
    fn cause(&mut self, fault: Fault) -> Fault {
        fault
    }

    /// For how long the processor would be halted to read so many words in so many pieces, at most; it is not halted to find
    /// out. `None` where it runs on.
    fn pause_of(&mut self, _words: u64, _pieces: u64) -> Result<Option<Duration>, Fault> {
        Ok(None)
    }

    /// For how long the processor was halted since this was asked last.
    fn take_pause(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Changes back what was changed.
    fn restore(&mut self) -> Result<(), Fault>;
}

/// Does something, until it is believed or was tried often enough.
pub(crate) fn until_believed(
    memory: &mut dyn Memory,
    mut attempt: impl FnMut(&mut dyn Memory) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for _ in 1..MAX_TRIES {
        match attempt(memory) {
            Err(fault) if fault.may_pass() => {
                // If that fails too, the next try says so.
                let _ = memory.clear_errors();
            }
            done => return done,
        }
    }
    attempt(memory).map_err(|fault| memory.cause(fault))
}

/// Whether a word is what it was.
pub(crate) fn same(known: u32, found: u32) -> Result<(), Fault> {
    if known == found { Ok(()) } else { Err(Fault::OtherWord { known, found }) }
}

/// An access port counts its address up so far, from a multiple of it on.
pub(crate) const PIECE_BYTES: u64 = 1024;

/// Has a sweep read piece by piece.
pub(crate) fn in_pieces(
    sweep: &mut [Words],
    mut read: impl FnMut(u64, &mut [u32]) -> Result<(), Fault>,
    progress: &dyn Fn(),
) -> Result<(), Fault> {
    const PIECE_WORDS: usize = 256;
    for words in sweep {
        let mut at = words.start;
        let mut rest = words.values.as_mut_slice();
        while !rest.is_empty() {
            let to_boundary = usize::try_from((PIECE_BYTES - at % PIECE_BYTES) / 4).unwrap_or(PIECE_WORDS);
            let (piece, others) = rest.split_at_mut(to_boundary.min(rest.len()));
            read(at, piece)?;
            at = at.saturating_add(piece.len() as u64 * 4);
            rest = others;
            progress();
        }
    }
    Ok(())
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
