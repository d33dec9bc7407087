//! A client of the GDB remote serial protocol that reads a target's memory while it runs.
//!
//! What enters is an [`Endpoint`] and ranges of addresses; what leaves is bytes of memory, and for how long
//! the target was stopped for them. The protocol itself (`core`) does no I/O: bytes in, bytes out.
//!
//! What always holds:
//! - what differs between servers is data (`profile`); a server that is not known is treated with caution;
//! - nothing is sent to a running target unless its server is known to take it;
//! - the target is left as it was found, on [`detach`](covtap_link::Link::detach), on drop, and after an
//!   error: running if it ran, without our breakpoints;
//! - every wait ends, and nothing that a server sends can make this process panic or grow without bound.
//!
//! Protocol: GDB manual, appendix "GDB Remote Serial Protocol", as of GDB 17.

mod control;
mod core;
mod endpoint;
mod handshake;
mod leave;
mod link;
mod options;
mod profile;
mod read;
mod threads;
mod transport;
mod wire;
mod zeros;

pub use endpoint::{Endpoint, EndpointError};
pub use link::GdbRemote;
pub use options::Options;
