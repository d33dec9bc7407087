//! Names of architectures.

use covtap_link::{Endianness, PointerWidth};
use object::elf;

/// Machine, pointer width in bytes, little-endian, name. The names are LLVM's (`Triple.cpp`), without
/// subarchitectures, which an ELF header does not tell.
const NAMES: &[(elf::Machine, usize, bool, &str)] = &[
    (elf::EM_X86_64, 8, true, "x86_64"),
    (elf::EM_X86_64, 4, true, "x86_64 (x32)"),
    (elf::EM_386, 4, true, "i386"),
    (elf::EM_ARM, 4, true, "arm"),
    (elf::EM_ARM, 4, false, "armeb"),
    (elf::EM_AARCH64, 8, true, "aarch64"),
    (elf::EM_AARCH64, 8, false, "aarch64_be"),
    (elf::EM_RISCV, 4, true, "riscv32"),
    (elf::EM_RISCV, 8, true, "riscv64"),
    (elf::EM_PPC, 4, false, "powerpc"),
    (elf::EM_PPC, 4, true, "powerpcle"),
    (elf::EM_PPC64, 8, false, "powerpc64"),
    (elf::EM_PPC64, 8, true, "powerpc64le"),
    (elf::EM_S390, 8, false, "s390x"),
    (elf::EM_MIPS, 4, false, "mips"),
    (elf::EM_MIPS, 4, true, "mipsel"),
    (elf::EM_MIPS, 8, false, "mips64"),
    (elf::EM_MIPS, 8, true, "mips64el"),
    (elf::EM_LOONGARCH, 8, true, "loongarch64"),
    (elf::EM_XTENSA, 4, true, "xtensa"),
    (elf::EM_AVR, 4, true, "avr"),
    (elf::EM_MSP430, 4, true, "msp430"),
    (elf::EM_HEXAGON, 4, true, "hexagon"),
    (elf::EM_SPARCV9, 8, false, "sparcv9"),
];

pub(super) fn name(machine: elf::Machine, width: PointerWidth, endianness: Endianness) -> &'static str {
    let wanted = (machine, width.bytes(), endianness == Endianness::Little);
    NAMES
        .iter()
        .find(|(machine, bytes, is_little, _)| (*machine, *bytes, *is_little) == wanted)
        .map_or("unknown", |(.., name)| name)
}
