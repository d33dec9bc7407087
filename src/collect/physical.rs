//! A link whose addresses are physical ones.
//!
//! What enters is a link that [can read](covtap_link::Link::physical) at physical addresses; what leaves is a link that
//! reads nowhere else. All other powers are those of the link within, but for those that go by virtual addresses.

use std::time::Duration;

use covtap_link::{
    HoldBeforeLoss, Link, LinkError, LinkInfo, Operation, PhysicalMemory, ReadMemory, ReadReport,
    ReadRequest, TargetAddr, TargetEvents,
};

/// A link that reads the target's memory at physical addresses, past all page tables.
pub struct PhysicalLink(Box<dyn Link>);

impl PhysicalLink {
    /// Reads through `link`.
    ///
    /// # Errors
    ///
    /// [`LinkError::Unsupported`] if the link cannot read at physical addresses.
    pub fn new(mut link: Box<dyn Link>) -> Result<Self, LinkError> {
        if link.physical().is_none() {
            return Err(unsupported(&*link, Operation::Handshake));
        }
        Ok(Self(link))
    }

    /// Reading at physical addresses.
    pub(super) fn memory(&mut self) -> Result<&mut dyn PhysicalMemory, LinkError> {
        physical(&mut *self.0)
    }
}

/// Reading at physical addresses, where `link` can.
pub(super) fn physical(link: &mut dyn Link) -> Result<&mut dyn PhysicalMemory, LinkError> {
    let error = unsupported(link, Operation::Handshake);
    link.physical().ok_or(error)
}

fn unsupported(link: &dyn Link, operation: Operation) -> LinkError {
    let reason = "this way to the target knows no physical addresses".to_owned();
    LinkError::Unsupported { operation, endpoint: link.info().endpoint, reason }
}

impl ReadMemory for PhysicalLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        if let Some(memory) = self.0.physical() {
            return memory.read_physical(reads);
        }
        let addr = reads.first().map_or(TargetAddr::new(0), |read| read.addr);
        let len_bytes = reads.iter().map(|read| read.buf.len() as u64).sum();
        Err(unsupported(&*self.0, Operation::Read { addr, len_bytes }))
    }
}

impl Link for PhysicalLink {
    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        self.0.detach()
    }

    fn pause_of_failures(&mut self) -> Duration {
        self.0.pause_of_failures()
    }

    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        self.0.physical()
    }

    fn hold(&mut self) -> Option<&mut dyn HoldBeforeLoss> {
        self.0.hold()
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        self.0.events()
    }
}
