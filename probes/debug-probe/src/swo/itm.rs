//! Packets of a Cortex-M's trace: which of them are samples of the program counter.
//!
//! What enters are bytes as a receiver got them, in pieces that end anywhere; what leaves are places, and counts.
//!
//! ```text
//! 00000000 x 5, 10000000      synchronisation: at least 47 zeros and a one            D4.2.1
//! 01110000                    overflow: packets were dropped                          D4.2.3
//! 11tt0000 c.......           local timestamp, while c is set, four at most           D4.2.4
//! 0ttt0000                    local timestamp, in itself                              D4.2.4
//! 10010100 c.......           global timestamp, four at most                          D4.2.5
//! 10110100 c.......           global timestamp, six at most                           D4.2.5
//! cxxx1s00 c.......           extension, while c is set, four at most                 D4.2.6
//! aaaaa0ss [1, 2 or 4]        written by the program to port a                        D4.2.7
//! aaaaa1ss [1, 2 or 4]        sent by DWT                                             D4.2.8
//!   00010111 pc               a sample of the program counter, lowest byte first      D4.3.3
//!   00010101 00               a sample of a processor that sleeps                     D4.3.3
//! ```
//!
//! (Armv7-M Architecture Reference Manual, DDI 0403, appendix D4. Armv8-M has the same and a sample that may not be told:
//! `00010101 11111111`.)
//!
//! What always holds: nothing is believed before a synchronisation, since a stream may begin in the middle of a packet, nor
//! after a packet that cannot be, until the next synchronisation; a place is where code can be. The protocol has no check
//! sums: a byte that was lost on the way may still look like another.

/// Zero bytes that a synchronisation begins with, at least.
const SYNC_ZEROS: u64 = 5;
const SYNC_END: u8 = 0x80;
const OVERFLOW: u8 = 0x70;
const GLOBAL_TIMESTAMP_1: u8 = 0x94;
const GLOBAL_TIMESTAMP_2: u8 = 0xb4;
/// There is more of a packet.
const CONTINUES: u8 = 0x80;

/// DWT's packets, by what sent them.
const EVENT_COUNTERS: u8 = 0;
const EXCEPTION: u8 = 1;
const PC_SAMPLE: u8 = 2;

/// What came in some bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Decoded {
    /// Where the processor was.
    pub(crate) places: Vec<u32>,
    /// Samples that showed no place.
    pub(crate) nowhere: u64,
    pub(crate) overflows: u64,
    pub(crate) undecoded_bytes: u64,
}

/// Decodes one stream.
#[derive(Default, Debug)]
pub(crate) struct Decoder {
    state: State,
    decoded: Decoded,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Not synchronised; so many zero bytes came last.
    Lost {
        zeros: u64,
    },
    /// A packet's first byte is next.
    Header,
    Synchronising {
        zeros: u64,
    },
    /// Of a packet `num` bytes came, and `left` may come at most.
    Continued {
        num: u64,
        left: u8,
    },
    Source(Source),
}

impl Default for State {
    fn default() -> Self {
        Self::Lost { zeros: 0 }
    }
}

/// A packet that says how long it is.
#[derive(Clone, Copy, Debug)]
struct Source {
    /// Who of DWT sent it; none if the program did.
    dwt: Option<u8>,
    len: u8,
    have: u8,
    value: u32,
}

impl Decoder {
    /// Whether a synchronisation has come, and nothing since that cannot be.
    pub(crate) fn is_synchronised(&self) -> bool {
        !matches!(self.state, State::Lost { .. })
    }

    /// What was in some more bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Decoded {
        for byte in bytes {
            self.state = self.next(*byte);
        }
        std::mem::take(&mut self.decoded)
    }

    fn next(&mut self, byte: u8) -> State {
        match self.state {
            State::Lost { zeros } => self.lost(zeros, byte),
            State::Header => self.header(byte),
            State::Synchronising { zeros } if byte == 0 => {
                State::Synchronising { zeros: zeros.saturating_add(1) }
            }
            State::Synchronising { zeros: SYNC_ZEROS.. } if byte == SYNC_END => State::Header,
            State::Synchronising { zeros } => self.wrong(zeros.saturating_add(1)),
            State::Continued { .. } if byte & CONTINUES == 0 => State::Header,
            State::Continued { num, left } => match left.checked_sub(1) {
                Some(left @ 1..) => State::Continued { num: num.saturating_add(1), left },
                _ => self.wrong(num.saturating_add(1)),
            },
            State::Source(source) => self.payload(source, byte),
        }
    }

    /// So many bytes are no packet.
    fn wrong(&mut self, num: u64) -> State {
        self.decoded.undecoded_bytes = self.decoded.undecoded_bytes.saturating_add(num);
        State::default()
    }

    fn lost(&mut self, zeros: u64, byte: u8) -> State {
        match byte {
            0 => State::Lost { zeros: zeros.saturating_add(1) },
            SYNC_END if zeros >= SYNC_ZEROS => State::Header,
            _ => self.wrong(zeros.saturating_add(1)),
        }
    }

    fn header(&mut self, byte: u8) -> State {
        let continued = |left| State::Continued { num: 1, left };
        match byte {
            0 => State::Synchronising { zeros: 1 },
            OVERFLOW => {
                self.decoded.overflows = self.decoded.overflows.saturating_add(1);
                State::Header
            }
            GLOBAL_TIMESTAMP_1 => continued(4),
            GLOBAL_TIMESTAMP_2 => continued(6),
            _ if byte & 3 != 0 => self.source(byte),
            // Local timestamps.
            _ if byte & 0x8f == 0 => State::Header,
            _ if byte & 0xcf == 0xc0 => continued(4),
            // Extensions.
            _ if byte & 0x8b == 0x08 => State::Header,
            _ if byte & 0x8b == 0x88 => continued(4),
            _ => self.wrong(1),
        }
    }

    fn source(&mut self, header: u8) -> State {
        let (is_dwt, id) = (header & 4 != 0, header >> 3);
        let len = if header & 3 == 3 { 4 } else { header & 3 };
        let can_be = match id {
            _ if !is_dwt => true,
            EVENT_COUNTERS => len == 1,
            EXCEPTION => len == 2,
            PC_SAMPLE => len != 2,
            // What comparators saw: addresses and values.
            _ => (8..24).contains(&id),
        };
        match can_be {
            true => State::Source(Source { dwt: is_dwt.then_some(id), len, have: 0, value: 0 }),
            false => self.wrong(1),
        }
    }

    fn payload(&mut self, source: Source, byte: u8) -> State {
        let value = source.value | u32::from(byte) << (8 * u32::from(source.have));
        let source = Source { value, have: source.have + 1, ..source };
        match (source.dwt, source.len, value) {
            (_, len, _) if source.have < len => return State::Source(source),
            (Some(PC_SAMPLE), 4, at) if may_execute(at) => self.decoded.places.push(at),
            (Some(PC_SAMPLE), 1, 0 | 0xff) => self.decoded.nowhere += 1,
            (Some(PC_SAMPLE), len, _) => return self.wrong(u64::from(len) + 1),
            _ => {}
        }
        State::Header
    }
}

/// Whether there can be code: Thumb code is at even addresses, not where the vectors begin, and in no region of devices or of
/// the system (DDI 0403, B3.1).
fn may_execute(at: u32) -> bool {
    at != 0 && at & 1 == 0 && matches!(at >> 29, 0 | 1 | 3 | 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SYNC: [u8; 6] = [0, 0, 0, 0, 0, 0x80];
    const SAMPLE: [u8; 5] = [0x17, 0x34, 0x12, 0x00, 0x08];

    /// After a synchronisation.
    fn decode(bytes: &[u8]) -> Decoded {
        let mut decoder = Decoder::default();
        decoder.decode(&SYNC);
        decoder.decode(bytes)
    }

    fn places(places: &[u32]) -> Decoded {
        Decoded { places: places.to_vec(), ..Decoded::default() }
    }

    #[test]
    fn a_sample_is_a_place_or_sleep() {
        assert_eq!(decode(&SAMPLE), places(&[0x0800_1234]));
        let sleep = Decoded { nowhere: 2, ..Decoded::default() };
        assert_eq!(decode(&[0x15, 0x00, 0x15, 0xff]), sleep);
    }

    /// One packet of each kind, from the manual's figures, between two samples.
    #[test]
    fn what_is_no_sample_is_skipped() {
        let packets: [&[u8]; 18] = [
            &SYNC,
            &[0, 0, 0, 0, 0, 0, 0, 0x80],
            // Local timestamps.
            &[0x10],
            &[0x60],
            &[0xc0, 0x17],
            &[0xf0, 0x97, 0x80, 0x95, 0x17],
            // Global ones.
            &[0x94, 0x97, 0x80, 0x80, 0x17],
            &[0xb4, 0x97, 0x80, 0x80, 0x17],
            &[0xb4, 0x97, 0x80, 0x80, 0x80, 0x80, 0x17],
            // Extensions: of a stimulus port's page, and of the hardware.
            &[0x18],
            &[0x8c, 0x97, 0x17],
            // Written by the program.
            &[0x01, 0x17],
            &[0xfa, 0x17, 0x17],
            &[0x0b, 0x17, 0x17, 0x17, 0x17],
            // Counters, exceptions, and what comparators saw: a place and a value.
            &[0x05, 0x17],
            &[0x0e, 0x0f, 0x10],
            &[0x47, 0x17, 0x17, 0x17, 0x17],
            &[0x8d, 0x17],
        ];
        for packet in packets {
            let bytes = [&SAMPLE, packet, &SAMPLE].concat();
            assert_eq!(decode(&bytes), places(&[0x0800_1234; 2]), "{packet:x?}");
        }
    }

    #[test]
    fn overflows_are_counted() {
        let overflow = Decoded { overflows: 2, ..places(&[0x0800_1234]) };
        assert_eq!(decode(&[&[0x70][..], &SAMPLE, &[0x70]].concat()), overflow);
    }

    /// The first whole packet in these bytes would be another sample than was sent.
    #[test]
    fn what_begins_in_the_middle_waits_for_a_synchronisation() {
        let bytes = [&[0x17, 0x17, 0x20, 0x43, 0x01][..], &SAMPLE, &SYNC, &SAMPLE].concat();
        let expected = Decoded { undecoded_bytes: 10, ..places(&[0x0800_1234]) };
        assert_eq!(Decoder::default().decode(&bytes), expected);
    }

    #[test]
    fn after_what_cannot_be_nothing_is_believed_until_a_synchronisation() {
        let wrong: [(&[u8], u64); 12] = [
            (&[0x80], 1),
            (&[0x04], 1),
            (&[0x16], 1),
            (&[0x1d], 1),
            (&[0xc5], 1),
            (&[0, 0, 0, 0x80], 4),
            (&[0, 0, 0, 0, 0, 0x81], 6),
            (&[0xc0, 0x80, 0x80, 0x80, 0x80], 5),
            (&[0x15, 0x01], 2),
            (&[0x17, 0x35, 0x12, 0, 8], 5),
            (&[0x17, 0, 0, 0, 0], 5),
            (&[0x17, 0, 0, 0, 0xe0], 5),
        ];
        for (packet, num) in wrong {
            let bytes = [packet, &SAMPLE, &SYNC, &SAMPLE].concat();
            let expected = Decoded { undecoded_bytes: num + 5, ..places(&[0x0800_1234]) };
            assert_eq!(decode(&bytes), expected, "{packet:x?}");
        }
    }

    /// A line that is held low for ever.
    #[test]
    fn zeros_without_end_are_no_synchronisation() {
        let mut decoder = Decoder::default();
        for _ in 0..64 {
            assert_eq!(decoder.decode(&[0; 4096]), Decoded::default());
        }
        assert!(!decoder.is_synchronised());
    }

    /// Bytes of packets' beginnings, more often than others.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(0x80), Just(0x17), Just(0x15), Just(0x70), any::<u8>()];
        prop::collection::vec(byte, 0..512)
    }

    /// Whole packets: samples, synchronisations and others.
    fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let sample = any::<u32>().prop_map(|at| at & 0x3fff_fffe | 2);
        let packet = prop_oneof![
            3 => sample.prop_map(|at| [0x17].into_iter().chain(at.to_le_bytes()).collect()),
            2 => Just(SYNC.to_vec()),
            1 => any::<[u8; 4]>().prop_map(|payload| [&[0x0b][..], &payload].concat()),
            1 => (0_u8..0x80).prop_map(|last| vec![0xc0, 0x80, last]),
            1 => prop::sample::select(vec![vec![0x70], vec![0x15, 0], vec![0x0b, 0, 0, 0, 0], vec![0x8d, 0]]),
        ];
        prop::collection::vec(packet, 0..40)
    }

    proptest! {
        /// Wherever a stream is begun with: what is decoded is what was sent last, of what was sent after a synchronisation all.
        #[test]
        fn of_a_stream_that_is_cut_nothing_is_decoded_that_was_not_sent(packets in packets(), cut in 0_usize..200) {
            let bytes = packets.concat();
            let cut = cut.min(bytes.len());
            let decoded = Decoder::default().decode(&bytes[cut..]).places;
            let mut at = 0;
            let mut all = Vec::new();
            let mut after_sync = None;
            for packet in &packets {
                if at >= cut && packet[..] == SYNC {
                    after_sync.get_or_insert(all.len());
                }
                at += packet.len();
                if let [0x17, place @ ..] = &packet[..] {
                    all.push(u32::from_le_bytes(place.try_into().unwrap()));
                }
            }
            prop_assert!(all.ends_with(&decoded), "{all:x?}, {decoded:x?}");
            prop_assert!(decoded.len() >= after_sync.map_or(0, |num| all.len() - num));
        }

        #[test]
        fn there_are_no_more_samples_than_bytes_for_them(bytes in bytes()) {
            let decoded = decode(&bytes);
            let num = decoded.places.len() as u64;
            prop_assert!(num * 5 + decoded.nowhere * 2 + decoded.overflows + decoded.undecoded_bytes <= bytes.len() as u64);
            for at in decoded.places {
                let packet: Vec<u8> = [0x17].into_iter().chain(at.to_le_bytes()).collect();
                prop_assert!(bytes.windows(5).any(|window| window == packet));
            }
        }

        #[test]
        fn it_is_the_same_in_pieces(bytes in bytes(), len in 1_usize..9) {
            let mut decoder = Decoder::default();
            decoder.decode(&SYNC);
            let mut all = Decoded::default();
            for piece in bytes.chunks(len) {
                let Decoded { places, nowhere, overflows, undecoded_bytes } = decoder.decode(piece);
                all.places.extend(places);
                all.nowhere += nowhere;
                all.overflows += overflows;
                all.undecoded_bytes += undecoded_bytes;
            }
            prop_assert_eq!(all, decode(&bytes));
        }

        #[test]
        fn what_was_sent_is_decoded(sent in prop::collection::vec(any::<u32>(), 0..100)) {
            let sent: Vec<u32> = sent.iter().map(|at| at & 0x3fff_fffe | 2).collect();
            let bytes = sent.iter().flat_map(|at| [0x17].into_iter().chain(at.to_le_bytes()));
            let bytes: Vec<u8> = bytes.collect();
            prop_assert_eq!(decode(&bytes), places(&sent));
        }
    }
}
