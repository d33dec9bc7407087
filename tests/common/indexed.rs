//! Indexed profiles made by hand, of every version, for tools to read and for tests to damage.

use md5::{Digest, Md5};

/// The functions of one name: hash, counts and bitmap of each.
pub(crate) type Functions<'a> = (&'a str, &'a [(u64, &'a [u64], &'a [u8])]);

/// An indexed profile, and where its parts are.
pub(crate) struct Indexed {
    pub(crate) bytes: Vec<u8>,
    /// Of the number of buckets, which the buckets' offsets follow.
    pub(crate) table: usize,
    /// Of the first bucket.
    pub(crate) entries: usize,
}

/// As `llvm-profdata merge` lays it out, but with one bucket for each name.
pub(crate) fn indexed(version: u64, variant: u64, functions: &[Functions<'_>]) -> Indexed {
    let mut bytes = b"\xfflprofi\x81".to_vec();
    put(&mut bytes, version | variant);
    let num_fields = [8, 9, 10, 12].iter().filter(|since| version >= **since).count() + 3;
    bytes.resize(16 + 8 * num_fields, 0);
    let is_context_sensitive = variant & (1 << 57) != 0;
    for _ in 0..=usize::from(is_context_sensitive) {
        put(&mut bytes, 6);
        put(&mut bytes, 1);
        bytes.resize(bytes.len() + 8 * (6 + 3), 0);
    }
    let entries = bytes.len();
    let mut buckets = vec![0; functions.len().next_power_of_two()];
    for ((name, records), bucket) in functions.iter().zip(&mut buckets) {
        *bucket = bytes.len() as u64;
        bytes.extend(1u16.to_le_bytes());
        let data = data(version, records);
        let digest = Md5::digest(name);
        bytes.extend(&digest[..8]);
        put(&mut bytes, name.len() as u64);
        put(&mut bytes, data.len() as u64);
        bytes.extend(name.as_bytes());
        bytes.extend(data);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let table = bytes.len();
    bytes[32..40].copy_from_slice(&(table as u64).to_le_bytes());
    put(&mut bytes, buckets.len() as u64);
    put(&mut bytes, functions.len() as u64);
    buckets.iter().for_each(|bucket| put(&mut bytes, *bucket));
    // No binary ids, no traces, no vtable names: the offsets lead to a length of 0.
    let empty = bytes.len() as u64;
    for field in 6..3 + num_fields - 1 {
        bytes[8 * field..][..8].copy_from_slice(&empty.to_le_bytes());
    }
    put(&mut bytes, 0);
    Indexed { bytes, table, entries }
}

fn data(version: u64, records: &[(u64, &[u64], &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (hash, counts, bitmap) in records {
        put(&mut data, *hash);
        put(&mut data, counts.len() as u64);
        counts.iter().for_each(|count| put(&mut data, *count));
        if version >= 11 {
            put(&mut data, bitmap.len() as u64);
            bitmap.iter().for_each(|byte| put(&mut data, u64::from(*byte)));
        }
        // Value data of no kind: total size 8, no kinds.
        put(&mut data, 8);
    }
    data
}

fn put(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_le_bytes());
}
