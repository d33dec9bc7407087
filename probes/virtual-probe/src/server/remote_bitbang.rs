//! A server of OpenOCD's `remote_bitbang`, with a TAP behind it.
//!
//! Each byte is a command, and one of them has an answer, of one byte. Compatible with
//! `doc/manual/jtag/drivers/remote_bitbang.txt` of OpenOCD 0.12.
//!
//! ```text
//!  B b       a lamp on, off          Q         quit
//!  0 .. 7    TCK, TMS, TDI as bits 2, 1, 0
//!  R         -> TDO as '0' or '1'
//!  r s t u   resets: bit 1 is TRST, bit 0 is SRST
//! ```
//!
//! What always holds: what is no command ends the connection.

use std::io::{Read, Write};
use std::sync::Mutex;

use crate::lock;
use crate::server::error::ServeError;
use crate::tap::{DataRegisters, Tap};

/// Serves one client, until it goes.
///
/// # Errors
///
/// The connection failed, or the client sent what is no command.
pub(crate) fn serve<R: DataRegisters>(
    mut stream: impl Read + Write,
    chip: &Mutex<R>,
) -> Result<(), ServeError> {
    let mut tap = Tap::of::<R>();
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        let mut answers = Vec::new();
        let commands = buffer.get(..len).unwrap_or_default();
        let goes_on = obey(commands, &mut tap, &mut *lock(chip), &mut answers)?;
        stream.write_all(&answers)?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// Obeys a client's commands, and tells whether it stays.
fn obey<R: DataRegisters>(
    commands: &[u8],
    tap: &mut Tap,
    chip: &mut R,
    answers: &mut Vec<u8>,
) -> Result<bool, ServeError> {
    for &command in commands {
        match command {
            b'0'..=b'7' => {
                let pins = command - b'0';
                tap.set_pins(pins & 4 != 0, pins & 2 != 0, pins & 1 != 0, chip);
            }
            b'R' => answers.push(if tap.tdo() { b'1' } else { b'0' }),
            b'r'..=b'u' => {
                let resets = command - b'r';
                if resets & 2 != 0 {
                    tap.reset::<R>();
                }
                chip.set_reset_pin(resets & 1 != 0);
            }
            b'B' | b'b' => {}
            b'Q' => return Ok(false),
            _ => return Err(ServeError::Malformed("a command that remote_bitbang does not have")),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Ram, shared};

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
