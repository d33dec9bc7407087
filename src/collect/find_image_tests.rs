use covtap_link::scripted::{Fault, ScriptedLink};

use super::*;

pub(in crate::collect) const X86_PVH: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/covered.elf");
const SPIN: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/spin.elf");
const HOSTED: &[u8] = include_bytes!("../../tests/fixtures/hosted/rustc.elf");

/// Where the scripted target's memory begins.
const RAM: u64 = 0x8000_0000;

pub(in crate::collect) fn image(bytes: &[u8]) -> Image {
    Image::parse("a.elf", bytes.to_vec()).unwrap()
}

/// What a loader puts into memory: every segment at its distance from the first.
pub(in crate::collect) fn loaded(bytes: &[u8]) -> (u64, Vec<u8>) {
    use object::read::elf::ProgramHeader;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes).unwrap();
    let endian = file.endian();
    let loads = || file.elf_program_headers().iter().filter(|p| p.p_type(endian) == object::elf::PT_LOAD);
    let first = loads().map(|p| p.p_vaddr(endian)).min().unwrap();
    let mut memory = Vec::new();
    for p in loads() {
        let at = usize::try_from(p.p_vaddr(endian) - first).unwrap();
        let content = p.data(endian, bytes).unwrap();
        memory.resize(memory.len().max(at + content.len()), 0);
        memory[at..][..content.len()].copy_from_slice(content);
    }
    (first, memory)
}

/// Memory of `len` bytes with these contents at these offsets.
fn memory(len: usize, contents: &[(usize, &[u8])]) -> Vec<u8> {
    let mut memory = vec![0; len];
    for (at, content) in contents {
        memory[*at..][..content.len()].copy_from_slice(content);
    }
    memory
}

fn target(memory: Vec<u8>) -> ScriptedLink {
    ScriptedLink::new([(TargetAddr::new(RAM), memory)]).with_physical()
}

fn find_in(link: ScriptedLink, image: &Image) -> Result<Found, CollectError> {
    find(&mut PhysicalLink::new(Box::new(link)).unwrap(), image)
}

fn refusal(link: ScriptedLink, image: &Image) -> String {
    find_in(link, image).unwrap_err().to_string()
}

/// A file without its build id note.
fn without_note(bytes: &[u8]) -> Vec<u8> {
    let note = image(bytes).identity().build_id.unwrap().note;
    let at = memchr::memmem::find(bytes, &note).unwrap();
    let mut bytes = bytes.to_vec();
    // Another type of note.
    bytes[at + 8] = 0x7f;
    bytes
}

#[test]
fn an_image_is_found_wherever_it_was_loaded() {
    for elf in [X86_PVH, HOSTED, &without_note(X86_PVH), &without_note(HOSTED)] {
        let (first, content) = loaded(elf);
        // The last places are around the ends of a chunk: what is searched for is split there.
        let split = (CHUNK_BYTES - 64..CHUNK_BYTES + 4).step_by(4);
        for at in [0, 0x1000, 0x1234, 3 * CHUNK_BYTES].into_iter().chain(split) {
            let link = target(memory(at + content.len() + CHUNK_BYTES / 2, &[(at, &content)]));
            let found = find_in(link, &image(elf)).unwrap();
            assert_eq!(found.slide.get(), (RAM + at as u64).wrapping_sub(first), "at {at:#x}");
            assert_eq!(found.agreement.equal, found.agreement.of);
        }
    }
}

#[test]
fn every_byte_of_what_is_searched_for_may_be_the_last_of_a_chunk() {
    for elf in [X86_PVH.to_vec(), without_note(X86_PVH)] {
        let image = image(&elf);
        let identity = image.identity();
        let (first, content) = loaded(&elf);
        let needles = [note(&identity), rarest_samples(&identity)].into_iter().flatten();
        let needle = needles.into_iter().next().unwrap();
        let offset = usize::try_from(needle.addr.get() - first).unwrap();
        for split in 0..=needle.bytes.len() {
            let at = CHUNK_BYTES - offset - split;
            let link = target(memory(at + content.len(), &[(at, &content)]));
            assert_eq!(find_in(link, &image).unwrap().slide.get(), (RAM + at as u64).wrapping_sub(first));
        }
    }
}

#[test]
fn two_loaded_copies_are_told_with_their_places() {
    let (first, content) = loaded(X86_PVH);
    let link = target(memory(2 << 20, &[(0x1000, &content), (0x15_0000, &content)]));
    let slides = [0x1000, 0x15_0000].map(|at| (RAM + at).wrapping_sub(first));
    assert_eq!(
        refusal(link, &image(X86_PVH)),
        format!(
            "find a.elf in scripted: it is loaded more than once, by slide at 2 places: {:#x}, {:#x}",
            slides[0], slides[1]
        )
    );
}

#[test]
fn a_copy_of_the_file_is_no_loaded_image() {
    for elf in [X86_PVH, HOSTED, &without_note(X86_PVH), &without_note(HOSTED)] {
        let (first, content) = loaded(elf);
        let image = image(elf);
        let both = memory(4 << 20, &[(0x3000, elf), (0x30_0000, &content)]);
        let found = find_in(target(both), &image).unwrap();
        assert_eq!(found.slide.get(), (RAM + 0x30_0000).wrapping_sub(first));
        let error = refusal(target(memory(4 << 20, &[(0x3000, elf)])), &image);
        let start = "find a.elf in scripted: not loaded anywhere in 4194304 bytes of physical memory; parts or copies";
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn an_image_that_is_not_there_is_not_found() {
    let (_, other) = loaded(SPIN);
    let error = refusal(target(memory(1 << 20, &[(0x2000, &other)])), &image(X86_PVH));
    assert!(error.starts_with("find a.elf in scripted: "), "{error}");
    let error = refusal(target(vec![0; 100_000]), &image(X86_PVH));
    assert_eq!(error, "find a.elf in scripted: it is nowhere in 100000 bytes of physical memory");
    let error = refusal(target(Vec::new()), &image(X86_PVH));
    assert_eq!(error, "find a.elf in scripted: it is nowhere in 0 bytes of physical memory");
}

#[test]
fn a_damaged_image_is_found_as_long_as_most_of_it_is_whole() {
    let (first, content) = loaded(X86_PVH);
    let image = image(X86_PVH);
    let identity = image.identity();
    let note = identity.build_id.as_ref().unwrap();
    let damaged = |num_samples: usize| {
        let mut content = content.clone();
        let note = (&note.address, note.note.len());
        let samples = identity.samples.iter().map(|(addr, bytes)| (addr, bytes.len()));
        // From the end, so that what is searched for is not always hit.
        for (addr, len) in samples.rev().take(num_samples).chain([note]) {
            content[usize::try_from(addr.get() - first).unwrap()..][..len].fill(0xee);
        }
        target(memory(1 << 20, &[(0x8000, &content)]))
    };
    let of = identity.samples.len();
    let found = find_in(damaged(of / 4), &image).unwrap();
    assert_eq!(found.slide.get(), (RAM + 0x8000).wrapping_sub(first));
    assert_eq!(found.agreement, Agreement { equal: of - of / 4, of });
    assert!(find_in(damaged(of / 2), &image).is_err());
}

#[test]
fn another_build_id_is_another_image() {
    let (_, mut content) = loaded(X86_PVH);
    let note = image(X86_PVH).identity().build_id.unwrap().note;
    let at = memchr::memmem::find(&content, &note).unwrap();
    content[at + note.len() - 1] ^= 1;
    let error = refusal(target(memory(1 << 20, &[(0x8000, &content)])), &image(X86_PVH));
    assert!(error.contains("parts or copies of its file are at"), "{error}");
}

#[test]
fn what_cannot_be_read_is_said_and_a_link_that_fails_ends_the_search() {
    let len = CHUNK_BYTES + 10;
    let error = refusal(target(vec![0; len]).with_fault(2, Fault::Refuse), &image(X86_PVH));
    // The second pass, for samples, begins with the third reading.
    assert_eq!(
        error,
        "find a.elf in scripted: it is nowhere in 10 bytes of physical memory (1048576 more could not be read)"
    );
    let error = find_in(target(vec![0; len]).with_fault(1, Fault::Timeout), &image(X86_PVH));
    assert!(matches!(error, Err(CollectError::Link(LinkError::Timeout { .. }))));
    let link = ScriptedLink::new([(TargetAddr::new(RAM), vec![0; 16])]);
    let error = PhysicalLink::new(Box::new(link)).err().unwrap().to_string();
    assert_eq!(
        error,
        "handshake on scripted: not supported: this way to the target knows no physical addresses"
    );
}
