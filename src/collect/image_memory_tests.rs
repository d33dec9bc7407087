use std::time::Duration;

use covtap_link::scripted::{Fault, ScriptedLink};

use super::*;

/// Constants and code at 0x10_0000, data behind.
const X86_PVH: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/covered.elf");

const SLIDE: u64 = 0x7000_0000;

fn image(bytes: &[u8]) -> Image {
    Image::parse("a.elf", bytes.to_vec()).unwrap()
}

/// A target with memory from the first to the last address of an image, each word of which is its own address.
fn target(image: &Image) -> ScriptedLink {
    let extents = image.extents();
    let start = extents.first().unwrap().start.get();
    let last = extents.last().unwrap();
    let end = last.start.get() + last.len_bytes;
    let start = (start + SLIDE) & !3;
    let words = (start..end + SLIDE).step_by(4);
    let bytes = words.flat_map(|word| u32::try_from(word).unwrap().to_le_bytes()).collect();
    ScriptedLink::new([(TargetAddr::new(start), bytes)])
}

fn read(link: ScriptedLink, image: &Image) -> Result<(ImageMemory, Duration), CollectError> {
    let mut link = MeteredLink::new(Box::new(link));
    let memory = read_image_memory(&mut link, image, Slide::new(SLIDE))?;
    Ok((memory, link.pause()))
}

/// The file with so many bytes of memory for its last loaded segment, in the program header.
fn with_memory(len_bytes: u64) -> Vec<u8> {
    use object::read::elf::ProgramHeader;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(X86_PVH).unwrap();
    let endian = file.endian();
    let is_load = |p: &object::elf::ProgramHeader64<_>| p.p_type(endian) == object::elf::PT_LOAD;
    let last = file.elf_program_headers().iter().rposition(is_load).unwrap();
    let mut bytes = X86_PVH.to_vec();
    bytes[64 + 56 * last + 40..][..8].copy_from_slice(&len_bytes.to_le_bytes());
    bytes
}

#[test]
fn all_that_is_loaded_is_read_where_the_slide_says() {
    let image = image(&with_memory(3 << 18));
    let (memory, _) = read(target(&image), &image).unwrap();
    assert_eq!(memory.unread_bytes, 0);
    let ours: Vec<_> = memory.parts.iter().map(|p| (p.start.get() - SLIDE, p.bytes.len() as u64)).collect();
    let extents = image.extents();
    assert_eq!(ours, extents.iter().map(|extent| (extent.start.get(), extent.len_bytes)).collect::<Vec<_>>());
    assert!(memory.parts.iter().zip(&extents).all(|(part, extent)| part.is_writable == extent.is_writable));
    for part in &memory.parts {
        let first = usize::try_from(part.start.get().wrapping_neg() % 4).unwrap();
        for (index, word) in part.bytes[first..].as_chunks().0.iter().enumerate() {
            let address = part.start.get() + (first + 4 * index) as u64;
            assert_eq!(u64::from(u32::from_le_bytes(*word)), address);
        }
    }
}

#[test]
fn what_cannot_be_read_is_missing_and_counted() {
    let image = image(&with_memory(3 << 18));
    let (whole, _) = read(target(&image), &image).unwrap();
    // The second reading of the last extent: those before are smaller than a piece.
    let refused = whole.parts.len() as u64;
    let (memory, _) = read(target(&image).with_fault(refused, Fault::Refuse), &image).unwrap();
    assert_eq!(memory.unread_bytes, CHUNK_BYTES);
    assert_eq!(memory.parts.len(), whole.parts.len() + 1);
    let [.., before, after] = &memory.parts[..] else { panic!() };
    assert_eq!(after.start.get(), before.start.get() + before.bytes.len() as u64 + CHUNK_BYTES);
    assert_eq!(memory.len_bytes() + CHUNK_BYTES, whole.len_bytes());
    let gone = read(target(&image).with_fault(refused, Fault::Disconnect), &image).unwrap_err();
    assert!(matches!(gone, CollectError::Link(_)), "{gone}");
}

#[test]
fn every_reading_is_a_pause_of_its_own() {
    let image = image(&with_memory(3 << 18));
    let pause = Duration::from_millis(1);
    let (memory, paused) = read(target(&image).with_pause(pause), &image).unwrap();
    let at = |n: u64| n / CHUNK_BYTES;
    let chunks = memory.parts.iter().map(|part| {
        let (first, len) = (part.start.get(), part.bytes.len() as u64);
        at(first + len - 1) - at(first) + 1
    });
    let readings = u32::try_from(chunks.sum::<u64>()).unwrap();
    // One more to attach.
    assert_eq!(paused, pause * (readings + 1));
}

#[test]
fn an_image_of_all_memory_is_refused() {
    for len_bytes in [MAX_BYTES + 1, u64::MAX] {
        let image = image(&with_memory(len_bytes));
        let refused = read(ScriptedLink::new([]), &image).unwrap_err().to_string();
        assert!(refused.starts_with("read the memory of a.elf: it has "), "{refused}");
    }
}
