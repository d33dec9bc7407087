//! The rows of the table: a language, a compiler, a target, and what is special.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};
use covtap_testbed::tool;

use super::corpus::{Language, Program};
use crate::child;

/// How a program is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Run {
    /// As a process with a C library and, where the compiler has it, LLVM's profiling runtime.
    Hosted,
    /// As a process without a library.
    Alone,
    /// Not: this machine is another one. Its counts are made up.
    Never,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    /// Regions of source.
    Coverage,
    /// Edges of intermediate code: there is no mapping, only counts.
    Edges,
}

/// A machine that is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    /// The target as clang and rustc call it; rustc's is empty where it has none.
    pub(super) clang: &'static str,
    pub(super) rustc: &'static str,
    pub(super) run: Run,
    /// How clang is told to compile.
    pub(super) compile: &'static [&'static str],
    /// How lld is told to link.
    pub(super) link: &'static [&'static str],
}

const GC: &[&str] = &["--gc-sections"];
const X86_64: Target = Target {
    name: "x86-64",
    clang: "x86_64-linux-gnu",
    rustc: "x86_64-unknown-linux-gnu",
    run: Run::Hosted,
    compile: &[],
    link: &[],
};
const I386: Target = Target {
    name: "i386",
    clang: "i386-linux-gnu",
    rustc: "i686-unknown-linux-gnu",
    run: Run::Alone,
    compile: &["-ffreestanding", "-fno-pic", "-fno-stack-protector", "-O1"],
    link: &["-m", "elf_i386"],
};
const ARMEB: Target = bare("armeb", "armebv7r-none-eabi", "armebv7r-none-eabi", &["-O0"], &[]);
#[rustfmt::skip] // One line for each target.
const TARGETS: [Target; 8] = [
    X86_64,
    I386,
    bare("thumbv7m", "thumbv7m-none-eabi", "thumbv7m-none-eabi", &["-Os", "-ffunction-sections", "-fdata-sections"], GC),
    bare("riscv32", "riscv32-none-elf", "riscv32imac-unknown-none-elf", &["-Os"], &[]),
    bare("riscv64", "riscv64-none-elf", "riscv64imac-unknown-none-elf", &["-O2", "-ffunction-sections"], GC),
    bare("aarch64", "aarch64-none-elf", "aarch64-unknown-none", &["-O1"], &[]),
    ARMEB,
    bare("s390x", "s390x-linux-gnu", "", &["-O1", "-fno-pic"], &[]),
];

/// A target without an operating system.
const fn bare(
    name: &'static str,
    clang: &'static str,
    rustc: &'static str,
    compile: &'static [&'static str],
    link: &'static [&'static str],
) -> Target {
    Target { name, clang, rustc, run: Run::Never, compile, link }
}

/// What is special about a setup, for one that has something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flavour {
    pub(super) name: &'static str,
    pub(super) args: &'static [&'static str],
    pub(super) counted: Counted,
}

const fn flavour(name: &'static str, args: &'static [&'static str]) -> Flavour {
    Flavour { name, args, counted: Counted::Coverage }
}

const PLAIN: Flavour = flavour("", &[]);
const MCDC: Flavour = flavour("mcdc", &["-fcoverage-mcdc"]);
const BYTES: Flavour = flavour("bytes", &["-mllvm", "-enable-single-byte-coverage=true"]);
const OPTIMISED: Flavour = flavour("O2", &["-O2"]);
const UNCOMPRESSED: Flavour = flavour("plain-names", &["-mllvm", "-enable-name-compression=false"]);
const ATOMIC: Flavour = flavour("atomic", &["-fprofile-update=atomic"]);
const CORRELATED: Flavour = flavour("correlated", &["-mllvm", "-profile-correlate=binary"]);
const EDGES: Flavour =
    Flavour { name: "edges", args: &["-mllvm", "-disable-vp=true"], counted: Counted::Edges };
const RUST_OPTIMISED: Flavour = flavour("O2", &["-Copt-level=2"]);
const RUST_EDGES: Flavour =
    Flavour { name: "edges", args: &["-Cllvm-args=-disable-vp=true"], counted: Counted::Edges };

/// What compiles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Compiler {
    pub(super) name: String,
    /// The program and what comes before its arguments.
    pub(super) command: Vec<String>,
    /// The tools that read its raw version: the number of their LLVM release.
    pub(super) llvm: &'static str,
}

impl Compiler {
    pub(super) fn command(&self) -> Result<Command> {
        let (program, args) = self.command.split_first().context("a compiler without a name")?;
        let mut command = Command::new(tool(program)?);
        command.args(args);
        Ok(command)
    }
}

/// A row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setup {
    pub(super) language: Language,
    pub(super) compiler: Compiler,
    pub(super) target: Target,
    pub(super) flavour: Flavour,
}

impl Setup {
    /// Whether the program can be built so.
    pub(super) fn takes(&self, program: &Program) -> bool {
        program.language == self.language && (self.target.run == Run::Hosted || !program.is_hosted)
    }

    pub(super) fn name(&self) -> String {
        let flavour =
            if self.flavour.name.is_empty() { String::new() } else { format!(" {}", self.flavour.name) };
        format!("{} {} {}{flavour}", self.language, self.compiler.name, self.target.name)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (language, compiler, target) = (self.language, &self.compiler.name, self.target.name);
        write!(f, "{language:<6}{compiler:<24}{target:<10}{:<12}", self.flavour.name)
    }
}

/// All rows, and those that cannot be run here, in words.
pub(super) fn all() -> Result<(Vec<Setup>, Vec<String>)> {
    let mut setups = clang();
    let mut absent = vec![REFUSED.2.to_owned()];
    rust(&mut setups, &mut absent)?;
    Ok((setups, absent))
}

/// The LLVM release and the target that clang does not instrument for, and why.
const REFUSED: (&str, &str, &str) = (
    "14",
    "riscv64",
    "C and C++ by clang-14 for riscv64: it says \"Unsupported relocation type\" of any counter",
);

/// The rows of C and C++.
pub(super) fn clang() -> Vec<Setup> {
    let mut setups = Vec::new();
    for language in [Language::C, Language::Cpp] {
        for llvm in ["14", "16", "19"] {
            let mut push = |target, flavour| {
                let name = format!("clang-{llvm}");
                let compiler = Compiler { name: name.clone(), command: vec![name], llvm };
                setups.push(Setup { language, compiler, target, flavour });
            };
            let is_refused = |target: &Target| (llvm, target.name) == (REFUSED.0, REFUSED.1);
            TARGETS.iter().filter(|target| !is_refused(target)).for_each(|target| push(*target, PLAIN));
            push(X86_64, EDGES);
            if llvm == "19" {
                let flavours = [MCDC, BYTES, OPTIMISED, UNCOMPRESSED, ATOMIC, CORRELATED];
                flavours.iter().for_each(|flavour| push(X86_64, *flavour));
                push(I386, MCDC);
                push(I386, BYTES);
                push(ARMEB, MCDC);
            }
        }
    }
    setups
}

/// A Rust compiler of Debian's, which comes with the source of core.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

fn rust(setups: &mut Vec<Setup>, absent: &mut Vec<String>) -> Result<()> {
    let rustc = |command: &[&str]| -> Result<Compiler> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let compiler = Compiler { name: String::new(), command, llvm: "19" };
        let output = child::output(compiler.command()?.arg("--version"))?;
        anyhow::ensure!(output.status.success(), "{:?} does not tell its version", compiler.command);
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        Ok(Compiler { name: format!("rustc {version}"), ..compiler })
    };
    let mut push = |compiler: &Compiler, target, flavour| {
        let compiler = compiler.clone();
        setups.push(Setup { language: Language::Rust, compiler, target, flavour });
    };
    let stable = rustc(&["rustc"])?;
    [PLAIN, RUST_OPTIMISED, RUST_EDGES].iter().for_each(|flavour| push(&stable, X86_64, *flavour));
    match rustc(&["rustup", "run", "nightly", "rustc"]) {
        Ok(nightly) => [PLAIN, RUST_OPTIMISED].iter().for_each(|flavour| push(&nightly, X86_64, *flavour)),
        Err(_) => absent.push("Rust with a nightly rustc: rustup has none on this machine".to_owned()),
    }
    let mut debian = rustc(&[DEBIAN_RUSTC])?;
    debian.name += " (Debian)";
    for target in TARGETS.iter().filter(|target| !target.rustc.is_empty()) {
        push(&debian, *target, PLAIN);
    }
    Ok(())
}
