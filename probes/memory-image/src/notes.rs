//! The note in which Linux and gcore say which files a process had mapped (`NT_FILE`).
//!
//! ```text
//! +-------+-----------+ count times +-------+-----+-------------+ +-- count times --+
//! | count | page size |             | start | end | offset/page | | path, then a 0  |
//! +-------+-----------+-------------+-------+-----+-------------+-+-----------------+
//! ```
//! All numbers are words of the process. Source: `fill_files_note` in Linux's `fs/binfmt_elf.c`.
//!
//! What always holds: of a note that is cut off or makes no sense, what comes before is kept.

use covtap_link::{AddrRange, Endianness, MappedFile, PointerWidth, TargetAddr};

/// The files of a note's contents.
pub(crate) fn mapped_files(desc: &[u8], endianness: Endianness, width: PointerWidth) -> Vec<MappedFile> {
    parse(desc, endianness, width).unwrap_or_default()
}

fn parse(desc: &[u8], endianness: Endianness, width: PointerWidth) -> Option<Vec<MappedFile>> {
    let len = width.bytes();
    let mut words = desc.chunks_exact(len).map(|bytes| number(bytes, endianness));
    let (count, page_bytes) = (words.next()?, words.next()?);
    // What is not in the note is not counted either.
    let count = usize::try_from(count).ok()?.min(desc.len() / (3 * len));
    let paths = desc.get(len.checked_mul(count.checked_mul(3)?.checked_add(2)?)?..)?;
    let mut files = Vec::new();
    for path in paths.split(|byte| *byte == 0).take(count) {
        let (Some(start), Some(end), Some(page)) = (words.next(), words.next(), words.next()) else { break };
        let range = end.checked_sub(start).and_then(|len| AddrRange::new(TargetAddr::new(start), len));
        let (Some(range), Some(file_offset)) = (range, page.checked_mul(page_bytes)) else { continue };
        files.push(MappedFile { range, file_offset, path: path.to_vec() });
    }
    Some(files)
}

fn number(bytes: &[u8], endianness: Endianness) -> u64 {
    let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match endianness {
        Endianness::Little => bytes.iter().rev().fold(0, append),
        Endianness::Big => bytes.iter().fold(0, append),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(count: u32, files: &[(u32, u32, u32)], paths: &[u8]) -> Vec<u8> {
        let words = [count, 4096].into_iter().chain(files.iter().flat_map(|(a, b, c)| [*a, *b, *c]));
        words.flat_map(u32::to_be_bytes).chain(paths.iter().copied()).collect()
    }

    #[test]
    fn files_have_their_offsets_in_bytes() {
        let desc = note(2, &[(0x1000, 0x3000, 0), (0x3000, 0x4000, 2)], b"/bin/a\0/bin/b\0");
        let files = mapped_files(&desc, Endianness::Big, PointerWidth::Bits32);
        let file = |start, len, file_offset, path: &[u8]| MappedFile {
            range: AddrRange::new(TargetAddr::new(start), len).expect("fits"),
            file_offset,
            path: path.to_vec(),
        };
        assert_eq!(files, [file(0x1000, 0x2000, 0, b"/bin/a"), file(0x3000, 0x1000, 0x2000, b"/bin/b")]);
    }

    #[test]
    fn a_count_that_is_too_large_is_not_believed() {
        let desc = note(u32::MAX, &[(0x1000, 0x3000, 0)], b"/bin/a\0");
        assert!(mapped_files(&desc, Endianness::Big, PointerWidth::Bits32).len() <= 1);
    }

    proptest! {
        #[test]
        fn whatever_the_note_says(desc in proptest::collection::vec(any::<u8>(), 0..200), wide: bool) {
            let width = if wide { PointerWidth::Bits64 } else { PointerWidth::Bits32 };
            let files = mapped_files(&desc, Endianness::Little, width);
            prop_assert!(files.len() <= desc.len());
        }
    }
}
