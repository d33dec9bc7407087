//! Finds the raw version of an image's data records, which a linked image seldom names.
//!
//! Without a profiling runtime `__llvm_profile_raw_version` is normally absent: compilers emit it for IR-level
//! profiles and byte coverage only, and `--gc-sections` drops it. So every version is tried; one fits if
//! every record names a known function, all counters lie in the counters section and do not overlap, and the
//! bitmaps add up to the bitmap section. Versions that differ in the profile's header alone (5 and 7; 9 and
//! 10 without bitmaps) all fit; then the compiler's version in `.comment` decides.

use super::LocateError;
use super::layout::{RawVersion, Variant, version_number};
use super::records::{self, DataRecord, Reading, RecordFault, Surroundings};
use crate::image::{Image, uint};

/// The variable with the version word, where the compiler or a runtime left one.
pub(crate) const VERSION_SYMBOL: &str = "__llvm_profile_raw_version";

/// What was found.
#[derive(Debug)]
pub(super) struct Inferred {
    pub(super) reading: Reading,
    pub(super) variant: Variant,
    pub(super) records: Vec<DataRecord>,
}

/// Why no version fits: how the likeliest reading failed.
#[derive(Debug)]
pub(super) enum VersionFault {
    Unknown(u64),
    Record(RawVersion, RecordFault),
}

/// The version word that the image itself states.
pub(super) fn stated(image: &Image) -> Option<u64> {
    let symbol = image.symbol(VERSION_SYMBOL)?;
    Some(uint(image.bytes_at(symbol.address, 8)?, image.endianness()))
}

/// Finds the version that the records fit.
pub(super) fn infer(
    stated: Option<u64>,
    producers: &[&str],
    around: &Surroundings<'_>,
) -> Result<Inferred, VersionFault> {
    let readings = readings(stated, producers)?;
    let mut likeliest: Option<(RawVersion, RecordFault)> = None;
    for reading in readings {
        match fits(around, reading) {
            Ok(records) => {
                return Ok(Inferred { reading, variant: variant(stated, reading.counter_bytes), records });
            }
            // The reading that got furthest is the likeliest; of equals the first.
            Err(fault) => {
                if likeliest.as_ref().is_none_or(|(_, best)| best.index < fault.index) {
                    likeliest = Some((reading.version, fault));
                }
            }
        }
    }
    match likeliest {
        Some((version, fault)) => Err(VersionFault::Record(version, fault)),
        None => Err(VersionFault::Unknown(stated.map_or(0, version_number))),
    }
}

/// The ways to read the records, the likeliest first: as stated, or the compilers' versions, then the newest.
/// Counters are wide before they are bytes, because bytes fit into any section that wide ones fit into.
fn readings(stated: Option<u64>, producers: &[&str]) -> Result<Vec<Reading>, VersionFault> {
    if let Some(word) = stated {
        let version = of_word(word)?;
        let is_bytes = Variant::of_word(word).contains(Variant::BYTE_COVERAGE);
        return Ok(vec![Reading { version, counter_bytes: if is_bytes { 1 } else { 8 } }]);
    }
    let mut versions: Vec<RawVersion> = producers.iter().filter_map(|text| of_producer(text)).collect();
    versions.sort_unstable();
    versions.reverse();
    versions.extend(RawVersion::ALL.into_iter().rev());
    let with =
        |counter_bytes| versions.clone().into_iter().map(move |version| Reading { version, counter_bytes });
    Ok(with(8).chain(with(1)).collect())
}

fn fits(around: &Surroundings<'_>, reading: Reading) -> Result<Vec<DataRecord>, RecordFault> {
    let records = records::decode(around, reading)?;
    let bitmap_bytes = records.iter().fold(0usize, |sum, r| sum.saturating_add(r.num_bitmap_bytes));
    // A linker may have padded the section, never cut it.
    if bitmap_bytes == 0 && around.bitmap_len > 0 {
        let detail = format!("no record has a bitmap, the bitmap section has {} bytes", around.bitmap_len);
        return Err(RecordFault { index: records.len(), offset: 0, detail });
    }
    Ok(records)
}

/// The version of a version word.
pub(super) fn of_word(word: u64) -> Result<RawVersion, VersionFault> {
    let number = version_number(word);
    RawVersion::from_number(number).ok_or(VersionFault::Unknown(number))
}

/// The version word's other bits, as far as they are known.
pub(super) fn variant(stated: Option<u64>, counter_bytes: usize) -> Variant {
    match stated {
        Some(word) => Variant::of_word(word),
        None if counter_bytes == 1 => Variant::BYTE_COVERAGE,
        None => Variant::default(),
    }
}

/// The first release of a compiler that has a raw version; later ones keep it until the next entry.
type Releases = &'static [(u32, RawVersion)];

/// By LLVM's major version.
const CLANG: Releases = &[
    (11, RawVersion::V5),
    (13, RawVersion::V7),
    (14, RawVersion::V8),
    (18, RawVersion::V9),
    (19, RawVersion::V10),
    (23, RawVersion::V11),
];

/// By the number after `1.`; rustc's releases took up LLVM 11, 13, 14, 18, 19 and 23 with these.
const RUSTC: Releases = &[
    (47, RawVersion::V5),
    (56, RawVersion::V7),
    (60, RawVersion::V8),
    (78, RawVersion::V9),
    (82, RawVersion::V10),
    (99, RawVersion::V11),
];

/// The raw version of a compiler by its entry in `.comment`.
pub(super) fn of_producer(text: &str) -> Option<RawVersion> {
    let (releases, number) = match text.split_once("rustc version 1.") {
        Some((_, number)) => (RUSTC, number),
        None => (CLANG, text.split_once("clang version ")?.1),
    };
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let number: u32 = digits.parse().ok()?;
    releases.iter().rev().find(|(first, _)| *first <= number).map(|(_, version)| *version)
}

/// The newest version of several compilers.
pub(super) fn of_producers(producers: &[&str]) -> Option<RawVersion> {
    producers.iter().filter_map(|text| of_producer(text)).max()
}

/// Maps a fault to the crate's error.
pub(super) fn error(fault: VersionFault, image: &Image, section: &str) -> LocateError {
    let image = image.name().to_owned();
    match fault {
        VersionFault::Unknown(version) => LocateError::UnknownVersion { image, version },
        VersionFault::Record(version, RecordFault { index, offset, detail }) => LocateError::Record {
            image,
            section: section.to_owned(),
            version: version.number(),
            index,
            offset,
            detail,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_name_their_versions() {
        let cases = [
            ("Debian clang version 14.0.6", Some(RawVersion::V8)),
            ("clang version 19.1.7 (https://example.org)", Some(RawVersion::V10)),
            ("Ubuntu clang version 18.1.3 (1ubuntu1)", Some(RawVersion::V9)),
            ("rustc version 1.95.0 (59807616e 2026-04-14)", Some(RawVersion::V10)),
            ("rustc version 1.59.0 (9d1b2106e 2022-02-23)", Some(RawVersion::V7)),
            ("clang version 9.0.1", None),
            ("GCC: (Debian 12.2.0-14) 12.2.0", None),
            ("Linker: LLD 19.1.7", None),
        ];
        for (text, version) in cases {
            assert_eq!(of_producer(text), version, "{text}");
        }
    }

    #[test]
    fn a_stated_version_is_the_only_one_tried() {
        let word = 8 | Variant::BYTE_COVERAGE.bits();
        let readings = readings(Some(word), &["clang version 19.1.7"]).unwrap();
        assert_eq!(readings, [Reading { version: RawVersion::V8, counter_bytes: 1 }]);
        assert!(matches!(super::readings(Some(42), &[]), Err(VersionFault::Unknown(42))));
    }
}
