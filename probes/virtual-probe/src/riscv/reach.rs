//! What a debug module reaches, by its system bus or by its hart.
//!
//! What enters are accesses; what leaves are bytes, values of registers, or that there are none. What always holds: each is
//! counted, and a bus fault that was asked for happens once.

use crate::faults::Conditions;
use crate::processor::BusError;
use crate::riscv::hart::Hart;
use crate::stats::Stats;

/// What a debug module reaches, and what is wrong on the way there.
pub(crate) struct Reach<'a> {
    pub(crate) hart: &'a mut Hart,
    pub(crate) conditions: &'a mut Conditions,
    pub(crate) stats: &'a mut Stats,
}

impl Reach<'_> {
    pub(crate) fn read_memory(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), BusError> {
        match self.conditions.bus_fault.take() {
            Some(_) => Err(BusError::Fault),
            None => self.hart.read_memory(address, bytes, self.stats),
        }
    }

    pub(crate) fn write_memory(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError> {
        match self.conditions.bus_fault.take() {
            Some(_) => Err(BusError::Fault),
            None => self.hart.write_memory(address, bytes, self.stats),
        }
    }

    pub(crate) fn read_register(&mut self, number: u16) -> Option<u32> {
        self.hart.read_register(number, self.stats)
    }

    pub(crate) fn write_register(&mut self, number: u16, value: u32) -> Option<()> {
        self.hart.write_register(number, value, self.stats)
    }
}
