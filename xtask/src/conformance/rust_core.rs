//! The `core` of targets that no package has a built one for: its metadata alone, from its source.
//!
//! What always holds: nothing of it runs. Programs that are built with it are linked without it, and their counts are
//! made up; generic and inlined functions come out of the metadata.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context, Result, anyhow};

use super::build::succeed;
use super::setups::{Compiler, Target};
use super::work_dir;

/// Debian's package has it.
const CORE: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";

/// The compiler wants the crate to be there, and nothing of it.
const BUILTINS: &str = "#![feature(compiler_builtins)]\n#![compiler_builtins]\n#![no_std]\n";

/// The folder of a target's core, or why there is none.
type Made = Arc<OnceLock<Result<PathBuf, String>>>;

/// The cores made so far.
#[derive(Default)]
pub(super) struct Cores(Mutex<BTreeMap<String, Made>>);

impl Cores {
    /// The folder that has the target's core. Who needs one that is being made waits for it.
    pub(super) fn of(&self, compiler: &Compiler, target: &Target) -> Result<PathBuf> {
        let name = format!("core-{}-{}", compiler.name.replace([' ', '(', ')'], "-"), target.rustc);
        let made = {
            let mut cores = self.0.lock().map_err(|_| anyhow!("another case panicked"))?;
            Made::clone(cores.entry(name.clone()).or_default())
        };
        let dir = work_dir().join(name);
        let made = made.get_or_init(|| match make(compiler, target, &dir) {
            Ok(()) => Ok(dir),
            Err(error) => Err(format!("{error:#}")),
        });
        made.clone().map_err(|error| anyhow!("make core for {}: {error}", target.rustc))
    }
}

/// Makes what a run before has not made: the last file is there when all of it is.
fn make(compiler: &Compiler, target: &Target, dir: &Path) -> Result<()> {
    let last = dir.join("libcompiler_builtins.rmeta");
    if last.is_file() {
        return Ok(());
    }
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let builtins = dir.join("compiler_builtins.rs");
    fs::write(&builtins, BUILTINS).with_context(|| format!("write {}", builtins.display()))?;
    for (name, edition, source) in
        [("core", "2024", Path::new(CORE)), ("compiler_builtins", "2021", builtins.as_path())]
    {
        let mut command = compiler.command()?;
        command.args(["--crate-type=lib", "--emit=metadata", "--cap-lints=allow", "-Cpanic=abort"]);
        command.args(["-Zalways-encode-mir", "-Zforce-unstable-if-unmarked", "--crate-name", name]);
        command.args(["--target", target.rustc, "--edition", edition, "-L"]).arg(dir).arg("-o");
        command.arg(dir.join(format!("lib{name}.rmeta"))).arg(source);
        succeed(command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN"))?;
    }
    Ok(())
}
