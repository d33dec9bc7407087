use covtap_link::{Endianness, PointerWidth};

use super::records::{Reading, Surroundings, decode};
use super::version::{VersionFault, infer};
use super::*;
use crate::image::uint;

const NAMES: [&[u8]; 3] = [b"main", b"idle", b"drivers/uart.c;rx"];

/// Sections of three functions with 3, 1 and 2 counters, as a compiler of one version makes them.
struct Made {
    version: RawVersion,
    width: PointerWidth,
    endianness: Endianness,
    counter_bytes: usize,
    bitmap_len: usize,
    data: Vec<u8>,
    names: Names,
}

const DATA: u64 = 0xffff_f000;
const COUNTERS: u64 = 0x2000_0000;
const BITMAP: u64 = 0x1000;

impl Made {
    fn new(version: RawVersion, width: PointerWidth, endianness: Endianness, counter_bytes: usize) -> Self {
        let blob = [&[29, 0][..], &NAMES.join(&1u8)].concat();
        let blob = [&[u8::try_from(blob.len() - 2).unwrap()], &blob[1..]].concat();
        let bitmap_len = if version >= RawVersion::V9 { 1 } else { 0 };
        let names = Names::decode(&blob).unwrap();
        assert_eq!(names.len(), 3);
        let mut made = Self { version, width, endianness, counter_bytes, bitmap_len, data: vec![], names };
        let mut counter = 0;
        for (index, (name, count)) in NAMES.iter().zip([3usize, 1, 2]).enumerate() {
            made.record(index, name, counter, count);
            counter += count;
        }
        made
    }

    fn record(&mut self, index: usize, name: &[u8], first_counter: usize, count: usize) {
        let layout = self.version.layout();
        let fields = layout.record(self.width);
        let start = self.data.len();
        self.data.resize(start + fields.stride, 0);
        let absolute = layout.counter_ptr == CounterPtr::Absolute;
        let base = if absolute { 0 } else { DATA + start as u64 };
        let endianness = self.endianness;
        let mut put = |at: usize, len: usize, value: u64| {
            put_uint(&mut self.data[start + at..][..len], value, endianness);
        };
        put(RecordLayout::NAME_REF, 8, NameRef::of(name).get());
        put(RecordLayout::FUNC_HASH, 8, 0x18 + index as u64);
        let counters = COUNTERS + (first_counter * self.counter_bytes) as u64;
        put(RecordLayout::COUNTER_PTR, self.width.bytes(), counters.wrapping_sub(base));
        put(fields.num_counters, 4, count as u64);
        if let (2, Some(ptr), Some(len)) = (index, fields.bitmap_ptr, fields.num_bitmap_bytes) {
            put(ptr, self.width.bytes(), BITMAP.wrapping_sub(base));
            put(len, 4, 1);
        }
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            bytes: &self.data,
            data_address: DATA,
            counters_address: COUNTERS,
            counters_len: 6 * self.counter_bytes,
            bitmap_address: BITMAP,
            bitmap_len: self.bitmap_len,
            names: &self.names,
            endianness: self.endianness,
            width: self.width,
            is_correlated: false,
        }
    }
}

fn all(mut check: impl FnMut(Made)) {
    for version in RawVersion::ALL {
        for width in [PointerWidth::Bits32, PointerWidth::Bits64] {
            for endianness in [Endianness::Little, Endianness::Big] {
                for counter_bytes in [8, 1] {
                    check(Made::new(version, width, endianness, counter_bytes));
                }
            }
        }
    }
}

#[test]
fn the_version_is_found_by_what_fits() {
    all(|made| {
        let found = infer(None, &[], &made.around()).unwrap();
        // 5 and 7 differ in the profile's header alone; the newer one is taken where nothing tells.
        let expected = if made.version == RawVersion::V5 { RawVersion::V7 } else { made.version };
        assert_eq!(found.reading, Reading { version: expected, counter_bytes: made.counter_bytes });
        assert_eq!(found.variant.contains(Variant::BYTE_COVERAGE), made.counter_bytes == 1);
        let counters: Vec<_> = found.records.iter().map(|r| (r.counters_offset, r.num_counters)).collect();
        let at = |counter: usize| counter * made.counter_bytes;
        assert_eq!(counters, [(0, 3), (at(3), 1), (at(4), 2)]);
        assert_eq!(found.records[2].num_bitmap_bytes, made.bitmap_len);
        assert_eq!(found.records[1].func_hash, 0x19);
    });
}

#[test]
fn the_compiler_decides_between_versions_that_both_fit() {
    let mut made = Made::new(RawVersion::V9, PointerWidth::Bits64, Endianness::Little, 8);
    // Without bitmaps 9 and 10 are the same bytes.
    made.data[2 * 64 + 56] = 0;
    made.bitmap_len = 0;
    let version = |producers: &[&str]| infer(None, producers, &made.around()).unwrap().reading.version;
    assert_eq!(version(&["Linker: LLD 18.1.8", "clang version 18.1.8"]), RawVersion::V9);
    assert_eq!(version(&["clang version 19.1.7"]), RawVersion::V10);
    assert_eq!(version(&["clang version 14.0.6"]), RawVersion::V10);
    let made = Made::new(RawVersion::V5, PointerWidth::Bits32, Endianness::Little, 8);
    let found = infer(None, &["rustc version 1.53.0 (53cb7b09b 2021-06-17)"], &made.around()).unwrap();
    assert_eq!(found.reading.version, RawVersion::V5);
}

#[test]
fn padding_records_are_dropped_and_a_cut_one_is_not_believed() {
    let mut made = Made::new(RawVersion::V10, PointerWidth::Bits64, Endianness::Little, 8);
    made.data.splice(64..64, [0; 128]);
    for index in [3u64, 4] {
        // What moved further from its counters points further.
        let at = usize::try_from(index).unwrap() * 64 + 16;
        let pointer = uint(&made.data[at..][..8], made.endianness).wrapping_sub(128);
        put_uint(&mut made.data[at..][..8], pointer, made.endianness);
        let at = at + 8;
        let pointer = uint(&made.data[at..][..8], made.endianness).wrapping_sub(128);
        put_uint(&mut made.data[at..][..8], pointer, made.endianness);
    }
    made.data.extend([0; 24]);
    let reading = Reading { version: RawVersion::V10, counter_bytes: 8 };
    let names: Vec<NameRef> = decode(&made.around(), reading).unwrap().iter().map(|r| r.name_ref).collect();
    assert_eq!(names, NAMES.map(NameRef::of));
    made.data.truncate(4 * 64 + 60);
    let fault = decode(&made.around(), reading).unwrap_err();
    assert_eq!((fault.index, fault.detail.as_str()), (4, "60 bytes are left for a record of 64"));
}

#[test]
fn a_short_last_record_is_whole_on_32_bits() {
    // i386 aligns u64 to 4, so that the padding at the end of the last record is missing.
    for (version, short_len) in [(RawVersion::V8, 36), (RawVersion::V9, 44), (RawVersion::V11, 52)] {
        let mut made = Made::new(version, PointerWidth::Bits32, Endianness::Little, 8);
        let stride = version.layout().record(made.width).stride;
        made.data.truncate(2 * stride + short_len);
        assert_eq!(infer(None, &[], &made.around()).unwrap().records.len(), 3, "version {version}");
    }
}

#[test]
fn counters_outside_the_section_are_told_with_the_record() {
    let made = Made::new(RawVersion::V8, PointerWidth::Bits32, Endianness::Little, 8);
    let around = Surroundings { counters_len: 40, ..made.around() };
    let word = Some(RawVersion::V8.number());
    let VersionFault::Record(version, fault) = infer(word, &[], &around).unwrap_err() else { panic!() };
    assert_eq!((version, fault.index, fault.offset), (RawVersion::V8, 2, 80));
    assert_eq!(
        fault.detail,
        "its counters, 16 bytes at 0x20000020, are not in the counters section, 40 bytes at 0x20000000"
    );
}

fn hosted(elf: &[u8]) -> Located {
    locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::new(0x1000)).unwrap()
}

#[test]
fn regions_are_where_the_slide_takes_the_sections() {
    let elf = include_bytes!("../../../tests/fixtures/hosted/mcdc.elf");
    let image = Image::parse("fixture", elf.to_vec()).unwrap();
    let located = hosted(elf);
    let [counters, bitmap] = located.regions.as_slice() else { panic!("{:?}", located.regions) };
    let section = image.section("__llvm_prf_cnts").unwrap();
    assert_eq!(counters.range.start().get(), section.address().get() + 0x1000);
    assert_eq!(counters.range.len_bytes(), section.len_bytes());
    assert_eq!((counters.element_bytes, counters.merge), (8, MergeRule::Add));
    assert_eq!((bitmap.element_bytes, bitmap.merge), (1, MergeRule::BitmapOr));
    assert_eq!((counters.name.as_str(), bitmap.name.as_str()), ("__llvm_prf_cnts", "__llvm_prf_bits"));
}

#[test]
fn byte_counters_are_regions_of_bytes() {
    let located = hosted(include_bytes!("../../../tests/fixtures/hosted/bytes.elf"));
    assert_eq!((located.regions[0].element_bytes, located.regions[0].merge), (1, MergeRule::ClearedWhenHit));
    assert_eq!(located.cautions, []);
}

#[test]
fn a_slide_past_the_end_of_memory_is_refused() {
    let elf = include_bytes!("../../../tests/fixtures/hosted/clang-19.elf");
    let image = Image::parse("fixture", elf.to_vec()).unwrap();
    let counters = image.section("__llvm_prf_cnts").unwrap().address();
    let slide = Slide::new(u64::MAX - counters.get() - 8);
    let error = locate(&image, slide).unwrap_err().to_string();
    assert!(error.ends_with("bytes at 0xfffffffffffffff7, is no range of memory"), "{error}");
}
