//! What programs are built for, and by what: targets, compilers, levels of optimisation.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use covtap_testbed::{Machine, tool};

/// A processor, and the machine of QEMU's that has it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) machine: Machine,
    /// What QEMU is told beside.
    pub(super) qemu: &'static [&'static str],
    /// Its exit code when the guest has come to its end.
    pub(super) exit_code: i32,
    /// Where the guest's memory begins.
    pub(super) base: &'static str,
    /// What the names of GNU's tools begin with.
    gnu: &'static str,
    gnu_args: &'static [&'static str],
    clang_args: &'static [&'static str],
    /// Whether it needs what a PC begins with.
    pub(super) has_firmware: bool,
    /// Whether the instruction by which the guest asks for its end is executed before that comes.
    pub(super) ends_after_a_step: bool,
}

const SEMIHOSTING: &[&str] = &["-semihosting-config", "enable=on,target=native"];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "Thumb-2",
        machine: Machine::An385,
        qemu: SEMIHOSTING,
        exit_code: 0,
        base: "0",
        gnu: "arm-none-eabi-",
        gnu_args: &["-mcpu=cortex-m3", "-mthumb"],
        clang_args: &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"],
        has_firmware: false,
        ends_after_a_step: false,
    },
    Target {
        name: "A64",
        machine: Machine::A64Virt,
        qemu: SEMIHOSTING,
        exit_code: 0,
        base: "0x40200000",
        gnu: "aarch64-linux-gnu-",
        gnu_args: &["-mgeneral-regs-only", "-mstrict-align", "-mno-outline-atomics"],
        clang_args: &["--target=aarch64-none-elf", "-mgeneral-regs-only", "-mstrict-align"],
        has_firmware: false,
        ends_after_a_step: false,
    },
    Target {
        name: "RV32",
        machine: Machine::Riscv32Virt,
        qemu: SEMIHOSTING,
        exit_code: 0,
        base: "0x80000000",
        gnu: "riscv64-unknown-elf-",
        gnu_args: &["-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"],
        clang_args: &["--target=riscv32-none-elf", "-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"],
        has_firmware: false,
        ends_after_a_step: false,
    },
    Target {
        name: "RV64",
        machine: Machine::Riscv64Virt,
        qemu: SEMIHOSTING,
        exit_code: 0,
        base: "0x80000000",
        gnu: "riscv64-unknown-elf-",
        gnu_args: &["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"],
        clang_args: &["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"],
        has_firmware: false,
        ends_after_a_step: false,
    },
    Target {
        name: "x86-64",
        machine: Machine::X86Pvh,
        // A guest that faults would begin anew.
        qemu: &["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
        exit_code: 1,
        base: "0x100000",
        gnu: "",
        gnu_args: &["-mno-red-zone", "-fcf-protection=none"],
        clang_args: &["--target=x86_64-none-elf", "-mno-red-zone"],
        has_firmware: true,
        ends_after_a_step: true,
    },
];

/// What all programs are compiled with.
const COMMON: &[&str] =
    &["-std=gnu17", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector", "-w", "-g"];

/// The levels of optimisation.
pub(super) const LEVELS: [&str; 4] = ["-O0", "-O1", "-O2", "-Os"];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Compiler {
    Gcc,
    Clang,
}

impl Compiler {
    pub(super) const ALL: [Self; 2] = [Self::Gcc, Self::Clang];
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gcc => "gcc",
            Self::Clang => "clang-19",
        })
    }
}

/// A compiler for a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Toolchain {
    pub(super) target: &'static Target,
    pub(super) compiler: Compiler,
}

impl Toolchain {
    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        let of_target = |target| Compiler::ALL.map(|compiler| Self { target, compiler });
        TARGETS.iter().flat_map(of_target).collect()
    }

    /// The compiler, to be run in `dir`, told what it compiles for and how, but for the level.
    pub(super) fn compile(&self, dir: &Path) -> Result<Command> {
        let mut command = match self.compiler {
            Compiler::Gcc => self.gcc()?,
            Compiler::Clang => {
                let mut clang = Command::new(tool("clang-19")?);
                clang.args(self.target.clang_args);
                clang
            }
        };
        command.args(COMMON).current_dir(dir);
        Ok(command)
    }

    /// The linker: each compiler's own, so that both ways of leaving out code are met.
    pub(super) fn link(&self, dir: &Path) -> Result<Command> {
        let name = match self.compiler {
            Compiler::Gcc => format!("{}ld", self.target.gnu),
            Compiler::Clang => "ld.lld-19".to_owned(),
        };
        let mut command = Command::new(tool(&name)?);
        if self.compiler == Compiler::Gcc {
            command.arg("--no-warn-rwx-segments");
        }
        if self.compiler == Compiler::Gcc && self.target.machine == Machine::Riscv32Virt {
            command.args(["-m", "elf32lriscv"]);
        }
        command.current_dir(dir);
        Ok(command)
    }

    /// GCC's library of what processors cannot do by themselves, which clang's code takes as well.
    pub(super) fn support_library(&self) -> Result<String> {
        let printed = crate::child::output(self.gcc()?.arg("-print-libgcc-file-name"))?;
        Ok(String::from_utf8_lossy(&printed.stdout).trim().to_owned())
    }

    /// What puts the counters of the compiler's own coverage on lines.
    pub(super) fn gcov(&self, dir: &Path) -> Result<Command> {
        let mut command = match self.compiler {
            Compiler::Gcc => {
                let mut gcov = Command::new(tool(&format!("{}gcov", self.target.gnu))?);
                gcov.args(["--json-format", "--stdout"]);
                gcov
            }
            Compiler::Clang => {
                let mut gcov = Command::new(tool("llvm-cov-19")?);
                gcov.args(["gcov", "--stdout"]);
                gcov
            }
        };
        command.current_dir(dir);
        Ok(command)
    }

    fn gcc(&self) -> Result<Command> {
        let mut command = Command::new(tool(&format!("{}gcc", self.target.gnu))?);
        command.args(self.target.gnu_args);
        Ok(command)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<9}", self.target.name, self.compiler)
    }
}
