//! The thread that has the probe, and who waits for it.
//!
//! What enters is what is asked for; what leaves is answers. A driver may wait for ever for a chip that does not answer, and
//! cannot be told to stop: so it waits on a thread of its own, which is left to itself when no step of it has ended for
//! too long. What always holds: an answer is that of the last question, since none is asked while one is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation};
use probe_rs::architecture::arm::{ArmDebugInterface, ArmError, DapError};
use probe_rs::probe::Probe;

use crate::Options;
use crate::arm::{Fault, Memory, Words};
use crate::chip::{self, Chip};
use crate::choose::{endpoint, open, said};

/// What is asked for.
#[derive(Debug)]
enum Question {
    Read(Vec<Words>),
    Sample(usize),
    Leave,
}

/// What is answered.
#[derive(Debug)]
enum Answer {
    Begun(Begun),
    Words(Vec<Words>),
    Samples(Vec<u32>),
    Left,
}

/// What the probe is, and the chip.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) probe: String,
    pub(crate) speed_khz: u32,
    pub(crate) chip: Option<String>,
    /// For how long the chip was held in reset.
    pub(crate) held: Duration,
    /// Its processor, where it is a Cortex-M.
    pub(crate) processor: Option<&'static str>,
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
        let is_refusal = match &fault {
            Fault::Kept(_) | Fault::Said(ArmError::AddressOutOf32BitAddressSpace | ArmError::OutOfBounds) => {
                true
            }
            // Deep within what it was for.
            Fault::Said(error) => {
                causes(error).any(|cause| matches!(cause.downcast_ref(), Some(DapError::FaultResponse)))
            }
            _ => false,
        };
        let text = fault.to_string();
        if is_refusal { Self::Refused(text) } else { Self::Lost(text) }
    }
}

/// An error and what it came from.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The other side of the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    endpoint: String,
    questions: Sender<Question>,
    answers: Receiver<Result<Answer, Failure>>,
    /// Counts steps.
    progress: Arc<AtomicU64>,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Opens the probe and begins with the chip.
    pub(crate) fn begin(options: &Options) -> Result<(Self, Begun), LinkError> {
        let (questions, asked) = channel();
        let (answering, answers) = channel();
        let progress = Arc::new(AtomicU64::new(0));
        let (steps, own) = (Arc::clone(&progress), options.clone());
        let thread = thread::Builder::new().name("debug probe".to_owned()).spawn(move || {
            let answering = |answer| answering.send(answer).is_ok();
            if let Err(failure) = run(&own, &asked, &answering, &steps) {
                answering(Err(failure));
            }
        });
        let endpoint = endpoint(options);
        let thread = thread.map_err(|source| LinkError::Connect { endpoint: endpoint.clone(), source })?;
        let thread = Some(thread);
        let patience = options.reply_timeout;
        let mut worker = Self { endpoint, questions, answers, progress, patience, thread };
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

    /// Takes samples of where the processor is.
    pub(crate) fn sample(&mut self, num: usize, operation: &Operation) -> Result<Vec<u32>, LinkError> {
        match self.ask(Question::Sample(num), operation)? {
            Answer::Samples(samples) => Ok(samples),
            _ => Err(self.confused(operation.clone())),
        }
    }

    /// Leaves the chip as it was found. The second time nothing is done.
    pub(crate) fn leave(&mut self) -> Result<(), LinkError> {
        if self.thread.is_none() {
            return Ok(());
        }
        self.ask(Question::Leave, &Operation::Detach)?;
        // It has answered, and ends.
        self.thread.take().map(JoinHandle::join);
        Ok(())
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
            match self.answers.recv_timeout(self.patience.saturating_sub(since.elapsed())) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => return Err(self.failed(failure, operation.clone())),
                Err(RecvTimeoutError::Disconnected) => {
                    self.thread = None;
                    let (operation, endpoint) = (operation.clone(), self.endpoint.clone());
                    return Err(LinkError::Closed { operation, endpoint });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.progress.load(Ordering::Relaxed);
            if now == steps {
                // It is left to itself, and whatever it answers is not heard.
                self.thread = None;
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

    fn confused(&self, operation: Operation) -> LinkError {
        let detail = "the probe's thread answered something else".to_owned();
        LinkError::Protocol { operation, endpoint: self.endpoint.clone(), detail }
    }
}

/// What the thread does: it has all that is borrowed of one another on its stack.
fn run(
    options: &Options,
    questions: &Receiver<Question>,
    answer: &dyn Fn(Result<Answer, Failure>) -> bool,
    steps: &AtomicU64,
) -> Result<(), Failure> {
    let mut step = || {
        steps.fetch_add(1, Ordering::Relaxed);
    };
    let refused = |reason: String| {
        let (operation, endpoint) = (Operation::Attach, endpoint(options));
        Failure::Begin(LinkError::Refused { operation, endpoint, reason })
    };
    let chip = Chip::of(options).map_err(refused)?;
    step();
    let probe = open(options).map_err(Failure::Begin)?;
    let (name, speed_khz) = (probe.get_name(), probe.speed_khz());
    let (mut arm, held) = attach(probe, &chip, options.connect_under_reset, &mut step).map_err(refused)?;
    let memory = arm.memory_interface(&chip.access_port).map_err(|error| refused(said(&error)))?;
    let mut memory =
        Memory::new(memory, chip.access_port.clone()).map_err(|fault| refused(fault.to_string()))?;
    let cpuid = memory.cpuid();
    chip.check(cpuid.unwrap_or(0)).map_err(refused)?;
    let processor = cpuid.and_then(chip::processor).map(|(name, _)| name);
    let begun = Begun { probe: name, speed_khz, chip: chip.name, held, processor };
    let mut goes_on = answer(Ok(Answer::Begun(begun)));
    while goes_on {
        let Ok(question) = questions.recv() else { break };
        let is_last = matches!(question, Question::Leave);
        let answered = one(question, &mut memory, &mut step);
        goes_on = answer(answered) && !is_last;
    }
    // Where nobody asks any more, or nobody was told: what cannot be restored cannot be said either.
    let _ = memory.restore();
    Ok(())
}

/// Begins with a chip's debug port; and for how long the chip was held in reset for that, out of which it is let whatever comes
/// back.
fn attach(
    mut probe: Probe,
    chip: &Chip,
    is_under_reset: bool,
    step: &mut dyn FnMut(),
) -> Result<(Box<dyn ArmDebugInterface>, Duration), String> {
    step();
    let began = Instant::now();
    let attached = match is_under_reset {
        true => probe.attach_to_unspecified_under_reset(),
        false => probe.attach_to_unspecified(),
    };
    step();
    let let_go = |mut probe: Probe, error: &(dyn std::error::Error + 'static)| {
        // It may be the pin that failed: what was said first tells more.
        let _ = if is_under_reset { probe.target_reset_deassert() } else { Ok(()) };
        said(error)
    };
    if let Err(error) = attached {
        return Err(let_go(probe, &error));
    }
    let arm = probe.try_into_arm_debug_interface(chip.sequence.clone());
    let mut arm = arm.map_err(|(probe, error)| let_go(probe, &error))?;
    let selected = arm.select_debug_port(chip.access_port.dp());
    let mut held = Duration::ZERO;
    if is_under_reset {
        let let_go = chip.sequence.reset_hardware_deassert(&mut *arm, &chip.access_port);
        held = began.elapsed();
        let_go.map_err(|error| said(&error))?;
    }
    selected.map_err(|error| said(&error))?;
    step();
    Ok((arm, held))
}

fn one(question: Question, memory: &mut Memory<'_>, step: &mut dyn FnMut()) -> Result<Answer, Failure> {
    match question {
        Question::Read(mut words) => {
            memory.read(&mut words, step)?;
            Ok(Answer::Words(words))
        }
        Question::Sample(num) => {
            let mut samples = vec![0; num];
            memory.sample(&mut samples, step)?;
            Ok(Answer::Samples(samples))
        }
        Question::Leave => {
            memory.restore()?;
            Ok(Answer::Left)
        }
    }
}
