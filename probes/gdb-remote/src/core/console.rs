//! Text that comes through the protocol, and monitor commands. (GDB manual, `qRcmd` and "Stop Reply Packets".)
//!
//! ```text
//! O XX...           text of the target, or of a monitor command, two digits a byte; comes before a reply
//! -> qRcmd,XX...    a command of the server's own
//! <- OK | XX... | E NN
//! ```

use super::hex;

/// The text of an `O` packet; `None` for any other packet. `OK` is none: `K` is not a digit.
pub(crate) fn parse(payload: &[u8]) -> Option<Vec<u8>> {
    hex::decode(payload.strip_prefix(b"O")?)
}

/// The packet that has the server run `command`.
pub(crate) fn monitor_command(command: &str) -> Vec<u8> {
    let mut packet = b"qRcmd,".to_vec();
    hex::encode_into(&mut packet, command.as_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_replies() {
        assert_eq!(parse(b"O48690a"), Some(b"Hi\n".to_vec()));
        assert_eq!(parse(b"O"), Some(Vec::new()));
        for payload in [&b"OK"[..], b"O4", b"4869", b""] {
            assert_eq!(parse(payload), None);
        }
        assert_eq!(monitor_command("hi"), b"qRcmd,6869");
    }
}
