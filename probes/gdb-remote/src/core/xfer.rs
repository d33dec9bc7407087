//! `qXfer`: objects that a server sends in parts. (GDB manual, "General Query Packets".)
//!
//! ```text
//! -> qXfer:OBJECT:read:ANNEX:OFFSET,LEN
//! <- m DATA      more follows        <- l DATA      this was the last part
//! ```
//!
//! What always holds: an object is at most [`MAX_OBJECT_BYTES`] long, and each part but the last has a byte.

use super::memory;

/// Larger than any target description known.
pub(crate) const MAX_OBJECT_BYTES: usize = 1 << 20;

/// An object that is being read.
#[derive(Debug)]
pub(crate) struct Transfer {
    object: &'static str,
    annex: String,
    part_bytes: usize,
    data: Vec<u8>,
}

/// What a part led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Another part is to be asked for.
    More,
    /// The object is whole.
    Done(Vec<u8>),
    /// The server has no such object, or the answer makes no sense.
    Failed(String),
}

impl Transfer {
    /// An object to be read in parts of at most `part_bytes`; `None` if `annex` is not a plain file name.
    pub(crate) fn new(object: &'static str, annex: &str, part_bytes: usize) -> Option<Self> {
        const MAX_NAME: usize = 128;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
        (annex.len() <= MAX_NAME && annex.chars().all(plain)).then(|| Self {
            object,
            annex: annex.to_owned(),
            part_bytes,
            data: Vec::new(),
        })
    }

    /// The packet that asks for the next part.
    pub(crate) fn request(&self) -> Vec<u8> {
        format!("qXfer:{}:read:{}:{:x},{:x}", self.object, self.annex, self.data.len(), self.part_bytes)
            .into_bytes()
    }

    /// Takes the answer to [`request`](Transfer::request).
    pub(crate) fn take(&mut self, payload: &[u8]) -> Progress {
        let Some((kind, part)) = payload.split_first() else {
            return Progress::Failed("the server has no qXfer packet".into());
        };
        if self.data.len().saturating_add(part.len()) > MAX_OBJECT_BYTES {
            return Progress::Failed(format!("an object of more than {MAX_OBJECT_BYTES} bytes"));
        }
        match kind {
            b'l' => {
                self.data.extend_from_slice(part);
                Progress::Done(std::mem::take(&mut self.data))
            }
            b'm' if !part.is_empty() => {
                self.data.extend_from_slice(part);
                Progress::More
            }
            _ => Progress::Failed(memory::printable(payload)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_an_object() {
        let mut transfer = Transfer::new("features", "target.xml", 0x10).unwrap();
        assert_eq!(transfer.request(), b"qXfer:features:read:target.xml:0,10");
        assert_eq!(transfer.take(b"mabc"), Progress::More);
        assert_eq!(transfer.request(), b"qXfer:features:read:target.xml:3,10");
        assert_eq!(transfer.take(b"ld"), Progress::Done(b"abcd".to_vec()));
    }

    #[test]
    fn a_transfer_without_an_end_ends() {
        let mut transfer = Transfer::new("features", "target.xml", 0x1000).unwrap();
        let part = [b"m".to_vec(), vec![b'x'; 0x1000]].concat();
        let parts = (0..1000).find(|_| transfer.take(&part) != Progress::More).unwrap();
        assert_eq!(parts, MAX_OBJECT_BYTES / 0x1000);
        assert!(matches!(transfer.take(b"m"), Progress::Failed(_)));
        assert!(matches!(transfer.take(b"E00"), Progress::Failed(_)));
        assert!(matches!(transfer.take(b""), Progress::Failed(_)));
    }

    #[test]
    fn an_annex_cannot_carry_a_packet() {
        for annex in ["a:0,10#00$D", "a b", "x:y", &"a".repeat(200)] {
            assert!(Transfer::new("features", annex, 1).is_none(), "{annex}");
        }
    }
}
