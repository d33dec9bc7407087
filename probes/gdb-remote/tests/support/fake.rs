//! A server that does as a test says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use covtap_gdb_remote::Endpoint;
use tempfile::TempDir;

/// What a server does next.
pub(crate) enum Act {
    /// Sends these bytes as they are.
    Raw(Vec<u8>),
    /// Sends a packet, acknowledged.
    Reply(String),
    /// Says nothing.
    Silence,
    /// Sends these bytes and closes.
    Close(Vec<u8>),
}

pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    let sum = payload.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [b"$", payload, format!("#{sum:02x}").as_bytes()].concat()
}

/// A server on a Unix socket, for one client; `heard` is what the client sent: payloads of packets, `\x03`
/// for an interrupt and `-` for a refusal.
pub(crate) struct Fake {
    path: PathBuf,
    pub(crate) heard: Receiver<String>,
    server: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Fake {
    /// Serves whatever `serve` does with the connection.
    pub(crate) fn raw(serve: impl FnOnce(UnixStream) + Send + 'static) -> Self {
        Self::start(|stream, _| serve(stream))
    }

    /// Answers each packet, interrupt and refusal with what `answer` says.
    pub(crate) fn answering(mut answer: impl FnMut(&str) -> Act + Send + 'static) -> Self {
        Self::start(move |mut stream, heard| {
            while let Some(message) = message(&mut stream) {
                let _ = heard.send(message.clone());
                let bytes = match answer(&message) {
                    Act::Raw(bytes) => bytes,
                    Act::Reply(payload) => [b"+".to_vec(), packet(payload.as_bytes())].concat(),
                    Act::Silence => continue,
                    Act::Close(bytes) => {
                        let _ = stream.write_all(&bytes);
                        return;
                    }
                };
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        })
    }

    fn start(serve: impl FnOnce(UnixStream, std::sync::mpsc::Sender<String>) + Send + 'static) -> Self {
        let dir = TempDir::with_prefix("covtap-fake-").unwrap();
        let path = dir.path().join("gdb.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (sender, heard) = channel();
        let server = std::thread::spawn(move || serve(listener.accept().unwrap().0, sender));
        Self { path, heard, server: Some(server), _dir: dir }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }

    /// Waits until the server has ended, and gives everything that it heard.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.server.take().unwrap().join().unwrap();
        self.heard.try_iter().collect()
    }
}

/// The next thing that the client said; `None` at its end.
fn message(stream: &mut UnixStream) -> Option<String> {
    let mut next = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok().map(|()| byte[0])
    };
    loop {
        match next()? {
            b'$' => break,
            b'+' => {}
            other => return Some(char::from(other).into()),
        }
    }
    let mut payload = String::new();
    loop {
        match next()? {
            b'#' => break,
            byte => payload.push(byte.into()),
        }
    }
    next()?;
    next()?;
    Some(payload)
}
