//! A connection to a monitor on which nothing waits longer than it is told to.
//!
//! What always holds: no transfer blocks, and what is not ready is waited for with `poll`, so that every transfer has
//! a deadline. The connection itself is left blocking, for a child that has it too and can do nothing but wait.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, send, sendmsg, socket_with,
};

use crate::QmpEndpoint;

/// How long to wait before a Unix socket with a full queue is tried again: the kernel gives no event for it.
const RETRY_CONNECT: Duration = Duration::from_millis(10);

/// What a transfer does that is not ready: it fails.
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    /// Connects before `deadline`.
    pub(crate) fn connect(endpoint: &QmpEndpoint, deadline: Instant) -> io::Result<Self> {
        match endpoint {
            QmpEndpoint::Unix(path) => connect_unix(path, deadline).map(Self::Unix),
            QmpEndpoint::Tcp { host, port } => {
                let stream = connect_tcp(host, *port, deadline)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Reads what has arrived, waiting for the first byte until `deadline`. 0 is the end of the stream.
    pub(crate) fn read(&mut self, buf: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            match recv(&*self, &mut *buf, RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) => wait(self.as_fd(), PollFlags::IN, deadline)?,
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other.map(|(len, _)| len)?),
            }
        }
    }

    /// Whether the other end is on this host, as far as its address tells.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(stream) => stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()),
        }
    }

    /// The same connection for somebody else.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Whether something has arrived: bytes, or the end of the stream.
    pub(crate) fn has_arrived(&self) -> io::Result<bool> {
        is_ready(self.as_fd(), PollFlags::IN, &Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    /// Writes all of `bytes` before `deadline`.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(&*self, bytes, SEND_FLAGS) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(rustix::io::Errno::AGAIN) => wait(self.as_fd(), PollFlags::OUT, deadline)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` with a descriptor attached to the first of them; Unix sockets only.
    pub(crate) fn write_with_fd(
        &mut self,
        bytes: &[u8],
        fd: BorrowedFd<'_>,
        deadline: Instant,
    ) -> io::Result<()> {
        if let Self::Tcp(_) = self {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let sent = loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            match sendmsg(&*self, &[IoSlice::new(bytes)], &mut control, SEND_FLAGS) {
                Err(rustix::io::Errno::AGAIN) => wait(self.as_fd(), PollFlags::OUT, deadline)?,
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        self.write_all(bytes.get(sent..).unwrap_or_default(), deadline)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Connects to a Unix socket. A server that serves one client at a time, as QEMU's monitor does, may have a
/// full queue: `connect` would then block without end, so it is asked not to.
fn connect_unix(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let addr = SocketAddrUnix::new(path)?;
    loop {
        match connect(&fd, &addr) {
            Ok(()) => {
                let stream = UnixStream::from(fd);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if Instant::now() < deadline => {
                thread::sleep(RETRY_CONNECT);
            }
            Err(rustix::io::Errno::AGAIN) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the socket's queue of clients is full"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn connect_tcp(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&addr, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if is_ready(fd, flags, &timeout)? { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// Whether `fd` is ready, waiting no longer than `timeout`. An interruption counts as readiness: the caller
/// tries its transfer and comes back.
fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags, timeout: &Timespec) -> io::Result<bool> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
