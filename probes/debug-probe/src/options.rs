//! Which probe and which chip, as `probe-rs`'s own tools are told.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use probe_rs::probe::{DebugProbeSelector, WireProtocol};

use crate::Swo;

/// A probe: `VID:PID`, `VID:PID:SERIAL`, or `VID:PID-INTERFACE:SERIAL`, numbers in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector(pub(crate) DebugProbeSelector);

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|error| format!("it is no VID:PID[-INTERFACE][:SERIAL]: {error}"))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is spoken on the wire between probe and chip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocol(pub(crate) WireProtocol);

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// How a chip is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The probe; without one, the only one there is.
    pub selector: Option<Selector>,
    /// The chip, by `probe-rs`'s name of it. It says which access port leads to the memory, and how the chip's debug port is
    /// begun with, where that is special.
    pub chip: Option<String>,
    /// A description of chips, in YAML as `probe-rs` has it, beside its own table.
    pub chip_description: Option<String>,
    /// Whether the chip's reset is held while its debug port is begun with: the only thing that disturbs it.
    pub connect_under_reset: bool,
    /// What is spoken; the probe's own choice without.
    pub protocol: Option<Protocol>,
    /// The wire's clock in kHz; the probe's own choice without.
    pub speed_khz: Option<u32>,
    /// The access port; the chip's own without, or 0.
    pub access_port: Option<u8>,
    /// Which of the chip's processors, where it has several; the first without.
    pub core: Option<usize>,
    /// Whether the processor may be halted to be read, where there is no other way.
    pub allow_halt: bool,
    /// How the processor is to send where it is, for samples; without, a register of it is read for them.
    pub swo: Option<Swo>,
    /// For how long nothing may come from the probe.
    pub reply_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selector: None,
            chip: None,
            chip_description: None,
            connect_under_reset: false,
            protocol: None,
            speed_khz: None,
            access_port: None,
            core: None,
            allow_halt: false,
            swo: None,
            reply_timeout: Duration::from_secs(2),
        }
    }
}
