//! Memory by way of a halted hart: it executes loads out of the debug module's program buffer.
//!
//! What enters is a hart that is halted; what leaves is words of memory. What always holds: a value is taken only if all commands
//! were done that bring it, no word beyond what was asked for is loaded, and the two registers that are used have their
//! values again, read back, before the hart runs on.
//!
//! `probe-rs` has such reads as well, in fewer trips to the probe. They are not used here: it takes what stood in a register
//! before for the word that a failed load was to bring, and does not look whether registers were put back.
//!
//! Source: RISC-V External Debug Support 0.13.2, 3.6 (abstract commands), 3.7 (program buffer), B.2 (reading memory).

use std::time::{Duration, Instant};

use probe_rs::architecture::riscv::communication_interface::{Abstractauto, AccessRegisterCommand};
use probe_rs::architecture::riscv::{Abstractcs, Data0, Data1, Progbuf0, Progbuf1, Progbuf2};

use super::module::Module;
use crate::memory::{self, Fault, Words};

/// `abstractcs`: how long the program buffer is; a command is being done; the error that one left.
const PROGBUFSIZE_SHIFT: u32 = 24;
const PROGBUFSIZE: u32 = 0x1f;
const BUSY: u32 = 1 << 12;
const CMDERR_SHIFT: u32 = 8;
pub(crate) const CMDERR: u32 = 7 << CMDERR_SHIFT;

/// `command`: access a register of so many bits, then execute the program; 0 reads it.
const AARSIZE_SHIFT: u32 = 20;
const POSTEXEC: u32 = 1 << 18;
const TRANSFER: u32 = 1 << 17;
const WRITE: u32 = 1 << 16;
const S0: u32 = 0x1008;
const S1: u32 = 0x1009;

/// `lw s1, 0(s0)`, `addi s0, s0, 4`, `ebreak`.
const PROGRAM: [u32; 2] = [0x0004_2483, 0x0044_0413];
const EBREAK: u32 = 0x0010_0073;

/// A command that was not done, as `abstractcs` has it.
const BUSY_ERROR: u32 = 1;
const NOT_SUPPORTED: u32 = 2;

/// The width of a register that a command moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Bits32 = 2,
    Bits64 = 3,
}

/// What a hart had in the registers that are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved {
    width: Width,
    s0: u64,
    s1: u64,
}

/// What a module's program buffer is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProgramBuffer {
    /// Whether it takes an instruction that ends the program, which else is there by itself.
    takes_ebreak: bool,
    /// Whether a command is repeated when its data are read.
    has_autoexec: bool,
}

impl ProgramBuffer {
    /// What `abstractcs` and the module say of it; none if it is too small.
    pub(crate) fn find(module: &mut Module<'_>, ends_itself: bool) -> Result<Option<Self>, Fault> {
        let size = abstractcs(module)? >> PROGBUFSIZE_SHIFT & PROGBUFSIZE;
        let takes_ebreak = size > 2;
        let has_room = takes_ebreak || size == 2 && ends_itself;
        let has_autoexec = has_room && has_autoexec(module)?;
        Ok(has_room.then_some(Self { takes_ebreak, has_autoexec }))
    }

    /// How often the probe is asked, at most, from a halt until after it, for so many words in so many pieces.
    pub(crate) fn trips(self, words: u64, pieces: u64) -> u64 {
        /// To halt, to save and put back registers, and to resume; to begin with a piece and to end with it.
        const AROUND: u64 = 48;
        const OF_PIECE: u64 = 16;
        let of_word = if self.has_autoexec { 1 } else { 3 };
        let of_pieces = pieces.saturating_mul(OF_PIECE).saturating_add(AROUND);
        words.saturating_mul(of_word).saturating_add(of_pieces)
    }

    /// Does without what the hart is too slow for.
    pub(crate) fn after(self, fault: &Fault) -> Self {
        let is_too_fast = matches!(fault, Fault::Command { cmderr: BUSY_ERROR });
        Self { has_autoexec: self.has_autoexec && !is_too_fast, ..self }
    }

    /// Reads a sweep, after `save` and before `put_back`.
    pub(crate) fn read(
        self,
        module: &mut Module<'_>,
        saved: Saved,
        sweep: &mut [Words],
        progress: &dyn Fn(),
    ) -> Result<(), Fault> {
        let [load, count_up] = PROGRAM;
        module.write_dm_register(Progbuf0::from(load))?;
        module.write_dm_register(Progbuf1::from(count_up))?;
        if self.takes_ebreak {
            module.write_dm_register(Progbuf2::from(EBREAK))?;
        }
        let read = memory::in_pieces(sweep, |at, piece| self.piece(module, saved.width, at, piece), progress);
        module.write_dm_register(Abstractauto::from(0))?;
        read
    }

    fn piece(self, module: &mut Module<'_>, width: Width, at: u64, piece: &mut [u32]) -> Result<(), Fault> {
        let end = at.saturating_add(piece.len() as u64 * 4);
        let Some((last, before)) = piece.split_last_mut() else { return Ok(()) };
        write(module, width, S0, at, POSTEXEC)?;
        let next = (width as u32) << AARSIZE_SHIFT | TRANSFER | POSTEXEC | S1;
        if let Some((last_but_one, before)) = before.split_last_mut() {
            command(module, next)?;
            if self.has_autoexec {
                repeated(module, before)?;
            } else {
                for word in before {
                    *word = data0(module)?;
                    command(module, next)?;
                }
            }
            *last_but_one = data0(module)?;
        }
        let value = read(module, width, S1)?;
        *last = low(value);
        match read(module, width, S0)? {
            at if at == width.of(end) => Ok(()),
            at => Err(Fault::OtherWord { known: low(end), found: low(at) }),
        }
    }
}

/// Reads what a command brings that is done again for each word.
fn repeated(module: &mut Module<'_>, words: &mut [u32]) -> Result<(), Fault> {
    module.write_dm_register(Abstractauto::from(1))?;
    for word in words {
        *word = data0(module)?;
    }
    module.write_dm_register(Abstractauto::from(0))?;
    done(module)
}

impl Width {
    /// A value, as far as a register has room for it.
    fn of(self, value: u64) -> u64 {
        match self {
            Self::Bits32 => u64::from(low(value)),
            Self::Bits64 => value,
        }
    }
}

/// What the hart has in the registers that will be used.
pub(crate) fn save(module: &mut Module<'_>) -> Result<Saved, Fault> {
    let (width, s0) = match read(module, Width::Bits64, S0) {
        Err(Fault::Command { cmderr: NOT_SUPPORTED }) => (Width::Bits32, read(module, Width::Bits32, S0)?),
        read => (Width::Bits64, read?),
    };
    Ok(Saved { width, s0, s1: read(module, width, S1)? })
}

/// Gives the registers back what they had, and makes sure of it.
pub(crate) fn put_back(module: &mut Module<'_>, saved: Saved) -> Result<(), Fault> {
    let Saved { width, s0, s1 } = saved;
    module.write_dm_register(Abstractauto::from(0))?;
    module.write_dm_register(Abstractcs::from(CMDERR))?;
    for (number, value) in [(S0, s0), (S1, s1)] {
        write(module, width, number, value, 0)?;
        let found = read(module, width, number)?;
        if found != value {
            return Err(Fault::OtherWord { known: low(value), found: low(found) });
        }
    }
    Ok(())
}

fn read(module: &mut Module<'_>, width: Width, number: u32) -> Result<u64, Fault> {
    command(module, (width as u32) << AARSIZE_SHIFT | TRANSFER | number)?;
    let high = match width {
        Width::Bits32 => 0,
        Width::Bits64 => u64::from(u32::from(module.read_dm_register::<Data1>()?)),
    };
    Ok(high << 32 | u64::from(data0(module)?))
}

/// Writes a register, and has the program executed if `flags` say so.
fn write(module: &mut Module<'_>, width: Width, number: u32, value: u64, flags: u32) -> Result<(), Fault> {
    if width == Width::Bits64 {
        module.write_dm_register(Data1::from(low(value >> 32)))?;
    }
    module.write_dm_register(Data0::from(low(value)))?;
    command(module, (width as u32) << AARSIZE_SHIFT | TRANSFER | WRITE | flags | number)
}

/// Has a command done.
fn command(module: &mut Module<'_>, command: u32) -> Result<(), Fault> {
    module.write_dm_register(AccessRegisterCommand::from(command))?;
    done(module)
}

/// Waits until commands were done, and makes sure that all were.
fn done(module: &mut Module<'_>) -> Result<(), Fault> {
    const PATIENCE: Duration = Duration::from_millis(100);
    let began = Instant::now();
    let mut found = abstractcs(module)?;
    while found & BUSY != 0 && began.elapsed() < PATIENCE {
        found = abstractcs(module)?;
    }
    match (found & CMDERR) >> CMDERR_SHIFT {
        0 if found & BUSY != 0 => Err(Fault::Command { cmderr: BUSY_ERROR }),
        0 => Ok(()),
        cmderr => {
            module.write_dm_register(Abstractcs::from(CMDERR))?;
            Err(Fault::Command { cmderr })
        }
    }
}

fn abstractcs(module: &mut Module<'_>) -> Result<u32, Fault> {
    Ok(u32::from(module.read_dm_register::<Abstractcs>()?))
}

fn data0(module: &mut Module<'_>) -> Result<u32, Fault> {
    Ok(u32::from(module.read_dm_register::<Data0>()?))
}

/// Whether the module repeats a command when its data are read.
fn has_autoexec(module: &mut Module<'_>) -> Result<bool, Fault> {
    const ON_DATA0: u32 = 1;
    module.write_dm_register(Abstractauto::from(ON_DATA0))?;
    let found = module.read_dm_register::<Abstractauto>()?;
    module.write_dm_register(Abstractauto::from(0))?;
    Ok(u32::from(found) == ON_DATA0)
}

/// The lower half.
fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
