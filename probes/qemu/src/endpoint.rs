//! Where a monitor listens, as a user writes it.
//!
//! What enters is text; what leaves is a Unix socket's path or a host and a port. A text that could be
//! either is never guessed at: whatever holds a colon and no slash must be `HOST:PORT`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where QEMU's monitor (QMP) listens.
///
/// Written as a Unix socket's path, with or without `unix:` before it, or as `HOST:PORT`, with or without
/// `tcp:` before it; an IPv6 address stands in brackets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum QmpEndpoint {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that names neither a Unix socket nor a TCP port.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse monitor address {text:?}: neither a socket's path nor HOST:PORT")]
pub struct ParseEndpointError {
    text: String,
}

impl FromStr for QmpEndpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseEndpointError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = text.strip_prefix("tcp:");
        if address.is_none() && !text.is_empty() && (text.contains('/') || !text.contains(':')) {
            return Ok(Self::Unix(text.into()));
        }
        let (host, port) = address.unwrap_or(text).rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(wrong());
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']', '/']) {
            return Err(wrong());
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for QmpEndpoint {
    /// A text that parses to the same endpoint, for paths that are UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => {
                let text = path.display().to_string();
                let plain = text.contains('/') && !text.starts_with("unix:") && !text.starts_with("tcp:");
                write!(f, "{}{text}", if plain { "" } else { "unix:" })
            }
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } if host == "unix" || host == "tcp" => write!(f, "tcp:{host}:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(host: &str, port: u16) -> QmpEndpoint {
        QmpEndpoint::Tcp { host: host.into(), port }
    }

    #[test]
    fn paths_and_ports_are_told_apart() {
        let table = [
            ("/run/vm/qmp.sock", QmpEndpoint::Unix("/run/vm/qmp.sock".into())),
            ("qmp.sock", QmpEndpoint::Unix("qmp.sock".into())),
            ("unix:qmp:4444", QmpEndpoint::Unix("qmp:4444".into())),
            ("./qmp:4444", QmpEndpoint::Unix("./qmp:4444".into())),
            ("localhost:4444", tcp("localhost", 4444)),
            ("tcp:10.0.2.2:1", tcp("10.0.2.2", 1)),
            ("[::1]:4444", tcp("::1", 4444)),
            ("tcp:unix:1", tcp("unix", 1)),
        ];
        for (text, endpoint) in table {
            assert_eq!(text.parse(), Ok(endpoint.clone()), "{text}");
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "unix:",
            "tcp:",
            ":4444",
            "host:",
            "host:65536",
            "host:-1",
            "::1:4444",
            "tcp:a/b",
            "tcp:a/b:1",
            "[[]:1",
        ] {
            let error = text.parse::<QmpEndpoint>().expect_err(text).to_string();
            assert!(error.ends_with("neither a socket's path nor HOST:PORT"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_itself(text in "(unix|tcp|[a-c:/.\\[\\]0-9]){0,12}") {
            if let Ok(endpoint) = text.parse::<QmpEndpoint>() {
                prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            }
        }
    }
}
