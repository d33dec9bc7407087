//! Sessions driven from outside: by covtap ctl, and by clients that are in a hurry, confused or gone.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use common::labels::{expected, reached};
use common::reset_guest::Board;
use common::{PATIENCE, Session, Way};
use covtap_testbed::{Guest, Machine, fixture, workspace_root};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A session with a control socket, on a guest that counts all the time.
struct Scene {
    dir: TempDir,
    guest: Guest,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let guest =
            Guest::builder(Machine::X86Pvh, fixture("x86-pvh/spin.elf")).start().expect("the guest starts");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase")).expect("it runs");
        Self { dir, guest }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("control")
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let [flag, address] = Way::Qemu.flags(&self.guest);
        let [elf, output, socket] = [fixture("x86-pvh/spin.elf"), self.path("spin.profraw"), self.socket()]
            .map(|path| path.display().to_string());
        let args = ["record", &flag, &address, &elf, "-o", &output, "--control", &socket];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    fn record(&self, more: &[&str]) -> Session {
        let session = Session::start(&self.args(more));
        session.wait_for_snapshots(1);
        session
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }
}

/// A client that keeps its connection.
struct Client(BufReader<UnixStream>);

impl Client {
    fn new(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).expect("the session listens")))
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the session hears");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.say(&request.to_string());
        self.hear()
    }
}

/// Asks by the command, and gives what it prints.
fn ctl(socket: &Path, words: &[&str]) -> Value {
    let socket = socket.display().to_string();
    let output = common::run(["ctl", &socket].iter().chain(words));
    common::assert_done(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn total(profile: &Path) -> u64 {
    common::counts(profile).values().flatten().sum()
}

#[test]
fn a_session_tells_takes_and_ends_as_it_is_asked() {
    let scene = Scene::new();
    let session = scene.record(&["--every", "1h"]);
    let mode = fs::metadata(scene.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = ctl(&scene.socket(), &["status"]);
    assert_eq!((&status["ok"], &status["status"]["snapshots"]), (&json!(true), &json!(1)));
    let before = total(&scene.path("spin.profraw"));
    let taken = ctl(&scene.socket(), &["snapshot"]);
    assert_eq!(taken["snapshot"], json!(2));
    assert_eq!(taken["files"], json!([scene.path("spin.profraw")]));
    assert!(total(&scene.path("spin.profraw")) > before, "it was written before it was answered");
    ctl(&scene.socket(), &["stop"]);
    let output = session.end();
    common::assert_done(&output);
    assert!(common::stderr(&output).contains("covtap: 3 snapshots, "), "{}", common::stderr(&output));
    assert!(!scene.socket().exists(), "it goes with its session");
}

/// What is counted is in one of the two, and in none twice: the guest goes on all the time.
#[test]
fn a_snapshot_and_its_reset_are_one_step() {
    let scene = Scene::new();
    let session = scene.record(&["--every", "1h"]);
    let keep = |name: &str| {
        let kept = scene.path(name);
        fs::copy(scene.path("spin.profraw"), &kept).expect("a copy");
        kept
    };
    // A monitor takes one client at a time; this is another one.
    let [address, elf] =
        [scene.guest.control(), &fixture("x86-pvh/spin.elf")].map(|path| path.display().to_string());
    let plain = scene.path("plain").display().to_string();
    let all_so_far = || {
        common::assert_done(&common::run(["snapshot", "--qemu", &address, &elf, "-o", &plain]));
        total(plain.as_ref())
    };
    let mut counted = 0;
    for part in ["first", "second", "third"] {
        let before = all_so_far();
        ctl(&scene.socket(), &["snapshot", "--reset"]);
        counted += total(&keep(part));
        let after = all_so_far();
        assert!(before <= counted && counted <= after, "{part}: {before} {counted} {after}");
    }
    ctl(&scene.socket(), &["reset"]);
    let status = ctl(&scene.socket(), &["status"]);
    assert_eq!(status["status"]["era"], json!(4));
    session.signal(Signal::SIGINT);
    common::assert_done(&session.end());
}

#[test]
fn the_same_id_is_the_same_request() {
    let scene = Scene::new();
    let session = scene.record(&["--every", "1h"]);
    let request = json!({ "covtap": 1, "id": "one", "do": "snapshot", "reset": true });
    let first = scene.client().ask(&request);
    assert_eq!((&first["ok"], &first["id"]), (&json!(true), &json!("one")));
    assert_eq!(scene.client().ask(&request), first, "another connection asks again");
    let other = scene.client().ask(&json!({ "covtap": 1, "id": "one", "do": "status" }));
    assert_eq!(other["error"], json!("this id was another request's"));
    let status = ctl(&scene.socket(), &["status"]);
    assert_eq!((&status["status"]["snapshots"], &status["status"]["era"]), (&json!(2), &json!(1)));
    session.signal(Signal::SIGINT);
    common::assert_done(&session.end());
}

#[test]
fn clients_that_die_stall_flood_or_talk_nonsense_cost_themselves_alone() {
    let scene = Scene::new();
    let session =
        scene.record(&["--every", "10ms", "--test-dir", &scene.path("tests").display().to_string()]);
    // Half a line, and gone; half a line, and silent; asked, and never heard.
    scene.client().0.get_mut().write_all(b"{\"covtap\":1,").expect("written");
    let mut silent = scene.client();
    silent.0.get_mut().write_all(b"{\"covtap\":1,").expect("written");
    scene.client().say(r#"{"covtap":1,"do":"snapshot"}"#);
    let mut confused = scene.client();
    for (line, reason) in [
        ("nonsense", "no request: "),
        (r#"{"covtap":2,"do":"status"}"#, "version 2 is not spoken here"),
        (r#"{"covtap":1,"do":"end"}"#, "none has begun"),
        (r#"{"covtap":1,"do":"begin","test":""}"#, "is empty"),
        (r#"{"covtap":1,"do":"begin","test":"a\u0007"}"#, "control characters"),
    ] {
        confused.say(line);
        let said = confused.hear();
        assert!(said["error"].as_str().is_some_and(|error| error.contains(reason)), "{line}: {said}");
    }
    let oversized = json!({ "covtap": 1, "do": "begin", "test": "x".repeat(300) });
    assert!(confused.ask(&oversized)["error"].as_str().is_some_and(|error| error.contains("256 bytes")));
    confused.say(&"x".repeat(10_000));
    assert!(confused.hear()["error"].as_str().is_some_and(|error| error.contains("4096 bytes")));
    assert_eq!(confused.0.read(&mut [0; 1]).unwrap_or(0), 0, "and is left");
    // More requests than anybody waits for, of which no answer is read.
    let mut flood = scene.client();
    flood.0.get_ref().set_nonblocking(true).expect("a socket");
    while flood.0.get_mut().write(b"{\"covtap\":1,\"do\":\"status\"}\n").is_ok() {}
    drop(flood);
    let mut crowd: Vec<_> = (0..40).map(|_| scene.client()).collect();
    let answers: Vec<_> = crowd
        .iter_mut()
        .map(|client| {
            let _ = client.0.get_mut().write_all(b"{\"covtap\":1,\"do\":\"status\"}\n");
            let mut line = String::new();
            let _ = client.0.read_line(&mut line);
            line
        })
        .collect();
    assert!(answers.iter().any(|line| line.contains("too many clients")), "{answers:?}");
    drop(crowd);
    session.wait_for_more_snapshots(3);
    ctl_until_done(&scene.socket());
    session.signal(Signal::SIGINT);
    common::assert_done(&session.end());
    assert!(total(&scene.path("spin.profraw")) > 0);
}

/// Clients that have just gone are counted until their threads see it.
fn ctl_until_done(socket: &Path) {
    let path = socket.display().to_string();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !common::run(["ctl", &path, "status"]).status.success() {
        assert!(std::time::Instant::now() < deadline, "the session answers nobody");
        std::thread::yield_now();
    }
}

#[test]
fn a_socket_is_one_sessions_and_a_stale_one_is_replaced() {
    let scene = Scene::new();
    drop(UnixListener::bind(scene.socket()).expect("a socket that nobody listens on"));
    let session = scene.record(&["--every", "1h"]);
    let other = common::run(scene.args(&[]));
    common::assert_refused(&other, "another session does", "choose another");
    ctl(&scene.socket(), &["status"]);
    session.signal(Signal::SIGKILL);
    session.end();
    assert!(scene.socket().exists(), "a session that is killed leaves it");
    let again = scene.record(&["--every", "1h"]);
    again.signal(Signal::SIGINT);
    common::assert_done(&again.end());
    fs::write(scene.socket(), "something").expect("a file");
    common::assert_refused(&common::run(scene.args(&[])), "no socket", "choose another");
    assert_eq!(fs::read(scene.socket()).expect("a file"), b"something");
    let nobody = scene.path("nobody").display().to_string();
    common::assert_refused(&common::run(["ctl", &nobody, "status"]), "connect to", "--control");
}

#[test]
fn each_of_ten_tests_has_its_own_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    let elf = dir.path().join("guest.elf");
    let board = Board::I386;
    board.build(&workspace_root().join("tests/labels/guest.c"), &[&board.serial()], &["-DBY_HOST"], &elf);
    let serial = dir.path().join("serial");
    let listener = UnixListener::bind(&serial).expect("a socket");
    let guest = board.guest_with_serial(&elf, &serial).start().expect("the guest starts");
    let (mut commands, _) = listener.accept().expect("QEMU connects");
    let [flag, address] = Way::Qemu.flags(&guest);
    let [elf_arg, output, socket, tests] =
        [elf.clone(), dir.path().join("all.profraw"), dir.path().join("control"), dir.path().join("tests")];
    let args =
        ["record", &flag, &address, &elf_arg.display().to_string(), "-o", &output.display().to_string()];
    let more = ["--every", "20ms", "--control", &socket.display().to_string(), "--test-dir"];
    let session = Session::start(
        &args
            .iter()
            .chain(&more)
            .chain(&[&*tests.display().to_string()])
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
    );
    session.wait_for_snapshots(1);
    let mut run = |letter: char| {
        commands.write_all(&[letter as u8]).expect("the guest hears");
        guest.console().wait_for(PATIENCE, |line| line.starts_with("ran ")).expect("it answers");
    };
    for letter in 'a'..='j' {
        ctl(&socket, &["begin", &format!("test {letter}")]);
        run(letter);
        ctl(&socket, &["end"]);
        // Between the tests, others run.
        run('j');
    }
    // Nobody ends this one.
    ctl(&socket, &["begin", "test a again"]);
    run('a');
    ctl(&socket, &["stop"]);
    common::assert_done(&session.end());
    let index = fs::read(tests.join("tests.json")).expect("an index");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let all = index["tests"].as_array().expect("tests");
    assert_eq!(all.len(), 11);
    let cut = &all[10];
    assert_eq!(
        (&cut["name"], &cut["runs"], &cut["cut"]),
        (&json!("test a again"), &json!(0), &json!(true)),
        "{index}"
    );
    let profile = tests.join(cut["profile"].as_str().expect("a profile"));
    assert_eq!(reached(&elf, &profile), expected('a'));
    for (letter, test) in ('a'..='j').zip(all) {
        assert_eq!((&test["name"], &test["runs"]), (&json!(format!("test {letter}")), &json!(1)));
        let profile = tests.join(test["profile"].as_str().expect("a profile"));
        assert_eq!(reached(&elf, &profile), expected(letter), "test {letter}");
    }
}
