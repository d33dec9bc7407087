//! A RISC-V debug module's way to memory that no hart has a part in (RISC-V External Debug Support 0.13.2, 3.10).
//!
//! What enters are accesses of sbcs, sbaddress0 and sbdata0; what leaves are values of them, and accesses of memory.
//!
//! What always holds: after an error, or an access that found the bus busy, no access is made until the debugger has
//! cleared what tells of it.

use crate::processor::BusError;
use crate::riscv::dmi::{
    SBACCESS, SBACCESS_32, SBAUTOINCREMENT, SBBUSYERROR, SBERROR, SBREADONADDR, SBREADONDATA, SBVERSION,
};
use crate::riscv::reach::Reach;

/// Version 1, addresses of 32 bits, accesses of 8, 16 and 32 bits.
const FIXED: u32 = SBVERSION | 32 << 5 | 0b111;
const WRITABLE: u32 = SBREADONADDR | SBACCESS | SBAUTOINCREMENT | SBREADONDATA;
/// sbcs.sberror: nobody has answered.
const TIMEOUT: u32 = 1 << 12;
/// sbcs.sberror: nothing is there.
const BAD_ADDRESS: u32 = 2 << 12;
/// sbcs.sberror: the address is no multiple of the size.
const ALIGNMENT: u32 = 3 << 12;
/// sbcs.sberror: the size is not one of those that there are.
const SIZE: u32 = 4 << 12;

/// The registers of the system bus.
#[derive(Debug)]
pub(crate) struct SystemBus {
    control: u32,
    errors: u32,
    address: u32,
    data: u32,
}

impl SystemBus {
    pub(crate) fn new() -> Self {
        Self { control: SBACCESS_32, errors: 0, address: 0, data: 0 }
    }

    pub(crate) fn sbcs(&self) -> u32 {
        FIXED | self.control | self.errors
    }

    pub(crate) fn sbaddress0(&self) -> u32 {
        self.address
    }

    pub(crate) fn write_sbcs(&mut self, value: u32) {
        self.errors &= !(value & (SBBUSYERROR | SBERROR));
        self.control = value & WRITABLE;
    }

    pub(crate) fn write_sbaddress0(&mut self, value: u32, reach: &mut Reach<'_>) {
        if self.is_busy(reach) {
            return;
        }
        self.address = value;
        if self.control & SBREADONADDR != 0 {
            self.read(reach);
        }
    }

    pub(crate) fn read_sbdata0(&mut self, reach: &mut Reach<'_>) -> u32 {
        let data = self.data;
        if !self.is_busy(reach) && self.control & SBREADONDATA != 0 {
            self.read(reach);
        }
        data
    }

    pub(crate) fn write_sbdata0(&mut self, value: u32, reach: &mut Reach<'_>) {
        if self.is_busy(reach) {
            return;
        }
        self.data = value;
        let Some(size) = self.begin() else { return };
        reach.stats.system_bus_writes += 1;
        let bytes = value.to_le_bytes();
        let done = reach.write_memory(self.address, bytes.get(..size).unwrap_or_default());
        self.end(done);
    }

    /// Whether this access finds another under way, which is an error.
    fn is_busy(&mut self, reach: &mut Reach<'_>) -> bool {
        let is_busy = reach.conditions.bus_busy_left.checked_sub(1);
        if let (Some(left), 0) = (is_busy, self.errors) {
            reach.conditions.bus_busy_left = left;
            self.errors = SBBUSYERROR;
            return true;
        }
        false
    }

    fn read(&mut self, reach: &mut Reach<'_>) {
        let Some(size) = self.begin() else { return };
        reach.stats.system_bus_reads += 1;
        let mut bytes = [0; 4];
        let done = reach.read_memory(self.address, bytes.get_mut(..size).unwrap_or_default());
        self.data = if done.is_ok() { u32::from_le_bytes(bytes) } else { 0 };
        self.end(done);
    }

    /// How many bytes the access has, if it can be made.
    fn begin(&mut self) -> Option<usize> {
        if self.errors != 0 {
            return None;
        }
        let size = match (self.control & SBACCESS) >> 17 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => {
                self.errors = SIZE;
                return None;
            }
        };
        let is_aligned = usize::try_from(self.address).is_ok_and(|address| address % size == 0);
        if !is_aligned {
            self.errors = ALIGNMENT;
        }
        is_aligned.then_some(size)
    }

    fn end(&mut self, done: Result<(), BusError>) {
        match done {
            Ok(()) if self.control & SBAUTOINCREMENT != 0 => {
                self.address = self.address.wrapping_add(1 << ((self.control & SBACCESS) >> 17));
            }
            Ok(()) => {}
            Err(BusError::Fault) => self.errors = BAD_ADDRESS,
            Err(BusError::Gone) => self.errors = TIMEOUT,
        }
    }
}
