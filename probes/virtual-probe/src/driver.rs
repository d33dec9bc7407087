//! A driver of probe-rs for the virtual probe, in the same process, and how probe-rs finds it and its
//! [sibling](crate::VirtualJtagProbe) for JTAG.
//!
//! What enters are transfers of probe-rs; what leaves are their answers, or probe-rs's own errors. Nothing is retried
//! here: what is acknowledged WAIT or FAULT is what the caller sees. A read has its own value, as of a probe that fetches
//! posted values itself.

use std::fmt;
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use probe_rs::CoreStatus;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmCommunicationInterface, ArmDebugInterface, ArmError, DapError, DapProbe, RawDapAccess,
    RegisterAddress, SwoAccess, SwoConfig, SwoMode,
};
use probe_rs::probe::list::ProbeListItem;
use probe_rs::probe::{
    DebugProbe, DebugProbeError, DebugProbeInfo, DebugProbeSelector, ProbeCreationError, ProbeFactory,
    WireProtocol,
};

use crate::jtag_driver::VirtualJtagProbe;
use crate::{Ack, Port, SharedChip, SharedDap, lock};

/// The vendor of a virtual probe in a selector of probe-rs: `1209:c0de:NAME`.
pub const VENDOR_ID: u16 = 0x1209;
/// Its product.
pub const PRODUCT_ID: u16 = 0xc0de;

pub(crate) const NAME: &str = "virtual probe";
pub(crate) const DEFAULT_SPEED_KHZ: u32 = 4000;
/// The target's reset, low while it is asserted.
const PIN_NRESET: u32 = 0x80;
/// What a probe answers that cannot read its pins.
const PINS_UNKNOWN: u32 = 0xFFFF_FFFF;

/// What is plugged in, by name.
static PLUGGED_IN: Mutex<Vec<(String, SharedChip)>> = Mutex::new(Vec::new());
static FACTORY: VirtualFactory = VirtualFactory;

/// A probe that probe-rs drives, in front of a debug port that others look at too.
pub struct VirtualProbe {
    dap: SharedDap,
    speed_khz: u32,
}

impl VirtualProbe {
    /// A probe in front of `dap`.
    #[must_use]
    pub fn new(dap: SharedDap) -> Self {
        Self { dap, speed_khz: DEFAULT_SPEED_KHZ }
    }
}

impl fmt::Debug for VirtualProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualProbe").field("speed_khz", &self.speed_khz).finish_non_exhaustive()
    }
}

/// A probe that probe-rs finds by its name. Dropping it unplugs it.
#[derive(Debug)]
pub struct PluggedIn {
    name: String,
}

impl PluggedIn {
    /// How probe-rs, and covtap's `--probe`, select it.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{VENDOR_ID:04x}:{PRODUCT_ID:04x}:{}", self.name)
    }
}

impl Drop for PluggedIn {
    fn drop(&mut self) {
        let mut probes = lock(&PLUGGED_IN);
        probes.retain(|(name, _)| *name != self.name);
    }
}

/// Has probe-rs, in this process, find a probe in front of `chip` as `1209:c0de:NAME`. One of the same name gives way.
/// A Cortex-M is reached by SWD, a RISC-V chip by JTAG.
pub fn plug_in(name: &str, chip: impl Into<SharedChip>) -> PluggedIn {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let probe_drivers: &[&'static dyn ProbeFactory] = &[&FACTORY];
        probe_rs::plugin::register_plugin(probe_rs::plugin::Plugin { probe_drivers, ..Default::default() });
    });
    let mut probes = lock(&PLUGGED_IN);
    probes.retain(|(other, _)| other != name);
    probes.push((name.to_owned(), chip.into()));
    PluggedIn { name: name.to_owned() }
}

#[derive(Debug)]
struct VirtualFactory;

impl fmt::Display for VirtualFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("virtual probe")
    }
}

impl ProbeFactory for VirtualFactory {
    fn open(&self, selector: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        let is_virtual = selector.vendor_id == VENDOR_ID && selector.product_id == PRODUCT_ID;
        let probes = lock(&PLUGGED_IN);
        let matches = |name: &str| selector.serial_number.as_deref().is_none_or(|serial| serial == name);
        let found = probes.iter().find(|(name, _)| is_virtual && matches(name));
        match found {
            Some((_, SharedChip::CortexM(dap))) => Ok(Box::new(VirtualProbe::new(Arc::clone(dap)))),
            Some((_, SharedChip::Riscv(chip))) => Ok(Box::new(VirtualJtagProbe::new(Arc::clone(chip)))),
            None => Err(DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound)),
        }
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        let probes = lock(&PLUGGED_IN);
        let info = |name: &str| {
            DebugProbeInfo::new(NAME, VENDOR_ID, PRODUCT_ID, Some(name.to_owned()), &FACTORY, None, false)
        };
        probes.iter().map(|(name, _)| ProbeListItem::accessible(info(name))).collect()
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

impl DebugProbe for VirtualProbe {
    fn get_name(&self) -> &str {
        NAME
    }

    fn speed_khz(&self) -> u32 {
        self.speed_khz
    }

    fn set_speed(&mut self, speed_khz: u32) -> Result<u32, DebugProbeError> {
        self.speed_khz = speed_khz;
        Ok(speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        lock(&self.dap).reset_target();
        Ok(())
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        lock(&self.dap).set_reset_pin(true);
        Ok(())
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        lock(&self.dap).set_reset_pin(false);
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

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
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

impl DapProbe for VirtualProbe {}

impl SwoAccess for VirtualProbe {
    fn enable_swo(&mut self, config: &SwoConfig) -> Result<(), ArmError> {
        if !matches!(config.mode(), SwoMode::Uart) {
            return Err(ArmError::NotImplemented("SWO other than NRZ"));
        }
        lock(&self.dap).set_swo_receiver(Some(config.baud()));
        Ok(())
    }

    fn disable_swo(&mut self) -> Result<(), ArmError> {
        lock(&self.dap).set_swo_receiver(None);
        Ok(())
    }

    /// Waits for something, as a probe that streams does.
    fn read_swo_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ArmError> {
        const LOOK: Duration = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            let bytes = lock(&self.dap).read_swo().map_err(error)?;
            if !bytes.is_empty() || began.elapsed() >= timeout {
                return Ok(bytes);
            }
            thread::sleep(LOOK);
        }
    }
}

impl RawDapAccess for VirtualProbe {
    fn raw_read_register(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        lock(&self.dap).read(port(address), address.lsb()).map_err(error)
    }

    fn raw_write_register(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        lock(&self.dap).write(port(address), address.lsb(), value).map_err(error)
    }

    fn jtag_sequence(&mut self, _cycles: u8, _tms: bool, _tdi: u64) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::CommandNotSupportedByProbe { command_name: "jtag_sequence" })
    }

    /// Switching to SWD and resets of the line leave the model as it is.
    fn swj_sequence(&mut self, _bit_len: u8, _bits: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, pin_out: u32, pin_select: u32, _pin_wait: u32) -> Result<u32, DebugProbeError> {
        if pin_select & PIN_NRESET != 0 {
            lock(&self.dap).set_reset_pin(pin_out & PIN_NRESET == 0);
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
