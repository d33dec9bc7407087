//! File-I/O requests: the target stops and asks its debugger's host to open, read or write a file.
//! (GDB manual, "File-I/O Remote Protocol Extension".) QEMU sends them for semihosting calls while a
//! client is connected.
//!
//! ```text
//! <- Fwrite,FD,PTR,LEN        numbers in hexadecimal
//! <- Fname,...                any other call
//! -> F RETCODE                done; the target runs on
//! -> F -1,ERRNO               refused; the target runs on
//! ```
//!
//! What always holds: no file of the host is touched. What a target writes to its standard output or error
//! is given to whoever asks for events; every other call is refused.

use super::hex;

/// `EPERM`, in the protocol's own numbering.
const EPERM: u8 = 1;

/// The most that is fetched for one write; the target is told, and writes the rest in a call of its own.
const MAX_WRITE_BYTES: u64 = 16 * 1024;

/// A request of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileIo {
    /// Text for standard output or error, to be fetched from target memory.
    Print {
        /// Where the text is.
        addr: u64,
        /// How much of it.
        len_bytes: usize,
    },
    /// Anything else.
    Other,
}

impl FileIo {
    /// Reads a request; `None` for any other packet.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let call = payload.strip_prefix(b"F")?;
        if !call.first()?.is_ascii_lowercase() {
            return None;
        }
        Some(Self::print(call).unwrap_or(Self::Other))
    }

    fn print(call: &[u8]) -> Option<Self> {
        let mut fields = call.strip_prefix(b"write,")?.split(|byte| *byte == b',').map(number);
        let (fd, addr, len) = (fields.next()??, fields.next()??, fields.next()??);
        let len_bytes = usize::try_from(len.min(MAX_WRITE_BYTES)).ok()?;
        matches!(fd, 1 | 2).then_some(Self::Print { addr, len_bytes })
    }
}

/// QEMU leaves a stray `x` after some numbers.
fn number(field: &[u8]) -> Option<u64> {
    hex::number(field.strip_suffix(b"x").unwrap_or(field))
}

/// The reply to a write of which `len_bytes` bytes were taken.
pub(crate) fn wrote(len_bytes: usize) -> Vec<u8> {
    format!("F{len_bytes:x}").into_bytes()
}

/// The reply to a call that is not allowed.
pub(crate) fn refused() -> Vec<u8> {
    format!("F-1,{EPERM:x}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_are_told_from_other_calls() {
        assert_eq!(FileIo::parse(b"Fwrite,2,1f4,9"), Some(FileIo::Print { addr: 0x1f4, len_bytes: 9 }));
        assert_eq!(
            FileIo::parse(b"Fwrite,1,1f4x,ffffffff"),
            Some(FileIo::Print { addr: 0x1f4, len_bytes: 16384 })
        );
        for call in [&b"Fwrite,7,20000000,40"[..], b"Fopen,1d0/cx,601,1a4", b"Fsystem,0/0", b"Fwrite,1"] {
            assert_eq!(FileIo::parse(call), Some(FileIo::Other));
        }
        for payload in [&b"F"[..], b"F0011", b"00", b""] {
            assert_eq!(FileIo::parse(payload), None);
        }
    }

    #[test]
    fn replies_are_spelled_as_the_manual_has_them() {
        assert_eq!(wrote(26), b"F1a");
        assert_eq!(refused(), b"F-1,1");
    }
}
