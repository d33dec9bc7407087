//! Faults that a real target shows seldom, on demand.
//!
//! What enters are numbers of transfers, or a seed and a probability; what leaves is the fault that is due at a transfer.
//! The same seed gives the same faults at the same transfers.

use std::collections::BTreeMap;

/// Something that goes wrong between a debugger and its target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The access port is busy: as many of the next transfers that need it are answered WAIT. On RISC-V as many of the
    /// next operations are still in progress at the scan after them.
    Wait {
        /// How many.
        times: u32,
    },
    /// RISC-V's system bus is busy: as many of the next accesses of its registers that would have an access of memory are
    /// lost, and sbbusyerror stays until it is cleared. An access port is never found so.
    SystemBusBusy {
        /// How many.
        times: u32,
    },
    /// The next access of memory is a bus fault: it is answered FAULT, and the sticky error stays until it is cleared. On
    /// RISC-V the system bus gives 0 and sberror, and a program buffer has an exception.
    BusFault,
    /// As [`BusFault`](Self::BusFault), but on an access port answered OK with 0 as data, as are all accesses until the sticky error is
    /// cleared. Some JTAG adapters do not look at the acknowledgement.
    SilentBusFault,
    /// Nobody acknowledges, and TDO is high, until it is [mended](crate::Dap::mend).
    LinkLoss,
    /// DPIDR, or RISC-V's IDCODE, reads as something else, until it is mended.
    WrongIdcode(u32),
    /// The debug domain lost its power and all it held, DEMCR among it: the acknowledgements of power are gone, and the
    /// access port reads as 0, answered OK. It comes back when power is requested again. On RISC-V dmactive is 0.
    PowerLoss,
    /// The chip is locked until it is mended: CSW.DeviceEn is 0, and each access of memory is a bus fault. On RISC-V the
    /// debugger is not authenticated.
    Locked,
    /// The target is reset, by its watchdog say.
    TargetReset,
}

/// Decides which transfer has a fault.
#[derive(Clone, Default, Debug)]
pub struct Injector {
    at: BTreeMap<u64, Fault>,
    random: Option<Random>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Random {
    rng: fastrand::Rng,
    probability: f64,
    faults: Vec<Fault>,
}

impl Injector {
    /// One that injects nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at a transfer. The first one after the injector was put in place is number 0.
    #[must_use]
    pub fn at(mut self, transfer: u64, fault: Fault) -> Self {
        self.at.insert(transfer, fault);
        self
    }

    /// Has each transfer, with a probability between 0 and 1, meet one of `faults`.
    #[must_use]
    pub fn at_random(mut self, seed: u64, probability: f64, faults: impl Into<Vec<Fault>>) -> Self {
        self.random =
            Some(Random { rng: fastrand::Rng::with_seed(seed), probability, faults: faults.into() });
        self
    }

    /// The fault of the transfer that begins now.
    pub(crate) fn due(&mut self) -> Option<Fault> {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let random = self.random.as_mut().and_then(Random::due);
        self.at.remove(&number).or(random)
    }
}

impl Random {
    fn due(&mut self) -> Option<Fault> {
        let is_due = self.rng.f64() < self.probability;
        is_due.then(|| self.rng.choice(&self.faults).copied()).flatten()
    }
}

/// What is wrong now.
#[derive(Clone, Default, Debug)]
pub(crate) struct Conditions {
    pub(crate) waits_left: u32,
    pub(crate) bus_busy_left: u32,
    pub(crate) bus_fault: Option<Announced>,
    pub(crate) is_link_lost: bool,
    pub(crate) idcode: Option<u32>,
    pub(crate) has_lost_power: bool,
    pub(crate) is_locked: bool,
}

/// Whether a bus fault is told when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announced {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(mut injector: Injector) -> Vec<u64> {
        (0..1000).filter(|_| injector.due().is_some()).collect()
    }

    #[test]
    fn a_fault_is_due_once_at_its_transfer() {
        let mut injector = Injector::new().at(2, Fault::BusFault).at(0, Fault::LinkLoss);
        let due: Vec<_> = (0..4).map(|_| injector.due()).collect();
        assert_eq!(due, [Some(Fault::LinkLoss), None, Some(Fault::BusFault), None]);
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let random = |seed| Injector::new().at_random(seed, 0.1, [Fault::BusFault]);
        assert_eq!(schedule(random(1)), schedule(random(1)));
        assert_ne!(schedule(random(1)), schedule(random(2)));
        let count = schedule(random(1)).len();
        assert!((50..200).contains(&count), "{count}");
        assert!(schedule(Injector::new().at_random(1, 0.0, [Fault::BusFault])).is_empty());
        assert!(schedule(Injector::new().at_random(1, 1.0, [])).is_empty());
    }
}
