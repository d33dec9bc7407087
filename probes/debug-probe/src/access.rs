//! Words by an access port of Arm's debug port, and what they are believed by.
//!
//! What enters are addresses; what leaves are words. What always holds: a word is one of memory's at that address, or a fault.
//! `probe-rs` 0.32 does not see to that: over JTAG it does not notice what the bus refuses; over SWD it clears errors, and
//! goes on, where an access port that was busy had refused a word before; and it takes a bank of registers for selected
//! although that was refused. But an access port counts its address up with each word, and no further.
//!
//! Source: Arm Debug Interface v5.2 (IHI 0031) and v6 (IHI 0074).

use probe_rs::architecture::arm::ap::{ApRegister, CSW, IDR, TAR};
use probe_rs::architecture::arm::dp::{Abort, Ctrl, DpRegister, SelectV1};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{ApAddress, ArmError};

use crate::memory::{Fault, PIECE_BYTES};

/// `CSW`: the access port may reach memory.
const DEVICE_EN: u32 = 1 << 6;
/// `CTRL/STAT`: errors that the debug port keeps until they are cleared.
const ERRORS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7;
/// `CTRL/STAT`: debug and system have power.
const POWER: u32 = 1 << 29 | 1 << 31;

/// Makes sure that the access port reaches memory.
pub(crate) fn is_enabled(memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
    let access_port = memory.fully_qualified_address();
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    let csw = arm.read_raw_ap_register(&access_port, CSW::ADDRESS)?;
    none_was_refused(memory)?;
    if csw & DEVICE_EN == 0 { Err(Fault::NotEnabled(csw)) } else { Ok(()) }
}

/// Reads words that are all in one piece.
pub(crate) fn read(memory: &mut dyn ArmMemoryInterface, at: u64, words: &mut [u32]) -> Result<(), Fault> {
    memory.read_32(at, words)?;
    has_moved(memory, at, words.len())
}

/// Reads a word.
pub(crate) fn read_word(memory: &mut dyn ArmMemoryInterface, at: u64) -> Result<u32, Fault> {
    let mut word = [0];
    read(memory, at, &mut word)?;
    let [word] = word;
    Ok(word)
}

/// Writes a word.
pub(crate) fn write_word(memory: &mut dyn ArmMemoryInterface, at: u64, word: u32) -> Result<(), Fault> {
    memory.write_word_32(at, word)?;
    memory.flush()?;
    has_moved(memory, at, 1)
}

/// Whether the access port has moved so many words. What a probe's own firmware moves (ST-Link's) is its own affair, and where
/// that leaves the address.
fn has_moved(memory: &mut dyn ArmMemoryInterface, at: u64, num_words: usize) -> Result<(), Fault> {
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    if arm.try_dap_probe().is_none() {
        return Ok(());
    }
    has_come_to(memory, next_addresses(at, num_words))
}

/// Whether the access port's address is one of these.
pub(crate) fn has_come_to(memory: &mut dyn ArmMemoryInterface, expected: [u32; 2]) -> Result<(), Fault> {
    let access_port = memory.fully_qualified_address();
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    let found = arm.read_raw_ap_register(&access_port, TAR::ADDRESS)?;
    let [usual, _] = expected;
    if expected.contains(&found) { Ok(()) } else { Err(Fault::OtherAddress { expected: usual, found }) }
}

/// What an access port's address may be after a piece that was read: counting up, its ten lowest bits overflow into the others
/// or do not (IHI 0031, C2.2.2). The upper half of a 64-bit one is elsewhere.
fn next_addresses(at: u64, num_words: usize) -> [u32; 2] {
    let end = at.wrapping_add(num_words as u64 * 4);
    let within = at & !(PIECE_BYTES - 1) | end & (PIECE_BYTES - 1);
    [end, within].map(|at| u32::try_from(at & u64::from(u32::MAX)).unwrap_or(0))
}

/// What `CTRL/STAT` says.
fn status(memory: &mut dyn ArmMemoryInterface) -> Result<u32, Fault> {
    let access_port = memory.fully_qualified_address();
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

/// What a fault follows from, if there is no power.
pub(crate) fn cause(memory: &mut dyn ArmMemoryInterface, fault: Fault) -> Fault {
    match status(memory) {
        Ok(status) if status & POWER != POWER => Fault::Unpowered(status),
        _ => fault,
    }
}

/// Clears the errors that the debug port has kept, after which it accepts reads again.
pub(crate) fn clear_errors(memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
    let mut abort = Abort(0);
    abort.set_orunerrclr(true);
    abort.set_wderrclr(true);
    abort.set_stkerrclr(true);
    abort.set_stkcmpclr(true);
    let dp = memory.fully_qualified_address().dp();
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    arm.write_raw_dp_register(dp, Abort::ADDRESS, abort.into())?;
    // By JTAG they are cleared where they are read.
    let status = arm.read_raw_dp_register(dp, Ctrl::ADDRESS)?;
    if status & ERRORS != 0 {
        arm.write_raw_dp_register(dp, Ctrl::ADDRESS, status)?;
    }
    arm.flush()?;
    select_anew(memory)
}

/// Selects a bank of the access port's registers, whatever `probe-rs` takes for selected.
fn select_anew(memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
    let access_port = memory.fully_qualified_address();
    // The bank of `IDR`.
    let select = match access_port.ap() {
        ApAddress::V1(number) => u64::from(*number) << 24 | IDR::ADDRESS & 0xf0,
        ApAddress::V2(base) => base.0.unwrap_or(0) & 0xffff_f000 | IDR::ADDRESS & 0xff0,
    };
    let select = u32::try_from(select).unwrap_or(0);
    let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
    arm.write_raw_dp_register(access_port.dp(), SelectV1::ADDRESS, select)?;
    // Whether it has to select that bank for this or not, it knows it for selected now.
    arm.read_raw_ap_register(&access_port, IDR::ADDRESS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_on_or_overflows_at_the_end_of_a_piece() {
        assert_eq!(next_addresses(0x2000_0010, 4), [0x2000_0020, 0x2000_0020]);
        assert_eq!(next_addresses(0x2000_03f8, 2), [0x2000_0400, 0x2000_0000]);
        assert_eq!(next_addresses(0xffff_fffc, 1), [0, 0xffff_fc00]);
        assert_eq!(next_addresses(0x1_0000_0000, 1), [4, 4]);
    }
}
