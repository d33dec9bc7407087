//! What a loader makes memory of.

use object::elf;

use super::{Image, ImageAddr};

/// Memory that an image has in a target, whether the file has anything for it or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Its address, before any slide.
    pub start: ImageAddr,
    /// Its length in the target's memory, in bytes.
    pub len_bytes: u64,
    /// Whether the program may write it.
    pub is_writable: bool,
}

/// Where a loadable segment begins, in memory and in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSegment {
    /// Its address, before any slide.
    pub start: ImageAddr,
    /// Its offset in the file, in bytes.
    pub offset: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start.get().saturating_add(self.len_bytes)
    }
}

/// A run of the loaded program: a section, or a segment where there are no section headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded<'a> {
    image: &'a Image,
    /// Its address, before any slide.
    pub(crate) start: u64,
    /// Its length in the target's memory, in bytes.
    pub(crate) len_bytes: u64,
    /// Whether the program may write it.
    pub(crate) is_writable: bool,
    /// Whether it is a section of code. A segment with code may have anything beside it.
    pub(crate) is_code: bool,
    offset: u64,
    file_bytes: u64,
}

impl<'a> Loaded<'a> {
    /// What the file has of it, from its start on, before any relocation; nothing if that cannot be read.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.image.file_range(self.offset, self.file_bytes).unwrap_or_default()
    }

    /// The first address behind it.
    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.len_bytes)
    }
}

impl Image {
    /// The segments of which the file has anything (`PT_LOAD`), in the order of the program headers, which is that of
    /// addresses.
    #[must_use]
    pub fn file_segments(&self) -> Vec<FileSegment> {
        let segments = self.parts.segments.iter();
        let loads = segments.filter(|segment| segment.kind == elf::PT_LOAD && segment.file_bytes > 0);
        let places =
            loads.map(|load| FileSegment { start: ImageAddr::new(load.address), offset: load.offset });
        places.collect()
    }

    /// What the program headers load (`PT_LOAD`), by address and without overlaps. What borders on each other and is
    /// alike is one.
    #[must_use]
    pub fn extents(&self) -> Vec<Extent> {
        let mut loads = self.loaded_segments();
        loads.sort_by_key(|load| load.start);
        let mut all: Vec<Extent> = Vec::new();
        for load in loads {
            let end = load.end();
            let start = load.start.max(all.last().map_or(0, Extent::end));
            match all.last_mut() {
                _ if start >= end => {}
                Some(last) if last.end() == start && last.is_writable == load.is_writable => {
                    last.len_bytes = end.saturating_sub(last.start.get());
                }
                _ => all.push(Extent {
                    start: ImageAddr::new(start),
                    len_bytes: end.saturating_sub(start),
                    is_writable: load.is_writable,
                }),
            }
        }
        all
    }

    /// What is loaded, by address. Of runs that overlap only the first is there.
    pub(crate) fn loaded(&self) -> Vec<Loaded<'_>> {
        let mut all = self.loaded_sections();
        if all.is_empty() {
            all = self.loaded_segments();
        }
        all.retain(|run| run.len_bytes > 0);
        all.sort_by_key(|run| run.start);
        all.dedup_by(|next, kept| next.start < kept.end());
        all
    }

    fn loaded_sections(&self) -> Vec<Loaded<'_>> {
        let sections = self.parts.sections.iter().filter(|section| {
            // Each thread has its own `.tbss`, and none of them is where the header says.
            let is_tbss = section.kind == elf::SHT_NOBITS && section.flags.contains(elf::SHF_TLS);
            section.flags.contains(elf::SHF_ALLOC) && !is_tbss
        });
        sections
            .map(|section| Loaded {
                image: self,
                start: section.address,
                len_bytes: section.size,
                is_writable: section.flags.contains(elf::SHF_WRITE),
                is_code: section.flags.contains(elf::SHF_EXECINSTR),
                offset: section.offset,
                file_bytes: if section.kind == elf::SHT_NOBITS { 0 } else { section.size },
            })
            .collect()
    }

    fn loaded_segments(&self) -> Vec<Loaded<'_>> {
        let segments = self.parts.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD);
        segments
            .map(|segment| Loaded {
                image: self,
                start: segment.address,
                len_bytes: segment.memory_bytes.max(segment.file_bytes),
                is_writable: segment.is_writable,
                is_code: false,
                offset: segment.offset,
                file_bytes: segment.file_bytes,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_PVH: &[u8] = include_bytes!("../../tests/fixtures/x86-pvh/covered.elf");

    /// The extents of a file with these program headers: address, length, flags.
    fn extents(loads: &[(u64, u64, u32)]) -> Vec<(u64, u64, bool)> {
        let mut bytes = X86_PVH.to_vec();
        bytes[56..58].copy_from_slice(&u16::try_from(loads.len()).unwrap().to_le_bytes());
        for (index, (address, len_bytes, flags)) in loads.iter().enumerate() {
            let header = &mut bytes[64 + 56 * index..][..56];
            header.fill(0);
            header[..4].copy_from_slice(&elf::PT_LOAD.0.to_le_bytes());
            header[4..8].copy_from_slice(&flags.to_le_bytes());
            header[16..24].copy_from_slice(&address.to_le_bytes());
            header[40..48].copy_from_slice(&len_bytes.to_le_bytes());
        }
        let extents = Image::parse("a.elf", bytes).unwrap().extents();
        extents.iter().map(|extent| (extent.start.get(), extent.len_bytes, extent.is_writable)).collect()
    }

    #[test]
    fn extents_are_all_memory_once() {
        const R: u32 = 4;
        const RW: u32 = 6;
        assert_eq!(extents(&[(0x2000, 8, RW), (0x1000, 8, R)]), [(0x1000, 8, false), (0x2000, 8, true)]);
        let bordering = [(0x1000, 8, RW), (0x1008, 8, RW), (0x1010, 8, R)];
        assert_eq!(extents(&bordering), [(0x1000, 16, true), (0x1010, 8, false)]);
        let overlapping = [(0x1000, 8, RW), (0x1004, 8, R), (0x1006, 2, RW), (0x1008, 16, R)];
        assert_eq!(extents(&overlapping), [(0x1000, 8, true), (0x1008, 16, false)]);
        assert_eq!(extents(&[(0x1000, 0, RW)]), []);
        let end = u64::MAX - 3;
        assert_eq!(extents(&[(end, 8, RW), (end, u64::MAX, R)]), [(end, 3, true)]);
    }
}
