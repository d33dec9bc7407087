//! `.profdata`: LLVM's indexed profile, as `llvm-profdata merge` writes it.
//!
//! What enters is a file's bytes; what leaves is a [`StoredProfile`].
//!
//! ```text
//! | magic | version word | header fields | summary | [CS summary] | buckets | pad | table | other sections |
//!
//! magic:   ff 6c 70 72 6f 66 69 81 ("lprofi")
//! summary: | u64 fields | u64 cutoffs | fields times u64 | cutoffs times 3 u64 |
//! bucket:  | u16 items | items times: | u64 hash | u64 key_len | u64 data_len | key | data | |
//! data:    of every function with that name:
//!          | u64 func_hash | u64 num_counters | counters | u64 num_bitmap_bytes | bytes | values |
//!                                                           v11 on, each byte a u64
//! values:  | u32 total size | u32 kinds | kinds times: | u32 kind | u32 sites | sites times u8 n | pad | values | |
//! table:   | u64 num_buckets | u64 num_entries | num_buckets times u64 offset of a bucket, or 0 |
//! ```
//!
//! Every number is little-endian, whatever the target; the key is the function's name, its hash the low 64 bits of
//! its MD5. The second summary is there for context-sensitive profiles. What each version has is in [`FIELDS`] and
//! [`BITMAP_SINCE`]:
//!
//! | version | LLVM | new |
//! |---|---|---|
//! | 5, 6, 7 | up to 10, 11, 12 to 14 | other function hashes |
//! | 8 | 15 | memory profiles |
//! | 9 | 16 | binary ids |
//! | 10 | 17 | temporal traces |
//! | 11 | 18 | bitmaps |
//! | 12 | 19, 20 | vtable names |
//! | 13 | 21, 22 | other function hashes |
//!
//! The sections behind the table (memory profiles, binary ids, traces, vtable names) say nothing of counts and are
//! not read. Values are skipped and counted. The bits of memory profiles and traces stand for their sections alone,
//! and go with them.
//!
//! What always holds: buckets are read one behind the other, and none of the table's offsets is followed; they are
//! only held against where the buckets are. So nothing can lead in a circle, and the counts are never more than the
//! file has room for.
//!
//! Source: `IndexedInstrProfReader` and `InstrProfLookupTrait::ReadData` in
//! `llvm/lib/ProfileData/InstrProfReader.cpp`, `ProfVersion` in `InstrProf.h`, `ValueProfRecord` in
//! `InstrProfData.inc`, `OnDiskHashTable.h`; llvmorg-14.0.6 and llvmorg-19.1.7.

use covtap_link::Endianness;

use super::cursor::{Cursor, Fault};
use super::stored::StoredProfile;
use crate::image::uint;
use crate::locate::llvm::{NameRef, Variant, version_number};

const MAGIC: &[u8] = b"\xfflprofi\x81";

/// The versions that are read; those before have no summary, the one after has more in its records.
const VERSIONS: std::ops::RangeInclusive<u64> = 4..=13;

/// A header field after magic and version word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Unused,
    HashType,
    HashOffset,
    MemProfOffset,
    BinaryIdOffset,
    TemporalProfTracesOffset,
    VTableNamesOffset,
}

/// The fields, each a u64, and the version that brought them.
const FIELDS: [(Field, u64); 7] = [
    (Field::Unused, 1),
    (Field::HashType, 1),
    (Field::HashOffset, 1),
    (Field::MemProfOffset, 8),
    (Field::BinaryIdOffset, 9),
    (Field::TemporalProfTracesOffset, 10),
    (Field::VTableNamesOffset, 12),
];

/// The version from which on records have bitmaps.
const BITMAP_SINCE: u64 = 11;

/// The one type of hash that there is (`HashT::MD5`).
const HASH_TYPE_MD5: u64 = 0;

/// Whether an indexed profile begins here.
pub(super) fn is_indexed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a profile.
pub(super) fn read(bytes: &[u8]) -> Result<StoredProfile, Fault> {
    let mut cursor = Cursor::new(bytes);
    let header = Header::read(&mut cursor)?;
    summary(&mut cursor)?;
    if header.variant.contains(Variant::CONTEXT_SENSITIVE_IR) {
        summary(&mut cursor)?;
    }
    let start = cursor.offset() as u64;
    let len = header.hash_offset.checked_sub(start);
    let len = len.ok_or_else(|| {
        cursor.fault(format!("the hash table, at {:#x}, begins before its entries", header.hash_offset))
    })?;
    let mut buckets = cursor.part(len, "hash table entries")?;
    let num_buckets = u64(&mut cursor, "number of buckets")?;
    let num_entries = u64(&mut cursor, "number of entries")?;
    let mut profile = StoredProfile::new(header.variant);
    let starts = entries(&mut buckets, num_entries, header.version, &mut profile)?;
    check_table(&mut cursor, num_buckets, &starts)?;
    Ok(profile)
}

struct Header {
    version: u64,
    variant: Variant,
    hash_offset: u64,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.take(MAGIC.len(), "magic")?;
        let at = cursor.clone();
        let word = u64(cursor, "version")?;
        let (version, variant) = (version_number(word), Variant::of_word(word));
        if !VERSIONS.contains(&version) {
            return Err(at.fault(format!("indexed profile version {version} is not known")));
        }
        let mut hash_offset = 0;
        for (field, _) in FIELDS.iter().filter(|(_, since)| *since <= version) {
            let at = cursor.clone();
            let value = u64(cursor, "header")?;
            match field {
                Field::HashType if value != HASH_TYPE_MD5 => {
                    return Err(at.fault(format!("hash type {value} is not known")));
                }
                Field::HashOffset => hash_offset = value,
                _ => {}
            }
        }
        Ok(Self { version, variant, hash_offset })
    }
}

/// Passes a summary.
fn summary(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let fields = u64(cursor, "summary")?;
    let cutoffs = u64(cursor, "summary")?;
    cursor.array(fields, 8, "summary fields")?;
    cursor.array(cutoffs, 24, "summary cutoffs")?;
    Ok(())
}

/// Reads all buckets and gives where they begin, in ascending order.
fn entries(
    cursor: &mut Cursor<'_>,
    num_entries: u64,
    version: u64,
    profile: &mut StoredProfile,
) -> Result<Vec<u64>, Fault> {
    let (mut starts, mut left) = (Vec::new(), num_entries);
    while left > 0 {
        let at = cursor.clone();
        let items = uint(cursor.take(2, "hash table bucket")?, Endianness::Little);
        left = left.checked_sub(items).filter(|_| items > 0).ok_or_else(|| {
            at.fault(format!("a bucket of {items} functions where {left} of {num_entries} are left"))
        })?;
        starts.push(at.offset() as u64);
        for _ in 0..items {
            entry(cursor, version, profile)?;
        }
    }
    Ok(starts)
}

/// Reads the functions of one name.
fn entry(cursor: &mut Cursor<'_>, version: u64, profile: &mut StoredProfile) -> Result<(), Fault> {
    let at = cursor.clone();
    let hash = NameRef::new(u64(cursor, "hash of a name")?);
    let key_len = u64(cursor, "length of a name")?;
    let data_len = u64(cursor, "length of a function's data")?;
    let name = cursor.array(key_len, 1, "name")?;
    let found = NameRef::of(name);
    if found != hash {
        return Err(at.fault(format!("the name of the hash {hash} has the hash {found}")));
    }
    let mut data = cursor.part(data_len, "function's data")?;
    while !data.is_at_end() {
        record(&mut data, name, version, profile)?;
    }
    Ok(())
}

fn record(
    cursor: &mut Cursor<'_>,
    name: &[u8],
    version: u64,
    profile: &mut StoredProfile,
) -> Result<(), Fault> {
    let func_hash = u64(cursor, "function hash")?;
    let at = cursor.clone();
    let num_counters = u64(cursor, "number of counters")?;
    if num_counters == 0 {
        return Err(at.fault("number of counters is zero"));
    }
    let counts = words(cursor.array(num_counters, 8, "counters")?).collect();
    let mut bitmap = Vec::new();
    if version >= BITMAP_SINCE {
        let num_bitmap_bytes = u64(cursor, "number of bitmap bytes")?;
        let at = cursor.clone();
        let bytes = words(cursor.array(num_bitmap_bytes, 8, "bitmap")?).map(u8::try_from);
        bitmap = bytes.collect::<Result<_, _>>().map_err(|_| at.fault("bitmap byte is more than a byte"))?;
    }
    let sites = skip_values(cursor)?;
    profile.leave_out_value_sites(sites);
    profile.add(name, func_hash, counts, bitmap);
    Ok(())
}

/// Passes a function's values, and gives its number of value sites.
fn skip_values(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    let at = cursor.clone();
    let mut size = cursor.clone();
    let total = u32(&mut size, "value data")?;
    if total < 8 || total % 8 != 0 {
        return Err(at.fault(format!("value data of {total} bytes")));
    }
    let mut values = cursor.part(total, "value data")?;
    let _total = u32(&mut values, "value data")?;
    let mut all = 0u64;
    for _ in 0..u32(&mut values, "number of value kinds")? {
        let _kind = u32(&mut values, "value kind")?;
        let sites = u32(&mut values, "number of value sites")?;
        let numbers = values.padded(sites, 1, "numbers of values")?;
        let num_values = numbers.iter().map(|n| u64::from(*n)).sum();
        values.array(num_values, 16, "values")?;
        all = all.saturating_add(sites);
    }
    Ok(all)
}

/// Checks that the table leads to the buckets that there are, each once.
fn check_table(cursor: &mut Cursor<'_>, num_buckets: u64, starts: &[u64]) -> Result<(), Fault> {
    let at = cursor.clone();
    let mut found: Vec<u64> =
        words(cursor.array(num_buckets, 8, "hash table")?).filter(|offset| *offset != 0).collect();
    found.sort_unstable();
    if found == starts {
        return Ok(());
    }
    Err(at.fault("the hash table leads elsewhere than to its entries"))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| uint(word, Endianness::Little))
}

fn u64(cursor: &mut Cursor<'_>, what: &str) -> Result<u64, Fault> {
    cursor.u64(Endianness::Little, what)
}

fn u32(cursor: &mut Cursor<'_>, what: &str) -> Result<u64, Fault> {
    Ok(uint(cursor.take(4, what)?, Endianness::Little))
}
