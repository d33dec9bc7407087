//! A driver of probe-rs for a virtual probe that is told of whole transfers of a debug port, as CMSIS-DAP probes are.
//!
//! What enters are transfers of probe-rs; what leaves are their answers, or probe-rs's own errors. Nothing is retried
//! here: what is acknowledged WAIT or FAULT is what the caller sees. A read has its own value, as of a probe that fetches
//! posted values itself.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use probe_rs::CoreStatus;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmCommunicationInterface, ArmDebugInterface, ArmError, DapError, DapProbe, RawDapAccess,
    RegisterAddress, SwoAccess, SwoConfig, SwoMode,
};
use probe_rs::probe::{DebugProbe, DebugProbeError, WireProtocol};

use super::common::{DEFAULT_SPEED_KHZ, PINS_UNKNOWN, of_every_probe, reset_pin};
use crate::{Ack, Port, SharedDap, lock};

/// A probe that probe-rs drives, in front of a debug port that others look at too.
pub struct TransferProbe {
    chip: SharedDap,
    speed_khz: u32,
}

impl TransferProbe {
    /// A probe in front of `chip`.
    #[must_use]
    pub fn new(chip: SharedDap) -> Self {
        Self { chip, speed_khz: DEFAULT_SPEED_KHZ }
    }
}

impl fmt::Debug for TransferProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferProbe").field("speed_khz", &self.speed_khz).finish_non_exhaustive()
    }
}

/// An acknowledgement in probe-rs's words.
fn error(ack: Ack) -> ArmError {
    match ack {
        Ack::Wait => DapError::WaitResponse.into(),
        Ack::Fault => DapError::FaultResponse.into(),
        Ack::None => DapError::NoAcknowledge.into(),
    }
}

fn port(address: RegisterAddress) -> Port {
    if address.is_ap() { Port::Access } else { Port::Debug }
}

impl DebugProbe for TransferProbe {
    of_every_probe!();

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Swd => Ok(()),
            other => Err(DebugProbeError::UnsupportedProtocol(other)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn try_as_dap_probe(&mut self) -> Option<&mut dyn DapProbe> {
        Some(self)
    }

    fn get_swo_interface(&self) -> Option<&dyn SwoAccess> {
        Some(self)
    }

    fn get_swo_interface_mut(&mut self) -> Option<&mut dyn SwoAccess> {
        Some(self)
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        let use_overrun_detect = false;
        Ok(ArmCommunicationInterface::create(self, sequence, use_overrun_detect))
    }
}

impl DapProbe for TransferProbe {}

impl SwoAccess for TransferProbe {
    fn enable_swo(&mut self, config: &SwoConfig) -> Result<(), ArmError> {
        if !matches!(config.mode(), SwoMode::Uart) {
            return Err(ArmError::NotImplemented("SWO other than NRZ"));
        }
        lock(&self.chip).set_swo_receiver(Some(config.baud()));
        Ok(())
    }

    fn disable_swo(&mut self) -> Result<(), ArmError> {
        lock(&self.chip).set_swo_receiver(None);
        Ok(())
    }

    /// Waits for something, as a probe that streams does.
    fn read_swo_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ArmError> {
        const LOOK: Duration = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            let bytes = lock(&self.chip).read_swo().map_err(error)?;
            if !bytes.is_empty() || began.elapsed() >= timeout {
                return Ok(bytes);
            }
            thread::sleep(LOOK);
        }
    }
}

impl RawDapAccess for TransferProbe {
    fn raw_read_register(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        lock(&self.chip).read(port(address), address.lsb()).map_err(error)
    }

    fn raw_write_register(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        lock(&self.chip).write(port(address), address.lsb(), value).map_err(error)
    }

    fn jtag_sequence(&mut self, _cycles: u8, _tms: bool, _tdi: u64) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::CommandNotSupportedByProbe { command_name: "jtag_sequence" })
    }

    /// Switching to SWD and resets of the line leave the model as it is.
    fn swj_sequence(&mut self, _bit_len: u8, _bits: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, pin_out: u32, pin_select: u32, _pin_wait: u32) -> Result<u32, DebugProbeError> {
        if let Some(is_asserted) = reset_pin(pin_out, pin_select) {
            lock(&self.chip).set_reset_pin(is_asserted);
        }
        Ok(PINS_UNKNOWN)
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn core_status_notification(&mut self, _state: CoreStatus) -> Result<(), DebugProbeError> {
        Ok(())
    }
}
