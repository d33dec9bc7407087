//! Raw files and cores, whole ones and damaged ones.

use std::fs;
use std::path::PathBuf;

use covtap_link::TargetAddr;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A program header: kind, offset, virtual and physical address, bytes in the file and in memory.
type Segment = (u32, u64, u64, u64, u64, u64);

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const HEADER_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 56;

/// A 64-bit little-endian core for x86-64, with `contents` behind the headers.
fn core(segments: &[Segment], contents: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    for half in [4u16, 62] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1u32.to_le_bytes());
    for word in [0, HEADER_BYTES, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64, 56, u16::try_from(segments.len()).expect("few"), 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for (kind, offset, vaddr, paddr, in_file, in_memory) in segments {
        bytes.extend([*kind, 0].map(u32::to_le_bytes).concat());
        bytes.extend([*offset, *vaddr, *paddr, *in_file, *in_memory, 1].map(u64::to_le_bytes).concat());
    }
    bytes.extend(contents);
    bytes
}

fn note(name: &str, kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
    let name = format!("{name}\0");
    for word in [len(name.as_bytes()), len(desc), kind] {
        bytes.extend(word.to_le_bytes());
    }
    for part in [name.as_bytes(), desc] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn behind(num_segments: u64) -> u64 {
    HEADER_BYTES + num_segments * SEGMENT_BYTES
}

/// A process with 16 bytes at 0x1000, of which the last 8 are not in the core, and a mapped file.
fn process_core() -> Vec<u8> {
    let words = [1, 4096, 0x1000, 0x2000, 3].map(u64::to_le_bytes).concat();
    let notes = note("CORE", 0x4649_4c45, &[&words[..], b"/bin/it\0"].concat());
    let at = behind(2);
    let len = notes.len() as u64;
    let segments = [(NOTE, at, 0, 0, len, 0), (LOAD, at + len, 0x1000, 0, 8, 16)];
    core(&segments, &[&notes[..], &[7; 8]].concat())
}

fn open_core(bytes: &[u8]) -> Result<MemoryImage, DumpError> {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("core");
    fs::write(&path, bytes).expect("a file");
    MemoryImage::core(&path)
}

fn read(link: &mut MemoryImage, addr: u64, len: usize) -> Result<Vec<u8>, String> {
    let mut buf = vec![0; len];
    let outcome = link.read(TargetAddr::new(addr), &mut buf);
    outcome.map(|_| buf).map_err(|error| error.to_string())
}

#[test]
fn a_process_has_its_memory_and_its_files() {
    let mut link = open_core(&process_core()).expect("a core");
    assert_eq!(read(&mut link, 0x1004, 4), Ok(vec![7; 4]));
    let error = read(&mut link, 0x1004, 8).expect_err("left out");
    assert!(
        error
            .ends_with("not there: 0x1008 of 0x1000..0x1010 was left out of the dump, it has 0x1000..0x1008")
    );
    let files = link.mapped_files().expect("a note").files().expect("a list");
    assert_eq!((files[0].file_offset, &files[0].path[..]), (0x3000, &b"/bin/it"[..]));
    assert!(link.physical().is_none());
    assert_eq!(link.info().pointer_width, Some(PointerWidth::Bits64));
}

/// Whoever knows no virtual addresses writes the same for all segments.
#[test]
fn a_guest_has_physical_addresses() {
    let notes = note("QEMU", 0, &[0; 8]);
    let (at, len) = (behind(3), notes.len() as u64);
    let segments = [
        (NOTE, at, 0, 0, len, 0),
        (LOAD, at + len, 0, 0x2000_0000, 8, 8),
        (LOAD, at + len + 8, 0, 0x1000, 8, 8),
    ];
    let bytes = core(&segments, &[&notes[..], &[1; 8], &[2; 8]].concat());
    let mut link = open_core(&bytes).expect("a core");
    assert_eq!(read(&mut link, 0x1000, 8), Ok(vec![2; 8]));
    let physical = link.physical().expect("physical addresses");
    let starts: Vec<u64> =
        physical.ranges().expect("ranges").iter().map(|range| range.start().get()).collect();
    assert_eq!(starts, [0x1000, 0x2000_0000]);
    let mut buf = [0; 8];
    physical
        .read_physical(&mut [ReadRequest { addr: TargetAddr::new(0x2000_0000), buf: &mut buf }])
        .expect("there");
    assert_eq!((buf, link.info().server.as_str()), ([1; 8], "ELF core of a guest"));
    assert!(link.mapped_files().is_none());
}

/// QEMU says of each address of x86-64's lower half that it is in the upper one.
#[test]
fn a_guest_has_the_addresses_of_its_page_tables() {
    let notes = note("QEMU", 0, &[0; 8]);
    let (at, len) = (behind(3), notes.len() as u64);
    let segments = [
        (NOTE, at, 0, 0, len, 0),
        (LOAD, at + len, 0xffff_0000_0010_0000, 0x1000, 8, 8),
        (LOAD, at + len + 8, 0xffff_ffff_8000_0000, 0x2000, 8, 8),
    ];
    let mut link = open_core(&core(&segments, &[&notes[..], &[1; 8], &[2; 8]].concat())).expect("a core");
    assert_eq!(read(&mut link, 0x10_0000, 8), Ok(vec![1; 8]));
    assert_eq!(read(&mut link, 0xffff_ffff_8000_0000, 8), Ok(vec![2; 8]));
}

#[test]
fn what_is_no_core_is_named() {
    let named = |bytes: &[u8]| open_core(bytes).expect_err("no core").to_string();
    assert!(named(b"KDUMP   and so on").ends_with("as an ELF core: it is a kdump-compressed dump"));
    assert!(named(b"\x28\xb5\x2f\xfd").ends_with("compressed with zstd"));
    assert!(named(b"").ends_with("no ELF file"));
    let mut program = process_core();
    program[16] = 2;
    assert!(named(&program).contains("a program or a library"));
    let twice = core(&[(LOAD, 0, 0x1000, 0, 8, 8), (LOAD, 8, 0x1004, 0, 8, 8)], &[]);
    assert!(named(&twice).ends_with("segments overlap: 0x1000..0x1008 and 0x1004..0x100c"));
}

#[test]
fn a_core_that_was_cut_off_lacks_its_end() {
    let bytes = process_core();
    let mut link = open_core(&bytes[..bytes.len() - 4]).expect("a core");
    assert_eq!(read(&mut link, 0x1000, 4), Ok(vec![7; 4]));
    assert!(
        read(&mut link, 0x1000, 5).expect_err("cut off").contains("0x1004 of 0x1000..0x1010 was left out")
    );
}

/// More program headers than 16 bits can count, or than there are, in a file that is large and has nothing.
#[test]
fn a_number_of_segments_that_cannot_be_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("core");
    let mut bytes = core(&[], &[]);
    bytes[40..48].copy_from_slice(&64u64.to_le_bytes());
    bytes[56..64].copy_from_slice(&[0xff, 0xff, 64, 0, 1, 0, 0, 0]);
    let mut section = [0; 64];
    section[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.extend(section);
    fs::write(&path, &bytes).expect("a file");
    File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let error = MemoryImage::core(&path).expect_err("too many").to_string();
    assert!(error.ends_with("4294967295 are too many"), "{error}");
}

fn raw(dir: &TempDir, name: &str, contents: &[u8], addr: u64) -> RawFile {
    let path: PathBuf = dir.path().join(name);
    fs::write(&path, contents).expect("a file");
    RawFile { path, addr: TargetAddr::new(addr) }
}

#[test]
fn raw_files_are_one_memory() {
    let dir = TempDir::new().expect("a folder");
    let files = [raw(&dir, "b", &[2; 8], 0x1008), raw(&dir, "a", &[1; 8], 0x1000)];
    let mut link = MemoryImage::raw(&files).expect("two files");
    assert_eq!(read(&mut link, 0x1004, 8), Ok([[1; 4], [2; 4]].concat()));
    assert!(link.info().endpoint.ends_with("/b and 1 more"));
    let physical = link.physical().expect("as the user says").ranges().expect("ranges");
    assert_eq!(physical, [AddrRange::new(TargetAddr::new(0x1000), 16).expect("fits")]);
    let error = read(&mut link, 0x100c, 8).expect_err("past the end");
    assert!(error.ends_with("not there: the dump has nothing at 0x1010, it has 0x1000..0x1010"), "{error}");
}

#[test]
fn raw_files_that_cannot_be_are_refused() {
    let dir = TempDir::new().expect("a folder");
    let refused = |files: &[RawFile]| MemoryImage::raw(files).expect_err("refused").to_string();
    let (a, b) = (raw(&dir, "a", &[1; 8], 0x1000), raw(&dir, "b", &[2; 8], 0x1004));
    let error = refused(&[a, b]);
    assert!(error.contains("/a and ") && error.ends_with("/b: both have 0x1004..0x1008"), "{error}");
    assert!(refused(&[raw(&dir, "c", &[], 0)]).ends_with("its 0 bytes are no memory at 0x0"));
    assert!(refused(&[raw(&dir, "d", &[1], u64::MAX)]).contains("are no memory at 0xffff"));
    let folder = RawFile { path: dir.path().into(), addr: TargetAddr::new(0) };
    assert!(refused(&[folder]).ends_with("not a regular file"));
    let missing = RawFile { path: dir.path().join("none"), addr: TargetAddr::new(0) };
    assert!(refused(&[missing]).contains("No such file"));
}

proptest! {
    /// Whatever a core says: it is refused, or only bytes of the file are read.
    #[test]
    fn damaged_cores(
        cut in 0usize..=400,
        changes in proptest::collection::vec((0usize..300, any::<u8>()), 0..6),
        addr in prop_oneof![0x0ff0u64..0x1020, any::<u64>()],
    ) {
        let mut bytes = process_core();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        if let Ok(mut link) = open_core(&bytes) {
            let _ = read(&mut link, addr, 16);
            let _ = link.mapped_files().map(|mapped| mapped.files().map(|files| files.len()));
            let _ = link.physical().map(|physical| physical.ranges().map(|ranges| ranges.len()));
        }
    }
}
