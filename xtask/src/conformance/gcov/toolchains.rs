//! The compilers: those of this system, and those of other releases of Debian, each release in a root of its own.
//!
//! What always holds: a path on this system is a path of the toolchain only if it went through
//! [`inside`](Toolchain::inside).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use covtap_testbed::{tool, workspace_root};

use super::super::build::succeed;
use super::super::corpus::{Program, support};
use super::super::work_dir;
use crate::provision::Root;

/// GCC of one release, with its gcov and its libgcov.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// The major version.
    pub(super) release: u32,
    /// Where it is, if not on this system.
    root: Option<Root>,
}

/// The releases that this system's packages have.
const OF_SYSTEM: [u32; 2] = [11, 12];

/// Debian's releases that have others, and the releases of GCC.
const OF_OTHERS: [(&str, &[u32]); 3] = [("bullseye", &[9, 10]), ("trixie", &[13, 14]), ("sid", &[15, 16])];

/// Programs of a language that older releases do not have, and the first that has it.
const NEEDS: [(&str, u32); 3] = [("utf8", 10), ("concepts", 10), ("coroutines", 10)];

/// The folder of a root that this repository's sources are copied to.
const COPY: &str = "covtap";

/// What is copied of this repository's tests.
const SOURCES: [&str; 4] = ["conformance", "coverage", "gcda", "gcov"];

/// The compilers that this system's packages have.
pub(super) fn of_system() -> Vec<Toolchain> {
    OF_SYSTEM.iter().map(|release| Toolchain { release: *release, root: None }).collect()
}

/// All compilers. Those of other releases of Debian are fetched if they are not there.
pub(super) fn all() -> Result<Vec<Toolchain>> {
    let mut toolchains = of_system();
    for (suite, releases) in OF_OTHERS {
        let packages = releases.iter().map(|release| format!("g++-{release}"));
        let packages: Vec<_> = packages.chain(["coreutils".to_owned(), "libc6-dev".to_owned()]).collect();
        let root = Root::of(suite, &packages)?;
        let of_suite = |release: &u32| Toolchain { release: *release, root: Some(root.clone()) };
        toolchains.extend(releases.iter().map(of_suite));
    }
    toolchains.sort_by_key(|toolchain| toolchain.release);
    Ok(toolchains)
}

impl Toolchain {
    /// Whether it compiles the program.
    pub(super) fn takes(&self, program: &Program) -> bool {
        NEEDS.iter().all(|(name, since)| program.name != *name || *since <= self.release)
    }

    /// Where cases are built.
    pub(super) fn work_dir(&self) -> PathBuf {
        match &self.root {
            None => work_dir().join("gcov"),
            Some(root) => root.path().join("work"),
        }
    }

    /// Brings the sources to where the compiler can see them, and compiles what is not instrumented.
    pub(super) fn prepare(&self) -> Result<()> {
        if let Some(root) = &self.root {
            let copy = root.path().join(COPY);
            fs::create_dir_all(&copy).with_context(|| format!("make {}", copy.display()))?;
            let mut command = Command::new(tool("cp")?);
            let sources = SOURCES.map(|name| workspace_root().join("tests").join(name));
            succeed(command.arg("--recursive").args(sources).arg(&copy))?;
        }
        let dir = self.support_dir();
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        for name in ["main.c", "stop.c"] {
            let mut command = self.command("gcc", &dir)?;
            command.args(["-c", "-O1", "-fPIC"]).arg(self.source(&support(name)));
            succeed(&mut command)?;
        }
        Ok(())
    }

    fn support_dir(&self) -> PathBuf {
        self.work_dir().join(format!("support-{}", self.release))
    }

    /// An object that [`prepare`](Self::prepare) made, as the compiler finds it.
    pub(super) fn support(&self, name: &str) -> PathBuf {
        self.inside(&self.support_dir().join(name))
    }

    /// One of GCC's programs of this release, to be run in `dir`.
    pub(super) fn command(&self, name: &str, dir: &Path) -> Result<Command> {
        self.any_command(&format!("{name}-{}", self.release), dir)
    }

    /// A program that the compiler made in `dir`.
    pub(super) fn made(&self, name: &str, dir: &Path) -> Result<Command> {
        match self.root {
            None => {
                let mut command = Command::new(dir.join(name));
                command.current_dir(dir);
                Ok(command)
            }
            Some(_) => self.any_command(&format!("./{name}"), dir),
        }
    }

    fn any_command(&self, name: &str, dir: &Path) -> Result<Command> {
        Ok(match &self.root {
            None => {
                let mut command = Command::new(tool(name)?);
                command.current_dir(dir);
                command
            }
            Some(root) => root.command(name, dir)?,
        })
    }

    /// A source of this repository's, as the compiler finds it.
    pub(super) fn source(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(_) => {
                let below = path.strip_prefix(workspace_root().join("tests")).unwrap_or(path);
                Path::new("/").join(COPY).join(below)
            }
        }
    }

    /// A path of the work folder, as the compiler finds it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => root.inside(path),
        }
    }

    /// A path that the compiler or a program of its wrote, on this system.
    pub(super) fn outside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => root.path().join(path.strip_prefix("/").unwrap_or(path)),
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gcc-{}", self.release)
    }
}
