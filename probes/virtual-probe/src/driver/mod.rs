//! Drivers of probe-rs for the virtual probe, in the same process: by SWD for a Cortex-M, by JTAG for a RISC-V chip.
//!
//! What enters are probe-rs's requests; what leaves are answers of the chip that was [plugged in](plug).

mod common;
pub(crate) mod jtag;
pub(crate) mod plug;
pub(crate) mod swd;
