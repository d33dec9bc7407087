//! A wire between two programs that can be cut.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// Hands bytes on between whoever connects here, one at a time, and a Unix socket.
pub(crate) struct Proxy {
    /// Both ends of the wire that there is.
    ends: Arc<Mutex<Vec<UnixStream>>>,
}

impl Proxy {
    /// Listens on `here`, and connects to `there` for each client.
    pub(crate) fn start(here: &Path, there: &Path) -> Self {
        let listener = UnixListener::bind(here).expect("a socket");
        let ends = Arc::new(Mutex::new(Vec::new()));
        let (there, kept) = (there.to_owned(), Arc::clone(&ends));
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let server = UnixStream::connect(&there).expect("the server listens");
                let twin = |end: &UnixStream| end.try_clone().expect("a descriptor");
                *kept.lock().expect("no panic") = vec![twin(&client), twin(&server)];
                let back = (twin(&server), twin(&client));
                let answers = thread::spawn(move || hand_on(back.0, back.1));
                hand_on(client, server);
                answers.join().expect("no panic");
            }
        });
        Self { ends }
    }

    /// Cuts the wire; the next client has a new one.
    pub(crate) fn cut(&self) {
        for end in self.ends.lock().expect("no panic").drain(..) {
            // The other side may have been quicker.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn hand_on(mut from: UnixStream, mut to: UnixStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
