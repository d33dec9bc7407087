//! Where a processor is, by a register that shows it or by what it sends, while it runs on.
//!
//! What always holds: the target is not halted; what is counted is samples, in bursts as close together as the link takes
//! them: how often is where it spends its time, and what is never met may have run.

use std::time::{Duration, Instant};

use covtap_insn::Insn;
use covtap_link::Burst;

use super::{Code, Ended, Limits, Seen, TraceError};
use crate::collect::MeteredLink;
use crate::profile::trace::{Counting, Trace};

/// What sampling without a halt has come to.
#[derive(Default)]
pub struct PcSamples {
    /// Where the processor was.
    pub seen: Seen,
    /// How many samples showed no place: the processor slept, or was halted.
    pub nowhere: u64,
    /// How many there were in all, and should have been.
    pub all: Burst,
    /// How long it took.
    pub elapsed: Duration,
    endpoint: String,
}

impl PcSamples {
    /// Takes samples until it has to end; what was seen before an error is there.
    ///
    /// # Errors
    ///
    /// The link has no samples.
    pub fn take(
        link: &mut MeteredLink,
        limits: &Limits<'_>,
    ) -> Result<(Self, Result<Ended, TraceError>), TraceError> {
        let endpoint = link.info().endpoint;
        let Some(sampler) = link.sampler() else { return Err(TraceError::NoSamples { endpoint }) };
        let began = Instant::now();
        let mut taken = Self { endpoint, ..Self::default() };
        let mut places = Vec::new();
        let ended = loop {
            if let Some(ended) = limits.reached(began) {
                break Ok(ended);
            }
            match sampler.sample(&mut places) {
                Ok(burst) => {
                    taken.nowhere += burst.num.saturating_sub(places.len() as u64);
                    taken.all += burst;
                }
                Err(error) => break Err(error.into()),
            }
            places.drain(..).for_each(|at| taken.seen.sampled(at.get()));
        };
        taken.elapsed = began.elapsed();
        Ok((taken, ended))
    }

    /// What was seen, by the code of the images.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn trace<I: Iterator<Item = Insn>>(
        &self,
        codes: impl IntoIterator<Item = Code<I>>,
    ) -> Result<Trace, TraceError> {
        let too_large = |source| TraceError::TooLarge { endpoint: self.endpoint.clone(), source };
        self.seen.trace(Counting::Samples, codes).map_err(too_large)
    }
}
