//! What a debug sequence of `probe-rs` writes is remembered: it does not tell what it changes, and changes nothing back.
//!
//! What enters are a sequence's accesses; what leaves are the same, and before each write what the words were. Of the wire
//! below memory nothing is remembered.

use std::collections::BTreeSet;
use std::time::Duration;

use probe_rs::architecture::arm::ap::CSW;
use probe_rs::architecture::arm::dp::{DpAddress, DpRegisterAddress};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::{
    ArmDebugInterface, ArmError, DapAccess, DapProbe, FullyQualifiedApAddress, SwdSequence, SwoAccess,
    SwoConfig,
};
use probe_rs::probe::fake_probe::FakeProbe;
use probe_rs::probe::{DebugProbeError, Probe};
use probe_rs::{CoreStatus, MemoryInterface};

use crate::changed::Changed;

/// A debug port whose memory is [changed](Changed) for a while.
pub(crate) struct Recorded<'a> {
    pub(crate) arm: &'a mut dyn ArmDebugInterface,
    pub(crate) changed: &'a mut Changed,
}

impl ArmDebugInterface for Recorded<'_> {
    fn reinitialize(&mut self) -> Result<(), ArmError> {
        self.arm.reinitialize()
    }

    fn access_ports(&mut self, dp: DpAddress) -> Result<BTreeSet<FullyQualifiedApAddress>, ArmError> {
        self.arm.access_ports(dp)
    }

    /// What is lent here is closed by its owner: nobody has this in a box.
    fn close(self: Box<Self>) -> Probe {
        Probe::new(FakeProbe::new())
    }

    fn select_debug_port(&mut self, dp: DpAddress) -> Result<(), ArmError> {
        self.arm.select_debug_port(dp)
    }

    fn current_debug_port(&self) -> Option<DpAddress> {
        self.arm.current_debug_port()
    }

    fn memory_interface(
        &mut self,
        access_port: &FullyQualifiedApAddress,
    ) -> Result<Box<dyn ArmMemoryInterface + '_>, ArmError> {
        let memory = self.arm.memory_interface(access_port)?;
        Ok(Box::new(RecordedMemory { memory, changed: self.changed }))
    }
}

impl DapAccess for Recorded<'_> {
    fn read_raw_dp_register(&mut self, dp: DpAddress, address: DpRegisterAddress) -> Result<u32, ArmError> {
        self.arm.read_raw_dp_register(dp, address)
    }

    fn write_raw_dp_register(
        &mut self,
        dp: DpAddress,
        address: DpRegisterAddress,
        value: u32,
    ) -> Result<(), ArmError> {
        self.arm.write_raw_dp_register(dp, address, value)
    }

    fn read_raw_ap_register(&mut self, ap: &FullyQualifiedApAddress, address: u64) -> Result<u32, ArmError> {
        self.arm.read_raw_ap_register(ap, address)
    }

    fn write_raw_ap_register(
        &mut self,
        ap: &FullyQualifiedApAddress,
        address: u64,
        value: u32,
    ) -> Result<(), ArmError> {
        self.arm.write_raw_ap_register(ap, address, value)
    }

    fn flush(&mut self) -> Result<(), ArmError> {
        self.arm.flush()
    }

    fn try_dap_probe(&self) -> Option<&dyn DapProbe> {
        self.arm.try_dap_probe()
    }

    fn try_dap_probe_mut(&mut self) -> Option<&mut dyn DapProbe> {
        self.arm.try_dap_probe_mut()
    }
}

impl SwdSequence for Recorded<'_> {
    fn swj_sequence(&mut self, bit_len: u8, bits: u64) -> Result<(), DebugProbeError> {
        self.arm.swj_sequence(bit_len, bits)
    }

    fn swj_pins(&mut self, out: u32, select: u32, wait: u32) -> Result<u32, DebugProbeError> {
        self.arm.swj_pins(out, select, wait)
    }
}

impl SwoAccess for Recorded<'_> {
    fn enable_swo(&mut self, config: &SwoConfig) -> Result<(), ArmError> {
        self.arm.enable_swo(config)
    }

    fn disable_swo(&mut self) -> Result<(), ArmError> {
        self.arm.disable_swo()
    }

    fn read_swo_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ArmError> {
        self.arm.read_swo_timeout(timeout)
    }
}

struct RecordedMemory<'a> {
    memory: Box<dyn ArmMemoryInterface + 'a>,
    changed: &'a mut Changed,
}

impl RecordedMemory<'_> {
    /// Remembers the words that have so many bytes. `first` is what is written first.
    fn remember(&mut self, address: u64, len_bytes: usize, first: u32) -> Result<(), ArmError> {
        let end = address.checked_add(len_bytes as u64).ok_or(ArmError::OutOfBounds)?;
        for word in (address & !3..end).step_by(4) {
            let remembered = self.changed.remember(&mut *self.memory, word, first);
            remembered.map_err(|fault| ArmError::Other(fault.to_string()))?;
        }
        Ok(())
    }
}

impl MemoryInterface<ArmError> for RecordedMemory<'_> {
    fn supports_native_64bit_access(&mut self) -> bool {
        self.memory.supports_native_64bit_access()
    }

    fn read_64(&mut self, address: u64, data: &mut [u64]) -> Result<(), ArmError> {
        self.memory.read_64(address, data)
    }

    fn read_32(&mut self, address: u64, data: &mut [u32]) -> Result<(), ArmError> {
        self.memory.read_32(address, data)
    }

    fn read_16(&mut self, address: u64, data: &mut [u16]) -> Result<(), ArmError> {
        self.memory.read_16(address, data)
    }

    fn read_8(&mut self, address: u64, data: &mut [u8]) -> Result<(), ArmError> {
        self.memory.read_8(address, data)
    }

    fn write_64(&mut self, address: u64, data: &[u64]) -> Result<(), ArmError> {
        self.remember(address, size_of_val(data), 0)?;
        self.memory.write_64(address, data)
    }

    fn write_32(&mut self, address: u64, data: &[u32]) -> Result<(), ArmError> {
        self.remember(address, size_of_val(data), data.first().copied().unwrap_or(0))?;
        self.memory.write_32(address, data)
    }

    fn write_16(&mut self, address: u64, data: &[u16]) -> Result<(), ArmError> {
        self.remember(address, size_of_val(data), 0)?;
        self.memory.write_16(address, data)
    }

    fn write_8(&mut self, address: u64, data: &[u8]) -> Result<(), ArmError> {
        self.remember(address, data.len(), 0)?;
        self.memory.write_8(address, data)
    }

    fn supports_8bit_transfers(&self) -> Result<bool, ArmError> {
        self.memory.supports_8bit_transfers()
    }

    fn flush(&mut self) -> Result<(), ArmError> {
        self.memory.flush()
    }
}

impl ArmMemoryInterface for RecordedMemory<'_> {
    fn fully_qualified_address(&self) -> FullyQualifiedApAddress {
        self.memory.fully_qualified_address()
    }

    fn base_address(&mut self) -> Result<u64, ArmError> {
        self.memory.base_address()
    }

    fn get_arm_debug_interface(&mut self) -> Result<&mut dyn ArmDebugInterface, DebugProbeError> {
        self.memory.get_arm_debug_interface()
    }

    fn generic_status(&mut self) -> Result<CSW, ArmError> {
        self.memory.generic_status()
    }

    fn update_core_status(&mut self, state: CoreStatus) {
        self.memory.update_core_status(state);
    }
}
