//! A driver of probe-rs for a virtual probe in front of a RISC-V chip's TAP, in the same process.
//!
//! What enters are clocks of JTAG, which probe-rs makes of its scans; what leaves is what TDO was. What always holds:
//! probe-rs goes the way that it goes with a probe of FTDI's or Segger's, its batches and what it tries again among it.

use std::fmt;

use bitvec::vec::BitVec;
use probe_rs::architecture::riscv::communication_interface::{RiscvError, RiscvInterfaceBuilder};
use probe_rs::architecture::riscv::dtm::jtag_dtm::JtagDtmBuilder;
use probe_rs::probe::{
    AutoImplementJtagAccess, DebugProbe, DebugProbeError, JtagAccess, JtagDriverState, RawJtagIo,
    WireProtocol,
};

use super::common::{DEFAULT_SPEED_KHZ, of_every_probe};
use crate::riscv::Riscv;
use crate::tap::Tap;
use crate::{SharedRiscv, lock};

/// A probe that probe-rs drives, in front of a RISC-V chip that others look at too.
pub struct VirtualJtagProbe {
    chip: SharedRiscv,
    tap: Tap,
    state: JtagDriverState,
    captured: BitVec,
    speed_khz: u32,
}

impl VirtualJtagProbe {
    /// A probe in front of `chip`.
    #[must_use]
    pub fn new(chip: SharedRiscv) -> Self {
        Self {
            chip,
            tap: Tap::of::<Riscv>(),
            state: JtagDriverState::default(),
            captured: BitVec::new(),
            speed_khz: DEFAULT_SPEED_KHZ,
        }
    }
}

impl fmt::Debug for VirtualJtagProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualJtagProbe").field("tap", &self.tap).finish_non_exhaustive()
    }
}

impl DebugProbe for VirtualJtagProbe {
    of_every_probe!();

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        self.select_target(0)
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Jtag => Ok(()),
            other => Err(DebugProbeError::UnsupportedProtocol(other)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Jtag)
    }

    fn has_riscv_interface(&self) -> bool {
        true
    }

    fn try_as_jtag_probe(&mut self) -> Option<&mut dyn JtagAccess> {
        Some(self)
    }

    fn try_get_riscv_interface_builder<'probe>(
        &'probe mut self,
    ) -> Result<Box<dyn RiscvInterfaceBuilder<'probe> + 'probe>, RiscvError> {
        Ok(Box::new(JtagDtmBuilder::new(self)))
    }
}

impl AutoImplementJtagAccess for VirtualJtagProbe {}

impl RawJtagIo for VirtualJtagProbe {
    fn state_mut(&mut self) -> &mut JtagDriverState {
        &mut self.state
    }

    fn state(&self) -> &JtagDriverState {
        &self.state
    }

    fn shift_bit(&mut self, tms: bool, tdi: bool, capture: bool) -> Result<(), DebugProbeError> {
        self.state.state.update(tms);
        let tdo = self.tap.clock(tms, tdi, &mut *lock(&self.chip));
        if capture {
            self.captured.push(tdo);
        }
        Ok(())
    }

    fn read_captured_bits(&mut self) -> Result<BitVec, DebugProbeError> {
        Ok(std::mem::take(&mut self.captured))
    }
}
