//! Where a GDB server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a GDB server is, as a user writes it: `HOST:PORT | unix:PATH | serial:/dev/ttyX:BAUD | exec:COMMAND`.
///
/// ```
/// use covtap_gdb_remote::Endpoint;
///
/// let endpoint: Endpoint = "serial:/dev/ttyUSB0:115200".parse()?;
/// assert_eq!(endpoint, Endpoint::Serial { path: "/dev/ttyUSB0".into(), baud: 115_200 });
/// assert_eq!(endpoint.to_string(), "serial:/dev/ttyUSB0:115200");
/// # Ok::<(), covtap_gdb_remote::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// A TCP port: `localhost:1234`, `[::1]:1234`; without a host (`:1234`) on this machine.
    Tcp {
        /// Name or address of the machine, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket: `unix:/run/gdb.sock`.
    Unix(PathBuf),
    /// A serial line, 8 data bits, no parity, one stop bit, no flow control: `serial:/dev/ttyUSB0:115200`.
    Serial {
        /// The line's device file.
        path: PathBuf,
        /// Symbols per second.
        baud: u32,
    },
    /// A program that speaks the protocol on its standard input and output: `exec:gdbserver - ./prog`.
    /// The words are divided as a shell does, without its expansions. The program ends with the link.
    Exec(String),
}

/// An endpoint is not spelled as one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Neither a known prefix nor a host and a port.
    #[error("gdb endpoint {0:?}: expected HOST:PORT, unix:PATH, serial:/dev/ttyX:BAUD or exec:COMMAND")]
    Unknown(String),
    /// What should be a port is none.
    #[error("gdb endpoint {endpoint:?}: {port:?} is not a port")]
    Port {
        /// The whole endpoint.
        endpoint: String,
        /// What was found instead.
        port: String,
    },
    /// What should be a baud rate is none.
    #[error("gdb endpoint {endpoint:?}: {baud:?} is not a baud rate")]
    Baud {
        /// The whole endpoint.
        endpoint: String,
        /// What was found instead.
        baud: String,
    },
    /// No path, or no command.
    #[error("gdb endpoint {0:?}: nothing after the prefix")]
    Empty(String),
    /// The command's quotes do not match.
    #[error("gdb endpoint {0:?}: a quote is not closed")]
    Quote(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.split_once(':') {
            Some(("unix" | "serial" | "exec", "")) => Err(EndpointError::Empty(text.into())),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("serial", line)) => serial(text, line),
            Some(("exec", command)) => exec(text, command),
            Some(("tcp", address)) => tcp(text, address),
            _ => tcp(text, text),
        }
    }
}

fn tcp(endpoint: &str, address: &str) -> Result<Endpoint, EndpointError> {
    let unknown = || EndpointError::Unknown(endpoint.into());
    let (host, port) = address.rsplit_once(':').ok_or_else(unknown)?;
    let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(Some(host)) => host,
        Some(None) => return Err(unknown()),
        None if host.contains([':', '/']) => return Err(unknown()),
        None if host.is_empty() => "localhost",
        None => host,
    };
    let port =
        port.parse().map_err(|_| EndpointError::Port { endpoint: endpoint.into(), port: port.into() })?;
    Ok(Endpoint::Tcp { host: host.into(), port })
}

fn serial(endpoint: &str, line: &str) -> Result<Endpoint, EndpointError> {
    let bad = |baud: &str| EndpointError::Baud { endpoint: endpoint.into(), baud: baud.into() };
    let (path, baud) = line.rsplit_once(':').ok_or_else(|| bad(""))?;
    if path.is_empty() {
        return Err(EndpointError::Empty(endpoint.into()));
    }
    match baud.parse() {
        Ok(0) | Err(_) => Err(bad(baud)),
        Ok(baud) => Ok(Endpoint::Serial { path: path.into(), baud }),
    }
}

fn exec(endpoint: &str, command: &str) -> Result<Endpoint, EndpointError> {
    match shell_words::split(command) {
        Err(_) => Err(EndpointError::Quote(endpoint.into())),
        Ok(words) if words.is_empty() => Err(EndpointError::Empty(endpoint.into())),
        Ok(_) => Ok(Endpoint::Exec(command.into())),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Serial { path, baud } => write!(f, "serial:{}:{baud}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_a_round_trip() {
        for text in [
            "localhost:1234",
            "192.0.2.1:65535",
            "[::1]:1234",
            "unix:/run/gdb:1.sock",
            "serial:/dev/ttyUSB0:115200",
            "serial:/dev/serial/by-id/usb:if01:9600",
            "exec:gdbserver - './a prog' 1",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!(":1234".parse::<Endpoint>().unwrap().to_string(), "localhost:1234");
        assert_eq!("tcp::1234".parse::<Endpoint>().unwrap().to_string(), "localhost:1234");
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("1234", "expected HOST:PORT"),
            ("", "expected HOST:PORT"),
            ("::1:1234", "expected HOST:PORT"),
            ("/run/gdb.sock", "expected HOST:PORT"),
            ("host:99999", "\"99999\" is not a port"),
            ("host:", "\"\" is not a port"),
            ("serial:/dev/ttyUSB0", "\"\" is not a baud rate"),
            ("serial:/dev/ttyUSB0:0", "\"0\" is not a baud rate"),
            ("serial::9600", "nothing after the prefix"),
            ("unix:", "nothing after the prefix"),
            ("exec: ", "nothing after the prefix"),
            ("exec:sh -c 'x", "a quote is not closed"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
