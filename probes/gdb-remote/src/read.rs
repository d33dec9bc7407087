//! Reading memory: in pieces, several on their way at a time, with the target stopped where its server
//! demands it.
//!
//! What always holds: a target that was stopped for a read is let run on whatever the read led to, as long
//! as its server still answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation, ReadReport, ReadRequest, TargetAddr, TargetEvent};

use crate::core::memory::{Piece, Plan, ReadReply, read_reply};
use crate::core::session::{Expected, Incoming};
use crate::link::{GdbRemote, Hold};

/// How the target is brought to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// It answers as it is.
    AsItIs,
    /// Interrupt, requests and the packet to run on are sent as one.
    Burst,
    /// Each step waits for the one before.
    StepByStep,
    /// It should be stopped, but somebody may have let it run on unseen.
    Guarded,
}

/// The pieces of a read, and what became of them.
struct Batch<'a, 'b> {
    reads: &'a mut [ReadRequest<'b>],
    plan: Plan,
    on_their_way: VecDeque<Piece>,
    /// Sent behind the last request.
    resume: Option<Vec<u8>>,
    is_burst: bool,
    /// The first piece that the server refused.
    refused: Option<LinkError>,
    /// A stop was told while the pieces were on their way.
    has_stopped: bool,
}

/// A read of these pieces, for messages.
fn operation(reads: &[ReadRequest<'_>]) -> Operation {
    let addr = reads.first().map_or(TargetAddr::new(0), |read| read.addr);
    let len_bytes = reads.iter().fold(0u64, |sum, read| sum.saturating_add(read.buf.len() as u64));
    Operation::Read { addr, len_bytes }
}

fn operation_of(piece: &Piece) -> Operation {
    Operation::Read { addr: TargetAddr::new(piece.addr), len_bytes: piece.len_bytes as u64 }
}

impl GdbRemote {
    pub(crate) fn read_all(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let started = Instant::now();
        let operation = operation(reads);
        self.ready(&operation)?;
        let requests = reads.iter().map(|read| (read.addr.get(), read.buf.len()));
        let plan = match Plan::new(requests, self.max_read_bytes) {
            Ok(plan) if plan.is_empty() => return Ok(ReadReport::default()),
            Ok(plan) => plan,
            Err(_) => return Err(self.wire.refused(&operation, "it passes the end of the address space")),
        };
        let mut batch = Batch {
            reads,
            plan,
            on_their_way: VecDeque::new(),
            resume: None,
            is_burst: false,
            refused: None,
            has_stopped: false,
        };
        let manner = self.manner();
        let read = match manner {
            Manner::AsItIs => self.run(&mut batch, &operation).map(|()| Duration::ZERO),
            Manner::Burst => self.burst(&mut batch, &operation),
            Manner::StepByStep => self.step_by_step(&mut batch, &operation),
            Manner::Guarded => self.guarded(&mut batch, &operation),
        };
        if read.is_err() && batch.has_stopped && manner != Manner::AsItIs {
            // Whether it runs on nobody knows. Until now it stood still.
            self.failed_pause += started.elapsed();
        }
        let pause = read?;
        self.wire.session.acknowledge();
        self.wire.flush(&operation)?;
        match batch.refused {
            Some(error) => {
                self.failed_pause += pause;
                Err(error)
            }
            None => Ok(ReadReport { elapsed: started.elapsed(), pause }),
        }
    }

    fn manner(&self) -> Manner {
        match self.hold {
            _ if self.reads_while_running() => Manner::AsItIs,
            Hold::Us => Manner::AsItIs,
            Hold::Found | Hold::Other if self.profile.resumes_unseen => Manner::Guarded,
            Hold::Found | Hold::Other => Manner::AsItIs,
            // A breakpoint, or a call of the target's own, may stop it first, and must not be run over.
            Hold::Nobody if self.profile.burst && self.breakpoints.is_empty() && !self.has_seen_file_io => {
                Manner::Burst
            }
            Hold::Nobody => Manner::StepByStep,
        }
    }

    fn burst(&mut self, batch: &mut Batch<'_, '_>, operation: &Operation) -> Result<Duration, LinkError> {
        let stopped = Instant::now();
        self.wire.session.interrupt();
        batch.resume = Some(self.resume_packet());
        batch.is_burst = true;
        self.run(batch, operation)?;
        // The server runs the target on after the last answer, so that this is no less than the pause.
        let pause = stopped.elapsed();
        self.wire.session.forget_older_runs();
        Ok(pause)
    }

    fn step_by_step(
        &mut self,
        batch: &mut Batch<'_, '_>,
        operation: &Operation,
    ) -> Result<Duration, LinkError> {
        let asked = Instant::now();
        let is_ours = self.interrupt(operation)?;
        batch.has_stopped = is_ours;
        self.run(batch, operation)?;
        if is_ours {
            self.run_on(operation)?;
            return Ok(asked.elapsed());
        }
        self.answer_file_io(operation)?;
        Ok(Duration::ZERO)
    }

    fn guarded(&mut self, batch: &mut Batch<'_, '_>, operation: &Operation) -> Result<Duration, LinkError> {
        let asked = Instant::now();
        self.wire.session.nudge();
        self.run(batch, operation)?;
        if !batch.has_stopped {
            return Ok(Duration::ZERO);
        }
        // Only a running target answers an interrupt.
        self.leaves_running = true;
        self.event(TargetEvent::Resumed);
        self.run_on(operation)?;
        Ok(asked.elapsed())
    }

    /// Asks for all pieces and takes the answers. The error is one after which nothing can be asked any more.
    fn run(&mut self, batch: &mut Batch<'_, '_>, operation: &Operation) -> Result<(), LinkError> {
        let window = self.window();
        let mut since = Instant::now();
        loop {
            self.ask(batch, window, operation)?;
            if batch.on_their_way.is_empty() {
                return self.wire.flush(operation);
            }
            match self.wire.next(operation, since)? {
                Incoming::Reply(payload) => {
                    self.take(batch, &payload)?;
                    since = Instant::now();
                }
                Incoming::Stop(stop)
                    if !self.is_non_stop && !stop.is_end() && !self.reads_while_running() =>
                {
                    self.note_thread(&stop);
                    batch.has_stopped = true;
                }
                // It came before the burst, which runs the target on without an answer.
                Incoming::FileIo(_) if batch.is_burst && !batch.has_stopped => {
                    self.has_seen_file_io = true;
                    self.wire.session.forget_file_io();
                }
                other => self.absorb(other, operation)?,
            }
            if self.has_ended {
                return Err(self.wire.closed(operation));
            }
        }
    }

    /// How many requests may be on their way. On a line that loses bytes it has to be clear which one an
    /// acknowledgement is for.
    fn window(&self) -> usize {
        let most = if self.is_lossy { 1 } else { self.profile.window };
        self.options.window.unwrap_or(most).clamp(1, most)
    }

    fn ask(
        &mut self,
        batch: &mut Batch<'_, '_>,
        window: usize,
        operation: &Operation,
    ) -> Result<(), LinkError> {
        while batch.on_their_way.len() < window
            && let Some(piece) = batch.plan.next()
        {
            self.wire.request(operation, &piece.read_packet(self.read_packet), Expected::Memory)?;
            batch.on_their_way.push_back(piece);
        }
        if batch.plan.is_empty()
            && let Some(packet) = batch.resume.take()
        {
            self.wire.say(operation, |session| session.resume(&packet))?;
        }
        Ok(())
    }

    fn take(&mut self, batch: &mut Batch<'_, '_>, payload: &[u8]) -> Result<(), LinkError> {
        let Some(piece) = batch.on_their_way.pop_front() else { return Ok(()) };
        let place = batch
            .reads
            .get_mut(piece.request)
            .and_then(|read| read.buf.get_mut(piece.offset..piece.offset.checked_add(piece.len_bytes)?))
            .unwrap_or_default();
        let reason = match read_reply(self.read_packet, payload, place) {
            ReadReply::Bytes(0) => "no byte could be read".into(),
            ReadReply::Bytes(len) => match piece.rest(len) {
                None => return Ok(()),
                Some(rest) if !self.profile.burst => {
                    batch.plan.again(rest);
                    return Ok(());
                }
                Some(_) => format!("{len} bytes came back"),
            },
            ReadReply::Refused(reason) => reason,
            ReadReply::Senseless => {
                let detail = format!("{} bytes that are no memory", payload.len());
                return Err(self.wire.senseless(&operation_of(&piece), detail));
            }
        };
        batch.plan.clear();
        batch.refused.get_or_insert_with(|| self.wire.refused(&operation_of(&piece), reason));
        Ok(())
    }
}
