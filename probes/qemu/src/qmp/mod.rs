//! A client of QEMU's monitor (QMP).
//!
//! What enters is commands; what leaves is their answers and, beside them, the events that matter to a
//! reader of memory.
//!
//! What always holds:
//! - one answer is waited for no longer than the reply timeout, whatever else arrives meanwhile;
//! - an answer belongs to the command with its id; a late answer to a command given up is dropped;
//! - events are kept in a queue of bounded length and never lost to a reply.

mod frame;
mod message;
mod socket;

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use covtap_link::TargetEvent;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{Options, QmpEndpoint};
use frame::Framer;
pub(crate) use message::Version;
use message::{Event, Message, Refusal};
pub(crate) use socket::Socket;

/// How many commands are sent before the first answer is read. QEMU takes up to 8 from the socket and leaves
/// the rest in its buffer: more only saves wake-ups.
const PIPELINE: usize = 64;

/// How many events are kept for a caller that does not poll.
const MAX_EVENTS: usize = 256;

/// How often one look at the socket reads from it: a server that never falls silent must not hold the caller.
const MAX_PUMPS: usize = 64;

/// How long an answer that may never come is waited for before it is asked whether it still can.
const LOOK_UP: Duration = Duration::from_millis(5);

/// A command and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    name: &'static str,
    arguments: Value,
}

impl Command {
    /// A command with an object of arguments.
    pub(crate) fn new(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments }
    }

    /// A command of the human monitor, carried out for one CPU where that matters.
    pub(crate) fn human(line: &str, cpu: Option<u32>) -> Self {
        let arguments = match cpu {
            Some(cpu) => json!({ "command-line": line, "cpu-index": cpu }),
            None => json!({ "command-line": line }),
        };
        Self { name: "human-monitor-command", arguments }
    }

    fn text(&self, id: u64) -> Vec<u8> {
        let mut text =
            json!({ "execute": self.name, "arguments": self.arguments, "id": id }).to_string().into_bytes();
        text.push(b'\n');
        text
    }
}

/// What happened to the guest, as far as it was told and not yet asked for.
#[derive(Default, Debug)]
pub(crate) struct Events {
    queue: VecDeque<TargetEvent>,
    memory_changed: bool,
    exited: bool,
    /// Resets and the guest's own end stop it first: QEMU was asked to.
    pub(crate) are_held: bool,
    /// What the guest is about to be stopped for.
    about: Option<TargetEvent>,
    resets: u64,
}

impl Events {
    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<TargetEvent> {
        self.queue.pop_front()
    }

    /// Whether the memory map may have changed since this was last asked.
    pub(crate) fn take_memory_changed(&mut self) -> bool {
        std::mem::take(&mut self.memory_changed)
    }

    /// Whether QEMU said that the guest ended.
    pub(crate) fn has_exited(&self) -> bool {
        self.exited
    }

    /// How many resets were told.
    pub(crate) fn resets(&self) -> u64 {
        self.resets
    }

    fn push(&mut self, event: TargetEvent) {
        if self.queue.len() >= MAX_EVENTS {
            self.queue.pop_front();
        }
        self.queue.push_back(event);
    }

    /// Names are those of `qapi/run-state.json`, `machine.json`, `qdev.json` and `acpi.json` of QEMU 10.0.
    fn note(&mut self, event: &Event) {
        match event.name.as_str() {
            "RESET" => {
                self.memory_changed = true;
                self.resets += 1;
                self.push(TargetEvent::Reset);
            }
            "SHUTDOWN" if self.are_held && held_before(event).is_some() => self.about = held_before(event),
            "SHUTDOWN" if !self.exited => {
                self.exited = true;
                self.push(TargetEvent::Exited);
            }
            "STOP" => {
                // QEMU tells of the shutdown, and only then stops the guest.
                let event = self.about.take().unwrap_or(TargetEvent::Stopped);
                self.push(event);
            }
            "RESUME" => self.push(TargetEvent::Resumed),
            "MEMORY_DEVICE_SIZE_CHANGE" | "DEVICE_DELETED" | "ACPI_DEVICE_OST" => self.memory_changed = true,
            _ => {}
        }
    }
}

/// What a guest is stopped before whose shutdowns QEMU was asked to turn into a stop; `None` for an end that this does not
/// keep off. Reasons are those of `ShutdownCause` in `qapi/run-state.json` of QEMU 10.0.
fn held_before(event: &Event) -> Option<TargetEvent> {
    match event.reason.as_deref()? {
        "guest-reset" | "host-qmp-system-reset" => Some(TargetEvent::AboutToReset),
        "guest-shutdown" | "guest-panic" | "host-ui" => Some(TargetEvent::AboutToExit),
        _ => None,
    }
}

/// A number for the first command that no client before this one has used for its own, whose answers may still come.
fn first_id() -> u64 {
    const COMMANDS_OF_A_CLIENT: u64 = 1 << 24;
    u64::from(std::process::id()) * COMMANDS_OF_A_CLIENT
}

/// A connection on which capabilities were negotiated.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
    framer: Framer,
    next_id: u64,
    reply_timeout: Duration,
    version: Version,
    pub(crate) events: Events,
}

impl Client {
    /// Greets a monitor on a fresh connection; it may take `reply_timeout` for that and for each answer.
    pub(crate) fn greet(socket: Socket, reply_timeout: Duration) -> Result<Self, Failure> {
        let mut client = Self {
            socket,
            framer: Framer::default(),
            next_id: first_id(),
            reply_timeout,
            version: Version::default(),
            events: Events::default(),
        };
        let deadline = client.deadline();
        client.version = loop {
            match client.next_message(deadline)? {
                Message::Greeting(version) => break version,
                // QEMU tells what happens to the guest while we connect, even before it greets; and what a client was to
                // be answered that was killed, it tells the next one.
                Message::Event(_) | Message::Answer { .. } => {}
            }
        };
        client.execute(&Command::new("qmp_capabilities", json!({})))?;
        Ok(client)
    }

    /// Gives the monitor another time for each answer.
    pub(crate) fn with_reply_timeout(self, reply_timeout: Duration) -> Self {
        Self { reply_timeout, ..self }
    }

    /// QEMU's version, as it greeted.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The connection itself, to find out who is at its other end.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Carries out one command.
    pub(crate) fn execute(&mut self, command: &Command) -> Result<Value, Failure> {
        let deadline = self.deadline();
        let id = self.take_id();
        self.send(&command.text(id), None, deadline)?;
        self.answer(id, command, deadline)
    }

    /// Carries out one command whose answer may never come: `None` if the connection or, as `is_over` tells, the server
    /// ends before it did.
    pub(crate) fn execute_unless(
        &mut self,
        command: &Command,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Value>, Failure> {
        let deadline = self.deadline();
        let id = self.take_id();
        self.send(&command.text(id), None, deadline)?;
        loop {
            let answer = self.answer(id, command, deadline.min(Instant::now() + LOOK_UP));
            match answer {
                Err(Failure::Closed) => return Ok(None),
                Err(Failure::Timeout { .. }) if is_over() => return Ok(None),
                Err(Failure::Timeout { .. }) if Instant::now() < deadline => {}
                other => return other.map(Some),
            }
        }
    }

    /// Carries out one command with a descriptor handed over; Unix sockets only.
    pub(crate) fn execute_with_fd(
        &mut self,
        command: &Command,
        fd: BorrowedFd<'_>,
    ) -> Result<Value, Failure> {
        let deadline = self.deadline();
        let id = self.take_id();
        self.send(&command.text(id), Some(fd), deadline)?;
        self.answer(id, command, deadline)
    }

    /// Carries out commands of the human monitor, many on the way at once, and gives what each printed.
    pub(crate) fn human(&mut self, lines: &[String], cpu: Option<u32>) -> Result<Vec<String>, Failure> {
        let mut printed = Vec::with_capacity(lines.len());
        for batch in lines.chunks(PIPELINE) {
            let deadline = self.deadline();
            let first = self.next_id;
            let commands: Vec<Command> = batch.iter().map(|line| Command::human(line, cpu)).collect();
            let mut text = Vec::new();
            for command in &commands {
                let id = self.take_id();
                text.extend(command.text(id));
            }
            self.send(&text, None, deadline)?;
            for (id, command) in (first..).zip(&commands) {
                match self.answer(id, command, deadline)? {
                    Value::String(words) => printed.push(words),
                    _ => return Err(Failure::Protocol("human-monitor-command: not a string".to_owned())),
                }
            }
        }
        Ok(printed)
    }

    /// Takes in what has arrived without waiting: events are kept, the end of the connection is one.
    pub(crate) fn pump(&mut self) -> Result<(), Failure> {
        // What came in one piece with the last answer first: the end of the connection must not overtake it.
        while self.take_message()?.is_some() {}
        for _ in 0..MAX_PUMPS {
            if !self.socket.has_arrived().map_err(Failure::Io)? {
                break;
            }
            self.receive(Instant::now())?;
            while self.take_message()?.is_some() {}
        }
        Ok(())
    }

    /// Waits until events say so.
    pub(crate) fn wait_for(&mut self, have_come: impl Fn(&Events) -> bool) -> Result<(), Failure> {
        let deadline = self.deadline();
        while !have_come(&self.events) {
            self.next_message(deadline)?;
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.reply_timeout
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn send(&mut self, text: &[u8], fd: Option<BorrowedFd<'_>>, deadline: Instant) -> Result<(), Failure> {
        let outcome = match fd {
            Some(fd) => self.socket.write_with_fd(text, fd, deadline),
            None => self.socket.write_all(text, deadline),
        };
        outcome.map_err(|error| self.transfer_failure(error))
    }

    /// Waits for the answer with `id`. Answers come in the order of the commands, so one with another id was
    /// given up by its caller.
    fn answer(&mut self, id: u64, command: &Command, deadline: Instant) -> Result<Value, Failure> {
        loop {
            let Message::Answer { id: answered, outcome } = self.next_message(deadline)? else { continue };
            if answered.is_some_and(|answered| answered != id) {
                continue;
            }
            return outcome.map_err(|Refusal { class, desc }| {
                let words = format!("{}: {desc}", command.name);
                if class == "CommandNotFound" { Failure::Unsupported(words) } else { Failure::Refused(words) }
            });
        }
    }

    fn next_message(&mut self, deadline: Instant) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            // A server that never falls silent must not extend the time either.
            if Instant::now() >= deadline {
                return Err(self.transfer_failure(io::ErrorKind::TimedOut.into()));
            }
            self.receive(deadline)?;
        }
    }

    fn take_message(&mut self) -> Result<Option<Message>, Failure> {
        let text = self.framer.next().map_err(|error| Failure::Protocol(error.to_string()))?;
        let Some(text) = text else { return Ok(None) };
        let message = message::parse(&text).map_err(Failure::Protocol)?;
        if let Message::Event(event) = &message {
            self.events.note(event);
        }
        Ok(Some(message))
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut chunk = [0; 16 << 10];
        match self.socket.read(&mut chunk, deadline) {
            Ok(0) => Err(Failure::Closed),
            Ok(n) => {
                self.framer.push(chunk.get(..n).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(self.transfer_failure(error)),
        }
    }

    fn transfer_failure(&self, error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::Timeout {
                waited_ms: u64::try_from(self.reply_timeout.as_millis()).unwrap_or(u64::MAX),
            },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Closed,
            _ => Failure::Io(error),
        }
    }
}

/// Connects to `endpoint` and negotiates. The first failure is the connection's, the second the greeting's.
pub(crate) fn connect(
    endpoint: &QmpEndpoint,
    options: &Options,
) -> Result<Result<Client, Failure>, io::Error> {
    let socket = Socket::connect(endpoint, Instant::now() + options.connect_timeout)?;
    Ok(Client::greet(socket, options.reply_timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_bounded_and_the_end_is_told_once() {
        let mut events = Events::default();
        for _ in 0..MAX_EVENTS * 2 {
            note(&mut events, "STOP", None);
        }
        note(&mut events, "SHUTDOWN", Some("guest-shutdown"));
        note(&mut events, "SHUTDOWN", None);
        let told: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert_eq!(told.len(), MAX_EVENTS);
        assert_eq!(told.iter().filter(|event| **event == TargetEvent::Exited).count(), 1);
        assert!(!events.take_memory_changed());
    }

    fn note(events: &mut Events, name: &str, reason: Option<&str>) {
        events.note(&Event { name: name.to_owned(), reason: reason.map(str::to_owned) });
    }

    /// The guest still runs when QEMU tells what it will be stopped for.
    #[test]
    fn a_guest_is_held_once_it_has_stopped() {
        let mut events = Events { are_held: true, ..Events::default() };
        for (reason, told) in [
            ("guest-reset", TargetEvent::AboutToReset),
            ("host-qmp-system-reset", TargetEvent::AboutToReset),
            ("guest-shutdown", TargetEvent::AboutToExit),
        ] {
            note(&mut events, "SHUTDOWN", Some(reason));
            assert_eq!(events.pop(), None);
            note(&mut events, "STOP", None);
            assert_eq!(events.pop(), Some(told));
        }
        note(&mut events, "SHUTDOWN", Some("host-qmp-quit"));
        assert_eq!((events.pop(), events.has_exited()), (Some(TargetEvent::Exited), true));
    }

    #[test]
    fn a_reset_changes_memory_until_it_was_asked_for() {
        let mut events = Events::default();
        note(&mut events, "RESET", Some("guest-reset"));
        assert!(events.take_memory_changed());
        assert!(!events.take_memory_changed());
        assert_eq!(events.pop(), Some(TargetEvent::Reset));
        note(&mut events, "DEVICE_DELETED", None);
        assert!(events.take_memory_changed());
        assert_eq!(events.pop(), None);
    }
}
