//! The root of another release of Debian: packages unpacked below cargo's target folder. Nothing of this system's own
//! packages changes.
//!
//! What enters is a suite and packages; what leaves is a folder with them and all that they depend on, in which
//! programs are run. No package is configured: compilers need no more than their files.
//!
//! What always holds: mirror and keys are those of the machine's own sources; a root is there whole or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use covtap_testbed::{tool, workspace_root};
use nix::unistd::Uid;

use super::alone::Alone;
use super::apt;

/// Folders at the top that have long been links to those in `/usr`.
const LINKED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What a root was made of, by which one that is to have something else is told.
const CONTENT: &str = "packages";

/// A root that is there.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

impl Root {
    /// The root of `suite` with `packages`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// This is no Debian, the suite or a package is not to be had, or the packages cannot be unpacked.
    pub(crate) fn of(suite: &str, packages: &[String]) -> Result<Self> {
        let path = workspace_root().join("target/roots").join(suite);
        let content = packages.join("\n");
        if fs::read_to_string(path.join(CONTENT)).is_ok_and(|there| there == content) {
            return Ok(Self { path });
        }
        println!("fetching {} of Debian {suite} into {}", packages.join(" "), path.display());
        let part = path.with_extension("part");
        for old in [&part, &path].into_iter().filter(|old| old.exists()) {
            fs::remove_dir_all(old).with_context(|| format!("remove {}", old.display()))?;
        }
        make(suite, packages, &part).with_context(|| format!("get packages of Debian {suite}"))?;
        fs::write(part.join(CONTENT), content).with_context(|| format!("write to {}", part.display()))?;
        fs::rename(&part, &path).with_context(|| format!("move {}", part.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path of this system as programs in the root see it; one that is not below the root stays.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).map_or_else(|_| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// A program of the root, to be run in a folder of the root. It is the process that is started, in the end.
    pub(crate) fn command(&self, program: &str, dir: &Path) -> Result<Command> {
        let mut command = if Uid::effective().is_root() {
            Command::new(tool("chroot")?)
        } else {
            let mut command = Command::new(tool("unshare")?);
            command.args(["--map-root-user", "chroot"]);
            command
        };
        command.arg(&self.path).args(["/usr/bin/env", "-C"]).arg(self.inside(dir)).arg(program);
        Ok(command)
    }
}

fn make(suite: &str, packages: &[String], root: &Path) -> Result<()> {
    for link in LINKED {
        let dir = root.join("usr").join(link);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        symlink(Path::new("usr").join(link), root.join(link)).with_context(|| format!("link {link}"))?;
    }
    fs::create_dir_all(root.join("tmp")).with_context(|| format!("make {}/tmp", root.display()))?;
    let apt = root.join("apt");
    download(suite, packages, &apt)?;
    let archives = apt.join("cache/archives");
    let entries = fs::read_dir(&archives).with_context(|| format!("list {}", archives.display()))?;
    let mut unpacked = 0usize;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack(&path, root)?;
            unpacked = unpacked.saturating_add(1);
        }
    }
    ensure!(unpacked >= packages.len(), "apt fetched {unpacked} packages");
    fs::remove_dir_all(&apt).with_context(|| format!("remove {}", apt.display()))
}

/// Lets apt fetch packages, and what they depend on, as if nothing was installed.
fn download(suite: &str, packages: &[String], dir: &Path) -> Result<()> {
    let (extension, text) = apt::source_of(suite)?;
    let apt = Alone::prepare(dir, extension, &text)?;
    apt.get(&["update"])?;
    let install = ["install", "--yes", "--download-only"];
    apt.get(&install.into_iter().chain(packages.iter().map(String::as_str)).collect::<Vec<_>>())
}

/// Puts a package's files in place, but for documentation and the like.
fn unpack(package: &Path, root: &Path) -> Result<()> {
    let mut reader = Command::new(tool("dpkg-deb")?)
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("read {}", package.display()))?;
    let archive = reader.stdout.take().context("the output of dpkg-deb")?;
    let mut tar = Command::new(tool("tar")?);
    tar.args(["--extract", "--keep-directory-symlink", "--exclude=./usr/share", "--directory"]).arg(root);
    let output = tar.stdin(Stdio::from(archive)).output().context("start tar")?;
    if !output.status.success() || !reader.wait()?.success() {
        bail!("unpack {}: {}", package.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
