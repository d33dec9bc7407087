//! Cuts a stream of bytes into JSON objects.
//!
//! What enters is bytes as they arrive; what leaves is one object's text after another. QMP puts each
//! message on a line of its own, but a monitor with `pretty=on` spreads it over many: objects are told apart
//! by their braces.
//!
//! What always holds: no more than [`MAX_MESSAGE_BYTES`] are kept, and each byte is looked at once.

/// The longest message that is waited for. The longest known one, `info mtree -f` of a machine with hundreds
/// of devices, is well below 2 MiB.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What the stream cannot be cut by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameError {
    /// A byte outside of any object that is not white space.
    Stray(u8),
    /// An object longer than [`MAX_MESSAGE_BYTES`].
    TooLong,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stray(byte) => write!(f, "byte {byte:#04x} between messages is not JSON"),
            Self::TooLong => write!(f, "message longer than {MAX_MESSAGE_BYTES} bytes"),
        }
    }
}

/// Cuts a stream into objects.
#[derive(Default, Debug)]
pub(crate) struct Framer {
    bytes: Vec<u8>,
    /// How many of `bytes` were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// Takes bytes as they arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole object's text, or `None` until more has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        while let Some(&byte) = self.bytes.get(self.seen) {
            self.seen += 1;
            if self.depth == 0 && byte != b'{' {
                // 0xff is what a client may send to resynchronise; QEMU's guest agent echoes it.
                if !byte.is_ascii_whitespace() && byte != 0xff {
                    return Err(FrameError::Stray(byte));
                }
                continue;
            }
            if self.closes_object(byte) {
                return Ok(Some(self.take()));
            }
        }
        if self.depth == 0 {
            self.bytes.clear();
            self.seen = 0;
        }
        if self.bytes.len() > MAX_MESSAGE_BYTES { Err(FrameError::TooLong) } else { Ok(None) }
    }

    fn closes_object(&mut self, byte: u8) -> bool {
        match (self.in_string, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (_, b'"') => self.in_string = !self.in_string,
            (false, b'{') => self.depth += 1,
            (false, b'}') => {
                self.depth -= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.seen);
        self.seen = 0;
        std::mem::replace(&mut self.bytes, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(stream: &[u8], step: usize) -> Result<Vec<String>, FrameError> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for chunk in stream.chunks(step) {
            framer.push(chunk);
            while let Some(text) = framer.next()? {
                found.push(String::from_utf8_lossy(&text).trim().to_owned());
            }
        }
        Ok(found)
    }

    #[test]
    fn objects_are_cut_wherever_the_stream_breaks() {
        let stream = b"{\"a\": {\"b\": \"}\\\"{\"}}\r\n\r\n{\n  \"pretty\": 1\n}\n {\"open\":";
        for step in 1..stream.len() {
            let found = cut(stream, step).expect("well formed");
            assert_eq!(found, ["{\"a\": {\"b\": \"}\\\"{\"}}", "{\n  \"pretty\": 1\n}"], "step {step}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_at_once() {
        assert_eq!(cut(b"SSH-2.0-x\r\n", 64), Err(FrameError::Stray(b'S')));
        assert_eq!(cut(b"{} }", 64), Err(FrameError::Stray(b'}')));
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut framer = Framer::default();
        framer.push(b"{\"");
        let chunk = vec![b'x'; 1 << 20];
        let outcome = (0..17).find_map(|_| {
            framer.push(&chunk);
            framer.next().err()
        });
        assert_eq!(outcome, Some(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn no_stream_panics(stream in proptest::collection::vec(any::<u8>(), 0..512), step in 1usize..64) {
            let _ = cut(&stream, step);
        }
    }
}
