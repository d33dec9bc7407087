//! The table of what covtap's chores need beside a Rust toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use covtap_testbed::tool;

use super::version::{self, MIN_QEMU_MAJOR};
use crate::child;

/// A chore that needs packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Need {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask bench`
    Bench,
    /// `cargo xtask soak`
    Soak,
    /// `cargo xtask fixtures`
    Fixtures,
    /// `cargo xtask conformance`
    Conformance,
    /// `cargo xtask conformance trace`
    ConformanceTrace,
    /// `cargo xtask e2e linux`
    E2e,
    /// `cargo xtask e2e probe-rs`
    E2eProbeRs,
}

/// What shows that a package is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// A program in `PATH`.
    Program(&'static str),
    /// An emulator in `PATH` that is new enough.
    Qemu(&'static str),
    /// A file that a compiler finds on its search path.
    FoundBy(&'static str, FileName),
    /// A file.
    File(&'static str),
}

/// The name of a file that a compiler looks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum FileName {
    /// The same everywhere.
    Fixed(&'static str),
    /// LLVM's profiling runtime for this host.
    ProfileRuntime,
}

/// One Debian package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) proof: Proof,
    pub(super) needed_by: &'static [Need],
}

use FileName::{Fixed, ProfileRuntime};
use Need::{Bench, Conformance, ConformanceTrace, Demo, E2e, E2eProbeRs, Fixtures, Soak, Test};
use Proof::{File, FoundBy, Program, Qemu};

#[rustfmt::skip] // One line for each package.
pub(super) const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", purpose: "runs the x86-64 guests", proof: Qemu("qemu-system-x86_64"), needed_by: &[Test, Demo, Bench, Soak, Fixtures, E2e, ConformanceTrace] },
    Package { name: "qemu-system-arm", purpose: "runs the Cortex-M guests", proof: Qemu("qemu-system-arm"), needed_by: &[Test, Soak, Fixtures, E2eProbeRs, ConformanceTrace] },
    Package { name: "qemu-system-misc", purpose: "runs the RISC-V guests", proof: Qemu("qemu-system-riscv32"), needed_by: &[Test, Fixtures, ConformanceTrace] },
    Package { name: "llvm-19", purpose: "llvm-profdata and llvm-cov 19, which judge what covtap writes", proof: Program("llvm-profdata-19"), needed_by: &[Test, Bench, Soak, Fixtures, Conformance, ConformanceTrace] },
    Package { name: "llvm-14", purpose: "llvm-profdata and llvm-cov 14, the oldest judged by", proof: Program("llvm-profdata-14"), needed_by: &[Test, Fixtures, Conformance] },
    Package { name: "clang-19", purpose: "compiles instrumented C as LLVM 19 does", proof: Program("clang-19"), needed_by: &[Test, Bench, Soak, Fixtures, Conformance, ConformanceTrace] },
    Package { name: "clang-14", purpose: "compiles instrumented C as LLVM 14 does", proof: Program("clang-14"), needed_by: &[Test, Fixtures, Conformance] },
    Package { name: "llvm-16", purpose: "llvm-profdata and llvm-cov 16, whose profiles covtap reads", proof: Program("llvm-profdata-16"), needed_by: &[Test, Conformance] },
    Package { name: "clang-16", purpose: "compiles instrumented C as LLVM 16 does", proof: Program("clang-16"), needed_by: &[Test, Conformance] },
    Package { name: "libclang-rt-16-dev", purpose: "LLVM 16's own profiling runtime, to compare with", proof: FoundBy("clang-16", ProfileRuntime), needed_by: &[Test, Conformance] },
    Package { name: "libclang-rt-19-dev", purpose: "LLVM 19's own profiling runtime, to compare with", proof: FoundBy("clang-19", ProfileRuntime), needed_by: &[Test, Bench, Fixtures, Conformance] },
    Package { name: "libclang-rt-14-dev", purpose: "LLVM 14's own profiling runtime, to compare with", proof: FoundBy("clang-14", ProfileRuntime), needed_by: &[Test, Fixtures, Conformance] },
    Package { name: "lld-19", purpose: "links guests for other processors", proof: Program("ld.lld-19"), needed_by: &[Test, Soak, Fixtures, Conformance, ConformanceTrace] },
    Package { name: "binutils-arm-none-eabi", purpose: "GNU ld, which takes covtap's linker script as well", proof: Program("arm-none-eabi-ld"), needed_by: &[Test] },
    Package { name: "gdb-multiarch", purpose: "the client that covtap's GDB link is measured against", proof: Program("gdb-multiarch"), needed_by: &[Test, Bench] },
    Package { name: "gdb", purpose: "gcore, which dumps a process", proof: Program("gcore"), needed_by: &[Test] },
    Package { name: "wrk", purpose: "loads the server that is tapped", proof: Program("wrk"), needed_by: &[Bench] },
    Package { name: "gdbserver", purpose: "a GDB server that is not QEMU's", proof: Program("gdbserver"), needed_by: &[Test] },
    Package { name: "openocd", purpose: "a GDB server of debug probes", proof: Program("openocd"), needed_by: &[Test] },
    Package { name: "gcc", purpose: "links host programs, and compiles those run under gdbserver", proof: Program("gcc"), needed_by: &[Test, Bench, Fixtures, Conformance, E2e, E2eProbeRs, ConformanceTrace] },
    Package { name: "g++", purpose: "the standard library of C++ programs", proof: FoundBy("clang-19", Fixed("libstdc++.a")), needed_by: &[Test, Conformance] },
    Package { name: "gcc-12", purpose: "gcov's counters as GCC 12 has them, and its gcov tools", proof: Program("gcov-tool-12"), needed_by: &[Test, Conformance] },
    Package { name: "g++-12", purpose: "the same of C++ programs", proof: Program("g++-12"), needed_by: &[Test, Conformance] },
    Package { name: "gcc-11", purpose: "gcov's counters as GCC 11 has them, and its gcov tools", proof: Program("gcov-tool-11"), needed_by: &[Test, Conformance] },
    Package { name: "g++-11", purpose: "the same of C++ programs", proof: Program("g++-11"), needed_by: &[Test, Conformance] },
    Package { name: "lcov", purpose: "reads gcov's files, and takes traces", proof: Program("geninfo"), needed_by: &[Test, E2e] },
    Package { name: "gcovr", purpose: "reads gcov's files", proof: Program("gcovr"), needed_by: &[Test, E2e] },
    Package { name: "gcc-arm-none-eabi", purpose: "compiles Cortex-M guests with GCC's own coverage; gcov's tools for its files", proof: Program("arm-none-eabi-gcov-dump"), needed_by: &[Test, Soak, ConformanceTrace] },
    Package { name: "gcc-riscv64-unknown-elf", purpose: "compiles RISC-V guests with GCC's own coverage", proof: Program("riscv64-unknown-elf-gcc"), needed_by: &[Test, ConformanceTrace] },
    Package { name: "gcc-aarch64-linux-gnu", purpose: "compiles 64-bit Arm guests", proof: Program("aarch64-linux-gnu-gcov"), needed_by: &[Test, ConformanceTrace] },
    Package { name: "gcc-powerpc-linux-gnu", purpose: "compiles big-endian programs with GCC's own coverage", proof: Program("powerpc-linux-gnu-gcc"), needed_by: &[Test] },
    Package { name: "libc6-dev", purpose: "the C library of host programs", proof: FoundBy("gcc", Fixed("crt1.o")), needed_by: &[Test, Bench, Fixtures, Conformance, E2e, E2eProbeRs] },
    Package { name: "chromium", purpose: "the browser that opens the HTML site", proof: Program("chromium"), needed_by: &[Test] },
    Package { name: "git", purpose: "lists the committed files", proof: Program("git"), needed_by: &[Test] },
    Package { name: "libxml2-utils", purpose: "xmllint, which validates the XML that covtap writes", proof: Program("xmllint"), needed_by: &[Test] },
    Package { name: "picolibc-arm-none-eabi", purpose: "the C library of the Cortex-M guest", proof: File("/usr/lib/picolibc/arm-none-eabi/lib/thumb/v7-m/nofp/libc.a"), needed_by: &[Fixtures] },
    Package { name: "rustc-web", purpose: "compiles Rust guests that need their own core", proof: File("/usr/bin/rustc"), needed_by: &[Fixtures, Conformance, Test] },
    Package { name: "cargo-web", purpose: "builds core from source with that compiler", proof: File("/usr/bin/cargo"), needed_by: &[Fixtures] },
    Package { name: "rust-web-src", purpose: "the source of core", proof: File("/usr/lib/rustlib/src/rust/library/core/Cargo.toml"), needed_by: &[Fixtures, Conformance, Test] },
    Package { name: "linux-source-6.1", purpose: "the kernel that is tapped", proof: File("/usr/src/linux-source-6.1.tar.xz"), needed_by: &[E2e] },
    Package { name: "xz-utils", purpose: "unpacks it", proof: Program("xz"), needed_by: &[E2e] },
    Package { name: "make", purpose: "builds it, and the server that is tapped", proof: Program("make"), needed_by: &[Bench, E2e] },
    Package { name: "flex", purpose: "reads its configuration", proof: Program("flex"), needed_by: &[E2e] },
    Package { name: "bison", purpose: "reads its configuration", proof: Program("bison"), needed_by: &[E2e] },
    Package { name: "bc", purpose: "makes its table of times", proof: Program("bc"), needed_by: &[E2e] },
    Package { name: "libelf-dev", purpose: "for its objtool", proof: FoundBy("gcc", Fixed("libelf.so")), needed_by: &[E2e] },
];

/// The packages that `need` has and that are not there.
pub(super) fn missing(need: Need) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|p| p.needed_by.contains(&need) && !p.proof.holds()).collect()
}

impl Package {
    /// Whether the package has an emulator, which must not be too old.
    pub(super) fn is_qemu(&self) -> bool {
        matches!(self.proof, Proof::Qemu(_))
    }
}

impl Proof {
    fn holds(self) -> bool {
        match self {
            Self::Program(name) => tool(name).is_ok(),
            Self::Qemu(name) => qemu_major(name).is_some_and(|major| major >= MIN_QEMU_MAJOR),
            Self::FoundBy(compiler, file) => found_by(compiler, &file.name()).is_some(),
            Self::File(path) => Path::new(path).is_file(),
        }
    }

    /// The proof in words: what was looked for.
    pub(super) fn sought(self) -> String {
        match self {
            Self::Program(name) => name.to_owned(),
            Self::Qemu(name) => match qemu_major(name) {
                Some(major) => format!("{name} {MIN_QEMU_MAJOR} or newer, not {major}"),
                None => format!("{name} {MIN_QEMU_MAJOR} or newer"),
            },
            Self::FoundBy(compiler, file) => format!("{} for {compiler}", file.name()),
            Self::File(path) => path.to_owned(),
        }
    }
}

impl FileName {
    fn name(self) -> String {
        match self {
            Self::Fixed(name) => name.to_owned(),
            Self::ProfileRuntime => format!("libclang_rt.profile-{}.a", std::env::consts::ARCH),
        }
    }
}

fn qemu_major(program: &str) -> Option<u64> {
    let output = child::output(Command::new(tool(program).ok()?).arg("--version")).ok()?;
    version::major_of_qemu(&String::from_utf8_lossy(&output.stdout))
}

/// Compilers answer with the bare name when they do not find the file.
fn found_by(compiler: &str, file: &str) -> Option<PathBuf> {
    let mut command = Command::new(tool(compiler).ok()?);
    let output = child::output(command.arg(format!("-print-file-name={file}"))).ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_stands_in_the_table_once_and_somebody_needs_it() {
        for (i, package) in PACKAGES.iter().enumerate() {
            assert!(PACKAGES[i + 1..].iter().all(|other| other.name != package.name), "{}", package.name);
            assert!(!package.needed_by.is_empty(), "{}", package.name);
        }
    }

    #[test]
    fn what_is_nowhere_is_not_proven() {
        assert!(!Proof::Program("covtap-no-such-program").holds());
        assert!(!Proof::Qemu("covtap-no-such-program").holds());
        assert!(!Proof::File("/no/such/file").holds());
        assert!(!Proof::FoundBy("gcc", Fixed("covtap-no-such-file.o")).holds());
        assert!(Proof::FoundBy("gcc", Fixed("crt1.o")).holds());
    }
}
