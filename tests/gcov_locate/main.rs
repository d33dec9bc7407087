//! gcov's structures in images of GCC, against the files that the programs write and the notes of the compilers.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod clang;
mod freestanding;
mod hosted;
mod live;
mod memory;
mod oracle;
mod structures;

use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::image::{Image, Slide};
use covtap::locate::MergeRule;
use covtap::locate::gcov::{self, CounterKind, GcovError, Located};
use covtap_testbed as testbed;

/// A source of this test.
fn source(name: &str) -> String {
    let dir = testbed::workspace_root().join("tests/gcov_locate");
    dir.join(name).display().to_string()
}

/// Runs a tool in a directory.
fn run_in<S: AsRef<std::ffi::OsStr>>(dir: &Path, tool: &str, args: impl IntoIterator<Item = S>) {
    let path = testbed::tool(tool).unwrap();
    let output = Command::new(path).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
}

fn image(path: &Path) -> Image {
    Image::parse(&path.display().to_string(), std::fs::read(path).unwrap()).unwrap()
}

/// Locates, with the file in memory and not, and checks what always holds.
fn locate(path: &Path) -> Result<Located, GcovError> {
    let image = image(path);
    let located = gcov::locate(&image, Slide::ZERO)?;
    let in_parts = Image::read("in parts", std::fs::File::open(path).unwrap()).unwrap();
    let in_parts = gcov::locate(&in_parts, Slide::ZERO).unwrap();
    assert_eq!(in_parts.regions, located.regions);
    assert_eq!(in_parts.image.objects, located.image.objects);
    check(&located, &image);
    Ok(located)
}

/// All counters are in regions, no two of them in one place, and nothing else that the program has.
fn check(located: &Located, image: &Image) {
    let len = |index: usize| usize::try_from(located.regions[index].range.len_bytes()).unwrap();
    let mut taken: Vec<Vec<bool>> = (0..located.regions.len()).map(|index| vec![false; len(index)]).collect();
    let functions = located.image.objects.iter().flat_map(|object| object.functions.iter().flatten());
    for counters in functions.flat_map(|function| &function.counters) {
        assert_eq!(counters.place.is_some(), counters.num > 0);
        if let Some(place) = counters.place {
            assert!(
                counters.kind != CounterKind::Arcs || located.regions[place.region].merge == MergeRule::Add
            );
            let all = place.offset..place.offset + 8 * usize::try_from(counters.num).unwrap();
            for byte in &mut taken[place.region][all] {
                assert!(!*byte);
                *byte = true;
            }
        }
    }
    for (region, taken) in located.regions.iter().zip(taken) {
        assert!(region.range.len_bytes() % 8 == 0 && taken[0] && taken[taken.len() - 1]);
        let padding = (region.range.start().get()..).zip(taken).filter(|(_, is_taken)| !is_taken);
        let padding: Vec<u64> = padding.map(|(address, _)| address).collect();
        for symbol in image.symbols() {
            let (start, end) = (symbol.address.get(), symbol.address.get() + symbol.len_bytes);
            assert!(
                !padding.iter().any(|at| (start..end).contains(at)),
                "{}: {symbol:?} at {padding:x?}",
                image.machine()
            );
        }
    }
}

/// The file without its section headers, as loaders see it.
fn without_sections(path: &Path) -> PathBuf {
    let mut bytes = std::fs::read(path).unwrap();
    let (offset, number) = if bytes[4] == 2 { (0x28..0x30, 0x3c..0x40) } else { (0x20..0x24, 0x30..0x34) };
    bytes[offset].fill(0);
    bytes[number].fill(0);
    let stripped = path.with_extension("segments");
    std::fs::write(&stripped, bytes).unwrap();
    assert_eq!(image(&stripped).sections().count(), 0);
    stripped
}

#[test]
fn programs_that_are_not_instrumented_have_none() {
    let compiler = testbed::run("gcc", ["-print-prog-name=cc1"]).unwrap();
    for path in [PathBuf::from(compiler.trim()), testbed::tool("gdb-multiarch").unwrap()] {
        let len = std::fs::metadata(&path).unwrap().len();
        assert!(len > 5 << 20, "{} has {len} bytes", path.display());
        let error = gcov::locate(&image(&path), Slide::ZERO).unwrap_err();
        assert!(matches!(error, GcovError::NotInstrumented { .. }), "{error}");
    }
}

#[test]
fn an_object_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), "gcc", ["--coverage", "-c", &source("workload.c"), "-o", "a.o"]);
    let error = locate(&dir.path().join("a.o")).unwrap_err();
    assert!(matches!(error, GcovError::Relocatable { .. }), "{error}");
}
