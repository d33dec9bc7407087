//! The state of a conversation: which packets wait for which answer, and whether any may be sent.
//!
//! What enters is requests from above and bytes from the server; what leaves is bytes for the server and
//! what it said, in order.
//!
//! ```text
//!             resume                     interrupt
//!   Stopped ──────────▶ Running ──────────────────▶ StopPending
//!      ▲                   │ stop reply                  │ stop reply
//!      └───────────────────┴─────────────────────────────┘
//! ```
//!
//! What always holds:
//! - nothing is sent to a target that runs, unless [`Rules`] say that its server takes it;
//! - answers are given out in the order of the requests, stop replies and notifications apart;
//! - nothing is sent after the packet that lets go of the target;
//! - what is kept is bounded, whatever the server sends.

use std::collections::VecDeque;

use super::file_io::FileIo;
use super::frame::{self, Decoder, Frame, FrameError};
use super::resume::INTERRUPT;
use super::stop::StopReply;
use super::{console, memory};

/// Above the packet size of any server known.
const MAX_PACKET_BYTES: usize = 4 << 20;
/// Text that nobody has asked for yet; more is dropped.
const MAX_CONSOLE_BYTES: usize = 256 * 1024;
/// Stop replies and other news that nobody has asked for yet.
const MAX_NEWS: usize = 4096;
/// Packets without a request, before the server is given up.
const MAX_STRAYS: usize = 64;
/// How often one packet is sent again.
const MAX_RESENDS: u32 = 5;

/// When packets of the server are acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acks {
    /// Each one at once.
    Each,
    /// Only where [`Session::acknowledge`] is called, and stops that nobody asked for. For QEMU, where a `+`
    /// stops a running target, yet the last packet before a rest has to be acknowledged for an interrupt to
    /// be heard.
    OnDemand,
    /// Never, and the server does not either.
    Off,
}

/// What a server takes while its target runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    /// Any packet.
    pub(crate) sends_while_running: bool,
    /// Packets right behind an interrupt, before its stop reply.
    pub(crate) sends_while_stop_pending: bool,
}

/// Whether the target executes, once everything that was sent has taken effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Execution {
    /// It is stopped.
    Stopped,
    /// It runs.
    Running,
    /// It was asked to stop and has not said that it did.
    StopPending,
}

/// What kind of answer a request has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// Any packet but a stop reply.
    Reply,
    /// Any packet.
    StopQuery,
    /// Memory; never mistaken for a stop reply.
    Memory,
    /// Any packet, which nobody wants.
    Ignored,
    /// A stop reply, after which `vStopped` asks for the next one, or `OK` when there is none.
    Stops,
    /// A stop reply, whenever the target stops.
    Run,
}

/// What the server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Incoming {
    /// The answer to the oldest request.
    Reply(Vec<u8>),
    /// The target stopped; in non-stop mode, one of its threads.
    Stop(StopReply),
    /// All stops that [`Expected::Stops`] asked for were told.
    NoMoreStops,
    /// Text.
    Console(Vec<u8>),
    /// The target waits for a file operation.
    FileIo(FileIo),
    /// The server does not let the target run on.
    ResumeRefused(String),
}

/// The conversation cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a packet that was damaged on the way")]
    Damaged,
    #[error("the server did not take a packet after it was sent {MAX_RESENDS} times more")]
    NotTaken,
    #[error("more than {MAX_STRAYS} packets that nobody asked for")]
    Strays,
    #[error("more than {MAX_NEWS} stops in a row")]
    News,
    #[error("the target runs, and its server takes no packet meanwhile")]
    Running,
    #[error("the target was let go of")]
    Detached,
}

/// A conversation with one server.
#[derive(Debug)]
pub(crate) struct Session {
    decoder: Decoder,
    outgoing: Vec<u8>,
    expected: VecDeque<Expected>,
    incoming: VecDeque<Incoming>,
    console_bytes: usize,
    acks: Acks,
    rules: Rules,
    stop_pending: bool,
    interrupts: usize,
    file_io_pending: bool,
    is_detached: bool,
    last_packet: Vec<u8>,
    resends: u32,
    strays: usize,
}

impl Session {
    /// A conversation with a server of which nothing is known and whose target is stopped.
    pub(crate) fn new() -> Self {
        Self {
            decoder: Decoder::new(MAX_PACKET_BYTES),
            outgoing: Vec::new(),
            expected: VecDeque::new(),
            incoming: VecDeque::new(),
            console_bytes: 0,
            acks: Acks::Each,
            rules: Rules { sends_while_running: false, sends_while_stop_pending: false },
            stop_pending: false,
            interrupts: 0,
            file_io_pending: false,
            is_detached: false,
            last_packet: Vec::new(),
            resends: 0,
            strays: 0,
        }
    }

    pub(crate) fn set_acks(&mut self, acks: Acks) {
        self.acks = acks;
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub(crate) fn execution(&self) -> Execution {
        match (self.runs(), self.stop_pending) {
            (0, _) => Execution::Stopped,
            (_, true) => Execution::StopPending,
            (_, false) => Execution::Running,
        }
    }

    /// Whether a packet may be sent now.
    fn may_send(&self) -> Result<(), SessionError> {
        let allowed = match self.execution() {
            Execution::Stopped => true,
            Execution::Running => self.rules.sends_while_running,
            Execution::StopPending => self.rules.sends_while_running || self.rules.sends_while_stop_pending,
        };
        match (self.is_detached, allowed || self.file_io_pending) {
            (true, _) => Err(SessionError::Detached),
            (false, false) => Err(SessionError::Running),
            (false, true) => Ok(()),
        }
    }

    /// Sends a packet that the server answers.
    pub(crate) fn request(&mut self, payload: &[u8], expected: Expected) -> Result<(), SessionError> {
        self.may_send()?;
        self.send(payload);
        self.expected.push_back(expected);
        Ok(())
    }

    /// Sends a packet that lets the target run; its answer is the next stop reply.
    pub(crate) fn resume(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.request(payload, Expected::Run)?;
        self.stop_pending = false;
        Ok(())
    }

    /// Says that the target runs although nothing was sent for it.
    pub(crate) fn assume_running(&mut self) {
        if self.runs() == 0 {
            self.expected.push_back(Expected::Run);
        }
    }

    /// Asks a running target to stop; does nothing to one that is stopped.
    pub(crate) fn interrupt(&mut self) {
        if self.runs() > 0 && !self.is_detached {
            self.outgoing.push(INTERRUPT);
            self.stop_pending = true;
            self.interrupts += 1;
        }
    }

    /// Asks a target to stop of which it is not certain whether it runs.
    pub(crate) fn nudge(&mut self) {
        self.outgoing.push(INTERRUPT);
    }

    /// Answers a file operation; the target runs on by itself.
    pub(crate) fn answer_file_io(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.may_send()?;
        self.send(payload);
        self.forget_file_io();
        Ok(())
    }

    /// The target runs although its file operation was not answered.
    pub(crate) fn forget_file_io(&mut self) {
        self.file_io_pending = false;
        self.stop_pending = false;
        self.interrupts = 0;
    }

    /// Sends the packet that lets go of the target; nothing can be sent behind it.
    pub(crate) fn detach(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        self.request(payload, Expected::Reply)?;
        self.is_detached = true;
        Ok(())
    }

    /// Acknowledges the last packet of a stopped target where that is wanted only now and then.
    pub(crate) fn acknowledge(&mut self) {
        if self.acks == Acks::OnDemand && self.execution() == Execution::Stopped {
            self.outgoing.push(b'+');
        }
    }

    /// Forgets stop replies that can no longer come, because the target was let run again meanwhile.
    pub(crate) fn forget_older_runs(&mut self) {
        let mut older = self.runs().saturating_sub(1);
        self.expected.retain(|expected| {
            let forget = *expected == Expected::Run && older > 0;
            older -= usize::from(forget);
            !forget
        });
        self.interrupts = 0;
    }

    /// The bytes to be sent next.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The first `len_bytes` of [`outgoing`](Session::outgoing) were sent.
    pub(crate) fn sent(&mut self, len_bytes: usize) {
        self.outgoing.drain(..len_bytes.min(self.outgoing.len()));
    }

    /// The next thing that the server said.
    pub(crate) fn next(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.pop_front();
        if let Some(Incoming::Console(text)) = &incoming {
            self.console_bytes = self.console_bytes.saturating_sub(text.len());
        }
        incoming
    }

    /// Takes bytes from the server.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        while let Some(frame) = self.decoder.decode(&mut bytes)? {
            match frame {
                Frame::Ack | Frame::DamagedNotification => {}
                Frame::Nak => self.resend()?,
                Frame::DamagedPacket => self.damaged()?,
                Frame::CutOff => self.cut_off()?,
                Frame::Notification(payload) => self.notification(&payload)?,
                Frame::Packet(payload) => {
                    if self.acks == Acks::Each && !self.is_detached {
                        self.outgoing.push(b'+');
                    }
                    self.resends = 0;
                    self.packet(payload)?;
                }
            }
        }
        Ok(())
    }

    fn runs(&self) -> usize {
        self.expected.iter().filter(|expected| **expected == Expected::Run).count()
    }

    fn send(&mut self, payload: &[u8]) {
        self.last_packet.clear();
        frame::encode(&mut self.last_packet, payload);
        self.outgoing.extend_from_slice(&self.last_packet);
    }

    fn resend(&mut self) -> Result<(), SessionError> {
        if self.acks == Acks::Off || self.last_packet.is_empty() {
            return Ok(());
        }
        self.count_resend()?;
        self.outgoing.extend_from_slice(&self.last_packet);
        Ok(())
    }

    /// Asks for the packet again, where it is clear which one would come.
    fn damaged(&mut self) -> Result<(), SessionError> {
        let waiting = self.expected.len().saturating_sub(self.runs());
        if self.acks != Acks::Each || waiting > 1 || self.is_detached {
            return Err(SessionError::Damaged);
        }
        self.count_resend()?;
        self.outgoing.push(b'-');
        Ok(())
    }

    /// The packet that began instead may be the one asked for, unless it answers another request.
    fn cut_off(&self) -> Result<(), SessionError> {
        let waiting = self.expected.len().saturating_sub(self.runs());
        if self.acks == Acks::Off || waiting > 1 { Err(SessionError::Damaged) } else { Ok(()) }
    }

    fn count_resend(&mut self) -> Result<(), SessionError> {
        self.resends += 1;
        if self.resends > MAX_RESENDS { Err(SessionError::NotTaken) } else { Ok(()) }
    }

    fn notification(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        let Some(stop) = payload.strip_prefix(b"Stop:").and_then(StopReply::parse) else { return Ok(()) };
        // Until all stops were told, the server has no reason for another notification.
        if self.expected.contains(&Expected::Stops) || self.is_detached {
            return Ok(());
        }
        self.news(Incoming::Stop(stop))?;
        self.send(b"vStopped");
        self.expected.push_back(Expected::Stops);
        Ok(())
    }

    fn packet(&mut self, payload: Vec<u8>) -> Result<(), SessionError> {
        if let Some(text) = console::parse(&payload) {
            self.console(text);
            return Ok(());
        }
        if self.runs() > 0
            && let Some(call) = FileIo::parse(&payload)
        {
            self.file_io_pending = true;
            return self.news(Incoming::FileIo(call));
        }
        let wants_stop = matches!(self.expected.front(), Some(Expected::StopQuery | Expected::Stops));
        match StopReply::parse(&payload) {
            // One that nobody asked for: it answers the run of another client, or somebody else stopped it.
            Some(stop) if !wants_stop => self.stop(stop),
            _ => self.reply(payload),
        }
    }

    fn stop(&mut self, stop: StopReply) -> Result<(), SessionError> {
        if stop.is_end() {
            self.expected.retain(|expected| *expected != Expected::Run);
        } else if let Some(at) = self.expected.iter().position(|expected| *expected == Expected::Run) {
            self.expected.remove(at);
        }
        self.stop_pending &= self.runs() > 0;
        match self.interrupts.checked_sub(1) {
            Some(left) => self.interrupts = left,
            None if self.acks == Acks::OnDemand && !self.is_detached => self.outgoing.push(b'+'),
            None => {}
        }
        self.news(Incoming::Stop(stop))
    }

    fn reply(&mut self, payload: Vec<u8>) -> Result<(), SessionError> {
        let at = self.expected.iter().position(|expected| *expected != Expected::Run);
        match at.and_then(|at| self.expected.remove(at)) {
            Some(Expected::Stops) => self.told_stop(&payload),
            Some(Expected::Ignored) => Ok(()),
            Some(_) => self.news(Incoming::Reply(payload)),
            None => self.unasked(&payload),
        }
    }

    fn told_stop(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        let Some(stop) = StopReply::parse(payload) else { return self.news(Incoming::NoMoreStops) };
        self.news(Incoming::Stop(stop))?;
        self.request(b"vStopped", Expected::Stops)
    }

    /// A packet while nothing but a stop is awaited: a refusal to run, or nothing that makes sense.
    fn unasked(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        let reason = if payload.is_empty() {
            Some("the server has no such packet".to_owned())
        } else {
            memory::refusal(payload)
        };
        if let (Some(reason), Some(_)) = (reason, self.expected.pop_front()) {
            self.stop_pending = false;
            return self.news(Incoming::ResumeRefused(reason));
        }
        self.strays += 1;
        if self.strays > MAX_STRAYS { Err(SessionError::Strays) } else { Ok(()) }
    }

    fn news(&mut self, incoming: Incoming) -> Result<(), SessionError> {
        if self.incoming.len() >= MAX_NEWS {
            return Err(SessionError::News);
        }
        self.incoming.push_back(incoming);
        Ok(())
    }

    fn console(&mut self, text: Vec<u8>) {
        let fits = self.console_bytes.saturating_add(text.len()) <= MAX_CONSOLE_BYTES;
        if fits && self.incoming.len() < MAX_NEWS {
            self.console_bytes += text.len();
            self.incoming.push_back(Incoming::Console(text));
        }
    }
}

#[cfg(test)]
mod tests;
