//! Debug information in files of its own.

use std::fs;
use std::path::Path;

use covtap::coverage::trace::{TracedImage, split_units};
use covtap::image::{Image, Slide};
use covtap::profile::trace::{Counting, TraceBuilder};
use covtap_testbed::run;
use proptest::test_runner::{Config, TestRunner};

use crate::common::hostile;
use crate::guest::{Built, CLANG, GCC, Isa};
use crate::report;

const BOTH: [(&str, &str); 4] =
    [(CLANG, "-gdwarf-4"), (CLANG, "-gdwarf-5"), (GCC, "-gdwarf-4"), (GCC, "-gdwarf-5")];

/// What is in files of their own, or packed together, is the same report as what is in the ELF.
#[test]
fn files_beside_objects_say_what_the_elf_would() {
    for (compiler, version) in BOTH {
        for level in ["-O0", "-O1"] {
            let what = format!("{compiler} {version} {level}");
            let whole = Built::new(Isa::Thumb, compiler, "program.c", &[level, version]);
            let trace = whole.trace();
            let expected = report(&whole.elf_text(), &trace, &[]);
            let split = Built::new(Isa::Thumb, compiler, "program.c", &[level, version, "-gsplit-dwarf"]);
            assert_eq!(split.code(), whole.code(), "{what}");
            let same = |more: &[&str]| {
                let said = report(&split.elf_text(), &trace, more);
                assert_eq!((&said.lines, &said.functions), (&expected.lines, &expected.functions), "{what}");
                assert!(!said.notes.contains("(.dwo)"), "{what}: {}", said.notes);
            };
            same(&[]);
            let [dwo, away, package] =
                ["program.dwo", "away/program.dwo", "guest.elf.dwp"].map(|name| split.path(name));
            // llvm-dwp 19 does not take GCC's of DWARF 5.
            let is_packed = (compiler, version) != (GCC, "-gdwarf-5");
            if is_packed {
                let [dwo, package] = [&dwo, &package].map(|path| path.display().to_string());
                run("llvm-dwp-19", [dwo.as_str(), "-o", package.as_str()]).unwrap();
                assert_packed(&package_image(Path::new(&package)), &what);
            }
            fs::create_dir(split.path("away")).unwrap();
            fs::rename(&dwo, &away).unwrap();
            if is_packed {
                same(&[]);
                fs::rename(&package, split.path("away/one.dwp")).unwrap();
                same(&["--dwo", &split.path("away/one.dwp").display().to_string()]);
            }
            same(&["--dwo", &split.path("away").display().to_string()]);
            same(&["--dwo", &away.display().to_string()]);
            let map = format!("{}={}", split.path("").display(), split.path("away").display());
            same(&["--path-map", &map]);

            // Without it, lines are the same, and functions those of symbols.
            let said = report(&split.elf_text(), &trace, &[]);
            assert_eq!(
                said.lines.keys().collect::<Vec<_>>(),
                expected.lines.keys().collect::<Vec<_>>(),
                "{what}"
            );
            assert_eq!(said.functions["program"], 1, "{what}");
            let hint = "debug information of 1 of 1 units that have it in files of their own (.dwo) was not found, \
                        program.dwo for one: symbols alone tell their functions; --dwo says where such files are";
            assert!(said.notes.contains(hint), "{what}: {}", said.notes);
        }
    }
}

fn package_image(path: &Path) -> Image {
    Image::parse("package", fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn assert_packed(package: &Image, what: &str) {
    assert!(package.section(".debug_cu_index").is_some(), "{what}");
}

/// A file of another build, or of anything, is not taken for the unit's.
#[test]
fn files_of_other_builds_are_left_out() {
    for (compiler, version) in BOTH {
        let one = Built::new(Isa::Thumb, compiler, "program.c", &["-O0", version, "-gsplit-dwarf"]);
        let text = "int other; void program(void) { other = 1; }\n";
        let other =
            Built::of_text(Isa::Thumb, compiler, "program.c", text, &["-O0", version, "-gsplit-dwarf"]);
        let trace = one.trace();
        fs::copy(other.path("program.dwo"), one.path("program.dwo")).unwrap();
        let said = report(&one.elf_text(), &trace, &[]);
        assert!(said.notes.contains("program.dwo for one"), "{compiler} {version}: {}", said.notes);
        fs::write(one.path("program.dwo"), "no ELF").unwrap();
        let said = report(&one.elf_text(), &trace, &[]);
        assert!(
            said.notes.contains("left out: ") && said.notes.contains("program.dwo for one"),
            "{}",
            said.notes
        );
        fs::remove_file(one.path("program.dwo")).unwrap();
        // A name that an ELF gives is only read, and only if it is a file's.
        let mut elf = fs::read(one.elf()).unwrap();
        let at = elf.windows(12).position(|bytes| bytes == b"program.dwo\0").unwrap();
        elf[at..at + 11].copy_from_slice(b"///dev/zero");
        fs::write(one.elf(), elf).unwrap();
        let said = report(&one.elf_text(), &trace, &[]);
        assert!(said.notes.contains("///dev/zero for one"), "{}", said.notes);
    }
}

/// What would grow out of all proportion is left out, and the rest goes on.
#[test]
fn files_that_grow_are_left_out() {
    let one = Built::new(Isa::Thumb, CLANG, "program.c", &["-O0", "-gdwarf-4", "-gsplit-dwarf"]);
    let [dwo, zeros] = ["program.dwo", "zeros"].map(|name| one.path(name).display().to_string());
    fs::File::create(&zeros).unwrap().set_len(64 << 20).unwrap();
    let update = format!(".debug_str.dwo={zeros}");
    run("llvm-objcopy-19", ["--update-section", &update, &dwo]).unwrap();
    run("llvm-objcopy-19", ["--compress-debug-sections=zlib", &dwo]).unwrap();
    assert!(fs::metadata(&dwo).unwrap().len() < 1 << 20);
    let said = report(&one.elf_text(), &one.trace(), &[]);
    assert!(said.notes.contains("are more than is plausible"), "{}", said.notes);
    assert!(said.notes.contains("program.dwo for one"), "{}", said.notes);
    assert_eq!(said.functions["program"], 1);
}

/// Whatever bytes such a file has, nothing panics or runs away.
#[test]
fn damaged_files_do_no_harm() {
    let mut builder = TraceBuilder::new(Counting::Times);
    builder.block("", 0, 1 << 16, 3).unwrap();
    let trace = builder.finish();
    for (compiler, version) in BOTH {
        let built = Built::new(Isa::Thumb, compiler, "program.c", &["-O1", version, "-gsplit-dwarf"]);
        let elf = Image::parse("guest", fs::read(built.elf()).unwrap()).unwrap();
        let units = split_units(&elf);
        assert_eq!((units.len(), &units[0].name[..]), (1, &b"program.dwo"[..]), "{compiler} {version}");
        let mut files = vec![fs::read(built.path("program.dwo")).unwrap()];
        if (compiler, version) != (GCC, "-gdwarf-5") {
            let [dwo, package] = ["program.dwo", "p.dwp"].map(|name| built.path(name).display().to_string());
            run("llvm-dwp-19", [dwo.as_str(), "-o", package.as_str()]).unwrap();
            files.push(fs::read(package).unwrap());
        }
        let map = |bytes: Vec<u8>| {
            let file = Image::parse("file", bytes).ok()?;
            TracedImage::new(&elf, &[file], Slide::ZERO, trace.space("").unwrap(), trace.counting).ok()
        };
        for file in files {
            let whole = map(file.clone()).expect("it can be mapped");
            assert!(whole.missing.is_empty() && whole.problems.is_empty(), "{:?}", whole.problems);
            let mut runner =
                TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
            let done = runner.run(&hostile::damage(), |damage| {
                let mut bytes = file.clone();
                damage.apply(&mut bytes);
                map(bytes);
                Ok(())
            });
            done.unwrap();
        }
    }
}
