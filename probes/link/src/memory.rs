//! Reading target memory.

use std::ops::AddAssign;
use std::time::Duration;

use crate::{LinkError, TargetAddr};

/// One range to read, and where its bytes go.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// The first address.
    pub addr: TargetAddr,
    /// Filled whole; its length is the number of bytes to read.
    pub buf: &'a mut [u8],
}

/// What a read cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReadReport {
    /// From the first request sent to the last byte received.
    pub elapsed: Duration,
    /// For how long the workload was stopped, as far as the host can tell: from the request to stop until the
    /// request to run on was sent. Zero only where nothing was stopped.
    pub pause: Duration,
}

impl AddAssign for ReadReport {
    fn add_assign(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.pause += other.pause;
    }
}

/// Memory of a target.
pub trait ReadMemory {
    /// Reads several ranges as close together in time as the link can; a link pipelines or batches here.
    ///
    /// # Errors
    ///
    /// Any range that could not be read whole; the buffers then hold nothing of use.
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError>;

    /// Fills `buf` from target memory at `addr`, or fails; never a short read.
    ///
    /// # Errors
    ///
    /// The range could not be read whole.
    fn read(&mut self, addr: TargetAddr, buf: &mut [u8]) -> Result<ReadReport, LinkError> {
        self.read_many(&mut [ReadRequest { addr, buf }])
    }
}
