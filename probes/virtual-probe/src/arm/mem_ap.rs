//! The memory access port: an AHB-AP that moves words between a debugger and the processor's bus.
//!
//! ```text
//!  CSW  31      24 23      8 7        6        5    4 3  2    0
//!      | Prot     | Prot    | TrInPr | DevEn  | Inc  |  | Size |
//! ```
//!
//! What always holds: automatic increment changes the low ten bits of TAR alone, as Arm guarantees no more; packed
//! transfers are not offered, and CSW says so when it is read back.

use crate::arm::cortex_m::CortexM;
use crate::processor::BusError;
use crate::stats::Stats;

/// Identification of an AHB-AP.
pub const IDR: u32 = 0x2477_0011;

pub(crate) const CSW: u8 = 0x00;
pub(crate) const TAR: u8 = 0x04;
pub(crate) const DRW: u8 = 0x0C;
pub(crate) const BD0: u8 = 0x10;
pub(crate) const BD3: u8 = 0x1C;
const BASE: u8 = 0xF8;
const IDR_REGISTER: u8 = 0xFC;

const DEVICE_EN: u32 = 1 << 6;
const SIZE: u32 = 0x7;
const WORD: u32 = 2;
const ADDR_INC: u32 = 0x3 << 4;
const INCREMENT_SINGLE: u32 = 1 << 4;
/// What of CSW can be written: Prot, AddrInc, Size.
const CSW_WRITABLE: u32 = 0xFF00_0000 | ADDR_INC | SIZE;
const CSW_AT_RESET: u32 = 0x2300_0000 | WORD;
/// Bits of TAR that automatic increment reaches.
const INCREMENT_MASK: u32 = 0x3FF;
/// The entry is there, in the format of ADIv5.
const BASE_PRESENT: u32 = 3;
/// There is none.
const BASE_ABSENT: u32 = 2;

/// Whether a register is a window to memory.
pub(crate) fn is_memory(register: u8) -> bool {
    matches!(register, DRW | BD0..=BD3)
}

/// The access port's own registers.
#[derive(Debug)]
pub(crate) struct MemAp {
    csw: u32,
    tar: u32,
}

/// The bytes of one access: where they are, and which of a word's lanes they come in.
struct Access {
    address: u32,
    lane: usize,
    len: usize,
}

impl MemAp {
    pub(crate) fn new() -> Self {
        Self { csw: CSW_AT_RESET, tar: 0 }
    }

    /// Reads a register: bits 7 to 4 of its number are from SELECT.
    pub(crate) fn read(
        &mut self,
        register: u8,
        is_locked: bool,
        core: &mut CortexM,
        stats: &mut Stats,
    ) -> Result<u32, BusError> {
        match register {
            CSW => Ok(self.csw | if is_locked { 0 } else { DEVICE_EN }),
            TAR => Ok(self.tar),
            BASE => Ok(core.rom_table().map_or(BASE_ABSENT, |table| table | BASE_PRESENT)),
            IDR_REGISTER => Ok(IDR),
            _ if is_memory(register) => {
                let access = self.access(register);
                let mut word = [0; 4];
                let lanes = word.get_mut(access.lane..access.lane + access.len).ok_or(BusError::Fault)?;
                core.read(access.address, lanes, stats)?;
                self.advance(register);
                Ok(u32::from_le_bytes(word))
            }
            // CFG among them: little endian, no large data, no large addresses.
            _ => Ok(0),
        }
    }

    /// Writes a register.
    pub(crate) fn write(
        &mut self,
        register: u8,
        value: u32,
        core: &mut CortexM,
        stats: &mut Stats,
    ) -> Result<(), BusError> {
        match register {
            CSW => self.csw = writable(value),
            TAR => self.tar = value,
            _ if is_memory(register) => {
                let access = self.access(register);
                let word = value.to_le_bytes();
                let lanes = word.get(access.lane..access.lane + access.len).ok_or(BusError::Fault)?;
                core.write(access.address, lanes, stats)?;
                self.advance(register);
            }
            _ => {}
        }
        Ok(())
    }

    /// What an access by a register moves. By DRW it is of CSW's size; BD0 to BD3 are the four words around TAR.
    fn access(&self, register: u8) -> Access {
        if register != DRW {
            return Access { address: self.tar & !0xF | u32::from(register & 0xC), lane: 0, len: 4 };
        }
        let (len, lane_mask) = match self.csw & SIZE {
            0 => (1, 3),
            1 => (2, 2),
            _ => (4, 0),
        };
        let [low, ..] = self.tar.to_le_bytes();
        let lane = usize::from(low & lane_mask);
        let address = self.tar & !3 | u32::from(low & lane_mask);
        Access { address, lane, len }
    }

    /// TAR goes on after an access by DRW that had no error.
    fn advance(&mut self, register: u8) {
        if register == DRW && self.csw & ADDR_INC == INCREMENT_SINGLE {
            let next = self.tar.wrapping_add(1 << (self.csw & SIZE));
            self.tar = self.tar & !INCREMENT_MASK | next & INCREMENT_MASK;
        }
    }
}

/// CSW as it is kept: sizes up to a word, increment off or by one access.
fn writable(value: u32) -> u32 {
    let size = (value & SIZE).min(WORD);
    let increment = if value & ADDR_INC == INCREMENT_SINGLE { INCREMENT_SINGLE } else { 0 };
    value & CSW_WRITABLE & !(SIZE | ADDR_INC) | size | increment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Ram;

    const BASE_ADDRESS: u32 = 0x2000_0000;

    struct Port {
        ap: MemAp,
        core: CortexM,
        stats: Stats,
    }

    impl Port {
        fn new() -> Self {
            let ram = Ram::of_words(BASE_ADDRESS, 0..1024, vec![]);
            Self { ap: MemAp::new(), core: CortexM::new(Box::new(ram)), stats: Stats::default() }
        }

        fn read(&mut self, register: u8) -> u32 {
            self.ap.read(register, false, &mut self.core, &mut self.stats).expect("a register")
        }

        fn write(&mut self, register: u8, value: u32) {
            self.ap.write(register, value, &mut self.core, &mut self.stats).expect("a register");
        }
    }

    #[test]
    fn increment_wraps_at_ten_bits() {
        let mut port = Port::new();
        port.write(CSW, INCREMENT_SINGLE | WORD);
        port.write(TAR, BASE_ADDRESS + 0x3FC);
        assert_eq!([port.read(DRW), port.read(DRW), port.read(TAR)], [255, 0, BASE_ADDRESS + 4]);
        port.write(CSW, WORD);
        assert_eq!([port.read(DRW), port.read(DRW), port.read(TAR)], [1, 1, BASE_ADDRESS + 4]);
    }

    #[test]
    fn bytes_and_halves_are_in_their_lanes() {
        let mut port = Port::new();
        port.write(CSW, INCREMENT_SINGLE | 1);
        port.write(TAR, BASE_ADDRESS + 4);
        port.write(DRW, 0x1111_2233);
        port.write(DRW, 0x4455_6677);
        port.write(TAR, BASE_ADDRESS + 4);
        assert_eq!([port.read(DRW), port.read(DRW)], [0x2233, 0x4455_0000]);
        port.write(CSW, INCREMENT_SINGLE);
        port.write(TAR, BASE_ADDRESS + 4);
        let bytes: Vec<u32> = (0..4).map(|_| port.read(DRW)).collect();
        assert_eq!(bytes, [0x33, 0x2200, 0x55_0000, 0x4400_0000]);
        assert_eq!(port.stats.memory_writes, 2);
    }

    #[test]
    fn banked_data_leaves_tar_alone() {
        let mut port = Port::new();
        port.write(CSW, INCREMENT_SINGLE | WORD);
        port.write(TAR, BASE_ADDRESS + 0x14);
        assert_eq!([BD0, 0x14, 0x18, BD3].map(|register| port.read(register)), [4, 5, 6, 7]);
        port.write(BD3, 70);
        assert_eq!((port.read(BD3), port.read(TAR)), (70, BASE_ADDRESS + 0x14));
    }

    #[test]
    fn what_is_not_offered_reads_back_as_off() {
        let mut port = Port::new();
        port.write(CSW, 0xFFFF_FFFF);
        assert_eq!(port.read(CSW), 0xFF00_0000 | DEVICE_EN | WORD);
        assert_eq!([port.read(0xF4), port.read(BASE), port.read(0xFC)], [0, 0xE00F_F003, IDR]);
        let csw = port.ap.read(CSW, true, &mut port.core, &mut port.stats).expect("CSW");
        assert_eq!(csw & DEVICE_EN, 0, "the chip is locked");
    }

    #[test]
    fn nothing_is_a_fault() {
        let mut port = Port::new();
        port.write(TAR, 0x1000);
        assert_eq!(port.ap.read(DRW, false, &mut port.core, &mut port.stats), Err(BusError::Fault));
        assert_eq!(port.ap.write(DRW, 0, &mut port.core, &mut port.stats), Err(BusError::Fault));
        assert_eq!(port.read(TAR), 0x1000, "it does not go on");
    }
}
