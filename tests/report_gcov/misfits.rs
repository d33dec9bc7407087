//! Files that do not fit together, and units that did not run.

use std::fs;
use std::process::Command;

use crate::build::{Dir, by_file};
use crate::common::{assert_done, assert_refused, covtap, stderr};

/// Two units, in folders of their own, which are run by one program.
fn built() -> Dir {
    let dir = Dir::new();
    dir.write("one/a.c", "int b(int);\nint main(int argc, char **argv) {\n  return b(argc) > 9;\n}\n");
    dir.write("two/b.c", "int b(int x) {\n  if (x > 1)\n    return 5;\n  return x;\n}\n");
    for (folder, source, object) in [("one", "a.c", "a.o"), ("two", "b.c", "b.o")] {
        dir.run(folder, "gcc-12", &["--coverage", "-c", source, "-o", object]);
    }
    dir.run(".", "gcc-12", &["--coverage", "one/a.o", "two/b.o", "-o", "program"]);
    dir.run(".", "./program", &[""; 0]);
    dir
}

/// Runs the program with its data files below another folder.
fn run_into(dir: &Dir, prefix: &str, args: &[&str]) {
    let mut command = Command::new(dir.path("program"));
    assert!(command.args(args).env("GCOV_PREFIX", dir.path(prefix)).status().unwrap().success());
}

fn files(trace: &[u8]) -> Vec<String> {
    let trace = String::from_utf8(trace.to_vec()).unwrap();
    by_file(&trace).into_keys().map(|name| name.rsplit_once('/').unwrap().1.to_owned()).collect()
}

#[test]
fn data_without_notes_are_refused_or_named() {
    let dir = built();
    fs::remove_file(dir.path("two/b.gcno")).unwrap();
    let said = "two/b.gcno beside it, and none of 0 other notes files has its stamp";
    for input in ["two/b.gcda", "two"] {
        assert_refused(&dir.report(&[input], &[]), said, "the folder that GCC wrote the .gcno files to");
    }
    let output = dir.report(&["."], &["--lcov", "-"]);
    assert_done(&output);
    assert_eq!(files(&output.stdout), ["a.c"]);
    assert!(stderr(&output).starts_with("covtap: left out: find the notes of "), "{}", stderr(&output));
}

/// What was compiled anew since it ran is not reported as 0 %.
#[test]
fn notes_of_another_compile_are_named() {
    let dir = built();
    let stamp = |name: &str| {
        let bytes = fs::read(dir.path(name)).unwrap();
        format!("{:#010x}", u32::from_le_bytes(bytes[8..12].try_into().unwrap()))
    };
    dir.run("two", "gcc-12", &["--coverage", "-c", "b.c", "-o", "b.o"]);
    let (here, there) = (stamp("two/b.gcda"), stamp("two/b.gcno"));
    assert_ne!(here, there);
    let said = format!("two/b.gcno is of another compile: its stamp is {there}, not {here}");
    assert_refused(&dir.report(&["two"], &[]), &said, "the compile that ran");
    let output = dir.report(&["."], &["--lcov", "-"]);
    assert_done(&output);
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    assert_eq!(files(&output.stdout), ["a.c"]);
}

#[test]
fn damaged_files_are_refused_or_named() {
    let dir = built();
    let (data, notes) =
        (fs::read(dir.path("two/b.gcda")).unwrap(), fs::read(dir.path("two/b.gcno")).unwrap());
    fs::write(dir.path("two/b.gcda"), &data[..data.len() - 6]).unwrap();
    assert_refused(&dir.report(&["two"], &[]), "two/b.gcda at offset 0x", "");
    let output = dir.report(&["."], &["--lcov", "-"]);
    assert_eq!(files(&output.stdout), ["a.c"]);
    assert!(stderr(&output).contains("left out: read "), "{}", stderr(&output));
    // Of damaged notes the functions before the damage stay; there is none here.
    fs::write(dir.path("two/b.gcda"), &data).unwrap();
    fs::write(dir.path("two/b.gcno"), &notes[..notes.len() - 9]).unwrap();
    let output = dir.report(&["."], &["--lcov", "-"]);
    assert_done(&output);
    assert_eq!(files(&output.stdout), ["a.c"]);
    assert!(stderr(&output).contains("two/b.gcno at offset 0x"), "{}", stderr(&output));
    fs::write(dir.path("two/b.gcno"), &notes[..10]).unwrap();
    assert_refused(&dir.report(&["two/b.gcno"], &[]), "read the header of notes at offset 8", "");
}

/// One function of another compile: it is named, and the others are reported.
#[test]
fn counters_of_another_compile_are_named() {
    let dir = built();
    let mut data = fs::read(dir.path("two/b.gcda")).unwrap();
    // Behind header, summary and the function's tag, length and ident.
    let at_data = 16 + 16 + 12;
    data[at_data] ^= 1;
    fs::write(dir.path("two/b.gcda"), &data).unwrap();
    let output = dir.report(&["."], &["--lcov", "-"]);
    assert_done(&output);
    assert_eq!(files(&output.stdout), ["a.c"]);
    let said = stderr(&output);
    assert!(said.starts_with("covtap: b of ") && said.contains("b.gcda is left out: its counters"), "{said}");
    assert!(said.contains("lineno_checksum is 0x"), "{said}");
    // A name from notes that would clear the terminal's line.
    let mut notes = fs::read(dir.path("two/b.gcno")).unwrap();
    let at = notes.windows(6).position(|it| it == *b"\x02\0\0\0b\0").unwrap();
    notes[at + 4] = b'\x1b';
    fs::write(dir.path("two/b.gcno"), &notes).unwrap();
    let said = stderr(&dir.report(&["."], &["--lcov", "-"]));
    assert!(said.starts_with("covtap: \u{fffd} of ") && !said.contains('\x1b'), "{said}");
    // Counters of a function that the notes do not have, in the report and in the site.
    data[at_data - 4] ^= 1;
    fs::write(dir.path("two/b.gcda"), &data).unwrap();
    let site = dir.text("site");
    let said = stderr(&dir.report(&["."], &["--html", &site]));
    let expected = format!("a function of {} is left out: ", dir.text("./two/b.gcda"));
    assert!(said.contains(&expected), "{said}");
    assert!(fs::read_to_string(dir.path("site/index.html")).unwrap().contains(&expected));
}

/// As with gcov, notes alone are a unit that did not run.
#[test]
fn a_unit_without_data_did_not_run() {
    let dir = built();
    fs::remove_file(dir.path("two/b.gcda")).unwrap();
    let trace = dir.trace(&["."]);
    let lines = &by_file(&trace)[&dir.text("two/b.c")];
    assert!(
        lines.contains("DA:4,0") && lines.contains("FNDA:0,b") && lines.contains("BRDA:2,0,0,-"),
        "{trace}"
    );
    let output = dir.report(&["two"], &["--lcov", "-"]);
    assert_done(&output);
    assert!(stderr(&output).contains("none of the files is a .gcda"), "{}", stderr(&output));
}

/// Data files of one unit add up, as libgcov adds them up in one file.
#[test]
fn several_runs_add_up() {
    let dir = built();
    run_into(&dir, "first", &[]);
    run_into(&dir, "second", &["x"]);
    run_into(&dir, "both", &[]);
    run_into(&dir, "both", &["x"]);
    for folder in ["one", "two"] {
        fs::remove_file(dir.path(&format!("{folder}/{}.gcda", if folder == "one" { "a" } else { "b" })))
            .unwrap();
    }
    let apart = dir.trace(&["first", "second", "one", "two"]);
    assert_eq!(apart, dir.trace(&["one", "both", "two"]));
    assert!(apart.contains("DA:3,1\n") && apart.contains("DA:2,2\n"), "{apart}");
}

/// With -fprofile-dir the name of a data file is the whole path.
#[test]
fn mangled_names_find_their_notes() {
    let dir = built();
    let profiles = format!("-fprofile-dir={}", dir.text("profiles"));
    dir.run("two", "gcc-12", &["--coverage", &profiles, "-c", "b.c", "-o", "b.o"]);
    dir.run(".", "gcc-12", &["--coverage", "one/a.o", "two/b.o", "-o", "program"]);
    fs::remove_file(dir.path("two/b.gcda")).unwrap();
    dir.run(".", "./program", &[""; 0]);
    let names: Vec<_> =
        fs::read_dir(dir.path("profiles")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names[0].to_str().unwrap().ends_with("#two#b.gcda"), "{names:?}");
    assert!(dir.trace(&["profiles", "two"]).contains("FNDA:1,b\n"));
}

#[test]
fn processors_do_not_change_a_byte() {
    let dir = Dir::new();
    let units: Vec<String> = (0..40).map(|number| format!("u{number}.c")).collect();
    dir.write("h.h", "static inline int h(int x) {\n  return x > 3 ? x : 3;\n}\n");
    for (number, unit) in units.iter().enumerate() {
        let text = format!("#include \"h.h\"\nint f{number}(int x) {{\n  return h(x + {number});\n}}\n");
        dir.write(unit, &text);
    }
    dir.write("main.c", "int f7(int);\nint main(void) {\n  return f7(1) == 0;\n}\n");
    let sources: Vec<&str> = units.iter().map(String::as_str).chain(["main.c"]).collect();
    dir.build_and_run(".", &sources);
    let on = |threads: &str| {
        let args = ["report", &dir.text("."), "--lcov", "-"];
        let output = covtap(args).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert_done(&output);
        output.stdout
    };
    assert!(on("1") == on("3") && files(&on("1")).len() == 42);
}

#[test]
fn folders_without_anything_are_refused() {
    let dir = Dir::new();
    dir.write("empty/readme", "");
    assert_refused(&dir.report(&["empty"], &[]), "it holds no .gcno and no .gcda file", "");
}
