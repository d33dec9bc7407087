//! A chip of Arm's: an ADIv5 debug port, a memory access port, and the debug registers of a Cortex-M3.
//!
//! What enters are transfers ([`transfer`]), as they are, as what [`swd`] carries, or as scans of [`jtag`]; what leaves are their answers. The way
//! is [`dap`], [`mem_ap`], [`cortex_m`], and from there to [`swo`] and to the target.

pub(crate) mod cortex_m;
pub(crate) mod dap;
pub mod jtag;
pub(crate) mod mem_ap;
pub mod ppb;
pub(crate) mod registers;
pub(crate) mod swd;
pub(crate) mod swo;
pub(crate) mod transfer;
