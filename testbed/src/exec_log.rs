//! QEMU's log of a run in which each instruction is a block of its own: the oracle for what was executed.
//!
//! ```text
//! qemu -accel tcg,one-insn-per-tb=on -d exec,nochain -D FILE
//!
//! Trace 0: 0x7fade8000100 [00800400/0000000000000184/00000110/ff020200] name
//! Stopped execution of TB chain before 0x7fade8000100 [0000000000000184] name
//! ```
//!
//! What enters is the log; what leaves is addresses. What always holds: a block is logged before it is executed, and may be
//! given up, to be logged again later: it is given only once another one follows it, or the log ends.

use std::io::BufRead;

use anyhow::{Context, Result};

/// The addresses of instructions in the order in which they were executed. A pipe that is still written to is not read on
/// after the last one that is asked for, but for the line that tells that it was executed.
pub fn executed(log: impl BufRead) -> impl Iterator<Item = Result<u64>> {
    let mut lines = log.lines();
    let mut last = None;
    std::iter::from_fn(move || {
        for line in lines.by_ref() {
            let line = match line.context("read QEMU's log") {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.starts_with("Stopped execution of TB chain before ") {
                last = None;
            } else if line.starts_with("Trace ") {
                match address(&line) {
                    Ok(address) => {
                        if let Some(before) = last.replace(address) {
                            return Some(Ok(before));
                        }
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        last.take().map(Ok)
    })
}

fn address(line: &str) -> Result<u64> {
    let word = line.split('/').nth(1).and_then(|word| u64::from_str_radix(word, 16).ok());
    word.with_context(|| format!("QEMU's log has no address in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_was_not_executed() {
        let log = "Trace 0: 0x7f [00/0000000000000184/00000110/ff] reset\nIN: reset\n\
                   Trace 0: 0x7f [00/0000000000000186/00000110/ff] reset\n\
                   Stopped execution of TB chain before 0x7f [0000000000000186] reset\n\
                   Trace 1: 0x7f [00/0000000000000200/00000110/ff] handler\n";
        let addresses: Result<Vec<u64>> = executed(log.as_bytes()).collect();
        assert_eq!(addresses.expect("addresses"), [0x184, 0x200]);
        assert!(executed(&b"Trace 0: 0x7f\n"[..]).next().expect("an item").is_err());
    }
}
