//! Memories as tracers leave them, and damaged ones.

use proptest::prelude::*;

use super::*;
use crate::profile::trace::Run;

/// A memory of two vCPUs with two entries in a chunk, with these entries: address, length,
/// kind and each vCPU's count. Last instructions have two bytes.
fn memory(mode: u64, entries: &[(u64, u32, u8, [u64; 2])]) -> Vec<u8> {
    let num_chunks = entries.len().div_ceil(2) as u64;
    let num_entries = entries.len() as u64;
    let header = [VERSION, 1, mode, 1, 2, 2, num_chunks, num_entries, 0, 0, 128];
    let mut bytes = MAGIC.to_vec();
    header.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    let mut name = *b"riscv64\0";
    bytes.append(&mut name.to_vec());
    name.fill(0);
    (0..3).for_each(|_| bytes.extend(name));
    for chunk in entries.chunks(2) {
        let both = [chunk[0], chunk.get(1).copied().unwrap_or_default()];
        for (vaddr, len_bytes, kind, _) in both {
            let about = u64::from(len_bytes) | (u64::from(kind) << 32);
            let last_bytes = u64::from(len_bytes.min(2));
            [vaddr, about, 0, last_bytes].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        }
        for vcpu in 0..2 {
            both.iter().for_each(|entry| bytes.extend(entry.3[vcpu].to_le_bytes()));
        }
    }
    bytes
}

fn trace(bytes: &[u8]) -> Result<Trace, TraceMemoryError> {
    let mut read_at = |offset: u64, out: &mut [u8]| {
        let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let piece = from.and_then(|rest| rest.get(..out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    };
    TraceMemory::read(&mut read_at)?.trace(&mut read_at)
}

#[test]
fn counts_of_all_vcpus_and_chunks_are_added_up() {
    let bytes = memory(
        2,
        &[
            (0x10, 4, 1, [3, 4]),
            (0x14, 2, 1, [0, 0]),
            (0x18, 6, 1, [0, 1]),
            (0x18, 6, 3, [5, 0]),
            (0x18, 6, 4, [0, 2]),
            (0x20, 1, 1, [0, 1]),
        ],
    );
    let trace = trace(&bytes).unwrap();
    let space = trace.space("").unwrap();
    let run = |start, last, count| Run { start, last, count };
    assert_eq!(space.runs(), [run(0x10, 0x13, 7), run(0x18, 0x1d, 8), run(0x20, 0x20, 1)]);
    assert!(trace.has_branches);
    assert_eq!(space.branch(0x1c), Some(Ways { taken: 5, fell_through: 2 }));
}

#[test]
fn the_header_says_what_is_known() {
    let mut bytes = memory(1, &[]);
    (bytes[80], bytes[120]) = (2, 7);
    let header = TraceMemory::read(&mut |_, out: &mut [u8]| {
        out.copy_from_slice(&bytes[..out.len()]);
        Ok(())
    });
    let header = header.unwrap();
    assert_eq!(
        (header.architecture.as_str(), header.has_ended, header.has_branches),
        ("riscv64", false, false)
    );
    assert_eq!(
        (header.is_vcpu_missing, header.is_privilege_unknown, header.unseen_outcomes),
        (false, true, 7)
    );
}

#[test]
fn damage_is_named() {
    let good = memory(1, &[(0x10, 4, 1, [3, 4])]);
    let said = |bytes: &[u8]| trace(bytes).unwrap_err().to_string();
    assert!(trace(&good).is_ok());
    assert_eq!(said(b"ELF"), "read 128 bytes at 0x0 of the trace: unexpected end of file");
    for (word, value, message) in [
        (0, 0, "read the trace's header: it does not begin with covtaptm"),
        (1, 9, "read the trace's header: version 9 is not 2"),
        (3, 7, "read the trace: the mode is 7"),
        (5, u64::MAX, "read the trace: the number of vCPUs is 18446744073709551615"),
        (8, 3, "read the trace: the number of entries is 3"),
        (17, 9 << 32, "read the trace: an entry's kind is 9"),
        (19, 5, "read the trace: the length of an entry's last instruction is 5"),
    ] {
        let mut bytes = good.clone();
        bytes[word * 8..][..8].copy_from_slice(&u64::to_le_bytes(value));
        assert_eq!(said(&bytes), message);
    }
    assert!(said(&good[..good.len() - 9]).ends_with("of the trace: unexpected end of file"));
}

proptest! {
    #[test]
    fn no_damage_is_fatal(at in 0_usize..200, byte: u8) {
        let mut bytes = memory(2, &[(0x10, 4, 1, [3, 4]), (0x12, 2, 3, [5, 0]), (0x12, 2, 4, [5, 0])]);
        bytes[at] = byte;
        // Whatever comes back, it comes back.
        let _ = trace(&bytes);
    }
}
