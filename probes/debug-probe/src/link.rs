//! A debug probe as a link.

use std::time::{Duration, Instant};

use covtap_link::{
    AddrRange, Burst, Effect, Endianness, HaltToRead, Link, LinkError, LinkInfo, Operation, ReadMemory,
    ReadReport, ReadRequest, SamplePc, TargetAddr,
};

use crate::Options;
use crate::attach::Begun;
use crate::memory::{PIECE_BYTES, Words};
use crate::worker::Worker;

/// What taking samples is called, where the processor sends them.
pub const BY_SWO: &str = "receive samples by SWO";

/// A chip behind a debug probe.
#[derive(Debug)]
pub struct DebugProbe {
    worker: Worker,
    begun: Begun,
    endpoint: String,
    may_halt: bool,
    /// What taking samples is called.
    sampling: Operation,
}

impl DebugProbe {
    /// Opens a probe and begins with the chip, which runs on.
    ///
    /// # Errors
    ///
    /// There is no such probe, or more than one where none was named; the chip does not answer, is locked, or is another
    /// one than was said.
    pub fn open(options: &Options) -> Result<Self, LinkError> {
        let (worker, begun) = Worker::begin(options)?;
        let sampling = if options.swo.is_some() { BY_SWO } else { "sample DWT_PCSR" };
        let (endpoint, may_halt) = (crate::choose::endpoint(options), options.allow_halt);
        Ok(Self { worker, begun, endpoint, may_halt, sampling: Operation::Command(sampling.to_owned()) })
    }
}

impl Drop for DebugProbe {
    /// Nobody is told if that fails.
    fn drop(&mut self) {
        let _ = self.worker.leave();
    }
}

impl ReadMemory for DebugProbe {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let began = Instant::now();
        let Some(first) = reads.first() else { return Ok(ReadReport::default()) };
        let len_bytes = reads.iter().fold(0_u64, |sum, read| sum.saturating_add(read.buf.len() as u64));
        let operation = Operation::Read { addr: first.addr, len_bytes };
        let around = reads.iter().map(|read| Words::around(read.addr.get(), read.buf.len()));
        let words = around.collect::<Option<Vec<_>>>().ok_or_else(|| LinkError::Refused {
            operation: operation.clone(),
            endpoint: self.endpoint.clone(),
            reason: "it passes the end of the address space".to_owned(),
        })?;
        let words = self.worker.read(words, &operation)?;
        for (read, words) in reads.iter_mut().zip(&words) {
            words.copy_to(read.addr.get(), read.buf);
        }
        Ok(ReadReport { elapsed: began.elapsed(), pause: self.worker.take_pause() })
    }
}

impl SamplePc for DebugProbe {
    fn sample(&mut self, samples: &mut Vec<TargetAddr>) -> Result<Burst, LinkError> {
        let (taken, burst) = self.worker.sample(&self.sampling)?;
        samples.extend(taken.into_iter().map(|at| TargetAddr::new(u64::from(at))));
        Ok(burst)
    }
}

impl HaltToRead for DebugProbe {
    fn pause_of(&mut self, ranges: &[AddrRange]) -> Result<Option<Duration>, LinkError> {
        let (mut words, mut pieces) = (0_u64, 0_u64);
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let (start, last) = (range.start().get(), range.end().get().saturating_sub(1));
            words = words.saturating_add((last / 4).saturating_sub(start / 4)).saturating_add(1);
            pieces = pieces
                .saturating_add((last / PIECE_BYTES).saturating_sub(start / PIECE_BYTES))
                .saturating_add(1);
        }
        self.worker.pause_of(words, pieces, &Operation::Command("reckon the time of a halt".to_owned()))
    }
}

impl Link for DebugProbe {
    fn info(&self) -> LinkInfo {
        let Begun { probe, speed_khz, chip, held, processor, effect, .. } = &self.begun;
        let speed = if *speed_khz == 0 { String::new() } else { format!(" at {speed_khz} kHz") };
        let chip = chip.as_deref().or(processor.map(|it| it.name)).unwrap_or("a chip of Arm's");
        LinkInfo {
            endpoint: self.endpoint.clone(),
            server: format!("{probe}{speed}, {chip}"),
            architecture: processor.map(|it| it.architecture.to_owned()),
            endianness: processor.map(|_| Endianness::Little),
            pointer_width: processor.and_then(|it| it.pointer_width),
            effect: *effect,
            attach_pause: *held,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.worker.leave()?;
        Ok(self.worker.take_pause())
    }

    fn pause_of_failures(&mut self) -> Duration {
        self.worker.take_pause()
    }

    fn sampler(&mut self) -> Option<&mut dyn SamplePc> {
        self.begun.is_sampled.then_some(self as &mut dyn SamplePc)
    }

    fn halting(&mut self) -> Option<&mut dyn HaltToRead> {
        (self.begun.effect == Effect::Pauses && !self.may_halt).then_some(self as &mut dyn HaltToRead)
    }
}
