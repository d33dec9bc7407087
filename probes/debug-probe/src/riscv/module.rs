//! The registers of a RISC-V debug module, and what is done by one of them after the other.
//!
//! What enters is the module, as `probe-rs` reaches it; what leaves are words of memory and what its registers say. What always
//! holds: an error that the module keeps is told, and nothing here tries a second time.
//!
//! Source: RISC-V External Debug Support 0.13.2, 3.12 (registers) and 3.10 (system bus).

use std::thread;
use std::time::{Duration, Instant};

use probe_rs::architecture::riscv::communication_interface::{
    MemoryAccessMethod, RiscvBusAccess, RiscvCommunicationInterface, Sbcs,
};
use probe_rs::architecture::riscv::{Dmcontrol, Dmstatus};
use probe_rs::{Error, MemoryInterface};

use crate::memory::{self, Fault, Words};

/// `dmcontrol`: a halt is asked for; the hart that is selected; the module is in use.
pub(super) const HALTREQ: u32 = 1 << 31;
pub(super) const HARTSEL: u32 = 0x03ff_ffc0;
pub(super) const DMACTIVE: u32 = 1;

/// `dmstatus`: who debugs need not say who they are, or have said so; all selected harts are halted; a program ends by itself.
pub(super) const AUTHENTICATED: u32 = 1 << 7;
pub(super) const ALLHALTED: u32 = 1 << 9;
pub(super) const IMPEBREAK: u32 = 1 << 22;

/// `sbcs`: what it can, which does not change; errors that it keeps until they are cleared.
pub(super) const SB_FIXED: u32 = 0xe000_0fff;
pub(super) const SBBUSYERROR: u32 = 1 << 22;
/// `sbcs`: a read for each address that is written, words, an address that goes on, a read for each word that is taken.
pub(super) const SBREADONADDR: u32 = 1 << 20;
pub(super) const SBACCESS_32: u32 = 2 << 17;
pub(super) const SBAUTOINCREMENT: u32 = 1 << 16;
pub(super) const SBREADONDATA: u32 = 1 << 15;
const SBERROR_SHIFT: u32 = 12;
pub(super) const SBERROR: u32 = 7 << SBERROR_SHIFT;

/// A debug module, as `probe-rs` has it.
pub(super) type Module<'a> = RiscvCommunicationInterface<'a>;

/// Has `probe-rs` read by the system bus, whatever it took `sbcs` for: else it would halt the hart on its own account.
pub(super) fn use_system_bus(module: &mut Module<'_>) -> Result<(), Fault> {
    module.memory_access_config().set_default_method(RiscvBusAccess::A32, MemoryAccessMethod::SystemBus);
    Ok(())
}

pub(super) fn control(module: &mut Module<'_>) -> Result<u32, Fault> {
    Ok(u32::from(module.read_dm_register::<Dmcontrol>()?))
}

pub(super) fn status(module: &mut Module<'_>) -> Result<u32, Fault> {
    Ok(u32::from(module.read_dm_register::<Dmstatus>()?))
}

pub(super) fn sbcs(module: &mut Module<'_>) -> Result<u32, Fault> {
    Ok(u32::from(module.read_dm_register::<Sbcs>()?))
}

/// Reads a sweep by the system bus.
pub(super) fn read(
    module: &mut Module<'_>,
    fixed: u32,
    sweep: &mut [Words],
    progress: &dyn Fn(),
) -> Result<(), Fault> {
    let read = memory::in_pieces(sweep, |at, piece| module.read_32(at, piece).map_err(fault), progress);
    if read.as_ref().is_err_and(Fault::is_timeout) {
        return read;
    }
    // What the bus refused is told there alone.
    match (check(module, fixed), read) {
        (Err(fault @ (Fault::SystemBus { .. } | Fault::Inactive(_))), _) | (_, Err(fault)) => Err(fault),
        (checked, Ok(())) => checked,
    }
}

/// Whether what was read can be believed: the module is as it was, and has kept no error.
pub(super) fn check(module: &mut Module<'_>, fixed: u32) -> Result<(), Fault> {
    let (control, sbcs) = (control(module)?, sbcs(module)?);
    memory::same(fixed, sbcs & SB_FIXED)?;
    is_active(control)?;
    none_kept(sbcs)
}

/// Whether the module is in use still.
pub(super) fn is_active(control: u32) -> Result<(), Fault> {
    if control & DMACTIVE == 0 { Err(Fault::Inactive(control)) } else { Ok(()) }
}

/// Whether the system bus has refused nothing.
pub(super) fn none_kept(sbcs: u32) -> Result<(), Fault> {
    match (sbcs & SBERROR) >> SBERROR_SHIFT {
        0 => Ok(()),
        sberror => Err(Fault::SystemBus { sberror }),
    }
}

/// Halts the hart. `probe-rs`'s own way would have it stop at its program's `ebreak` from then on, which it has to go on
/// with here.
pub(super) fn halt(module: &mut Module<'_>) -> Result<(), Fault> {
    const PATIENCE_MS: u64 = 100;
    let hart = control(module)? & HARTSEL | DMACTIVE;
    module.write_dm_register(Dmcontrol::from(hart | HALTREQ))?;
    let began = Instant::now();
    let mut is_halted = module.core_halted();
    while matches!(is_halted, Ok(false)) && began.elapsed() < Duration::from_millis(PATIENCE_MS) {
        thread::yield_now();
        is_halted = module.core_halted();
    }
    module.write_dm_register(Dmcontrol::from(hart))?;
    if is_halted? { Ok(()) } else { Err(Fault::NotHalted { waited_ms: PATIENCE_MS }) }
}

/// Whether there is a system bus that reads words (version 1 is that of the specification).
pub(super) fn has_system_bus(sbcs: u32) -> bool {
    const SBVERSION_SHIFT: u32 = 29;
    const SBASIZE: u32 = 0x7f << 5;
    const SBACCESS32: u32 = 1 << 2;
    sbcs >> SBVERSION_SHIFT == 1 && sbcs & SBASIZE != 0 && sbcs & SBACCESS32 != 0
}

/// What `probe-rs` says of memory.
fn fault(error: Error) -> Fault {
    match error {
        Error::Riscv(error) => error.into(),
        other => Fault::Probe(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_bus_has_a_version_addresses_and_words() {
        // As those of SiFive's, 32 bits wide, say.
        assert!(has_system_bus(0x2000_0407));
        for sbcs in [0, 0x0000_0407, 0x2000_0007, 0x2000_0403] {
            assert!(!has_system_bus(sbcs), "{sbcs:#x}");
        }
    }
}
