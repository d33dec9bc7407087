//! Small guests, built with clang for a PC, a Cortex-M3 and others, on the boards of `tests/resets`.

use std::path::{Path, PathBuf};

use covtap_testbed::{self as testbed, Guest, GuestBuilder, Machine, workspace_root};

/// What a guest is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Board {
    /// A Cortex-M3 that begins in flash.
    An385,
    /// A PC in 32-bit mode, whatever its processor is.
    I386,
    /// A PC in 64-bit mode.
    X86_64,
    Aarch64,
    Riscv32,
    Riscv64,
}

impl Board {
    fn machine(self) -> Machine {
        match self {
            Self::An385 => Machine::An385,
            Self::I386 | Self::X86_64 => Machine::X86Pvh,
            Self::Aarch64 => Machine::Aarch64Virt,
            Self::Riscv32 => Machine::Riscv32Virt,
            Self::Riscv64 => Machine::Riscv64Virt,
        }
    }

    fn compiler(self) -> &'static [&'static str] {
        match self {
            Self::An385 => &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"],
            Self::I386 => &["--target=i386-none-elf", "-march=i686", "-fno-pic"],
            Self::X86_64 => &["--target=x86_64-none-elf", "-mno-red-zone", "-mgeneral-regs-only", "-fno-pic"],
            Self::Aarch64 => &["--target=aarch64-none-elf", "-mgeneral-regs-only", "-mstrict-align"],
            Self::Riscv32 => &["--target=riscv32-none-elf", "-march=rv32imac", "-mabi=ilp32"],
            Self::Riscv64 => {
                &["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"]
            }
        }
    }

    /// What it begins with, and what has its second serial port.
    fn sources(self) -> [&'static str; 2] {
        match self {
            Self::An385 => ["an385.c", "serial_an385.c"],
            Self::I386 | Self::X86_64 => ["pc.c", "serial.c"],
            Self::Aarch64 => ["aarch64.c", "serial_aarch64.c"],
            Self::Riscv32 | Self::Riscv64 => ["riscv.c", "serial_riscv.c"],
        }
    }

    /// What tells the linker where things go.
    fn layout(self) -> Vec<String> {
        let guests = workspace_root().join("examples/guests");
        let in_memory = |base: &str| {
            let script = workspace_root().join("tests/resets/ram.x").display().to_string();
            vec![format!("--defsym=BASE={base}"), "-T".to_owned(), script]
        };
        match self {
            Self::An385 => ["c-an385/an385.x", "coverage.x"]
                .iter()
                .flat_map(|script| ["-T".to_owned(), guests.join(script).display().to_string()])
                .collect(),
            Self::I386 | Self::X86_64 => in_memory("0x100000"),
            Self::Aarch64 => in_memory("0x40200000"),
            Self::Riscv32 | Self::Riscv64 => in_memory("0x80000000"),
        }
    }

    /// What waits for a command on the guest's second serial port.
    pub(crate) fn serial(self) -> PathBuf {
        let [_, serial] = self.sources();
        workspace_root().join("tests/labels").join(serial)
    }

    /// The guest, whose second serial port is the socket that somebody listens on.
    pub(crate) fn guest_with_serial(self, elf: &Path, socket: &Path) -> GuestBuilder {
        let args = match self {
            Self::Riscv32 | Self::Riscv64 => {
                let socket = format!("socket,id=second,path={}", socket.display());
                ["-chardev".to_owned(), socket, "-device".into(), "pci-serial,chardev=second,addr=1".into()]
                    .to_vec()
            }
            _ => ["-serial".to_owned(), format!("unix:{}", socket.display())].to_vec(),
        };
        self.guest(elf).args(args)
    }

    /// The guest on its machine.
    pub(crate) fn guest(self, elf: &Path) -> GuestBuilder {
        Guest::builder(self.machine(), elf)
    }

    /// Builds a guest whose `main` is instrumented, and whose board and `helpers` are not.
    pub(crate) fn build(self, main: &Path, helpers: &[&Path], flags: &[&str], elf: &Path) {
        let boards = workspace_root().join("tests/resets");
        let include = format!("-I{}", boards.display());
        let compile = |source: &Path, more: &[&str]| {
            let name = source.file_name().expect("a name");
            let object = elf.with_file_name(name).with_extension("o").display().to_string();
            let source = source.display().to_string();
            let common =
                ["-std=c17", "-O1", "-ffreestanding", "-Wall", "-Wextra", "-Werror", &include, "-c", &source];
            let args = self.compiler().iter().chain(&common).chain(flags).chain(more).copied();
            testbed::run("clang-19", args.chain(["-o", &object])).expect("it compiles");
            object
        };
        let [board, _] = self.sources();
        let [console, board] = ["console.c", board].map(|name| boards.join(name));
        let mut link = vec!["--gc-sections".to_owned(), "--build-id=sha1".into(), "--nmagic".into()];
        link.extend(self.layout());
        link.push(compile(main, &["-fprofile-instr-generate", "-fcoverage-mapping"]));
        let others = helpers.iter().copied().chain([console.as_path(), &board]);
        link.extend(others.map(|source| compile(source, &[])));
        link.extend(["-o".to_owned(), elf.display().to_string()]);
        testbed::run("ld.lld-19", link).expect("it links");
    }
}
