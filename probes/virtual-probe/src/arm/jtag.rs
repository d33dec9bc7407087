//! The data registers of an ADIv5 JTAG debug port, behind a TAP (ADIv5.2, B3).
//!
//! What enters are scans; what leaves are their answers, a scan later. By instruction:
//!
//! ```text
//!  1000 ABORT   35 bits    34                    3 2   1   0
//!  1010 DPACC   35 bits    | value               | address | Read |    in
//!  1011 APACC   35 bits    | value of the one before | acknowledgement |    out
//!  1110 IDCODE  32 bits
//!  others       1 bit, as BYPASS
//! ```
//!
//! What always holds: a transfer that was answered WAIT is tried again, and what was scanned in meanwhile is dropped.

use crate::arm::dap::Dap;
use crate::arm::transfer::{Ack, Port, Wire};
use crate::tap::DataRegisters;

/// The TAP of a JTAG-DP of Arm's.
pub const IDCODE: u32 = 0x4BA0_0477;

const IR_ABORT: u8 = 0b1000;
const IR_DPACC: u8 = 0b1010;
const IR_APACC: u8 = 0b1011;
const SCAN_BITS: u32 = 35;
const ACK_OK_OR_FAULT: u64 = 0b010;
const ACK_WAIT: u64 = 0b001;

const CTRL_STAT: u8 = 0x4;
const RDBUFF: u8 = 0xC;
const STICKYERR: u32 = 1 << 5;
const DAPABORT: u32 = 1 << 0;

/// What a scan asks of the debug port.
#[derive(Clone, Copy, Debug)]
struct Request {
    port: Port,
    is_read: bool,
    a: u8,
    value: u32,
}

/// What a JTAG-DP has between two scans.
#[derive(Default, Debug)]
pub(crate) struct JtagDp {
    /// What the next scan of DPACC or APACC gives.
    result: u32,
    /// What was answered WAIT.
    waiting: Option<Request>,
    is_absent: bool,
}

impl DataRegisters for Dap {
    const IR_BITS: u32 = 4;
    const IR_IDCODE: u8 = 0b1110;

    fn capture(&mut self, instruction: u8) -> (u64, u32) {
        match instruction {
            Self::IR_IDCODE => (u64::from(IDCODE), u32::BITS),
            IR_ABORT => (0, SCAN_BITS),
            IR_DPACC | IR_APACC => {
                if let Some(request) = self.jtag.waiting.take() {
                    execute(request, self);
                }
                let captured = match self.jtag.waiting {
                    _ if self.jtag.is_absent => u64::MAX >> (u64::BITS - SCAN_BITS),
                    Some(_) => ACK_WAIT,
                    None => u64::from(self.jtag.result) << 3 | ACK_OK_OR_FAULT,
                };
                (captured, SCAN_BITS)
            }
            _ => (0, 1),
        }
    }

    fn update(&mut self, instruction: u8, value: u64) {
        let [low, ..] = value.to_le_bytes();
        let value = u32::try_from(value >> 3 & u64::from(u32::MAX)).unwrap_or_default();
        let (is_read, a) = (low & 1 != 0, (low & 0b110) << 1);
        match instruction {
            // It ends what is being waited for.
            IR_ABORT if value & DAPABORT != 0 => self.jtag.waiting = None,
            IR_DPACC if self.jtag.waiting.is_none() => {
                execute(Request { port: Port::Debug, is_read, a, value }, self);
            }
            IR_APACC if self.jtag.waiting.is_none() => {
                execute(Request { port: Port::Access, is_read, a, value }, self);
            }
            _ => {}
        }
    }

    fn is_cut_off(&self) -> bool {
        self.is_link_lost()
    }

    fn set_reset_pin(&mut self, is_asserted: bool) {
        Self::set_reset_pin(self, is_asserted);
    }
}

fn execute(request: Request, dap: &mut Dap) {
    let Request { port, is_read, a, value } = request;
    let done = match (port, is_read) {
        // RDBUFF has no value of its own on JTAG: it is scanned to fetch the result before it.
        (Port::Debug, true) => {
            dap.read_by(Wire::Jtag, port, a).map(|value| if a == RDBUFF { 0 } else { value })
        }
        (Port::Access, true) => dap.read_by(Wire::Jtag, port, a),
        (Port::Debug, false) if a == CTRL_STAT && value & STICKYERR != 0 => {
            dap.clear_sticky_error();
            dap.write_by(Wire::Jtag, port, a, value).map(|()| dap.jtag.result)
        }
        // ABORT has an instruction of its own.
        (Port::Debug, false) if a == 0 => Ok(dap.jtag.result),
        (_, false) => dap.write_by(Wire::Jtag, port, a, value).map(|()| dap.jtag.result),
    };
    dap.jtag.is_absent = done == Err(Ack::None);
    match done {
        Ok(value) => dap.jtag.result = value,
        Err(Ack::Wait) => dap.jtag.waiting = Some(request),
        // JTAG has one acknowledgement for OK and FAULT: the sticky error tells them apart.
        Err(Ack::Fault | Ack::None) => dap.jtag.result = 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::IR_CAPTURE;
    use crate::tap::host::Host;
    use crate::{Fault, Ram, lock, shared};

    fn host() -> Host<Dap> {
        Host::new(shared(Ram::of_words(0x2000_0000, 100..200, vec![])))
    }

    impl Host<Dap> {
        /// The acknowledgement of, and the value before, a transfer.
        fn transfer(&mut self, ir: u8, is_read: bool, a: u8, value: u32) -> (u64, u32) {
            self.instruction(ir);
            let bits = u64::from(value) << 3 | u64::from(a >> 1) | u64::from(is_read);
            let out = self.data(bits, SCAN_BITS);
            (out & 7, u32::try_from(out >> 3).expect("32 bits"))
        }

        fn read(&mut self, ir: u8, a: u8) -> u32 {
            self.transfer(ir, true, a, 0);
            self.transfer(IR_DPACC, true, RDBUFF, 0).1
        }

        fn power_up(&mut self) {
            self.transfer(IR_DPACC, false, CTRL_STAT, 0x5000_0000);
            self.transfer(IR_APACC, false, 0x0, 0x2300_0012);
            self.transfer(IR_APACC, false, 0x4, 0x2000_0000);
        }
    }

    #[test]
    fn the_chain_identifies_itself() {
        let mut host = host();
        assert_eq!(host.data(0, 32), u64::from(IDCODE));
        assert_eq!(host.instruction(0xF), IR_CAPTURE);
        assert_eq!(host.data(0b1011, 5), 0b1_0110, "one bit of bypass");
    }

    #[test]
    fn words_come_one_scan_later() {
        let mut host = host();
        host.power_up();
        assert_eq!(host.read(IR_DPACC, CTRL_STAT), 0xF000_0000);
        host.transfer(IR_APACC, true, 0xC, 0);
        assert_eq!(host.transfer(IR_APACC, true, 0xC, 0), (ACK_OK_OR_FAULT, 100));
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (ACK_OK_OR_FAULT, 101));
        assert_eq!(lock(&host.chip).stats().halts, 0);
    }

    #[test]
    fn a_bus_fault_is_seen_in_ctrl_stat_alone() {
        let mut host = host();
        host.power_up();
        lock(&host.chip).inject(Fault::BusFault);
        assert_eq!([host.read(IR_APACC, 0xC), host.read(IR_APACC, 0xC)], [0, 0]);
        assert_eq!(host.read(IR_DPACC, CTRL_STAT), 0xF000_0000 | STICKYERR);
        host.transfer(IR_DPACC, false, CTRL_STAT, 0x5000_0000 | STICKYERR);
        assert_eq!((host.read(IR_DPACC, CTRL_STAT), host.read(IR_APACC, 0xC)), (0xF000_0000, 100));
    }

    #[test]
    fn what_waits_is_tried_again_and_can_be_aborted() {
        let mut host = host();
        host.power_up();
        lock(&host.chip).inject(Fault::Wait { times: 2 });
        host.transfer(IR_APACC, true, 0xC, 0);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0).0, ACK_WAIT);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (ACK_OK_OR_FAULT, 100));
        lock(&host.chip).inject(Fault::Wait { times: 100 });
        host.transfer(IR_APACC, true, 0xC, 0);
        host.transfer(IR_ABORT, false, 0, DAPABORT);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0).0, ACK_OK_OR_FAULT);
    }

    #[test]
    fn nobody_reads_as_ones() {
        let mut host = host();
        lock(&host.chip).inject(Fault::LinkLoss);
        host.transfer(IR_DPACC, true, CTRL_STAT, 0);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (7, u32::MAX));
    }
}
