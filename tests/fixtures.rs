//! The committed fixtures are what their READMEs say. What other tests build on them is then covtap's own.
//!
//! Nothing of covtap takes part: LLVM's own tools say what the counters mean.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "fixtures_read/counters.rs"]
mod counters;
#[path = "fixtures_read/oracle.rs"]
mod oracle;

use anyhow::{Context, Result};
use covtap_testbed::fixture;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

use crate::counters::Counters;

const GUESTS: [&str; 3] = ["x86-pvh", "arm-cortexm", "c-an385"];

/// Those of them whose `spin.elf` measurements are made with.
const SPINNING: [&str; 2] = ["x86-pvh", "c-an385"];

/// An image is small enough to be committed.
const MAX_IMAGE_BYTES: usize = 32 * 1024;

/// Where somebody's own files are; in two pieces so that this file names no such place.
const HOMES: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/usr/", "src/")];

fn read(guest: &str, file: &str) -> Result<Vec<u8>> {
    let path = fixture(guest).join(file);
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// Every image there is, by its path below tests/fixtures.
fn images() -> Vec<String> {
    let plain = GUESTS.iter().map(|guest| format!("{guest}/plain.elf"));
    plain.chain(["arm-cortexm/debug.elf".to_owned()]).chain(covered_images()).collect()
}

/// The images with counters.
fn covered_images() -> Vec<String> {
    let covered = GUESTS.iter().map(|guest| format!("{guest}/covered.elf"));
    covered.chain(SPINNING.iter().map(|guest| format!("{guest}/spin.elf"))).collect()
}

fn image(path: &str) -> Result<Vec<u8>> {
    read("", path)
}

/// What the guest counted itself: `tally parse 7500`.
fn tallies(guest: &str) -> Result<Vec<(String, u64)>> {
    let text = String::from_utf8(read(guest, "tally.txt")?)?;
    text.lines()
        .filter_map(|line| line.strip_prefix("tally "))
        .map(|line| {
            let (name, calls) = line.split_once(' ').context("a tally without a number")?;
            Ok((name.to_owned(), calls.parse()?))
        })
        .collect()
}

/// Whether `symbol` is the function that the guest calls `name`: `parse` itself, `command.c:parse`, or a Rust
/// path (v0 mangling) that ends with `5parse`.
fn is_named(symbol: &str, name: &str) -> bool {
    symbol == name
        || symbol.ends_with(&format!(":{name}"))
        || symbol.starts_with("_R") && symbol.ends_with(&format!("{}{name}", name.len()))
}

fn calls_of(functions: &[oracle::Function], name: &str) -> Vec<u64> {
    functions
        .iter()
        .filter(|function| is_named(&function.name, name))
        .map(|function| function.count)
        .collect()
}

#[test]
fn llvm_counts_the_calls_that_the_guest_counted() -> Result<()> {
    for guest in GUESTS {
        let functions = oracle::functions(&fixture(guest).join("covered.elf"), &counters(guest)?)?;
        let tallies = tallies(guest)?;
        assert_eq!(tallies.len(), 6, "{guest}");
        for (name, calls) in tallies {
            assert!(calls > 0, "{guest} never calls {name}");
            assert_eq!(calls_of(&functions, &name), [calls], "{guest}: {name}");
        }
        assert_eq!(calls_of(&functions, "factory_reset"), [0], "{guest}: the part that stays red");
    }
    Ok(())
}

#[test]
fn the_guests_do_the_same() -> Result<()> {
    let first = tallies("x86-pvh")?;
    for guest in GUESTS {
        assert_eq!(tallies(guest)?, first, "{guest}");
    }
    Ok(())
}

#[test]
fn each_phase_is_announced_when_it_begins() -> Result<()> {
    for guest in GUESTS {
        let text = String::from_utf8(read(guest, "tally.txt")?)?;
        let phases: Vec<_> = text.lines().filter(|line| line.starts_with("phase ")).collect();
        let expected: Vec<_> = (0..5).map(|phase| format!("phase {phase} step {}", phase * 1500)).collect();
        assert_eq!(phases, expected, "{guest}");
        assert_eq!(text.lines().last(), Some("rest"), "{guest}");
    }
    Ok(())
}

fn counters(guest: &str) -> Result<Counters> {
    Counters::read(&read(guest, "covered.elf")?, &read(guest, "counters.bin")?)
        .with_context(|| format!("counters of {guest}"))
}

#[test]
fn only_the_counters_are_loaded() -> Result<()> {
    for path in covered_images() {
        let bytes = image(&path)?;
        let file = object::File::parse(&*bytes)?;
        for (name, loaded) in [
            ("__llvm_prf_cnts", true),
            ("__llvm_prf_data", false),
            ("__llvm_prf_names", false),
            ("__llvm_covfun", false),
            ("__llvm_covmap", false),
        ] {
            let section = file.section_by_name(name).with_context(|| format!("{path} has no {name}"))?;
            assert!(section.size() > 0, "{path}: {name}");
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { panic!("{path} is no ELF") };
            assert_eq!(sh_flags.contains(elf::SHF_ALLOC), loaded, "{path}: {name}");
            let in_segment = object_segments(&file).any(|range| range.contains(&section.address()));
            assert!(!loaded || in_segment, "{path}: {name} lies outside of what is loaded");
        }
        let counters = file.section_by_name("__llvm_prf_cnts").context("counters")?;
        assert!(counters.file_range().is_none(), "{path}: counters have bytes in the file");
    }
    Ok(())
}

fn object_segments<'a>(file: &'a object::File<'a>) -> impl Iterator<Item = std::ops::Range<u64>> + 'a {
    use object::ObjectSegment;
    file.segments().map(|segment| segment.address()..segment.address() + segment.size())
}

#[test]
fn a_plain_image_has_nothing_of_llvms() -> Result<()> {
    for guest in GUESTS {
        let bytes = read(guest, "plain.elf")?;
        let file = object::File::parse(&*bytes)?;
        let names: Vec<_> = file.sections().filter_map(|section| section.name().ok()).collect();
        assert!(names.contains(&".text"), "{guest}: {names:?}");
        assert!(!names.iter().any(|name| name.starts_with("__llvm_")), "{guest}: {names:?}");
    }
    Ok(())
}

#[test]
fn every_image_carries_its_build_id_in_read_only_memory() -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for path in images() {
        let bytes = image(&path)?;
        let file = object::File::parse(&*bytes)?;
        let note = file.section_by_name(".note.gnu.build-id").with_context(|| format!("{path}: no note"))?;
        let SectionFlags::Elf { sh_flags, .. } = note.flags() else { panic!("{path} is no ELF") };
        assert!(sh_flags.contains(elf::SHF_ALLOC) && !sh_flags.contains(elf::SHF_WRITE), "{path}");
        assert!(object_segments(&file).any(|range| range.contains(&note.address())), "{path}");
        let build_id = file.build_id()?.with_context(|| format!("{path}: no build id"))?.to_vec();
        assert_eq!(build_id.len(), 20, "{path}: a SHA-1");
        assert!(seen.insert(build_id), "{path} has another image's build id");
    }
    assert_eq!(seen.len(), images().len());
    Ok(())
}

#[test]
fn every_image_has_the_word_that_counts_steps() -> Result<()> {
    for path in images() {
        let bytes = image(&path)?;
        let file = object::File::parse(&*bytes)?;
        let loops = file.symbol_by_name("LOOPS").with_context(|| format!("{path} has no LOOPS"))?;
        assert_eq!(loops.size(), if file.is_64() { 8 } else { 4 }, "{path}");
    }
    Ok(())
}

#[test]
fn images_are_small() -> Result<()> {
    for path in images() {
        let len_bytes = image(&path)?.len();
        assert!(len_bytes <= MAX_IMAGE_BYTES, "{path} has {len_bytes} bytes");
    }
    Ok(())
}

#[test]
fn no_image_names_a_path_of_one_machine() -> Result<()> {
    for path in images() {
        let bytes = image(&path)?;
        for home in HOMES {
            let found = bytes.windows(home.len()).any(|window| window == home.as_bytes());
            assert!(!found, "{path} names a path under {home}");
        }
    }
    // Names of source files are compressed, so that looking at the bytes is not enough.
    for path in covered_images() {
        let names = counters::source_files(&image(&path)?)?;
        assert!(names.iter().any(|name| name.ends_with("rs") || name.ends_with(".c")), "{path}: {names:?}");
        // The workspace has one name on all machines.
        let is_of_one_machine = |name: &&String| name.starts_with('/') && !name.starts_with("/covtap/");
        let absolute: Vec<_> = names.iter().filter(is_of_one_machine).collect();
        assert!(absolute.is_empty(), "{path} names {absolute:?}");
    }
    Ok(())
}
