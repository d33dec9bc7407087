//! A session: one thread reads when it is time, the caller's thread writes when it can.
//!
//! What always holds: between the two is a [queue](super::queue) that makes the reader wait only where counters are so many
//! that a third reading takes [too much memory](Reader::waits_for_writer), and not for long; what happens to the
//! target between two snapshots is noticed as soon as its link [wants](covtap_link::TargetEvents::look_every) where it is
//! told of it; a link that fails is sought again for as long as the [`Reconnect`] has patience, and the session goes on
//! from there.

use std::thread;
use std::time::{Duration, Instant};

use covtap_link::LinkError;
use crossbeam_channel::{Receiver, bounded};

use super::label_on::CallFaults;
use super::labels::Labels;
use super::queue::{Queue, Told};
use super::{CollectError, MeteredLink, Notice, Pending, Reader, Request, Schedule, Snapshot, Taken};

/// How often is looked whether the writer has written, where the next reading [waits](Reader::waits_for_writer) for that.
const LATE_LOOK: Duration = Duration::from_millis(2);

/// A reading waits no longer.
const LONGEST_LATE: Duration = Duration::from_secs(1);

/// How long to wait before a link is sought again the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Waits double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a session is asked to end before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Take one more snapshot, write it, end.
    AfterLastSnapshot,
    /// End without another snapshot; those that wait are not written.
    AtOnce,
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its schedule was done.
    Scheduled,
    /// It was asked to.
    Stopped(Stop),
    /// The target said that it ended.
    TargetEnded,
}

/// What a session did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Why it ended.
    pub ended: Ended,
    /// Snapshots taken.
    pub taken: u64,
    /// Snapshots that a newer one overtook before they could be written.
    pub overtaken: u64,
    /// How often the target was reset, as far as that was noticed.
    pub resets: u64,
    /// For how long the workload was stopped, from attaching to detaching.
    pub pause: Duration,
}

/// How a link that failed is replaced by another to the same target.
pub struct Reconnect<'a> {
    /// Connects.
    pub connect: Box<dyn FnMut() -> Result<MeteredLink, CollectError> + Send + 'a>,
    /// For how long it is tried.
    pub patience: Duration,
}

/// A session that is ready to start.
pub struct Session<'a> {
    /// Reads the target.
    pub reader: Reader,
    /// When.
    pub schedule: Schedule,
    /// Asks the session to end. A sender that is dropped asks for nothing.
    pub stop: Receiver<Stop>,
    /// What somebody outside asks. A sender that is dropped asks for nothing.
    pub requests: Receiver<Request>,
    /// Whether somebody keeps what tests count: else none may begin.
    pub has_labels: bool,
    /// What to do when the link fails; the session ends if `None`.
    pub reconnect: Option<Reconnect<'a>>,
}

impl Session<'_> {
    /// Takes snapshots as scheduled and gives each to `write`, in order, on the calling thread, and what is to be known
    /// between them. At the end, and on any error, the target is left as it was found.
    ///
    /// # Errors
    ///
    /// The link failed for good, or `write` failed: snapshots written before stay written.
    pub fn run<E: From<CollectError>>(
        self,
        mut write: impl FnMut(&Told) -> Result<(), E>,
    ) -> Result<Summary, E> {
        let queue = Queue::default();
        let (cancel, cancelled) = bounded(1);
        thread::scope(|scope| {
            let reading = scope.spawn(|| Reading::new(self, &queue, cancelled).run());
            let mut written = Ok(());
            while let Some(told) = queue.next() {
                written = write(&told);
                if written.is_err() {
                    break;
                }
            }
            drop(cancel);
            let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written?;
            Ok(read?)
        })
    }
}

/// The reader's side of a session.
pub(super) struct Reading<'s> {
    pub(super) queue: &'s Queue,
    /// The writer has failed if its other side is gone.
    cancelled: Receiver<()>,
    pub(super) session: Session<'s>,
    pub(super) start: Instant,
    pub(super) labels: Labels,
    pub(super) call_faults: CallFaults,
    /// Those who want the session to end, and wait for its last snapshot.
    pub(super) stopping: Vec<Pending>,
}

/// Why the reader no longer waits.
enum Woken {
    /// It is time.
    Due,
    /// The session is to end.
    Asked(Stop),
}

/// What came while the reader waited.
enum Came {
    Stop(Stop),
    Request(Request),
}

impl<'s> Reading<'s> {
    fn new(session: Session<'s>, queue: &'s Queue, cancelled: Receiver<()>) -> Self {
        let (start, labels, stopping) = (Instant::now(), Labels::default(), Vec::new());
        let call_faults = CallFaults::default();
        Self { queue, cancelled, session, start, labels, call_faults, stopping }
    }

    fn run(mut self) -> Result<Summary, CollectError> {
        let read = self.read_on_schedule();
        if matches!(read, Ok(Ended::Stopped(Stop::AtOnce))) {
            self.queue.discard();
        }
        let detached = self.session.reader.detach();
        let rest = match read {
            // It was asked for that nothing more is written.
            Ok(Ended::Stopped(Stop::AtOnce)) => Ok(()),
            _ => self.tell_rest(),
        };
        self.queue.finish();
        let ended = read?;
        rest?;
        let reader = &self.session.reader;
        if ended != Ended::TargetEnded {
            detached?;
        }
        let (taken, resets, pause) = (reader.taken(), reader.resets(), reader.pause());
        Ok(Summary { ended, taken, overtaken: self.queue.overtaken(), resets, pause })
    }

    fn read_on_schedule(&mut self) -> Result<Ended, CollectError> {
        loop {
            match self.read_once() {
                Ok(None) => {}
                Ok(Some(ended)) => return Ok(ended),
                Err(CollectError::Link(error)) if error.is_fatal() => self.restore(error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the next snapshot and takes it; why the session ends after it, if it does.
    fn read_once(&mut self) -> Result<Option<Ended>, CollectError> {
        let taken = self.session.reader.taken();
        let Some(due) = self.session.schedule.next_due(taken, self.start.elapsed()) else {
            return Ok(Some(Ended::Scheduled));
        };
        let woken = self.wait_until(self.start + due)?;
        if let Woken::Asked(Stop::AtOnce) = woken {
            return Ok(Some(Ended::Stopped(Stop::AtOnce)));
        }
        if let Some(snapshot) = self.take()? {
            self.queue.push(Told::Snapshot(snapshot));
        }
        self.stopping.drain(..).for_each(|pending| self.queue.push(Told::Answer(pending)));
        if self.session.reader.has_ended() {
            return Ok(Some(Ended::TargetEnded));
        }
        Ok(match woken {
            Woken::Asked(stop) => Some(Ended::Stopped(stop)),
            Woken::Due => None,
        })
    }

    /// A snapshot, if there is one to be had.
    pub(super) fn take(&mut self) -> Result<Option<Box<Snapshot>>, CollectError> {
        let taken = self.session.reader.take(self.start.elapsed());
        self.tell_notices();
        Ok(match taken? {
            Taken::Snapshot(snapshot) => Some(snapshot),
            Taken::Restarting | Taken::Ended => None,
        })
    }

    fn tell_notices(&mut self) {
        for notice in self.session.reader.notices() {
            self.queue.push(Told::Notice(notice));
        }
    }

    /// Waits until `due`, until the target is held for a snapshot, or until somebody wants the session to end; serves
    /// whoever asks meanwhile. A writer that failed cancels at once.
    fn wait_until(&mut self, due: Instant) -> Result<Woken, CollectError> {
        loop {
            if self.session.reader.watch()? {
                return Ok(Woken::Due);
            }
            self.tell_notices();
            self.hear_calls()?;
            let now = Instant::now();
            let look = self.session.reader.look_every().map(|every| now + every);
            let next = if now >= due && self.is_held_up(due) { now + LATE_LOOK } else { due };
            let next = look.map_or(next, |look| next.min(look));
            match self.came_until(next) {
                Some(Came::Stop(stop)) => return Ok(Woken::Asked(stop)),
                Some(Came::Request(request)) => {
                    if let Some(stop) = self.serve(&request)? {
                        return Ok(Woken::Asked(stop));
                    }
                }
                None => {}
            }
            if Instant::now() >= due && !self.is_held_up(due) {
                return Ok(Woken::Due);
            }
        }
    }

    /// Whether what is due goes on waiting for the writer.
    fn is_held_up(&self, due: Instant) -> bool {
        self.session.reader.waits_for_writer() && due.elapsed() < LONGEST_LATE
    }

    /// What comes until `due`.
    fn came_until(&mut self, due: Instant) -> Option<Came> {
        let timer = crossbeam_channel::at(due);
        loop {
            crossbeam_channel::select_biased! {
                recv(self.cancelled) -> _ => return Some(Came::Stop(Stop::AtOnce)),
                recv(self.session.stop) -> asked => match asked {
                    Ok(stop) => return Some(Came::Stop(stop)),
                    Err(_) => self.session.stop = crossbeam_channel::never(),
                },
                recv(timer) -> _ => return None,
                recv(self.session.requests) -> request => match request {
                    Ok(request) => return Some(Came::Request(request)),
                    Err(_) => self.session.requests = crossbeam_channel::never(),
                },
            }
        }
    }

    /// Seeks another link, with longer and longer pauses.
    ///
    /// # Errors
    ///
    /// There is none in time, or somebody wants the session to end: what the old one failed with, or what keeps the new
    /// one from being used.
    fn restore(&mut self, error: LinkError) -> Result<(), CollectError> {
        let lost = Instant::now();
        let Some(patience) = self.session.reconnect.as_ref().map(|it| it.patience).filter(|it| !it.is_zero())
        else {
            return Err(error.into());
        };
        self.queue.push(Told::Notice(Notice::LinkLost { error: error.to_string(), patience }));
        // A server that takes one client at a time must see that the old one has left.
        let _ = self.session.reader.detach();
        let (mut pause, mut last) = (FIRST_PAUSE, CollectError::from(error));
        while lost.elapsed() < patience {
            match self.came_until(Instant::now() + pause) {
                Some(Came::Stop(_)) => return Err(last),
                Some(Came::Request(request)) => request.refuse(&last),
                None => {}
            }
            pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
            let Some(reconnect) = self.session.reconnect.as_mut() else { break };
            match (reconnect.connect)().and_then(|link| self.session.reader.reconnect(link)) {
                Ok(()) => {
                    self.queue.push(Told::Notice(Notice::LinkBack { after: lost.elapsed() }));
                    return Ok(());
                }
                // It is there, and does not run the programs, or not yet.
                Err(wrong @ (CollectError::WrongImage { .. } | CollectError::Find(_))) => last = wrong,
                Err(CollectError::Link(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(last)
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
