//! Servers that are no monitor, or a bad one: every way to fail is an error within its time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use covtap_link::{Link, LinkError, ReadMemory, TargetAddr, TargetEvent, TargetEvents};
use covtap_qemu::{MethodChoice, Options, QemuLink, QmpEndpoint};
use tempfile::TempDir;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}"#;

/// A server of one client, played by `play`, and a link that was tried on it.
struct Outcome {
    link: Result<QemuLink, LinkError>,
    server: JoinHandle<()>,
    _dir: TempDir,
}

#[cfg(test)]
mod server {
    use super::*;

    /// Lets `play` serve one client, to which a link is tried with `patience`.
    pub(crate) fn serve(
        patience: Duration,
        play: impl FnOnce(&mut BufReader<UnixStream>) + Send + 'static,
    ) -> Outcome {
        let mut options = Options::default();
        options.reply_timeout = patience;
        serve_with(&options, play)
    }

    /// Lets `play` serve one client, to which a link is tried.
    pub(crate) fn serve_with(
        options: &Options,
        play: impl FnOnce(&mut BufReader<UnixStream>) + Send + 'static,
    ) -> Outcome {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            play(&mut BufReader::new(stream));
        });
        let link = QemuLink::connect(&QmpEndpoint::Unix(path), options);
        Outcome { link, server, _dir: dir }
    }

    /// What a link to such a server fails with.
    pub(crate) fn failure(
        patience: Duration,
        play: impl FnOnce(&mut BufReader<UnixStream>) + Send + 'static,
    ) -> LinkError {
        let outcome = serve(patience, play);
        let error = outcome.link.expect_err("the server is no good");
        outcome.server.join().expect("the server");
        error
    }

    pub(crate) fn say(stream: &mut BufReader<UnixStream>, text: &str) {
        // The client may have given up already.
        let _ = stream.get_mut().write_all(text.as_bytes());
    }

    /// Waits for the client to leave.
    pub(crate) fn until_left(stream: &mut BufReader<UnixStream>) {
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|n| n > 0) {
            line.clear();
        }
    }

    /// Greets and answers every command with what `answer` makes of it and its id.
    pub(crate) fn answer_all(stream: &mut BufReader<UnixStream>, answer: impl Fn(&str, &str) -> String) {
        say(stream, GREETING);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|n| n > 0) {
            let command: serde_json::Value = serde_json::from_str(&line).expect("a command");
            let told = match command["arguments"]["command-line"].as_str() {
                Some(words) => words.to_owned(),
                None => command["execute"].as_str().expect("a name").to_owned(),
            };
            say(stream, &answer(&told, &command["id"].to_string()));
            line.clear();
        }
    }
}

use server::{answer_all, failure, say, serve, serve_with, until_left};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_server_of_another_kind_is_told_apart() {
    let error = failure(LONG, |stream| say(stream, "SSH-2.0-OpenSSH_9.2\r\n"));
    assert!(matches!(error, LinkError::Protocol { .. }), "{error}");
    assert!(error.to_string().starts_with("handshake on /"), "{error}");
    let error = failure(LONG, |stream| say(stream, "{\"jsonrpc\": \"2.0\"}"));
    assert!(error.to_string().ends_with("neither greeting, answer nor event"), "{error}");
    let error = failure(LONG, |stream| say(stream, "{\"QMP\": [}\r\n"));
    assert!(error.to_string().contains("not JSON"), "{error}");
}

#[test]
fn a_server_that_never_greets_or_answers_is_given_up() {
    let error = failure(SHORT, until_left);
    assert!(matches!(error, LinkError::Timeout { waited_ms: 50, .. }), "{error}");
    let error = failure(SHORT, |stream| {
        say(stream, GREETING);
        until_left(stream);
    });
    assert!(matches!(error, LinkError::Timeout { waited_ms: 50, .. }), "{error}");
    assert!(error.to_string().starts_with("handshake on /"), "{error}");
}

#[test]
fn events_without_end_do_not_extend_the_time() {
    let error = failure(SHORT, |stream| {
        say(stream, GREETING);
        while stream.get_mut().write_all(b"{\"event\": \"RTC_CHANGE\", \"data\": {}}\r\n").is_ok() {}
    });
    assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
}

#[test]
fn a_message_without_end_is_cut_off() {
    let error = failure(LONG, |stream| {
        say(stream, "{\"QMP\": \"");
        while stream.get_mut().write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    assert!(matches!(error, LinkError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("message longer than 16777216 bytes"), "{error}");
}

#[test]
fn a_server_that_leaves_in_mid_answer_is_closed() {
    for half in ["", "{\"QMP\": {\"vers"] {
        let error = failure(LONG, |stream| say(stream, half));
        assert!(matches!(error, LinkError::Closed { .. }), "{error}");
    }
    let error = failure(LONG, |stream| {
        say(stream, GREETING);
        let mut line = String::new();
        stream.read_line(&mut line).expect("qmp_capabilities");
        say(stream, "{\"return\": {");
    });
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
}

#[test]
fn a_server_that_knows_nothing_is_a_link_that_can_read_nothing() {
    let outcome = serve(LONG, |stream| {
        answer_all(stream, |told, id| match told {
            "qmp_capabilities" => format!("{{\"return\": {{}}, \"id\": {id}}}\r\n"),
            _ => format!(
                "{{\"error\": {{\"class\": \"CommandNotFound\", \"desc\": \"no {told}\"}}, \"id\": {id}}}\r\n"
            ),
        });
    });
    let mut link = outcome.link.expect("a monitor of some kind");
    assert_eq!(link.fallback_reason(), Some("the monitor shows no memory to compare a process with"));
    assert_eq!(link.info().architecture, None);
    let error = link.read(TargetAddr::new(0x1000), &mut [0; 4]).expect_err("nothing is known");
    assert!(matches!(error, LinkError::Unsupported { .. }), "{error}");
    assert_eq!(
        error.to_string().split(": ").skip(1).collect::<Vec<_>>().join(": "),
        "not supported: human-monitor-command: no gva2gpa 0x1000"
    );
    drop(link);
    outcome.server.join().expect("the server");
}

#[test]
fn answers_of_the_wrong_kind_and_lies_are_errors() {
    let lies = [
        "5",
        "\"\"",
        "\"gpa: 0x1000\"",
        "\"Host virtual address for 0x1000 (ram) is 0x1000\"",
        "\"FlatView #0\\n AS \\\"memory\\\", root: s\\n  0000000000000000-ffffffffffffffff (prio 0, ram): ram\"",
    ];
    for lie in lies {
        let outcome = serve(LONG, move |stream| {
            answer_all(stream, |told, id| match told {
                "qmp_capabilities" => format!("{{\"return\": {{}}, \"id\": {id}}}\r\n"),
                _ => format!("{{\"return\": {lie}, \"id\": {id}}}\r\n"),
            });
        });
        let read = outcome.link.and_then(|mut link| link.read(TargetAddr::new(0x1000), &mut [0; 4]));
        read.expect_err(lie);
        outcome.server.join().expect("the server");
    }
}

#[test]
fn events_arrive_beside_answers_and_a_late_answer_is_dropped() {
    let outcome = serve(LONG, |stream| {
        answer_all(stream, |_, id| {
            format!(
                "{{\"event\": \"STOP\"}}\n{{\"return\": {{\"late\": 1}}, \"id\": 999}}\n\
                 {{\n  \"return\": {{}},\n  \"id\": {id}\n}}\n{{\"event\": \"RESUME\"}}\n"
            )
        });
    });
    // The answers say nothing, but every one of them was understood.
    let error = outcome.link.expect_err("info mtree -f is not a string");
    assert!(error.to_string().contains("human-monitor-command: not a string"), "{error}");
    outcome.server.join().expect("the server");
}

#[test]
fn events_and_answers_to_others_may_come_before_the_greeting_and_the_end_comes_after_the_last() {
    let mut options = Options::default();
    options.method = MethodChoice::Monitor;
    let outcome = serve_with(&options, |stream| {
        say(stream, "{\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 2}\r\n");
        say(stream, GREETING);
        for _ in 0..3 {
            let mut line = String::new();
            stream.read_line(&mut line).expect("a command");
            let command: serde_json::Value = serde_json::from_str(&line).expect("a command");
            // One more that a client before was to be told.
            say(stream, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}, \"id\": 3}\r\n");
            say(stream, &format!("{{\"return\": {{}}, \"id\": {}}}\r\n", command["id"]));
        }
        say(stream, "{\"event\": \"RESET\", \"data\": {}}\r\n{\"event\": \"POWERDOWN\"}\r\n");
    });
    let mut link = outcome.link.expect("a monitor");
    outcome.server.join().expect("the server");
    assert_eq!(link.poll().expect("poll"), Some(TargetEvent::Stopped));
    assert_eq!(link.poll().expect("poll"), Some(TargetEvent::Reset));
    assert!(matches!(link.poll(), Err(LinkError::Closed { .. })));
    let error = link.read(TargetAddr::new(0), &mut [0; 4]).expect_err("nobody is there");
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
    assert!(matches!(link.poll(), Err(LinkError::Closed { .. })));
    link.detach().expect("there is nothing to leave");
}

#[test]
fn nobody_there_is_a_connect_error() {
    let dir = TempDir::new().expect("a folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("its address").to_string();
    drop(listener);
    for text in [dir.path().join("none").display().to_string(), closed] {
        let endpoint: QmpEndpoint = text.parse().expect("an endpoint");
        let error = QemuLink::connect(&endpoint, &Options::default()).expect_err("nobody listens");
        assert!(matches!(error, LinkError::Connect { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("connect to {text}: ")), "{error}");
    }
}
