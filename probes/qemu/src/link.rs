//! The link itself: reads translate, then copy; events make translations void.

use std::sync::Arc;
use std::time::{Duration, Instant};

use covtap_link::{
    AddrRange, Effect, HoldBeforeLoss, Link, LinkError, LinkInfo, LogBegun, LogBlocks, Operation,
    PhysicalMemory, ReadMemory, ReadReport, ReadRequest, RunState, TargetAddr, TargetEvent, TargetEvents,
};
use serde_json::{Value, json};

use crate::actions::Actions;
use crate::copy::{Copier, Part};
use crate::failure::Failure;
use crate::host::exit_watch::ExitWatch;
use crate::host::find::{Candidates, candidates};
use crate::log::BlockLog;
use crate::qmp::{self, Client, Command, Socket};
use crate::translate::Translator;
use crate::watched::Watched;
use crate::{AddressSpace, Options, QmpEndpoint, architecture};

/// What the addresses of one read mean.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// What the link was told, or found out.
    Chosen,
    /// Guest-physical addresses, whatever the link was told.
    Physical,
}

/// A QEMU guest, read without stopping it.
#[derive(Debug)]
pub struct QemuLink {
    endpoint: String,
    /// `None` once detached.
    client: Option<Client>,
    translator: Translator,
    copier: Copier,
    target: Option<String>,
    state: RunState,
    server: String,
    actions: Actions,
    /// The end of a QEMU that was started here.
    watched: Option<Watched>,
    /// What is logged, while it is.
    log: Option<BlockLog>,
}

impl QemuLink {
    /// Connects to a monitor, finds out how the guest's memory can be read, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`LinkError::Connect`] if nobody listens; [`LinkError::Timeout`] if the monitor does not greet, as when it
    /// serves another client already; [`LinkError::Protocol`] if the server is no monitor;
    /// [`LinkError::NotPermitted`] or [`LinkError::Unsupported`] if the method chosen by name cannot be used.
    pub fn connect(endpoint: &QmpEndpoint, options: &Options) -> Result<Self, LinkError> {
        let name = endpoint.to_string();
        let greeted = qmp::connect(endpoint, options)
            .map_err(|source| LinkError::Connect { endpoint: name.clone(), source })?;
        greeted
            .and_then(|client| Self::over(client, name.clone(), options, candidates))
            .map_err(|failure| failure.during(Operation::Handshake, &name))
    }

    /// Links to a QEMU that was started here and is watched; `found` are the processes that it may be.
    pub(crate) fn over_started(
        client: Client,
        endpoint: &str,
        options: &Options,
        found: Candidates,
        watch: &Arc<ExitWatch>,
    ) -> Result<Self, LinkError> {
        let link = Self::over(client, endpoint.to_owned(), options, |_| found);
        let mut link = link.map_err(|failure| failure.during(Operation::Handshake, endpoint))?;
        link.watched = Some(Watched::new(watch, link.process_id()));
        Ok(link)
    }

    fn over(
        mut client: Client,
        endpoint: String,
        options: &Options,
        find: impl FnOnce(&Socket) -> Candidates,
    ) -> Result<Self, Failure> {
        let target = ask_word(&mut client, "query-target", "arch")?;
        let status = ask_word(&mut client, "query-status", "status")?;
        let last_addr = target.as_deref().map_or(u64::MAX, architecture::last_address);
        let mut translator = Translator::new(options.address_space, options.recheck_after, last_addr);
        let copier = Copier::choose(options.method, &mut client, &mut translator, find)?;
        let state = match status.as_deref() {
            Some("running") | None => RunState::Running,
            Some(_) => RunState::Stopped,
        };
        let server = format!("QEMU {}", client.version());
        let actions = Actions::default();
        let client = Some(client);
        Ok(Self {
            endpoint,
            client,
            translator,
            copier,
            target,
            state,
            server,
            actions,
            watched: None,
            log: None,
        })
    }

    /// Why reads do not use a faster method than they do, such as
    /// `process_vm_readv of process 1234: Operation not permitted (kernel.yama.ptrace_scope is 1)`.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&str> {
        self.copier.reason()
    }

    /// The id of the QEMU process, where its memory is read directly.
    #[must_use]
    pub fn process_id(&self) -> Option<i32> {
        self.copier.pid()
    }

    /// Whether the guest runs, as of the connection and of the events polled since. A guest that was found paused
    /// stays so and is read the same way.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        self.state
    }

    /// Why the guest cannot be held at QEMU's end, if QEMU was started here and it cannot.
    pub(crate) fn not_held(&self) -> Option<String> {
        self.watched.as_ref()?.refusal().map(str::to_owned)
    }

    /// Whether QEMU was started here and is at its end: its monitor says nothing any more.
    fn is_over(&self) -> bool {
        self.watched.as_ref().is_some_and(Watched::is_over)
    }

    /// Whether a failure is the end of a QEMU that was started here, whose memory may be there yet.
    fn has_lost_monitor(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Closed => self.watched.is_some(),
            Failure::Timeout { .. } => self.is_over(),
            _ => false,
        }
    }

    /// Reads once; translations that turn out to be of the past are made anew and the read is repeated. So is one that
    /// QEMU's end came in between.
    fn read_all(
        &mut self,
        meaning: Meaning,
        reads: &mut [ReadRequest<'_>],
    ) -> Result<(), (TargetAddr, u64, Failure)> {
        match self.read_once(meaning, reads) {
            Err((_, _, Failure::Stale { .. })) if !self.is_over() => {
                self.translator.forget();
                self.read_once(meaning, reads)
            }
            Err((_, _, failure)) if self.has_lost_monitor(&failure) => {
                self.translator.freeze();
                self.read_once(meaning, reads)
            }
            other => other,
        }
    }

    fn read_once(
        &mut self,
        meaning: Meaning,
        reads: &mut [ReadRequest<'_>],
    ) -> Result<(), (TargetAddr, u64, Failure)> {
        let (first, total) = span(reads);
        let is_over = self.is_over();
        let Some(client) = &mut self.client else { return Err((first, total, Failure::Closed)) };
        let is_silent = match client.pump() {
            // QEMU ends, and its memory is there until it has.
            Err(Failure::Closed) if self.watched.is_some() => true,
            _ if is_over => true,
            other => other.map(|()| false).map_err(|failure| (first, total, failure))?,
        };
        if is_silent {
            self.translator.freeze();
        } else if client.events.take_memory_changed() {
            self.translator.forget();
        }
        let mut parts: Vec<Part<'_>> = Vec::with_capacity(reads.len());
        for read in reads {
            let len = read.buf.len() as u64;
            let mut stretches = Vec::with_capacity(1);
            let addr = read.addr.get();
            match meaning {
                Meaning::Chosen => self.translator.translate(client, addr, len, &mut stretches),
                Meaning::Physical => self.translator.translate_physical(client, addr, len, &mut stretches),
            }
            .map_err(|failure| (read.addr, len, failure))?;
            parts.push((stretches, read.buf));
        }
        let space = match meaning {
            Meaning::Chosen => self.translator.space(),
            Meaning::Physical => AddressSpace::Physical,
        };
        self.copier.copy(client, space, &mut parts).map_err(|failure| (first, total, failure))
    }

    fn read_as(&mut self, meaning: Meaning, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let started = Instant::now();
        self.read_all(meaning, reads).map_err(|(addr, len_bytes, failure)| {
            if let (Failure::Closed, Some(watched)) = (&failure, &self.watched) {
                watched.wait_for_end();
            }
            failure.during(Operation::Read { addr, len_bytes }, &self.endpoint)
        })?;
        Ok(ReadReport { elapsed: started.elapsed(), pause: Duration::ZERO })
    }

    fn closed(&self, operation: Operation) -> LinkError {
        Failure::Closed.during(operation, &self.endpoint)
    }
}

/// Where reads start and how many bytes they are together, for a message.
fn span(reads: &[ReadRequest<'_>]) -> (TargetAddr, u64) {
    let first = reads.first().map_or(TargetAddr::new(0), |read| read.addr);
    (first, reads.iter().map(|read| read.buf.len() as u64).sum())
}

/// One string of a command's answer, or `None` from a QEMU that does not know the command.
fn ask_word(client: &mut Client, command: &'static str, key: &str) -> Result<Option<String>, Failure> {
    match client.execute(&Command::new(command, json!({}))) {
        Ok(value) => Ok(value.get(key).and_then(Value::as_str).map(str::to_owned)),
        Err(failure) if failure.leaves_monitor_usable() => Ok(None),
        Err(failure) => Err(failure),
    }
}

impl ReadMemory for QemuLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_as(Meaning::Chosen, reads)
    }
}

impl PhysicalMemory for QemuLink {
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError> {
        let operation = || Operation::Command("info mtree -f".to_owned());
        let Some(client) = &mut self.client else { return Err(self.closed(operation())) };
        let backings =
            self.translator.ram(client).map_err(|failure| failure.during(operation(), &self.endpoint))?;
        let mut ranges: Vec<AddrRange> = Vec::with_capacity(backings.len());
        for backing in backings {
            let (first, last) = (backing.first, backing.last);
            let joined = ranges.pop_if(|earlier| earlier.end().get() == first);
            let start = joined.map_or(first, |earlier| earlier.start().get());
            // One that ends with the address space is left out: it cannot be said, and holds no program.
            ranges.extend(AddrRange::new(TargetAddr::new(start), (last - start).saturating_add(1)));
        }
        Ok(ranges)
    }

    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_as(Meaning::Physical, reads)
    }
}

impl TargetEvents for QemuLink {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        let operation = || Operation::Command("poll for events".to_owned());
        let Some(client) = &mut self.client else { return Err(self.closed(operation())) };
        let pumped = client.pump();
        if let (Err(Failure::Closed), Some(watched)) = (&pumped, &self.watched) {
            watched.wait_for_end();
        }
        // What was said before the connection ended is told first.
        let event = match &mut self.watched {
            Some(watched) => watched.next_event(&mut client.events),
            None => client.events.pop(),
        };
        self.actions.see(event.as_ref());
        match &event {
            Some(
                TargetEvent::Stopped
                | TargetEvent::Exited
                | TargetEvent::AboutToReset
                | TargetEvent::AboutToExit,
            ) => self.state = RunState::Stopped,
            Some(TargetEvent::Resumed) => self.state = RunState::Running,
            Some(_) => {}
            None => match pumped {
                // A connection that ends after the guest did is no surprise; any other end is one.
                Err(Failure::Closed) if client.events.has_exited() || self.watched.is_some() => {}
                Err(failure) => return Err(failure.during(operation(), &self.endpoint)),
                Ok(()) => {}
            },
        }
        Ok(event)
    }
}

impl Link for QemuLink {
    fn info(&self) -> LinkInfo {
        let target = self.target.as_deref();
        LinkInfo {
            endpoint: self.endpoint.clone(),
            server: format!("{}, {}", self.server, self.copier.name(self.translator.space())),
            architecture: self.target.clone(),
            endianness: target.and_then(architecture::endianness),
            pointer_width: target.and_then(architecture::pointer_width),
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        // What it told is no longer wanted; a monitor that is gone is told of below.
        let _ = LogBlocks::end(self, &mut Vec::new());
        let Some(mut client) = self.client.take() else { return Ok(Duration::ZERO) };
        if let Some(watched) = self.watched.take() {
            return Ok(end(&mut client, &watched));
        }
        let pause = self.actions.disarm(&mut client);
        match self.copier.release(&mut client).and(pause) {
            Ok(pause) => Ok(pause),
            // Nobody is left who could be left differently than found.
            Err(Failure::Closed) => Ok(Duration::ZERO),
            Err(failure) => Err(failure.during(Operation::Detach, &self.endpoint)),
        }
    }

    fn block_log(&mut self) -> Option<&mut dyn LogBlocks> {
        Some(self)
    }

    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        Some(self)
    }

    fn hold(&mut self) -> Option<&mut dyn HoldBeforeLoss> {
        Some(self)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

/// Ends a QEMU that was started here, or lets it end.
fn end(client: &mut Client, watched: &Watched) -> Duration {
    if !watched.is_over() {
        // Whoever started it has other means if it does not hear.
        let _ = client.execute(&Command::new("quit", json!({})));
    }
    watched.release();
    Duration::ZERO
}

impl HoldBeforeLoss for QemuLink {
    fn arm(&mut self) -> Result<(), LinkError> {
        let operation = Operation::Command("set-action".to_owned());
        let Some(client) = &mut self.client else { return Err(self.closed(operation)) };
        self.actions.arm(client).map_err(|failure| failure.during(operation, &self.endpoint))
    }

    /// A QEMU that was started here and is at its end counts nothing any more: no workload stands still for it.
    fn release(&mut self) -> Result<Duration, LinkError> {
        let operation = Operation::Command("set-action".to_owned());
        if let Some(watched) = self.watched.as_ref().filter(|watched| watched.is_over()) {
            watched.release();
            return Ok(Duration::ZERO);
        }
        let Some(client) = &mut self.client else { return Err(self.closed(operation)) };
        self.actions.release(client).map_err(|failure| failure.during(operation, &self.endpoint))
    }
}

impl LogBlocks for QemuLink {
    fn begin(&mut self, code: &[AddrRange]) -> Result<LogBegun, LinkError> {
        let operation = Operation::Command("log translated code".to_owned());
        let pid = self.process_id();
        let Some(client) = &mut self.client else { return Err(self.closed(operation)) };
        let pid = pid.or_else(|| candidates(client.socket()).pids.first().copied());
        let endpoint = &self.endpoint;
        let failed = |failure: Failure| failure.during(operation.clone(), endpoint);
        let (log, begun) = BlockLog::begin(client, pid, code, &failed)?;
        self.log = Some(log);
        Ok(begun)
    }

    fn next(&mut self, wait: Duration, log: &mut Vec<u8>) -> Result<(), LinkError> {
        let operation = Operation::Command("read the log".to_owned());
        let Some(client) = &mut self.client else { return Err(self.closed(operation)) };
        let Some(blocks) = &mut self.log else { return Ok(()) };
        blocks.next(client, wait, log).map_err(|failure| failure.during(operation, &self.endpoint))
    }

    fn end(&mut self, log: &mut Vec<u8>) -> Result<(), LinkError> {
        let operation = Operation::Command("end the log".to_owned());
        let Some(blocks) = self.log.take() else { return Ok(()) };
        let Some(client) = &mut self.client else { return Err(self.closed(operation)) };
        blocks.end(client, log).map_err(|failure| failure.during(operation, &self.endpoint))
    }
}

impl Drop for QemuLink {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.detach();
    }
}
