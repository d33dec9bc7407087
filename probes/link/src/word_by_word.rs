//! A link that reads another one word by word: for tests of what happens when a target changes while it is read.

use std::time::Duration;

use crate::{Link, LinkError, LinkInfo, ReadMemory, ReadReport, ReadRequest, TargetEvents};

/// The length of a word.
const WORD_BYTES: usize = 8;

/// Reads each word of 8 bytes on its own, as a slow link does.
pub struct WordByWord(pub Box<dyn Link>);

impl ReadMemory for WordByWord {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let mut report = ReadReport::default();
        for read in reads {
            let mut addr = Some(read.addr);
            for buf in read.buf.chunks_mut(WORD_BYTES) {
                let len_bytes = buf.len() as u64;
                let at = addr.unwrap_or(read.addr);
                report += self.0.read(at, buf)?;
                // What passes the end of memory was refused.
                addr = at.checked_add(len_bytes);
            }
        }
        Ok(report)
    }
}

impl Link for WordByWord {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.0.detach()
    }

    fn pause_of_failures(&mut self) -> Duration {
        self.0.pause_of_failures()
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        self.0.events()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TargetAddr;
    use crate::scripted::{Fault, ScriptedLink};

    #[test]
    fn a_change_between_two_words_is_seen() {
        let base = TargetAddr::new(0x1000);
        let link = ScriptedLink::new([(base, vec![1; 20])]).with_fault(1, Fault::Change(base, vec![2; 20]));
        let mut buf = [0; 20];
        WordByWord(Box::new(link)).read(base, &mut buf).unwrap();
        assert_eq!(buf, [&[1; 8][..], &[2; 12]].concat()[..]);
    }
}
