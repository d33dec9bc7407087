//! A debug module's registers as words of memory, four bytes each, as an access port of Arm's reaches them that leads there.
//!
//! What enters are accesses of words; what leaves are the same of the module's registers. There is nothing else.

use crate::target::{Target, TargetError};
use crate::{SharedRiscv, lock};

/// How many bytes the registers have.
const LEN_BYTES: u32 = 0x80 * 4;
const NO_PROCESSOR: TargetError = TargetError::Unsupported("control a processor by a debug module's memory");

/// The registers of a chip's debug module.
pub(crate) struct Window(pub(crate) SharedRiscv);

/// The register at an address.
fn register(address: u32, len_bytes: usize) -> Result<u8, TargetError> {
    let is_word = address < LEN_BYTES && address.is_multiple_of(4) && len_bytes == 4;
    let number = u8::try_from(address / 4).ok().filter(|_| is_word);
    number.ok_or(TargetError::Unmapped { address, len_bytes })
}

impl Target for Window {
    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), TargetError> {
        let register = register(address, bytes.len())?;
        let mut chip = lock(&self.0);
        chip.begin();
        bytes.copy_from_slice(&chip.read(register).to_le_bytes());
        Ok(())
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), TargetError> {
        let register = register(address, bytes.len())?;
        let word = bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let mut chip = lock(&self.0);
        chip.begin();
        chip.write(register, word);
        Ok(())
    }

    fn pc(&mut self) -> Result<u32, TargetError> {
        Err(NO_PROCESSOR)
    }

    fn halt(&mut self) -> Result<(), TargetError> {
        Err(NO_PROCESSOR)
    }

    fn resume(&mut self) -> Result<(), TargetError> {
        Err(NO_PROCESSOR)
    }

    fn step(&mut self) -> Result<(), TargetError> {
        Err(NO_PROCESSOR)
    }

    fn reset(&mut self) -> Result<(), TargetError> {
        lock(&self.0).reset_target();
        Ok(())
    }

    fn read_register(&mut self, _number: u8) -> Result<u32, TargetError> {
        Err(NO_PROCESSOR)
    }

    fn write_register(&mut self, _number: u8, _value: u32) -> Result<(), TargetError> {
        Err(NO_PROCESSOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chip, Ram, dmi, shared_riscv};

    #[test]
    fn a_word_is_a_register_and_all_else_is_a_bus_fault() {
        let chip = shared_riscv(Chip::default(), Ram::of_words(0, [1], vec![]));
        let mut window = Window(SharedRiscv::clone(&chip));
        let at = |register: u8| u32::from(register) * 4;
        window.write(at(dmi::DMCONTROL), &dmi::DMACTIVE.to_le_bytes()).expect("a register");
        let mut word = [0; 4];
        window.read(at(dmi::DMSTATUS), &mut word).expect("a register");
        assert_eq!(u32::from_le_bytes(word), lock(&chip).read(dmi::DMSTATUS));
        assert_ne!(u32::from_le_bytes(word) & dmi::AUTHENTICATED, 0);
        for (address, len) in [(LEN_BYTES, 4), (at(dmi::DMSTATUS) + 1, 4), (at(dmi::DMSTATUS), 1)] {
            let refused = window.read(address, word.get_mut(..len).expect("room")).expect_err("no register");
            assert!(matches!(refused, TargetError::Unmapped { .. }), "{refused}");
        }
        assert!(window.halt().is_err());
    }
}
