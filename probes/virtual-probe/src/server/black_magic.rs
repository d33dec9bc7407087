//! A server of the Black Magic Probe's remote protocol, with a TAP behind it.
//!
//! Each packet has one answer. Numbers are hexadecimal, bits go from the lowest on. Compatible with `src/remote.h` and
//! `src/remote.c` of Black Magic Debug, as firmware that has no high-level commands, which came later: JTAG at the level of
//! bits, and nothing of SWD.
//!
//! ```text
//!  !GA#              -> &K and a name#     begin
//!  !GZv#             -> &K0#               the reset pin: 1 asserts it
//!  !GE.# !GF........# -> &K0#              clock output, frequency
//!  !Gf#              -> &K and hertz#
//!  !JS# !JR#         -> &K0#               begin with JTAG, reset the TAP
//!  !JNab#            -> &K and TDO#        one clock with these levels of TMS and TDI
//!  !JTllbits#        -> &K0#               levels of TMS
//!  !Jdllbits#        -> &K and TDOs#       levels of TDI, and TMS low
//!  !JDllbits#        -> &K and TDOs#       the same, and TMS high at the last
//!  others            -> &E1#               REMOTE_ERROR_UNRECOGNISED
//!  wrong numbers     -> &P0#
//! ```
//!
//! What always holds: between packets there is nothing but `+` and `#`, which GDB's protocol has there, and a space, which
//! probe-rs sends before `!GV#`; what else stands there, and a packet that does not end, end the connection.

use std::io::{Read, Write};
use std::sync::Mutex;

use crate::lock;
use crate::server::error::ServeError;
use crate::tap::{DataRegisters, Tap};

/// The vendor and product of a Black Magic Probe.
pub const SELECTOR: &str = "1d50:6018";

/// As long as the firmware's own buffer.
const PACKET_LIMIT: usize = 1024;
const NAME: &str = "covtap's virtual probe";
const FREQUENCY_HZ: u32 = 4_000_000;

/// Serves one client, until it goes.
///
/// # Errors
///
/// The connection failed, or the client sent what is no packet.
pub(crate) fn serve<R: DataRegisters>(
    mut stream: impl Read + Write,
    chip: &Mutex<R>,
) -> Result<(), ServeError> {
    let mut tap = Tap::of::<R>();
    let mut packets = Packets { packet: None };
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        let mut answers = String::new();
        for &byte in buffer.get(..len).unwrap_or_default() {
            if let Some(packet) = packets.push(byte)? {
                answers += &answer(&packet, &mut tap, &mut *lock(chip)).to_string();
            }
        }
        stream.write_all(answers.as_bytes())?;
    }
}

/// Takes packets out of a stream.
struct Packets {
    /// The one that has begun.
    packet: Option<Vec<u8>>,
}

impl Packets {
    /// The packet that ends with this byte, without what frames it.
    fn push(&mut self, byte: u8) -> Result<Option<Vec<u8>>, ServeError> {
        match (&mut self.packet, byte) {
            (Some(_), b'#') => return Ok(self.packet.take()),
            (Some(packet), _) if packet.len() < PACKET_LIMIT => packet.push(byte),
            (Some(_), _) => return Err(ServeError::Malformed("a packet that does not end")),
            (None, b'!') => self.packet = Some(Vec::new()),
            (None, b'+' | b'#' | b' ') => {}
            (None, _) => return Err(ServeError::Malformed("a byte between packets")),
        }
        Ok(None)
    }
}

/// What a packet is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Answer {
    Number(u64),
    Text(&'static str),
    WrongNumber,
    Unrecognised,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "&K{number:x}#"),
            Self::Text(text) => write!(f, "&K{text}#"),
            Self::WrongNumber => f.write_str("&P0#"),
            Self::Unrecognised => f.write_str("&E1#"),
        }
    }
}

fn answer<R: DataRegisters>(packet: &[u8], tap: &mut Tap, chip: &mut R) -> Answer {
    match packet {
        b"GA" => Answer::Text(NAME),
        b"Gf" => Answer::Number(FREQUENCY_HZ.into()),
        [b'G', b'Z', level] => {
            chip.set_reset_pin(*level == b'1');
            Answer::Number(0)
        }
        b"JS" | [b'G', b'E' | b'F', ..] => Answer::Number(0),
        b"JR" => {
            for tms in [true, true, true, true, true, false] {
                tap.clock(tms, true, chip);
            }
            Answer::Number(0)
        }
        [b'J', b'N', tms, tdi] => Answer::Number(tap.clock(*tms == b'1', *tdi == b'1', chip).into()),
        [b'J', command @ (b'T' | b'd' | b'D'), first, second, bits @ ..] => {
            match (number(&[*first, *second]), number(bits)) {
                (Some(count @ 1..=64), Some(bits)) => scan(*command, count, bits, tap, chip),
                _ => Answer::WrongNumber,
            }
        }
        _ => Answer::Unrecognised,
    }
}

/// Some clocks, and what TDO was.
fn scan<R: DataRegisters>(command: u8, count: u64, bits: u64, tap: &mut Tap, chip: &mut R) -> Answer {
    let tdos = (0..count).fold(0, |tdos, at| {
        let bit = bits >> at & 1 != 0;
        let tdo = match command {
            b'T' => tap.clock(bit, true, chip),
            _ => tap.clock(command == b'D' && at + 1 == count, bit, chip),
        };
        tdos | u64::from(tdo) << at
    });
    Answer::Number(if command == b'T' { 0 } else { tdos })
}

fn number(digits: &[u8]) -> Option<u64> {
    // It takes a sign, which is no digit.
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;
    use crate::{Chip, Ram, SharedRiscv, dtm, shared_riscv};

    struct Client<'a>(&'a [u8], Vec<u8>);

    impl Read for Client<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            // In pieces, as a network has them.
            let len = buf.len().min(5);
            self.0.read(&mut buf[..len])
        }
    }

    impl Write for Client<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn riscv() -> SharedRiscv {
        shared_riscv(Chip::default(), Ram::of_words(0x8000_0000, [], vec![]))
    }

    fn answers(sent: &[u8]) -> Result<String, ServeError> {
        let mut client = Client(sent, Vec::new());
        serve(&mut client, &riscv())?;
        Ok(String::from_utf8(client.1).expect("text"))
    }

    #[test]
    fn a_probe_without_high_level_commands_introduces_itself() {
        let sent = b"+#!GA#!HC#!GZ0# !GV#!GF003d0900#!Gf#!GE1#!SS#!HA#";
        let expected = "&Kcovtap's virtual probe#&E1#&K0#&E1#&K0#&K3d0900#&K0#&E1#&E1#";
        assert_eq!(answers(sent).expect("it goes"), expected);
    }

    #[test]
    fn the_chain_identifies_itself() {
        // To Run-Test/Idle, to Shift-DR, 32 bits, the last with TMS high, back.
        let scanned = answers(b"!JS#!JR#!JT031#!JN00#!Jd1f0#!JD010#!JT021#").expect("it goes");
        let (low, high) = (dtm::IDCODE >> 1 & 0x7FFF_FFFF, 0);
        assert_eq!(scanned, format!("&K0#&K0#&K0#&K1#&K{low:x}#&K{high}#&K0#"));
    }

    #[test]
    fn the_reset_pin_is_a_pin() {
        let chip = riscv();
        serve(Client(b"!GZ1#!GZ1#!GZ0#!GZ0#", Vec::new()), &chip).expect("it goes");
        assert_eq!(lock(&chip).stats().resets, 1);
    }

    #[test]
    fn wrong_numbers_are_told_and_what_is_no_packet_ends_the_connection() {
        for wrong in ["!JD41#", "!Jd0z1#", "!JT20+1#", "!Jd2012345678123456789#", "!Jd200x1#"] {
            assert_eq!(answers(wrong.as_bytes()).expect("it goes"), "&P0#", "{wrong}");
        }
        assert_eq!(answers(b"!Jd00#!Jd#!J#!#").expect("it goes"), "&P0#&E1#&E1#&E1#");
        let endless = ["!".repeat(PACKET_LIMIT + 2), "!GA".to_owned(), "x".to_owned()];
        let ends = endless.map(|sent| answers(sent.as_bytes()).is_ok());
        assert_eq!(ends, [false, true, false]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(packets in proptest::collection::vec("J[STNRdD][0-9a-f]{0,20}|.{0,9}", 0..40)) {
            let sent: String = packets.iter().map(|packet| format!("!{packet}#")).collect();
            let _ = answers(sent.as_bytes());
        }
    }
}
