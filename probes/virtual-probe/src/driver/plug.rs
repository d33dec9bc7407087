//! How probe-rs, in this process, finds a probe of ours by its name.
//!
//! What enters are chips and their names; what leaves are drivers for them. What always holds: what was dropped is not found
//! any more.

use std::fmt;
use std::sync::{Arc, Mutex, Once};

use probe_rs::probe::list::ProbeListItem;
use probe_rs::probe::{
    DebugProbe, DebugProbeError, DebugProbeInfo, DebugProbeSelector, ProbeCreationError, ProbeFactory,
};

use super::common::NAME;
use super::transfers::TransferProbe;
use super::wires::WireProbe;
use crate::chip::SharedChip;
use crate::lock;

/// The vendor of a virtual probe in a selector of probe-rs: `1209:c0de:NAME`.
pub const VENDOR_ID: u16 = 0x1209;
/// Its product.
pub const PRODUCT_ID: u16 = 0xc0de;

/// What probe-rs tells a probe of.
#[derive(Clone, Copy)]
enum Kind {
    Transfers,
    Wires,
}

/// What is plugged in, by name.
static PLUGGED_IN: Mutex<Vec<(String, SharedChip, Kind)>> = Mutex::new(Vec::new());
static FACTORY: VirtualFactory = VirtualFactory;

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
        probes.retain(|(name, ..)| *name != self.name);
    }
}

/// Has probe-rs, in this process, find a probe in front of `chip` as `1209:c0de:NAME`. One of the same name gives way.
/// A debug port is reached by transfers of SWD, a RISC-V chip by the wires of JTAG.
pub fn plug_in(name: &str, chip: impl Into<SharedChip>) -> PluggedIn {
    let chip = chip.into();
    let kind = match &chip {
        SharedChip::Arm(_) => Kind::Transfers,
        SharedChip::Riscv(_) => Kind::Wires,
    };
    plug_in_kind(name, chip, kind)
}

/// The same with a probe that moves wires, of SWD or of JTAG.
pub fn plug_in_wires(name: &str, chip: impl Into<SharedChip>) -> PluggedIn {
    plug_in_kind(name, chip.into(), Kind::Wires)
}

fn plug_in_kind(name: &str, chip: SharedChip, kind: Kind) -> PluggedIn {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let probe_drivers: &[&'static dyn ProbeFactory] = &[&FACTORY];
        probe_rs::plugin::register_plugin(probe_rs::plugin::Plugin { probe_drivers, ..Default::default() });
    });
    let mut probes = lock(&PLUGGED_IN);
    probes.retain(|(other, ..)| other != name);
    probes.push((name.to_owned(), chip, kind));
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
        let found = probes.iter().find(|(name, ..)| is_virtual && matches(name));
        match found {
            Some((_, SharedChip::Arm(dap), Kind::Transfers)) => {
                Ok(Box::new(TransferProbe::new(Arc::clone(dap))))
            }
            Some((_, chip, _)) => Ok(Box::new(WireProbe::new(chip.clone()))),
            None => Err(DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound)),
        }
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        let probes = lock(&PLUGGED_IN);
        let info = |name: &str| {
            DebugProbeInfo::new(NAME, VENDOR_ID, PRODUCT_ID, Some(name.to_owned()), &FACTORY, None, false)
        };
        probes.iter().map(|(name, ..)| ProbeListItem::accessible(info(name))).collect()
    }
}
