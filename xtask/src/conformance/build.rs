//! Building a program as a setup says.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use covtap_testbed::{run, tool};

use super::corpus::{self, Language, Program};
use super::rust_core::Cores;
use super::setups::{Counted, Run, Setup};
use super::{Case, work_dir};
use crate::child;

/// What all programs are linked with.
pub(super) struct Builder {
    /// A `main` for C and C++.
    main: PathBuf,
    /// What writes the counters when all else is done.
    counters: PathBuf,
    /// Both, for programs without a C library.
    alone: PathBuf,
    cores: Cores,
}

impl Builder {
    /// Compiles what is not instrumented.
    pub(super) fn prepare() -> Result<Self> {
        let dir = work_dir().join("support");
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let compile = |name: &str, args: &[&str]| -> Result<PathBuf> {
            let object = dir.join(name).with_extension("o");
            let mut command = Command::new(tool("clang-19")?);
            command.args(["-c", "-O1"]).args(args).arg(corpus::support(name)).arg("-o").arg(&object);
            succeed(&mut command)?;
            Ok(object)
        };
        let alone = ["--target=i386-linux-gnu", "-ffreestanding", "-fno-pic", "-fno-stack-protector"];
        Ok(Self {
            main: compile("main.c", &[])?,
            counters: compile("counters.c", &["-fPIC"])?,
            alone: compile("i386.c", &alone)?,
            cores: Cores::default(),
        })
    }

    /// Builds the case's program in `dir`.
    pub(super) fn build(&self, case: &Case<'_>, dir: &Path) -> Result<PathBuf> {
        let exe = dir.join("program.elf");
        match (case.program.language, case.setup.target.run) {
            (Language::Rust, Run::Hosted) => self.hosted_rust(case, dir, &exe)?,
            (Language::Rust, _) => {
                let object = self.bare_rust(case, dir)?;
                link(case.setup, &[object], &[], &exe)?;
            }
            (_, run) => {
                let objects = clang_objects(case, dir)?;
                match run {
                    Run::Hosted => self.hosted_clang(case.setup, &objects, &exe)?,
                    Run::Alone => link(case.setup, &objects, &[&self.alone], &exe)?,
                    Run::Never => link(case.setup, &objects, &[], &exe)?,
                }
            }
        }
        Ok(exe)
    }

    fn hosted_clang(&self, setup: &Setup, objects: &[PathBuf], exe: &Path) -> Result<()> {
        let mut command = setup.compiler.command()?;
        command.arg(instrument(setup)[0]).args(objects).args([&self.main, &self.counters]);
        command.args(["-lstdc++", "-o"]).arg(exe);
        succeed(&mut command)
    }

    fn hosted_rust(&self, case: &Case<'_>, dir: &Path, exe: &Path) -> Result<()> {
        let mut last = rustc(case, "bin")?;
        if case.program.has_main {
            last.args(&case.program.sources);
        } else {
            let library = dir.join("libprogram.rlib");
            let mut command = rustc(case, "rlib")?;
            command.args(["--crate-name", "program", "-o"]).arg(&library).args(&case.program.sources);
            succeed(&mut command)?;
            last.arg("--extern").arg(joined("program=", &library)).arg(corpus::support("main.rs"));
        }
        last.arg("-C").arg(joined("link-arg=", &self.counters)).arg("-o").arg(exe);
        succeed(&mut last)
    }

    fn bare_rust(&self, case: &Case<'_>, dir: &Path) -> Result<PathBuf> {
        let object = dir.join("program.o");
        let core = self.cores.of(&case.setup.compiler, &case.setup.target)?;
        let mut command = rustc(case, "lib")?;
        command.args(["--target", case.setup.target.rustc, "--emit=obj", "-Zno-profiler-runtime"]);
        command.args(["-Cpanic=abort", "-L"]).arg(core).arg("-o").arg(&object).args(&case.program.sources);
        succeed(command.env("RUSTC_BOOTSTRAP", "1"))?;
        Ok(object)
    }
}

/// A compiler of Rust, told what to instrument.
fn rustc(case: &Case<'_>, crate_type: &str) -> Result<Command> {
    let mut command = case.setup.compiler.command()?;
    command.args([
        "--edition=2021",
        "--cap-lints=allow",
        "-Cdebug-assertions=on",
        "--crate-type",
        crate_type,
    ]);
    command.arg(match case.setup.flavour.counted {
        Counted::Coverage => "-Cinstrument-coverage",
        Counted::Edges => "-Cprofile-generate",
    });
    command.args(case.setup.flavour.args);
    // A toolchain that runs this program would be taken for the one that is asked for.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC_WRAPPER");
    Ok(command)
}

/// What makes clang instrument; when linking, only the first.
fn instrument(setup: &Setup) -> &'static [&'static str; 2] {
    match setup.flavour.counted {
        Counted::Coverage => &["-fprofile-instr-generate", "-fcoverage-mapping"],
        Counted::Edges => &["-fprofile-generate", "-w"],
    }
}

fn clang_objects(case: &Case<'_>, dir: &Path) -> Result<Vec<PathBuf>> {
    let Case { program, setup } = case;
    let mut objects = Vec::new();
    for source in &program.sources {
        let object = dir.join(source.file_name().unwrap_or_default()).with_extension("o");
        let mut command = setup.compiler.command()?;
        command.arg("-w").arg(format!("--target={}", setup.target.clang)).args(language_args(program, setup));
        command.args(instrument(setup)).args(setup.target.compile).args(setup.flavour.args);
        command.arg("-c").arg(source).arg("-o").arg(&object);
        succeed(&mut command)?;
        objects.push(object);
    }
    Ok(objects)
}

fn language_args(program: &Program, setup: &Setup) -> &'static [&'static str] {
    match (program.language, setup.target.run) {
        (Language::Cpp, Run::Hosted) => &["-std=c++20"],
        (Language::Cpp, _) => {
            &["-std=c++20", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-nostdinc++"]
        }
        (_, Run::Hosted) => &[],
        _ => &["-ffreestanding"],
    }
}

/// Links a program without a library. What it does not find is not reached, or not run.
fn link(setup: &Setup, objects: &[PathBuf], more: &[&PathBuf], exe: &Path) -> Result<()> {
    let entry = if more.is_empty() { "program" } else { "_start" };
    let mut command = Command::new(tool("ld.lld-19")?);
    command.args([
        "-w",
        "-e",
        entry,
        "--defsym=__llvm_profile_runtime=0",
        "--unresolved-symbols=ignore-all",
        "--noinhibit-exec",
    ]);
    // Rust's names are mangled: nothing would be reached from the entry.
    if setup.language != Language::Rust {
        command.args(setup.target.link);
    }
    succeed(command.args(objects).args(more).arg("-o").arg(exe))
}

fn joined(before: &str, path: &Path) -> OsString {
    let mut word = OsString::from(before);
    word.push(path);
    word
}

/// Runs a command, and shows it with what it said if it fails.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let output = child::output(command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", child::show(command), output.status, said.trim());
    }
    Ok(())
}

/// What the case's tool of this name and the compiler's release prints.
pub(super) fn tool_of_release(name: &str, setup: &Setup, args: &[&OsStr]) -> Result<String> {
    run(&format!("{name}-{}", setup.compiler.llvm), args)
}
