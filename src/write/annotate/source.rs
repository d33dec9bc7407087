//! The lines of sources, as LLVM's `line_iterator` gives them (`llvm/lib/Support/LineIterator.cpp`, llvmorg-19.1.7).

use std::collections::HashMap;
use std::rc::Rc;

use super::ReadSource;
use crate::write::sources::SourceError;

/// Sources by name; `None` are those that could not be read.
pub(super) struct Sources<'r> {
    read: &'r ReadSource<'r>,
    known: HashMap<Vec<u8>, Option<Rc<Text>>>,
}

impl<'r> Sources<'r> {
    pub(super) fn new(read: &'r ReadSource<'r>) -> Self {
        Self { read, known: HashMap::new() }
    }

    /// The source's text, or, the first time, why there is none.
    pub(super) fn get(&mut self, name: &[u8]) -> Result<Option<Rc<Text>>, SourceError> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let (text, result) = match (self.read)(name) {
            Ok(bytes) => {
                let text = Some(Rc::new(Text::new(bytes)));
                (text.clone(), Ok(text))
            }
            Err(error) => (None, Err(error)),
        };
        self.known.insert(name.to_vec(), text);
        result
    }
}

/// A text by lines.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    /// Where each line begins and ends, without its line break.
    lines: Vec<(usize, usize)>,
}

impl Text {
    fn new(mut bytes: Vec<u8>) -> Self {
        // LLVM takes a zero for the end of the text.
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            bytes.truncate(end);
        }
        let mut lines = Vec::new();
        let mut start = 0usize;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
            lines.push((start, start.saturating_add(text.len())));
            start = start.saturating_add(line.len());
        }
        Self { bytes, lines }
    }

    /// The lines from a number on, each with its own; they count from 1.
    pub(super) fn lines_from(&self, first: u32) -> impl Iterator<Item = (u32, &[u8])> {
        let skipped = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
        let text = |(start, end): &(usize, usize)| self.bytes.get(*start..*end).unwrap_or_default();
        (first.max(1)..).zip(self.lines.iter().skip(skipped).map(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_llvm_has_them() {
        let lines = |text: &str, first| {
            let text = Text::new(text.into());
            text.lines_from(first)
                .map(|(n, line)| (n, String::from_utf8(line.into()).unwrap()))
                .collect::<Vec<_>>()
        };
        let of = |line: &str, number| (number, line.to_owned());
        assert_eq!(lines("", 1), []);
        assert_eq!(lines("\n", 1), [of("", 1)]);
        assert_eq!(lines("a\r\n\nb\rc\r\r\n\0d\n", 1), [of("a", 1), of("", 2), of("b\rc\r", 3)]);
        assert_eq!(lines("a\nb\nc", 2), [of("b", 2), of("c", 3)]);
        assert_eq!(lines("a\n", 5), []);
    }
}
