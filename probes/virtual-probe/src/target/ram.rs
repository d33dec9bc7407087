//! A target that is a buffer: what it holds and where its processor is are a test's to say.

use std::sync::{Arc, Mutex};

use crate::lock;
use crate::target::{HartRegister, Target, TargetError};

/// R0 to PC, xPSR, MSP, PSP and what DCRSR has besides.
const REGISTERS: usize = 32;
const PC: u8 = 15;
/// What x1 to x31 hold, with their numbers in the lowest bits.
const HART_REGISTERS: u32 = 0xC0DE_0000;

/// A buffer at an address, with a list of program counters that are gone through in turn.
///
/// A reset brings back the memory that it began with, as start-up code does.
#[derive(Debug)]
pub struct Ram {
    base: u32,
    memory: Arc<Mutex<Vec<u8>>>,
    at_reset: Vec<u8>,
    pcs: Vec<u32>,
    next_pc: usize,
    registers: [u32; REGISTERS],
}

impl Ram {
    /// Memory that begins at `base`, and a processor that is at each of `pcs` in turn: at 0 if there is none.
    #[must_use]
    pub fn new(base: u32, memory: Arc<Mutex<Vec<u8>>>, pcs: Vec<u32>) -> Self {
        let at_reset = lock(&memory).clone();
        Self { base, memory, at_reset, pcs, next_pc: 0, registers: [0; REGISTERS] }
    }

    /// Memory of words, as a debugger reads them.
    #[must_use]
    pub fn of_words(base: u32, words: impl IntoIterator<Item = u32>, pcs: Vec<u32>) -> Self {
        let memory = words.into_iter().flat_map(u32::to_le_bytes).collect();
        Self::new(base, Arc::new(Mutex::new(memory)), pcs)
    }

    /// The buffer, for a program that is played by the test.
    #[must_use]
    pub fn memory(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.memory)
    }

    fn current_pc(&self) -> u32 {
        let at = self.next_pc.checked_rem(self.pcs.len()).unwrap_or(0);
        self.pcs.get(at).copied().unwrap_or(0)
    }

    fn offset(&self, address: u32) -> Option<usize> {
        usize::try_from(address.checked_sub(self.base)?).ok()
    }
}

impl Target for Ram {
    fn read(&mut self, address: u32, buf: &mut [u8]) -> Result<(), TargetError> {
        let len_bytes = buf.len();
        let unmapped = TargetError::Unmapped { address, len_bytes };
        let Some(start) = self.offset(address) else { return Err(unmapped) };
        match lock(&self.memory).get(start..start.saturating_add(len_bytes)) {
            Some(from) => buf.copy_from_slice(from),
            None => return Err(unmapped),
        }
        Ok(())
    }

    fn write(&mut self, address: u32, buf: &[u8]) -> Result<(), TargetError> {
        let len_bytes = buf.len();
        let unmapped = TargetError::Unmapped { address, len_bytes };
        let Some(start) = self.offset(address) else { return Err(unmapped) };
        match lock(&self.memory).get_mut(start..start.saturating_add(len_bytes)) {
            Some(to) => to.copy_from_slice(buf),
            None => return Err(unmapped),
        }
        Ok(())
    }

    fn pc(&mut self) -> Result<u32, TargetError> {
        let pc = self.current_pc();
        self.next_pc = self.next_pc.wrapping_add(1);
        Ok(pc)
    }

    fn halt(&mut self) -> Result<(), TargetError> {
        Ok(())
    }

    fn resume(&mut self) -> Result<(), TargetError> {
        Ok(())
    }

    fn step(&mut self) -> Result<(), TargetError> {
        self.next_pc = self.next_pc.wrapping_add(1);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), TargetError> {
        lock(&self.memory).clone_from(&self.at_reset);
        self.next_pc = 0;
        self.registers = [0; REGISTERS];
        Ok(())
    }

    fn read_register(&mut self, number: u8) -> Result<u32, TargetError> {
        if number == PC {
            return Ok(self.current_pc());
        }
        Ok(self.registers.get(usize::from(number)).copied().unwrap_or(0))
    }

    fn write_register(&mut self, number: u8, value: u32) -> Result<(), TargetError> {
        match self.registers.get_mut(usize::from(number)) {
            Some(register) if number != PC => *register = value,
            _ => {
                return Err(TargetError::Unsupported("write a register that a list of addresses stands for"));
            }
        }
        Ok(())
    }

    /// Each of x1 to x31 has a value of its own.
    fn read_hart_register(&mut self, register: HartRegister) -> Result<u32, TargetError> {
        match register {
            HartRegister::Pc => Ok(self.current_pc()),
            HartRegister::X(0) => Ok(0),
            HartRegister::X(number) => Ok(HART_REGISTERS | u32::from(number)),
            HartRegister::Csr(_) => Err(TargetError::Unsupported("read a register that is not there")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends_where_the_buffer_does_and_a_reset_brings_it_back() {
        let mut ram = Ram::of_words(0x100, [1, 2], vec![]);
        let mut word = [0; 4];
        ram.read(0x104, &mut word).expect("the last word");
        assert_eq!(word, [2, 0, 0, 0]);
        for address in [0xff, 0x105, u32::MAX] {
            let error = ram.read(address, &mut word).expect_err("outside");
            assert!(matches!(error, TargetError::Unmapped { len_bytes: 4, .. }), "{error}");
            assert!(ram.write(address, &word).is_err());
        }
        ram.write(0x104, &[9; 4]).expect("the last word");
        ram.reset().expect("reset");
        assert_eq!(*lock(&ram.memory()), [1, 0, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn its_processor_goes_through_the_list() {
        let mut ram = Ram::of_words(0, [], vec![4, 8]);
        let seen: Vec<u32> = (0..3).map(|_| ram.pc().expect("a pc")).collect();
        assert_eq!(seen, [4, 8, 4]);
        assert_eq!(ram.read_register(PC).expect("pc"), 8);
        ram.write_register(0, 7).expect("r0");
        assert_eq!((ram.read_register(0).expect("r0"), ram.read_register(99).expect("none")), (7, 0));
        assert!(ram.write_register(PC, 0).is_err());
        assert_eq!(Ram::of_words(0, [], vec![]).pc().expect("no list"), 0);
    }
}
