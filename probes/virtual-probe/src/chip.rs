//! A chip of either architecture, as a probe and a server share it with a test.

use std::sync::{Arc, Mutex};

use crate::riscv::debug_module::Chip;
use crate::riscv::window::Window;
use crate::{Dap, Riscv, SharedDap, SharedRiscv, Stats, Target, lock};

/// A chip that a probe, a server and a test look at together.
#[derive(Clone, Debug)]
pub enum SharedChip {
    /// A debug port with a Cortex-M3 behind it, or with memory alone.
    Arm(SharedDap),
    /// A RISC-V chip.
    Riscv(SharedRiscv),
}

impl SharedChip {
    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match self {
            Self::Arm(dap) => lock(dap).stats().clone(),
            Self::Riscv(chip) => lock(chip).stats().clone(),
        }
    }

    /// Resets the target at once.
    pub(crate) fn reset_target(&self) {
        match self {
            Self::Arm(dap) => lock(dap).reset_target(),
            Self::Riscv(chip) => lock(chip).reset_target(),
        }
    }

    /// Moves the reset pin.
    pub(crate) fn set_reset_pin(&self, is_asserted: bool) {
        match self {
            Self::Arm(dap) => lock(dap).set_reset_pin(is_asserted),
            Self::Riscv(chip) => lock(chip).set_reset_pin(is_asserted),
        }
    }
}

impl From<SharedDap> for SharedChip {
    fn from(dap: SharedDap) -> Self {
        Self::Arm(dap)
    }
}

impl From<SharedRiscv> for SharedChip {
    fn from(chip: SharedRiscv) -> Self {
        Self::Riscv(chip)
    }
}

/// A debug port in front of `target`, to be shared.
#[must_use]
pub fn shared(target: impl Target + 'static) -> SharedDap {
    Arc::new(Mutex::new(Dap::new(Box::new(target))))
}

/// A debug port in front of the memory of `target` alone, to be shared.
#[must_use]
pub fn shared_memory(target: impl Target + 'static) -> SharedDap {
    Arc::new(Mutex::new(Dap::of_memory(Box::new(target))))
}

/// A debug port in front of the registers of a RISC-V chip's debug module, to be shared.
#[must_use]
pub fn shared_module(chip: SharedRiscv) -> SharedDap {
    shared_memory(Window(chip))
}

/// A RISC-V chip in front of `target`, to be shared.
#[must_use]
pub fn shared_riscv(chip: Chip, target: impl Target + 'static) -> SharedRiscv {
    Arc::new(Mutex::new(Riscv::new(chip, Box::new(target))))
}
