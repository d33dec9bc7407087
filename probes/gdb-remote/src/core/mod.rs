//! The protocol without any I/O: bytes in, bytes out.

pub(crate) mod console;
pub(crate) mod features;
pub(crate) mod file_io;
pub(crate) mod frame;
pub(crate) mod hex;
pub(crate) mod memory;
pub(crate) mod resume;
pub(crate) mod session;
pub(crate) mod stop;
pub(crate) mod target_xml;
pub(crate) mod xfer;
