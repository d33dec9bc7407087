//! Where the arguments of a call are when the function is entered, and what breakpoints are called, by architecture.
//!
//! Sources, for arguments that are integers or pointers:
//! - Arm: Procedure Call Standard for the Arm Architecture (AAPCS32), "Parameter passing";
//! - `AArch64`: Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), "Parameter passing";
//! - RISC-V: RISC-V ELF psABI, "Integer Calling Convention";
//! - x86-64: System V ABI, AMD64 supplement, 3.2.3; Windows' convention is another one;
//! - i386: System V ABI, Intel386 supplement, 2.2.3: the return address is on top of the stack, the arguments are above;
//! - breakpoints: the GDB manual, "`Z0`" and "Architecture-Specific Protocol Details"; for RISC-V, GDB's
//!   `riscv_breakpoint_kind_from_pc`.
//!
//! Names of registers are those of GDB's standard target features.

use covtap_link::TargetAddr;
use object::elf;

use crate::image::{Image, ImageAddr, Slide};

/// How calls are made.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Abi {
    machine: elf::Machine,
    /// The registers of the first arguments.
    registers: &'static [&'static str],
    /// The names of the stack pointer, where arguments are on the stack.
    stack: &'static [&'static str],
    /// The names of the register that holds the address of the next instruction.
    pub(super) counters: &'static [&'static str],
}

/// Where an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In this register.
    Register(&'static str),
    /// So many bytes above the stack pointer, which has one of these names.
    Stack { pointer: &'static [&'static str], offset_bytes: u64 },
}

/// So many arguments on the stack are known.
const NUM_ON_STACK: usize = 8;

/// The length of an argument on i386's stack.
const STACK_SLOT_BYTES: u64 = 4;

/// The registers that a PC has for the stack and the next instruction: a server describes the processor as it is, which
/// may be a 64-bit one.
const PC_STACK: &[&str] = &["esp", "rsp"];
const PC_COUNTERS: &[&str] = &["eip", "rip"];

const ABIS: &[Abi] = &[
    Abi { machine: elf::EM_ARM, registers: &["r0", "r1", "r2", "r3"], stack: &[], counters: &["pc"] },
    Abi {
        machine: elf::EM_AARCH64,
        registers: &["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"],
        stack: &[],
        counters: &["pc"],
    },
    Abi {
        machine: elf::EM_RISCV,
        registers: &["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"],
        stack: &[],
        counters: &["pc"],
    },
    Abi {
        machine: elf::EM_X86_64,
        registers: &["rdi", "rsi", "rdx", "rcx", "r8", "r9"],
        stack: &[],
        counters: PC_COUNTERS,
    },
    Abi { machine: elf::EM_386, registers: &[], stack: PC_STACK, counters: PC_COUNTERS },
];

impl Abi {
    /// How calls are made on the machine of that number (`e_machine`).
    pub(super) fn of(machine: u16) -> Option<&'static Self> {
        ABIS.iter().find(|abi| abi.machine.0 == machine)
    }

    /// How many arguments of a call can be found.
    pub(super) fn num_arguments(&self) -> usize {
        if self.stack.is_empty() { self.registers.len() } else { NUM_ON_STACK }
    }

    /// Where the argument of that number is, from 1.
    pub(super) fn argument(&self, number: usize) -> Option<Place> {
        let index = number.checked_sub(1).filter(|index| *index < self.num_arguments())?;
        if self.stack.is_empty() {
            return self.registers.get(index).copied().map(Place::Register);
        }
        let offset_bytes = STACK_SLOT_BYTES * number as u64;
        Some(Place::Stack { pointer: self.stack, offset_bytes })
    }
}

/// Where the breakpoint at the entry of some code is, and of which kind it is, as the `Z0` packet has it.
pub(super) fn entry(image: &Image, slide: Slide, code: ImageAddr) -> (TargetAddr, u8) {
    let addr = slide.apply(code, image.pointer_width());
    let bits = addr.get();
    match elf::Machine(image.machine()) {
        elf::EM_ARM if bits % 2 == 1 => (TargetAddr::new(bits - 1), 2),
        elf::EM_386 | elf::EM_X86_64 => (addr, 1),
        // The length of the instruction that is there: its two lowest bits tell.
        elf::EM_RISCV => {
            let first = image.bytes_at(code, 1).and_then(|bytes| bytes.first().copied());
            let is_long = bits.is_multiple_of(4) && first.is_none_or(|byte| byte & 3 == 3);
            (addr, if is_long { 4 } else { 2 })
        }
        _ => (addr, 4),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use covtap_testbed as testbed;

    use super::*;

    /// Where clang has the arguments of a function when it is entered, by the assembler's names.
    fn places_by_clang(target: &str, constraint: &str, num_arguments: usize) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let [source, out] = ["calls.c", "calls.s"].map(|name| dir.path().join(name).display().to_string());
        let parameters: Vec<_> = (1..=num_arguments).map(|n| format!("long a{n}")).collect();
        let function = |n| {
            let parameters = parameters.join(", ");
            let ascii = r#".ascii \"@@%0@@\""#;
            format!(
                "void f{n}({parameters}) {{ __asm__ volatile(\"{ascii}\" :: \"{constraint}\"(a{n})); }}\n"
            )
        };
        fs::write(&source, (1..=num_arguments).map(function).collect::<String>()).unwrap();
        let target = format!("--target={target}");
        let how = ["-O1", "-fomit-frame-pointer", "-fno-integrated-as", "-S", &target];
        testbed::run("clang-19", how.iter().chain(&[source.as_str(), "-o", &out])).unwrap();
        let text = fs::read_to_string(out).unwrap();
        text.split("@@").skip(1).step_by(2).map(|place| place.replace('%', "")).collect()
    }

    #[test]
    fn arguments_are_where_clang_has_them() {
        let targets = [
            (elf::EM_ARM, "thumbv7m-none-eabi"),
            (elf::EM_ARM, "armv7a-none-eabi"),
            (elf::EM_AARCH64, "aarch64-none-elf"),
            (elf::EM_AARCH64, "aarch64_be-none-elf"),
            (elf::EM_RISCV, "riscv32-none-elf"),
            (elf::EM_RISCV, "riscv64-none-elf"),
            (elf::EM_X86_64, "x86_64-none-elf"),
        ];
        for (machine, target) in targets {
            let abi = abi(machine);
            assert_eq!(places_by_clang(target, "r", abi.num_arguments()), abi.registers, "{target}");
        }
        let i386 = abi(elf::EM_386);
        let place = |number| match i386.argument(number) {
            Some(Place::Stack { pointer, offset_bytes }) => format!("{offset_bytes}({})", pointer[0]),
            other => panic!("{other:?}"),
        };
        let places: Vec<_> = (1..=i386.num_arguments()).map(place).collect();
        assert_eq!(places_by_clang("i386-none-elf", "m", i386.num_arguments()), places);
    }

    fn abi(machine: elf::Machine) -> &'static Abi {
        Abi::of(machine.0).expect("it is known")
    }

    #[test]
    fn arguments_are_where_each_abi_has_them() {
        let register = |machine, number| abi(machine).argument(number);
        assert_eq!(register(elf::EM_ARM, 1), Some(Place::Register("r0")));
        assert_eq!(register(elf::EM_ARM, 4), Some(Place::Register("r3")));
        assert_eq!(register(elf::EM_ARM, 5), None);
        assert_eq!(register(elf::EM_AARCH64, 8), Some(Place::Register("x7")));
        assert_eq!(register(elf::EM_RISCV, 2), Some(Place::Register("a1")));
        assert_eq!(register(elf::EM_X86_64, 1), Some(Place::Register("rdi")));
        assert_eq!(register(elf::EM_X86_64, 6), Some(Place::Register("r9")));
        assert_eq!(
            register(elf::EM_386, 1),
            Some(Place::Stack { pointer: &["esp", "rsp"], offset_bytes: 4 })
        );
        assert_eq!(
            register(elf::EM_386, 8),
            Some(Place::Stack { pointer: &["esp", "rsp"], offset_bytes: 32 })
        );
        for abi in ABIS {
            assert_eq!(abi.argument(0), None, "{abi:?}");
            assert_eq!(abi.argument(abi.num_arguments() + 1), None, "{abi:?}");
            assert_eq!(abi.argument(usize::MAX), None, "{abi:?}");
        }
        assert_eq!(Abi::of(elf::EM_AVR.0), None);
    }
}
