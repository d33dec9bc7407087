//! Guests that call `program` once and end: built by two compilers for each instruction set, and traced by QEMU's log.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::image::Image;
use covtap::profile::trace::{self, Counting, TraceBuilder};
use covtap_testbed::{executed, run, tool, workspace_root};
use tempfile::TempDir;

pub(crate) const CLANG: &str = "clang";
pub(crate) const GCC: &str = "gcc";

/// Where a guest goes that can be anywhere.
pub(crate) const MOVED_TO: u64 = 0x4020_0000;

/// An instruction set, with a machine of QEMU's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isa {
    Thumb,
    Arm,
    A64,
    RiscV32,
    RiscV64,
    X86,
}

impl Isa {
    pub(crate) const ALL: [Self; 6] =
        [Self::Thumb, Self::Arm, Self::A64, Self::RiscV32, Self::RiscV64, Self::X86];
    /// Those that a GCC is there for.
    pub(crate) const OF_GCC: [Self; 5] = [Self::Thumb, Self::Arm, Self::RiscV32, Self::RiscV64, Self::X86];

    /// The compiler with what it must be told.
    fn compiler(self, compiler: &str) -> &'static [&'static str] {
        match (self, compiler == CLANG) {
            (Self::Thumb, true) => &["clang-19", "--target=thumbv7m-none-eabi"],
            (Self::Thumb, false) => &["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb"],
            (Self::Arm, true) => &["clang-19", "--target=armv7a-none-eabi", "-mfloat-abi=soft"],
            (Self::Arm, false) => &["arm-none-eabi-gcc", "-march=armv7-a", "-marm", "-mfloat-abi=soft"],
            (Self::A64, _) => &["clang-19", "--target=aarch64-none-elf", "-mstrict-align"],
            (Self::RiscV32, true) => {
                &["clang-19", "--target=riscv32-none-elf", "-march=rv32imac", "-mabi=ilp32", "-mno-relax"]
            }
            (Self::RiscV32, false) => {
                &["riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", "-mno-relax"]
            }
            (Self::RiscV64, true) => &[
                "clang-19",
                "--target=riscv64-none-elf",
                "-march=rv64imac",
                "-mabi=lp64",
                "-mcmodel=medany",
                "-mno-relax",
            ],
            (Self::RiscV64, false) => {
                &["riscv64-unknown-elf-gcc", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-mno-relax"]
            }
            (Self::X86, true) => &["clang-19", "--target=x86_64-none-elf", "-mno-red-zone", "-fno-pic"],
            (Self::X86, false) => &["gcc", "-mno-red-zone", "-fno-pic", "-fcf-protection=none"],
        }
    }

    fn base(self) -> u64 {
        match self {
            Self::Thumb => 0,
            Self::Arm | Self::A64 => MOVED_TO,
            Self::RiscV32 | Self::RiscV64 => 0x8000_0000,
            Self::X86 => 0x10_0000,
        }
    }

    fn qemu(self) -> &'static [&'static str] {
        match self {
            Self::Thumb => &["qemu-system-arm", "-M", "mps2-an385", "-semihosting"],
            Self::Arm => &["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-semihosting"],
            Self::A64 => &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"],
            Self::RiscV32 => &["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
            Self::RiscV64 => &["qemu-system-riscv64", "-M", "virt", "-bios", "none"],
            Self::X86 => &[
                "qemu-system-x86_64",
                "-M",
                "q35",
                "-vga",
                "none",
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4",
            ],
        }
    }
}

/// A guest that was built, in a folder of its own.
pub(crate) struct Built {
    isa: Isa,
    dir: TempDir,
    /// Whether it is not where it was linked.
    is_moved: bool,
}

impl Built {
    /// One of the sources beside this file.
    pub(crate) fn new(isa: Isa, compiler: &str, source: &str, flags: &[&str]) -> Self {
        let source = workspace_root().join("tests/trace_dwarf").join(source);
        Self::of(isa, compiler, &source, flags)
    }

    /// A source of that text.
    pub(crate) fn of_text(isa: Isa, compiler: &str, name: &str, text: &str, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join(name);
        fs::write(&source, text).unwrap();
        Self::of(isa, compiler, &source, flags)
    }

    fn of(isa: Isa, compiler: &str, source: &Path, flags: &[&str]) -> Self {
        let built = Self { isa, dir: tempfile::tempdir().unwrap(), is_moved: false };
        built.compile(compiler, source, flags);
        built.start(&[]);
        built.link(&[]);
        built
    }

    /// A Rust source, by the toolchain that is there for this host.
    pub(crate) fn rust(source: &Path) -> Self {
        let built = Self { isa: Isa::X86, dir: tempfile::tempdir().unwrap(), is_moved: false };
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.args(["--edition=2024", "--emit=obj", "-g", "-Copt-level=0", "-Coverflow-checks=off"]);
        command.args(["-Cpanic=abort", "-Crelocation-model=static", "--target=x86_64-unknown-linux-gnu"]);
        succeed(command.args(["-Cno-redzone=yes", "-o"]).arg(built.path("program.o")).arg(source));
        built.start(&[]);
        built.link(&[]);
        built
    }

    /// For A64, linked at 0 and loaded at [`MOVED_TO`].
    pub(crate) fn moved(source: &str, flags: &[&str]) -> Self {
        let built = Self { isa: Isa::A64, dir: tempfile::tempdir().unwrap(), is_moved: true };
        let source = workspace_root().join("tests/trace_dwarf").join(source);
        built.compile(CLANG, &source, &[flags, &["-fpie"]].concat());
        built.start(&["-fpie"]);
        built.link(&["-pie", "--no-dynamic-linker"]);
        let elf = built.elf_text();
        run("llvm-objcopy-19", ["-O", "binary", &elf, &built.path("raw").display().to_string()]).unwrap();
        built
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn elf(&self) -> PathBuf {
        self.path("guest.elf")
    }

    pub(crate) fn elf_text(&self) -> String {
        self.elf().display().to_string()
    }

    /// The bytes of its code.
    pub(crate) fn code(&self) -> Vec<u8> {
        let image = Image::parse("guest", fs::read(self.elf()).unwrap()).unwrap();
        image.section(".text").unwrap().data().unwrap().into_owned()
    }

    /// Compiles in the guest's folder, so that files beside the object are there.
    fn compile(&self, compiler: &str, source: &Path, flags: &[&str]) {
        let words = self.isa.compiler(compiler);
        let mut command = Command::new(tool(words[0]).unwrap());
        command.current_dir(&self.dir).args(&words[1..]).args(flags).args(["-ffreestanding", "-c"]);
        succeed(command.args(["-o", "program.o"]).arg(source));
    }

    fn start(&self, flags: &[&str]) {
        let words = self.isa.compiler(CLANG);
        let mut command = Command::new(tool(words[0]).unwrap());
        command.current_dir(&self.dir).args(&words[1..]).args(flags).args(["-c", "-o", "start.o"]);
        succeed(command.arg(workspace_root().join("tests/trace_dwarf/start.S")));
    }

    fn link(&self, flags: &[&str]) {
        let mut command = Command::new(tool("ld.lld-19").unwrap());
        let base = if self.is_moved { 0 } else { self.isa.base() };
        let script = format!("-T{}", workspace_root().join("tests/run/guest.x").display());
        command.current_dir(&self.dir).args(["--nmagic", &format!("--defsym=BASE={base:#x}"), &script]);
        succeed(command.args(flags).args(["-o", "guest.elf", "start.o", "program.o"]));
    }

    /// Runs it, and gives a trace of what it executed by QEMU's log.
    pub(crate) fn trace(&self) -> PathBuf {
        let log = self.path("log");
        let qemu = self.isa.qemu();
        let mut command = Command::new(tool("timeout").unwrap());
        command.arg("120").arg(tool(qemu[0]).unwrap()).args(&qemu[1..]);
        command.args(["-display", "none", "-nic", "none", "-serial", "none", "-monitor", "none"]);
        command.args(["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain", "-D"]).arg(&log);
        // Firmware is none of it.
        let start = if self.is_moved { MOVED_TO } else { self.isa.base() };
        command.args(["-dfilter", &format!("{start:#x}+0x10000")]);
        if self.is_moved {
            let raw = self.path("raw").display().to_string();
            command.args(["-device", &format!("loader,file={raw},addr={MOVED_TO:#x},force-raw=on")]);
            command.args(["-device", &format!("loader,addr={MOVED_TO:#x},cpu-num=0")]);
        } else {
            command.arg("-kernel").arg(self.elf());
        }
        let output = command.output().unwrap();
        // isa-debug-exit has no code 0.
        let is_ended =
            output.status.code().is_some_and(|code| code != 124 && (code == 0 || self.isa == Isa::X86));
        assert!(is_ended, "{command:?}: {output:?}");
        let mut builder = TraceBuilder::new(Counting::Times);
        for address in executed(BufReader::new(File::open(&log).unwrap())) {
            builder.block("", address.unwrap(), 1, 1).unwrap();
        }
        let file = self.path("guest.covtrace");
        fs::write(&file, trace::encode(&builder.finish())).unwrap();
        file
    }
}

pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
