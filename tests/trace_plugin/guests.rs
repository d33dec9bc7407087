//! Guests that nobody instrumented.

use std::path::{Path, PathBuf};
use std::process::Command;

use covtap_testbed as testbed;
use tempfile::TempDir;

use crate::common::plugin::plugin;

/// How often the guests that are written in C call what they work with.
pub(crate) const CALLS: u64 = 1001;

/// A machine with a guest of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Machine {
    CortexM,
    RiscV,
    X86,
    A64,
}

impl Machine {
    fn compiler(self) -> &'static [&'static str] {
        match self {
            Self::CortexM => &["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft"],
            Self::RiscV => &["--target=riscv64-none-elf", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"],
            Self::X86 => &["--target=i386-none-elf", "-fno-pic", "-mno-sse"],
            Self::A64 => &["--target=aarch64-none-elf", "-mgeneral-regs-only", "-mstrict-align"],
        }
    }

    pub(crate) fn base(self) -> u64 {
        match self {
            Self::CortexM => 0,
            Self::RiscV => 0x8000_0000,
            Self::X86 => 0x10_0000,
            Self::A64 => 0x4020_0000,
        }
    }

    fn qemu(self) -> &'static [&'static str] {
        match self {
            Self::CortexM => {
                &["qemu-system-arm", "-M", "mps2-an385", "-semihosting-config", "enable=on,target=native"]
            }
            Self::RiscV => &["qemu-system-riscv64", "-M", "virt", "-bios", "none"],
            Self::X86 => {
                &["qemu-system-x86_64", "-M", "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
            }
            Self::A64 => &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"],
        }
    }

    /// The instruction by which the guest asks for its end, where it runs on, nobody knows how long, until that comes.
    fn end(self) -> Option<&'static str> {
        match self {
            Self::RiscV => Some("sw"),
            Self::X86 => Some("outl"),
            Self::CortexM | Self::A64 => None,
        }
    }

    /// Whether llvm-objdump calls it a conditional branch.
    pub(crate) fn is_branch(self, mnemonic: &str) -> bool {
        let word = mnemonic.trim_end_matches(".w");
        match self {
            Self::CortexM => {
                const CONDITIONS: &str = "eq ne hs lo mi pl vs vc hi ls ge lt gt le";
                let condition = word.strip_prefix('b').unwrap_or("");
                CONDITIONS.split(' ').any(|known| known == condition) || word == "cbz" || word == "cbnz"
            }
            Self::RiscV => word.starts_with('b'),
            Self::X86 => word.starts_with('j') && !word.starts_with("jmp"),
            Self::A64 => word.starts_with("b.") || ["cbz", "cbnz", "tbz", "tbnz"].contains(&word),
        }
    }
}

/// A guest that was built, in a folder of its own.
pub(crate) struct Built {
    pub(crate) machine: Machine,
    dir: TempDir,
}

impl Built {
    /// The guest that calls what it works with `calls` times, 0: without end.
    pub(crate) fn calling(machine: Machine, calls: u64) -> Self {
        let source = testbed::workspace_root().join("tests/run/guest.c");
        Self::new(machine, &source, &[format!("-DCALLS={calls}"), "-DCODE=0".to_owned(), "-O1".to_owned()])
    }

    /// One of this test's own.
    pub(crate) fn of(machine: Machine, name: &str, flags: &[String]) -> Self {
        Self::new(machine, &testbed::workspace_root().join("tests/trace_plugin").join(name), flags)
    }

    fn new(machine: Machine, source: &Path, flags: &[String]) -> Self {
        let built = Self { machine, dir: tempfile::tempdir().expect("a folder") };
        let (object, elf) = (built.path("guest.o"), built.elf());
        let (object, elf) = (object.display().to_string(), elf.display().to_string());
        let mut compile: Vec<String> = machine.compiler().iter().map(ToString::to_string).collect();
        compile.extend_from_slice(flags);
        compile.extend(["-ffreestanding", "-c", "-o", &object].map(str::to_owned));
        compile.push(source.display().to_string());
        testbed::run("clang-19", compile).expect("the guest compiles");
        let script = format!("-T{}", testbed::workspace_root().join("tests/run/guest.x").display());
        let base = format!("--defsym=BASE={:#x}", machine.base());
        testbed::run("ld.lld-19", ["--nmagic", "-o", &elf, &base, &script, &object]).expect("it links");
        built
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn elf(&self) -> PathBuf {
        self.path("guest.elf")
    }

    /// QEMU's command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let quiet = ["-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none"];
        let words = self.machine.qemu().iter().chain(&quiet).map(ToString::to_string);
        words.chain(["-kernel".to_owned(), self.elf().display().to_string()]).collect()
    }

    /// QEMU, not yet started.
    pub(crate) fn qemu(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(testbed::tool(&words[0]).expect("QEMU"));
        command.args(&words[1..]);
        command
    }

    /// QEMU with the plugin, and the file that it writes.
    pub(crate) fn traced(&self, options: &str) -> (Command, PathBuf) {
        let file = self.path("memory");
        let mut command = self.qemu();
        let option = format!("{},trace={},{options}", plugin().display(), file.display());
        command.args(["-plugin", &option]);
        (command, file)
    }

    /// The address of a symbol.
    pub(crate) fn symbol(&self, name: &str) -> u64 {
        let elf = self.elf().display().to_string();
        let listed = testbed::run("llvm-nm-19", [&elf]).expect("symbols");
        let found = listed.lines().find_map(|line| line.strip_suffix(&format!(" {name}")));
        let address = found.and_then(|rest| rest.split(' ').next()).expect("the symbol");
        let thumb_bit = u64::from(self.machine == Machine::CortexM);
        u64::from_str_radix(address, 16).expect("an address") & !thumb_bit
    }

    /// The guest's instructions as llvm-objdump has them: address, length and mnemonic.
    pub(crate) fn instructions(&self) -> Vec<(u64, u64, String)> {
        let elf = self.elf().display().to_string();
        let text = testbed::run("llvm-objdump-19", ["-d", &elf]).expect("a disassembly");
        let lines = text.lines().filter_map(|line| {
            let (address, rest) = line.split_once(": ")?;
            let address = u64::from_str_radix(address.trim(), 16).ok()?;
            let mut columns = rest.split('\t');
            let digits = columns.next()?.chars().filter(char::is_ascii_hexdigit).count();
            Some((address, digits as u64 / 2, columns.next()?.trim().to_owned()))
        });
        lines.collect()
    }

    /// Those of them that are executed a known number of times.
    pub(crate) fn instructions_before_the_end(&self) -> Vec<(u64, u64, String)> {
        let mut all = self.instructions();
        if let Some(end) = self.machine.end() {
            let at = all.iter().rposition(|(_, _, mnemonic)| mnemonic == end);
            all.truncate(at.expect("the guest ends"));
        }
        all
    }
}
