use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use covtap_link::{AddrRange, TargetAddr};

use super::identity::{Agreement, Verdict};
use super::*;

const CLANG_14: &[u8] = include_bytes!("../../tests/fixtures/hosted/clang-14.elf");
const CLANG_19: &[u8] = include_bytes!("../../tests/fixtures/hosted/clang-19.elf");
const RUSTC: &[u8] = include_bytes!("../../tests/fixtures/hosted/rustc.elf");
const CORTEX_M: &[u8] = include_bytes!("../../tests/fixtures/arm-cortexm/covered.elf");
const SPIN: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/spin.elf");
const X86_PVH: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/covered.elf");

fn parse(bytes: &[u8]) -> Image {
    Image::parse("fixture", bytes.to_vec()).unwrap()
}

#[test]
fn the_header_is_told_in_words() {
    let image = parse(CORTEX_M);
    assert_eq!((image.architecture(), image.machine()), ("arm", 40));
    assert_eq!((image.endianness(), image.pointer_width()), (Endianness::Little, PointerWidth::Bits32));
    assert_eq!(image.image_type(), ImageType::Fixed);
    assert_eq!(parse(CLANG_19).architecture(), "x86_64");
    assert!(!parse(CLANG_19).is_position_independent());
}

#[test]
fn producers_are_those_of_the_comment_section() {
    let image = parse(RUSTC);
    let producers = image.producers();
    assert!(producers.iter().any(|text| text.starts_with("rustc version 1.95.0")), "{producers:?}");
    assert!(parse(CLANG_14).producers().iter().any(|text| text.contains("clang version 14.0.6")));
}

#[test]
fn sections_say_what_is_loaded_and_what_is_in_the_file() {
    let image = parse(CORTEX_M);
    let counters = image.section("__llvm_prf_cnts").unwrap();
    assert!(counters.is_loaded() && counters.is_writable() && counters.is_nobits());
    assert!(counters.file_bytes().unwrap().is_empty());
    let data = image.section("__llvm_prf_data").unwrap();
    assert!(!data.is_nobits());
    assert_eq!(data.file_bytes().unwrap().len() as u64, data.len_bytes());
    let text = image.section(".text").unwrap();
    assert!(text.is_executable() && !text.is_writable());
    let bytes = image.bytes_at(text.address(), text.len_bytes()).unwrap();
    assert_eq!(bytes, text.file_bytes().unwrap());
    assert_eq!(image.bytes_at(counters.address(), counters.len_bytes()), None);
}

#[test]
fn symbols_are_found_by_their_whole_name() {
    let image = parse(CLANG_19);
    let main = image.symbol("main").unwrap();
    assert_eq!((main.name, main.kind), ("main", SymbolKind::Function));
    assert!(image.section(".text").unwrap().len_bytes() > main.len_bytes && main.len_bytes > 0);
    assert_eq!(image.symbol("mai"), None);
    assert_eq!(image.symbol(""), None);
    assert!(image.symbols().count() > 20);
}

#[test]
fn something_else_than_an_elf_says_how_it_begins() {
    let error = Image::parse("a.bin", b"\x7fEL!".to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "read a.bin: not an ELF file: it begins with 7f 45 4c 21");
    let error = Image::parse("a.bin", Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "read a.bin: not an ELF file: it begins with nothing: it is empty");
}

#[test]
fn a_cut_off_file_says_what_was_read_and_where() {
    let error = Image::parse("cut.elf", CLANG_19[..CLANG_19.len() / 2].to_vec()).unwrap_err().to_string();
    assert!(error.starts_with("read the section headers of cut.elf at file offset 0x"), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn every_prefix_of_a_file_is_read_or_refused() {
    let mut refused = 0;
    for len in (0..CORTEX_M.len()).step_by(7) {
        refused += usize::from(Image::parse("cut.elf", CORTEX_M[..len].to_vec()).is_err());
    }
    assert_eq!(refused, CORTEX_M.len().div_ceil(7), "the section headers are at the end");
}

/// What a target has that runs `running`, at the places that tell `image`.
fn memory(image: &Image, identity: &Identity, running: &Image) -> Vec<Option<Vec<u8>>> {
    let bytes = |place: &Option<AddrRange>| {
        let place = place.as_ref().unwrap();
        let found = running.bytes_at(ImageAddr::new(place.start().get()), place.len_bytes());
        Some(found.map_or_else(|| vec![0; usize::try_from(place.len_bytes()).unwrap()], <[u8]>::to_vec))
    };
    identity.places(image, Slide::ZERO).iter().map(bytes).collect()
}

#[test]
fn a_build_id_decides_whatever_the_samples_say() {
    let image = parse(CLANG_19);
    let identity = image.identity();
    let id = identity.build_id.clone().unwrap();
    assert_eq!(image.build_ids(), std::slice::from_ref(&id.id));
    let mut found = memory(&image, &identity, &image);
    assert_eq!(identity.compare(&found), Verdict::SameBuildId(id.id.clone()));
    found[1..].iter_mut().for_each(|sample| *sample = None);
    assert_eq!(identity.compare(&found), Verdict::SameBuildId(id.id.clone()));
    *found[0].as_mut().unwrap().last_mut().unwrap() ^= 1;
    let verdict = identity.compare(&found);
    assert!(verdict.is_mismatch());
    assert!(verdict.to_string().ends_with(&format!(", the image {}", id.id)), "{verdict}");
}

#[test]
fn without_a_build_id_a_clear_majority_decides() {
    let image = parse(CLANG_14);
    let mut identity = image.identity();
    identity.build_id = None;
    let of = identity.samples.len();
    assert!(of >= 32, "{of}");
    let mut found = memory(&image, &identity, &image);
    assert_eq!(identity.compare(&found), Verdict::SameBytes(Agreement { equal: of, of }));
    // Patched in a quarter of the places it is still the image; in one more it is not.
    let patch = |sample: &mut Option<Vec<u8>>| sample.as_mut().unwrap()[0] ^= 1;
    found.iter_mut().take(of / 4).for_each(patch);
    assert!(!identity.compare(&found).is_mismatch());
    found.iter_mut().skip(of / 4).take(1).for_each(patch);
    assert!(identity.compare(&found).is_mismatch());
    // What cannot be read counts for nothing.
    found.iter_mut().for_each(|sample| *sample = None);
    assert_eq!(identity.compare(&found), Verdict::Unknown);
}

#[test]
fn two_builds_of_one_program_are_told_apart() {
    let (image, other) = (parse(X86_PVH), parse(SPIN));
    let mut identity = image.identity();
    assert!(identity.compare(&memory(&image, &identity, &other)).is_mismatch());
    // Without build ids too.
    identity.build_id = None;
    let verdict = identity.compare(&memory(&image, &identity, &other));
    assert!(verdict.is_mismatch(), "{verdict}");
}

#[test]
fn a_slide_moves_every_place() {
    let image = parse(CLANG_19);
    let identity = image.identity();
    let places = identity.places(&image, Slide::new(0x10_0000));
    let first = identity.build_id.as_ref().unwrap().address;
    assert_eq!(places[0].unwrap().start(), TargetAddr::new(first.get() + 0x10_0000));
    assert_eq!(places.len(), identity.samples.len() + 1);
}

/// A file that says how much of it was read.
struct Counted(Cursor<Vec<u8>>, Arc<AtomicUsize>);

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buf)?;
        self.1.fetch_add(len, Ordering::Relaxed);
        Ok(len)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_file_that_is_read_in_parts_says_the_same() {
    for bytes in [CLANG_14, CLANG_19, RUSTC, CORTEX_M, SPIN, X86_PVH] {
        let (whole, read) = (parse(bytes), Arc::new(AtomicUsize::new(0)));
        // What no section says is there need not be read.
        let longer = [bytes, &vec![7; 1 << 20]].concat();
        let source = Counted(Cursor::new(longer), Arc::clone(&read));
        let in_parts = Image::read("fixture", source).unwrap();
        assert!(whole.sections().map(|s| s.name()).eq(in_parts.sections().map(|s| s.name())));
        let data = |section: Section<'_>| section.data().unwrap().into_owned();
        assert!(whole.sections().map(data).eq(in_parts.sections().map(data)));
        assert!(whole.symbols().eq(in_parts.symbols()));
        assert_eq!(whole.symbol("main"), in_parts.symbol("main"));
        assert_eq!(whole.identity(), in_parts.identity());
        assert_eq!((whole.producers(), whole.build_ids()), (in_parts.producers(), in_parts.build_ids()));
        assert!(read.load(Ordering::Relaxed) < 2 * bytes.len(), "{read:?} of {}", bytes.len());
    }
}

#[test]
fn sections_that_overlap_are_not_read_without_end() {
    let mut bytes = [CLANG_19, &vec![0; 1 << 20]].concat();
    let word = |bytes: &[u8], at: usize, len: usize| -> usize {
        bytes[at..at + len].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let (headers, num) = (word(&bytes, 0x28, 8), word(&bytes, 0x3c, 2));
    for index in 0..num {
        let header = headers + 64 * index;
        if word(&bytes, header + 4, 4) == 1 {
            // Each ends behind the one before it.
            let extent = [index, bytes.len() - num].map(|value| (value as u64).to_le_bytes());
            bytes[header + 24..header + 40].copy_from_slice(&extent.concat());
        }
    }
    let len = bytes.len();
    let image = Image::read("overlapping", Cursor::new(bytes)).unwrap();
    let found: Vec<_> = image.sections().map(|section| section.file_bytes()).collect();
    let read: usize = found.iter().flatten().map(|bytes| bytes.len()).sum();
    assert!(read > len && read < 3 * len, "{read} of {len}");
    let refused = found.iter().find_map(|bytes| bytes.as_ref().err()).unwrap().to_string();
    assert!(refused.ends_with("bytes cannot be read"), "{refused}");
}
