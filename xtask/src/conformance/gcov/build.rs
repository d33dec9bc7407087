//! Building a program as a case says.

use std::path::Path;

use anyhow::Result;

use super::super::build::succeed;
use super::super::corpus::Language;
use super::Case;

/// What the program is called in its folder.
pub(super) const PROGRAM: &str = "program";

/// Builds the case's program in `dir`, each source as an object of its own.
pub(super) fn build(case: &Case<'_>, dir: &Path) -> Result<()> {
    let Case { program, toolchain, flavour } = case;
    let mut link = toolchain.command("g++", dir)?;
    link.arg("--coverage").args(flavour.args).args(["-w", "-o", PROGRAM]);
    for (number, source) in program.sources.iter().enumerate() {
        let object = format!("{number}-{}.o", source.file_stem().unwrap_or_default().display());
        let is_c = source.extension().is_some_and(|extension| extension == "c");
        let (name, standard) = if is_c { ("gcc", "-std=gnu17") } else { ("g++", "-std=c++2a") };
        let mut compile = toolchain.command(name, dir)?;
        compile.args(["--coverage", "-w", standard]).args(flavour.args);
        if program.language == Language::Cpp && toolchain.release == 10 {
            compile.arg("-fcoroutines");
        }
        succeed(compile.arg("-c").arg(toolchain.source(source)).args(["-o", &object]))?;
        link.arg(object);
    }
    if !program.has_main {
        link.arg(toolchain.support("main.o"));
    }
    succeed(link.arg(toolchain.support("stop.o")))
}
