//! The link: what is known of the server and of its target, and the traits of the seam.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use covtap_link::{
    Effect, Link, LinkError, LinkInfo, Operation, ReadMemory, ReadReport, ReadRequest, RunControl,
    TargetEvent, TargetEvents, WriteMemory,
};

use crate::core::file_io::{self, FileIo};
use crate::core::memory::{Piece, ReadPacket, ReadReply, read_reply};
use crate::core::resume::{self, Actions, Breakpoint};
use crate::core::session::{Expected, Incoming};
use crate::core::stop::{StopReply, ThreadId};
use crate::core::target_xml::{Description, architecture};
use crate::profile::{CAUTIOUS, Profile};
use crate::wire::Wire;
use crate::{Endpoint, Options, transport};

/// Events that nobody has asked for yet; the oldest ones are dropped.
const MAX_EVENTS: usize = 4096;

/// GDB's number for SIGTRAP, with which a breakpoint stops.
const TRAP: u8 = 5;

/// Who keeps the target from running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// Nobody: it runs.
    Nobody,
    /// It was halted when it was found.
    Found,
    /// We do: by the connection itself, a request to stop, a step or a breakpoint.
    Us,
    /// Somebody else does.
    Other,
}

/// A link to a target behind a GDB server.
///
/// Between requests the target is what it was when the link was made: running, unless the server said that
/// it was halted. While a link holds the target (after `stop`, a step or a breakpoint) reads pause nothing.
/// In non-stop mode a breakpoint stops the thread that met it; the others run on.
///
/// What cannot be known:
/// - QEMU pauses its guest when a client connects. A guest that was started with `-S`, has panicked or shut
///   down is told from a running one and left halted, but one that was paused over the monitor is not: it
///   is let run on. [`Options::found`] says otherwise.
/// - Other servers do not tell whether they stopped the target or found it so: it is let run on.
/// - A guest that is paused and let run on over the monitor in the moment of a read may be let run on by us
///   instead, and QEMU keeps semihosting calls for a client that left a halted guest: only `D` gives them
///   back, which would let it run.
/// - A guest that makes a semihosting call through QEMU's GDB server waits until this link is next used.
///   Text for the console becomes an event; every other file operation is refused. If its first call meets
///   a read on the way, that one call goes unanswered.
pub struct GdbRemote {
    pub(crate) wire: Wire,
    pub(crate) options: Options,
    pub(crate) profile: &'static Profile,
    pub(crate) about: String,
    pub(crate) read_packet: ReadPacket,
    pub(crate) max_read_bytes: usize,
    pub(crate) is_non_stop: bool,
    /// Bytes may be lost on the way.
    pub(crate) is_lossy: bool,
    /// The server gives zeros for what it could not read.
    pub(crate) makes_up_zeros: bool,
    /// The server was started by us and ends with us.
    pub(crate) owns_server: bool,
    /// So was the program, by that server.
    pub(crate) owns_program: bool,
    pub(crate) actions: Actions,
    pub(crate) description: Description,
    pub(crate) thread: Option<ThreadId>,
    /// In non-stop mode: the threads that do not run.
    pub(crate) stopped_threads: BTreeSet<ThreadId>,
    /// Signals that threads were stopped with, to be given to them when they run on.
    pub(crate) owed_signals: BTreeMap<ThreadId, u8>,
    pub(crate) hold: Hold,
    /// The target is to run when it is left.
    pub(crate) leaves_running: bool,
    /// Registers that came with the stop reply of the thread that was stepped last, until anything runs or another thread
    /// is selected.
    pub(crate) told_registers: Vec<(u64, Vec<u8>)>,
    /// Ours.
    pub(crate) breakpoints: BTreeMap<u64, Breakpoint>,
    /// The threads that were counted last.
    pub(crate) counted_threads: Vec<ThreadId>,
    /// How one of several is stepped, once it was asked for: without its thread's name the others would run meanwhile.
    pub(crate) thread_actions: Option<Actions>,
    /// The handshake is done.
    pub(crate) is_attached: bool,
    pub(crate) attach_pause: Duration,
    /// For how long the target was stopped for reads that were refused.
    pub(crate) failed_pause: Duration,
    events: VecDeque<TargetEvent>,
    file_io: Option<FileIo>,
    pub(crate) has_seen_file_io: bool,
    pub(crate) has_ended: bool,
    pub(crate) is_left: bool,
}

impl std::fmt::Debug for GdbRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GdbRemote")
            .field("endpoint", &self.wire.endpoint())
            .field("server", &self.about)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}

impl GdbRemote {
    /// Connects, learns what the server and its target are, and lets the target run on if it ran.
    ///
    /// # Errors
    ///
    /// The server could not be reached, did not answer in time, or does not speak the protocol. A target
    /// that was stopped by the attempt is let run on.
    pub fn connect(endpoint: &Endpoint, options: &Options) -> Result<Self, LinkError> {
        let transport = transport::open(endpoint, options.connect_timeout)
            .map_err(|source| LinkError::Connect { endpoint: endpoint.to_string(), source })?;
        let mut link = Self {
            wire: Wire::new(transport, endpoint.to_string(), options.reply_timeout),
            options: options.clone(),
            profile: &CAUTIOUS,
            about: CAUTIOUS.name.into(),
            read_packet: ReadPacket::Hex,
            max_read_bytes: 0,
            is_non_stop: false,
            is_lossy: matches!(endpoint, Endpoint::Serial { .. }),
            makes_up_zeros: false,
            owns_server: matches!(endpoint, Endpoint::Exec(_)),
            owns_program: false,
            actions: Actions::default(),
            description: Description::default(),
            thread: None,
            stopped_threads: BTreeSet::new(),
            owed_signals: BTreeMap::new(),
            hold: Hold::Us,
            leaves_running: true,
            told_registers: Vec::new(),
            breakpoints: BTreeMap::new(),
            counted_threads: Vec::new(),
            thread_actions: None,
            is_attached: false,
            attach_pause: Duration::ZERO,
            failed_pause: Duration::ZERO,
            events: VecDeque::new(),
            file_io: None,
            has_seen_file_io: false,
            has_ended: false,
            is_left: false,
        };
        link.handshake(Instant::now())?;
        Ok(link)
    }

    /// Sends a request to a target that is stopped, or whose server answers anyway, and waits for the answer.
    pub(crate) fn exchange(&mut self, operation: &Operation, payload: &[u8]) -> Result<Vec<u8>, LinkError> {
        self.exchange_as(operation, payload, Expected::Reply)
    }

    pub(crate) fn exchange_as(
        &mut self,
        operation: &Operation,
        payload: &[u8],
        expected: Expected,
    ) -> Result<Vec<u8>, LinkError> {
        self.wire.request(operation, payload, expected)?;
        let reply = self.reply(operation)?;
        self.acknowledge(operation)?;
        Ok(reply)
    }

    /// Acknowledges what a stopped target's server said; where that may wait, with the next packet.
    pub(crate) fn acknowledge(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.wire.session.acknowledge();
        if self.profile.acks_on_demand { Ok(()) } else { self.wire.flush(operation) }
    }

    /// Waits for the answer to the oldest request.
    pub(crate) fn reply(&mut self, operation: &Operation) -> Result<Vec<u8>, LinkError> {
        let since = Instant::now();
        loop {
            match self.wire.next(operation, since)? {
                Incoming::Reply(reply) => return Ok(reply),
                other => self.absorb(other, operation)?,
            }
        }
    }

    /// Takes in what the server says by itself.
    pub(crate) fn absorb(&mut self, incoming: Incoming, operation: &Operation) -> Result<(), LinkError> {
        match incoming {
            Incoming::Console(text) => self.event(TargetEvent::Console(text)),
            Incoming::FileIo(call) => {
                self.file_io = Some(call);
                self.has_seen_file_io = true;
            }
            Incoming::Stop(stop) => self.absorb_stop(&stop, operation)?,
            Incoming::ResumeRefused(_) => self.hold = Hold::Us,
            Incoming::Reply(_) => return Err(self.wire.senseless(operation, "an answer to nothing")),
            Incoming::NoMoreStops => {}
        }
        Ok(())
    }

    fn absorb_stop(&mut self, stop: &StopReply, operation: &Operation) -> Result<(), LinkError> {
        self.note_thread(stop);
        let signal = match stop {
            StopReply::Exited(_) | StopReply::Killed(_) => {
                self.has_ended = true;
                self.hold = Hold::Other;
                self.event(TargetEvent::Exited);
                return Ok(());
            }
            StopReply::NoThread => return Ok(()),
            // The connection itself stopped it.
            StopReply::Signal { .. } if !self.is_attached => return Ok(()),
            StopReply::Signal { signal, .. } => *signal,
        };
        if self.hold != Hold::Nobody {
            return Ok(());
        }
        if self.is_programs(signal) {
            return self.pass_on(signal, operation);
        }
        let is_ours = signal == TRAP && !self.breakpoints.is_empty();
        self.hold = if is_ours { Hold::Us } else { Hold::Other };
        self.event(TargetEvent::Stopped);
        Ok(())
    }

    /// Whether a program would have had this signal without us.
    pub(crate) fn is_programs(&self, signal: u8) -> bool {
        self.profile.has_signals
            && signal != 0
            && signal != TRAP
            && (self.is_non_stop || Some(signal) != self.profile.interrupt_signal)
    }

    /// Gives the program its signal, so that it runs on as if nobody had looked.
    fn pass_on(&mut self, signal: u8, operation: &Operation) -> Result<(), LinkError> {
        let Some(thread) = self.thread.clone() else { return Ok(()) };
        if self.is_non_stop {
            self.stopped_threads.remove(&thread);
            self.owed_signals.remove(&thread);
            let packet = resume::pass_signal(signal, &thread);
            return self.wire.request(operation, &packet, Expected::Ignored);
        }
        let packet = self.resume_packet();
        self.wire.say(operation, |session| session.resume(&packet))
    }

    /// Keeps in mind which thread a stop was about, and a signal that it is to have.
    pub(crate) fn note_thread(&mut self, stop: &StopReply) {
        let StopReply::Signal { signal, thread: Some(thread), .. } = stop else { return };
        self.thread = Some(thread.clone());
        if self.is_non_stop {
            self.stopped_threads.insert(thread.clone());
        }
        if self.is_programs(*signal) {
            self.owed_signals.insert(thread.clone(), *signal);
        }
    }

    pub(crate) fn event(&mut self, event: TargetEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Takes in what has arrived meanwhile.
    pub(crate) fn settle(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.wire.check(operation)?;
        while let Some(incoming) = self.wire.next_within(operation, Duration::ZERO)? {
            self.absorb(incoming, operation)?;
        }
        Ok(())
    }

    /// Settles, and fails if there is no target any more.
    pub(crate) fn ready(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if self.is_left {
            return Err(self.wire.refused(operation, "the target was let go of"));
        }
        if self.has_ended {
            return Err(self.wire.refused(operation, "the target has ended"));
        }
        self.settle(operation)
    }

    /// Does the file operation that the target waits for, so that it runs on.
    pub(crate) fn answer_file_io(&mut self, operation: &Operation) -> Result<(), LinkError> {
        let Some(call) = self.file_io.take() else { return Ok(()) };
        let answer = match call {
            FileIo::Print { addr, len_bytes } => match self.fetch(operation, addr, len_bytes)? {
                Some(text) => {
                    let answer = file_io::wrote(text.len());
                    self.event(TargetEvent::Console(text));
                    answer
                }
                None => file_io::refused(),
            },
            FileIo::Other => file_io::refused(),
        };
        self.wire.say(operation, |session| session.answer_file_io(&answer))?;
        self.wire.flush(operation)
    }

    /// Whether the target is stopped because it waits for a file operation.
    pub(crate) fn waits_for_file_io(&self) -> bool {
        self.file_io.is_some()
    }

    /// Reads up to one packet of a stopped target's memory.
    fn fetch(
        &mut self,
        operation: &Operation,
        addr: u64,
        len_bytes: usize,
    ) -> Result<Option<Vec<u8>>, LinkError> {
        let piece = Piece { request: 0, offset: 0, addr, len_bytes: len_bytes.min(self.max_read_bytes) };
        self.wire.request(operation, &piece.read_packet(ReadPacket::Hex), Expected::Memory)?;
        let reply = self.reply(operation)?;
        let mut text = vec![0; piece.len_bytes];
        match read_reply(ReadPacket::Hex, &reply, &mut text) {
            ReadReply::Bytes(len) => {
                text.truncate(len);
                Ok(Some(text))
            }
            ReadReply::Refused(_) | ReadReply::Senseless => Ok(None),
        }
    }

    /// The byte order of registers, as far as anybody told.
    pub(crate) fn endianness(&self) -> Option<covtap_link::Endianness> {
        let name = self.description.architecture.as_deref()?;
        let by_server = || {
            let row = self.profile.endianness.iter().find(|(prefix, _)| name.starts_with(prefix))?;
            Some(row.1)
        };
        architecture(name).and_then(|row| row.endianness).or_else(by_server)
    }

    /// Whether packets are answered while the target runs.
    pub(crate) fn reads_while_running(&self) -> bool {
        self.is_non_stop || self.profile.reads_while_running
    }

    fn effect(&self) -> Effect {
        match self.hold {
            Hold::Found => Effect::NeedsHalt,
            _ if self.reads_while_running() => Effect::Free,
            _ => Effect::Pauses,
        }
    }
}

impl ReadMemory for GdbRemote {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let began = Instant::now();
        let report = self.read_all(reads)?;
        if let Err(error) = self.confirm_zeros(reads) {
            self.failed_pause += report.pause;
            return Err(error);
        }
        Ok(ReadReport { elapsed: began.elapsed(), ..report })
    }
}

impl Link for GdbRemote {
    fn info(&self) -> LinkInfo {
        let name = self.description.architecture.clone();
        LinkInfo {
            endpoint: self.wire.endpoint().to_owned(),
            server: self.about.clone(),
            endianness: self.endianness(),
            pointer_width: name.as_deref().and_then(architecture).and_then(|row| row.pointer_width),
            architecture: name,
            effect: self.effect(),
            attach_pause: self.attach_pause,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.leave()
    }

    fn pause_of_failures(&mut self) -> Duration {
        std::mem::take(&mut self.failed_pause)
    }

    fn control(&mut self) -> Option<&mut dyn RunControl> {
        Some(self)
    }

    fn writer(&mut self) -> Option<&mut dyn WriteMemory> {
        Some(self)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

impl TargetEvents for GdbRemote {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        if self.is_left || self.has_ended {
            return Ok(None);
        }
        let operation = Operation::Command("wait for events".into());
        let settled = self.settle(&operation).and_then(|()| self.answer_file_io(&operation));
        // What was said before an error is told before the error.
        match (self.events.pop_front(), settled) {
            (Some(event), _) => Ok(Some(event)),
            (None, Err(error)) if !self.has_ended => Err(error),
            (None, _) => Ok(None),
        }
    }
}

impl Drop for GdbRemote {
    fn drop(&mut self) {
        // There is nobody to tell, and in an unwinding thread nothing more may go wrong.
        let _ = self.leave();
    }
}
