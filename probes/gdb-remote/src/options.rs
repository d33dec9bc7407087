//! What a caller may set.

use std::time::Duration;

use covtap_link::{Endianness, RunState};

/// How a link behaves. `Options::default()` suits every server that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long a server may take to accept the connection, for each address that a host's name has.
    pub connect_timeout: Duration,
    /// How long a server may take for one answer, and a target to stop.
    pub reply_timeout: Duration,
    /// Use a server's non-stop mode, in which memory is read without stopping the target.
    pub non_stop: bool,
    /// The most requests that are on their way at a time; `None`: what the server is known to bear.
    pub window: Option<usize>,
    /// The target's byte order, for the values of registers, where the server does not tell it; an ELF does.
    pub endianness: Option<Endianness>,
    /// What the target did before the connection was made, where the caller knows better than the server
    /// tells: a stopped target is left stopped.
    pub found: Option<RunState>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(2),
            non_stop: true,
            window: None,
            endianness: None,
            found: None,
        }
    }
}
