//! Driving a session from outside, over a Unix socket.
//!
//! What enters is lines of JSON, one a request; what leaves is lines of JSON, one an answer (`docs/control.md`). What always
//! holds: a client that dies, stalls, floods or talks nonsense costs its own connection and nothing else; a line, the
//! number of clients, and what is remembered of them is bounded; the socket is its owner's alone.

mod client;
mod protocol;
mod server;

pub use client::{ClientError, call};
pub use protocol::{Reply, Verb};
pub use server::{Server, ServerError};
