//! What went wrong inside the link, before it is known what the caller was after.

use std::io;

use covtap_link::{LinkError, Operation};
use covtap_process::CopyError;

/// A failure without its operation and endpoint; [`Failure::during`] adds them.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No answer within so many milliseconds.
    Timeout { waited_ms: u64 },
    /// The monitor closed the connection, or the process ended.
    Closed,
    /// The operating system failed a transfer.
    Io(io::Error),
    /// The server said no, with its reason.
    Refused(String),
    /// The host said no, with its reason.
    NotPermitted(String),
    /// An answer that the protocol does not allow.
    Protocol(String),
    /// Something that this server or this host does not have.
    Unsupported(String),
    /// A host address is no longer mapped: QEMU has moved or removed guest memory.
    Stale { hva: u64 },
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Ended => Self::Closed,
            CopyError::NotMapped { addr } => Self::Stale { hva: addr },
            CopyError::NotPermitted(words) => Self::NotPermitted(words),
            CopyError::Io(error) => Self::Io(error),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

impl Failure {
    /// The failure as the caller of the link sees it.
    pub(crate) fn during(self, operation: Operation, endpoint: &str) -> LinkError {
        let endpoint = endpoint.to_owned();
        match self {
            Self::Timeout { waited_ms } => LinkError::Timeout { operation, endpoint, waited_ms },
            Self::Closed => LinkError::Closed { operation, endpoint },
            Self::Io(source) => LinkError::Io { operation, endpoint, source },
            Self::Refused(reason) => LinkError::Refused { operation, endpoint, reason },
            Self::NotPermitted(reason) => LinkError::NotPermitted { operation, endpoint, reason },
            Self::Protocol(detail) => LinkError::Protocol { operation, endpoint, detail },
            Self::Unsupported(reason) => LinkError::Unsupported { operation, endpoint, reason },
            Self::Stale { hva } => LinkError::Refused {
                operation,
                endpoint,
                reason: format!("QEMU has nothing mapped at its address {hva:#x} any more"),
            },
        }
    }

    /// Whether the monitor can still be talked to.
    pub(crate) fn leaves_monitor_usable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Closed | Self::Io(_) | Self::Protocol(_) => false,
            Self::Refused(_) | Self::NotPermitted(_) | Self::Unsupported(_) | Self::Stale { .. } => true,
        }
    }

    /// The failure in words, for a reason to do without.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Timeout { waited_ms } => format!("no answer after {waited_ms} ms"),
            Self::Closed => "closed by the other side".to_owned(),
            Self::Io(error) => error.to_string(),
            Self::Refused(words)
            | Self::NotPermitted(words)
            | Self::Protocol(words)
            | Self::Unsupported(words) => words.clone(),
            Self::Stale { hva } => format!("nothing mapped at {hva:#x}"),
        }
    }
}
