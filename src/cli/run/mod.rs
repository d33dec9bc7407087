//! `covtap run`: a guest from before its first instruction to its end.
//!
//! What enters is QEMU's command line; what leaves is profiles or a trace, and the guest's own exit code. What always holds: however
//! it ends, no process and no file but the profiles is left behind.

mod command;
mod trace;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use covtap_qemu::{self as qemu, StartedQemu};
use crossbeam_channel::Sender;

use super::formats::FormatArgs;
use super::interrupt::{self, EXIT_INTERRUPTED, Interrupts};
use super::programs::ElfArg;
use super::session::SessionArgs;
use super::status::Status;
use super::tap::{self, Begun, Done, TapOptions, Target, Task};
use super::target::OpenLink;
use super::{Verdict, complain, terminal, units};
use crate::collect::{Ended, Schedule, Stop};
pub(super) use command::CommandError;
use command::GuestCommand;
use trace::TraceArgs;
pub(super) use trace::TraceRunError;

/// The exit code of a guest that was ended by --timeout, as `timeout` of the GNU coreutils has it.
const EXIT_TIMED_OUT: u8 = 124;

/// What shells add to the number of the signal that ended a process.
const EXIT_SIGNALLED: i32 = 128;

/// Start a guest in QEMU, keep a profile of its coverage from its first instruction to its last, and exit with its code.
///
/// The guest is read a last time when QEMU ends, whatever ends it: semihosting, isa-debug-exit, PSCI, a crash, a signal.
///
/// As a runner of Cargo's, put {elf} where the program's path belongs and -- at the end: Cargo adds the path and the
/// test's arguments behind it.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The programs that the guest runs; without it what -kernel names, or, where {elf} stands in the command, the first
    /// word after a second --
    #[arg(long = "elf", value_name = "ELF[@SLIDE]", value_parser = ElfArg::parse)]
    elves: Vec<ElfArg>,
    /// Time from one snapshot to the next
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::parse_duration)]
    every: Duration,
    /// End the guest after this time, with a last snapshot and exit code 124
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    timeout: Option<Duration>,
    /// The guest's exit code that means success, and becomes 0: isa-debug-exit has only odd ones, such as 33
    #[arg(long, value_name = "CODE")]
    success: Option<u8>,
    /// How long QEMU may take to start
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::parse_duration)]
    connect_timeout: Duration,
    /// How long to wait for an answer of QEMU's
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::parse_duration)]
    reply_timeout: Duration,
    /// Which addresses the ELF has: physical, virtual or virtual:CPU
    #[arg(long, value_name = "SPACE", default_value = "physical")]
    qemu_address: qemu::AddressSpace,
    #[command(flatten)]
    options: TapOptions,
    // Last, because their help has headings of its own.
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    formats: FormatArgs,
    #[command(flatten)]
    trace: TraceArgs,
    /// QEMU and its arguments; {elf} becomes the ELF's path, {args} the words that Cargo adds behind it
    #[arg(last = true, required = true, value_name = "QEMU")]
    command: Vec<OsString>,
}

/// The guest did not end by itself in time.
#[derive(Debug, thiserror::Error)]
#[error("run {program}: the guest did not end within {timeout}")]
pub(super) struct TimedOut {
    program: String,
    timeout: String,
}

/// Runs a guest.
///
/// # Errors
///
/// Anything that kept covtap from starting it, reading or writing; it has been ended then.
pub(super) fn run(args: &RunArgs) -> Result<Verdict> {
    let command = GuestCommand::new(&args.command, &args.elves, args.trace.mode().is_none())?;
    let interrupts = interrupt::listen()?;
    if let (false, Some(line)) = (args.options.quiet, command.left_out()) {
        terminal::say(&line);
    }
    if let Some(mode) = args.trace.mode() {
        return trace::run(args, mode, &command, &interrupts);
    }
    let RunArgs { options, session, formats, .. } = args;
    let (elves, patience) = (&*command.elves, Duration::ZERO);
    let task = Task { elves, options, session, formats, scan: false, patience };
    let schedule = Schedule { every: args.every, duration: args.timeout, snapshots: None };
    let mut guest = Guest { args, command: &command, ask: interrupts.ask.clone(), qemu: None };
    let done = tap::run_session(task, &mut guest, schedule, &interrupts);
    // Whatever came of the session, QEMU ends before covtap does.
    let ended = guest.qemu.take().map(|qemu| qemu.end()).transpose();
    let done = done?;
    Ok(match ended? {
        Some(status) => args.judge(&command, done, status, &interrupts),
        None => done.verdict,
    })
}

impl RunArgs {
    fn link_options(&self) -> qemu::Options {
        let mut options = qemu::Options::default();
        options.connect_timeout = self.connect_timeout;
        options.reply_timeout = self.reply_timeout;
        options.address_space = self.qemu_address;
        options
    }

    /// The exit code of a session that did its work.
    fn judge(
        &self,
        command: &GuestCommand,
        done: Done,
        status: ExitStatus,
        interrupts: &Interrupts,
    ) -> Verdict {
        if interrupts.has_come() {
            return Verdict::Exit(EXIT_INTERRUPTED);
        }
        if let (Ended::Scheduled, Some(timeout)) = (done.ended, self.timeout) {
            let timeout = units::duration(timeout);
            complain(&TimedOut { program: command.program_name(), timeout }.into());
            return Verdict::Exit(EXIT_TIMED_OUT);
        }
        if let (false, Some(signal)) = (self.options.quiet, status.signal()) {
            terminal::say(&format!("{} was ended by signal {signal}", command.program_name()));
        }
        match exit_code(status) {
            code if code == self.success.unwrap_or(0) => done.verdict,
            // The guest's other codes all say that something is wrong; 0 must not say the opposite.
            0 => Verdict::Exit(super::EXIT_BELOW_THRESHOLD),
            code => Verdict::Exit(code),
        }
    }
}

/// The exit code of a process, as shells have it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(EXIT_SIGNALLED.saturating_add(status.signal()?)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(super::EXIT_ERROR)
}

/// A guest that is started when it is opened.
struct Guest<'a> {
    args: &'a RunArgs,
    command: &'a GuestCommand,
    ask: Sender<Stop>,
    qemu: Option<StartedQemu>,
}

impl Target for Guest<'_> {
    fn open(&mut self, status: &Status) -> Result<OpenLink> {
        let options = self.args.link_options();
        let (link, qemu) = qemu::launch(&self.command.program, &self.command.args, &options)?;
        if let Some(reason) = qemu.hold_refusal() {
            status.note(&format!(
                "what the guest counts after the last snapshot before its end is lost: {reason}"
            ));
        }
        let ask = self.ask.clone();
        qemu.when_it_ends(move || {
            // Full only if the user has asked for an end as well.
            let _ = ask.try_send(Stop::AfterLastSnapshot);
        })
        .context("start a thread")?;
        self.qemu = Some(qemu);
        Ok(link.into())
    }

    fn begin(&mut self) -> Result<Begun> {
        if let Some(qemu) = self.qemu.as_mut().filter(|_| !self.command.starts_paused) {
            qemu.resume()?;
        }
        Ok(Begun::FromRest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (raw, code) in [(0, 0), (33 << 8, 33), (255 << 8, 255), (9, 137), (6 | 0x80, 134)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), code, "{raw:#x}");
        }
    }
}
