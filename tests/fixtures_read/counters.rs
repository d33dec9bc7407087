//! Names, hashes and counters of an image's functions, read for these fixtures alone: little-endian, raw
//! version 10. Source: LLVM 19 `InstrProfData.inc`, `CoverageMapping.h`.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};
use object::{Object, ObjectSection};

/// The counters of one function.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) name: String,
    pub(crate) func_hash: u64,
    pub(crate) counts: Vec<u64>,
}

/// All functions that have counters.
#[derive(Debug)]
pub(crate) struct Counters(pub(crate) Vec<Counted>);

/// Where the fields of a data record are.
struct Layout {
    stride: usize,
    num_counters: usize,
}

const BITS64: Layout = Layout { stride: 64, num_counters: 48 };
const BITS32: Layout = Layout { stride: 48, num_counters: 32 };

impl Counters {
    /// Reads `image`, with `counters` as the bytes of its section `__llvm_prf_cnts`.
    pub(crate) fn read(image: &[u8], counters: &[u8]) -> Result<Self> {
        let file = object::File::parse(image)?;
        let layout = if file.is_64() { BITS64 } else { BITS32 };
        let data = file.section_by_name("__llvm_prf_data").context("no data")?;
        let cnts = file.section_by_name("__llvm_prf_cnts").context("no counters")?;
        ensure!(cnts.size() == counters.len() as u64, "{} bytes of counters", counters.len());
        let names = names(file.section_by_name("__llvm_prf_names").context("no names")?.data()?)?;
        let records = data.data()?;
        ensure!(!records.is_empty() && records.len() % layout.stride == 0, "{} bytes of data", records.len());
        let mask = if file.is_64() { u64::MAX } else { u64::from(u32::MAX) };
        let mut functions = Vec::new();
        for (index, record) in records.chunks(layout.stride).enumerate() {
            let at = data.address() + (index * layout.stride) as u64;
            // The pointer is relative to its record, and as wide as the target's.
            let pointer = u64_at(record, 16) & mask;
            let start =
                (at.wrapping_add(pointer) & mask).checked_sub(cnts.address()).context("a stray pointer")?;
            let count = u32_at(record, layout.num_counters) as usize;
            let bytes =
                counters.get(start as usize..start as usize + 8 * count).context("counters outside")?;
            functions.push(Counted {
                name: names.get(&u64_at(record, 0)).context("a function without a name")?.clone(),
                func_hash: u64_at(record, 8),
                counts: bytes.chunks(8).map(|word| u64_at(word, 0)).collect(),
            });
        }
        Ok(Self(functions))
    }
}

/// Names by the low half of their MD5.
fn names(mut section: &[u8]) -> Result<HashMap<u64, String>> {
    let mut names = HashMap::new();
    while !section.is_empty() {
        let chunk = maybe_compressed(&mut section)?;
        for name in String::from_utf8(chunk)?.split('\u{1}') {
            names.insert(u64_at(&Md5::digest(name), 0), name.to_owned());
        }
        // Sections of several objects are padded.
        while let [0, rest @ ..] = section {
            section = rest;
        }
    }
    Ok(names)
}

/// The names of source files that the coverage mapping of `image` has, with the compilation's folder.
pub(crate) fn source_files(image: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(image)?;
    let mut section = file.section_by_name("__llvm_covmap").context("no mapping")?.data()?;
    let mut files = Vec::new();
    while !section.is_empty() {
        // { 0, length of the names, 0, version }, the names, padding to 8.
        let len_bytes = u32_at(section, 4) as usize;
        let mut encoded = section.get(16..16 + len_bytes).context("a mapping cut short")?;
        let count = uleb(&mut encoded)?;
        let names = maybe_compressed(&mut encoded)?;
        let mut names = names.as_slice();
        for _ in 0..count {
            let len_bytes = uleb(&mut names)?;
            let (name, rest) = names.split_at_checked(len_bytes).context("a name cut short")?;
            files.push(String::from_utf8(name.to_vec())?);
            names = rest;
        }
        let next = (16 + len_bytes).next_multiple_of(8).min(section.len());
        section = &section[next..];
    }
    Ok(files)
}

/// { length, compressed length or 0, bytes }
fn maybe_compressed(from: &mut &[u8]) -> Result<Vec<u8>> {
    let len_bytes = uleb(from)?;
    let compressed_bytes = uleb(from)?;
    let stored = if compressed_bytes == 0 { len_bytes } else { compressed_bytes };
    let (bytes, rest) = from.split_at_checked(stored).context("names cut short")?;
    *from = rest;
    if compressed_bytes == 0 {
        return Ok(bytes.to_vec());
    }
    let mut names = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut names)?;
    ensure!(names.len() == len_bytes, "{} bytes of names", names.len());
    Ok(names)
}

fn uleb(from: &mut &[u8]) -> Result<usize> {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = from.split_first().context("a number cut short")?;
        *from = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
