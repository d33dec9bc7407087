//! From an ELF core to what memory it has.
//!
//! Sources: System V ABI, chapter 5; Linux's `fs/binfmt_elf.c`; QEMU's `dump/dump.c`; for what a file is instead, the
//! magic numbers of makedumpfile (`KDUMP   `, `makedumpfile`), Windows (`PAGEDU`, `MDMP`) and of compressors.
//!
//! What always holds: of the file only headers and notes are read here, and those only up to a limit; memory that the
//! headers promise and the file does not have counts as left out.

use std::fs::File;

use covtap_link::{AddrRange, Endianness, MappedFile, PointerWidth, TargetAddr};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};

use crate::map::{Map, Stretch};
use crate::{DumpError, notes};

/// More segments than any process has mappings by default, 16 times over.
const MAX_SEGMENTS: u32 = 1 << 20;

/// The most that is read of notes: each thread has some kilobytes.
const MAX_NOTE_BYTES: u64 = 1 << 26;

/// What files are that are taken for ELF cores, by their first bytes.
const OTHER_KINDS: &[(&[u8], &str)] = &[
    (b"KDUMP   ", "a kdump-compressed dump"),
    (b"DISKDUMP", "a diskdump"),
    (b"makedumpfile", "a flattened dump of makedumpfile"),
    (b"PAGEDU", "a dump of Windows"),
    (b"MDMP", "a minidump"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"BZh", "compressed with bzip2"),
];

/// What a core has.
#[derive(Debug)]
pub(crate) struct Core {
    /// By the addresses that the program had.
    pub(crate) memory: Map,
    /// By physical addresses, where the core has those.
    pub(crate) physical: Option<Map>,
    /// The files that a process had mapped, where the core says so.
    pub(crate) files: Option<Vec<MappedFile>>,
    /// What made it, for a person.
    pub(crate) kind: &'static str,
    pub(crate) endianness: Endianness,
    pub(crate) pointer_width: PointerWidth,
}

/// What its notes say.
#[derive(Default)]
struct Notes {
    files: Option<Vec<MappedFile>>,
    is_qemu: bool,
    is_kernel: bool,
}

/// Reads the headers of the core `name`.
pub(crate) fn read(name: &str, file: &File, len_bytes: u64) -> Result<Core, DumpError> {
    let cache = ReadCache::new(file);
    let ident = (&cache).read_bytes_at(0, len_bytes.min(16)).unwrap_or_default();
    let of = |class: u8| ident.starts_with(b"\x7fELF") && ident.get(4) == Some(&class);
    let reader = Reader { name, len_bytes };
    if of(1) {
        reader.read::<elf::FileHeader32<object::Endianness>>(&cache)
    } else if of(2) {
        reader.read::<elf::FileHeader64<object::Endianness>>(&cache)
    } else {
        let kind = OTHER_KINDS.iter().find(|(magic, _)| ident.starts_with(magic));
        Err(reader.other(kind.map_or("no ELF file", |(_, kind)| kind)))
    }
}

/// QEMU writes addresses of x86-64's page tables as if all were in the upper half, where kernels are
/// (`walk_pml4e` in `target/i386/arch_memory_mapping.c`). Bit 47 tells which half it was.
fn canonical(addr: u64) -> u64 {
    const HALF: u64 = 1 << 47;
    const UPPER_BITS: u64 = 0xffff << 48;
    if addr & UPPER_BITS == UPPER_BITS && addr & HALF == 0 { addr & !UPPER_BITS } else { addr }
}

struct Reader<'a> {
    name: &'a str,
    len_bytes: u64,
}

impl Reader<'_> {
    fn read<'data, Elf>(&self, data: impl ReadRef<'data>) -> Result<Core, DumpError>
    where
        Elf: FileHeader<Endian = object::Endianness>,
    {
        let wrong = |error: object::Error| self.malformed("the header", &error);
        let header = Elf::parse(data).map_err(wrong)?;
        let endian = header.endian().map_err(wrong)?;
        let segments = self.segments(header, endian, data)?;
        let endianness = match endian {
            object::Endianness::Little => Endianness::Little,
            object::Endianness::Big => Endianness::Big,
        };
        let pointer_width = if header.is_class_64() { PointerWidth::Bits64 } else { PointerWidth::Bits32 };
        let notes = self.notes(segments, endian, data, (endianness, pointer_width))?;
        let loads: Vec<_> =
            segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).collect();
        let has_physical = notes.is_qemu || loads.iter().any(|load| load.p_paddr(endian).into() != 0);
        let at = |addr: &dyn Fn(&Elf::ProgramHeader) -> u64| {
            loads.iter().filter_map(|load| self.stretch(addr(load), *load, endian)).collect::<Vec<_>>()
        };
        let physical = has_physical.then(|| Map::repeated(at(&|load| load.p_paddr(endian).into())));
        let is_qemu_x86 = notes.is_qemu && header.e_machine(endian) == elf::EM_X86_64;
        let by_program = at(&|load| {
            let addr = load.p_vaddr(endian).into();
            if is_qemu_x86 { canonical(addr) } else { addr }
        });
        let memory = self.memory(by_program, physical.as_ref())?;
        let kind = match (&notes, has_physical) {
            (Notes { is_qemu: true, .. }, _) => "ELF core of a guest",
            (Notes { is_kernel: true, .. }, _) => "ELF core of a kernel",
            (_, true) => "ELF core with physical addresses",
            (_, false) => "ELF core",
        };
        Ok(Core { memory, physical, files: notes.files, kind, endianness, pointer_width })
    }

    /// The program headers, if it is a core.
    fn segments<'data, Elf: FileHeader>(
        &self,
        header: &Elf,
        endian: Elf::Endian,
        data: impl ReadRef<'data>,
    ) -> Result<&'data [Elf::ProgramHeader], DumpError> {
        match header.e_type(endian) {
            elf::ET_CORE => {}
            elf::ET_EXEC | elf::ET_DYN => {
                return Err(self.other("a program or a library, and no dump of its memory"));
            }
            elf::ET_REL => return Err(self.other("an object file")),
            _ => return Err(self.other("an ELF file of an unknown type")),
        }
        let wrong = |error: object::Error| self.malformed("the program headers", &error);
        // Before they are read, since the number may be anything.
        let count = header.phnum(endian, data).map_err(wrong)?;
        if count > MAX_SEGMENTS {
            return Err(self.malformed("the program headers", &format!("{count} are too many")));
        }
        header.program_headers(endian, data).map_err(wrong)
    }

    /// The memory by the program's addresses.
    fn memory(&self, stretches: Vec<Stretch>, physical: Option<&Map>) -> Result<Map, DumpError> {
        match (Map::distinct(stretches), physical) {
            // Whoever dumps physical memory may know no other addresses, and writes the same for all segments then.
            (Ok(memory), Some(physical)) if memory.is_empty() => Ok(physical.clone()),
            (Err(_), Some(physical)) => Ok(physical.clone()),
            (Ok(memory), _) => Ok(memory),
            (Err((one, other)), None) => {
                let detail = format!("segments overlap: {} and {}", one.range, other.range);
                Err(self.malformed("the program headers", &detail))
            }
        }
    }

    /// A segment at `addr`. What passes the end of memory is left out: there is no such address.
    fn stretch<P: ProgramHeader>(&self, addr: u64, segment: &P, endian: P::Endian) -> Option<Stretch> {
        let (offset, in_file): (u64, u64) =
            (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
        let len_bytes: u64 = segment.p_memsz(endian).into();
        let range = AddrRange::new(TargetAddr::new(addr), len_bytes.max(in_file))?;
        let present_bytes = in_file.min(self.len_bytes.saturating_sub(offset));
        Some(Stretch { range, present_bytes, file: 0, offset })
    }

    fn notes<'data, P: ProgramHeader, R: ReadRef<'data>>(
        &self,
        segments: &[P],
        endian: P::Endian,
        data: R,
        words: (Endianness, PointerWidth),
    ) -> Result<Notes, DumpError> {
        let mut found = Notes::default();
        let mut left = MAX_NOTE_BYTES;
        for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_NOTE) {
            let len_bytes: u64 = segment.p_filesz(endian).into();
            left = left.checked_sub(len_bytes).ok_or_else(|| {
                self.malformed("the notes", &format!("they are larger than {MAX_NOTE_BYTES} bytes"))
            })?;
            // Notes that are cut off or damaged say nothing; the memory is there without them.
            let Ok(Some(mut notes)) = segment.notes(endian, data) else { continue };
            while let Ok(Some(note)) = notes.next() {
                match (note.name(), note.n_type(endian)) {
                    (b"CORE", elf::NT_FILE) => {
                        found.files = Some(notes::mapped_files(note.desc(), words.0, words.1));
                    }
                    (b"QEMU", _) => found.is_qemu = true,
                    (b"VMCOREINFO", _) => found.is_kernel = true,
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    fn other(&self, kind: &'static str) -> DumpError {
        DumpError::OtherKind { file: self.name.to_owned(), kind }
    }

    fn malformed(&self, what: &'static str, detail: &dyn ToString) -> DumpError {
        DumpError::Malformed { file: self.name.to_owned(), what, detail: detail.to_string() }
    }
}
