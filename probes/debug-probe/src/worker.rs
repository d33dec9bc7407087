//! The thread that has the probe, and who waits for it.
//!
//! What enters is what is asked for; what leaves is answers. A driver may wait for ever for a chip that does not answer, and
//! cannot be told to stop: so it waits on a thread of its own, which is left to itself when no step of it has ended for
//! too long. What always holds: an answer is that of the last question, since none is asked while one is open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use covtap_link::{Burst, LinkError, Operation};

use crate::Options;
use crate::attach::{self, Begun};
use crate::choose::endpoint;
use crate::memory::{Fault, Memory, Words, until_believed};

/// The name of the thread that drivers run on. What one says when it panics there becomes an error.
pub const THREAD: &str = "debug probe";

/// What is asked for.
#[derive(Debug)]
enum Question {
    Read(Vec<Words>),
    Sample,
    PauseOf { words: u64, pieces: u64 },
    Leave,
}

/// What is answered.
#[derive(Debug)]
enum Answer {
    Begun(Begun),
    Words(Vec<Words>),
    Samples(Vec<u32>, Burst),
    Pause(Option<Duration>),
    Left,
}

/// What comes back for each question, and for how long the processor was halted for it.
#[derive(Debug)]
struct Reply {
    answer: Result<Answer, Failure>,
    pause: Duration,
}

/// Why there is no answer, of what was asked for.
#[derive(Debug)]
enum Failure {
    /// The probe, or the way to the chip, is gone.
    Lost(String),
    /// The chip refused this.
    Refused(String),
    Begin(LinkError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = fault.to_string();
        if fault.is_refusal() { Self::Refused(text) } else { Self::Lost(text) }
    }
}

/// The other side of the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    endpoint: String,
    questions: Sender<Question>,
    replies: Receiver<Reply>,
    /// Counts steps.
    progress: Arc<AtomicU64>,
    patience: Duration,
    /// For how long the processor was halted, since that was asked last.
    pause: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Opens the probe and begins with the chip.
    pub(crate) fn begin(options: &Options) -> Result<(Self, Begun), LinkError> {
        let endpoint = endpoint(options);
        wait_for_others(&endpoint, options.reply_timeout);
        let (questions, asked) = channel();
        let (replying, replies) = channel();
        let progress = Arc::new(AtomicU64::new(0));
        let (steps, own) = (Arc::clone(&progress), options.clone());
        let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            let reply = |reply| replying.send(reply).is_ok();
            if let Err(failure) = run(&own, &asked, &reply, &steps) {
                reply(Reply { answer: Err(failure), pause: Duration::ZERO });
            }
        });
        let thread = thread.map_err(|source| LinkError::Connect { endpoint: endpoint.clone(), source })?;
        let thread = Some(thread);
        let patience = options.reply_timeout;
        let pause = Duration::ZERO;
        let mut worker = Self { endpoint, questions, replies, progress, patience, pause, thread };
        match worker.wait(&Operation::Attach)? {
            Answer::Begun(begun) => Ok((worker, begun)),
            _ => Err(worker.confused(Operation::Attach)),
        }
    }

    /// Reads words.
    pub(crate) fn read(&mut self, words: Vec<Words>, operation: &Operation) -> Result<Vec<Words>, LinkError> {
        match self.ask(Question::Read(words), operation)? {
            Answer::Words(words) => Ok(words),
            _ => Err(self.confused(operation.clone())),
        }
    }

    /// For how long the processor was halted since this was asked last, also for what failed.
    pub(crate) fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    /// Takes samples of where the processor is.
    pub(crate) fn sample(&mut self, operation: &Operation) -> Result<(Vec<u32>, Burst), LinkError> {
        match self.ask(Question::Sample, operation)? {
            Answer::Samples(samples, burst) => Ok((samples, burst)),
            _ => Err(self.confused(operation.clone())),
        }
    }

    /// For how long the processor would be halted to read so many words in so many pieces; `None` if it would not.
    pub(crate) fn pause_of(
        &mut self,
        words: u64,
        pieces: u64,
        operation: &Operation,
    ) -> Result<Option<Duration>, LinkError> {
        match self.ask(Question::PauseOf { words, pieces }, operation)? {
            Answer::Pause(pause) => Ok(pause),
            _ => Err(self.confused(operation.clone())),
        }
    }

    /// Leaves the chip as it was found. The second time nothing is done.
    pub(crate) fn leave(&mut self) -> Result<(), LinkError> {
        if self.thread.is_none() {
            return Ok(());
        }
        let left = self.ask(Question::Leave, &Operation::Detach);
        // Whatever it has answered, it ends: who opens the probe next is not to meet it there.
        if self.thread.is_some() {
            leave_alone(self.endpoint.clone(), self.thread.take());
            wait_for_others(&self.endpoint, self.patience);
        }
        match left? {
            Answer::Left => Ok(()),
            _ => Err(self.confused(Operation::Detach)),
        }
    }

    fn ask(&mut self, question: Question, operation: &Operation) -> Result<Answer, LinkError> {
        if self.thread.is_none() || self.questions.send(question).is_err() {
            let (operation, endpoint) = (operation.clone(), self.endpoint.clone());
            return Err(LinkError::Closed { operation, endpoint });
        }
        self.wait(operation)
    }

    fn wait(&mut self, operation: &Operation) -> Result<Answer, LinkError> {
        let (mut steps, mut since) = (self.progress.load(Ordering::Relaxed), Instant::now());
        loop {
            match self.replies.recv_timeout(self.patience.saturating_sub(since.elapsed())) {
                Ok(Reply { answer, pause }) => {
                    self.pause += pause;
                    return answer.map_err(|failure| self.failed(failure, operation.clone()));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(operation.clone())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.progress.load(Ordering::Relaxed);
            if now == steps {
                // It is left to itself, and whatever it answers is not heard.
                leave_alone(self.endpoint.clone(), self.thread.take());
                let waited_ms = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
                let (operation, endpoint) = (operation.clone(), self.endpoint.clone());
                return Err(LinkError::Timeout { operation, endpoint, waited_ms });
            }
            (steps, since) = (now, Instant::now());
        }
    }

    fn failed(&self, failure: Failure, operation: Operation) -> LinkError {
        let endpoint = self.endpoint.clone();
        match failure {
            Failure::Begin(error) => error,
            Failure::Refused(reason) => LinkError::Refused { operation, endpoint, reason },
            Failure::Lost(reason) => {
                LinkError::Io { operation, endpoint, source: std::io::Error::other(reason) }
            }
        }
    }

    /// The thread has ended without an answer, and with it all that it had: a driver panicked.
    fn ended(&mut self, operation: Operation) -> LinkError {
        let panic = self.thread.take().and_then(|thread| thread.join().err());
        let words = panic.as_ref().and_then(|panic| {
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied())
        });
        let text = words.and_then(|words| words.lines().next()).unwrap_or("nothing");
        let detail = format!("a driver of probe-rs gave up, and said {text:?}");
        LinkError::Protocol { operation, endpoint: self.endpoint.clone(), detail }
    }

    fn confused(&self, operation: Operation) -> LinkError {
        let detail = "the probe's thread answered something else".to_owned();
        LinkError::Protocol { operation, endpoint: self.endpoint.clone(), detail }
    }
}

/// Threads that are left to themselves, by the probe that they may still have.
static LEFT_ALONE: Mutex<Vec<(String, JoinHandle<()>)>> = Mutex::new(Vec::new());

fn left_alone() -> MutexGuard<'static, Vec<(String, JoinHandle<()>)>> {
    LEFT_ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leave_alone(endpoint: String, thread: Option<JoinHandle<()>>) {
    left_alone().extend(thread.map(|thread| (endpoint, thread)));
}

/// Waits a while for those that had this probe: two at once would disturb each other, where the host lets them.
fn wait_for_others(endpoint: &str, patience: Duration) {
    const LOOK_EVERY: Duration = Duration::from_millis(1);
    let began = Instant::now();
    let is_held = || {
        let mut threads = left_alone();
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.iter().any(|(other, _)| other == endpoint)
    };
    while is_held() && began.elapsed() < patience {
        thread::sleep(LOOK_EVERY);
    }
}

/// What the thread does.
fn run(
    options: &Options,
    questions: &Receiver<Question>,
    reply: &dyn Fn(Reply) -> bool,
    steps: &AtomicU64,
) -> Result<(), Failure> {
    let step = || {
        steps.fetch_add(1, Ordering::Relaxed);
    };
    let mut serve = |begun, memory: &mut dyn Memory| {
        let mut goes_on = reply(Reply { answer: Ok(Answer::Begun(begun)), pause: memory.take_pause() });
        while goes_on {
            let Ok(question) = questions.recv() else { break };
            let is_last = matches!(question, Question::Leave);
            let answer = one(question, memory, &step);
            let has_left = is_last && answer.is_ok();
            goes_on = reply(Reply { answer, pause: memory.take_pause() }) && !is_last;
            if has_left {
                return;
            }
        }
        // Where nobody asks any more, or it failed: that cannot be said again.
        let _ = memory.restore();
    };
    attach::with_memory(options, &step, &mut serve).map_err(Failure::Begin)
}

fn one(question: Question, memory: &mut dyn Memory, step: &dyn Fn()) -> Result<Answer, Failure> {
    match question {
        Question::Read(mut words) => {
            until_believed(memory, |memory| memory.sweep(&mut words, step))?;
            Ok(Answer::Words(words))
        }
        Question::Sample => {
            let mut taken = (Vec::new(), Burst::default());
            until_believed(memory, |memory| {
                taken = memory.burst(step)?;
                Ok(())
            })?;
            Ok(Answer::Samples(taken.0, taken.1))
        }
        Question::PauseOf { words, pieces } => Ok(Answer::Pause(memory.pause_of(words, pieces)?)),
        Question::Leave => {
            until_believed(memory, |memory| memory.restore())?;
            Ok(Answer::Left)
        }
    }
}
