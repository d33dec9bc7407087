//! A link to nothing, whose faults are written down beforehand: for tests of everything above the seam.
//!
//! What always holds: reads are answered from memory given at the start, except where a [`Fault`] says
//! otherwise; what happened is counted, so that a test can tell how often the target was read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::{
    AddrRange, Effect, Endianness, Link, LinkError, LinkInfo, Operation, PhysicalMemory, PointerWidth,
    ReadMemory, ReadReport, ReadRequest, TargetAddr, TargetEvent, TargetEvents,
};

/// What goes wrong, or changes, at one read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The server sent fewer bytes than it was asked for.
    ShortRead,
    /// The server refuses this one read.
    Refuse,
    /// No answer comes.
    Timeout,
    /// The other side goes away, for this read and every later one.
    Disconnect,
    /// The target ends in order, and the other side goes away with it.
    End,
    /// Before the read, the target has written these bytes at this address.
    Change(TargetAddr, Vec<u8>),
    /// Before the read, the link is told of this.
    Tell(TargetEvent),
    /// During the read, after its first `after_bytes` bytes, the target writes these bytes at this address.
    ChangeDuring {
        /// How many bytes of the read still show the old memory.
        after_bytes: usize,
        /// Where the target writes.
        addr: TargetAddr,
        /// What it writes.
        bytes: Vec<u8>,
    },
    /// During the read the target is reset: every byte from `after_bytes` on is zero, and so is all memory
    /// afterwards; the event follows.
    Reset {
        /// How many bytes of the read still show the old memory.
        after_bytes: usize,
    },
}

/// A target of a few ranges of memory, with a list of faults.
#[derive(Debug)]
pub struct ScriptedLink {
    memory: BTreeMap<u64, Vec<u8>>,
    is_physical: bool,
    faults: BTreeMap<u64, Vec<Fault>>,
    events: VecDeque<TargetEvent>,
    reads_done: u64,
    disconnected: bool,
    detached: bool,
    tell_detached: Option<Sender<()>>,
    info: LinkInfo,
    pause_per_read: Duration,
}

impl ScriptedLink {
    /// A target with the given ranges of memory; they must not overlap.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = (TargetAddr, Vec<u8>)>) -> Self {
        Self {
            memory: ranges.into_iter().map(|(addr, bytes)| (addr.get(), bytes)).collect(),
            is_physical: false,
            faults: BTreeMap::new(),
            events: VecDeque::new(),
            reads_done: 0,
            disconnected: false,
            detached: false,
            tell_detached: None,
            info: LinkInfo {
                endpoint: "scripted".into(),
                server: "scripted link".into(),
                architecture: None,
                endianness: Some(Endianness::Little),
                pointer_width: Some(PointerWidth::Bits32),
                effect: Effect::Free,
                attach_pause: Duration::ZERO,
            },
            pause_per_read: Duration::ZERO,
        }
    }

    /// Lets `fault` happen at the `n`-th call of `read_many`, counted from 0. Several may share a read.
    #[must_use]
    pub fn with_fault(mut self, n: u64, fault: Fault) -> Self {
        self.faults.entry(n).or_default().push(fault);
        self
    }

    /// Lets every read report this pause, and so attaching and detaching, as a link does that stops its target.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause_per_read = pause;
        self.info.attach_pause = pause;
        self.info.effect = Effect::Pauses;
        self
    }

    /// Lets the memory be read by physical addresses too, which are the same ones.
    #[must_use]
    pub fn with_physical(mut self) -> Self {
        self.is_physical = true;
        self
    }

    /// Sends a word when the link is detached, for a test that waits for it.
    #[must_use]
    pub fn telling_detached(mut self, sender: Sender<()>) -> Self {
        self.tell_detached = Some(sender);
        self
    }

    /// How often memory was read, failures included.
    #[must_use]
    pub fn reads_done(&self) -> u64 {
        self.reads_done
    }

    /// Whether the link was detached.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    fn fill(&self, addr: TargetAddr, buf: &mut [u8]) -> Result<(), LinkError> {
        let refused = || LinkError::Refused {
            operation: operation(addr, buf.len()),
            endpoint: self.info.endpoint.clone(),
            reason: "no memory there".into(),
        };
        let (start, bytes) = self.memory.range(..=addr.get()).next_back().ok_or_else(refused)?;
        let found = usize::try_from(addr.get() - start)
            .ok()
            .and_then(|offset| Some(offset..offset.checked_add(buf.len())?))
            .and_then(|range| bytes.get(range))
            .ok_or_else(refused)?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn store(&mut self, addr: TargetAddr, new: &[u8]) {
        for (start, bytes) in &mut self.memory {
            for (i, byte) in (addr.get()..).zip(new) {
                let slot =
                    i.checked_sub(*start).and_then(|offset| bytes.get_mut(usize::try_from(offset).ok()?));
                if let Some(slot) = slot {
                    *slot = *byte;
                }
            }
        }
    }

    fn fail(&mut self, fault: &Fault, operation: Operation) -> Result<(), LinkError> {
        let endpoint = self.info.endpoint.clone();
        match fault {
            Fault::ShortRead => {
                Err(LinkError::Protocol { operation, endpoint, detail: "fewer bytes than asked for".into() })
            }
            Fault::Refuse => Err(LinkError::Refused { operation, endpoint, reason: "E22".into() }),
            Fault::Timeout => Err(LinkError::Timeout { operation, endpoint, waited_ms: 2000 }),
            Fault::Disconnect => {
                self.disconnected = true;
                Err(LinkError::Closed { operation, endpoint })
            }
            Fault::End => {
                self.disconnected = true;
                self.events.push_back(TargetEvent::Exited);
                Err(LinkError::Closed { operation, endpoint })
            }
            Fault::Change(addr, bytes) => {
                self.store(*addr, bytes);
                Ok(())
            }
            Fault::Tell(event) => {
                self.events.push_back(event.clone());
                Ok(())
            }
            Fault::ChangeDuring { .. } | Fault::Reset { .. } => Ok(()),
        }
    }

    /// Reads everything again as it is after a change, and keeps the new bytes from `after_bytes` on.
    fn overlay(&self, reads: &mut [ReadRequest<'_>], after_bytes: usize) -> Result<(), LinkError> {
        let mut seen = 0usize;
        for read in reads {
            let mut new = vec![0; read.buf.len()];
            self.fill(read.addr, &mut new)?;
            let keep = after_bytes.saturating_sub(seen).min(read.buf.len());
            for (old, new) in read.buf.iter_mut().zip(&new).skip(keep) {
                *old = *new;
            }
            seen = seen.saturating_add(read.buf.len());
        }
        Ok(())
    }

    fn happen_during(&mut self, fault: Fault, reads: &mut [ReadRequest<'_>]) -> Result<(), LinkError> {
        match fault {
            Fault::ChangeDuring { after_bytes, addr, bytes } => {
                self.store(addr, &bytes);
                self.overlay(reads, after_bytes)
            }
            Fault::Reset { after_bytes } => {
                self.memory.values_mut().for_each(|bytes| bytes.fill(0));
                self.events.push_back(TargetEvent::Reset);
                self.overlay(reads, after_bytes)
            }
            _ => Ok(()),
        }
    }
}

fn operation(addr: TargetAddr, len_bytes: usize) -> Operation {
    Operation::Read { addr, len_bytes: len_bytes as u64 }
}

impl ReadMemory for ScriptedLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let first =
            reads.first().map_or(operation(TargetAddr::new(0), 0), |r| operation(r.addr, r.buf.len()));
        let faults = self.faults.remove(&self.reads_done).unwrap_or_default();
        self.reads_done += 1;
        if self.disconnected || self.detached {
            return Err(LinkError::Closed { operation: first, endpoint: self.info.endpoint.clone() });
        }
        for fault in &faults {
            self.fail(fault, first.clone())?;
        }
        for read in reads.iter_mut() {
            self.fill(read.addr, read.buf)?;
        }
        for fault in faults {
            self.happen_during(fault, reads)?;
        }
        Ok(ReadReport { elapsed: self.pause_per_read, pause: self.pause_per_read })
    }
}

impl PhysicalMemory for ScriptedLink {
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError> {
        let range =
            |(start, bytes): (&u64, &Vec<u8>)| AddrRange::new(TargetAddr::new(*start), bytes.len() as u64);
        Ok(self.memory.iter().filter_map(range).collect())
    }

    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_many(reads)
    }
}

impl TargetEvents for ScriptedLink {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        Ok(self.events.pop_front())
    }
}

impl Link for ScriptedLink {
    fn info(&self) -> LinkInfo {
        self.info.clone()
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        if std::mem::replace(&mut self.detached, true) {
            return Ok(Duration::ZERO);
        }
        if let Some(sender) = self.tell_detached.take() {
            // A test that no longer listens needs no word.
            let _ = sender.send(());
        }
        Ok(self.pause_per_read)
    }

    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        self.is_physical.then_some(self as &mut dyn PhysicalMemory)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: TargetAddr = TargetAddr::new(0x2000_0000);

    fn link() -> ScriptedLink {
        ScriptedLink::new([(BASE, (1..=16).collect())])
    }

    fn read(link: &mut ScriptedLink, len: usize) -> Result<Vec<u8>, LinkError> {
        let mut buf = vec![0; len];
        link.read(BASE, &mut buf).map(|_| buf)
    }

    #[test]
    fn reads_what_is_there_and_refuses_the_rest() {
        let mut link = link();
        assert_eq!(read(&mut link, 4).unwrap(), [1, 2, 3, 4]);
        let error = read(&mut link, 17).unwrap_err();
        assert_eq!(error.to_string(), "read 17 bytes at 0x20000000 on scripted: refused: no memory there");
    }

    #[test]
    fn the_nth_read_fails_and_the_next_one_works() {
        let mut link = link().with_fault(1, Fault::Timeout).with_fault(2, Fault::ShortRead);
        assert!(read(&mut link, 4).is_ok());
        assert!(matches!(read(&mut link, 4), Err(LinkError::Timeout { .. })));
        assert!(matches!(read(&mut link, 4), Err(LinkError::Protocol { .. })));
        assert!(read(&mut link, 4).is_ok());
        assert_eq!(link.reads_done(), 4);
    }

    #[test]
    fn physical_memory_is_there_only_if_it_was_asked_for() {
        assert!(Link::physical(&mut link()).is_none());
        let mut link = link().with_physical();
        let memory = Link::physical(&mut link).unwrap();
        assert_eq!(memory.ranges().unwrap(), [AddrRange::new(BASE, 16).unwrap()]);
        let mut buf = [0; 2];
        memory.read_physical(&mut [ReadRequest { addr: BASE, buf: &mut buf }]).unwrap();
        assert_eq!(buf, [1, 2]);
    }

    #[test]
    fn a_disconnect_lasts() {
        let mut link = link().with_fault(0, Fault::Disconnect);
        assert!(matches!(read(&mut link, 4), Err(LinkError::Closed { .. })));
        assert!(matches!(read(&mut link, 4), Err(LinkError::Closed { .. })));
    }

    #[test]
    fn memory_changes_before_and_during_a_read() {
        let mut link = link()
            .with_fault(0, Fault::Change(BASE, vec![9, 9]))
            .with_fault(1, Fault::ChangeDuring { after_bytes: 2, addr: BASE, bytes: vec![7; 4] });
        assert_eq!(read(&mut link, 4).unwrap(), [9, 9, 3, 4]);
        assert_eq!(read(&mut link, 4).unwrap(), [9, 9, 7, 7]);
        assert_eq!(read(&mut link, 4).unwrap(), [7, 7, 7, 7]);
    }

    #[test]
    fn a_reset_in_mid_read_leaves_zeros_and_an_event() {
        let mut link = link().with_fault(0, Fault::Reset { after_bytes: 3 });
        assert_eq!(link.events().unwrap().poll().unwrap(), None);
        assert_eq!(read(&mut link, 6).unwrap(), [1, 2, 3, 0, 0, 0]);
        assert_eq!(link.events().unwrap().poll().unwrap(), Some(TargetEvent::Reset));
        assert_eq!(read(&mut link, 2).unwrap(), [0, 0]);
    }
}
