//! clang's tables for processors of both widths and byte orders: the notes of the compiler, and the names that it gives
//! counters, are the oracle. Programs of the host are in `live.rs`.

use std::path::Path;

use covtap::locate::gcov::{Caution, Dialect, GcovError, Located};
use covtap_testbed as testbed;
use tempfile::tempdir;

use super::oracle::notes;
use super::{image, locate, run_in, source, without_sections};

const TARGETS: [&str; 7] = [
    "aarch64-none-elf",
    "thumbv7m-none-eabi",
    "riscv32-none-elf",
    "i686-linux-gnu",
    "s390x-linux-gnu",
    "mips-linux-gnu",
    "mips64-linux-gnu",
];

/// Of GCC 11, whose `gcov-dump` is here.
const VERSION: [&str; 2] = ["-Xclang", "-coverage-version=B11*"];

fn compile(dir: &Path, flags: &[&str], name: &str, object: &str) {
    let fixed = ["-fprofile-arcs", "-ftest-coverage", "-ffreestanding", "-c", name, "-o", object];
    run_in(dir, "clang-19", fixed.iter().copied().chain(flags.iter().copied()));
}

fn link(dir: &Path, objects: &[&str], flags: &[&str]) {
    let fixed = ["--unresolved-symbols=ignore-all", "-e", "_start", "-o", "a"];
    run_in(dir, "ld.lld-19", fixed.iter().chain(objects).chain(flags));
}

/// Ident and checksums of each function, where its counters are, and how many.
type Expected = Vec<([u32; 3], u64, u64)>;

/// By the notes, and by the symbol of the counters, which are numbered like the functions.
fn expected(elf: &Path, gcno: &Path) -> Expected {
    let text = testbed::run("gcov-dump-11", [Path::new("-l"), gcno]).unwrap();
    let image = image(elf);
    let function = |(_, key): (String, [u32; 3])| {
        let suffix = if key[0] == 0 { String::new() } else { format!(".{}", key[0]) };
        let symbol = image.symbol(&format!("__llvm_gcov_ctr{suffix}")).unwrap();
        (key, symbol.address.get(), symbol.len_bytes / 8)
    };
    notes(&text).into_iter().map(function).collect()
}

fn found(located: &Located) -> Expected {
    let functions = located.image.objects.iter().flat_map(|object| object.functions.iter().flatten());
    let each = functions.map(|function| {
        let counters = function.counters[0];
        let place = counters.place.unwrap();
        let start = located.regions[place.region].range.start().get();
        let key = [function.ident, function.lineno_checksum, function.cfg_checksum];
        (key, start + u64::try_from(place.offset).unwrap(), u64::from(counters.num))
    });
    each.collect()
}

#[test]
fn no_code_of_compiler_rt_need_be_there() {
    for target in TARGETS {
        let dir = tempdir().unwrap();
        let triple = format!("--target={target}");
        let flags = [&triple, "-O0", VERSION[0], VERSION[1]];
        compile(dir.path(), &flags, &source("workload.c"), "workload.o");
        link(dir.path(), &["workload.o"], &[]);
        let elf = dir.path().join("a");
        let expected = expected(&elf, &dir.path().join("workload.gcno"));
        assert_eq!(expected.len(), 3, "{target}");
        let located = locate(&elf).unwrap();
        assert_eq!(found(&located), expected, "{target}");
        assert_eq!((located.image.objects.len(), &located.cautions[..]), (1, &[][..]), "{target}");
        let object = &located.image.objects[0];
        assert_eq!((object.dialect, object.version.to_string()), (Dialect::Clang, "11.1".to_owned()));
        assert!(object.filename.ends_with(b"workload.gcda"));
        assert_eq!(found(&locate(&without_sections(&elf)).unwrap()), expected, "{target}, without sections");
        link(dir.path(), &["workload.o"], &["--strip-all"]);
        let stripped = found(&locate(&elf).unwrap());
        let keys = |all: &Expected| all.iter().map(|(key, _, num)| (*key, *num)).collect::<Vec<_>>();
        assert_eq!(keys(&stripped), keys(&expected), "{target}, stripped");
    }
}

#[test]
fn optimised_tables_are_missed_by_name() {
    let dir = tempdir().unwrap();
    compile(
        dir.path(),
        &["-O1", "-Dnever=optimised", "-D_start=more", "-Dinput=other"],
        &source("workload.c"),
        "optimised.o",
    );
    link(dir.path(), &["optimised.o"], &[]);
    let error = locate(&dir.path().join("a")).unwrap_err();
    assert!(matches!(error, GcovError::Clang { .. }), "{error}");
    // Beside others, they are not left out in silence.
    compile(dir.path(), &["-O0"], &source("workload.c"), "workload.o");
    link(dir.path(), &["optimised.o", "workload.o"], &[]);
    let located = locate(&dir.path().join("a")).unwrap();
    assert_eq!(located.image.objects.len(), 1);
    assert_eq!(located.cautions, [Caution::WithoutTable { functions: 3 }]);
}

#[test]
fn a_version_that_clang_writes_no_readable_files_of_is_refused() {
    let dir = tempdir().unwrap();
    compile(dir.path(), &["-Xclang", "-coverage-version=B21*"], &source("workload.c"), "workload.o");
    link(dir.path(), &["workload.o"], &[]);
    let error = locate(&dir.path().join("a")).unwrap_err().to_string();
    assert!(error.ends_with("no tool reads the files that clang writes of that version"), "{error}");
}
