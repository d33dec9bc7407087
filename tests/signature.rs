//! `%m` names an image as the compiler's own runtime does.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use covtap::image::{Image, Slide};
use covtap::locate::llvm::locate;
use covtap_testbed::run;

const PROGRAM: &str =
    "int odd(int n) { return n & 1; }\nint main(int c, char **v) { (void)v; return odd(c) - 1; }\n";

#[test]
fn the_signature_is_the_runtimes() {
    let correlate = |how| ["-g", "-mllvm", how];
    for (compiler, more) in [
        ("clang-14", &[][..]),
        ("clang-19", &[]),
        ("clang-19", &correlate("-profile-correlate=binary")),
        ("clang-19", &correlate("-profile-correlate=debug-info")),
        ("clang-19", &["-mllvm", "-enable-single-byte-coverage=true"]),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let (source, program) = (dir.path().join("odd.c"), dir.path().join("odd"));
        fs::write(&source, PROGRAM).expect("the source");
        let flags = ["-fprofile-instr-generate", "-fcoverage-mapping", "-o"].map(OsStr::new);
        let flags = more.iter().map(OsStr::new).chain(flags);
        run(compiler, flags.chain([program.as_os_str(), source.as_os_str()])).expect("it compiles");
        let status = Command::new(&program).env("LLVM_PROFILE_FILE", dir.path().join("%m.profraw")).status();
        assert!(status.expect("it runs").success());

        let bytes = fs::read(&program).expect("the program");
        let image = Image::parse("odd", bytes).expect("an ELF");
        let signature = locate(&image, Slide::ZERO).expect("counters").image.module_signature();
        let expected = dir.path().join(format!("{signature}_0.profraw"));
        assert!(expected.exists(), "{compiler}: no {expected:?} in {:?}", fs::read_dir(dir.path()));
    }
}
