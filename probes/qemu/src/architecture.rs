//! What QEMU's name of a target says about its words.
//!
//! Source: `SysEmuTarget` in `qapi/machine.json` of QEMU 10.0. Only what holds for every guest of a target is
//! told: an `aarch64` or `ppc64` may run either byte order, and a 64-bit target may run 32-bit code.

use covtap_link::{Endianness, PointerWidth};

use Endianness::{Big, Little};

/// A target's name, its byte order if all its guests have the same, and whether all its addresses have 32 bits.
type Row = (&'static str, Option<Endianness>, bool);

const TARGETS: [Row; 27] = [
    ("aarch64", None, false),
    ("alpha", Some(Little), false),
    ("arm", None, true),
    ("avr", Some(Little), true),
    ("hppa", Some(Big), false),
    ("i386", Some(Little), true),
    ("loongarch64", Some(Little), false),
    ("m68k", Some(Big), true),
    ("microblaze", Some(Big), true),
    ("microblazeel", Some(Little), true),
    ("mips", Some(Big), true),
    ("mips64", Some(Big), false),
    ("mips64el", Some(Little), false),
    ("mipsel", Some(Little), true),
    ("or1k", Some(Big), true),
    ("ppc", None, true),
    ("ppc64", None, false),
    ("riscv32", Some(Little), true),
    ("riscv64", Some(Little), false),
    ("rx", None, true),
    ("s390x", Some(Big), false),
    ("sh4", Some(Little), true),
    ("sh4eb", Some(Big), true),
    ("sparc", Some(Big), true),
    ("tricore", Some(Little), true),
    ("x86_64", Some(Little), false),
    ("xtensa", Some(Little), true),
];

/// The byte order of every guest of a target.
pub(crate) fn endianness(target: &str) -> Option<Endianness> {
    row(target)?.1
}

/// The pointer width of every guest of a target.
pub(crate) fn pointer_width(target: &str) -> Option<PointerWidth> {
    row(target)?.2.then_some(PointerWidth::Bits32)
}

/// The last address that a target's CPUs can form. QEMU itself cuts a longer one silently.
pub(crate) fn last_address(target: &str) -> u64 {
    match pointer_width(target) {
        Some(PointerWidth::Bits32) => u64::from(u32::MAX),
        Some(PointerWidth::Bits64) | None => u64::MAX,
    }
}

fn row(target: &str) -> Option<&'static Row> {
    TARGETS.iter().find(|(name, _, _)| *name == target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_for_every_guest_is_told() {
        assert_eq!(endianness("riscv32"), Some(Little));
        assert_eq!(pointer_width("riscv32"), Some(PointerWidth::Bits32));
        assert_eq!(endianness("arm"), None);
        assert_eq!(last_address("arm"), 0xffff_ffff);
        assert_eq!(pointer_width("x86_64"), None);
        assert_eq!(last_address("x86_64"), u64::MAX);
        assert_eq!(endianness("z80"), None);
        assert_eq!(last_address("z80"), u64::MAX);
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TARGETS.is_sorted_by_key(|(name, _, _)| *name));
    }
}
