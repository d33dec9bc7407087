//! A virtual debug probe, in front of the memory of a guest that runs in QEMU, or of a buffer.
//!
//! Behind it is one of two chips: an ADIv5 debug port with one memory access port and the debug registers of a Cortex-M3, or
//! none ([`Dap`]), or a RISC-V debug transport module with a debug module and one hart ([`Riscv`]).
//!
//! What enters are transfers of a debugger: from probe-rs in this process ([`TransferProbe`], [`WireProbe`]), from an
//! unmodified probe-rs over a socket ([`glasgow`] for SWD, [`black_magic`] for JTAG), or from OpenOCD over JTAG
//! ([`Protocol::RemoteBitbang`]). What leaves are their answers, and [`Stats`]: what the debugger did to the target.
//!
//! What always holds:
//! - the target runs on unless a debugger halts it, and each halt is counted;
//! - a fault that was asked for ([`Fault`]) happens at the transfer it was asked for, or at the next one that can have it;
//! - a client that sends nonsense loses its connection, and nobody else's;
//! - answers of QEMU are checked: one that is none is an error of the target, never data.
//!
//! What is tested on it is not tested on silicon: it has the rules of the architecture, and no chip's habits.

mod arm;
mod chip;
mod driver;
mod faults;
mod processor;
mod riscv;
mod server;
mod stats;
mod tap;
mod target;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use arm::dap::{DPIDR, Dap};
pub use arm::mem_ap::IDR;
pub use arm::registers::{DebugRegisters, TraceRegisters};
pub use arm::swo::TRACE_CLOCK_HZ;
pub use arm::transfer::{Ack, Port};
pub use arm::{jtag, ppb};
pub use chip::{SharedChip, shared, shared_memory, shared_module, shared_riscv};
pub use driver::plug::{PRODUCT_ID, PluggedIn, VENDOR_ID, plug_in, plug_in_wires};
pub use driver::transfers::TransferProbe;
pub use driver::wires::WireProbe;
pub use faults::{Fault, Injector};
pub use riscv::debug_module::Chip;
pub use riscv::{Riscv, RiscvDebugRegisters, dmi, dtm};
pub use server::{ListenAddress, Protocol, ServeError, Server, black_magic, glasgow};
pub use stats::Stats;
pub use target::{HartRegister, MemoryRange, Qemu, Ram, Target, TargetError};

/// A debug port that a probe, a server and a test look at together.
pub type SharedDap = Arc<Mutex<Dap>>;

/// A RISC-V chip that a probe, a server and a test look at together.
pub type SharedRiscv = Arc<Mutex<Riscv>>;

/// What a lock guards, also after a panic of somebody who had it: each transfer leaves a debug port in a state of its own.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
