//! Stop, resume, step, breakpoints, registers, and writing memory.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use covtap_link::{Endianness, LinkError, Operation, RunControl, RunState, TargetAddr, WriteMemory};

use crate::core::resume::{self, Breakpoint};
use crate::core::session::{Execution, Incoming};
use crate::core::stop::{StopReply, ThreadId};
use crate::core::{hex, memory};
use crate::link::{GdbRemote, Hold};
use crate::profile::Resume;

/// More threads than are followed one by one.
const MAX_THREADS: usize = 4096;

/// How long an interrupt takes to be answered by a program that has just been given another signal.
const OVERTAKEN_PATIENCE: Duration = Duration::from_millis(200);

/// What architectures call the register that holds the address of the next instruction.
const PROGRAM_COUNTERS: [&str; 3] = ["pc", "rip", "eip"];

impl GdbRemote {
    /// Stops a running target and waits until it has; whether it was us who stopped it. If not, it is held
    /// by somebody else, or waits for a file operation.
    pub(crate) fn interrupt(&mut self, operation: &Operation) -> Result<bool, LinkError> {
        if self.waits_for_file_io() || self.wire.session.execution() == Execution::Stopped {
            return Ok(false);
        }
        self.wire.session.interrupt();
        let mut since = Instant::now();
        let mut is_overtaken = false;
        loop {
            match self.next_after_interrupt(operation, since, is_overtaken)? {
                Some(Incoming::Stop(stop)) if self.is_ours(&stop) => {
                    self.note_thread(&stop);
                    self.hold = Hold::Us;
                    return Ok(true);
                }
                Some(other) => {
                    is_overtaken |= matches!(other, Incoming::Stop(_));
                    self.absorb(other, operation)?;
                }
                // It came to a target that was stopped, which does not count.
                None => {
                    self.wire.session.interrupt();
                    (since, is_overtaken) = (Instant::now(), false);
                }
            }
            if self.has_ended {
                return Err(self.wire.refused(operation, "the target has ended"));
            }
            if self.hold != Hold::Nobody || self.waits_for_file_io() {
                return Ok(false);
            }
        }
    }

    /// The same, and file operations that come first are done.
    pub(crate) fn interrupt_for_good(&mut self, operation: &Operation) -> Result<bool, LinkError> {
        let since = Instant::now();
        loop {
            let is_ours = self.interrupt(operation)?;
            if !self.waits_for_file_io() {
                return Ok(is_ours);
            }
            if since.elapsed() > self.options.reply_timeout {
                return Err(self
                    .wire
                    .refused(operation, "the target asks for one file operation after the other"));
            }
            self.answer_file_io(operation)?;
        }
    }

    /// What the server says to an interrupt. Where a signal of the program came first and was passed on, the
    /// answer either follows soon, or the interrupt came too late to be heard: then nothing.
    fn next_after_interrupt(
        &mut self,
        operation: &Operation,
        since: Instant,
        is_overtaken: bool,
    ) -> Result<Option<Incoming>, LinkError> {
        if is_overtaken {
            self.wire.flush(operation)?;
            return self.wire.next_within(operation, OVERTAKEN_PATIENCE);
        }
        self.wire.next(operation, since).map(Some)
    }

    /// Whether a stop is the answer to an interrupt.
    fn is_ours(&self, stop: &StopReply) -> bool {
        let StopReply::Signal { signal, .. } = stop else { return false };
        match self.profile.interrupt_signal {
            Some(ours) => *signal == ours,
            // Many servers answer with the signal of a breakpoint.
            None => self.breakpoints.is_empty() || *signal != 5,
        }
    }

    /// What lets every thread run on, with the signals that they are owed.
    pub(crate) fn resume_packet(&mut self) -> Vec<u8> {
        self.actions.resume(&std::mem::take(&mut self.owed_signals))
    }

    /// Lets the target run on; nobody holds it afterwards.
    pub(crate) fn run_on(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.told_registers.clear();
        let packet = self.resume_packet();
        if self.profile.resume == Resume::Never {
            self.wire.session.assume_running();
        } else if self.is_non_stop {
            self.expect_ok(operation, &packet)?;
            self.stopped_threads.clear();
        } else if self.wire.session.execution() == Execution::Stopped {
            self.wire.say(operation, |session| session.resume(&packet))?;
        }
        self.hold = Hold::Nobody;
        self.wire.flush(operation)
    }

    /// Sends a packet whose answer is `OK`.
    pub(crate) fn expect_ok(&mut self, operation: &Operation, packet: &[u8]) -> Result<(), LinkError> {
        let reply = self.exchange(operation, packet)?;
        match reply.as_slice() {
            b"OK" => Ok(()),
            b"" => Err(self.wire.unsupported(operation, "the server has no such packet")),
            other => match memory::refusal(other) {
                Some(reason) => Err(self.wire.refused(operation, reason)),
                None => Err(self.wire.senseless(operation, memory::printable(other))),
            },
        }
    }

    /// Stops every thread one by one, as non-stop mode has it.
    fn stop_threads(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.hold = Hold::Us;
        self.expect_ok(operation, b"vCont;t")?;
        let since = Instant::now();
        while !self.threads(operation)?.is_subset(&self.stopped_threads) {
            match self.wire.next(operation, since)? {
                Incoming::Stop(stop) if !stop.is_end() => self.note_thread(&stop),
                other => self.absorb(other, operation)?,
            }
            if self.has_ended {
                return Err(self.wire.refused(operation, "the target has ended"));
            }
        }
        Ok(())
    }

    /// The threads of the target: `qfThreadInfo`, `qsThreadInfo`, answered by `m ID,ID...` until `l`.
    pub(crate) fn threads(&mut self, operation: &Operation) -> Result<BTreeSet<ThreadId>, LinkError> {
        let mut threads = BTreeSet::new();
        let mut packet: &[u8] = b"qfThreadInfo";
        while threads.len() < MAX_THREADS {
            let reply = self.exchange(operation, packet)?;
            let Some(ids) = reply.strip_prefix(b"m") else { break };
            let before = threads.len();
            threads.extend(ids.split(|byte| *byte == b',').filter_map(ThreadId::parse));
            if threads.len() == before {
                break;
            }
            packet = b"qsThreadInfo";
        }
        Ok(threads)
    }

    /// Fails unless the target is stopped.
    pub(crate) fn need_stopped(&mut self, operation: &Operation) -> Result<(), LinkError> {
        // The server of a target that is stopped as a whole says nothing by itself.
        let is_silent = matches!(self.hold, Hold::Found | Hold::Us) && !self.reads_while_running();
        if is_silent && !self.is_left && !self.has_ended {
            return self.wire.check(operation);
        }
        self.ready(operation)?;
        match self.hold {
            Hold::Nobody => Err(self.wire.refused(operation, "the target is running")),
            Hold::Found | Hold::Us | Hold::Other => Ok(()),
        }
    }

    fn change_breakpoint(&mut self, is_set: bool, addr: TargetAddr, kind: u8) -> Result<(), LinkError> {
        let operation = Operation::Breakpoint(addr);
        self.need_stopped(&operation)?;
        let addr = addr.get();
        let in_memory = Breakpoint { kind, is_hardware: false };
        let breakpoint = self.breakpoints.get(&addr).copied().unwrap_or(in_memory);
        let done = self.expect_ok(&operation, &resume::breakpoint(is_set, addr, breakpoint));
        match done {
            Err(refused) if is_set && !breakpoint.is_hardware && !refused.is_fatal() => {
                // In flash, say. What the server said of the first one tells more than what it says of this.
                let breakpoint = Breakpoint { is_hardware: true, ..breakpoint };
                let done = self.expect_ok(&operation, &resume::breakpoint(true, addr, breakpoint));
                done.map_err(|error| if error.is_fatal() { error } else { refused })?;
                self.breakpoints.insert(addr, breakpoint);
            }
            done if is_set => {
                done?;
                self.breakpoints.insert(addr, breakpoint);
            }
            done => {
                done?;
                self.breakpoints.remove(&addr);
            }
        }
        Ok(())
    }

    /// Does something for which the target has to be stopped, and lets it run on if it ran.
    fn while_stopped(
        &mut self,
        operation: &Operation,
        act: impl FnOnce(&mut Self) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        self.ready(operation)?;
        let is_ours =
            self.hold == Hold::Nobody && !self.reads_while_running() && self.interrupt(operation)?;
        let done = act(self);
        match &done {
            Err(error) if error.is_fatal() => return done,
            _ if is_ours => self.run_on(operation)?,
            _ => self.answer_file_io(operation)?,
        }
        done
    }

    fn step_once(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.told_registers.clear();
        loop {
            let of_thread = self.thread_actions.filter(|_| self.counted_threads.len() > 1);
            let packet = of_thread.unwrap_or(self.actions).step(self.thread.as_ref());
            if self.is_non_stop {
                self.expect_ok(operation, &packet)?;
            } else {
                self.wire.say(operation, |session| session.resume(&packet))?;
            }
            let stop = self.wait_for_step(operation)?;
            self.hold = Hold::Us;
            self.note_thread(&stop);
            // A signal of the program came first; it is given to it when it runs on.
            let StopReply::Signal { signal, registers, .. } = stop else {
                return self.acknowledge(operation);
            };
            if !self.is_programs(signal) {
                self.told_registers = registers;
                return self.acknowledge(operation);
            }
        }
    }

    fn wait_for_step(&mut self, operation: &Operation) -> Result<StopReply, LinkError> {
        let patience = self.options.reply_timeout / 2;
        let (mut since, mut is_interrupted) = (Instant::now(), false);
        loop {
            let incoming = if is_interrupted {
                self.wire.next(operation, since)?
            } else if let Some(incoming) = self.wire.next_within(operation, patience)? {
                incoming
            } else {
                // It waits for an interrupt, say, and may do so for ever.
                self.wire.session.interrupt();
                self.wire.flush(operation)?;
                (since, is_interrupted) = (Instant::now(), true);
                continue;
            };
            match incoming {
                Incoming::Stop(stop) if !stop.is_end() => return Ok(stop),
                Incoming::ResumeRefused(reason) => return Err(self.wire.refused(operation, reason)),
                other => self.absorb(other, operation)?,
            }
            if self.has_ended {
                return Err(self.wire.refused(operation, "the target has ended"));
            }
        }
    }

    /// Whether the instruction that is next lies under one of our breakpoints.
    fn is_at_breakpoint(&mut self) -> Result<bool, LinkError> {
        if self.breakpoints.is_empty() {
            return Ok(false);
        }
        for name in PROGRAM_COUNTERS {
            if self.description.register(name).is_some() {
                let at = self.read_register(name)?;
                return Ok(self.breakpoints.contains_key(&at));
            }
        }
        Ok(false)
    }

    /// Sets or clears all of our breakpoints, which stay ours.
    fn place_breakpoints(&mut self, is_set: bool, operation: &Operation) -> Result<(), LinkError> {
        for (addr, breakpoint) in self.breakpoints.clone() {
            self.expect_ok(operation, &resume::breakpoint(is_set, addr, breakpoint))?;
        }
        Ok(())
    }

    fn number(&self, bytes: &[u8], endianness: Endianness) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match endianness {
            Endianness::Little => bytes.iter().rev().fold(0, add),
            Endianness::Big => bytes.iter().fold(0, add),
        }
    }
}

impl RunControl for GdbRemote {
    fn state(&self) -> RunState {
        match self.hold {
            Hold::Nobody => RunState::Running,
            Hold::Found | Hold::Us | Hold::Other => RunState::Stopped,
        }
    }

    fn stop(&mut self) -> Result<(), LinkError> {
        let operation = Operation::Stop;
        self.ready(&operation)?;
        // A breakpoint stops only the thread that met it, where threads are stopped one by one.
        let may_run = self.hold == Hold::Nobody || (self.is_non_stop && self.hold == Hold::Us);
        if !may_run {
            return Ok(());
        }
        if self.profile.resume == Resume::Never {
            return Err(self.wire.unsupported(&operation, "the server cannot stop its target"));
        }
        if self.is_non_stop {
            return self.stop_threads(&operation);
        }
        self.interrupt_for_good(&operation)?;
        self.wire.session.acknowledge();
        self.wire.flush(&operation)
    }

    fn resume(&mut self) -> Result<(), LinkError> {
        let operation = Operation::Resume;
        self.ready(&operation)?;
        if self.hold == Hold::Nobody {
            return Ok(());
        }
        self.leaves_running = true;
        if self.is_at_breakpoint()? {
            self.step()?;
        }
        self.run_on(&operation)
    }

    fn step(&mut self) -> Result<(), LinkError> {
        let operation = Operation::Step;
        self.need_stopped(&operation)?;
        if self.profile.steps_over_breakpoints || !self.is_at_breakpoint()? {
            return self.step_once(&operation);
        }
        // The server would meet the breakpoint instead of executing the instruction.
        self.place_breakpoints(false, &operation)?;
        let stepped = self.step_once(&operation);
        self.place_breakpoints(true, &operation)?;
        stepped
    }

    fn set_breakpoint(&mut self, addr: TargetAddr, kind: u8) -> Result<(), LinkError> {
        self.change_breakpoint(true, addr, kind)
    }

    fn clear_breakpoint(&mut self, addr: TargetAddr, kind: u8) -> Result<(), LinkError> {
        self.change_breakpoint(false, addr, kind)
    }

    fn wait_for_stop(&mut self, patience: Duration) -> Result<bool, LinkError> {
        self.wait_until_held(patience)
    }

    fn num_threads(&mut self) -> Result<usize, LinkError> {
        self.count_threads()
    }

    fn select_thread(&mut self, index: usize) -> Result<(), LinkError> {
        self.select_counted(index)
    }

    fn leave_stopped(&mut self) {
        self.leaves_running &= self.hold == Hold::Nobody;
    }

    fn read_register(&mut self, name: &str) -> Result<u64, LinkError> {
        let operation = Operation::Register(name.into());
        self.need_stopped(&operation)?;
        let Some(register) = self.description.register(name).cloned() else {
            return Err(self
                .wire
                .unsupported(&operation, "the server's target description does not name it"));
        };
        if register.len_bytes > 8 {
            return Err(self.wire.unsupported(&operation, format!("it has {} bytes", register.len_bytes)));
        }
        let Some(endianness) = self.endianness().or(self.options.endianness) else {
            return Err(self.wire.unsupported(&operation, "the server does not tell the byte order"));
        };
        let told = self.told_registers.iter().find(|(number, _)| *number == register.number as u64);
        if let Some(bytes) = told.and_then(|(_, digits)| hex::decode(digits))
            && bytes.len() == register.len_bytes
        {
            return Ok(self.number(&bytes, endianness));
        }
        // `p N` is one register; servers that lack it have `g`, which is all of them.
        let mut reply = self.exchange(&operation, format!("p{:x}", register.number).as_bytes())?;
        let mut offset = 0;
        if reply.is_empty() {
            reply = self.exchange(&operation, b"g")?;
            offset = self.description.offset_bytes(&register).saturating_mul(2);
        }
        if let Some(reason) = memory::refusal(&reply) {
            return Err(self.wire.refused(&operation, reason));
        }
        let digits = offset
            .checked_add(register.len_bytes.saturating_mul(2))
            .and_then(|end| reply.get(offset..end))
            .ok_or_else(|| self.wire.refused(&operation, "the server sent fewer bytes than it has"))?;
        match hex::decode(digits) {
            Some(bytes) => Ok(self.number(&bytes, endianness)),
            None if digits.iter().all(|digit| *digit == b'x') => {
                Err(self.wire.refused(&operation, "the server does not know its value"))
            }
            None => Err(self.wire.senseless(&operation, memory::printable(digits))),
        }
    }
}

impl WriteMemory for GdbRemote {
    fn write(&mut self, addr: TargetAddr, bytes: &[u8]) -> Result<(), LinkError> {
        let operation = Operation::Write { addr, len_bytes: bytes.len() as u64 };
        if addr.checked_add(bytes.len() as u64).is_none() {
            return Err(self.wire.refused(&operation, "it passes the end of the address space"));
        }
        // The head of the packet takes room that a read does not need.
        const HEAD_BYTES: usize = 32;
        let max_bytes = self.max_read_bytes.saturating_sub(HEAD_BYTES).max(4);
        self.while_stopped(&operation, |link| {
            let mut at = addr.get();
            for piece in bytes.chunks(max_bytes) {
                link.expect_ok(&operation, &memory::write_packet(at, piece))?;
                at = at.wrapping_add(piece.len() as u64);
            }
            Ok(())
        })
    }
}
