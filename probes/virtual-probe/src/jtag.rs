//! A server of OpenOCD's `remote_bitbang`, with a JTAG debug port's TAP in front of the same debug port.
//!
//! Each byte is a command, and two of them have an answer of one byte. Compatible with
//! `doc/manual/jtag/drivers/remote_bitbang.txt` of OpenOCD 0.12.
//!
//! ```text
//!  B b       a lamp on, off          Q         quit
//!  0 .. 7    TCK, TMS, TDI as bits 2, 1, 0
//!  R         -> TDO as '0' or '1'
//!  r s t u   resets: bit 1 is TRST, bit 0 is SRST
//! ```
//!
//! The TAP's data registers, by instruction:
//!
//! ```text
//!  1000 ABORT   35 bits    34                    3 2   1   0
//!  1010 DPACC   35 bits    | value               | address | Read |    in
//!  1011 APACC   35 bits    | value of the one before | acknowledgement |    out
//!  1110 IDCODE  32 bits
//!  others       1 bit, as BYPASS
//! ```
//!
//! What always holds: a transfer that was answered WAIT is tried again, and what was scanned in meanwhile is dropped; what
//! is no command ends the connection.

use std::io::{Read, Write};
use std::sync::Mutex;

use crate::dap::Wire;
use crate::server::ServeError;
use crate::{Ack, Dap, Port, lock};

/// The TAP of a JTAG-DP of Arm's.
pub const IDCODE: u32 = 0x4BA0_0477;

const IR_BITS: u32 = 4;
const IR_ABORT: u8 = 0b1000;
const IR_DPACC: u8 = 0b1010;
const IR_APACC: u8 = 0b1011;
const IR_IDCODE: u8 = 0b1110;
/// What Capture-IR shows: the two lowest bits tell a broken chain.
const IR_CAPTURE: u64 = 0b0001;
const SCAN_BITS: u32 = 35;
const ACK_OK_OR_FAULT: u64 = 0b010;
const ACK_WAIT: u64 = 0b001;

const CTRL_STAT: u8 = 0x4;
const RDBUFF: u8 = 0xC;
const STICKYERR: u32 = 1 << 5;
const DAPABORT: u32 = 1 << 0;

/// Serves one client, until it goes.
///
/// # Errors
///
/// The connection failed, or the client sent what is no command.
pub fn serve(mut stream: impl Read + Write, dap: &Mutex<Dap>) -> Result<(), ServeError> {
    let mut tap = Tap::new();
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        let mut answers = Vec::new();
        let goes_on = tap.commands(buffer.get(..len).unwrap_or_default(), &mut lock(dap), &mut answers)?;
        stream.write_all(&answers)?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// The states of a TAP (IEEE 1149.1, figure 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    TestLogicReset,
    RunTestIdle,
    SelectDr,
    CaptureDr,
    ShiftDr,
    Exit1Dr,
    PauseDr,
    Exit2Dr,
    UpdateDr,
    SelectIr,
    CaptureIr,
    ShiftIr,
    Exit1Ir,
    PauseIr,
    Exit2Ir,
    UpdateIr,
}

impl State {
    fn next(self, tms: bool) -> Self {
        let (low, high) = match self {
            Self::TestLogicReset => (Self::RunTestIdle, Self::TestLogicReset),
            Self::RunTestIdle | Self::UpdateDr | Self::UpdateIr => (Self::RunTestIdle, Self::SelectDr),
            Self::SelectDr => (Self::CaptureDr, Self::SelectIr),
            Self::CaptureDr | Self::ShiftDr => (Self::ShiftDr, Self::Exit1Dr),
            Self::Exit1Dr => (Self::PauseDr, Self::UpdateDr),
            Self::PauseDr => (Self::PauseDr, Self::Exit2Dr),
            Self::Exit2Dr => (Self::ShiftDr, Self::UpdateDr),
            Self::SelectIr => (Self::CaptureIr, Self::TestLogicReset),
            Self::CaptureIr | Self::ShiftIr => (Self::ShiftIr, Self::Exit1Ir),
            Self::Exit1Ir => (Self::PauseIr, Self::UpdateIr),
            Self::PauseIr => (Self::PauseIr, Self::Exit2Ir),
            Self::Exit2Ir => (Self::ShiftIr, Self::UpdateIr),
        };
        if tms { high } else { low }
    }
}

/// What a scan asks of the debug port.
#[derive(Clone, Copy, Debug)]
struct Request {
    port: Port,
    is_read: bool,
    a: u8,
    value: u32,
}

/// A JTAG-DP, seen from its pins.
#[derive(Debug)]
struct Tap {
    state: State,
    tck: bool,
    tdo: bool,
    instruction: u8,
    shift: u64,
    shift_bits: u32,
    /// What the next scan of DPACC or APACC gives.
    result: u32,
    /// What was answered WAIT.
    waiting: Option<Request>,
    is_absent: bool,
}

impl Tap {
    fn new() -> Self {
        Self {
            state: State::TestLogicReset,
            tck: false,
            tdo: true,
            instruction: IR_IDCODE,
            shift: 0,
            shift_bits: 1,
            result: 0,
            waiting: None,
            is_absent: false,
        }
    }

    /// Obeys a client's commands, and tells whether it stays.
    fn commands(
        &mut self,
        commands: &[u8],
        dap: &mut Dap,
        answers: &mut Vec<u8>,
    ) -> Result<bool, ServeError> {
        for &command in commands {
            match command {
                b'0'..=b'7' => {
                    let pins = command - b'0';
                    self.set_pins(pins & 4 != 0, pins & 2 != 0, pins & 1 != 0, dap);
                }
                b'R' => answers.push(if self.tdo { b'1' } else { b'0' }),
                b'r'..=b'u' => self.set_resets(command - b'r', dap),
                b'B' | b'b' => {}
                b'Q' => return Ok(false),
                _ => return Err(ServeError::Malformed("a command that remote_bitbang does not have")),
            }
        }
        Ok(true)
    }

    /// TDO changes when TCK falls; all else happens when it rises.
    fn set_pins(&mut self, tck: bool, tms: bool, tdi: bool, dap: &mut Dap) {
        let was = std::mem::replace(&mut self.tck, tck);
        let is_shifting = matches!(self.state, State::ShiftDr | State::ShiftIr);
        if was && !tck && is_shifting {
            self.tdo = self.shift & 1 != 0;
        }
        if was || !tck {
            return;
        }
        if is_shifting {
            self.shift = self.shift >> 1 | u64::from(tdi) << self.shift_bits.saturating_sub(1);
        }
        self.state = self.state.next(tms);
        match self.state {
            State::TestLogicReset => self.instruction = IR_IDCODE,
            State::CaptureDr => (self.shift, self.shift_bits) = self.capture(dap),
            State::CaptureIr => (self.shift, self.shift_bits) = (IR_CAPTURE, IR_BITS),
            State::UpdateDr => self.update(dap),
            State::UpdateIr => {
                let [low, ..] = self.shift.to_le_bytes();
                self.instruction = low & 0xF;
            }
            _ => {}
        }
    }

    fn set_resets(&mut self, resets: u8, dap: &mut Dap) {
        if resets & 2 != 0 {
            self.state = State::TestLogicReset;
            self.instruction = IR_IDCODE;
        }
        dap.set_reset_pin(resets & 1 != 0);
    }

    /// What a scan gives, and how many bits it has.
    fn capture(&mut self, dap: &mut Dap) -> (u64, u32) {
        match self.instruction {
            IR_IDCODE => (u64::from(IDCODE), u32::BITS),
            IR_ABORT => (0, SCAN_BITS),
            IR_DPACC | IR_APACC => {
                if let Some(request) = self.waiting.take() {
                    self.execute(request, dap);
                }
                let captured = match self.waiting {
                    _ if self.is_absent => u64::MAX >> (u64::BITS - SCAN_BITS),
                    Some(_) => ACK_WAIT,
                    None => u64::from(self.result) << 3 | ACK_OK_OR_FAULT,
                };
                (captured, SCAN_BITS)
            }
            _ => (0, 1),
        }
    }

    /// What was scanned in takes effect.
    fn update(&mut self, dap: &mut Dap) {
        let value = u32::try_from(self.shift >> 3 & u64::from(u32::MAX)).unwrap_or_default();
        let [low, ..] = self.shift.to_le_bytes();
        let (is_read, a) = (low & 1 != 0, (low & 0b110) << 1);
        match self.instruction {
            // It ends what is being waited for.
            IR_ABORT if value & DAPABORT != 0 => self.waiting = None,
            IR_DPACC if self.waiting.is_none() => {
                self.execute(Request { port: Port::Debug, is_read, a, value }, dap);
            }
            IR_APACC if self.waiting.is_none() => {
                self.execute(Request { port: Port::Access, is_read, a, value }, dap);
            }
            _ => {}
        }
    }

    fn execute(&mut self, request: Request, dap: &mut Dap) {
        let Request { port, is_read, a, value } = request;
        let done = match (port, is_read) {
            // RDBUFF has no value of its own on JTAG: it is scanned to fetch the result before it.
            (Port::Debug, true) => {
                dap.read_by(Wire::Jtag, port, a).map(|value| if a == RDBUFF { 0 } else { value })
            }
            (Port::Access, true) => dap.read_by(Wire::Jtag, port, a),
            (Port::Debug, false) if a == CTRL_STAT && value & STICKYERR != 0 => {
                dap.clear_sticky_error();
                dap.write_by(Wire::Jtag, port, a, value).map(|()| self.result)
            }
            // ABORT has an instruction of its own.
            (Port::Debug, false) if a == 0 => Ok(self.result),
            (_, false) => dap.write_by(Wire::Jtag, port, a, value).map(|()| self.result),
        };
        self.is_absent = done == Err(Ack::None);
        match done {
            Ok(value) => self.result = value,
            Err(Ack::Wait) => self.waiting = Some(request),
            // JTAG has one acknowledgement for OK and FAULT: the sticky error tells them apart.
            Err(Ack::Fault | Ack::None) => self.result = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Fault, Ram, SharedDap, shared};

    /// The far end of a cable.
    struct Host {
        tap: Tap,
        dap: SharedDap,
    }

    impl Host {
        fn new() -> Self {
            let dap = shared(Ram::of_words(0x2000_0000, 100..200, vec![]));
            let mut host = Self { tap: Tap::new(), dap };
            for _ in 0..5 {
                host.clock(true, false);
            }
            host.clock(false, false);
            host
        }

        fn clock(&mut self, tms: bool, tdi: bool) -> bool {
            let mut dap = lock(&self.dap);
            self.tap.set_pins(false, tms, tdi, &mut dap);
            let tdo = self.tap.tdo;
            self.tap.set_pins(true, tms, tdi, &mut dap);
            tdo
        }

        fn shift(&mut self, bits: u64, count: u32) -> u64 {
            let out = (0..count).fold(0, |out, bit| {
                let tdo = self.clock(bit + 1 == count, bits >> bit & 1 != 0);
                out | u64::from(tdo) << bit
            });
            self.clock(true, false);
            self.clock(false, false);
            out
        }

        fn instruction(&mut self, instruction: u8) -> u64 {
            for tms in [true, true, false, false] {
                self.clock(tms, false);
            }
            self.shift(u64::from(instruction), IR_BITS)
        }

        fn data(&mut self, bits: u64, count: u32) -> u64 {
            for tms in [true, false, false] {
                self.clock(tms, false);
            }
            self.shift(bits, count)
        }

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
        let mut host = Host::new();
        assert_eq!(host.data(0, 32), u64::from(IDCODE));
        assert_eq!(host.instruction(0xF), IR_CAPTURE);
        assert_eq!(host.data(0b1011, 5), 0b1_0110, "one bit of bypass");
    }

    #[test]
    fn words_come_one_scan_later() {
        let mut host = Host::new();
        host.power_up();
        assert_eq!(host.read(IR_DPACC, CTRL_STAT), 0xF000_0000);
        host.transfer(IR_APACC, true, 0xC, 0);
        assert_eq!(host.transfer(IR_APACC, true, 0xC, 0), (ACK_OK_OR_FAULT, 100));
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (ACK_OK_OR_FAULT, 101));
        assert_eq!(lock(&host.dap).stats().halts, 0);
    }

    #[test]
    fn a_bus_fault_is_seen_in_ctrl_stat_alone() {
        let mut host = Host::new();
        host.power_up();
        lock(&host.dap).inject(Fault::BusFault);
        assert_eq!([host.read(IR_APACC, 0xC), host.read(IR_APACC, 0xC)], [0, 0]);
        assert_eq!(host.read(IR_DPACC, CTRL_STAT), 0xF000_0000 | STICKYERR);
        host.transfer(IR_DPACC, false, CTRL_STAT, 0x5000_0000 | STICKYERR);
        assert_eq!((host.read(IR_DPACC, CTRL_STAT), host.read(IR_APACC, 0xC)), (0xF000_0000, 100));
    }

    #[test]
    fn what_waits_is_tried_again_and_can_be_aborted() {
        let mut host = Host::new();
        host.power_up();
        lock(&host.dap).inject(Fault::Wait { times: 2 });
        host.transfer(IR_APACC, true, 0xC, 0);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0).0, ACK_WAIT);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (ACK_OK_OR_FAULT, 100));
        lock(&host.dap).inject(Fault::Wait { times: 100 });
        host.transfer(IR_APACC, true, 0xC, 0);
        host.transfer(IR_ABORT, false, 0, DAPABORT);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0).0, ACK_OK_OR_FAULT);
    }

    #[test]
    fn nobody_reads_as_ones() {
        let mut host = Host::new();
        lock(&host.dap).inject(Fault::LinkLoss);
        host.transfer(IR_DPACC, true, CTRL_STAT, 0);
        assert_eq!(host.transfer(IR_DPACC, true, RDBUFF, 0), (7, u32::MAX));
    }

    /// What a client sends, and what it is answered.
    struct Client(&'static [u8], Vec<u8>);

    impl Read for Client {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Client {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn commands_are_served_until_one_is_none() {
        let dap = shared(Ram::of_words(0, [], vec![]));
        let mut client = Client(b"B04sutrbRQx", Vec::new());
        serve(&mut client, &dap).expect("it quits");
        assert_eq!((client.1.as_slice(), lock(&dap).stats().resets), (&b"1"[..], 1));
        let error = serve(Client(b"0x", Vec::new()), &dap).expect_err("no command");
        assert!(matches!(error, ServeError::Malformed(_)));
    }
}
