//! `qSupported`: what a server says it can do. (GDB manual, "General Query Packets".)
//!
//! ```text
//! -> qSupported:feature;feature...
//! <- PacketSize=hex;name+;name-;name=value;...
//! ```

use super::hex;

/// What this client says of itself. `xmlRegisters` is how x86 servers are told that they may describe them.
pub(crate) const REQUEST: &str = "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;\
                                  binary-upload+;xmlRegisters=i386,arm,mips";

/// More than any server has.
const MAX_FEATURES: usize = 512;

/// The features that a server told of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Features {
    entries: Vec<String>,
    packet_size_bytes: Option<usize>,
}

impl Features {
    /// Reads the reply; what is not a feature is left out.
    pub(crate) fn parse(payload: &[u8]) -> Self {
        let entries: Vec<String> = payload
            .split(|byte| *byte == b';')
            .filter(|entry| !entry.is_empty())
            .take(MAX_FEATURES)
            .filter_map(|entry| std::str::from_utf8(entry).ok())
            .map(str::to_owned)
            .collect();
        let packet_size_bytes = entries
            .iter()
            .find_map(|entry| hex::number(entry.strip_prefix("PacketSize=")?.as_bytes()))
            .and_then(|size| usize::try_from(size).ok());
        Self { entries, packet_size_bytes }
    }

    /// Whether the reply had this entry, word for word: `QStartNoAckMode+`.
    pub(crate) fn has(&self, entry: &str) -> bool {
        self.entries.iter().any(|found| found == entry)
    }

    /// How many entries the reply had.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The largest packet that the server takes and sends, in bytes between `$` and `#`.
    pub(crate) fn packet_size_bytes(&self) -> Option<usize> {
        self.packet_size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_qemus_answer() {
        let features = Features::parse(b"PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+");
        assert_eq!(features.packet_size_bytes(), Some(0x1000));
        assert!(features.has("qXfer:features:read+"));
        assert!(!features.has("QStartNoAckMode+"));
    }

    #[test]
    fn nothing_is_taken_from_an_empty_or_senseless_answer() {
        for payload in [&b""[..], b"E01", b";;;", b"PacketSize=", b"PacketSize=zz", b"\xff\xfe;PacketSize=-1"]
        {
            assert_eq!(Features::parse(payload).packet_size_bytes(), None);
        }
    }
}
