//! `covtap run --trace`: what a guest executes, whether it was instrumented or not.
//!
//! What enters is QEMU's command line; what leaves is covtap's own trace file, written again every now and then, and a last
//! time when QEMU has ended. The counts come from a plugin that QEMU loads, through memory that outlives it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use covtap_qemu::{self as qemu, LaunchError, StartedQemu, TraceFile};
use crossbeam_channel::RecvTimeoutError;

use super::{GuestCommand, RunArgs};
use crate::cli::Verdict;
use crate::cli::interrupt::{EXIT_INTERRUPTED, Interrupts};
use crate::cli::tap::Done;
use crate::cli::terminal;
use crate::collect::{Ended, Stop};
use crate::profile::trace::{self, Trace, TraceMemory, TraceMemoryError};
use crate::write::write_whole;

/// The plugin's file, beside covtap's own.
const PLUGIN: &str = "libcovtap_qemu_plugin.so";

/// Where a trace goes if nothing else is said.
const DEFAULT_OUTPUT: &str = "default.covtrace";

/// Options, and groups of them, that say what becomes of counters.
const OF_PROFILES: [&str; 9] = [
    "SessionArgs",
    "TextArgs",
    "SiteArgs",
    "ExportArgs",
    "FileArgs",
    "ThresholdArgs",
    "GcdaArgs",
    "runtime_identical",
    "raw_version",
];

#[derive(Debug, Args)]
#[command(next_help_heading = "Trace")]
pub(super) struct TraceArgs {
    /// Write a trace of what the guest executes, instrumented or not, in place of a profile: default.covtrace, if --output
    /// names no other file
    #[arg(long, value_name = "WHAT", conflicts_with_all = OF_PROFILES)]
    trace: Option<TraceMode>,
    /// Trace only what is executed with this privilege
    #[arg(long, value_name = "WHOSE", requires = "trace")]
    trace_only: Option<Privilege>,
    /// The plugin that QEMU loads for it; without it libcovtap_qemu_plugin.so beside covtap
    #[arg(long, value_name = "FILE", env = "COVTAP_QEMU_PLUGIN")]
    plugin: Option<PathBuf>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum TraceMode {
    /// Blocks as QEMU translates them
    Blocks,
    /// Blocks, and which way each conditional branch went
    Edges,
    /// Each instruction by itself
    Insns,
}

/// Whose code is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Privilege {
    /// That of programs: EL0, U mode, ring 3, unprivileged threads of Cortex-M
    User,
    /// All other: firmware, kernels, hypervisors
    Privileged,
}

/// A trace cannot be had.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum TraceRunError {
    /// The plugin is not there.
    #[error("trace the guest: there is no plugin {}", path.display())]
    NoPlugin {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// QEMU ended at once, with the plugin in its arguments.
    #[error("trace the guest with {}: {source}", plugin.display())]
    Plugin {
        /// The plugin.
        plugin: PathBuf,
        /// How it ended.
        source: LaunchError,
    },
    /// There is no memory that can be shared.
    #[error("make a temporary file for the trace: {0}")]
    Memory(#[source] io::Error),
    /// What the plugin has written is damaged.
    #[error(transparent)]
    Read(#[from] TraceMemoryError),
}

impl TraceArgs {
    /// What is to be traced, if anything.
    pub(super) fn mode(&self) -> Option<TraceMode> {
        self.trace
    }

    fn plugin(&self) -> Result<PathBuf> {
        let path = match &self.plugin {
            Some(path) => path.clone(),
            None => std::env::current_exe().context("find covtap's own file")?.with_file_name(PLUGIN),
        };
        // QEMU takes a name without a folder for one of the system's libraries.
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.is_file() { Ok(path) } else { Err(TraceRunError::NoPlugin { path }.into()) }
    }
}

/// Runs a guest to its end, and writes what it executed.
///
/// # Errors
///
/// The plugin is missing, QEMU does not start with it, or the trace cannot be written; QEMU has been ended then.
pub(super) fn run(
    args: &RunArgs,
    mode: TraceMode,
    command: &GuestCommand,
    interrupts: &Interrupts,
) -> Result<Verdict> {
    let plugin = args.trace.plugin()?;
    let memory = TraceFile::create().map_err(TraceRunError::Memory)?;
    let mut words = command.args.clone();
    words.extend([
        OsString::from("-plugin"),
        plugin_option(&plugin, &memory.path(), mode, args.trace.trace_only),
    ]);
    let started = qemu::launch(&command.program, &words, &args.link_options());
    let (link, mut qemu) = started.map_err(|error| refused(error, &plugin))?;
    let ask = interrupts.ask.clone();
    // Full only if the user has asked for an end as well.
    let tell = move || {
        let _ = ask.try_send(Stop::AfterLastSnapshot);
    };
    qemu.when_it_ends(tell).context("start a thread")?;
    if !command.starts_paused {
        qemu.resume()?;
    }
    let path = args.options.output().unwrap_or(DEFAULT_OUTPUT).as_ref();
    let tracing = Tracing { args, memory: &memory, path };
    let ended = tracing.until_the_end(interrupts);
    // Also after an error, QEMU ends before covtap does; it was held at its end by the link.
    drop(link);
    let finished = finish(&tracing, ended, &qemu)?;
    let Some((ended, status)) = finished else { return Ok(Verdict::Exit(EXIT_INTERRUPTED)) };
    Ok(args.judge(command, Done { ended, verdict: Verdict::Passed }, status, interrupts))
}

/// Ends QEMU, and then writes the trace; `None` if it is not wanted.
fn finish(
    tracing: &Tracing<'_>,
    ended: Result<Option<Ended>>,
    qemu: &StartedQemu,
) -> Result<Option<(Ended, std::process::ExitStatus)>> {
    let status = qemu.end();
    let Some(ended) = ended? else { return Ok(None) };
    let header = tracing.write()?;
    Tracing::complain(&header);
    Ok(Some((ended, status?)))
}

/// What QEMU is given; commas end an option, and are doubled in a name.
fn plugin_option(plugin: &Path, memory: &Path, mode: TraceMode, only: Option<Privilege>) -> OsString {
    let mut option = doubled(plugin.as_os_str());
    option.extend(b",trace=");
    option.append(&mut doubled(memory.as_os_str()));
    let mode = match mode {
        TraceMode::Blocks => ",mode=blocks",
        TraceMode::Edges => ",mode=edges",
        TraceMode::Insns => ",mode=insns",
    };
    option.extend(mode.as_bytes());
    option.extend(match only {
        None => b"".as_slice(),
        Some(Privilege::User) => b",only=user",
        Some(Privilege::Privileged) => b",only=privileged",
    });
    OsString::from_vec(option)
}

fn doubled(word: &OsStr) -> Vec<u8> {
    word.as_bytes()
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }))
        .collect()
}

/// A QEMU that ends at once may not like the plugin.
fn refused(error: LaunchError, plugin: &Path) -> anyhow::Error {
    match error {
        source @ LaunchError::Ended { .. } => {
            TraceRunError::Plugin { plugin: plugin.to_owned(), source }.into()
        }
        other => other.into(),
    }
}

struct Tracing<'a> {
    args: &'a RunArgs,
    memory: &'a TraceFile,
    path: &'a Path,
}

impl Tracing<'_> {
    /// Writes the trace every now and then until QEMU has ended, or is to: `None` if at once.
    fn until_the_end(&self, interrupts: &Interrupts) -> Result<Option<Ended>> {
        let start = Instant::now();
        loop {
            let left = self.args.timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            if left == Some(Duration::ZERO) {
                return Ok(Some(Ended::Scheduled));
            }
            let pause = left.map_or(self.args.every, |left| left.min(self.args.every));
            match interrupts.stop.recv_timeout(pause) {
                Ok(Stop::AtOnce) => return Ok(None),
                Ok(Stop::AfterLastSnapshot) => return Ok(Some(Ended::TargetEnded)),
                Err(RecvTimeoutError::Timeout) => drop(self.write()?),
                Err(RecvTimeoutError::Disconnected) => return Ok(Some(Ended::TargetEnded)),
            }
        }
    }

    /// Writes the trace up to now.
    fn write(&self) -> Result<TraceMemory> {
        let mut read_at = |offset: u64, bytes: &mut [u8]| self.memory.read_at(offset, bytes);
        let header = TraceMemory::read(&mut read_at).map_err(TraceRunError::from)?;
        let trace = header.trace(&mut read_at).map_err(TraceRunError::from)?;
        write_whole(self.path, &trace::encode(&trace))?;
        self.say(&trace);
        Ok(header)
    }

    fn say(&self, trace: &Trace) {
        if !self.args.options.quiet {
            let len_bytes = trace.len_bytes();
            terminal::say(&format!("wrote {}: {len_bytes} bytes of code executed", self.path.display()));
        }
    }

    /// Says what is missing.
    fn complain(header: &TraceMemory) {
        if header.unseen_outcomes > 0 {
            let num = header.unseen_outcomes;
            terminal::say(&format!(
                "the trace is not whole: of {num} branches it is not known which way they went"
            ));
        }
        if header.not_recorded > 0 {
            let num = header.not_recorded;
            terminal::say(&format!("the trace is not whole: {num} translated blocks found no room in it"));
        }
        if header.is_vcpu_missing {
            terminal::say("the trace is not whole: what one of the vCPUs executed is missing");
        }
        if header.is_privilege_unknown {
            terminal::say(
                "the trace is not whole: QEMU does not tell with which privilege some code was executed, which is missing",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_names_are_doubled() {
        let option =
            |only| plugin_option("/a,b/p.so".as_ref(), "/proc/1/fd/3".as_ref(), TraceMode::Edges, only);
        assert_eq!(option(None), "/a,,b/p.so,trace=/proc/1/fd/3,mode=edges");
        assert_eq!(option(Some(Privilege::User)), "/a,,b/p.so,trace=/proc/1/fd/3,mode=edges,only=user");
    }
}
