//! Programs that GCC and LLVM compiled together.

use std::fs;

use crate::build::{Dir, by_file};
use crate::common::{assert_done, assert_refused, run, stderr};

/// A program of a C file by GCC, a C file by clang and a Rust file, with a header in both C files.
fn built() -> Dir {
    let dir = Dir::new();
    dir.write(
        "src/shared.h",
        "static inline int clamp(int x) {\n  if (x > 3)\n    return 3;\n  return x;\n}\n",
    );
    dir.write(
        "src/gcc.c",
        "#include \"shared.h\"\nint gcc_side(int x) {\n  int sum = 0;\n  for (int i = 0; i < x; i++)\n    sum += clamp(i);\n  return sum;\n}\n",
    );
    dir.write(
        "src/clang.c",
        "#include \"shared.h\"\nint gcc_side(int x);\nint rust_side(int x);\nint main(int argc, char **argv) {\n  return gcc_side(7) + clamp(argc) + rust_side(argc) == 0;\n}\n",
    );
    dir.write(
        "src/lib.rs",
        "#[unsafe(no_mangle)]\npub extern \"C\" fn rust_side(x: i32) -> i32 {\n    if x > 1 {\n        return 2;\n    }\n    x\n}\n",
    );
    dir.write("build/readme", "");
    let llvm = ["-fprofile-instr-generate", "-fcoverage-mapping", "-c"];
    let clang = dir.text("src/clang.c");
    dir.run("build", "clang-19", &[&llvm[..], &[&clang, "-o", "clang.o"]].concat());
    dir.run("build", "gcc-12", &["--coverage", "-c", "../src/gcc.c", "-o", "gcc.o"]);
    let rust = dir.text("src/lib.rs");
    let args =
        ["--edition=2024", "--crate-type=staticlib", "-Cpanic=abort", "-Cinstrument-coverage", "--emit=obj"];
    dir.run("build", "rustc", &[&args[..], &[&rust, "-o", "rust.o"]].concat());
    let runtime = dir.run("build", "gcc-12", &["-print-file-name=libgcov.a"]);
    let runtime = String::from_utf8(runtime).unwrap();
    let objects = ["clang.o", "gcc.o", "rust.o", runtime.trim(), "-o", "fw.elf"];
    dir.run("build", "clang-19", &[&["-fprofile-instr-generate"], &objects[..]].concat());
    let program = std::process::Command::new(dir.path("build/fw.elf"))
        .env("LLVM_PROFILE_FILE", dir.path("run.profraw"))
        .env("GCOV_PREFIX", dir.path("gcda"))
        .status()
        .unwrap();
    assert_eq!(program.code(), Some(0));
    dir
}

const INPUTS: [&str; 4] = ["build/fw.elf", "run.profraw", "build", "gcda"];

/// One report has the files of both; what both count of the header is added up.
#[test]
fn one_report_has_both() {
    let dir = built();
    let both = by_file(&dir.trace(&INPUTS));
    let names: Vec<_> = both.keys().map(|name| name.rsplit_once('/').unwrap().1).collect();
    assert_eq!(names, ["clang.c", "gcc.c", "lib.rs", "shared.h"]);
    let llvm = by_file(&dir.trace(&INPUTS[..2]));
    let gcov = by_file(&dir.trace(&INPUTS[2..]));
    let header = dir.text("src/shared.h");
    for (name, entries) in &both {
        if *name != header {
            assert_eq!(llvm.get(name).or(gcov.get(name)), Some(entries), "{name}");
        }
    }
    let line = |of: &std::collections::BTreeMap<_, std::collections::BTreeSet<String>>, start: &str| {
        let entry = of[&header].iter().find_map(|entry| entry.strip_prefix(start));
        entry.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    for start in ["DA:2,", "DA:3,", "DA:4,"] {
        assert_eq!(line(&both, start), line(&llvm, start) + line(&gcov, start), "{start}");
    }
    assert!(line(&gcov, "DA:2,") > 1 && line(&llvm, "DA:2,") == 1);
}

/// A file without regions has none, and no share of them.
#[test]
fn a_metric_of_one_part_is_not_claimed_of_the_other() {
    let dir = built();
    let report = |inputs: &[&str]| {
        let output = dir.report(inputs, &["--text"]);
        assert_done(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let table = report(&INPUTS);
    let row = table.lines().find(|line| line.starts_with("gcc.c")).unwrap();
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["gcc.c", "0", "0", "-"]);
    assert!(!report(&INPUTS[2..]).contains("Regions"));
    let output = dir.report(&INPUTS[2..], &["--fail-under-regions", "1"]);
    assert!(stderr(&output).contains("the build has no regions to measure"), "{}", stderr(&output));
}

/// An ELF says where LLVM's part is; without a profile of it that is left out, and said.
#[test]
fn a_part_without_its_profile_is_named() {
    let dir = built();
    let output = dir.report(&["build/fw.elf", "build", "gcda"], &["--lcov", "-"]);
    assert_done(&output);
    assert!(stderr(&output).contains("fw.elf is left out: there is no profile of it"), "{}", stderr(&output));
    assert_eq!(output.stdout, dir.report(&["build", "gcda"], &["--lcov", "-"]).stdout);
}

/// llvm-cov's JSON is of regions: it has LLVM's part as without gcov's, and the rest is named.
#[test]
fn json_is_of_llvms_part() {
    let dir = built();
    let output = dir.report(&INPUTS, &["--json", "-"]);
    assert_done(&output);
    assert_eq!(output.stdout, dir.report(&INPUTS[..2], &["--json", "-"]).stdout);
    let said = stderr(&output);
    assert!(said.contains("left out of the JSON: what gcov counted of 2 files"), "{said}");
    let refused = dir.report(&INPUTS[2..], &["--json", "-"]);
    assert_refused(&refused, "write JSON: it is of regions", "--lcov and --cobertura");
}

/// A site has a page for each file, with gcov's branches as a table.
#[test]
fn a_site_shows_both() {
    let dir = built();
    let site = dir.text("site");
    let inputs = INPUTS.map(|input| dir.text(input));
    assert_done(&run([&["report".to_owned()], &inputs[..], &["--html".to_owned(), site]].concat()));
    let pages: Vec<_> = fs::read_dir(dir.path("site/files")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(pages.len(), 4);
    let page = pages.iter().find(|path| path.display().to_string().contains("/gcc.c-")).unwrap();
    let page = fs::read_to_string(page).unwrap();
    let arcs = "<td class=\"num\">1</td><td>fallthrough</td><td class=\"num\" title=\"1\">1</td>";
    assert!(page.contains(arcs), "{page}");
    assert!(page.contains("<code>    sum += clamp(i);</code>"), "{page}");
}
