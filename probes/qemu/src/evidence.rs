//! Whether bytes found on the host are the guest's memory.
//!
//! A process that holds the monitor's socket need not be QEMU, and a file at the path that QEMU tells need not
//! be the one it opened. So some of the bytes found there are compared with what QEMU itself prints of the same
//! place. The guest runs meanwhile: bytes are read before and after, and only those that never changed count.

use crate::failure::Failure;
use crate::human;
use crate::translate::Human;

/// How many bytes are compared.
const BLOCK_BYTES: usize = 256;

/// How far into a range bytes other than zero are looked for.
const SEARCH_BYTES: usize = 64 << 10;

/// How often the bytes are copied, printed and copied again. A byte that the guest keeps changing is hardly the
/// same in all copies.
const ROUNDS: usize = 3;

/// What a comparison showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Bytes other than zero are the same.
    Same,
    /// Nothing contradicts, but what was found is all zeros, or changes all the time: other memory could look so.
    Unproven,
    /// The bytes differ.
    Other,
}

/// Fills a buffer with the bytes that are believed to be those of a guest-physical address.
pub(crate) type CopyFrom<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), Failure> + 'a;

/// Compares guest-physical memory `first..=last` with what `copy` finds for its addresses.
pub(crate) fn compare(
    monitor: &mut impl Human,
    first: u64,
    last: u64,
    copy: &mut CopyFrom<'_>,
) -> Result<Verdict, Failure> {
    let span = usize::try_from(last - first).unwrap_or(usize::MAX).saturating_add(1);
    let mut search = vec![0; span.min(SEARCH_BYTES)];
    copy(first, &mut search)?;
    let found = search.chunks(BLOCK_BYTES).position(|block| block.iter().any(|byte| *byte != 0));
    let gpa = first.saturating_add((found.unwrap_or(0) * BLOCK_BYTES) as u64);
    let within = usize::try_from(last - gpa).unwrap_or(usize::MAX).saturating_add(1);
    let len = BLOCK_BYTES.min(within);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (mut before, mut told, mut after) = (vec![0; len], vec![0; len], vec![0; len]);
        copy(gpa, &mut before)?;
        let printed = monitor.human(&[format!("xp /{len}xb {gpa:#x}")], None)?;
        human::xp(gpa, printed.first().map_or("", String::as_str), &mut told)?;
        copy(gpa, &mut after)?;
        rounds.push([before, told, after]);
    }
    Ok(judge(&rounds, len))
}

/// Judges by the bytes that were the same in every copy: what the guest changed meanwhile says nothing.
fn judge(rounds: &[[Vec<u8>; 3]], len: usize) -> Verdict {
    let mut verdict = Verdict::Unproven;
    for i in 0..len {
        let copies = rounds.iter().flat_map(|[before, _, after]| [before.get(i), after.get(i)]);
        let first = rounds.first().and_then(|[before, ..]| before.get(i));
        if copies.into_iter().any(|byte| byte != first) {
            continue;
        }
        if rounds.iter().all(|[_, told, _]| told.get(i) != first) {
            return Verdict::Other;
        }
        if first.is_some_and(|byte| *byte != 0) {
            verdict = Verdict::Same;
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that knows 512 bytes of memory from 0x1000 on.
    struct Memory(Vec<u8>);

    impl Human for Memory {
        fn human(&mut self, lines: &[String], _: Option<u32>) -> Result<Vec<String>, Failure> {
            Ok(lines.iter().map(|line| self.print(line)).collect())
        }
    }

    impl Memory {
        fn print(&self, line: &str) -> String {
            let (count, gpa) = line.strip_prefix("xp /").and_then(|l| l.split_once("xb 0x")).expect("xp");
            let gpa = usize::from_str_radix(gpa, 16).expect("an address");
            let count: usize = count.parse().expect("a count");
            let bytes = &self.0[gpa - 0x1000..][..count];
            let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
            format!("{gpa:016x}: {}", words.join(" "))
        }
    }

    fn verdict(guest: &[u8], mut copy: impl FnMut(usize, &mut [u8])) -> Verdict {
        let last = 0x1000 + guest.len() as u64 - 1;
        let copy = &mut |gpa: u64, buf: &mut [u8]| {
            copy(usize::try_from(gpa - 0x1000).expect("small"), buf);
            Ok(())
        };
        compare(&mut Memory(guest.to_vec()), 0x1000, last, copy).expect("answers")
    }

    #[test]
    fn the_same_bytes_prove_and_zeros_do_not() {
        let mut guest = vec![0; 512];
        let zeros = guest.clone();
        assert_eq!(
            verdict(&guest, |at, buf| buf.copy_from_slice(&zeros[at..][..buf.len()])),
            Verdict::Unproven
        );
        guest[300] = 7;
        let found = guest.clone();
        assert_eq!(verdict(&guest, |at, buf| buf.copy_from_slice(&found[at..][..buf.len()])), Verdict::Same);
        // The byte that differs is in a block that was not compared: zeros stay without proof.
        assert_eq!(
            verdict(&guest, |at, buf| buf.copy_from_slice(&zeros[at..][..buf.len()])),
            Verdict::Unproven
        );
        guest[3] = 7;
        assert_eq!(verdict(&guest, |at, buf| buf.copy_from_slice(&zeros[at..][..buf.len()])), Verdict::Other);
    }

    #[test]
    fn bytes_that_the_guest_changes_meanwhile_do_not_count() {
        let mut guest: Vec<u8> = (0..=255).collect();
        let found = guest.clone();
        guest[10] = 0xee;
        let mut ticks = 0u8;
        let outcome = verdict(&guest, |at, buf| {
            ticks = ticks.wrapping_add(1);
            buf.copy_from_slice(&found[at..][..buf.len()]);
            buf[10] = ticks;
        });
        assert_eq!(outcome, Verdict::Same);
        let mut noise = 0u8;
        let outcome = verdict(&guest, |_, buf| {
            noise = noise.wrapping_add(1);
            buf.fill(noise);
        });
        assert_eq!(outcome, Verdict::Unproven);
    }

    #[test]
    fn a_range_shorter_than_a_block_is_compared_whole() {
        assert_eq!(
            verdict(&[1, 2, 3], |at, buf| buf.copy_from_slice(&[1, 2, 3][at..][..buf.len()])),
            Verdict::Same
        );
    }
}
