//! Words of a chip that are changed for a while.
//!
//! What enters is what they are to be; what leaves, at the end, is what they were. What always holds: a word is written only
//! after what it was is believed and remembered; words are changed back in the order that is the reverse of their first
//! change.

use probe_rs::architecture::arm::dp::{Ctrl, DpRegister};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{ArmError, FullyQualifiedApAddress};

use crate::memory::Fault;

/// `CTRL/STAT`: errors that the debug port keeps until they are cleared.
const ERRORS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7;
/// `CTRL/STAT`: debug and system have power.
pub(crate) const POWER: u32 = 1 << 29 | 1 << 31;

/// Where a CoreSight component's lock is in its 4 KiB, what opens it, and where it says that it is one and locked (IHI 0029).
const LOCK_ACCESS: u64 = 0xfb0;
const LOCK_STATUS: u64 = 0xfb4;
const UNLOCK: u32 = 0xc5ac_ce55;
const IS_LOCKED: u32 = 0b11;

/// What `CTRL/STAT` says.
pub(crate) fn status(memory: &mut dyn ArmMemoryInterface) -> Result<u32, Fault> {
    let access_port: FullyQualifiedApAddress = memory.fully_qualified_address();
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    Ok(arm.read_raw_dp_register(access_port.dp(), Ctrl::ADDRESS)?)
}

/// Makes sure that no access was refused since errors were cleared last.
pub(crate) fn none_was_refused(memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
    match status(memory)? {
        status if status & POWER != POWER => Err(Fault::Unpowered(status)),
        status if status & ERRORS != 0 => Err(Fault::Kept(status)),
        _ => Ok(()),
    }
}

/// What has to be changed back.
#[derive(Default, Debug)]
pub(crate) struct Changed {
    /// Addresses, and what is written there at the end.
    before: Vec<(u64, u32)>,
}

impl Changed {
    /// Writes a word that is not what it is to be.
    pub(crate) fn write(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        address: u64,
        value: u32,
    ) -> Result<(), Fault> {
        self.remember(memory, address, value)?;
        memory.write_word_32(address, value)?;
        memory.flush()?;
        none_was_refused(memory)
    }

    /// Remembers what a word is that is about to be written.
    pub(crate) fn remember(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        address: u64,
        value: u32,
    ) -> Result<(), Fault> {
        if self.before.iter().any(|(known, _)| *known == address) {
            return Ok(());
        }
        let before = if value == UNLOCK && address & 0xfff == LOCK_ACCESS {
            // It is written only: what locks it again, or opens what is open.
            let status = memory.read_word_32(address - LOCK_ACCESS + LOCK_STATUS)?;
            if status & IS_LOCKED == IS_LOCKED { 0 } else { UNLOCK }
        } else {
            memory.read_word_32(address)?
        };
        none_was_refused(memory)?;
        self.before.push((address, before));
        Ok(())
    }

    /// Opens the lock of the component that begins at an address.
    pub(crate) fn unlock(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        component: u64,
    ) -> Result<(), Fault> {
        self.write(memory, component + LOCK_ACCESS, UNLOCK)
    }

    /// Changes everything back; all of it again where that failed before.
    pub(crate) fn restore(&mut self, memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
        if self.before.is_empty() {
            return Ok(());
        }
        for (address, value) in self.before.iter().rev() {
            memory.write_word_32(*address, *value)?;
        }
        memory.flush()?;
        none_was_refused(memory)?;
        self.before.clear();
        Ok(())
    }
}
