//! The committed fixtures hold what their runtime wrote; the tests under `tests/profraw` have it write anew.

use super::*;
use crate::image::Image;
use crate::locate::llvm::{Located, locate};

const CLANG_14: (&[u8], &[u8]) = (
    include_bytes!("../../../tests/fixtures/hosted/clang-14.elf"),
    include_bytes!("../../../tests/fixtures/hosted/clang-14.profraw"),
);
const CLANG_19: (&[u8], &[u8]) = (
    include_bytes!("../../../tests/fixtures/hosted/clang-19.elf"),
    include_bytes!("../../../tests/fixtures/hosted/clang-19.profraw"),
);
const MCDC: (&[u8], &[u8]) = (
    include_bytes!("../../../tests/fixtures/hosted/mcdc.elf"),
    include_bytes!("../../../tests/fixtures/hosted/mcdc.profraw"),
);
const BYTES: (&[u8], &[u8]) = (
    include_bytes!("../../../tests/fixtures/hosted/bytes.elf"),
    include_bytes!("../../../tests/fixtures/hosted/bytes.profraw"),
);
const RUSTC: (&[u8], &[u8]) = (
    include_bytes!("../../../tests/fixtures/hosted/rustc.elf"),
    include_bytes!("../../../tests/fixtures/hosted/rustc.profraw"),
);

fn located(elf: &[u8]) -> Located {
    locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::ZERO).unwrap()
}

/// The regions' bytes out of a profile that the runtime wrote, by the header's own words.
fn regions(located: &Located, profile: &[u8]) -> Vec<Vec<u8>> {
    let word =
        |n: usize| usize::try_from(u64::from_le_bytes(profile[n * 8..][..8].try_into().unwrap())).unwrap();
    let (header_len, has_bitmap) = if word(1) & 0xff == 8 { (88, false) } else { (128, true) };
    let stride = if has_bitmap { 64 } else { 48 };
    let (binary_ids, data, counters) = (word(2), word(3) * stride, word(5) * located.image.counter_bytes());
    let start = header_len + binary_ids + data;
    let mut regions = vec![profile[start..][..counters].to_vec()];
    if has_bitmap && word(7) > 0 {
        regions.push(profile[start + counters + word(6)..][..word(7)].to_vec());
    }
    regions
}

#[test]
fn what_the_runtime_wrote_is_written_again() {
    for (elf, profile) in [CLANG_14, CLANG_19, MCDC, BYTES, RUSTC] {
        let located = located(elf);
        let regions = regions(&located, profile);
        let style = Style::RuntimeIdentical { slide: Slide::ZERO };
        assert_eq!(encode(&located.image, &regions, style).unwrap(), profile);
    }
}

#[test]
fn every_version_has_the_length_that_its_parts_add_up_to() {
    let located = located(CLANG_19.0);
    let image = &located.image;
    let regions = regions(&located, CLANG_19.1);
    let rest = 8 + 20 + 4 + regions[0].len() + image.names_section().len().next_multiple_of(8);
    for (version, header, stride) in [
        (RawVersion::V5, 80 - 32, 48),
        (RawVersion::V7, 88, 48),
        (RawVersion::V8, 88, 48),
        (RawVersion::V9, 112, 64),
        (RawVersion::V10, 128, 64),
        (RawVersion::V11, 152, 72),
    ] {
        let bytes = encode_as(image, &regions, version).unwrap();
        assert_eq!(bytes.len(), header + rest + 3 * stride, "version {version}");
        assert_eq!(bytes[8..16], version.number().to_le_bytes());
    }
}

#[test]
fn a_normalised_profile_does_not_depend_on_the_slide() {
    let image = Image::parse("fixture", CLANG_19.0.to_vec()).unwrap();
    let [here, there] = [Slide::ZERO, Slide::new(0x1234_5000)].map(|slide| locate(&image, slide).unwrap());
    assert_ne!(here.regions, there.regions);
    let regions = regions(&here, CLANG_19.1);
    let normalised = |located: &Located| encode(&located.image, &regions, Style::Normalised).unwrap();
    assert_eq!(normalised(&here), normalised(&there));
}

#[test]
fn what_a_version_cannot_hold_is_refused() {
    let refused = |(elf, profile): (&[u8], &[u8]), version| {
        let located = located(elf);
        encode_as(&located.image, &regions(&located, profile), version).unwrap_err().to_string()
    };
    let message = |version, what| {
        format!("write the profile of fixture as raw version {version}: the version has no {what}")
    };
    assert_eq!(refused(MCDC, RawVersion::V8), message(8, "MC/DC bitmaps"));
    assert_eq!(refused(BYTES, RawVersion::V7), message(7, "byte counters"));
}

#[test]
fn a_snapshot_of_another_length_is_refused() {
    let located = located(MCDC.0);
    let mut regions = regions(&located, MCDC.1);
    regions[1].push(0);
    let error = encode(&located.image, &regions, Style::Normalised).unwrap_err();
    assert_eq!(error.to_string(), "read the bitmap of fixture: the snapshot has 2 bytes, the image 1");
    let error = encode(&located.image, &regions[..1], Style::Normalised).unwrap_err();
    assert_eq!(error.to_string(), "read the bitmap of fixture: the snapshot has 0 bytes, the image 1");
}
