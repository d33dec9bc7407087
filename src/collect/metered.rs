//! A link whose pauses are added up, so that none is forgotten when a session says what it did to the workload.

use std::time::Duration;

use covtap_link::{
    AddrRange, Link, LinkError, LinkInfo, LogBlocks, MappedFile, PhysicalMemory, ReadReport, ReadRequest,
    RunControl, SamplePc, TargetEvent,
};

use super::CollectError;
use super::physical::physical;

/// A link, and for how long it has stopped the workload so far: to attach, for every read, and to detach.
pub struct MeteredLink {
    link: Box<dyn Link>,
    pause: Duration,
}

impl MeteredLink {
    /// Meters `link`, from the moment it was made.
    #[must_use]
    pub fn new(link: Box<dyn Link>) -> Self {
        let pause = link.info().attach_pause;
        Self { link, pause }
    }

    /// What is known of the target.
    #[must_use]
    pub fn info(&self) -> LinkInfo {
        self.link.info()
    }

    /// For how long the workload was stopped, all together.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// The same after an earlier link to the same target, with its pauses.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        self.pause += earlier.pause;
        self
    }

    /// Makes sure that this may be read once, and that again and again: it takes no halt, or one that was allowed.
    ///
    /// # Errors
    ///
    /// It takes halts that were not allowed, and for how long at most; or the link failed.
    pub fn may_read(&mut self, once: &[AddrRange], each_time: &[AddrRange]) -> Result<(), CollectError> {
        let Some(halting) = self.link.halting() else { return Ok(()) };
        let (Some(once), Some(each)) = (halting.pause_of(once)?, halting.pause_of(each_time)?) else {
            return Ok(());
        };
        let [once_ms, each_ms] =
            [once, each].map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
        Err(CollectError::WouldHalt { endpoint: self.link.info().endpoint, once_ms, each_ms })
    }

    /// Has the target held before a reset or its end.
    ///
    /// # Errors
    ///
    /// The link cannot do it.
    pub fn arm(&mut self) -> Result<(), CollectError> {
        match self.link.hold() {
            Some(hold) => Ok(hold.arm()?),
            None => Err(CollectError::NoHold { endpoint: self.link.info().endpoint }),
        }
    }

    /// Lets a target go on that is held before a reset or its end.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer.
    pub fn release(&mut self) -> Result<(), LinkError> {
        if let Some(hold) = self.link.hold() {
            self.pause += hold.release()?;
        }
        Ok(())
    }

    /// Stop, resume, breakpoints and registers, where the link has them. Whoever stops the target
    /// [adds](Self::add_pause) what that took.
    pub(super) fn control(&mut self) -> Option<&mut dyn RunControl> {
        self.link.control()
    }

    /// A log of which code is executed, where the link has one. Whoever begins it [adds](Self::add_pause) what that took.
    pub(super) fn block_log(&mut self) -> Option<&mut dyn LogBlocks> {
        self.link.block_log()
    }

    /// Program counters without a halt, where the link has them.
    pub fn sampler(&mut self) -> Option<&mut dyn SamplePc> {
        self.link.sampler()
    }

    /// Whether the link logs which code is executed.
    pub fn has_block_log(&mut self) -> bool {
        self.link.block_log().is_some()
    }

    /// [Rewrites](covtap_link::rewrite) memory of a target that stands still.
    pub(super) fn rewrite(&mut self, ranges: Vec<AddrRange>) -> Result<u64, LinkError> {
        covtap_link::rewrite(&mut *self.link, ranges)
    }

    /// The workload was stopped so long, beside reads.
    pub(super) fn add_pause(&mut self, pause: Duration) {
        self.pause += pause;
    }

    /// Reads several ranges.
    ///
    /// # Errors
    ///
    /// Any range that could not be read whole.
    pub fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let read = self.link.read_many(reads);
        self.pause += read.as_ref().map_or_else(|_| self.link.pause_of_failures(), |report| report.pause);
        read
    }

    /// How often events are to be looked for; `None` where the link is told of none.
    pub fn look_every(&mut self) -> Option<Duration> {
        self.link.events().map(|events| events.look_every())
    }

    /// Whether its server has said that the target ended. What it said else is passed over.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    pub fn has_exited(&mut self) -> Result<bool, LinkError> {
        while let Some(event) = self.poll()? {
            if event == TargetEvent::Exited {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next event that has already arrived; none where the link is told of none.
    ///
    /// # Errors
    ///
    /// The link failed while it looked.
    pub fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        self.link.events().map_or(Ok(None), |events| events.poll())
    }

    /// The files that the target has mapped; `None` where the link does not tell.
    ///
    /// # Errors
    ///
    /// The list could not be read.
    pub fn mapped_files(&mut self) -> Result<Option<Vec<MappedFile>>, LinkError> {
        self.link.mapped_files().map(|mapped| mapped.files()).transpose()
    }

    /// Leaves the target as it was found.
    ///
    /// # Errors
    ///
    /// The server refused or did not answer.
    pub fn detach(&mut self) -> Result<(), LinkError> {
        let detached = self.link.detach();
        self.pause += detached.as_ref().map_or_else(|_| self.link.pause_of_failures(), |pause| *pause);
        detached.map(|_| ())
    }
}

impl PhysicalMemory for MeteredLink {
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError> {
        physical(&mut *self.link)?.ranges()
    }

    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let report = physical(&mut *self.link)?.read_physical(reads)?;
        self.pause += report.pause;
        Ok(report)
    }
}
