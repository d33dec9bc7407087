//! One request to a session, and its answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::protocol::{Line, Reply, VERSION, Verb};

/// An answer is not longer than this: it names files.
const MAX_REPLY_BYTES: u64 = 1 << 20;

/// A session could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody could be reached.
    #[error("connect to {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The session went away.
    #[error("ask {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("ask {}: the session ended without an answer", path.display())]
    Ended {
        /// The socket.
        path: PathBuf,
    },
    /// What came back is no answer.
    #[error("ask {}: unexpected answer: {detail}", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The session said no.
    #[error("ask {}: {reason}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its words.
        reason: String,
    },
}

/// Asks the session that listens at `path`, and waits for its answer.
///
/// # Errors
///
/// Nobody listens there, or the session refuses or goes away.
pub fn call(path: &Path, verb: Verb, reset: bool, test: Option<&str>) -> Result<Reply, ClientError> {
    let at = || path.to_owned();
    let stream = UnixStream::connect(path).map_err(|source| ClientError::Connect { path: at(), source })?;
    let line = Line { covtap: VERSION, id: None, verb, reset, test: test.map(str::to_owned) };
    let mut text = serde_json::to_vec(&line)
        .map_err(|error| ClientError::Protocol { path: at(), detail: error.to_string() })?;
    text.push(b'\n');
    (&stream).write_all(&text).map_err(|source| ClientError::Io { path: at(), source })?;
    let mut answer = Vec::new();
    let read = BufReader::new(stream.take(MAX_REPLY_BYTES)).read_until(b'\n', &mut answer);
    if read.map_err(|source| ClientError::Io { path: at(), source })? == 0 {
        return Err(ClientError::Ended { path: at() });
    }
    let reply: Reply = serde_json::from_slice(&answer)
        .map_err(|error| ClientError::Protocol { path: at(), detail: error.to_string() })?;
    match reply {
        Reply { ok: true, .. } => Ok(reply),
        Reply { error, .. } => Err(ClientError::Refused { path: at(), reason: error.unwrap_or_default() }),
    }
}
