//! Listens, and hands requests to the session.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::protocol::{self, MAX_LINE_BYTES, Reply};
use crate::collect::{Answer, Ask, Request};

/// More clients at a time are turned away.
const MAX_CLIENTS: usize = 16;

/// How long a client may be silent.
const READ_PATIENCE: Duration = Duration::from_secs(600);

/// How long a client may leave its answers unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a session that has ended waits for its last answers to be on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How many requests with an id are remembered.
const MAX_REMEMBERED: usize = 256;

/// A control socket could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Another session listens there.
    #[error("listen on {}: another session does", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("listen on {}: it is there, and no socket", path.display())]
    NoSocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("listen on {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

/// A control socket that goes with its session.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// Device and inode: what is removed at the end is what was made.
    identity: Option<(u64, u64)>,
    /// What clients ask.
    pub requests: Receiver<Request>,
    underway: Arc<Underway>,
}

/// Requests that are not answered yet.
#[derive(Default, Debug)]
struct Underway {
    count: Mutex<usize>,
    is_answered: Condvar,
}

impl Underway {
    fn add(&self, change: isize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(change);
        self.is_answered.notify_all();
    }

    fn wait_until_answered(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever does not read its answer by then has none.
        let _ = self.is_answered.wait_timeout_while(count, LAST_ANSWERS, |count| *count > 0);
    }
}

impl Server {
    /// Listens at `path`, for its owner alone. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// Another session listens there, something else is there, or the operating system refuses.
    pub fn listen(path: &Path) -> Result<Self, ServerError> {
        let fail = |source| ServerError::Io { path: path.to_owned(), source };
        make_way(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // A folder of its own first: nobody else can connect before the socket is the owner's alone.
        let private = tempfile::Builder::new()
            .prefix(".covtap-control-")
            .tempdir_in(folder.unwrap_or(Path::new(".")))
            .map_err(fail)?;
        let made = private.path().join("socket");
        let listener = UnixListener::bind(&made).map_err(fail)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        // A hard link refuses to replace what came meanwhile.
        fs::hard_link(&made, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ServerError::InUse { path: path.to_owned() },
            _ => fail(error),
        })?;
        let (ask, requests) = bounded(MAX_CLIENTS);
        let identity = fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        let underway = Arc::new(Underway::default());
        let counts = Arc::clone(&underway);
        thread::spawn(move || accept(&listener, &ask, &counts));
        Ok(Self { path: path.to_owned(), identity, requests, underway })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever is not answered yet is told that the session has ended, and heard out.
        self.requests = crossbeam_channel::never();
        self.underway.wait_until_answered();
        let there = fs::symlink_metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()));
        if there.is_some() && there == self.identity {
            // One that stays is replaced by the next session.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn make_way(path: &Path) -> Result<(), ServerError> {
    let fail = |source| ServerError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fail(error)),
        Ok(meta) if !meta.file_type().is_socket() => Err(ServerError::NoSocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(fail)
            }
            Err(error) => Err(fail(error)),
            Ok(_) => Err(ServerError::InUse { path: path.to_owned() }),
        },
    }
}

/// Serves each client on a thread of its own.
fn accept(listener: &UnixListener, ask: &Sender<Request>, underway: &Arc<Underway>) {
    let clients = Arc::new(AtomicUsize::new(0));
    let remembered = Arc::new(Remembered::default());
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            // Too many files are open: others may be closed soon.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let is_ready = stream
            .set_read_timeout(Some(READ_PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(WRITE_PATIENCE)));
        if is_ready.is_err() {
            continue;
        }
        if clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            let _ = stream.write_all(&Reply::refused(None, "too many clients").line());
            continue;
        }
        let (ask, remembered, clients) = (ask.clone(), Arc::clone(&remembered), Arc::clone(&clients));
        let underway = Arc::clone(underway);
        thread::spawn(move || {
            // A client that fails is a client less.
            let _ = serve(&mut stream, &ask, &remembered, &underway);
            clients.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Answers one line after the other.
fn serve(
    stream: &mut UnixStream,
    ask: &Sender<Request>,
    remembered: &Remembered,
    underway: &Underway,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            underway.add(1);
            let written = stream.write_all(&answer(&line, ask, remembered).line());
            underway.add(-1);
            written?;
        }
        if buffer.len() >= MAX_LINE_BYTES {
            let reason = format!("a line has at most {MAX_LINE_BYTES} bytes");
            return stream.write_all(&Reply::refused(None, reason).line());
        }
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(chunk.get(..len).unwrap_or_default());
    }
}

fn answer(line: &[u8], ask: &Sender<Request>, remembered: &Remembered) -> Reply {
    let line = match protocol::parse(line) {
        Ok(line) => line,
        Err(error) => return Reply::refused(None, error),
    };
    let wanted = match line.ask() {
        Ok(wanted) => wanted,
        Err(error) => return Reply::refused(line.id, error),
    };
    match line.id {
        None => Reply::of(None, carry_out(wanted, ask)),
        Some(id) => remembered.once(&id, &wanted, || carry_out(wanted.clone(), ask)),
    }
}

fn carry_out(wanted: Ask, ask: &Sender<Request>) -> Answer {
    let (reply, answered) = bounded(1);
    let sent = ask.send(Request { ask: wanted, reply }).is_ok();
    match sent.then(|| answered.recv()) {
        Some(Ok(answer)) => answer,
        Some(Err(_)) | None => Answer::Refused("the session has ended".to_owned()),
    }
}

/// What was answered to requests that have an id: the same one is not carried out again.
#[derive(Default)]
struct Remembered {
    /// `None` while it is carried out.
    known: Mutex<VecDeque<(String, Ask, Option<Reply>)>>,
    has_answer: Condvar,
}

impl Remembered {
    fn once(&self, id: &str, wanted: &Ask, carry_out: impl FnOnce() -> Answer) -> Reply {
        let mut known = self.lock();
        loop {
            match known.iter().find(|(known, ..)| known == id) {
                None => break,
                Some((_, asked, _)) if asked != wanted => {
                    return Reply::refused(Some(id.to_owned()), "this id was another request's");
                }
                Some((_, _, Some(reply))) => return reply.clone(),
                Some((_, _, None)) => {
                    known = self.has_answer.wait(known).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        known.push_back((id.to_owned(), wanted.clone(), None));
        if known.len() > MAX_REMEMBERED {
            // Those that are carried out are no more than there are clients.
            let oldest = known.iter().position(|(.., reply)| reply.is_some());
            oldest.map(|index| known.remove(index));
        }
        drop(known);
        let reply = Reply::of(Some(id.to_owned()), carry_out());
        let mut known = self.lock();
        if let Some((.., room)) = known.iter_mut().find(|(known, ..)| known == id) {
            *room = Some(reply.clone());
        }
        self.has_answer.notify_all();
        reply
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Ask, Option<Reply>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
