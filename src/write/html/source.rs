//! The lines of sources, as far as they can be read.
//!
//! What enters is names of files; what leaves is their lines. What always holds: what is kept of them stays below
//! [`MAX_KEPT_BYTES`] and one file, so that a site of many files does not need the memory of all.

use std::collections::HashMap;
use std::rc::Rc;

use super::ReadSource;
use crate::write::sources::SourceError;

/// How much text is kept for the next page that shows a macro of the same header.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// A source that was read.
pub(super) struct Source {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Source {
    fn new(bytes: Vec<u8>) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = [0].into_iter().chain(breaks.map(|(at, _)| at.saturating_add(1)));
        // Behind the last line break there is no further line.
        let starts = starts.filter(|start| *start < bytes.len()).collect();
        Self { bytes, starts }
    }

    /// How many lines it has.
    pub(super) fn num_lines(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// The line of that number, from 1, without its end; empty behind the last.
    pub(super) fn line(&self, number: u32) -> &[u8] {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let Some(index) = index else { return &[] };
        let Some(start) = self.starts.get(index).copied() else { return &[] };
        let end = self.starts.get(index.saturating_add(1)).copied().unwrap_or(self.bytes.len());
        let line = self.bytes.get(start..end).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

/// Sources, each read once as long as there is room.
pub(super) struct Sources<'a> {
    read: ReadSource<'a>,
    kept: HashMap<Vec<u8>, Result<Rc<Source>, Rc<SourceError>>>,
    kept_bytes: usize,
}

impl<'a> Sources<'a> {
    pub(super) fn new(read: ReadSource<'a>) -> Self {
        Self { read, kept: HashMap::new(), kept_bytes: 0 }
    }

    /// The source of that name.
    pub(super) fn get(&mut self, name: &[u8]) -> Result<Rc<Source>, Rc<SourceError>> {
        if let Some(known) = self.kept.get(name) {
            return known.clone();
        }
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        let source = (self.read)(name).map(Source::new).map(Rc::new).map_err(Rc::new);
        let len = source.as_ref().map_or(0, |source| source.bytes.len());
        self.kept_bytes = self.kept_bytes.saturating_add(len).saturating_add(name.len());
        self.kept.insert(name.to_vec(), source.clone());
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends() {
        let source = Source::new(b"a\r\n\nlast".to_vec());
        assert_eq!(source.num_lines(), 3);
        let lines: Vec<&[u8]> = (0..5).map(|number| source.line(number)).collect();
        assert_eq!(lines, [&b""[..], b"a", b"", b"last", b""]);
        assert_eq!(Source::new(b"a\n".to_vec()).num_lines(), 1);
        assert_eq!(Source::new(Vec::new()).num_lines(), 0);
    }
}
