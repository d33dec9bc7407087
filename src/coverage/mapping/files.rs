//! The names of source files of `__llvm_covmap`.
//!
//! ```text
//! unit:      | u32 0 | u32 filenames_size | u32 0 | u32 version | filenames | padding to 8 |
//! filenames: | uleb128 count | uleb128 raw_len | uleb128 zlib_len | zlib_len bytes of zlib, or raw_len bytes |
//! raw:       count times | uleb128 len | len bytes |
//! ```
//!
//! `zlib_len` 0 means not compressed. A function refers to its unit by the low 64 bits of the MD5 of `filenames`.
//!
//! | version word | LLVM | the first name |
//! |---|---|---|
//! | 3, 4 | 11, 12 | a source file, as all are |
//! | 5, 6 | 13 to 17, 18 to 23 | the compilation's folder, which the relative ones are relative to |
//!
//! Source: `RawCoverageFilenamesReader` and `readCoverageHeader` in
//! `llvm/lib/ProfileData/Coverage/CoverageMappingReader.cpp`, llvmorg-19.1.7.
//!
//! What always holds: a name is kept once, however many units have it, and the names of all units, decompressed and
//! with their folders, are no longer than a [`TextBudget`] for the section allows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use covtap_link::Endianness;

use super::cursor::{Cursor, Fault};
use crate::locate::llvm::{NameRef, TextBudget};

/// The oldest version word that is read, and the newest.
const VERSIONS: std::ops::RangeInclusive<u32> = 3..=6;

/// From this version on the first name is the compilation's folder.
const WITH_FOLDER: u32 = 5;

/// A source file's name: a path as the compiler had it.
pub type FileName = Arc<[u8]>;

/// The names of all units.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// By reference; `None` where two different lists have the same one.
    units: HashMap<u64, Option<Vec<FileName>>>,
}

/// The names that were read so far.
struct Reader {
    names: HashSet<FileName>,
    files: Files,
    budget: TextBudget,
}

impl Files {
    /// Decodes a whole section; what is damaged is left out and said.
    pub(super) fn decode(section: &[u8], endianness: Endianness) -> (Self, Vec<Fault>) {
        let budget = TextBudget::of(section.len());
        let mut reader = Reader { names: HashSet::new(), files: Self { units: HashMap::new() }, budget };
        let (mut cursor, mut faults) = (Cursor::new(section, 0), Vec::new());
        while !cursor.is_empty() {
            // A linker may pad more than the format asks for.
            if cursor.rest().iter().all(|byte| *byte == 0) {
                break;
            }
            let unit = match unit(&mut cursor, endianness) {
                Ok(unit) => unit,
                Err(fault) => {
                    faults.push(fault);
                    break;
                }
            };
            if let Err(fault) = reader.add(&unit) {
                faults.push(fault);
            }
        }
        (reader.files, faults)
    }

    /// The names of a unit by its reference.
    pub(super) fn unit(&self, reference: u64) -> Option<&[FileName]> {
        self.units.get(&reference)?.as_deref()
    }

    /// Gives files other names; `None` keeps the one they have.
    pub(super) fn rename(&mut self, rename: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let mut renamed: HashMap<FileName, FileName> = HashMap::new();
        for file in self.units.values_mut().flatten().flatten() {
            let new = renamed.entry(FileName::clone(file));
            *file = FileName::clone(new.or_insert_with_key(|old| match rename(old) {
                Some(new) => new.into(),
                None => FileName::clone(old),
            }));
        }
    }
}

impl Reader {
    fn add(&mut self, unit: &Unit<'_>) -> Result<(), Fault> {
        let names = self.names(unit)?;
        let reference = NameRef::of(unit.filenames).get();
        let known = self.files.units.entry(reference).or_insert_with(|| Some(names.clone()));
        if known.as_ref().is_some_and(|known| *known != names) {
            *known = None;
        }
        Ok(())
    }

    fn names(&mut self, unit: &Unit<'_>) -> Result<Vec<FileName>, Fault> {
        if !VERSIONS.contains(&unit.version) {
            let (version, first, last) = (unit.version, VERSIONS.start(), VERSIONS.end());
            let detail = format!("version {version} is not read, only {first} to {last}");
            return Err(Fault { offset: unit.offset, detail });
        }
        let mut cursor = Cursor::new(unit.filenames, unit.offset);
        let count = cursor.uleb128()?;
        let raw_len = cursor.uleb128()?;
        let zlib_len = cursor.count(1, "bytes of zlib")?;
        let mut raw = Vec::new();
        let mut names = if zlib_len == 0 {
            cursor
        } else {
            let offset = cursor.offset();
            let inflated = self.budget.inflate(cursor.take(zlib_len)?, raw_len, &mut raw);
            inflated.map_err(|detail| Fault { offset, detail })?;
            // Inside of what was compressed there are no offsets of the section: faults say where that begins.
            Cursor::new(&raw, 0)
        };
        self.raw_names(&mut names, count, unit.version).map_err(|mut fault| {
            if zlib_len > 0 {
                fault.detail = format!("decompressed names, at {:#x}: {}", fault.offset, fault.detail);
                fault.offset = unit.offset;
            }
            fault
        })
    }

    fn raw_names(
        &mut self,
        cursor: &mut Cursor<'_>,
        count: u64,
        version: u32,
    ) -> Result<Vec<FileName>, Fault> {
        let (mut names, mut folder) = (Vec::new(), None);
        for _ in 0..count {
            let at = cursor.clone();
            let len = cursor.count(1, "bytes of a name")?;
            let name = cursor.take(len)?;
            // Taken of the budget even if it is known already, or has a shorter form: finding that out is work, too.
            let len = folder.map_or(0, <[u8]>::len).saturating_add(name.len());
            let taken = self.budget.take(len.saturating_add(size_of::<FileName>()));
            taken.map_err(|detail| at.fault(detail))?;
            let path = match folder {
                Some(folder) if !name.starts_with(b"/") => join(folder, name),
                _ => name.to_vec(),
            };
            if version >= WITH_FOLDER && folder.is_none() {
                folder = Some(name);
            }
            names.push(self.keep(path));
        }
        Ok(names)
    }

    /// The one copy of a name.
    fn keep(&mut self, name: Vec<u8>) -> FileName {
        if let Some(kept) = self.names.get(name.as_slice()) {
            return Arc::clone(kept);
        }
        let name: FileName = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

/// A unit's header, and its names still encoded.
struct Unit<'a> {
    version: u32,
    offset: usize,
    filenames: &'a [u8],
}

/// Takes a unit and its padding.
fn unit<'a>(cursor: &mut Cursor<'a>, endianness: Endianness) -> Result<Unit<'a>, Fault> {
    let start = cursor.clone();
    let num_records = cursor.u32(endianness)?;
    let filenames_size = cursor.u32(endianness)?;
    let coverage_size = cursor.u32(endianness)?;
    let version = cursor.u32(endianness)?;
    if (num_records, coverage_size) != (0, 0) {
        return Err(
            start.fault(format!("version {version} has its functions with their unit, which is not read"))
        );
    }
    let offset = cursor.offset();
    let len = usize::try_from(filenames_size).map_err(|error| start.fault(error.to_string()))?;
    let filenames = cursor.take(len)?;
    skip_padding(cursor)?;
    Ok(Unit { version, offset, filenames })
}

/// Goes to the next multiple of 8, or the end.
pub(super) fn skip_padding(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let padding = cursor.offset().wrapping_neg() & 7;
    cursor.take(padding.min(cursor.rest().len())).map(|_| ())
}

/// `name` in `folder`, without `.` and `..`, as `llvm::sys::path::append` and `remove_dots` make it on Unix.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let is_absolute = folder.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in folder.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if is_absolute => {}
            _ => parts.push(part),
        }
    }
    let path = parts.join(&b'/');
    if is_absolute { [b"/", path.as_slice()].concat() } else { path }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn unit_of(version: u32, filenames: &[u8]) -> Vec<u8> {
        let len = u32::try_from(filenames.len()).unwrap();
        let mut bytes: Vec<u8> = [0, len, 0, version].into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(filenames);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn plain(names: &[&str]) -> Vec<u8> {
        let raw: Vec<u8> = names
            .iter()
            .flat_map(|name| [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat())
            .collect();
        [&[u8::try_from(names.len()).unwrap(), u8::try_from(raw.len()).unwrap(), 0][..], &raw].concat()
    }

    fn texts(files: &Files, filenames: &[u8]) -> Vec<String> {
        let names = files.unit(NameRef::of(filenames).get()).unwrap();
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn names_are_relative_to_the_folder_from_version_5_on() {
        let names = plain(&["/b/x", "m.c", "../inc/./h.h", "/usr/s.h"]);
        for (version, expected) in [
            (4, ["/b/x", "m.c", "../inc/./h.h", "/usr/s.h"]),
            (5, ["/b/x", "/b/x/m.c", "/b/inc/h.h", "/usr/s.h"]),
        ] {
            let (files, faults) = Files::decode(&unit_of(version, &names), Endianness::Little);
            assert_eq!(faults, []);
            assert_eq!(texts(&files, &names), expected);
        }
    }

    #[test]
    fn a_path_above_its_relative_folder_stays_so() {
        assert_eq!(join(b".", b"a.c"), b"a.c");
        assert_eq!(join(b"b", b"../../a.c"), b"../a.c");
        assert_eq!(join(b"/b", b"../../a.c"), b"/a.c");
        assert_eq!(join(b"", b"a//b/"), b"a/b");
    }

    #[test]
    fn a_damaged_unit_is_left_out_and_the_others_stay() {
        let good = plain(&["/b", "m.c"]);
        let section =
            [unit_of(6, &[9, 3, 0, 1, b'x', 7]), unit_of(77, &good), unit_of(6, &good), vec![0; 40]].concat();
        let (files, faults) = Files::decode(&section, Endianness::Little);
        assert_eq!(texts(&files, &good), ["/b", "/b/m.c"]);
        let found: Vec<_> = faults.iter().map(|fault| (fault.offset, fault.detail.as_str())).collect();
        assert_eq!(
            found,
            [
                (21, "7 bytes of a name are said to follow, there is room for 0"),
                (40, "version 77 is not read, only 3 to 6")
            ]
        );
        let cut = &unit_of(6, &good)[..20];
        assert_eq!(Files::decode(cut, Endianness::Little).1[0].offset, 16);
    }

    #[test]
    fn a_bomb_is_not_decompressed() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'a'; 1 << 16]).unwrap();
        let zlib = encoder.finish().unwrap();
        let names = [&[1, 100, u8::try_from(zlib.len()).unwrap()][..], &zlib].concat();
        let (_, faults) = Files::decode(&unit_of(6, &names), Endianness::Little);
        assert_eq!(faults[0].detail, "decompressed to 101 bytes or more, not to 100");
    }
}
