//! Servers of the wire protocols, one client at a time, on TCP or on a Unix socket.
//!
//! What enters is an address and a debug port; what leaves is told at each connection's end: how it ended, and what the
//! target went through meanwhile. Dropping a server ends its connection, its thread and its socket.

pub mod black_magic;
mod error;
pub mod glasgow;
mod remote_bitbang;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::chip::SharedChip;
use crate::lock;
use crate::stats::Stats;

pub use error::ServeError;

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// probe-rs with its Glasgow driver.
    Glasgow,
    /// OpenOCD with its `remote_bitbang` driver.
    RemoteBitbang,
    /// probe-rs with its driver of Black Magic Probes, over JTAG.
    BlackMagic,
}

/// Where a server listens: `HOST:PORT` or `unix:PATH`. Port 0 is one that is free.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(String),
    /// A Unix socket, which is made.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some((host, port)) if !host.is_empty() && port.rsplit(':').next().is_some_and(is_port) => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(format!("address {text:?}: expected HOST:PORT or unix:PATH")),
        }
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A server that runs in a thread of its own.
#[derive(Debug)]
pub struct Server {
    address: ListenAddress,
    protocol: Protocol,
    current: Arc<Mutex<Current>>,
    thread: Option<JoinHandle<()>>,
}

/// The client that is served now.
#[derive(Default, Debug)]
struct Current {
    client: Option<Stream>,
    has_ended: bool,
}

impl Server {
    /// Listens, and serves clients one after the other. `on_end` is told of each connection's end.
    ///
    /// # Errors
    ///
    /// The address is taken, or is none.
    pub fn start(
        listen: &ListenAddress,
        protocol: Protocol,
        chip: impl Into<SharedChip>,
        mut on_end: impl FnMut(&Result<(), ServeError>, &Stats) + Send + 'static,
    ) -> io::Result<Self> {
        let chip = chip.into();
        if protocol == Protocol::Glasgow && matches!(chip, SharedChip::Riscv(_)) {
            let why = "a Glasgow speaks SWD, and a RISC-V chip has JTAG";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let (listener, address) = Listener::bind(listen)?;
        let current = Arc::new(Mutex::new(Current::default()));
        let shared = Arc::clone(&current);
        let thread = thread::Builder::new().name("virtual-probe".to_owned()).spawn(move || {
            while let Ok(client) = listener.accept() {
                let Some(client) = take_up(client, &shared) else { return };
                let before = chip.stats();
                let ended = serve(client, protocol, &chip);
                lock(&shared).client = None;
                on_end(&ended, &chip.stats().since(&before));
            }
        })?;
        Ok(Self { address, protocol, current, thread: Some(thread) })
    }

    /// Where it listens, with the port that it was given.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// How probe-rs, and covtap's `--probe`, select a server of [`Protocol::Glasgow`], or one of
    /// [`Protocol::BlackMagic`] on TCP.
    #[must_use]
    pub fn selector(&self) -> String {
        match (self.protocol, &self.address) {
            (Protocol::BlackMagic, address) => format!("{}:{address}", black_magic::SELECTOR),
            (_, ListenAddress::Tcp(address)) => format!("{}:tcp:{address}", glasgow::SELECTOR),
            (_, ListenAddress::Unix(path)) => format!("{}:unix:{}", glasgow::SELECTOR, path.display()),
        }
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed, and there is nothing left to serve.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        {
            let mut current = lock(&self.current);
            current.has_ended = true;
            if let Some(client) = &current.client {
                client.shut_down();
            }
        }
        // It waits for a client, who comes now. One that is gone already has no need of it.
        let _ = Stream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let ListenAddress::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Serves one client, until it goes.
fn serve(client: Stream, protocol: Protocol, chip: &SharedChip) -> Result<(), ServeError> {
    match (protocol, chip) {
        (Protocol::Glasgow, SharedChip::Arm(dap)) => glasgow::serve(client, dap),
        (Protocol::RemoteBitbang, SharedChip::Arm(dap)) => remote_bitbang::serve(client, dap),
        (Protocol::RemoteBitbang, SharedChip::Riscv(chip)) => remote_bitbang::serve(client, chip),
        (Protocol::BlackMagic, SharedChip::Arm(dap)) => black_magic::serve(client, dap),
        (Protocol::BlackMagic, SharedChip::Riscv(chip)) => black_magic::serve(client, chip),
        // No server of these two is started.
        (Protocol::Glasgow, SharedChip::Riscv(_)) => Ok(()),
    }
}

/// Makes a client the current one, unless the server is to end.
fn take_up(client: Stream, current: &Mutex<Current>) -> Option<Stream> {
    let mut current = lock(current);
    if current.has_ended {
        return None;
    }
    current.client = client.try_clone().ok();
    Some(client)
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(address: &ListenAddress) -> io::Result<(Self, ListenAddress)> {
        match address {
            ListenAddress::Tcp(text) => {
                let listener = TcpListener::bind(text)?;
                let bound = ListenAddress::Tcp(listener.local_addr()?.to_string());
                Ok((Self::Tcp(listener), bound))
            }
            ListenAddress::Unix(path) => Ok((Self::Unix(UnixListener::bind(path)?), address.clone())),
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Each answer is waited for.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(text) => Ok(Self::Tcp(TcpStream::connect(text)?)),
            ListenAddress::Unix(path) => Ok(Self::Unix(UnixStream::connect(path)?)),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => Ok(Self::Tcp(stream.try_clone()?)),
            Self::Unix(stream) => Ok(Self::Unix(stream.try_clone()?)),
        }
    }

    fn shut_down(&self) {
        // A client that is gone has shut it down itself.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Ram, SharedDap, shared};

    fn dap() -> SharedDap {
        shared(Ram::of_words(0, [], vec![]))
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:0", "[::1]:80", "localhost:1", "unix:/run/probe.sock"] {
            assert_eq!(text.parse::<ListenAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "127.0.0.1", ":80", "unix:", "host:port"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_end_is_told_and_the_next_client_is_served() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("probe.sock");
        let (told, ends) = mpsc::channel();
        let listen = ListenAddress::Unix(path.clone());
        let server = Server::start(&listen, Protocol::Glasgow, dap(), move |ended, _| {
            told.send(ended.as_ref().map_err(ToString::to_string).copied()).expect("the test waits");
        });
        let server = server.expect("a server");
        let mut client = Stream::connect(&listen).expect("the first client");
        client.write_all(&[9, 9, 0]).expect("nonsense");
        assert_eq!(ends.recv().expect("its end"), Err("client: a packet that is not COBS".to_owned()));
        drop(Stream::connect(&listen).expect("the second client"));
        assert_eq!(ends.recv().expect("its end"), Ok(()));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn a_server_that_is_dropped_lets_its_client_go() {
        let listen = ListenAddress::Tcp("127.0.0.1:0".to_owned());
        let server = Server::start(&listen, Protocol::Glasgow, dap(), |_, _| {}).expect("a server");
        let mut client = Stream::connect(server.address()).expect("a client");
        // Framed, endpoint 0 and command 0. Its answer says that it is served.
        client.write_all(&[1, 1, 1, 0]).expect("identify");
        assert_ne!(client.read(&mut [0; 32]).expect("an answer"), 0);
        drop(server);
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    }
}
