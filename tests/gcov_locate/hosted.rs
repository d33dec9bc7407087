//! Programs of the host: what they write themselves is the oracle.

use std::fs;
use std::path::Path;
use std::process::Command;

use covtap::locate::gcov::{CounterKind, Located};
use covtap_testbed as testbed;
use tempfile::tempdir;

use super::oracle::File;
use super::{image, locate, run_in, source, without_sections};

/// Compilers, and what prints their files.
const COMPILERS: [(&str, &str); 2] = [("g++", "gcov-dump"), ("g++-11", "gcov-dump-11")];

const BUILDS: [&[&str]; 8] = [
    &["--coverage", "-O0"],
    &["--coverage", "-O2"],
    &["--coverage", "-O0", "-no-pie"],
    &["--coverage", "-O1", "-fPIE", "-pie", "-Wl,-z,pack-relative-relocs"],
    &["--coverage", "-O2", "-fprofile-update=atomic", "-static"],
    &["--coverage", "-O2", "-flto"],
    &["--coverage", "-O2", "-flto", "-ffat-lto-objects"],
    &["-fprofile-generate", "-O2"],
];

/// What the program wrote, by the files' names, is what the image says.
fn compare(located: &[Located], dir: &Path, dump: &str, what: &str) {
    let objects = || located.iter().flat_map(|located| &located.image.objects);
    let written = fs::read_dir(dir).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "gcda").then_some(path)
    });
    let written: Vec<_> = written.collect();
    assert_eq!((written.len(), objects().count()), (2, 2), "{what}");
    for path in written {
        let name = path.as_os_str().as_encoded_bytes();
        let object = objects().find(|object| object.filename == name).unwrap_or_else(|| panic!("{path:?}"));
        let text = testbed::run(dump, [Path::new("-l"), &path]).unwrap();
        assert_eq!(File::of(object), File::from_dump(&text), "{what}: {}", path.display());
    }
    assert!(located.iter().all(|located| located.cautions.is_empty()));
}

#[test]
fn what_programs_write_is_in_their_images() {
    for (compiler, dump) in COMPILERS {
        for flags in BUILDS {
            let dir = tempdir().unwrap();
            let sources = [source("main.cc"), source("work.cc")];
            let args = sources.iter().map(String::as_str).chain(flags.iter().copied()).chain(["-o", "a"]);
            run_in(dir.path(), compiler, args);
            let program = dir.path().join("a");
            assert!(Command::new(&program).status().unwrap().success());
            let what = format!("{compiler} {flags:?}");
            let full = locate(&program).unwrap();
            compare(std::slice::from_ref(&full), dir.path(), dump, &what);
            run_in(dir.path(), "strip", ["a", "-o", "stripped"]);
            let stripped = locate(&dir.path().join("stripped")).unwrap();
            assert_eq!(stripped.image.objects.len(), 2, "{what}");
            compare(&[stripped], dir.path(), dump, &what);
            let bare = locate(&without_sections(&program)).unwrap();
            compare(&[bare], dir.path(), dump, &format!("{what} without sections"));
        }
    }
}

#[test]
fn a_shared_object_has_its_own() {
    let (dir, fpic) = (tempdir().unwrap(), ["--coverage", "-fPIC", "-shared", "-o", "libwork.so"]);
    let (main, work) = (source("main.cc"), source("work.cc"));
    run_in(dir.path(), "g++", fpic.iter().copied().chain([work.as_str()]));
    run_in(dir.path(), "g++", ["--coverage", &main, "-o", "a", "-L.", "-lwork", "-Wl,-rpath,$ORIGIN"]);
    assert!(Command::new(dir.path().join("a")).status().unwrap().success());
    let both = ["a", "libwork.so"].map(|name| locate(&dir.path().join(name)).unwrap());
    compare(&both, dir.path(), "gcov-dump", "shared");
    let bare = ["a", "libwork.so"].map(|name| locate(&without_sections(&dir.path().join(name))).unwrap());
    compare(&bare, dir.path(), "gcov-dump", "shared, without sections");
}

#[test]
fn objects_of_libraries_and_of_links_in_parts_are_found() {
    let dir = tempdir().unwrap();
    for name in ["main", "work"] {
        let (source, object) = (source(&format!("{name}.cc")), format!("{name}.o"));
        run_in(dir.path(), "g++", ["--coverage", "-O1", "-c", &source, "-o", &object]);
    }
    run_in(dir.path(), "ar", ["rcs", "libwork.a", "work.o"]);
    run_in(dir.path(), "ld", ["-r", "main.o", "work.o", "-o", "both.o"]);
    for parts in [&["main.o", "-L.", "-lwork"][..], &["both.o"], &["both.o", "-Wl,--gc-sections"]] {
        run_in(dir.path(), "g++", parts.iter().copied().chain(["--coverage", "-o", "a"]));
        for name in ["main.gcda", "work.gcda"] {
            let _none_yet = fs::remove_file(dir.path().join(name));
        }
        let program = dir.path().join("a");
        assert!(Command::new(&program).status().unwrap().success());
        compare(&[locate(&program).unwrap()], dir.path(), "gcov-dump", &format!("{parts:?}"));
    }
}

/// Where counters are said to be is where the compiler's own names for them are.
#[test]
fn counters_are_where_symbols_say() {
    let dir = tempdir().unwrap();
    run_in(dir.path(), "g++", ["--coverage", &source("main.cc"), &source("work.cc"), "-o", "a"]);
    let program = dir.path().join("a");
    let (image, located) = (image(&program), locate(&program).unwrap());
    let mut expected: Vec<(u64, u64)> = image
        .symbols()
        .filter(|symbol| symbol.name.starts_with("__gcov0."))
        .map(|symbol| (symbol.address.get(), symbol.len_bytes))
        .collect();
    let functions = located.image.objects.iter().flat_map(|object| object.functions.iter().flatten());
    let counters = functions.flat_map(|function| &function.counters);
    let mut found: Vec<(u64, u64)> = counters
        .filter_map(|counters| {
            assert_eq!(counters.kind, CounterKind::Arcs);
            let place = counters.place?;
            let start = located.regions[place.region].range.start().get();
            Some((start + u64::try_from(place.offset).unwrap(), 8 * u64::from(counters.num)))
        })
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(found, expected);
    // Symbols show that there is only padding between most of them.
    assert!(located.regions.len() < expected.len(), "{} of {}", located.regions.len(), expected.len());
}
