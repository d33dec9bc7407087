//! QEMU's log of the code that it translates: each block once, when it is executed next.
//!
//! What enters is a monitor; what leaves is the log's text. What always holds: the guest runs at its own speed, and never
//! waits for who reads the log; what is not read yet is in memory, [a file](HandedFile) of [`MAX_FILE_BYTES`] or little more
//! while it is read; a log that was begun is ended, also if this process is killed, by its [guard](guard).
//!
//! ```text
//! logfile FILE
//! log in_asm                    code that is translated from now on is told
//!                               what was translated before is translated anew: see renew
//! logfile ANOTHER               when the file is large
//! log none
//! logfile FORMER
//! ```
//!
//! QEMU tells nobody what it logged before, and where; it is taken from its command line. A QEMU that logs since its start
//! is refused: going on with a file empties it.

mod guard;
mod renew;

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use covtap_link::{AddrRange, LinkError, LogBegun};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::Value;

use crate::failure::Failure;
use crate::handed::HandedFile;
use crate::host::command_line::CommandLine;
use crate::human::clip;
use crate::qmp::{Client, Command, Socket};
use guard::Guard;

/// A file that has as much is followed by another one.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// As much is given to the caller at once.
const MAX_PIECE_BYTES: usize = 1 << 20;

/// How long a block may take to be written into a file that QEMU was told to leave. It closes the file when each processor
/// has left the code that it is in, which one without interrupts never does.
const CLOSING: Duration = Duration::from_millis(100);

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct BlockLog {
    /// What is read, and behind it what is written.
    files: VecDeque<LogFile>,
    /// Tells of changes.
    changes: OwnedFd,
    guard: Guard,
    /// What QEMU is told at the end.
    last_will: Vec<String>,
}

#[derive(Debug)]
struct LogFile {
    handed: HandedFile,
    read_bytes: u64,
    watch: i32,
    /// When QEMU was told to leave it, and whether it has closed it since.
    left: Option<Instant>,
    is_closed: bool,
}

impl LogFile {
    /// QEMU may keep it open.
    fn give_memory_back(&self) {
        // It is no worse than before where this fails.
        let _ = self.handed.file().set_len(0);
    }

    /// Whether nothing more will be written.
    fn is_over(&self) -> bool {
        self.is_closed || self.left.is_some_and(|left| left.elapsed() >= CLOSING)
    }
}

impl BlockLog {
    /// Has QEMU log from now on, and all of `code` translated anew.
    pub(crate) fn begin(
        client: &mut Client,
        process: Option<i32>,
        code: &[AddrRange],
        failed: &dyn Fn(Failure) -> LinkError,
    ) -> Result<(Self, LogBegun), LinkError> {
        let line = CommandLine::of(process);
        check(client, &line).map_err(failed)?;
        let mut log = Self::post(client, &line).map_err(failed)?;
        let begun = log
            .begin_file(client)
            .and_then(|()| say(client, "log in_asm"))
            .and_then(|()| log.take_back(client))
            .map_err(failed);
        let renewed =
            begun.and_then(|()| renew::renew(client, &line, &mut log.guard, &log.last_will, code, failed));
        match renewed {
            Ok(renewed) => Ok((log, renewed)),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = log.end(client, &mut Vec::new());
                Err(error)
            }
        }
    }

    fn post(client: &Client, line: &CommandLine) -> Result<Self, Failure> {
        let last_will = vec!["log none".to_owned(), format!("logfile {}", quoted(line.log_file()))];
        let mut guard = client.socket().share().and_then(Guard::post).map_err(Failure::Io)?;
        guard.leave_to(&last_will).map_err(Failure::Io)?;
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        let changes = changes.map_err(|error| Failure::Io(error.into()))?;
        Ok(Self { files: VecDeque::new(), changes, guard, last_will })
    }

    /// Has QEMU write into a new file.
    fn begin_file(&mut self, client: &mut Client) -> Result<(), Failure> {
        const NAME: &str = "covtap-log";
        let handed = match client.socket() {
            Socket::Unix(_) => HandedFile::hand_over(client, NAME)?,
            Socket::Tcp(_) => HandedFile::show(NAME)?,
        };
        let own = format!("/proc/self/fd/{}", handed.file().as_raw_fd());
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CLOSE_WRITE;
        let watch =
            inotify::add_watch(&self.changes, own, flags).map_err(|error| Failure::Io(error.into()))?;
        let told = say(client, &format!("logfile {}", handed.path()));
        self.leave_last();
        self.files.push_back(LogFile { handed, read_bytes: 0, watch, left: None, is_closed: false });
        told
    }

    /// Appends what was logged, after waiting for it no longer than `wait`.
    pub(crate) fn next(
        &mut self,
        client: &mut Client,
        wait: Duration,
        log: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        self.take_within(wait, log)?;
        let is_large = self.files.back().is_some_and(|file| file.read_bytes >= MAX_FILE_BYTES);
        if is_large && self.files.len() == 1 {
            self.begin_file(client)?;
            self.take_back(client)?;
        }
        Ok(())
    }

    fn leave_last(&mut self) {
        if let Some(file) = self.files.back_mut() {
            file.left.get_or_insert_with(Instant::now);
        }
    }

    /// QEMU has opened it.
    fn take_back(&self, client: &mut Client) -> Result<(), Failure> {
        self.files.back().map_or(Ok(()), |file| file.handed.take_back(client))
    }

    fn take_within(&mut self, wait: Duration, log: &mut Vec<u8>) -> Result<(), Failure> {
        let deadline = Instant::now() + wait;
        loop {
            self.note_changes();
            if self.take(log)? || Instant::now() >= deadline {
                return Ok(());
            }
            self.wait(deadline)?;
        }
    }

    fn wait(&self, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec::try_from(left).map_err(|_| Failure::Io(std::io::ErrorKind::InvalidInput.into()))?;
        match poll(&mut [PollFd::from_borrowed_fd(self.changes.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Failure::Io(error.into())),
        }
    }

    /// Notes which files QEMU has closed.
    fn note_changes(&mut self) {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut changes = inotify::Reader::new(&self.changes, &mut space);
        while let Ok(change) = changes.next() {
            if change.events().contains(inotify::ReadFlags::CLOSE_WRITE) {
                let closed = self.files.iter_mut().filter(|file| file.watch == change.wd());
                closed.for_each(|file| file.is_closed = true);
            }
        }
    }

    /// Appends a piece of what is there; whether there was any. One file is read to its end before the next.
    fn take(&mut self, log: &mut Vec<u8>) -> Result<bool, Failure> {
        loop {
            let num_files = self.files.len();
            let Some(file) = self.files.front_mut() else { return Ok(false) };
            let start = log.len();
            log.resize(start + MAX_PIECE_BYTES, 0);
            let room = log.get_mut(start..).unwrap_or_default();
            let read = file.handed.file().read_at(room, file.read_bytes);
            let len = *read.as_ref().unwrap_or(&0);
            log.truncate(start + len);
            read.map_err(Failure::Io)?;
            file.read_bytes += len as u64;
            if len > 0 {
                return Ok(true);
            }
            if num_files == 1 || !file.is_over() {
                return Ok(false);
            }
            file.give_memory_back();
            self.files.pop_front();
        }
    }

    /// Ends the log, and appends the rest of it.
    pub(crate) fn end(mut self, client: &mut Client, log: &mut Vec<u8>) -> Result<(), Failure> {
        let mut told = Ok(());
        for line in &self.last_will {
            told = told.and(say(client, line));
        }
        self.leave_last();
        while told.is_ok() && self.files.back().is_some_and(|file| !file.is_over()) {
            self.take_within(CLOSING, log)?;
        }
        while self.take(log)? {}
        self.files.iter().for_each(LogFile::give_memory_back);
        self.guard.dismiss();
        told
    }
}

/// Makes sure that there is a log that can be read here, and that nobody has it.
fn check(client: &mut Client, line: &CommandLine) -> Result<(), Failure> {
    if !client.socket().is_local() {
        let reason = "QEMU writes its log on its own host, and this is another one";
        return Err(Failure::Unsupported(reason.to_owned()));
    }
    let translator = client.execute(&Command::human("info jit", None))?;
    let words = translator.as_str().unwrap_or_default().trim();
    if !words.contains("Translation buffer state") {
        return Err(Failure::Unsupported(format!("QEMU translates no code: {}", clip(words))));
    }
    match line.log() {
        Some(items) => {
            let reason = format!("QEMU logs since its start (-d {}), which would end", clip(items));
            Err(Failure::Refused(reason))
        }
        None => Ok(()),
    }
}

/// A word of the human monitor's language.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A command of the human monitor that prints nothing unless it fails.
fn say(client: &mut Client, line: &str) -> Result<(), Failure> {
    match client.execute(&Command::human(line, None))? {
        Value::String(words) if words.trim().is_empty() => Ok(()),
        Value::String(words) => Err(Failure::Refused(format!("{line}: {}", clip(words.trim())))),
        _ => Err(Failure::Protocol(format!("{line}: not a string"))),
    }
}
