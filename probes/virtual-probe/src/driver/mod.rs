//! Drivers of probe-rs for the virtual probe, in the same process: one that is told of transfers, one that moves wires.
//!
//! What enters are probe-rs's requests; what leaves are answers of the chip that was [plugged in](plug).

mod common;
pub(crate) mod plug;
pub(crate) mod transfers;
pub(crate) mod wires;
