//! Runs of guests in QEMU: what each method of covtap's says was executed, and QEMU's own log, read
//! without any code of covtap's.
//!
//! What always holds: a guest is deterministic, so that all runs execute the same; that it has come to its end its exit
//! code says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use covtap::profile::trace::{self, Trace};
use covtap_testbed::{self as testbed, Monitor, tool};

use super::super::build::succeed;
use super::guest::Guest;
use super::setups::Target;
use crate::child;

/// What covtap does not say within this time it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way of covtap's to find out what a guest executes. A further one is a row here, and an arm in [`traced`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Method {
    /// `covtap run --trace`, with what the plugin is to count.
    Plugin(&'static str),
    /// `covtap trace --gdb --method step`, of a guest that was started halted.
    Step,
    /// `covtap trace --gdb --method breakpoints`, of such a guest too.
    Breakpoints,
    /// `covtap import` of what QEMU logs of blocks.
    Log,
    /// `covtap trace --qemu`, of a guest that was started halted and is let run then.
    LiveLog,
}

impl Method {
    pub(super) const ALL: [Self; 7] = [
        Self::Plugin("blocks"),
        Self::Plugin("edges"),
        Self::Plugin("insns"),
        Self::Step,
        Self::Breakpoints,
        Self::Log,
        Self::LiveLog,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plugin(mode) => mode,
            Self::Step => "step",
            Self::Breakpoints => "breakpoints",
            Self::Log => "log",
            Self::LiveLog => "live log",
        }
    }
}

/// What is built once, and runs.
pub(super) struct Tools {
    pub(super) covtap: PathBuf,
    pub(super) plugin: PathBuf,
    /// What a PC begins with.
    pub(super) firmware: PathBuf,
}

impl Tools {
    /// Builds them.
    pub(super) fn build(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let covtap = crate::covtap::build_unoptimised()?;
        let (object, firmware) = (dir.join("firmware.o"), dir.join("firmware.bin"));
        let mut assemble = Command::new(tool("clang-19")?);
        assemble.args(["--target=i386-none-elf", "-c", "-o"]).arg(&object);
        succeed(assemble.arg(testbed::workspace_root().join("tests/trace/firmware.S")))?;
        let mut link = Command::new(tool("ld.lld-19")?);
        link.args(["-m", "elf_i386", "-Ttext=0xffff0000", "--oformat=binary", "-e", "start"]);
        succeed(link.arg("-o").arg(&firmware).arg(&object))?;
        Ok(Self { plugin: crate::covtap::build_plugin(&covtap)?, covtap, firmware })
    }

    /// What QEMU is told beside its machine and a guest.
    fn machine_args(&self, target: &Target) -> Vec<OsString> {
        let mut args: Vec<OsString> = target.qemu.iter().map(Into::into).collect();
        if target.has_firmware {
            args.extend(["-bios".into(), self.firmware.clone().into_os_string()]);
        }
        args
    }

    /// QEMU, and its command line.
    fn qemu(&self, target: &Target, guest: &Guest) -> Result<Vec<OsString>> {
        let quiet = ["-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none", "-kernel"];
        let mut words = vec![tool(target.machine.emulator())?.into_os_string()];
        // A log needs to say how instructions are translated, and QEMU takes only what it is told of that first.
        let machine = target.machine.args().iter().filter(|arg| !["-accel", "tcg"].contains(arg));
        words.extend(machine.map(OsString::from));
        words.extend(self.machine_args(target));
        words.extend(quiet.map(OsString::from));
        words.push(guest.elf.clone().into_os_string());
        Ok(words)
    }
}

/// Runs a command that ends with the guest's exit code.
fn run_guest(target: &Target, command: &mut Command) -> Result<()> {
    let output = child::output(command)?;
    if output.status.code() != Some(target.exit_code) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", child::show(command), output.status, said.trim());
    }
    Ok(())
}

/// Runs QEMU with a log of `items`, of the programs' code alone: firmware would fill the disk.
fn logged(tools: &Tools, target: &Target, guest: &Guest, name: &str, args: &[&str]) -> Result<PathBuf> {
    let log = guest.elf.with_extension(name);
    let (first, last) = guest.extent().context("no program")?;
    let words = tools.qemu(target, guest)?;
    let (program, rest) = words.split_first().context("no QEMU")?;
    let mut qemu = Command::new(program);
    qemu.args(rest).args(args).arg("-D").arg(&log);
    run_guest(target, qemu.arg("-dfilter").arg(format!("{first:#x}..{last:#x}")))?;
    Ok(log)
}

/// How often each instruction of the programs was executed, by QEMU's log of a run in which each is a block of its own.
pub(super) fn exact(tools: &Tools, target: &Target, guest: &Guest) -> Result<BTreeMap<u64, u64>> {
    const ARGS: [&str; 4] = ["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain"];
    let log = logged(tools, target, guest, "exact.log", &ARGS)?;
    let file = File::open(&log).with_context(|| format!("read {}", log.display()))?;
    let mut counts = BTreeMap::new();
    for pc in testbed::executed(BufReader::new(file)) {
        let pc = pc.with_context(|| format!("read {}", log.display()))?;
        *counts.entry(pc).or_insert(0) += 1;
    }
    ensure!(!counts.is_empty(), "{} says of no code that it ran", log.display());
    fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
    Ok(counts)
}

/// What covtap says was executed.
pub(super) fn traced(
    tools: &Tools,
    target: &Target,
    guest: &Guest,
    method: Method,
) -> Result<(PathBuf, Trace)> {
    let output = guest.elf.with_extension(format!("{}.covtrace", method.name().replace(' ', "-")));
    match method {
        Method::Plugin(mode) => plugin(tools, target, guest, mode, &output)?,
        Method::Step | Method::Breakpoints => by_gdb(tools, target, guest, method, &output)?,
        Method::Log => {
            let log = logged(tools, target, guest, "log", &["-d", "exec,in_asm,nochain"])?;
            let mut import = Command::new(&tools.covtap);
            succeed(import.arg("import").arg(&log).arg("-o").arg(&output))?;
            fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
        }
        Method::LiveLog => by_live_log(tools, target, guest, &output)?,
    }
    let bytes = fs::read(&output).with_context(|| format!("read {}", output.display()))?;
    let trace = trace::parse(&output.display().to_string(), &bytes)?;
    Ok((output, trace))
}

fn plugin(tools: &Tools, target: &Target, guest: &Guest, mode: &str, output: &Path) -> Result<()> {
    let mut run = Command::new(&tools.covtap);
    run.args(["run", "--trace", mode, "--plugin"]).arg(&tools.plugin).arg("-o").arg(output);
    run_guest(target, run.arg("--").args(tools.qemu(target, guest)?))
}

/// A guest before its first instruction.
fn halted(tools: &Tools, target: &Target, guest: &Guest) -> Result<testbed::Guest> {
    let qemu = testbed::Guest::builder(target.machine, &guest.elf).args(["-S"]);
    qemu.args(tools.machine_args(target)).start()
}

/// Has QEMU log what it translates, and lets the guest run then, to its end.
fn by_live_log(tools: &Tools, target: &Target, guest: &Guest, output: &Path) -> Result<()> {
    let mut qemu = halted(tools, target, guest)?;
    let mut trace = Command::new(&tools.covtap);
    trace.args(["trace", "--qemu"]).arg(qemu.qmp()).arg(&guest.elf).arg("-o").arg(output);
    let shown = child::show(&trace);
    let mut covtap = child::Group::spawn(trace.stderr(Stdio::piped()))?;
    let status = child::lines(covtap.stderr()?);
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("tracing by QEMU's log")) {
        said.push(status.recv_timeout(PATIENCE).with_context(|| format!("`{shown}` said {said:?}"))?);
    }
    Monitor::connect(qemu.control())?.human("cont")?;
    let ended = covtap.wait()?;
    said.extend(status.iter());
    // By semihosting a guest ends QEMU at once, which tells nobody of it.
    ensure_whole(&shown, ended, &said.join("\n"), (!target.ends_after_a_step).then_some((&mut qemu, target)))
}

/// Makes sure that covtap has traced a guest to its end. Where that is `unsaid` QEMU may have closed its connections without a
/// word, if it ended as the guest asked it to.
fn ensure_whole(
    shown: &str,
    ended: ExitStatus,
    said: &str,
    unsaid: Option<(&mut testbed::Guest, &Target)>,
) -> Result<()> {
    if ended.success() {
        return Ok(());
    }
    let error = said.lines().find(|line| line.starts_with("covtap: error: ")).unwrap_or_default();
    let is_closed = error.trim_end().ends_with("the connection was closed by the other side");
    let unsaid = unsaid.filter(|_| is_closed);
    let (qemu, target) = unsaid.with_context(|| format!("`{shown}` ended with {ended}: {}", said.trim()))?;
    let status = qemu.end(PATIENCE)?;
    ensure!(status.code() == Some(target.exit_code), "QEMU ended with {status} while `{shown}` ran");
    Ok(())
}

/// Traces a guest from its reset to its end.
fn by_gdb(tools: &Tools, target: &Target, guest: &Guest, method: Method, output: &Path) -> Result<()> {
    let mut qemu = halted(tools, target, guest)?;
    let mut trace = Command::new(&tools.covtap);
    trace.args(["trace", "--gdb", &qemu.gdb().to_string(), "--method", method.name()]);
    if method == Method::Breakpoints {
        trace.args(["--window", "all"]);
    }
    let output = child::output(trace.arg(&guest.elf).arg("-o").arg(output))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // QEMU tells of its end only who waits for a guest that runs: not who asks where the last step has led, nor whose
    // breakpoint was met on the way to it.
    let unsaid = target.ends_after_a_step.then_some((&mut qemu, target));
    ensure_whole(&child::show(&trace), output.status, &said, unsaid)
}

/// The counters of a guest that counts, as `.gcda` files below a folder.
pub(super) fn counted(tools: &Tools, target: &Target, guest: &Guest, dir: &Path) -> Result<()> {
    let mut run = Command::new(&tools.covtap);
    run.args(["run", "--quiet", "--gcda-replace", "--gcda-dir"]).arg(dir);
    run_guest(target, run.arg("--").args(tools.qemu(target, guest)?))
}
