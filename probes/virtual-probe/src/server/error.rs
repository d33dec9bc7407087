//! Why a connection ends.

use std::io;

/// Why a connection ended otherwise than by the client's wish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The client sent something that its protocol does not have.
    #[error("client: {0}")]
    Malformed(&'static str),
}
