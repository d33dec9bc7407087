//! A session: one thread reads when it is time, the caller's thread writes when it can.
//!
//! Between the two is a short queue. When the writer falls behind, the oldest snapshot that waits is dropped
//! and counted, never the newest: counters only grow, so the newest holds what the dropped one held.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::{CollectError, Reader, Schedule, Snapshot};

/// How many snapshots may wait for the writer.
const QUEUE_LEN: usize = 8;

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
    /// For how long the workload was stopped, from attaching to detaching.
    pub pause: Duration,
}

/// A session that is ready to start.
pub struct Session {
    /// Reads the target.
    pub reader: Reader,
    /// When.
    pub schedule: Schedule,
    /// Asks the session to end. A sender that is dropped asks for nothing.
    pub stop: Receiver<Stop>,
}

impl Session {
    /// Takes snapshots as scheduled and gives each to `write`, in order, on the calling thread. At the end, and
    /// on any error, the target is left as it was found.
    ///
    /// # Errors
    ///
    /// The link failed, the target was reset, or `write` failed: snapshots written before stay written.
    pub fn run<E: From<CollectError>>(
        self,
        mut write: impl FnMut(&Snapshot) -> Result<(), E>,
    ) -> Result<Summary, E> {
        let (sender, receiver) = bounded(QUEUE_LEN);
        let (cancel, cancelled) = bounded(1);
        let queue = Queue { sender, oldest: receiver.clone(), overtaken: 0 };
        thread::scope(|scope| {
            let reading = scope.spawn(|| read_until_done(self, queue, &cancelled));
            let mut written = Ok(());
            for snapshot in &receiver {
                written = match snapshot {
                    Message::Snapshot(snapshot) => write(&snapshot),
                    Message::Done => break,
                };
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

enum Message {
    Snapshot(Box<Snapshot>),
    /// Nothing more comes. (The queue's own end of the channel keeps it open.)
    Done,
}

/// The way to the writer, which never makes the reader wait.
struct Queue {
    sender: Sender<Message>,
    oldest: Receiver<Message>,
    overtaken: u64,
}

impl Queue {
    fn push(&mut self, snapshot: Snapshot) {
        let mut message = Message::Snapshot(Box::new(snapshot));
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            message = back;
            // The writer may have taken it in between: then there is room now.
            if self.oldest.try_recv().is_ok() {
                self.overtaken += 1;
            }
        }
    }

    fn discard(&mut self) {
        self.overtaken += self.oldest.try_iter().count() as u64;
    }

    /// Tells the writer that it has everything. Nothing is due any more, so this may wait for it.
    fn finish(&self, cancelled: &Receiver<()>) {
        crossbeam_channel::select! {
            send(self.sender, Message::Done) -> _ => {}
            recv(cancelled) -> _ => {}
        }
    }
}

fn read_until_done(
    session: Session,
    mut queue: Queue,
    cancelled: &Receiver<()>,
) -> Result<Summary, CollectError> {
    let Session { mut reader, schedule, stop } = session;
    let read = read_on_schedule(&mut reader, schedule, &stop, cancelled, |snapshot| queue.push(snapshot));
    if matches!(read, Ok(Ended::Stopped(Stop::AtOnce))) {
        queue.discard();
    }
    let detached = reader.detach();
    queue.finish(cancelled);
    let ended = read?;
    if ended != Ended::TargetEnded {
        detached?;
    }
    Ok(Summary { ended, taken: reader.taken(), overtaken: queue.overtaken, pause: reader.pause() })
}

fn read_on_schedule(
    reader: &mut Reader,
    schedule: Schedule,
    stop: &Receiver<Stop>,
    cancelled: &Receiver<()>,
    mut push: impl FnMut(Snapshot),
) -> Result<Ended, CollectError> {
    let start = Instant::now();
    while let Some(due) = schedule.next_due(reader.taken(), start.elapsed()) {
        let (is_held, _) = reader.is_held();
        let asked = if is_held { None } else { wait_until(start + due, stop, cancelled) };
        if asked == Some(Stop::AtOnce) {
            return Ok(Ended::Stopped(Stop::AtOnce));
        }
        match reader.take(start.elapsed())? {
            Some(snapshot) => push(snapshot),
            None => return Ok(Ended::TargetEnded),
        }
        if let (true, true) = reader.is_held() {
            reader.release()?;
            return Ok(Ended::TargetEnded);
        }
        if let Some(stop) = asked {
            return Ok(Ended::Stopped(stop));
        }
    }
    Ok(Ended::Scheduled)
}

/// Waits until `due`, or until somebody wants the session to end. A writer that failed cancels at once.
fn wait_until(due: Instant, stop: &Receiver<Stop>, cancelled: &Receiver<()>) -> Option<Stop> {
    let timer = crossbeam_channel::at(due);
    let mut stop = stop.clone();
    loop {
        crossbeam_channel::select_biased! {
            recv(cancelled) -> _ => return Some(Stop::AtOnce),
            recv(stop) -> asked => match asked {
                Ok(asked) => return Some(asked),
                Err(_) => stop = crossbeam_channel::never(),
            },
            recv(timer) -> _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MeteredLink;
    use super::super::counters::tests::region;
    use super::*;
    use crate::locate::MergeRule;
    use covtap_link::scripted::{Fault, ScriptedLink};
    use covtap_link::{Endianness, TargetAddr};

    const BASE: TargetAddr = TargetAddr::new(0x1000);

    fn session(link: ScriptedLink, schedule: Schedule) -> (Session, Sender<Stop>) {
        let regions = vec![region(BASE.get(), 8, MergeRule::Add, Endianness::Little)];
        let reader = Reader::new(MeteredLink::new(Box::new(link)), regions).expect("first reading");
        let (ask, stop) = bounded(2);
        (Session { reader, schedule, stop }, ask)
    }

    fn link() -> ScriptedLink {
        ScriptedLink::new([(BASE, vec![0; 8])])
    }

    fn schedule(every_ms: u64, snapshots: Option<u64>) -> Schedule {
        Schedule { every: Duration::from_millis(every_ms), duration: None, snapshots }
    }

    #[derive(Debug)]
    enum WriteError {
        Collect(CollectError),
        DiskFull,
    }

    impl From<CollectError> for WriteError {
        fn from(error: CollectError) -> Self {
            Self::Collect(error)
        }
    }

    #[test]
    fn snapshots_arrive_in_order_and_the_schedule_ends_it() {
        let (session, _ask) = session(link(), schedule(1, Some(5)));
        let mut seen = Vec::new();
        let summary = session.run(|snapshot| -> Result<(), CollectError> {
            seen.push(snapshot.number);
            Ok(())
        });
        let summary = summary.expect("no error");
        assert_eq!((summary.ended, summary.taken, summary.overtaken), (Ended::Scheduled, 5, 0));
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_slow_writer_delays_no_snapshot_and_still_gets_the_newest() {
        let (tell, all_taken) = std::sync::mpsc::channel();
        let (session, ask) = session(link().telling_detached(tell), schedule(1, Some(100)));
        drop(ask);
        let mut seen = Vec::new();
        let summary = session.run(|snapshot| -> Result<(), CollectError> {
            if seen.is_empty() {
                // The disk is stuck with the first snapshot until the reader is through.
                all_taken.recv().expect("the reader goes on");
            }
            seen.push(snapshot.number);
            Ok(())
        });
        let summary = summary.expect("no error");
        assert_eq!(summary.taken, 100);
        assert_eq!(seen.len() as u64 + summary.overtaken, 100);
        assert_eq!(seen.split_off(1), (93..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_writer_that_fails_ends_the_session_with_its_error() {
        let (session, _ask) = session(link(), schedule(1, None));
        let result =
            session.run(|snapshot| if snapshot.number == 3 { Err(WriteError::DiskFull) } else { Ok(()) });
        assert!(matches!(result, Err(WriteError::DiskFull)));
    }

    #[test]
    fn a_link_that_fails_ends_the_session_after_what_was_taken_is_written() {
        let (session, _ask) = session(link().with_fault(4, Fault::Disconnect), schedule(1, None));
        let mut seen = Vec::new();
        let result = session.run(|snapshot| {
            seen.push(snapshot.number);
            Ok(())
        });
        assert!(matches!(result, Err(WriteError::Collect(CollectError::Link(_)))));
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn a_first_request_to_stop_takes_one_more_snapshot() {
        let (session, ask) = session(link(), schedule(3_600_000, None));
        let summary = session.run(|_| -> Result<(), CollectError> {
            let _ = ask.try_send(Stop::AfterLastSnapshot);
            Ok(())
        });
        let summary = summary.expect("no error");
        assert_eq!((summary.ended, summary.taken), (Ended::Stopped(Stop::AfterLastSnapshot), 2));
    }

    #[test]
    fn a_request_to_stop_at_once_takes_none() {
        let (session, ask) = session(link(), schedule(3_600_000, None));
        let summary = session.run(|_| -> Result<(), CollectError> {
            let _ = ask.try_send(Stop::AtOnce);
            Ok(())
        });
        let summary = summary.expect("no error");
        assert_eq!((summary.ended, summary.taken), (Ended::Stopped(Stop::AtOnce), 1));
    }

    #[test]
    fn every_pause_is_in_the_sum() {
        let pause = Duration::from_millis(3);
        let (session, _ask) = session(link().with_pause(pause), schedule(1, Some(5)));
        let summary = session.run(|_| -> Result<(), CollectError> { Ok(()) }).expect("no error");
        // To attach, for the first reading that is compared with, for five snapshots, and to detach.
        assert_eq!(summary.pause, pause * 8);
    }
}
