//! Small guests, built with clang for a PC or a Cortex-M3, on the boards of `tests/resets`.

use std::path::Path;

use covtap_testbed::{self as testbed, Machine, workspace_root};

/// Builds a guest whose `main` is instrumented, and whose board and `helpers` are not.
pub(crate) fn build(machine: Machine, main: &Path, helpers: &[&Path], flags: &[&str], elf: &Path) {
    let boards = workspace_root().join("tests/resets");
    let include = format!("-I{}", boards.display());
    let guests = workspace_root().join("examples/guests");
    let (target, board, script): (&[&str], _, _) = match machine {
        Machine::An385 => (
            &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"],
            boards.join("an385.c"),
            guests.join("c-an385/an385.x"),
        ),
        _ => (
            &["--target=i386-none-elf", "-march=i686", "-fno-pic"],
            boards.join("i386.c"),
            boards.join("i386.x"),
        ),
    };
    let compile = |source: &Path, more: &[&str]| {
        let object =
            elf.with_file_name(source.file_name().expect("a name")).with_extension("o").display().to_string();
        let source = source.display().to_string();
        let common =
            ["-std=c17", "-O1", "-ffreestanding", "-Wall", "-Wextra", "-Werror", &include, "-c", &source];
        let args = target.iter().chain(&common).chain(flags).chain(more).copied().chain(["-o", &object]);
        testbed::run("clang-19", args).expect("it compiles");
        object
    };
    let console = boards.join("console.c");
    let mut objects = vec![compile(main, &["-fprofile-instr-generate", "-fcoverage-mapping"])];
    objects.extend(
        helpers.iter().copied().chain([console.as_path(), &board]).map(|source| compile(source, &[])),
    );
    let mut link = vec!["--gc-sections".to_owned(), "--build-id=sha1".into(), "--nmagic".into()];
    link.extend(["-T".to_owned(), script.display().to_string()]);
    if machine == Machine::An385 {
        link.extend(["-T".to_owned(), guests.join("coverage.x").display().to_string()]);
    }
    link.extend(objects);
    link.extend(["-o".to_owned(), elf.display().to_string()]);
    testbed::run("ld.lld-19", link).expect("it links");
}
