//! Zeros of a server that gives them for memory that it could not read.
//!
//! What enters is what was read; what leaves is that, or an error. What always holds: where the server may do so (OpenOCD that did
//! not take `gdb report_data_abort enable`; 0.12 takes it in its configuration alone, of which it does not tell), a run of zeros
//! is believed only when the server's own command shows the words, which says when it cannot.

use covtap_link::{Endianness, LinkError, Operation, ReadRequest, TargetAddr};

use crate::link::GdbRemote;

/// So much is looked at together.
const PIECE_BYTES: usize = 1024;

impl GdbRemote {
    /// Makes sure of zeros among what was read, where the server may have made them up.
    pub(crate) fn confirm_zeros(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<(), LinkError> {
        if !self.makes_up_zeros {
            return Ok(());
        }
        for read in reads {
            let mut addr = read.addr.get();
            // What fails is a packet: none of its bytes is to lie among another's.
            let packets = read.buf.chunks_mut(self.max_read_bytes.max(1));
            for piece in packets.flat_map(|packet| packet.chunks_mut(PIECE_BYTES)) {
                if piece.iter().all(|byte| *byte == 0) {
                    self.read_by_command(addr, piece)?;
                }
                addr = addr.saturating_add(piece.len() as u64);
            }
        }
        Ok(())
    }

    /// Reads what a piece has, in whole words, by the server's own command.
    fn read_by_command(&mut self, addr: u64, piece: &mut [u8]) -> Result<(), LinkError> {
        let operation = Operation::Read { addr: TargetAddr::new(addr), len_bytes: piece.len() as u64 };
        let start = addr & !3;
        let skipped = usize::try_from(addr.saturating_sub(start)).unwrap_or(0);
        let num = skipped.saturating_add(piece.len()).div_ceil(4);
        let shown = self.monitor(&format!("mdw {start:#x} {num}"), &operation)?;
        let words = shown.as_deref().map(words).filter(|words| words.len() == num);
        let Some(words) = words else {
            let reason = "the server gives zeros for it, and cannot show it";
            return Err(self.wire.refused(&operation, reason));
        };
        let is_big = self.endianness() == Some(Endianness::Big);
        let bytes =
            words.iter().flat_map(|word| if is_big { word.to_be_bytes() } else { word.to_le_bytes() });
        piece.iter_mut().zip(bytes.skip(skipped)).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

/// The words of `ADDRESS: WORD WORD ..`, line by line; other lines are of a log.
fn words(shown: &str) -> Vec<u32> {
    let of_line = |line: &str| -> Option<Vec<u32>> {
        let (address, words) = line.trim().split_once(": ")?;
        u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
        words.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect()
    };
    shown.lines().filter_map(of_line).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_lines_with_an_address() {
        let shown =
            "Error: Failed to read priv register.\n0x20000000: 00000000 0000ffff \n0x20000020: 80000001 \n";
        assert_eq!(words(shown), [0, 0xffff, 0x8000_0001]);
        for nothing in ["", "0x20000000: 0000000g", "20000000: 00000000", "invalid command name", "0x20: é"]
        {
            assert!(words(nothing).is_empty(), "{nothing}");
        }
    }
}
