//! The kernel: unpacked, configured and built, and the file system that it starts with.
//!
//! What enters is Debian's source, the configuration and `init.c` of `examples/guests/linux-gcov`; what leaves is a
//! [`Kernel`]. What always holds: a kernel that is there was built whole, from the source and the configuration of now.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use covtap_testbed::{tool, workspace_root};

use crate::child;
use crate::figures::time;

/// What Debian's package leaves.
const SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";

/// What is in the initial file system, but for the program.
const INITRAMFS: &str = "dir /dev 0755 0 0\nnod /dev/console 0600 0 0 c 5 1\ndir /proc 0755 0 0\n\
                         dir /sys 0755 0 0\ndir /tmp 0755 0 0\n";

/// A kernel that can be booted.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The ELF, with its symbols and relocations.
    pub(super) vmlinux: PathBuf,
    /// What a bootloader starts.
    pub(super) bzimage: PathBuf,
    pub(super) initramfs: PathBuf,
    pub(super) source: PathBuf,
    /// Where it was built.
    pub(super) build: PathBuf,
}

/// The guest's own files.
fn guest(name: &str) -> PathBuf {
    workspace_root().join("examples/guests/linux-gcov").join(name)
}

/// Builds what is not there yet below `dir`.
pub(super) fn build(dir: &Path) -> Result<Kernel> {
    let (source, build) = (dir.join("source"), dir.join("build"));
    let config = guest("kernel.config");
    let wanted = recipe(&config)?;
    let done = dir.join("built");
    if !fs::read_to_string(&done).is_ok_and(|recipe| recipe == wanted) {
        let _ = fs::remove_file(&done);
        unpack(dir, &source)?;
        configure(&source, &build, &config)?;
        let started = Instant::now();
        make(&source, &build, &["vmlinux", "bzImage"])?;
        println!("the kernel was built in {}", time(started.elapsed()));
        fs::write(&done, wanted).with_context(|| format!("write {}", done.display()))?;
    }
    let initramfs = initramfs(dir, &build)?;
    let (vmlinux, bzimage) = (build.join("vmlinux"), build.join("arch/x86/boot/bzImage"));
    Ok(Kernel { vmlinux, bzimage, initramfs, source, build })
}

/// All that the kernel is made of, as text.
fn recipe(config: &Path) -> Result<String> {
    let text = fs::read_to_string(config).with_context(|| format!("read {}", config.display()))?;
    let compiler = child::output(Command::new(tool("gcc")?).arg("--version"))?.stdout;
    Ok(format!("{}\n{}\n{text}", source_version()?, String::from_utf8_lossy(&compiler)))
}

/// Which source it is: the package has one for each update of Debian's.
fn source_version() -> Result<String> {
    let about = fs::metadata(SOURCE).with_context(|| format!("look at {SOURCE}"))?;
    let modified = about.modified()?.duration_since(UNIX_EPOCH)?.as_secs();
    Ok(format!("{SOURCE} of {modified}, {} bytes", about.len()))
}

fn unpack(dir: &Path, source: &Path) -> Result<()> {
    let (unpacked, version) = (dir.join("unpacked"), source_version()?);
    if fs::read_to_string(&unpacked).is_ok_and(|there| there == version) {
        return Ok(());
    }
    if source.exists() {
        fs::remove_dir_all(source).with_context(|| format!("remove {}", source.display()))?;
    }
    fs::create_dir_all(source).with_context(|| format!("make {}", source.display()))?;
    let mut command = Command::new(tool("tar")?);
    command.args(["--strip-components=1", "-xf", SOURCE, "-C"]).arg(source);
    println!("$ {}", child::show(&command));
    child::run_well(&mut command)?;
    fs::write(&unpacked, version).with_context(|| format!("write {}", unpacked.display()))
}

/// The smallest configuration there is, and what `config` adds.
fn configure(source: &Path, build: &Path, config: &Path) -> Result<()> {
    fs::create_dir_all(build).with_context(|| format!("make {}", build.display()))?;
    make(source, build, &["tinyconfig"])?;
    let dot_config = build.join(".config");
    let mut merge = Command::new(source.join("scripts/kconfig/merge_config.sh"));
    merge.args(["-m", "-O"]).args([build, &dot_config, config]);
    child::capture(&mut merge)?;
    make(source, build, &["olddefconfig"])?;
    let [made, asked] = [&dot_config, config].map(fs::read_to_string);
    let (made, asked) = (made?, asked?);
    let lacks = |line: &&str| line.starts_with("CONFIG_") && !made.lines().any(|made| made == *line);
    let lacking: Vec<&str> = asked.lines().filter(lacks).collect();
    ensure!(lacking.is_empty(), "this source does not take {}", lacking.join(", "));
    Ok(())
}

/// Gently: others want to work as well.
fn make(source: &Path, build: &Path, targets: &[&str]) -> Result<()> {
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut command = Command::new(tool("nice")?);
    command.args(["-n", "19", "make", "-s", "-C"]).arg(source);
    command.arg(format!("O={}", build.display())).arg(format!("-j{jobs}")).args(targets);
    println!("$ {}", child::show(&command));
    child::run_well(&mut command)
}

fn initramfs(dir: &Path, build: &Path) -> Result<PathBuf> {
    let [init, list, archive] = ["init", "initramfs.list", "initramfs.cpio"].map(|name| dir.join(name));
    let mut compile = Command::new(tool("gcc")?);
    compile.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).args([&init, &guest("init.c")]);
    child::run_well(&mut compile)?;
    fs::write(&list, format!("{INITRAMFS}file /init {} 0755 0 0\n", init.display()))
        .with_context(|| format!("write {}", list.display()))?;
    let out = fs::File::create(&archive).with_context(|| format!("make {}", archive.display()))?;
    child::run_well(Command::new(build.join("usr/gen_init_cpio")).arg(&list).stdout(out))?;
    Ok(archive)
}
