//! A driver of probe-rs for a virtual probe that moves a chip's wires: SWDIO, or TMS and TDI.
//!
//! What enters are levels, which probe-rs makes of its transfers and scans; what leaves are the levels that come back. What
//! always holds: probe-rs goes the way that it goes with a probe of FTDI's or Segger's, with its batches, its posted reads,
//! its overrun detection and what it tries again.

use std::fmt;
use std::sync::Arc;

use bitvec::vec::BitVec;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{ArmCommunicationInterface, ArmDebugInterface, ArmError, DapProbe};
use probe_rs::architecture::riscv::communication_interface::{RiscvError, RiscvInterfaceBuilder};
use probe_rs::architecture::riscv::dtm::jtag_dtm::JtagDtmBuilder;
use probe_rs::probe::{
    AutoImplementJtagAccess, DebugProbe, DebugProbeError, IoSequenceItem, JtagAccess, JtagDriverState,
    RawJtagIo, RawSwdIo, SwdSettings, WireProtocol,
};

use super::common::{DEFAULT_SPEED_KHZ, PINS_UNKNOWN, of_every_probe, reset_pin};
use crate::arm::swd::SwdLine;
use crate::tap::Tap;
use crate::{Dap, Riscv, SharedChip, lock};

/// A probe that moves the wires of a chip that others look at too.
pub struct WireProbe {
    chip: SharedChip,
    protocol: WireProtocol,
    tap: Tap,
    line: SwdLine,
    state: JtagDriverState,
    captured: BitVec,
    settings: SwdSettings,
    speed_khz: u32,
}

impl WireProbe {
    /// A probe in front of `chip`, by JTAG until something else is asked for.
    #[must_use]
    pub fn new(chip: impl Into<SharedChip>) -> Self {
        let chip = chip.into();
        let tap = match &chip {
            SharedChip::Arm(_) => Tap::of::<Dap>(),
            SharedChip::Riscv(_) => Tap::of::<Riscv>(),
        };
        Self {
            chip,
            protocol: WireProtocol::Jtag,
            tap,
            line: SwdLine::new(),
            state: JtagDriverState::default(),
            captured: BitVec::new(),
            settings: SwdSettings::default(),
            speed_khz: DEFAULT_SPEED_KHZ,
        }
    }

    fn is_arm(&self) -> bool {
        matches!(self.chip, SharedChip::Arm(_))
    }
}

impl fmt::Debug for WireProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, tap, line, .. } = self;
        let mut fields = f.debug_struct("WireProbe");
        fields.field("protocol", protocol).field("tap", tap).field("line", line).finish_non_exhaustive()
    }
}

impl DebugProbe for WireProbe {
    of_every_probe!();

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        match self.protocol {
            WireProtocol::Jtag => self.select_target(0),
            WireProtocol::Swd => Ok(()),
        }
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        if protocol == WireProtocol::Swd && !self.is_arm() {
            return Err(DebugProbeError::UnsupportedProtocol(protocol));
        }
        self.protocol = protocol;
        Ok(())
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(self.protocol)
    }

    fn has_arm_interface(&self) -> bool {
        self.is_arm()
    }

    fn has_riscv_interface(&self) -> bool {
        !self.is_arm()
    }

    fn try_as_dap_probe(&mut self) -> Option<&mut dyn DapProbe> {
        if self.is_arm() { Some(self) } else { None }
    }

    fn try_as_jtag_probe(&mut self) -> Option<&mut dyn JtagAccess> {
        Some(self)
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        let use_overrun_detect = true;
        Ok(ArmCommunicationInterface::create(self, sequence, use_overrun_detect))
    }

    fn try_get_riscv_interface_builder<'probe>(
        &'probe mut self,
    ) -> Result<Box<dyn RiscvInterfaceBuilder<'probe> + 'probe>, RiscvError> {
        Ok(Box::new(JtagDtmBuilder::new(self)))
    }
}

impl DapProbe for WireProbe {}

impl AutoImplementJtagAccess for WireProbe {}

impl RawJtagIo for WireProbe {
    fn state_mut(&mut self) -> &mut JtagDriverState {
        &mut self.state
    }

    fn state(&self) -> &JtagDriverState {
        &self.state
    }

    fn shift_bit(&mut self, tms: bool, tdi: bool, capture: bool) -> Result<(), DebugProbeError> {
        self.state.state.update(tms);
        let tdo = match &self.chip {
            SharedChip::Arm(dap) => self.tap.clock(tms, tdi, &mut *lock(dap)),
            SharedChip::Riscv(chip) => self.tap.clock(tms, tdi, &mut *lock(chip)),
        };
        if capture {
            self.captured.push(tdo);
        }
        Ok(())
    }

    fn read_captured_bits(&mut self) -> Result<BitVec, DebugProbeError> {
        Ok(std::mem::take(&mut self.captured))
    }
}

impl RawSwdIo for WireProbe {
    fn swd_io<S>(&mut self, swdio: S) -> Result<Vec<bool>, DebugProbeError>
    where
        S: IntoIterator<Item = IoSequenceItem>,
    {
        let SharedChip::Arm(dap) = &self.chip else {
            return Err(DebugProbeError::UnsupportedProtocol(WireProtocol::Swd));
        };
        let (mut dap, line) = (lock(dap), &mut self.line);
        let levels = swdio.into_iter().map(|item| match item {
            IoSequenceItem::Output(level) => line.clock(Some(level), &mut dap),
            IoSequenceItem::Input => line.clock(None, &mut dap),
        });
        Ok(levels.collect())
    }

    fn swj_pins(&mut self, pin_out: u32, pin_select: u32, _pin_wait: u32) -> Result<u32, DebugProbeError> {
        if let Some(is_asserted) = reset_pin(pin_out, pin_select) {
            self.chip.set_reset_pin(is_asserted);
        }
        Ok(PINS_UNKNOWN)
    }

    fn swd_settings(&self) -> &SwdSettings {
        &self.settings
    }
}
