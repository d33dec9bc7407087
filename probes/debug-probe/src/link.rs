//! A debug probe as a link.

use std::time::{Duration, Instant};

use covtap_link::{
    Effect, Endianness, HaltToRead, Link, LinkError, LinkInfo, Operation, ReadMemory, ReadReport,
    ReadRequest, SamplePc, TargetAddr,
};

use crate::Options;
use crate::attach::Begun;
use crate::memory::Words;
use crate::worker::Worker;

/// So many samples are taken at once: few enough that they are had soon, and enough that the address that is written before
/// them does not count.
const BURST: usize = 256;

/// A chip behind a debug probe.
#[derive(Debug)]
pub struct DebugProbe {
    worker: Worker,
    begun: Begun,
    endpoint: String,
    may_halt: bool,
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
        Ok(Self { worker, begun, endpoint: crate::choose::endpoint(options), may_halt: options.allow_halt })
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
        let (words, pause) = self.worker.read(words, &operation)?;
        for (read, words) in reads.iter_mut().zip(&words) {
            words.copy_to(read.addr.get(), read.buf);
        }
        Ok(ReadReport { elapsed: began.elapsed(), pause })
    }
}

impl SamplePc for DebugProbe {
    fn sample(&mut self, samples: &mut Vec<TargetAddr>) -> Result<usize, LinkError> {
        /// Nothing to be sampled, and a processor that sleeps or is halted.
        const NOWHERE: [u32; 2] = [0, u32::MAX];
        let taken = self.worker.sample(BURST, &Operation::Command("sample DWT_PCSR".to_owned()))?;
        samples.extend(
            taken.iter().filter(|at| !NOWHERE.contains(at)).map(|at| TargetAddr::new(u64::from(*at))),
        );
        Ok(taken.len())
    }
}

impl HaltToRead for DebugProbe {
    fn pause_of(&mut self, len_bytes: u64) -> Result<Option<Duration>, LinkError> {
        let operation = Operation::Command(format!("reckon a halt for {len_bytes} bytes"));
        self.worker.pause_of(len_bytes.div_ceil(4), &operation)
    }
}

impl Link for DebugProbe {
    fn info(&self) -> LinkInfo {
        let Begun { probe, speed_khz, chip, held, processor, effect, .. } = &self.begun;
        let chip = chip.as_deref().or(processor.map(|it| it.name)).unwrap_or("a chip of Arm's");
        LinkInfo {
            endpoint: self.endpoint.clone(),
            server: format!("{probe} at {speed_khz} kHz, {chip}"),
            architecture: processor.map(|it| it.architecture.to_owned()),
            endianness: processor.map(|_| Endianness::Little),
            pointer_width: processor.and_then(|it| it.pointer_width),
            effect: *effect,
            attach_pause: *held,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.worker.leave()?;
        Ok(Duration::ZERO)
    }

    fn sampler(&mut self) -> Option<&mut dyn SamplePc> {
        self.begun.is_sampled.then_some(self as &mut dyn SamplePc)
    }

    fn halting(&mut self) -> Option<&mut dyn HaltToRead> {
        (self.begun.effect == Effect::Pauses && !self.may_halt).then_some(self as &mut dyn HaltToRead)
    }
}
