#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

//! What a kernel is known by in memory, against the linker's own list of what moves with it.

use std::fs;
use std::ops::Range;
use std::path::Path;

use covtap::image::Image;
use covtap_testbed::run;
use object::{LittleEndian, Object, ObjectSection, RelocationFlags};
use tempfile::TempDir;

/// The linker script of something like Linux: in the upper half, with what is given back, and constants that may be
/// written until it is up.
const SCRIPT: &str = "SECTIONS {
    . = 0xffffffff81000000;
    .text : { *(.text) }
    __start_rodata = .;
    .rodata : { *(.rodata*) *(.ro_after_init) }
    __end_rodata = .;
    . = ALIGN(0x1000);
    __init_begin = .;
    .init.text : { *(.init.text) }
    . = ALIGN(0x1000);
    __init_end = .;
    __smp_locks = .;
    .smp_locks : { *(.smp_locks) }
    __smp_locks_end = .;
    .data : { *(.data*) }
    .bss : { *(.bss*) }
    /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame) }
}";

/// Functions and constants with addresses in them, and as many without.
fn source() -> String {
    let mut text = String::from("int state[4]; void *pointer;\n");
    for n in 1..=100 {
        text.push_str(&format!(
            "int f{n}(int x) {{ pointer = &state[x & {n}]; return state[1] * x * {n}773 + (x ^ {n}0511); }}\n\
             const struct {{ int (*f)(int); long n; }} table{n} = {{ f{n}, {n}123456789123L }};\n\
             const long numbers{n}[4] = {{ {n}9876543210123, {n}1, {n}22222222, -{n}333333333L }};\n\
             __attribute__((section(\".init.text\"))) int i{n}(int x) {{ return x * {n}991 + (x >> {n} % 7); }}\n\
             __attribute__((section(\".smp_locks\"))) const long lock{n} = {n}7654321098L;\n\
             __attribute__((section(\".ro_after_init\"))) long late{n} = {n}4321098765L;\n"
        ));
    }
    text
}

fn build(dir: &Path) -> Vec<u8> {
    let [c, script, elf] = ["kernel.c", "kernel.lds", "kernel"].map(|name| dir.join(name));
    fs::write(&c, source()).unwrap();
    fs::write(&script, SCRIPT).unwrap();
    let flags = "-O2 -ffreestanding -fno-pic -no-pie -mcmodel=kernel -nostdlib -static -Wl,--emit-relocs";
    let mut args: Vec<String> = flags.split(' ').map(Into::into).collect();
    args.extend(["-Wl,-e,f1", "-Wl,-z,max-page-size=0x1000", "-o"].map(Into::into));
    args.extend([elf.display().to_string(), c.display().to_string()]);
    args.push(format!("-Wl,-T,{}", script.display()));
    run("gcc", args).unwrap();
    fs::read(elf).unwrap()
}

/// The words that move with the kernel: absolute ones, of 8 bytes or of 4.
fn moved(elf: &[u8]) -> Vec<Range<u64>> {
    const WIDTHS: [(u32, u64); 3] =
        [(object::elf::R_X86_64_64.0, 8), (object::elf::R_X86_64_32.0, 4), (object::elf::R_X86_64_32S.0, 4)];
    let file = object::read::elf::ElfFile64::<LittleEndian>::parse(elf).unwrap();
    let relocs = file.sections().flat_map(|section| section.relocations().collect::<Vec<_>>());
    let width = |flags| match flags {
        RelocationFlags::Elf { r_type } => {
            WIDTHS.iter().find(|(kind, _)| *kind == r_type.0).map(|(_, len)| *len)
        }
        _ => None,
    };
    relocs.filter_map(|(at, reloc)| Some(at..at + width(reloc.flags())?)).collect()
}

#[test]
fn a_kernel_is_known_by_what_stays_the_same_wherever_it_goes() {
    let dir = TempDir::new().unwrap();
    let elf = build(dir.path());
    let moved = moved(&elf);
    assert!(moved.len() >= 200, "the linker lists {} words", moved.len());
    let image = Image::parse("kernel", elf).unwrap();
    let at = |name| image.symbol(name).unwrap().address.get();
    let given_back = at("__init_begin")..at("__smp_locks_end");
    let constants = at("__start_rodata")..at("__end_rodata");
    let samples = image.identity().samples;
    assert!(samples.len() >= 8, "{} samples", samples.len());
    assert!(image.section(".rodata").unwrap().is_writable());
    assert!(samples.iter().any(|(addr, _)| constants.contains(&addr.get())), "no constants");
    for (addr, bytes) in samples {
        let sample = addr.get()..addr.get() + bytes.len() as u64;
        let meets = |other: &Range<u64>| other.start < sample.end && sample.start < other.end;
        assert!(!moved.iter().any(meets), "{sample:x?} has an address in it: {bytes:02x?}");
        assert!(!meets(&given_back), "{sample:x?} is given back");
    }
}
