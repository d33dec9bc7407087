//! Memory packets. (GDB manual, "Packets".)
//!
//! ```text
//! -> m ADDR,LEN          <- XX...          two digits a byte, in the order of addresses
//! -> x ADDR,LEN          <- b bytes...     the bytes themselves; only after `binary-upload+`
//! -> M ADDR,LEN:XX...    <- OK
//! any of them            <- E NN | E.text  refused        <- (empty)  not known to the server
//! ```
//!
//! A reply may hold fewer bytes than asked for: the rest could not be read, or did not fit a packet.
//!
//! What always holds: the pieces of a [`Plan`] cover every requested byte once, and none is longer than the
//! server allows or passes the end of the address space.

use std::collections::VecDeque;

use super::hex;

/// The widest counter.
const WORD_BYTES: u64 = 8;

/// How memory is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadPacket {
    /// `m`
    Hex,
    /// `x`, in GDB's form with `b` before the data.
    Binary,
}

/// A piece of one request, small enough for one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Which of the requests.
    pub(crate) request: usize,
    /// The first byte, counted from the start of the request.
    pub(crate) offset: usize,
    /// The first address.
    pub(crate) addr: u64,
    /// The length.
    pub(crate) len_bytes: usize,
}

impl Piece {
    /// The packet that asks for this piece.
    pub(crate) fn read_packet(&self, packet: ReadPacket) -> Vec<u8> {
        let letter = match packet {
            ReadPacket::Hex => 'm',
            ReadPacket::Binary => 'x',
        };
        format!("{letter}{:x},{:x}", self.addr, self.len_bytes).into_bytes()
    }

    /// What is left after the first `done_bytes` bytes; `None` if that is nothing.
    pub(crate) fn rest(&self, done_bytes: usize) -> Option<Self> {
        let len_bytes = self.len_bytes.checked_sub(done_bytes).filter(|len| *len > 0)?;
        Some(Self {
            request: self.request,
            offset: self.offset.checked_add(done_bytes)?,
            addr: self.addr.checked_add(u64::try_from(done_bytes).ok()?)?,
            len_bytes,
        })
    }
}

/// The packet that writes `bytes` at `addr`.
pub(crate) fn write_packet(addr: u64, bytes: &[u8]) -> Vec<u8> {
    let mut packet = format!("M{addr:x},{:x}:", bytes.len()).into_bytes();
    hex::encode_into(&mut packet, bytes);
    packet
}

/// What a server answered to a request for memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadReply {
    /// This many bytes, from the start of the piece.
    Bytes(usize),
    /// `E`, with the server's words.
    Refused(String),
    /// Nothing that the protocol allows here.
    Senseless,
}

/// Reads a reply into `out`, which has the length that was asked for.
pub(crate) fn read_reply(packet: ReadPacket, payload: &[u8], out: &mut [u8]) -> ReadReply {
    let len = match packet {
        ReadPacket::Hex => hex::decode_into(payload, out),
        ReadPacket::Binary => payload.strip_prefix(b"b").and_then(|bytes| {
            out.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        }),
    };
    match (len, refusal(payload)) {
        (_, Some(reason)) => ReadReply::Refused(reason),
        (Some(0), None) if payload.is_empty() => ReadReply::Refused("the server has no memory packet".into()),
        (Some(len), None) => ReadReply::Bytes(len),
        (None, None) => ReadReply::Senseless,
    }
}

/// The server's words when a reply says no: `E01`, or the text after `E.`.
pub(crate) fn refusal(payload: &[u8]) -> Option<String> {
    let reason = payload.strip_prefix(b"E")?;
    if let Some(text) = reason.strip_prefix(b".") {
        return Some(printable(text));
    }
    // Two digits and no more: an even number of digits that begins with E is memory.
    (reason.len() == 2 && reason.iter().all(u8::is_ascii_hexdigit)).then(|| printable(payload))
}

/// At most a line of what a server wrote, without control characters.
pub(crate) fn printable(text: &[u8]) -> String {
    const MAX_CHARS: usize = 120;
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_CHARS)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The pieces that a list of requests is read in.
#[derive(Debug)]
pub(crate) struct Plan {
    pieces: VecDeque<Piece>,
    max_bytes: usize,
}

impl Plan {
    /// Divides requests of the given addresses and lengths; the index of the first one that passes the end
    /// of the address space is an error.
    pub(crate) fn new(requests: impl Iterator<Item = (u64, usize)>, max_bytes: usize) -> Result<Self, usize> {
        let mut pieces = VecDeque::new();
        for (request, (addr, len_bytes)) in requests.enumerate() {
            let end = u64::try_from(len_bytes).ok().and_then(|len| addr.checked_add(len));
            if end.is_none() {
                return Err(request);
            }
            if len_bytes > 0 {
                pieces.push_back(Piece { request, offset: 0, addr, len_bytes });
            }
        }
        Ok(Self { pieces, max_bytes: max_bytes.max(1) })
    }

    /// The next piece to ask for.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        let whole = self.pieces.pop_front()?;
        let len_bytes = self.len_bytes(&whole);
        if let Some(rest) = whole.rest(len_bytes) {
            self.pieces.push_front(rest);
        }
        Some(Piece { len_bytes, ..whole })
    }

    /// How much of a piece is asked for at once: a cut is where a word ends, if one can be, so that the two
    /// halves of a counter are not read at different times.
    fn len_bytes(&self, piece: &Piece) -> usize {
        if piece.len_bytes <= self.max_bytes {
            return piece.len_bytes;
        }
        let end = u64::try_from(self.max_bytes).ok().and_then(|len| piece.addr.checked_add(len));
        let over = end.and_then(|end| usize::try_from(end % WORD_BYTES).ok()).unwrap_or(0);
        self.max_bytes.checked_sub(over).filter(|len| *len > 0).unwrap_or(self.max_bytes)
    }

    /// Has a piece be asked for again.
    pub(crate) fn again(&mut self, piece: Piece) {
        self.pieces.push_front(piece);
    }

    /// Whether everything was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Asks for nothing more.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_spelled_as_the_manual_has_them() {
        let piece = Piece { request: 0, offset: 0, addr: 0x2000_0000, len_bytes: 0x800 };
        assert_eq!(piece.read_packet(ReadPacket::Hex), b"m20000000,800");
        assert_eq!(piece.read_packet(ReadPacket::Binary), b"x20000000,800");
        assert_eq!(write_packet(0x10, &[1, 0xff]), b"M10,2:01ff");
    }

    #[test]
    fn replies_are_told_apart() {
        let read = |packet, payload: &[u8]| read_reply(packet, payload, &mut [0; 4]);
        assert_eq!(read(ReadPacket::Hex, b"00112233"), ReadReply::Bytes(4));
        assert_eq!(read(ReadPacket::Hex, b"E0112233"), ReadReply::Bytes(4));
        assert_eq!(read(ReadPacket::Hex, b"0011"), ReadReply::Bytes(2));
        assert_eq!(read(ReadPacket::Hex, b"E14"), ReadReply::Refused("E14".into()));
        assert_eq!(read(ReadPacket::Hex, b"E.no memory"), ReadReply::Refused("no memory".into()));
        assert!(matches!(read(ReadPacket::Hex, b""), ReadReply::Refused(_)));
        assert_eq!(read(ReadPacket::Hex, b"0011223344"), ReadReply::Senseless);
        assert_eq!(read(ReadPacket::Hex, b"OK"), ReadReply::Senseless);
        assert_eq!(read(ReadPacket::Binary, b"bE01"), ReadReply::Bytes(3));
        assert_eq!(read(ReadPacket::Binary, b"b"), ReadReply::Bytes(0));
        assert_eq!(read(ReadPacket::Binary, b"E01"), ReadReply::Refused("E01".into()));
        assert_eq!(read(ReadPacket::Binary, b"1234"), ReadReply::Senseless);
    }

    #[test]
    fn a_request_past_the_end_of_the_address_space_is_named() {
        assert_eq!(Plan::new([(0, 4), (u64::MAX, 2)].into_iter(), 8).unwrap_err(), 1);
        assert!(Plan::new([(u64::MAX - 1, 1)].into_iter(), 8).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_cover_every_byte_once(
            requests in proptest::collection::vec((0u64..1 << 40, 0usize..300), 0..6),
            max_bytes in 0usize..70,
            short in 1usize..9,
        ) {
            let mut plan = Plan::new(requests.iter().copied(), max_bytes).unwrap();
            let mut seen: Vec<Vec<u32>> = requests.iter().map(|(_, len)| vec![0; *len]).collect();
            let mut turn = 0;
            while let Some(piece) = plan.next() {
                prop_assert!(piece.len_bytes <= max_bytes.max(1) && piece.len_bytes > 0);
                let (addr, len) = requests[piece.request];
                prop_assert_eq!(piece.addr, addr + piece.offset as u64);
                let end = piece.addr + piece.len_bytes as u64;
                prop_assert!(end.is_multiple_of(8) || end == addr + len as u64 || max_bytes < 8, "cut at {:#x}", end);
                turn += 1;
                let got = if turn % 3 == 0 { short.min(piece.len_bytes) } else { piece.len_bytes };
                seen[piece.request][piece.offset..][..got].iter_mut().for_each(|count| *count += 1);
                if let Some(rest) = piece.rest(got) {
                    plan.again(rest);
                }
            }
            prop_assert!(seen.iter().flatten().all(|count| *count == 1));
        }
    }
}
