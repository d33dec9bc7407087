//! Abstract commands of a RISC-V debug module (RISC-V External Debug Support 0.13.2, 3.6): one register of a halted hart
//! is moved, and a program buffer is executed.
//!
//! ```text
//!  31      24 23 22     20  19   18   17   16  15       0
//!  | cmdtype | 0 | aarsize | inc | post | transfer | write | regno |
//! ```
//!
//! What enters are accesses of the module's registers for it; what leaves are values of them. What always holds: each
//! command ends before the next access, and after an error none is executed until the debugger has cleared it.

use crate::riscv::dmi::{self, AARPOSTINCREMENT, AARSIZE_32, POSTEXEC, TRANSFER, WRITE};
use crate::riscv::program_buffer::{self, Exception};
use crate::riscv::reach::Reach;

/// As many words as there can be in a program buffer.
const PROGBUF_LIMIT: usize = 16;
const AARSIZE: u32 = 0b111 << 20;

/// Why a command failed (abstractcs.cmderr).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CommandError {
    NotSupported = 2,
    Exception = 3,
    HaltResume = 4,
}

/// The registers of abstract commands.
#[derive(Debug)]
pub(crate) struct AbstractCommands {
    data: [u32; 2],
    program: Vec<u32>,
    command: u32,
    auto: u32,
    error: u32,
}

impl AbstractCommands {
    pub(crate) fn new(progbuf_words: usize) -> Self {
        let program = vec![0; progbuf_words.min(PROGBUF_LIMIT)];
        Self { data: [0; 2], program, command: 0, auto: 0, error: 0 }
    }

    /// Whether there is a program buffer.
    pub(crate) fn has_program(&self) -> bool {
        !self.program.is_empty()
    }

    pub(crate) fn abstractauto(&self) -> u32 {
        self.auto
    }

    pub(crate) fn abstractcs(&self) -> u32 {
        let data_count = 2;
        let words = u32::try_from(self.program.len()).unwrap_or_default();
        words << 24 | self.error << 8 | data_count
    }

    pub(crate) fn write_abstractcs(&mut self, value: u32) {
        self.error &= !(value >> 8 & 7);
    }

    pub(crate) fn write_abstractauto(&mut self, value: u32) {
        let words = (1 << self.program.len()) - 1;
        self.auto = value & (words << 16 | 0b11);
    }

    pub(crate) fn write_command(&mut self, value: u32, reach: &mut Reach<'_>) {
        self.command = value;
        self.execute(reach);
    }

    /// Reads data or a word of the program buffer, and executes the command again where that is asked for.
    pub(crate) fn read(&mut self, address: u8, reach: &mut Reach<'_>) -> u32 {
        let value = self.word(address).map_or(0, |word| *word);
        self.execute_again(address, reach);
        value
    }

    /// As [`read`](Self::read).
    pub(crate) fn write(&mut self, address: u8, value: u32, reach: &mut Reach<'_>) {
        if let Some(word) = self.word(address) {
            *word = value;
        }
        self.execute_again(address, reach);
    }

    fn word(&mut self, address: u8) -> Option<&mut u32> {
        match address.checked_sub(dmi::PROGBUF0) {
            Some(index) => self.program.get_mut(usize::from(index)),
            None => self.data.get_mut(usize::from(address.checked_sub(dmi::DATA0)?)),
        }
    }

    fn execute_again(&mut self, address: u8, reach: &mut Reach<'_>) {
        let bit = match address.checked_sub(dmi::PROGBUF0) {
            Some(index) => index.saturating_add(16),
            None => address.saturating_sub(dmi::DATA0),
        };
        if self.auto.checked_shr(bit.into()).is_some_and(|bits| bits & 1 != 0) {
            self.execute(reach);
        }
    }

    fn execute(&mut self, reach: &mut Reach<'_>) {
        if self.error != 0 {
            return;
        }
        reach.stats.abstract_commands += 1;
        self.error = match self.try_execute(reach) {
            Ok(()) => 0,
            Err(error) => error as u32,
        };
    }

    fn try_execute(&mut self, reach: &mut Reach<'_>) -> Result<(), CommandError> {
        let command = self.command;
        let is_transfer = command & TRANSFER != 0;
        let is_wrong_size = is_transfer && command & AARSIZE != AARSIZE_32;
        let has_no_program = command & POSTEXEC != 0 && self.program.is_empty();
        // Type 0 alone is there, which is access to a register.
        if command >> 24 != 0 || command & AARPOSTINCREMENT != 0 || is_wrong_size || has_no_program {
            return Err(CommandError::NotSupported);
        }
        if !reach.hart.is_halted() {
            return Err(CommandError::HaltResume);
        }
        if is_transfer {
            let number = u16::try_from(command & 0xFFFF).unwrap_or_default();
            let [data0, _] = &mut self.data;
            let done = if command & WRITE != 0 {
                reach.write_register(number, *data0)
            } else {
                reach.read_register(number).map(|value| *data0 = value)
            };
            done.ok_or(CommandError::NotSupported)?;
        }
        if command & POSTEXEC != 0 {
            program_buffer::run(&self.program, reach).map_err(|Exception| CommandError::Exception)?;
        }
        Ok(())
    }
}
