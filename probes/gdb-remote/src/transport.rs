//! The drivers under the protocol: bytes to and from a server, never waiting longer than told.
//!
//! What always holds: a transfer that has something to send still takes what arrives, so that two full
//! buffers cannot wait for each other.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serialport::{SerialPort, TTYPort};

use crate::Endpoint;

/// How long the other side has to notice that we are gone.
const CLOSE_PATIENCE: Duration = Duration::from_millis(300);

/// What one transfer did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Transfer {
    /// How many bytes were sent.
    pub(crate) sent_bytes: usize,
    /// How many bytes arrived.
    pub(crate) received_bytes: usize,
    /// The other side is gone.
    pub(crate) is_closed: bool,
}

/// A way for bytes.
pub(crate) trait Transport: Send {
    /// Sends `out` if it can all be sent at once; else, or if there is nothing to send, waits at most
    /// `patience` until more can be sent or something has arrived, which is received.
    fn transfer(&mut self, out: &[u8], input: &mut [u8], patience: Duration) -> io::Result<Transfer>;

    /// Ends the connection, and sees to it that the other side had what was sent before.
    fn close(&mut self);
}

/// Reaches the server.
pub(crate) fn open(endpoint: &Endpoint, patience: Duration) -> io::Result<Box<dyn Transport>> {
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let stream = connect_tcp(host, *port, patience)?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Stream::new(Socket::Tcp(stream))?))
        }
        Endpoint::Unix(path) => Ok(Box::new(Stream::new(Socket::Unix(connect_unix(path, patience)?))?)),
        Endpoint::Serial { path, baud } => {
            let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(Box::new(Line(serialport::new(path, *baud).open_native()?)))
        }
        Endpoint::Exec(command) => Ok(Box::new(Stream::new(spawn(command)?)?)),
    }
}

fn connect_tcp(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + patience;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        // Zero is not a timeout to the standard library.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects without ever waiting in the kernel, which it does without limit while the server's queue is full.
fn connect_unix(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    const RETRY: Duration = Duration::from_millis(20);
    let until = Instant::now() + patience;
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    loop {
        match connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &address) {
            Ok(()) => return Ok(fd.into()),
            Err(Errno::EAGAIN) if Instant::now() < until => std::thread::sleep(RETRY),
            Err(Errno::EAGAIN) => {
                let reason = "the server takes no further client: its queue is full";
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn spawn(command: &str) -> io::Result<Socket> {
    let invalid = |reason: &'static str| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let words = shell_words::split(command).map_err(|_| invalid("a quote is not closed"))?;
    let (program, args) = words.split_first().ok_or_else(|| invalid("no command"))?;
    // A socket, as GDB has it: gdbserver is not told of an interrupt that arrives in a pipe.
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(program)
        .args(args)
        .stdin(OwnedFd::from(theirs.try_clone()?))
        .stdout(OwnedFd::from(theirs))
        // Ctrl-C in the terminal is for us: the server has to live until the target was let go of.
        .process_group(0)
        .spawn()?;
    Ok(Socket::Child(child, ours))
}

/// What has a file descriptor that can be waited on.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Child(Child, UnixStream),
}

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) | Self::Child(_, stream) => stream.as_fd(),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) | Self::Child(_, stream) => stream.set_nonblocking(true),
        }
    }

    fn read(&mut self, input: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(input),
            Self::Unix(stream) | Self::Child(_, stream) => stream.read(input),
        }
    }

    fn write(&mut self, out: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(out),
            Self::Unix(stream) | Self::Child(_, stream) => stream.write(out),
        }
    }

    /// Tells the other side that nothing more will come.
    fn end_writing(&mut self) {
        // The other side may be gone already, which is as good.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) | Self::Child(_, stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

/// A byte stream that does not block.
#[derive(Debug)]
struct Stream {
    socket: Socket,
    is_open: bool,
}

impl Stream {
    fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking()?;
        Ok(Self { socket, is_open: true })
    }

    /// Waits until something can be read, or written if `wants_write`.
    fn wait(&self, wants_write: bool, patience: Duration) -> io::Result<()> {
        let write = if wants_write { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = [PollFd::new(self.socket.fd(), PollFlags::POLLIN | write)];
        // Rounded up: a wait that is too short by a fraction would be repeated many times.
        let millis = i32::try_from(patience.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the other side has closed.
    fn wait_for_end(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut input = vec![0; 4096];
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            match self.transfer(&[], &mut input, left) {
                Ok(transfer) if !transfer.is_closed => {}
                Ok(_) | Err(_) => return true,
            }
        }
        false
    }
}

/// A transfer that did not come about for now is one of no bytes.
fn later(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(len) => Ok(Some(len)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

impl Transport for Stream {
    fn transfer(&mut self, out: &[u8], input: &mut [u8], patience: Duration) -> io::Result<Transfer> {
        let mut transfer = Transfer::default();
        if !out.is_empty() {
            match later(self.socket.write(out)) {
                Ok(sent) => transfer.sent_bytes = sent.unwrap_or(0),
                // What it said before it went away is still to be read.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
            if transfer.sent_bytes == out.len() {
                return Ok(transfer);
            }
        }
        self.wait(transfer.sent_bytes < out.len(), patience)?;
        match later(self.socket.read(input)) {
            Ok(Some(0)) => transfer.is_closed = true,
            Ok(received) => transfer.received_bytes = received.unwrap_or(0),
            Err(error) if is_gone(&error) => transfer.is_closed = true,
            Err(error) => return Err(error),
        }
        Ok(transfer)
    }

    fn close(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        self.socket.end_writing();
        // Closing a socket with unread bytes would take back what was sent last.
        self.wait_for_end(CLOSE_PATIENCE);
        if let Socket::Child(child, _) = &mut self.socket {
            if !matches!(child.try_wait(), Ok(Some(_))) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

/// A serial line. It has no end to wait for, and its buffers are emptied by time alone.
struct Line(TTYPort);

impl Transport for Line {
    fn transfer(&mut self, out: &[u8], input: &mut [u8], patience: Duration) -> io::Result<Transfer> {
        let mut transfer = Transfer::default();
        self.0.set_timeout(patience)?;
        if !out.is_empty() {
            transfer.sent_bytes = timed_out(self.0.write(out))?;
            if transfer.sent_bytes == out.len() || self.0.bytes_to_read()? == 0 {
                return Ok(transfer);
            }
        }
        match timed_out(self.0.read(input)) {
            Ok(received) => transfer.received_bytes = received,
            Err(error) if is_gone(&error) => transfer.is_closed = true,
            // EIO: the other end of a pseudo-terminal is gone, or the adapter was unplugged.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => transfer.is_closed = true,
            Err(error) => return Err(error),
        }
        Ok(transfer)
    }

    fn close(&mut self) {
        // Waits until the last byte was sent; an adapter that was unplugged has nothing to wait for.
        let _ = self.0.flush();
    }
}

fn timed_out(result: io::Result<usize>) -> io::Result<usize> {
    match later(result) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(0),
        Err(error) => Err(error),
        Ok(len) => Ok(len.unwrap_or(0)),
    }
}
