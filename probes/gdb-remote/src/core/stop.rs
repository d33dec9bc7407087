//! Stop replies: why the target stopped. (GDB manual, "Stop Reply Packets".)
//!
//! ```text
//! S AA                       stopped by signal AA
//! T AA n1:r1;n2:r2;...       the same, with pairs: `thread`, `swbreak`, `hwbreak`, registers
//! W AA [;process:PID]        exited with status AA; gdbserver sends a single digit for a small one
//! X AA [;process:PID]        ended by signal AA
//! N                          no thread is left to resume
//! ```

use std::fmt;

use super::hex;

/// A thread of the target in the server's own spelling: `p01.02`, `3`.
///
/// What always holds: it consists of characters that a thread id may have, so that it can be sent back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ThreadId(String);

impl ThreadId {
    /// No server's thread id comes near.
    const MAX_LEN: usize = 64;

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && text.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'p' | b'.' | b'-'));
        fits.then(|| Self(text.iter().copied().map(char::from).collect()))
    }

    /// The process of a thread, where the server speaks of processes.
    pub(crate) fn process(&self) -> Option<u64> {
        let (process, _) = self.0.strip_prefix('p')?.split_once('.')?;
        hex::number(process.as_bytes())
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the target, or one of its threads, does not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum StopReply {
    /// A signal in GDB's numbering, in a thread if the server told which.
    Signal {
        /// 2 after an interrupt, 5 at a breakpoint; 0 for a thread that was stopped without one.
        signal: u8,
        /// The thread that was stopped.
        thread: Option<ThreadId>,
        /// Some of its registers, by their numbers: bytes in hexadecimal digits.
        registers: Vec<(u64, Vec<u8>)>,
    },
    /// The target exited.
    Exited(u8),
    /// The target was ended by a signal.
    Killed(u8),
    /// No thread is left.
    NoThread,
}

impl StopReply {
    /// Reads a stop reply; `None` for any other packet.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        if *kind == b'N' {
            return rest.is_empty().then_some(Self::NoThread);
        }
        let end = || u8::try_from(hex::number(rest.split(|byte| *byte == b';').next()?)?).ok();
        let signal = || u8::try_from(hex::number(rest.get(..2)?)?).ok();
        match kind {
            b'S' if rest.len() == 2 => {
                Some(Self::Signal { signal: signal()?, thread: None, registers: Vec::new() })
            }
            b'T' => {
                let pairs = rest.get(2..)?;
                let (thread, registers) = (thread_of(pairs), registers_of(pairs));
                Some(Self::Signal { signal: signal()?, thread, registers })
            }
            b'W' => Some(Self::Exited(end()?)),
            b'X' => Some(Self::Killed(end()?)),
            _ => None,
        }
    }

    /// Whether there is no target any more.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Exited(_) | Self::Killed(_))
    }
}

/// No server sends as many.
const MAX_REGISTERS: usize = 64;

fn registers_of(pairs: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let register = |pair: &[u8]| {
        let colon = pair.iter().position(|byte| *byte == b':')?;
        // Names of other things, such as `core`, are longer than the numbers of registers, or no numbers.
        let number = hex::number(pair.get(..colon).filter(|name| name.len() <= 3)?)?;
        let digits = pair.get(colon + 1..)?;
        hex::decode(digits)?;
        Some((number, digits.to_vec()))
    };
    pairs.split(|byte| *byte == b';').filter_map(register).take(MAX_REGISTERS).collect()
}

fn thread_of(pairs: &[u8]) -> Option<ThreadId> {
    pairs.split(|byte| *byte == b';').find_map(|pair| ThreadId::parse(pair.strip_prefix(b"thread:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_send() {
        let gdbserver = b"T0506:0000000000000000;07:50e6ff;10:704bfef7;thread:p3273.3273;core:1;";
        let Some(StopReply::Signal { signal: 5, thread: Some(thread), registers }) =
            StopReply::parse(gdbserver)
        else {
            panic!("not a stop reply");
        };
        assert_eq!(thread.to_string(), "p3273.3273");
        assert_eq!(thread.process(), Some(0x3273));
        let sent = [(6, b"0000000000000000".to_vec()), (7, b"50e6ff".to_vec()), (0x10, b"704bfef7".to_vec())];
        assert_eq!(registers, sent);
        assert_eq!(
            StopReply::parse(b"S05"),
            Some(StopReply::Signal { signal: 5, thread: None, registers: Vec::new() })
        );
        assert_eq!(StopReply::parse(b"W2a"), Some(StopReply::Exited(42)));
        assert_eq!(StopReply::parse(b"W7;process:68f0"), Some(StopReply::Exited(7)));
        assert_eq!(StopReply::parse(b"X09;process:1"), Some(StopReply::Killed(9)));
        assert_eq!(StopReply::parse(b"N"), Some(StopReply::NoThread));
    }

    #[test]
    fn other_packets_are_not_stop_replies() {
        for payload in
            [&b""[..], b"OK", b"E01", b"T", b"T0", b"Txx", b"S05x", b"W", b"W100", b"Wx;", b"NO", b"00112233"]
        {
            assert_eq!(StopReply::parse(payload), None, "{payload:?}");
        }
    }

    #[test]
    fn a_thread_id_that_could_end_a_packet_is_not_taken() {
        for id in [&b"1#00"[..], b"1;c", b"", &[b'1'; 65]] {
            assert_eq!(ThreadId::parse(id), None);
        }
        assert_eq!(ThreadId::parse(b"p1.-1").unwrap().process(), Some(1));
        assert_eq!(ThreadId::parse(b"7").unwrap().process(), None);
    }
}
