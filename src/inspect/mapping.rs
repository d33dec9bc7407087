//! As much of the coverage mapping as tells what it is: its version, and which functions are in it.
//!
//! ```text
//! __llvm_covmap: | 0 u32 | FilenamesSize u32 | 0 u32 | Version u32 | filenames |, each aligned to 8
//! __llvm_covfun: | NameRef u64 | DataSize u32 | FuncHash u64 | FilenamesRef u64 | data |, each aligned to 8
//! ```
//!
//! Numbers are in the target's byte order. This is the layout since LLVM 11 (`CovMapVersion::Version4`, word 3); of
//! an older one only the version is told.
//! Source: `CoverageMappingReader.cpp` and `InstrProfData.inc` (`COVMAP_HEADER`, `COVMAP_FUNC_RECORD`),
//! llvmorg-19.1.7.

use std::collections::{BTreeSet, HashSet};

use covtap_link::Endianness;
use serde::Serialize;

use crate::image::{Image, uint};
use crate::locate::llvm::{LlvmImage, NameRef};

/// The section with a header for each unit.
const HEADERS: &str = "__llvm_covmap";

/// The section with a record for each function.
const FUNCTIONS: &str = "__llvm_covfun";

/// The first version word with this layout.
const FIRST_VERSION: u32 = 3;

const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 28;

/// The coverage mapping: what leads from counters to source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mapping {
    /// The version words of its headers, each once: 3 (LLVM 11), 4 (12), 5 (13 to 17), 6 (18 to 23). LLVM's
    /// name for a version is one more.
    pub version_words: Vec<u32>,
    /// The functions in it, each once.
    pub functions: usize,
    /// Those without counters, which the linker dropped or the compiler never emitted: LLVM reports them as
    /// not covered. `None` where the counters were not understood.
    pub functions_without_counters: Option<usize>,
}

impl Mapping {
    /// Finds the mapping of an image. Damage ends the look at a section, and sections that are longer together
    /// than the file, because they overlap, end it as well.
    pub(super) fn find(image: &Image, llvm: Option<&LlvmImage>) -> Option<Self> {
        let mut found = false;
        let mut bytes_left = image.file_len_bytes();
        let mut words = BTreeSet::new();
        let mut names = HashSet::new();
        for section in image.sections().filter(|section| section.len_bytes() > 0) {
            let is_headers = section.name() == HEADERS;
            if !is_headers && section.name() != FUNCTIONS {
                continue;
            }
            found = true;
            // Linkers compress debug information alone.
            let bytes = if section.is_compressed() { &[] } else { section.file_bytes().unwrap_or_default() };
            let Some(left) = bytes_left.checked_sub(bytes.len() as u64) else { break };
            bytes_left = left;
            if is_headers {
                words.extend(version_words(bytes, image.endianness()));
            } else {
                names.extend(function_names(bytes, image.endianness()));
            }
        }
        found.then(|| Self {
            version_words: words.into_iter().collect(),
            functions: names.len(),
            functions_without_counters: llvm.map(|llvm| {
                let counted: HashSet<NameRef> = llvm.records().iter().map(|record| record.name_ref).collect();
                names.difference(&counted).count()
            }),
        })
    }
}

fn version_words(bytes: &[u8], endianness: Endianness) -> Vec<u32> {
    let mut words = Vec::new();
    let mut at = 0;
    while let (Some(size), Some(word)) = (u32_at(bytes, at, 4, endianness), u32_at(bytes, at, 12, endianness))
    {
        words.push(word);
        let next = if word < FIRST_VERSION { None } else { record_end(at, HEADER_BYTES, size) };
        let Some(next) = next else { break };
        at = next;
    }
    words.dedup();
    words
}

fn function_names(bytes: &[u8], endianness: Endianness) -> Vec<NameRef> {
    let mut names = Vec::new();
    let mut at = 0;
    while let (Some(name), Some(size)) =
        (field(bytes, at, 0, 8, endianness), u32_at(bytes, at, 8, endianness))
    {
        names.push(NameRef::new(name));
        let Some(next) = record_end(at, RECORD_BYTES, size) else { break };
        at = next;
    }
    names
}

/// Where the record after the one at `at` begins.
fn record_end(at: usize, fixed: usize, size: u32) -> Option<usize> {
    let end = at.checked_add(fixed)?.checked_add(usize::try_from(size).ok()?)?;
    end.checked_next_multiple_of(8)
}

fn u32_at(bytes: &[u8], record: usize, offset: usize, endianness: Endianness) -> Option<u32> {
    u32::try_from(field(bytes, record, offset, 4, endianness)?).ok()
}

fn field(bytes: &[u8], record: usize, offset: usize, len: usize, endianness: Endianness) -> Option<u64> {
    let start = record.checked_add(offset)?;
    Some(uint(bytes.get(start..start.checked_add(len)?)?, endianness))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_and_records_follow_each_other_at_multiples_of_8() {
        for endianness in [Endianness::Little, Endianness::Big] {
            let word = |value: u32| match endianness {
                Endianness::Little => value.to_le_bytes(),
                Endianness::Big => value.to_be_bytes(),
            };
            let header = |size: u32, version: u32| [word(0), word(size), word(0), word(version)].concat();
            let units = [header(3, 5), vec![0; 8], header(0, 6)].concat();
            assert_eq!(version_words(&units, endianness), [5, 6]);
            let (low, high) = if endianness == Endianness::Little { (7, 0) } else { (0, 7) };
            let name = [word(low), word(high)].concat();
            let record = [name.clone(), word(5).to_vec(), vec![0; 16 + 5 + 7]].concat();
            assert_eq!(record.len(), 40);
            assert_eq!(
                function_names(&[record, name, vec![0; 20]].concat(), endianness),
                [NameRef::new(7); 2]
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(version_words(&bytes, Endianness::Big).len() <= 16);
            prop_assert!(function_names(&bytes, Endianness::Little).len() <= 10);
        }
    }
}
