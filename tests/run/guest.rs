//! Tiny guests that count a known number of calls and end at once.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covtap_testbed as testbed;
use tempfile::TempDir;

use crate::common;

/// How often a guest calls what it counts.
pub(crate) const CALLS: u64 = 1001;

/// A machine and its way to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// isa-debug-exit on x86-64.
    IsaDebugExit,
    /// Semihosting's SYS_EXIT_EXTENDED on a Cortex-M3.
    Semihosting,
    /// Semihosting's SYS_EXIT there, which has no code.
    PlainSemihosting,
    /// sifive-test on RISC-V.
    SifiveTest32,
    SifiveTest64,
    /// PSCI's SYSTEM_OFF on a Cortex-A53, which has no code.
    Psci,
}

impl End {
    fn compiler(self) -> &'static [&'static str] {
        match self {
            Self::IsaDebugExit => &["--target=i386-none-elf", "-fno-pic", "-mno-sse"],
            Self::Semihosting => &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"],
            Self::PlainSemihosting => {
                &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft", "-DPLAIN_EXIT"]
            }
            Self::SifiveTest32 => &["--target=riscv32-none-elf", "-march=rv32imac", "-mabi=ilp32"],
            Self::SifiveTest64 => {
                &["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"]
            }
            Self::Psci => &["--target=aarch64-none-elf", "-mgeneral-regs-only", "-mstrict-align"],
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::IsaDebugExit => "0x100000",
            Self::Semihosting | Self::PlainSemihosting => "0",
            Self::SifiveTest32 | Self::SifiveTest64 => "0x80000000",
            Self::Psci => "0x40200000",
        }
    }

    fn qemu(self) -> &'static [&'static str] {
        match self {
            Self::IsaDebugExit => {
                &["qemu-system-x86_64", "-M", "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
            }
            Self::Semihosting | Self::PlainSemihosting => {
                &["qemu-system-arm", "-M", "mps2-an385", "-semihosting-config", "enable=on,target=native"]
            }
            Self::SifiveTest32 => &["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
            Self::SifiveTest64 => &["qemu-system-riscv64", "-M", "virt", "-bios", "none"],
            Self::Psci => &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"],
        }
    }
}

/// A guest that was built, and a folder of its own: for its profile, and one for temporary files.
pub(crate) struct Built {
    end: End,
    dir: TempDir,
}

impl Built {
    /// Builds a guest that calls `calls` times (0: without end) and ends with `code`.
    pub(crate) fn new(end: End, calls: u64, code: u8) -> Self {
        let built = Self { end, dir: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(built.temporary()).expect("make a folder");
        let here = testbed::workspace_root().join("tests/run");
        let object = built.path("guest.o");
        let mut compile: Vec<String> = end.compiler().iter().map(ToString::to_string).collect();
        compile.extend([format!("-DCALLS={calls}"), format!("-DCODE={code}")]);
        compile.extend(
            ["-O1", "-ffreestanding", "-fprofile-instr-generate", "-fcoverage-mapping"].map(str::to_owned),
        );
        let files = [&here.join("guest.c"), Path::new("-o"), &object].map(|path| path.display().to_string());
        compile.extend(["-Wall", "-Werror", "-c"].map(str::to_owned).into_iter().chain(files));
        testbed::run("clang-19", compile).expect("the guest compiles");
        let base = format!("--defsym=BASE={}", end.base());
        let script = format!("-T{}", here.join("guest.x").display());
        let link = ["--build-id=sha1", "--nmagic", "-o", &built.elf().display().to_string(), &base, &script]
            .map(str::to_owned);
        testbed::run("ld.lld-19", link.into_iter().chain([object.display().to_string()])).expect("it links");
        built
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn elf(&self) -> PathBuf {
        self.path("guest.elf")
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.path("guest.profraw")
    }

    fn temporary(&self) -> PathBuf {
        self.path("temporary")
    }

    /// QEMU's command line, without the ELF.
    pub(crate) fn qemu(&self) -> Vec<String> {
        let common = ["-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none"];
        self.end.qemu().iter().chain(&common).map(ToString::to_string).collect()
    }

    /// How the guest ends by itself.
    pub(crate) fn code_alone(&self) -> Option<i32> {
        let words = self.qemu();
        let mut command = Command::new(testbed::tool(&words[0]).expect("QEMU"));
        command.args(&words[1..]).arg("-kernel").arg(self.elf());
        command.output().expect("QEMU starts").status.code()
    }

    /// `covtap run` of this guest, with more options.
    pub(crate) fn covtap(&self, options: &[&str]) -> Command {
        let elf = self.elf().display().to_string();
        let command = self.qemu().into_iter().chain(["-kernel".to_owned(), elf]);
        self.covtap_of(options, command)
    }

    /// `covtap run` of some command, with more options.
    pub(crate) fn covtap_of<S: AsRef<OsStr>>(
        &self,
        options: &[&str],
        guest: impl IntoIterator<Item = S>,
    ) -> Command {
        let output = self.profile().display().to_string();
        let mut command = common::covtap(["run", "-o", &output]);
        command.args(options).arg("--").args(guest).env("TMPDIR", self.temporary());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, options: &[&str]) -> Output {
        self.covtap(options).output().expect("covtap starts")
    }

    /// How often each function was entered, as the profile has it: `workload`, `counted`, `odd`.
    pub(crate) fn entered(&self) -> [u64; 3] {
        let counts = common::counts(&self.profile());
        ["workload", "counted", "odd"].map(|name| counts[name][0])
    }

    /// Asserts that no temporary file is left.
    pub(crate) fn assert_tidy(&self) {
        let left: Vec<_> = std::fs::read_dir(self.temporary()).expect("the folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
