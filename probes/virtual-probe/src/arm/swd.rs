//! The wire of a serial wire debug port, from its host's side (ADIv5.2, B4).
//!
//! What enters is what the host does with SWDIO at each clock; what leaves is its level, as a host samples it that takes the
//! first bit of an acknowledgement at the clock after the request:
//!
//! ```text
//!  read    8 request  3 acknowledgement  32 data  1 parity  2 turn        46 clocks
//!  write   8 request  3 acknowledgement  2 turn  32 data  1 parity        46 clocks
//!  other than OK, without ORUNDETECT:  8 request  3 acknowledgement  2 turn
//! ```
//!
//! What always holds:
//! - what the access port reads comes with the transfer after it, and that the bus refused it is told by that one, too;
//! - after a request that is none there is no answer until the line was reset, and DPIDR is read first then.

use crate::arm::dap::Dap;
use crate::arm::transfer::{Ack, Port, Wire};

/// So many ones reset the line.
const RESET_CLOCKS: u32 = 50;
const REQUEST_BITS: u32 = 8;
const ACK_BITS: u32 = 3;
const TURN_CLOCKS: u32 = 2;
/// Data and their parity.
const DATA_BITS: u32 = 33;

const OK: u64 = 0b001;
const WAIT: u64 = 0b010;
const FAULT: u64 = 0b100;

/// What a host asks for.
#[derive(Clone, Copy, Debug)]
struct Request {
    port: Port,
    is_read: bool,
    a: u8,
}

impl Request {
    /// ```text
    ///  7    6    5      4 3  2    1     0
    ///  park stop parity A3:2 RnW  APnDP start
    /// ```
    fn of(bits: u8) -> Option<Self> {
        let bit = |number: u32| bits >> number & 1 != 0;
        let is_framed = bit(0) && !bit(6) && bit(7);
        let is_even = (bits >> 1 & 0x1F).count_ones().is_multiple_of(2);
        (is_framed && is_even).then(|| Self {
            port: if bit(1) { Port::Access } else { Port::Debug },
            is_read: bit(2),
            a: bits >> 1 & 0xC,
        })
    }

    fn is_of_dpidr(self) -> bool {
        self.port == Port::Debug && self.is_read && self.a == 0
    }
}

/// What happens at the next clocks.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A request comes: its bits so far.
    Request {
        bits: u8,
        num: u32,
    },
    /// The target drives these bits, the lowest first; then nobody does for two clocks, and then data comes, if this is a write.
    Drives {
        bits: u64,
        left: u32,
        write: Option<(Request, bool)>,
    },
    Turns {
        left: u32,
        write: Option<(Request, bool)>,
    },
    /// Data comes, for this register if it was accepted.
    Data {
        bits: u64,
        num: u32,
        request: Request,
        is_accepted: bool,
    },
    /// The line has to be reset.
    Silent,
}

const IDLE: State = State::Request { bits: 0, num: 0 };

/// The wire, and how far a transfer has come.
#[derive(Debug)]
pub(crate) struct SwdLine {
    state: State,
    ones: u32,
    is_reset: bool,
}

impl SwdLine {
    pub(crate) fn new() -> Self {
        Self { state: State::Silent, ones: 0, is_reset: false }
    }

    /// One clock. `driven` is what the host drives; else a resistor holds the level high that nobody drives.
    pub(crate) fn clock(&mut self, driven: Option<bool>, dap: &mut Dap) -> bool {
        let level = driven.unwrap_or(true);
        self.ones = if driven == Some(true) { self.ones.saturating_add(1) } else { 0 };
        if self.ones >= RESET_CLOCKS {
            (self.state, self.is_reset) = (IDLE, true);
            return true;
        }
        let drives = if let State::Drives { bits, .. } = self.state { bits & 1 != 0 } else { true };
        self.state = self.next(level, dap);
        drives
    }

    /// What happens at the clock after this one, at which the line had that level.
    fn next(&mut self, level: bool, dap: &mut Dap) -> State {
        match self.state {
            State::Request { num: 0, .. } if !level => IDLE,
            State::Request { bits, num } => match (bits | u8::from(level) << num, num + 1) {
                (bits, REQUEST_BITS) => self.begin(Request::of(bits), dap),
                (bits, num) => State::Request { bits, num },
            },
            State::Drives { left: 1, write, .. } => State::Turns { left: TURN_CLOCKS, write },
            State::Drives { bits, left, write } => State::Drives { bits: bits >> 1, left: left - 1, write },
            State::Turns { left: 1, write: None } => IDLE,
            State::Turns { left: 1, write: Some((request, is_accepted)) } => {
                State::Data { bits: 0, num: 0, request, is_accepted }
            }
            State::Turns { left, write } => State::Turns { left: left - 1, write },
            State::Data { bits, num, request, is_accepted } => {
                match (bits | u64::from(level) << num, num + 1) {
                    (bits, DATA_BITS) => end(bits, request, is_accepted, dap),
                    (bits, num) => State::Data { bits, num, request, is_accepted },
                }
            }
            State::Silent => State::Silent,
        }
    }

    /// A request has come.
    fn begin(&mut self, request: Option<Request>, dap: &mut Dap) -> State {
        let Some(request) = request.filter(|request| !self.is_reset || request.is_of_dpidr()) else {
            return State::Silent;
        };
        let answer =
            if request.is_read { read(request, dap) } else { dap.accept_write(request.port, request.a) };
        if answer == Err(Ack::None) {
            return State::Silent;
        }
        self.is_reset = false;
        let ack = match answer {
            Ok(_) => OK,
            Err(Ack::Wait) => WAIT,
            Err(_) => FAULT,
        };
        let has_data = answer.is_ok() || dap.detects_overruns();
        match (has_data, request.is_read) {
            (true, true) => {
                let data = answer.unwrap_or(0);
                let parity = u64::from(data.count_ones() & 1);
                let bits = ack | u64::from(data) << ACK_BITS | parity << (ACK_BITS + 32);
                State::Drives { bits, left: ACK_BITS + DATA_BITS, write: None }
            }
            (true, false) => {
                State::Drives { bits: ack, left: ACK_BITS, write: Some((request, answer.is_ok())) }
            }
            (false, _) => State::Drives { bits: ack, left: ACK_BITS, write: None },
        }
    }
}

/// A read, whose value is that of the one before where it is the access port's.
fn read(request: Request, dap: &mut Dap) -> Result<u32, Ack> {
    let (posted, had_error) = (dap.posted(), dap.has_sticky_error());
    match (request.port, dap.read_by(Wire::Swd, request.port, request.a)) {
        (Port::Debug, done) => done,
        (Port::Access, Ok(_)) => Ok(posted),
        // It was begun; what came of it the next transfer tells.
        (Port::Access, Err(Ack::Fault)) if !had_error && dap.has_sticky_error() => Ok(posted),
        (Port::Access, refused) => refused,
    }
}

/// All bits of a write have come.
fn end(bits: u64, request: Request, is_accepted: bool, dap: &mut Dap) -> State {
    let value = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
    if bits.count_ones().is_multiple_of(2) {
        if is_accepted {
            // What the bus refuses the next transfer tells.
            let _ = dap.take_write(request.port, request.a, value);
        }
        return IDLE;
    }
    State::Silent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Ram;

    const BASE: u32 = 0x2000_0000;
    const DPIDR: u8 = 0b1010_0101;
    const CTRL_STAT_WRITE: u8 = 0b1010_1001;
    const ABORT: u8 = 0b1000_0001;
    const TAR_WRITE: u8 = 0b1000_1011;
    const DRW_READ: u8 = 0b1001_1111;
    const RDBUFF: u8 = 0b1011_1101;
    const POWERED: u32 = 0x5000_0000;
    /// STKERRCLR and ORUNERRCLR.
    const STICKY_CLEARS: u32 = 0b1_0100;

    /// A host of the line.
    struct Host {
        line: SwdLine,
        dap: Dap,
    }

    impl Host {
        fn new() -> Self {
            let mut host =
                Self { line: SwdLine::new(), dap: Dap::new(Box::new(Ram::of_words(BASE, 1..9, vec![]))) };
            host.reset();
            host
        }

        fn drive(&mut self, bits: u64, num: u32) {
            for number in 0..num {
                self.line.clock(Some(bits >> number & 1 != 0), &mut self.dap);
            }
        }

        fn sample(&mut self, num: u32) -> u64 {
            (0..num).fold(0, |bits, number| bits | u64::from(self.line.clock(None, &mut self.dap)) << number)
        }

        fn reset(&mut self) {
            self.drive(u64::MAX, RESET_CLOCKS);
            self.drive(0, 2);
        }

        /// The acknowledgement, and what came.
        fn read(&mut self, request: u8) -> (u64, u32) {
            self.drive(request.into(), REQUEST_BITS);
            let ack = self.sample(ACK_BITS);
            let bits = self.sample(DATA_BITS + TURN_CLOCKS);
            (ack, u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits"))
        }

        fn write(&mut self, request: u8, value: u32) -> u64 {
            self.drive(request.into(), REQUEST_BITS);
            let ack = self.sample(ACK_BITS + TURN_CLOCKS) & 0b111;
            self.drive(u64::from(value) | u64::from(value.count_ones() & 1) << 32, DATA_BITS);
            ack
        }

        /// With power, overruns detected or not, and the address of the first word.
        fn powered(detects_overruns: bool) -> Self {
            let mut host = Self::new();
            assert_eq!(host.read(DPIDR), (OK, crate::DPIDR));
            assert_eq!(host.write(CTRL_STAT_WRITE, POWERED | u32::from(detects_overruns)), OK);
            assert_eq!(host.write(TAR_WRITE, BASE), OK);
            host
        }
    }

    #[test]
    fn a_line_is_reset_before_all_else_and_dpidr_is_read_then() {
        let mut host = Host::new();
        assert_eq!(host.read(RDBUFF).0, 0b111, "nobody answers");
        assert_eq!(host.read(DPIDR).0, 0b111, "nor now");
        host.reset();
        assert_eq!(host.read(DPIDR), (OK, crate::DPIDR));
        assert_eq!(host.read(RDBUFF).0, OK);
    }

    #[test]
    fn what_is_no_request_or_has_a_wrong_parity_silences_the_line() {
        for wrong in [DPIDR ^ 1 << 5, DPIDR ^ 1 << 6, DPIDR ^ 1 << 7] {
            let mut host = Host::powered(false);
            assert_eq!(host.read(wrong).0, 0b111, "{wrong:#x}");
            assert_eq!(host.read(RDBUFF).0, 0b111, "{wrong:#x}");
        }
        let mut host = Host::powered(false);
        host.drive(TAR_WRITE.into(), REQUEST_BITS);
        assert_eq!(host.sample(ACK_BITS + TURN_CLOCKS) & 0b111, OK);
        host.drive(1, DATA_BITS);
        assert_eq!(host.read(RDBUFF).0, 0b111, "one bit, and an even parity");
    }

    #[test]
    fn what_the_access_port_reads_comes_with_the_transfer_after_it() {
        let mut host = Host::powered(false);
        // An increment by words.
        host.dap.write(Port::Access, 0, 0x2300_0012).expect("CSW");
        assert_eq!(host.read(DRW_READ).0, OK);
        assert_eq!(host.read(DRW_READ), (OK, 1));
        assert_eq!(host.read(RDBUFF), (OK, 2));
        assert_eq!(host.read(RDBUFF), (OK, 2));
    }

    #[test]
    fn what_the_bus_refuses_is_told_by_the_transfer_after_it() {
        let mut host = Host::powered(true);
        assert_eq!(host.write(TAR_WRITE, 0), OK);
        assert_eq!(host.read(DRW_READ).0, OK);
        assert_eq!(host.read(RDBUFF).0, FAULT, "its data comes all the same, and means nothing");
        assert_eq!(host.write(ABORT, STICKY_CLEARS), OK);
        assert_eq!(host.read(RDBUFF).0, OK);
    }

    #[test]
    fn an_overrun_is_kept_until_it_is_cleared() {
        let mut host = Host::powered(true);
        host.dap.inject(crate::Fault::Wait { times: 1 });
        assert_eq!(host.write(TAR_WRITE, 0), WAIT, "its data is taken off the line");
        assert_eq!(host.read(RDBUFF).0, FAULT);
        assert_eq!(host.write(ABORT, STICKY_CLEARS), OK);
        assert_eq!(host.read(DRW_READ).0, OK, "TAR is what it was");
        assert_eq!(host.read(RDBUFF), (OK, 1));
    }

    #[test]
    fn without_overrun_detection_there_is_no_data_but_of_an_ok() {
        let mut host = Host::powered(false);
        host.dap.inject(crate::Fault::Wait { times: 1 });
        host.drive(RDBUFF.into(), REQUEST_BITS);
        assert_eq!(host.sample(ACK_BITS), WAIT);
        host.sample(TURN_CLOCKS);
        assert_eq!(host.read(RDBUFF).0, OK, "it is asked again at once");
    }
}
