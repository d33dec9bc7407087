//! Frames: how packets are told apart on the wire. (GDB manual, appendix "Remote Protocol", "Overview".)
//!
//! What enters is bytes in pieces of any size; what leaves is whole frames, with run lengths expanded and
//! escapes resolved.
//!
//! ```text
//! $ payload # c c        a packet; cc is the sum of the payload's bytes as sent, modulo 256, in hexadecimal
//! % payload # c c        a notification; never acknowledged
//! + | -                  the last packet arrived whole | did not
//! } b                    in a payload: the byte b ^ 0x20
//! b * n                  in a payload: b, and then b another n - 29 times
//! ```
//!
//! What always holds: a payload never grows past the limit that the decoder was made with, and bytes that
//! belong to no frame are counted and end in an error.

use super::hex;

/// How many bytes between frames are forgiven: a boot loader's banner on a serial line.
const NOISE_LIMIT_BYTES: usize = 16 * 1024;

const ESCAPE: u8 = b'}';
const ESCAPE_BIT: u8 = 0x20;
/// A run length is this much more than the number of further copies.
const RUN_BIAS: u8 = 29;

/// One thing that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// `+`
    Ack,
    /// `-`
    Nak,
    /// A packet's payload.
    Packet(Vec<u8>),
    /// A notification's payload.
    Notification(Vec<u8>),
    /// A packet whose checksum or run lengths are wrong.
    DamagedPacket,
    /// A notification whose checksum or run lengths are wrong.
    DamagedNotification,
    /// A packet that ended where another one began.
    CutOff,
}

/// The stream is not the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a packet of more than {limit_bytes} bytes")]
    Overlong { limit_bytes: usize },
    #[error("{count_bytes} bytes that belong to no packet")]
    Noise { count_bytes: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Between,
    Payload,
    /// After `*`: the run length is next.
    Run,
    /// After `#`: the first checksum digit is next.
    SumHigh,
    /// The second checksum digit is next; with the first one, if it was one.
    SumLow(Option<u8>),
}

/// Takes a stream apart.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    payload: Vec<u8>,
    is_notification: bool,
    is_damaged: bool,
    sum: u8,
    noise_bytes: usize,
    limit_bytes: usize,
}

impl Decoder {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            state: State::Between,
            payload: Vec::new(),
            is_notification: false,
            is_damaged: false,
            sum: 0,
            noise_bytes: 0,
            limit_bytes,
        }
    }

    /// Takes bytes off the front of `input` until a frame is complete; `None` when all were taken before.
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.state == State::Payload {
                self.take_plain(input)?;
                let Some((&byte, rest)) = input.split_first() else { break };
                *input = rest;
                if let Some(frame) = self.take_mark(byte) {
                    return Ok(Some(frame));
                }
                continue;
            }
            *input = rest;
            if let Some(frame) = self.take(byte)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Takes the bytes up to the next one with a meaning of its own.
    fn take_plain(&mut self, input: &mut &[u8]) -> Result<(), FrameError> {
        let len = input.iter().position(|byte| matches!(byte, b'#' | b'$' | b'*')).unwrap_or(input.len());
        let (plain, rest) = input.split_at(len);
        if self.payload.len().saturating_add(len) > self.limit_bytes {
            return Err(FrameError::Overlong { limit_bytes: self.limit_bytes });
        }
        self.sum = plain.iter().fold(self.sum, |sum, byte| sum.wrapping_add(*byte));
        self.payload.extend_from_slice(plain);
        *input = rest;
        Ok(())
    }

    fn take_mark(&mut self, byte: u8) -> Option<Frame> {
        match byte {
            b'#' => self.state = State::SumHigh,
            b'*' => {
                self.sum = self.sum.wrapping_add(byte);
                self.state = State::Run;
            }
            _ => {
                let cut_off = if self.is_notification { Frame::DamagedNotification } else { Frame::CutOff };
                self.begin(false);
                return Some(cut_off);
            }
        }
        None
    }

    fn take(&mut self, byte: u8) -> Result<Option<Frame>, FrameError> {
        match self.state {
            State::Between => return self.take_between(byte),
            State::Payload => {}
            State::Run => self.take_run(byte)?,
            State::SumHigh => self.state = State::SumLow(hex::digit(byte)),
            State::SumLow(high) => {
                self.state = State::Between;
                let sum = high.zip(hex::digit(byte)).map(|(high, low)| high << 4 | low);
                return Ok(Some(self.finish(sum)));
            }
        }
        Ok(None)
    }

    fn take_between(&mut self, byte: u8) -> Result<Option<Frame>, FrameError> {
        match byte {
            b'+' => return Ok(Some(Frame::Ack)),
            b'-' => return Ok(Some(Frame::Nak)),
            b'$' => self.begin(false),
            b'%' => self.begin(true),
            _ => {
                self.noise_bytes = self.noise_bytes.saturating_add(1);
                if self.noise_bytes > NOISE_LIMIT_BYTES {
                    return Err(FrameError::Noise { count_bytes: self.noise_bytes });
                }
            }
        }
        Ok(None)
    }

    fn take_run(&mut self, length: u8) -> Result<(), FrameError> {
        self.state = State::Payload;
        self.sum = self.sum.wrapping_add(length);
        let copies = length.checked_sub(RUN_BIAS).filter(|_| (b' '..=b'~').contains(&length));
        let (Some(copies), Some(&byte)) = (copies, self.payload.last()) else {
            self.is_damaged = true;
            return Ok(());
        };
        let len = self.payload.len().saturating_add(usize::from(copies));
        if len > self.limit_bytes {
            return Err(FrameError::Overlong { limit_bytes: self.limit_bytes });
        }
        self.payload.resize(len, byte);
        Ok(())
    }

    fn begin(&mut self, is_notification: bool) {
        self.payload.clear();
        self.is_notification = is_notification;
        self.is_damaged = false;
        self.sum = 0;
        self.state = State::Payload;
    }

    fn finish(&mut self, sum: Option<u8>) -> Frame {
        let payload = unescape(std::mem::take(&mut self.payload));
        match (payload, self.is_notification) {
            (Some(payload), is_notification) if sum == Some(self.sum) && !self.is_damaged => {
                self.noise_bytes = 0;
                if is_notification { Frame::Notification(payload) } else { Frame::Packet(payload) }
            }
            (_, true) => Frame::DamagedNotification,
            (_, false) => Frame::DamagedPacket,
        }
    }
}

/// Resolves escapes. A run length counts copies of a byte as sent, so that this comes after run lengths.
fn unescape(mut payload: Vec<u8>) -> Option<Vec<u8>> {
    let Some(first) = payload.iter().position(|byte| *byte == ESCAPE) else { return Some(payload) };
    let tail = payload.split_off(first);
    let mut tail = tail.into_iter();
    while let Some(byte) = tail.next() {
        payload.push(if byte == ESCAPE { tail.next()? ^ ESCAPE_BIT } else { byte });
    }
    Some(payload)
}

/// Appends a packet around `payload`, escaped where the frame needs it.
pub(crate) fn encode(out: &mut Vec<u8>, payload: &[u8]) {
    let mut sum = 0u8;
    let mut push = |out: &mut Vec<u8>, byte: u8| {
        sum = sum.wrapping_add(byte);
        out.push(byte);
    };
    out.push(b'$');
    for &byte in payload {
        if matches!(byte, b'#' | b'$' | b'*' | ESCAPE) {
            push(out, ESCAPE);
            push(out, byte ^ ESCAPE_BIT);
        } else {
            push(out, byte);
        }
    }
    out.push(b'#');
    hex::encode_into(out, &[sum]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, payload);
        out
    }

    fn decode_all(mut input: &[u8]) -> Vec<Frame> {
        let mut decoder = Decoder::new(LIMIT);
        let mut frames = Vec::new();
        while let Some(frame) = decoder.decode(&mut input).unwrap() {
            frames.push(frame);
        }
        frames
    }

    /// Frames `raw` as it is, with the right checksum.
    fn raw_packet(raw: &[u8]) -> Vec<u8> {
        let sum = raw.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        [b"$", raw, b"#", hex::encode(&[sum]).as_bytes()].concat()
    }

    #[test]
    fn the_manuals_own_examples() {
        assert_eq!(packet(b"g"), b"$g#67");
        // "0* " is "0000" in the manual's section on run lengths.
        assert_eq!(decode_all(&raw_packet(b"0* ")), [Frame::Packet(b"0000".to_vec())]);
        assert_eq!(decode_all(b"%Stop:T05#bb+-"), [Frame::DamagedNotification, Frame::Ack, Frame::Nak]);
    }

    #[test]
    fn a_run_counts_bytes_as_sent() {
        // An escaped '#', then three bytes 0x03: the run repeats the raw 0x03.
        let frames = decode_all(&raw_packet(b"}\x03* "));
        assert_eq!(frames, [Frame::Packet(b"#\x03\x03\x03".to_vec())]);
    }

    #[test]
    fn damage_is_noticed() {
        for damaged in [&b"$g#68"[..], b"$g#6x", b"$g#x7"] {
            assert_eq!(decode_all(damaged), [Frame::DamagedPacket]);
        }
        for raw in [&b"*!"[..], b"0*\x1f", b"0*\x7f", b"}"] {
            assert_eq!(decode_all(&raw_packet(raw)), [Frame::DamagedPacket], "{raw:?}");
        }
    }

    #[test]
    fn a_packet_that_was_cut_off_is_noticed() {
        assert_eq!(decode_all(b"$m20000$OK#9a"), [Frame::CutOff, Frame::Packet(b"OK".to_vec())]);
        assert_eq!(
            decode_all(b"%Stop:T0$OK#9a"),
            [Frame::DamagedNotification, Frame::Packet(b"OK".to_vec())]
        );
    }

    #[test]
    fn a_notification_may_come_before_a_reply() {
        let bytes = [&b"+%"[..], &packet(b"Stop:T05")[1..], &packet(b"OK")].concat();
        assert_eq!(
            decode_all(&bytes),
            [Frame::Ack, Frame::Notification(b"Stop:T05".to_vec()), Frame::Packet(b"OK".to_vec())]
        );
    }

    #[test]
    fn overlong_packets_and_noise_end_in_an_error() {
        let mut decoder = Decoder::new(LIMIT);
        let long = [b"$".to_vec(), vec![b'0'; LIMIT + 1]].concat();
        assert_eq!(decoder.decode(&mut &long[..]), Err(FrameError::Overlong { limit_bytes: LIMIT }));

        let mut decoder = Decoder::new(LIMIT);
        let runs = [b"$0".to_vec(), b"*~".repeat(LIMIT)].concat();
        assert_eq!(decoder.decode(&mut &runs[..]), Err(FrameError::Overlong { limit_bytes: LIMIT }));

        let mut decoder = Decoder::new(LIMIT);
        let noise = vec![b'x'; NOISE_LIMIT_BYTES + 1];
        assert_eq!(
            decoder.decode(&mut &noise[..]),
            Err(FrameError::Noise { count_bytes: NOISE_LIMIT_BYTES + 1 })
        );
    }

    proptest! {
        #[test]
        fn any_payload_survives_any_division(payload: Vec<u8>, cut in 1usize..40) {
            let bytes = packet(&payload);
            let mut decoder = Decoder::new(LIMIT);
            let mut frames = Vec::new();
            for mut piece in bytes.chunks(cut) {
                while let Some(frame) = decoder.decode(&mut piece).unwrap() {
                    frames.push(frame);
                }
            }
            prop_assert_eq!(frames, [Frame::Packet(payload)]);
        }

        #[test]
        fn arbitrary_bytes_never_grow_past_the_limit(bytes in proptest::collection::vec(
            prop_oneof![Just(b'$'), Just(b'*'), Just(b'~'), Just(b'#'), Just(b'}'), any::<u8>()], 0..4000))
        {
            let mut decoder = Decoder::new(LIMIT);
            let mut input = &bytes[..];
            while let Ok(Some(frame)) = decoder.decode(&mut input) {
                if let Frame::Packet(payload) | Frame::Notification(payload) = frame {
                    prop_assert!(payload.len() <= LIMIT);
                }
            }
            prop_assert!(decoder.payload.len() <= LIMIT);
        }
    }
}
