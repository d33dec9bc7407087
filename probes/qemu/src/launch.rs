//! Starts a QEMU, paused before its guest's first instruction, with a monitor of the link's own.
//!
//! What enters is a command line; what leaves is a link to the guest, and a handle by which the guest is let go and QEMU
//! is ended.
//!
//! ```text
//! -chardev socket,id=covtap-link,fd=N -mon chardev=covtap-link,mode=control        the link's monitor
//! -chardev socket,id=covtap-start,fd=M -mon chardev=covtap-start,mode=control -S   lets the guest go, once
//! ```
//!
//! What always holds:
//! - the monitors are pairs of sockets that nobody else can reach: there is no file, folder or port to leave behind;
//! - QEMU has this process's own input, output, terminal and process group;
//! - QEMU is held at its end until the link has let go, so that its guest's memory can be read a last time;
//! - QEMU ends with this process at the latest, however that ends (where the host lets it be traced).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command as Program, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use covtap_link::{LinkError, Operation};
use rustix::process::Signal;
use serde_json::json;

use crate::failure::Failure;
use crate::host::exit_watch::{ExitWatch, Phase};
use crate::host::find::holders_of;
use crate::qmp::{Client, Command, Socket};
use crate::{Options, QemuLink};

/// How long QEMU may take to end in order: once for being asked to by the monitor, once for SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long a process that was killed may take to be gone.
const GRACE_AFTER_KILL: Duration = Duration::from_secs(10);

/// Starting or ending a QEMU failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is no such program, or the host did not start it.
    #[error("start {program}: {source}")]
    Start {
        /// The program, as the user wrote it.
        program: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// It ended before anything could be asked of it.
    #[error("start {program}: it ended before its monitor answered: {status}")]
    Ended {
        /// The program, as the user wrote it.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It runs, and is no QEMU, or one that waits for something else.
    #[error("start {program}: its monitor did not answer within {waited_ms} ms")]
    Silent {
        /// The program, as the user wrote it.
        program: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// It does not end, not even when it is killed.
    #[error("end {program}: process {process_id} is still there after it was killed")]
    Stays {
        /// The program, as the user wrote it.
        program: String,
        /// Its id.
        process_id: i32,
    },
    /// The link to it failed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A QEMU that this process has started. Dropping it ends QEMU.
#[derive(Debug)]
pub struct StartedQemu {
    program: String,
    watch: Arc<ExitWatch>,
    refusal: Option<String>,
    /// The monitor that lets the guest go; `None` once it did. It is not kept: nobody would read what it tells.
    start: Option<UnixStream>,
    reply_timeout: Duration,
}

/// Starts `program` with `args`, which must make it a QEMU, and links to its guest, which has not begun yet.
///
/// # Errors
///
/// It could not be started, ended at once, or its monitor does not answer within the connect timeout; it has then been
/// ended.
pub fn launch(
    program: &OsStr,
    args: &[OsString],
    options: &Options,
) -> Result<(QemuLink, StartedQemu), LaunchError> {
    let name = program.to_string_lossy().into_owned();
    let start_error = |source| LaunchError::Start { program: name.clone(), source };
    let (link_end, far_link_end) = UnixStream::pair().map_err(start_error)?;
    let (start_end, far_start_end) = UnixStream::pair().map_err(start_error)?;
    let (far_link_end, far_start_end) = (OwnedFd::from(far_link_end), OwnedFd::from(far_start_end));
    let (far_link_end, inode) = inode_of(far_link_end).map_err(start_error)?;
    let child = spawn(program, args, far_link_end, far_start_end).map_err(start_error)?;
    let watch = Arc::new(watch(child).map_err(start_error)?);
    let mut qemu = StartedQemu {
        program: name,
        refusal: watch.refusal().map(str::to_owned),
        watch,
        start: Some(start_end),
        reply_timeout: options.reply_timeout,
    };
    let link = qemu.link(link_end, inode, options)?;
    Ok((link, qemu))
}

/// The number of the socket behind `fd`, by which its holder is found.
fn inode_of(fd: OwnedFd) -> io::Result<(OwnedFd, u64)> {
    let file = File::from(fd);
    let inode = file.metadata()?.ino();
    Ok((file.into(), inode))
}

fn spawn(program: &OsStr, args: &[OsString], link: OwnedFd, start: OwnedFd) -> io::Result<Child> {
    let mut command = Program::new(program);
    command.args(args);
    let mut mappings = Vec::new();
    for (id, fd) in [("covtap-link", link), ("covtap-start", start)] {
        // The same number as here is not taken there: whatever else QEMU inherits has another one.
        let number = fd.as_raw_fd();
        command.arg("-chardev").arg(format!("socket,id={id},fd={number}"));
        command.arg("-mon").arg(format!("chardev={id},mode=control"));
        mappings.push(FdMapping { parent_fd: fd, child_fd: number });
    }
    command.arg("-S").fd_mappings(mappings).map_err(io::Error::other)?;
    command.spawn()
}

/// Watches a child; one that cannot be watched is ended.
fn watch(mut child: Child) -> io::Result<ExitWatch> {
    ExitWatch::start(&child).inspect_err(|_| {
        // One that has ended already is as good.
        let _ = child.kill();
        let _ = child.wait();
    })
}

impl StartedQemu {
    /// Links to the guest over its monitor's end of a pair of sockets.
    fn link(&mut self, stream: UnixStream, inode: u64, options: &Options) -> Result<QemuLink, LaunchError> {
        let client = match Client::greet(Socket::Unix(stream), options.connect_timeout) {
            Ok(client) => client.with_reply_timeout(options.reply_timeout),
            Err(failure) => return Err(self.no_monitor(failure)),
        };
        self.watch.arm();
        let found = holders_of(self.watch.pid(), inode);
        let link = QemuLink::over_started(client, &self.program, options, found, &self.watch)?;
        if let Some(reason) = link.not_held() {
            self.refusal.get_or_insert(reason);
        }
        Ok(link)
    }

    /// What a greeting that failed comes to, for a child that is ended now.
    fn no_monitor(&self, failure: Failure) -> LaunchError {
        let program = self.program.clone();
        let ended = match &failure {
            // The far end of the socket is gone, and most likely with it the process.
            Failure::Closed => self.watch.wait_for_end(GRACE),
            _ => None,
        };
        match (ended, failure) {
            (Some(status), _) => LaunchError::Ended { program, status },
            (None, Failure::Timeout { waited_ms }) => LaunchError::Silent { program, waited_ms },
            (None, failure) => failure.during(Operation::Handshake, &program).into(),
        }
    }

    /// The id of the process that was started.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.watch.pid()
    }

    /// Why QEMU cannot be held at its end, if it cannot: what its guest counted after the last reading is then lost.
    #[must_use]
    pub fn hold_refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Lets the guest begin. Again, it does nothing.
    ///
    /// # Errors
    ///
    /// QEMU refused or did not answer.
    pub fn resume(&mut self) -> Result<(), LinkError> {
        let Some(stream) = self.start.take() else { return Ok(()) };
        // A guest may end at once, and QEMU with it before it has answered.
        let is_over = || self.watch.phase() != Phase::Runs;
        Client::greet(Socket::Unix(stream), self.reply_timeout)
            .and_then(|mut client| client.execute_unless(&Command::new("cont", json!({})), is_over))
            .map(drop)
            .map_err(|failure| failure.during(Operation::Resume, &self.program))
    }

    /// Calls `tell` on a thread of its own once QEMU is held at its end, or has ended.
    ///
    /// # Errors
    ///
    /// The thread could not be started.
    pub fn when_it_ends(&self, tell: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let watch = Arc::clone(&self.watch);
        thread::Builder::new().name("end-of-qemu".to_owned()).spawn(move || {
            watch.wait();
            tell();
        })?;
        Ok(())
    }

    /// Waits for the end of a QEMU whose link has let go of it, and brings it about if it does not come: SIGTERM, SIGKILL.
    ///
    /// # Errors
    ///
    /// It is there even after SIGKILL: the kernel waits for a device.
    pub fn end(&self) -> Result<ExitStatus, LaunchError> {
        self.watch.release();
        let steps = [(None, GRACE), (Some(Signal::TERM), GRACE), (Some(Signal::KILL), GRACE_AFTER_KILL)];
        for (signal, grace) in steps {
            if let Some(signal) = signal {
                self.watch.signal(signal);
            }
            if let Some(status) = self.watch.wait_for_end(grace) {
                return Ok(status);
            }
        }
        Err(LaunchError::Stays { program: self.program.clone(), process_id: self.watch.pid() })
    }
}

impl Drop for StartedQemu {
    fn drop(&mut self) {
        self.watch.release();
        if self.watch.wait_for_end(Duration::ZERO).is_none() {
            // Nobody is left to be told.
            self.watch.signal(Signal::TERM);
            let _ = self.end();
        }
    }
}
