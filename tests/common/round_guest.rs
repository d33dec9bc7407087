//! A guest that goes round for ever, tests/trace_gdb/guest.c, as an ELF.

use std::fs;
use std::path::{Path, PathBuf};

use covtap::image::Image;
use covtap_testbed::{Machine, workspace_root};
use tempfile::TempDir;

/// Builds the guest that goes round for ever.
pub(crate) fn build(machine: Machine, dir: &TempDir) -> PathBuf {
    build_of(machine, "trace_gdb/guest.c", dir)
}

/// Builds a guest of a source among the tests.
pub(crate) fn build_of(machine: Machine, source: &str, dir: &TempDir) -> PathBuf {
    let (elf, object) = (dir.path().join("guest.elf"), dir.path().join("guest.o"));
    let tests = workspace_root().join("tests");
    let (target, base): (&[&str], _) = match machine {
        Machine::An385 => (&["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3"], "0"),
        Machine::Riscv64Virt => {
            let target = &["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"];
            (target, "0x80000000")
        }
        _ => (&["--target=i386-none-elf", "-march=i686", "-fno-pic"], "0x100000"),
    };
    let [source, object_path, elf_path] =
        [&tests.join(source), &object, &elf].map(|path| path.display().to_string());
    let compile = [
        "-std=c17",
        "-O1",
        "-ffreestanding",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-c",
        &source,
        "-o",
        &object_path,
    ];
    covtap_testbed::run("clang-19", target.iter().chain(&compile)).expect("it compiles");
    let script = format!("-T{}", tests.join("run/guest.x").display());
    let base = format!("--defsym=BASE={base}");
    let link = ["--build-id=sha1", "--nmagic", &base, &script, "-o", &elf_path, &object_path];
    covtap_testbed::run("ld.lld-19", link).expect("it links");
    elf
}

pub(crate) fn image(elf: &Path) -> Image {
    Image::parse("guest", fs::read(elf).expect("the ELF")).expect("an ELF")
}
