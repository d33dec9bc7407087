//! The JTAG debug transport module of a RISC-V chip (RISC-V External Debug Support 0.13.2, 6.1).
//!
//! What enters are scans; what leaves are the answers of the debug module, a scan later. By instruction, of five bits:
//!
//! ```text
//!  0x01 IDCODE  32 bits
//!  0x10 DTMCS   32 bits    17 dmihardreset, 16 dmireset, 14:12 idle, 11:10 dmistat, 9:4 abits, 3:0 version
//!  0x11 DMI     41 bits    40      34 33                       2 1  0
//!                          | address | value                   | op |    in: 0 nothing, 1 read, 2 write
//!                          | address | value of the one before | op |    out: 0 done, 2 failed, 3 busy
//!  others       1 bit, as BYPASS
//! ```
//!
//! What always holds: once an operation was found in progress or failed, nothing is done until the debugger has written
//! dmireset. What was in progress is done meanwhile.

use crate::Riscv;
use crate::tap::DataRegisters;

/// Identification of the RISC-V chip's TAP.
pub const IDCODE: u32 = 0x1000_0FFD;

const IR_DTMCS: u8 = 0x10;
const IR_DMI: u8 = 0x11;
const VERSION_0_13: u32 = 1;
const ADDRESS_BITS: u32 = 7;
const DMI_BITS: u32 = ADDRESS_BITS + 34;
/// One clock in Run-Test/Idle lets an operation end.
const IDLE: u32 = 1;
const DMIRESET: u64 = 1 << 16;
const DMIHARDRESET: u64 = 1 << 17;

const READ: u8 = 1;
const WRITE: u8 = 2;
const FAILED: u8 = 2;
const BUSY: u8 = 3;

/// What the transport module has between two scans.
#[derive(Default, Debug)]
pub(crate) struct Dtm {
    address: u8,
    result: u32,
    /// dmistat: 0 while nothing is wrong.
    status: u8,
    /// The next scan comes before the operation has ended.
    is_in_progress: bool,
}

impl DataRegisters for Riscv {
    const IR_BITS: u32 = 5;
    const IR_IDCODE: u8 = 0x01;

    fn capture(&mut self, instruction: u8) -> (u64, u32) {
        match instruction {
            Self::IR_IDCODE => (u64::from(self.conditions.idcode.unwrap_or(IDCODE)), u32::BITS),
            IR_DTMCS => {
                let status = u32::from(self.dtm.status) << 10;
                (u64::from(IDLE << 12 | status | ADDRESS_BITS << 4 | VERSION_0_13), u32::BITS)
            }
            IR_DMI => {
                self.stats.dmi_scans += 1;
                let dtm = &mut self.dtm;
                if std::mem::take(&mut dtm.is_in_progress) && dtm.status == 0 {
                    dtm.status = BUSY;
                }
                let result = if dtm.status == 0 { dtm.result } else { 0 };
                let captured = u64::from(dtm.address) << 34 | u64::from(result) << 2 | u64::from(dtm.status);
                (captured, DMI_BITS)
            }
            _ => (0, 1),
        }
    }

    fn update(&mut self, instruction: u8, value: u64) {
        match instruction {
            IR_DTMCS => {
                if value & (DMIRESET | DMIHARDRESET) != 0 {
                    self.dtm.status = 0;
                }
                if value & DMIHARDRESET != 0 {
                    self.dtm.is_in_progress = false;
                }
            }
            IR_DMI => self.operate(value),
            _ => {}
        }
    }

    fn is_cut_off(&self) -> bool {
        self.conditions.is_link_lost
    }

    fn set_reset_pin(&mut self, is_asserted: bool) {
        Self::set_reset_pin(self, is_asserted);
    }
}

impl Riscv {
    /// What was scanned into DMI takes effect.
    fn operate(&mut self, scanned: u64) {
        let [low, ..] = scanned.to_le_bytes();
        let op = low & 3;
        if op == 0 {
            return;
        }
        self.begin();
        if self.conditions.is_link_lost || self.dtm.status != 0 {
            return;
        }
        let address = u8::try_from(scanned >> 34 & 0x7F).unwrap_or_default();
        let value = u32::try_from(scanned >> 2 & u64::from(u32::MAX)).unwrap_or_default();
        self.dtm.address = address;
        match op {
            READ => self.dtm.result = self.read(address),
            WRITE => {
                self.write(address, value);
                self.dtm.result = value;
            }
            _ => self.dtm.status = FAILED,
        }
        if let Some(left) = self.conditions.waits_left.checked_sub(1) {
            self.conditions.waits_left = left;
            self.dtm.is_in_progress = true;
        }
    }
}
