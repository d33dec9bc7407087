//! Build ids from GNU notes, in the order in which LLVM's profiling runtime finds them.
//!
//! ```text
//! 0        4        8        12             12 + align4(namesz)
//! | namesz | descsz | type   | "GNU\0" ...  | descriptor = the id ... |
//! ```
//!
//! Numbers are in the file's byte order; name and descriptor are padded to 4, in 64-bit files too.
//! Source: `compiler-rt/lib/profile/InstrProfilingPlatformLinux.c`, llvmorg-19.1.7.

use std::fmt;

use covtap_link::Endianness;
use object::elf;

use super::{Image, ImageAddr};

/// Longer ones do not exist; a longer one is not believed.
const MAX_BUILD_ID_BYTES: usize = 256;

/// The type of the note that holds a build id.
const NT_GNU_BUILD_ID: u32 = 3;

/// The identity that a linker gave to an image.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BuildId(Vec<u8>);

impl BuildId {
    /// An id of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    /// Lower-case hex, as `readelf -n` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A build id note: the id, and the whole note with the address it is loaded at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BuildIdNote<'a> {
    pub(super) id: BuildId,
    pub(super) address: Option<ImageAddr>,
    pub(super) note: &'a [u8],
}

/// A note, and what follows it.
pub(super) struct Note<'a> {
    /// The note, without the padding at its end.
    pub(super) bytes: &'a [u8],
    /// The build id, if it is one's note.
    pub(super) build_id: Option<&'a [u8]>,
    pub(super) rest: &'a [u8],
}

/// Splits the first note off `bytes`.
pub(super) fn split_note(bytes: &[u8], endianness: Endianness) -> Option<Note<'_>> {
    let word = |at: usize| -> Option<usize> {
        let word = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(match endianness {
            Endianness::Little => u32::from_le_bytes(word),
            Endianness::Big => u32::from_be_bytes(word),
        })
        .ok()
    };
    let (name_len, id_len, kind) = (word(0)?, word(4)?, word(8)?);
    let id_at = name_len.checked_next_multiple_of(4)?.checked_add(12)?;
    let id_end = id_at.checked_add(id_len)?;
    let id = bytes.get(id_at..id_end)?;
    let is_build_id = u32::try_from(kind) == Ok(NT_GNU_BUILD_ID)
        && bytes.get(12..id_at) == Some(b"GNU\0")
        && (1..=MAX_BUILD_ID_BYTES).contains(&id_len);
    let rest = id_end.checked_next_multiple_of(4).and_then(|at| bytes.get(at..)).unwrap_or_default();
    Some(Note { bytes: bytes.get(..id_end)?, build_id: is_build_id.then_some(id), rest })
}

impl Image {
    /// The build ids, in the order of the `PT_NOTE` segments; normally one or none.
    #[must_use]
    pub fn build_ids(&self) -> Vec<BuildId> {
        self.build_id_notes().into_iter().map(|note| note.id).collect()
    }

    /// The build id notes of the `PT_NOTE` segments, or of the note sections where no segment has one.
    pub(super) fn build_id_notes(&self) -> Vec<BuildIdNote<'_>> {
        let segments = self.parts.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE);
        let mut found = Vec::new();
        for segment in segments {
            let bytes = self.file_range(segment.offset, segment.file_bytes).unwrap_or_default();
            collect(bytes, Some(segment.address), self.endianness(), &mut found);
        }
        if found.is_empty() {
            for section in self.sections().filter(|section| section.header.kind == elf::SHT_NOTE) {
                let address = section.is_loaded().then_some(section.header.address);
                collect(section.file_bytes().unwrap_or_default(), address, self.endianness(), &mut found);
            }
        }
        found
    }
}

/// An image has one id, a relocatable link of several perhaps a few.
const MAX_BUILD_IDS: usize = 16;

fn collect<'a>(
    mut bytes: &'a [u8],
    address: Option<u64>,
    endianness: Endianness,
    found: &mut Vec<BuildIdNote<'a>>,
) {
    let len = bytes.len();
    while let Some(note) = split_note(bytes, endianness) {
        if found.len() == MAX_BUILD_IDS {
            break;
        }
        if let Some(id) = note.build_id {
            let offset = len.saturating_sub(bytes.len()) as u64;
            let address = address.and_then(|address| ImageAddr::new(address).checked_add(offset));
            found.push(BuildIdNote { id: BuildId::new(id), address, note: note.bytes });
        }
        bytes = note.rest;
    }
}
