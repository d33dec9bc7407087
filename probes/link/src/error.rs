//! What can go wrong between the host and a target.
//!
//! Every message is one line that says what was tried, where, and what came back. What a user can do next
//! is not said here: the command line adds it.

use std::fmt;
use std::io;

use crate::TargetAddr;

/// What was tried when a link failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// The first exchange with a server: what it is and what it can do.
    Handshake,
    /// Opening a target that is no server: a process, a file.
    Attach,
    /// A read of target memory.
    Read {
        /// The first address asked for.
        addr: TargetAddr,
        /// How many bytes were asked for.
        len_bytes: u64,
    },
    /// A write of target memory.
    Write {
        /// The first address to be written.
        addr: TargetAddr,
        /// How many bytes were to be written.
        len_bytes: u64,
    },
    /// Stopping the target.
    Stop,
    /// Letting the target run on.
    Resume,
    /// Executing one instruction.
    Step,
    /// Setting or clearing a breakpoint.
    Breakpoint(TargetAddr),
    /// Reading a register.
    Register(String),
    /// Leaving the target as it was found.
    Detach,
    /// A command of the server's own, by its name.
    Command(String),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake => f.write_str("handshake"),
            Self::Attach => f.write_str("attach"),
            Self::Read { addr, len_bytes } => write!(f, "read {len_bytes} bytes at {addr}"),
            Self::Write { addr, len_bytes } => write!(f, "write {len_bytes} bytes at {addr}"),
            Self::Stop => f.write_str("stop the target"),
            Self::Resume => f.write_str("resume the target"),
            Self::Step => f.write_str("step the target"),
            Self::Breakpoint(addr) => write!(f, "breakpoint at {addr}"),
            Self::Register(name) => write!(f, "read register {name}"),
            Self::Detach => f.write_str("detach"),
            Self::Command(name) => write!(f, "command {name}"),
        }
    }
}

/// A link failed.
///
/// `endpoint` is where the target was sought, as the user wrote it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody could be reached.
    #[error("connect to {endpoint}: {source}")]
    Connect {
        /// Where the target was sought.
        endpoint: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// An answer did not come in time.
    #[error("{operation} on {endpoint}: no answer after {waited_ms} ms")]
    Timeout {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The other side went away.
    #[error("{operation} on {endpoint}: the connection was closed by the other side")]
    Closed {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
    },
    /// The operating system failed a transfer.
    #[error("{operation} on {endpoint}: {source}")]
    Io {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The server understood and said no.
    #[error("{operation} on {endpoint}: refused: {reason}")]
    Refused {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// The server's words, or what they mean.
        reason: String,
    },
    /// The host does not let this process do it.
    #[error("{operation} on {endpoint}: not permitted: {reason}")]
    NotPermitted {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// What was refused, and by whom.
        reason: String,
    },
    /// The answer is not what the protocol allows.
    #[error("{operation} on {endpoint}: unexpected answer: {detail}")]
    Protocol {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// What is read is not all of the target, and this part is not in it.
    #[error("{operation} on {endpoint}: not there: {reason}")]
    NotThere {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// What is not there, and what is.
        reason: String,
    },
    /// This server, or this way to reach it, cannot do it.
    #[error("{operation} on {endpoint}: not supported: {reason}")]
    Unsupported {
        /// What was tried.
        operation: Operation,
        /// Where the target was sought.
        endpoint: String,
        /// What is missing.
        reason: String,
    },
}

impl LinkError {
    /// Whether the link can no longer be used, as against one request that failed.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::Io { .. }
            | Self::Protocol { .. } => true,
            Self::Refused { .. }
            | Self::NotPermitted { .. }
            | Self::NotThere { .. }
            | Self::Unsupported { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_where_and_what_came_back() {
        let error = LinkError::Timeout {
            operation: Operation::Read { addr: TargetAddr::new(0x2000_1000), len_bytes: 512 },
            endpoint: "localhost:1234".into(),
            waited_ms: 2000,
        };
        assert_eq!(
            error.to_string(),
            "read 512 bytes at 0x20001000 on localhost:1234: no answer after 2000 ms"
        );
        assert!(error.is_fatal());
    }
}
