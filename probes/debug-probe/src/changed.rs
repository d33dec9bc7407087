//! Words of a chip that are changed for a while.
//!
//! What enters is what they are to be; what leaves, at the end, is what they were. What always holds: a word is written only
//! after what it was is believed and remembered; words are changed back in the order that is the reverse of their first
//! change.

use probe_rs::architecture::arm::memory::ArmMemoryInterface;

use crate::access::{none_was_refused, read_word, write_word};
use crate::memory::Fault;

/// Where a CoreSight component's lock is in its 4 KiB, what opens it, and where it says that it is one and locked (IHI 0029).
const LOCK_ACCESS: u64 = 0xfb0;
const LOCK_STATUS: u64 = 0xfb4;
const UNLOCK: u32 = 0xc5ac_ce55;
const IS_LOCKED: u32 = 0b11;

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
        write_word(memory, address, value)?;
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
            let status = read_word(memory, address - LOCK_ACCESS + LOCK_STATUS)?;
            if status & IS_LOCKED == IS_LOCKED { 0 } else { UNLOCK }
        } else {
            read_word(memory, address)?
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
            write_word(memory, *address, *value)?;
        }
        none_was_refused(memory)?;
        self.before.clear();
        Ok(())
    }
}
