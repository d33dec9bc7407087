//! Holds a child process at its end, in the moment when it runs no more and its memory is still there.
//!
//! What enters is a child; what leaves is whether it runs, is [held](Phase::Held) at its end, or has ended, and how.
//!
//! The child's first thread is traced (`PTRACE_SEIZE`) for one event, `PTRACE_EVENT_EXIT`: it comes when the process
//! ends, whatever ends it: its own `exit` on any thread, a fault, a signal, SIGKILL too. A thread stopped there has not
//! let go of the process's memory yet, and the kernel has told all others to end. It costs the running process nothing:
//! no system call is traced, and no thread but the first.
//!
//! What always holds:
//! - one thread of this process makes all `ptrace` calls and waits for the child: `ptrace` knows tracers by thread;
//! - a signal that the traced thread gets is handed on unchanged, and a process that is stopped stays so until SIGCONT;
//! - the child ends with this process at the latest (`PTRACE_O_EXITKILL`);
//! - a signal sent here reaches the child and never a later process of the same id (`pidfd`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid};

use super::resume;

/// Where the event of a stop is in a raw status, and the two events that come (`linux/ptrace.h`).
const EVENT_SHIFT: u32 = 16;
const EVENT_EXIT: i32 = 6;
const EVENT_STOP: i32 = 128;

/// How long the other threads of a process that ends may take, and how often that is looked at: the kernel gives no event
/// for it.
const LAST_STEPS: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// How far a child has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// It runs.
    Runs,
    /// It is held at its end: nothing of it runs, and its memory can be read.
    Held,
    /// It has ended.
    Ended(ExitStatus),
}

/// A child that is watched.
#[derive(Debug)]
pub(crate) struct ExitWatch {
    pid: i32,
    pidfd: OwnedFd,
    refusal: Option<String>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether nobody wants to read the child's memory (yet, or any more).
    is_released: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it has the lock, and both values are whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }

    fn wait_for_release(&self) {
        let state = self.state();
        drop(self.changed.wait_while(state, |state| !state.is_released));
    }
}

impl ExitWatch {
    /// Watches `child` from now on, and reaps it when it has ended. It is not held as long as that is not
    /// [asked for](Self::arm): files that it has open stay open while it is.
    pub(crate) fn start(child: &Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let raw = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        // The child is not reaped yet: the id is its own.
        let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
        let state = State { phase: Phase::Runs, is_released: true };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (tell, told) = channel();
        let seen = Arc::clone(&shared);
        thread::Builder::new().name("exit-watch".to_owned()).spawn(move || watch(raw, &seen, &tell))?;
        let seized = told.recv().map_err(io::Error::other)?;
        let refusal = seized.err().map(|errno| refused(pid, errno));
        Ok(Self { pid, pidfd, refusal, shared })
    }

    /// From now on the child is held at its end.
    pub(crate) fn arm(&self) {
        self.shared.state().is_released = false;
    }

    /// The child's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Why the child cannot be held, if it cannot.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// How far the child has come.
    pub(crate) fn phase(&self) -> Phase {
        self.shared.state().phase
    }

    /// Waits until the child is held or has ended.
    pub(crate) fn wait(&self) -> Phase {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_while(state, |state| state.phase == Phase::Runs);
        waited.unwrap_or_else(PoisonError::into_inner).phase
    }

    /// Waits until the child has ended, no longer than `patience`. One that is held does not by itself.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> Option<ExitStatus> {
        let has_not = |state: &mut State| !matches!(state.phase, Phase::Ended(_));
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), patience, has_not);
        match waited.unwrap_or_else(PoisonError::into_inner).0.phase {
            Phase::Ended(status) => Some(status),
            Phase::Runs | Phase::Held => None,
        }
    }

    /// Lets a child that is held end, and one that runs end without being held.
    pub(crate) fn release(&self) {
        self.shared.state().is_released = true;
        self.shared.changed.notify_all();
    }

    /// Sends a signal to the child, if it has not ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // One that has ended needs no signal.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

fn refused(pid: i32, errno: Errno) -> String {
    let words = io::Error::from(errno).to_string();
    format!("ptrace of process {pid}: {}", words.split(" (os error").next().unwrap_or_default())
}

/// The watching thread: traces the child, tells whether that is allowed, and waits for its end.
fn watch(child: rustix::process::Pid, shared: &Shared, tell: &Sender<Result<(), Errno>>) {
    let pid = Pid::from_raw(child.as_raw_nonzero().get());
    let seized = ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_EXITKILL);
    // Whoever asked waits for this.
    let _ = tell.send(seized);
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) if status.stopped() => answer_stop(pid, status, shared),
            Ok(Some((_, status))) => return shared.set(Phase::Ended(ExitStatus::from_raw(status.as_raw()))),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // Somebody else has reaped it: how it ended is not known any more.
            Err(_) => return shared.set(Phase::Ended(ExitStatus::from_raw(0))),
        }
    }
}

fn answer_stop(pid: Pid, status: WaitStatus, shared: &Shared) {
    let signal = status.stopping_signal().unwrap_or(0);
    // A thread that was killed in the meantime cannot go on; its end is told next.
    let _ = match status.as_raw() >> EVENT_SHIFT {
        EVENT_EXIT => {
            wait_for_other_threads(pid);
            shared.set(Phase::Held);
            shared.wait_for_release();
            resume::go_on(pid, 0)
        }
        // Stopped as a whole process; the same event with SIGTRAP tells that it goes on.
        EVENT_STOP if signal != Signal::TRAP.as_raw() => resume::stay_stopped(pid),
        EVENT_STOP => resume::go_on(pid, 0),
        // About to take a signal.
        _ => resume::go_on(pid, signal),
    };
}

/// Waits until the first thread is the only one: the others were told to end, and may yet do their last steps.
fn wait_for_other_threads(pid: Pid) {
    let deadline = Instant::now() + LAST_STEPS;
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    while threads() > 1 && Instant::now() < deadline {
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use covtap_process::ProcessMemory;

    /// For what always comes.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn watched(script: &str) -> ExitWatch {
        let script = format!("read begin; {script}");
        let child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn();
        let watch = child.and_then(|child| {
            let watch = ExitWatch::start(&child)?;
            watch.arm();
            // It begins when its stdin is closed, here.
            Ok(watch)
        });
        watch.expect("watch it")
    }

    /// One byte of the program itself, which is mapped as long as its memory is there.
    fn reads(watch: &ExitWatch) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", watch.pid())).expect("maps");
        let Some(start) = maps.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
            return false;
        };
        let memory = ProcessMemory::open(watch.pid()).expect("open");
        memory.copy([(start, &mut [0][..])]).is_ok()
    }

    #[test]
    fn a_child_is_held_at_its_end_with_its_memory_and_ends_as_it_would_have() {
        let watch = watched("exit 7");
        assert_eq!(watch.wait(), Phase::Held);
        assert!(reads(&watch));
        watch.release();
        assert_eq!(watch.wait_for_end(PATIENCE).and_then(|status| status.code()), Some(7));
    }

    #[test]
    fn a_killed_child_is_held_as_well_and_a_second_kill_does_not_take_it_away() {
        for signal in [Signal::KILL, Signal::ABORT, Signal::TERM] {
            let watch = watched("exec sleep 600");
            watch.signal(signal);
            assert_eq!(watch.wait(), Phase::Held);
            watch.signal(Signal::KILL);
            assert!(reads(&watch), "{signal:?}");
            watch.release();
            let status = watch.wait_for_end(PATIENCE).expect("it ends");
            assert_eq!(status.signal(), Some(signal.as_raw()));
        }
    }

    #[test]
    fn a_child_that_was_released_before_is_not_held() {
        let watch = watched("exit 3");
        watch.release();
        assert_eq!(watch.wait_for_end(PATIENCE).and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn signals_are_handed_on_real_time_ones_too() {
        let watch = watched("trap 'exit 5' TERM; kill -35 $$ 2>/dev/null; exit 6");
        watch.release();
        let status = watch.wait_for_end(PATIENCE).expect("it ends");
        assert_eq!(status.signal(), Some(35));
        let watch = watched("trap 'exit 5' TERM; kill -TERM $$; exit 6");
        watch.release();
        assert_eq!(watch.wait_for_end(PATIENCE).and_then(|status| status.code()), Some(5));
    }

    #[test]
    fn a_stopped_child_stays_stopped_until_it_is_continued() {
        let state = |watch: &ExitWatch| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", watch.pid())).expect("stat");
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")
        };
        let watch = watched("kill -STOP $$; exit 4");
        let deadline = Instant::now() + PATIENCE;
        while state(&watch) != 't' && state(&watch) != 'T' {
            assert!(Instant::now() < deadline, "it never stops");
            thread::yield_now();
        }
        watch.release();
        watch.signal(Signal::CONT);
        assert_eq!(watch.wait_for_end(PATIENCE).and_then(|status| status.code()), Some(4));
    }

    #[test]
    fn one_that_cannot_be_traced_is_waited_for_and_says_why() {
        let child = Command::new("sh").args(["-c", "read begin; exit 9"]).stdin(Stdio::piped()).spawn();
        let mut child = child.expect("start sh");
        // It has a tracer already: this thread.
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        ptrace::seize(pid, Options::empty()).expect("nobody traces it yet");
        let watch = ExitWatch::start(&child).expect("watch it");
        let refusal = watch.refusal().expect("ptrace is refused");
        assert_eq!(refusal, format!("ptrace of process {pid}: Operation not permitted"));
        drop(child.stdin.take());
        assert_eq!(watch.wait_for_end(PATIENCE).and_then(|status| status.code()), Some(9));
        assert!(child.wait().is_err(), "it was reaped already");
    }
}
