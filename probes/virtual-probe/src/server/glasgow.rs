//! A server of the wire protocol that probe-rs speaks with a Glasgow: an unmodified probe-rs attaches over it, with
//! `--probe 20b7:9db1:tcp:127.0.0.1:PORT` or `--probe 20b7:9db1:unix:PATH`.
//!
//! Both sides send packets: an endpoint's number and bytes, framed by COBS, each with a 0 after it. An endpoint reads the
//! bytes of all its packets as one stream of commands.
//!
//! ```text
//!  root (0)   00             identify            -> "probe-rs,v01"
//!             10             reference clock     -> hertz:u32
//!             11             divisor             -> divisor:u16
//!             12 divisor:u16 set the divisor
//!             20 | 21        assert, clear reset
//!  SWD (1)    0000 aaRP                a transfer: address, Read, access Port; a write has value:u32 after it
//!                                      -> 00000001 value:u32 (read)
//!                                      -> 00010kkk            (write, or not OK) acknowledgement
//!                                      -> 00100000            nobody acknowledged
//!             001n nnnn bits:u32       a sequence on the line
//! ```
//!
//! As on the wire, a read of the access port gives the value of the one before it, and RDBUFF the last one.
//! Compatible with `src/probe/glasgow/proto.rs` of probe-rs 0.32.
//!
//! What always holds: a packet is of bounded length, and one that is malformed ends the connection.

use std::io::{Read, Write};
use std::sync::Mutex;

use crate::server::error::ServeError;
use crate::{Ack, Dap, Port, lock};

/// The vendor and the product that probe-rs knows a Glasgow by.
pub const SELECTOR: &str = "20b7:9db1";

const IDENTIFIER: &[u8] = b"probe-rs,v01";
const REFERENCE_CLOCK_HZ: u32 = 48_000_000;
const ROOT: u8 = 0;
const SWD: u8 = 1;
/// The longest packet that is taken, as it is framed.
const FRAME_LIMIT: usize = 64 * 1024;
const RECEIVE_BYTES: usize = 16 * 1024;

const READ: u8 = 1 << 1;
const ACCESS_PORT: u8 = 1 << 0;
const ACK_OK: u8 = 0b001;
const ACK_WAIT: u8 = 0b010;
const ACK_FAULT: u8 = 0b100;
const NO_DATA: u8 = 0x10;
const ERROR: u8 = 0x20;

/// Serves one client, until it goes.
///
/// # Errors
///
/// The connection failed, or the client sent what is no packet or no command.
pub fn serve(mut stream: impl Read + Write, dap: &Mutex<Dap>) -> Result<(), ServeError> {
    let mut session = Session::default();
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return session.end();
        }
        let answers = session.feed(buffer.get(..len).unwrap_or_default(), dap)?;
        stream.write_all(&answers)?;
    }
}

/// What is known of a client between two of its packets.
#[derive(Default)]
struct Session {
    frame: Vec<u8>,
    root: Vec<u8>,
    swd: Vec<u8>,
    divisor: u16,
}

impl Session {
    /// Takes bytes, and gives what is to be answered.
    fn feed(&mut self, received: &[u8], dap: &Mutex<Dap>) -> Result<Vec<u8>, ServeError> {
        let mut answers = Vec::new();
        for piece in received.split_inclusive(|&byte| byte == 0) {
            if self.frame.len() + piece.len() > FRAME_LIMIT {
                return Err(ServeError::Malformed("a packet longer than 64 KiB"));
            }
            self.frame.extend_from_slice(piece);
            if self.frame.last() == Some(&0) {
                let mut frame = std::mem::take(&mut self.frame);
                frame.pop();
                self.packet(&frame, dap, &mut answers)?;
            }
        }
        Ok(answers)
    }

    fn end(&self) -> Result<(), ServeError> {
        let is_between = self.frame.is_empty() && self.root.is_empty() && self.swd.is_empty();
        if is_between { Ok(()) } else { Err(ServeError::Malformed("it ended within a command")) }
    }

    fn packet(&mut self, frame: &[u8], dap: &Mutex<Dap>, answers: &mut Vec<u8>) -> Result<(), ServeError> {
        if frame.is_empty() {
            return Ok(());
        }
        let packet =
            cobs::decode_vec(frame).map_err(|_| ServeError::Malformed("a packet that is not COBS"))?;
        let Some((&endpoint, bytes)) = packet.split_first() else {
            return Err(ServeError::Malformed("a packet without an endpoint"));
        };
        let mut answer = vec![endpoint];
        let mut dap = lock(dap);
        match endpoint {
            ROOT => self.root_commands(bytes, &mut dap, &mut answer)?,
            SWD => self.swd_commands(bytes, &mut dap, &mut answer)?,
            _ => return Err(ServeError::Malformed("a packet for an endpoint that is not there")),
        }
        if answer.len() > 1 {
            answers.extend(cobs::encode_vec(&answer));
            answers.push(0);
        }
        Ok(())
    }

    fn root_commands(&mut self, bytes: &[u8], dap: &mut Dap, answer: &mut Vec<u8>) -> Result<(), ServeError> {
        let mut stream = std::mem::take(&mut self.root);
        stream.extend_from_slice(bytes);
        let mut rest = stream.as_slice();
        loop {
            rest = match rest {
                [0x00, rest @ ..] => {
                    answer.extend_from_slice(IDENTIFIER);
                    rest
                }
                [0x10, rest @ ..] => {
                    answer.extend(REFERENCE_CLOCK_HZ.to_le_bytes());
                    rest
                }
                [0x11, rest @ ..] => {
                    answer.extend(self.divisor.to_le_bytes());
                    rest
                }
                [0x12, low, high, rest @ ..] => {
                    self.divisor = u16::from_le_bytes([*low, *high]);
                    rest
                }
                [command @ (0x20 | 0x21), rest @ ..] => {
                    dap.set_reset_pin(*command == 0x20);
                    rest
                }
                [] | [0x12, ..] => break,
                _ => return Err(ServeError::Malformed("a command that a Glasgow does not have")),
            };
        }
        self.root = rest.to_vec();
        Ok(())
    }

    fn swd_commands(&mut self, bytes: &[u8], dap: &mut Dap, answer: &mut Vec<u8>) -> Result<(), ServeError> {
        let mut stream = std::mem::take(&mut self.swd);
        stream.extend_from_slice(bytes);
        let mut rest = stream.as_slice();
        loop {
            rest = match rest {
                [0x20..=0x3F, _, _, _, _, rest @ ..] => rest,
                [command @ 0x00..=0x0F, rest @ ..] if command & READ != 0 => {
                    read(*command, dap, answer);
                    rest
                }
                [command @ 0x00..=0x0F, a, b, c, d, rest @ ..] => {
                    let value = u32::from_le_bytes([*a, *b, *c, *d]);
                    let written = dap.write(port(*command), command & 0xC, value);
                    answer.push(written.map_or_else(refusal, |()| NO_DATA | ACK_OK));
                    rest
                }
                [] | [0x00..=0x0F | 0x20..=0x3F, ..] => break,
                _ => return Err(ServeError::Malformed("a transfer that SWD does not have")),
            };
        }
        self.swd = rest.to_vec();
        Ok(())
    }
}

fn port(command: u8) -> Port {
    if command & ACCESS_PORT != 0 { Port::Access } else { Port::Debug }
}

fn read(command: u8, dap: &mut Dap, answer: &mut Vec<u8>) {
    let port = port(command);
    let posted = dap.posted();
    match dap.read(port, command & 0xC) {
        Ok(value) => {
            answer.push(ACK_OK);
            answer.extend(if port == Port::Access { posted } else { value }.to_le_bytes());
        }
        Err(ack) => answer.push(refusal(ack)),
    }
}

fn refusal(ack: Ack) -> u8 {
    match ack {
        Ack::Wait => NO_DATA | ACK_WAIT,
        Ack::Fault => NO_DATA | ACK_FAULT,
        Ack::None => ERROR,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Fault, Ram, SharedDap, shared};

    const NOTHING: [u8; 0] = [];

    fn dap() -> SharedDap {
        shared(Ram::of_words(0x2000_0000, 100..200, vec![]))
    }

    fn framed(packet: &[u8]) -> Vec<u8> {
        let mut frame = cobs::encode_vec(packet);
        frame.push(0);
        frame
    }

    /// What each packet is answered, without its frame.
    fn answers(session: &mut Session, dap: &SharedDap, packet: &[u8]) -> Vec<u8> {
        let mut answer = session.feed(&framed(packet), dap).expect("an answer");
        assert_eq!(answer.pop().unwrap_or(0), 0);
        if answer.is_empty() { answer } else { cobs::decode_vec(&answer).expect("COBS") }
    }

    #[test]
    fn the_root_says_what_it_is() {
        let (mut session, dap) = (Session::default(), dap());
        assert_eq!(answers(&mut session, &dap, &[ROOT, 0]), [&[ROOT], IDENTIFIER].concat());
        assert_eq!(answers(&mut session, &dap, &[ROOT, 0x12, 5]), NOTHING);
        assert_eq!(answers(&mut session, &dap, &[ROOT, 0, 0x11]), [ROOT, 5, 0]);
        assert_eq!(answers(&mut session, &dap, &[ROOT, 0x20, 0x21]), NOTHING);
        assert_eq!(lock(&dap).stats().resets, 1);
        session.end().expect("between commands");
    }

    #[test]
    fn reads_of_the_access_port_are_posted() {
        let (mut session, dap) = (Session::default(), dap());
        let write = |command: u8, value: u32| [&[command][..], &value.to_le_bytes()].concat();
        let setup = [
            vec![SWD],
            write(0x4, 0x5000_0000),
            write(0x1, 0x2300_0012),
            write(0x5, 0x2000_0000),
            vec![0xF, 0xF, 0xE],
        ];
        let answer = answers(&mut session, &dap, &setup.concat());
        let (written, values) = answer[1..].split_at(3);
        assert_eq!(written, [0x11; 3]);
        let values: Vec<u32> =
            values.chunks(5).map(|read| u32::from_le_bytes(read[1..].try_into().expect("a word"))).collect();
        assert_eq!(values, [0, 100, 101]);
    }

    #[test]
    fn what_is_not_ok_is_said() {
        let (mut session, dap) = (Session::default(), dap());
        assert_eq!(answers(&mut session, &dap, &[SWD, 0xF]), [SWD, 0x14], "there is no power");
        lock(&dap).inject(Fault::LinkLoss);
        assert_eq!(answers(&mut session, &dap, &[SWD, 0x2]), [SWD, 0x20]);
    }

    #[test]
    fn what_is_malformed_ends_the_connection() {
        let wrong: [&[u8]; 4] = [&framed(&[2, 0]), &framed(&[ROOT, 0x55]), &framed(&[SWD, 0x40]), &[9, 1, 0]];
        for bytes in wrong {
            let error = Session::default().feed(bytes, &dap()).expect_err("malformed");
            assert!(matches!(error, ServeError::Malformed(_)), "{bytes:x?}: {error}");
        }
        let endless = vec![1; FRAME_LIMIT + 1];
        assert!(Session::default().feed(&endless, &dap()).is_err());
        let mut session = Session::default();
        session.feed(&framed(&[SWD, 0x0, 1]), &dap()).expect("half a command");
        assert!(session.end().is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let dap = dap();
            let _ = Session::default().feed(&bytes, &dap);
            let _ = Session::default().feed(&framed(&[&[SWD][..], &bytes].concat()), &dap);
        }
    }
}
