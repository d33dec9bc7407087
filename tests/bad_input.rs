//! Everything that goes wrong in practice: one line that says what was tried and where, a hint where there is a
//! next step, exit code 2, and the last good profile untouched.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use common::{PATIENCE, Session, assert_refused, run};
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const OLD: &[u8] = b"the last good profile";

/// A folder with a profile of an earlier session.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().expect("a folder") };
        fs::write(scene.output(), OLD).expect("a profile");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self) -> PathBuf {
        self.path("valve.profraw")
    }

    /// `covtap record` once a millisecond.
    fn record(&self, flag: &str, address: &str, elf: &Path) -> Vec<String> {
        let output = self.output().display().to_string();
        let elf = elf.display().to_string();
        ["record", flag, address, &elf, "--every", "1ms", "-o", &output].map(str::to_owned).to_vec()
    }

    fn assert_untouched(&self) {
        assert_eq!(fs::read(self.output()).expect("the profile"), OLD);
        self.assert_nothing_else();
    }

    /// No temporary file stayed behind.
    fn assert_nothing_else(&self) {
        let names =
            fs::read_dir(self.dir.path()).expect("the folder").map(|entry| entry.expect("entry").file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".covtap-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn elf() -> PathBuf {
    fixture("x86-pvh/covered.elf")
}

fn guest() -> Guest {
    let guest = Guest::builder(Machine::X86Pvh, elf()).start().expect("the guest starts");
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase")).expect("the workload starts");
    guest
}

fn qmp(guest: &Guest) -> String {
    guest.qmp().display().to_string()
}

/// A covtap that has written `n` snapshots.
fn session_after(n: usize, args: &[String]) -> Session {
    let session = Session::start(args);
    session.wait_for_snapshots(n);
    session
}

#[test]
fn no_such_elf() {
    let scene = Scene::new();
    let missing = scene.path("missing.elf");
    let output = run(scene.record("--qemu", "/nonexistent", &missing));
    assert_refused(&output, &format!("read {}: No such file", missing.display()), "");
    scene.assert_untouched();
}

#[test]
fn a_truncated_elf() {
    let scene = Scene::new();
    let whole = fs::read(elf()).expect("the fixture");
    let cut = scene.path("cut.elf");
    for len in [0, 3, 40, 200, whole.len() / 2, whole.len() - 100] {
        fs::write(&cut, &whole[..len]).expect("a cut ELF");
        let output = run(scene.record("--qemu", "/nonexistent", &cut));
        assert_refused(&output, &cut.display().to_string(), "");
        scene.assert_untouched();
    }
}

#[test]
fn an_elf_without_instrumentation() {
    let scene = Scene::new();
    let output = run(scene.record("--qemu", "/nonexistent", &fixture("x86-pvh/plain.elf")));
    assert_refused(&output, "plain.elf", "-Cinstrument-coverage");
    scene.assert_untouched();
}

#[test]
fn the_wrong_elf() {
    let scene = Scene::new();
    let guest = guest();
    let wrong = fixture("x86-pvh/spin.elf");
    for (flag, address) in [("--qemu", qmp(&guest)), ("--gdb", guest.gdb().to_string())] {
        let output = run(scene.record(flag, &address, &wrong));
        let build_id = |elf: &Path| {
            let bytes = fs::read(elf).expect("an ELF");
            let image = covtap::image::Image::parse("", bytes).expect("an ELF");
            image.build_ids()[0].to_string()
        };
        assert_refused(&output, &build_id(&wrong), "--force");
        let said = common::stderr(&output);
        assert!(said.contains(&build_id(&elf())), "both ids: {said}");
        scene.assert_untouched();
    }
    let mut monitor = Monitor::connect(guest.control()).expect("a monitor");
    assert_eq!(monitor.status().expect("an answer"), "running");
}

/// Only the user can know better, and then it is said. The ELF differs in its build id alone.
#[test]
fn the_wrong_elf_by_force() {
    let scene = Scene::new();
    let guest = guest();
    let mut bytes = fs::read(elf()).expect("the fixture");
    let id = covtap::image::Image::parse("", bytes.clone()).expect("an ELF").build_ids()[0].clone();
    let at = bytes.windows(id.as_bytes().len()).position(|bytes| bytes == id.as_bytes()).expect("the note");
    bytes[at] ^= 1;
    let other = scene.path("other.elf");
    fs::write(&other, bytes).expect("an ELF");
    let mut args = scene.record("--qemu", &qmp(&guest), &other);
    args.extend(["--snapshots", "1"].map(str::to_owned));
    assert_refused(&run(&args), &id.to_string(), "--force");
    scene.assert_untouched();
    args.push("--force".to_owned());
    let output = run(&args);
    common::assert_done(&output);
    assert!(common::stderr(&output).contains("going on, as --force says"), "{}", common::stderr(&output));
}

#[test]
fn a_slide_that_the_target_does_not_have() {
    let scene = Scene::new();
    let guest = guest();
    let slid = PathBuf::from(format!("{}@0x1000", elf().display()));
    let output = run(scene.record("--qemu", &qmp(&guest), &slid));
    assert_refused(&output, "the target has none at 0x101014", "ELF@SLIDE");
    scene.assert_untouched();
}

#[test]
fn nobody_listens() {
    let scene = Scene::new();
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let no_socket = scene.path("nobody.sock").display().to_string();
    for (flag, address) in [
        ("--gdb", closed.clone()),
        ("--gdb", format!("unix:{no_socket}")),
        ("--qemu", closed),
        ("--qemu", no_socket),
    ] {
        let output = run(scene.record(flag, &address, &elf()));
        assert_refused(&output, &format!("connect to {address}: "), "does it listen there?");
        scene.assert_untouched();
    }
}

#[test]
fn a_server_that_never_answers() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    for flag in ["--gdb", "--qemu"] {
        let mut args = scene.record(flag, &address, &elf());
        args.extend(["--reply-timeout", "50ms"].map(str::to_owned));
        let output = run(args);
        assert_refused(&output, &format!("on {address}: no answer after"), "--reply-timeout");
        scene.assert_untouched();
    }
}

#[test]
fn a_server_that_speaks_something_else() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").expect("a banner");
            let mut sink = Vec::new();
            let _ = stream.read_to_end(&mut sink);
        }
    });
    for flag in ["--gdb", "--qemu"] {
        let mut args = scene.record(flag, &address, &elf());
        args.extend(["--reply-timeout", "200ms", "--reconnect", "0s"].map(str::to_owned));
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{}", common::stderr(&output));
        assert!(common::stderr(&output).contains(&address), "{}", common::stderr(&output));
        scene.assert_untouched();
    }
    server.join().expect("the server ends");
}

#[test]
fn a_server_that_dies_in_mid_session() {
    for through_qemu in [true, false] {
        let scene = Scene::new();
        let mut guest = guest();
        let address = if through_qemu { qmp(&guest) } else { guest.gdb().to_string() };
        let flag = if through_qemu { "--qemu" } else { "--gdb" };
        let mut args = scene.record(flag, &address, &elf());
        args.extend(["--reconnect", "10ms"].map(str::to_owned));
        let session = session_after(3, &args);
        guest.kill().expect("QEMU ends");
        let output = session.end();
        assert_refused(&output, &address, "has the target ended?");
        let last = common::counts(&scene.output());
        assert!(common::nonzero(&last) > 0);
        scene.assert_nothing_else();
    }
}

#[test]
fn a_server_that_stops_answering_in_mid_session() {
    let scene = Scene::new();
    let guest = guest();
    let address = guest.gdb().to_string();
    let mut args = scene.record("--gdb", &address, &elf());
    args.extend(["--reply-timeout", "200ms", "--reconnect", "0s"].map(str::to_owned));
    let session = session_after(3, &args);
    guest.signal(Signal::SIGSTOP).expect("QEMU is there");
    let output = session.end();
    assert_refused(&output, "no answer after", "--reply-timeout");
    assert!(common::nonzero(&common::counts(&scene.output())) > 0);
}

#[test]
fn two_covtaps_on_one_gdb_server() {
    let scene = Scene::new();
    let guest = guest();
    let address = guest.gdb().to_string();
    let first = session_after(1, &scene.record("--gdb", &address, &elf()));
    let other = Scene::new();
    let mut args = other.record("--gdb", &address, &elf());
    args.extend(["--connect-timeout", "300ms", "--reply-timeout", "300ms"].map(str::to_owned));
    let output = run(args);
    assert_refused(&output, &address, "one client at a time");
    other.assert_untouched();
    first.signal(Signal::SIGINT);
    common::assert_done(&first.end());
    let mut monitor = Monitor::connect(guest.control()).expect("a monitor");
    assert_eq!(monitor.status().expect("an answer"), "running");
}

#[test]
fn a_folder_that_is_not_there() {
    let scene = Scene::new();
    let mut args = scene.record("--qemu", "/nonexistent", &elf());
    args.pop();
    args.push(scene.path("missing/valve.profraw").display().to_string());
    assert_refused(&run(args), "missing/valve.profraw", "make its folder first");
}

#[test]
fn an_output_that_is_a_folder() {
    let scene = Scene::new();
    let mut args = scene.record("--qemu", "/nonexistent", &elf());
    args.pop();
    args.push(scene.dir.path().display().to_string());
    assert_refused(&run(args), "is a directory", "choose another file");
}

/// As a user without rights would see it: root may write everywhere, so covtap runs as nobody.
#[test]
fn an_output_that_may_not_be_written() {
    use std::os::unix::process::CommandExt;
    let scene = Scene::new();
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    let locked = scene.path("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("permissions");
    let readable = scene.path("valve.elf");
    fs::copy(elf(), &readable).expect("a copy that nobody may read");
    let binary = scene.path("covtap");
    // By another process: a program that is open for writing cannot be started, and what another test starts just then
    // would inherit the file from this one.
    let from = Path::new(env!("CARGO_BIN_EXE_covtap"));
    covtap_testbed::run("cp", [from, &binary]).expect("a copy that nobody may run");
    let mut command = std::process::Command::new(binary);
    command
        .args(["snapshot", "--qemu", "/nonexistent"])
        .arg(&readable)
        .arg("-o")
        .arg(locked.join("valve.profraw"));
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    assert_refused(&command.output().expect("covtap starts"), "permission denied", "choose another file");
}

/// A disk of one page, which the old profile fills, in a mount namespace of its own.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=4k none "$1" && cd "$1" && printf %s "$2" > valve.profraw || exit 99
shift 2
"$@"
code=$?
cat valve.profraw
find . -name '*covtap-*'
exit $code
"#;

#[test]
fn a_full_disk() {
    let scene = Scene::new();
    let guest = guest();
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh"]).arg(scene.dir.path());
    command.arg(std::str::from_utf8(OLD).expect("text")).arg(env!("CARGO_BIN_EXE_covtap"));
    command.args(scene.record("--gdb", &guest.gdb().to_string(), &elf())).env_remove("LLVM_PROFILE_FILE");
    let output = command.output().expect("unshare starts");
    assert_refused(&output, "fill the temporary file", "make room");
    assert_eq!(output.stdout, OLD);
    let mut monitor = Monitor::connect(guest.control()).expect("a monitor");
    assert_eq!(monitor.status().expect("an answer"), "running");
}

/// Early, before the target is touched: nothing listens there.
#[test]
fn a_pool_file_that_is_of_something_else() {
    let scene = Scene::new();
    let image = covtap::image::Image::parse("guest", fs::read(elf()).expect("an ELF")).expect("an ELF");
    let located = covtap::locate::llvm::locate(&image, covtap::image::Slide::ZERO).expect("counters");
    let pool = scene.path(&format!("{}_0.profraw", located.image.module_signature()));
    let mut args = scene.record("--qemu", "/nowhere", &elf());
    args.pop();
    args.push(scene.path("%m.profraw").display().to_string());
    let other = fs::read(fixture("hosted/rustc.profraw")).expect("a profile");
    for (content, why) in [(other, "its NumData is "), (b"garbage".to_vec(), "no raw profile begins here")] {
        fs::write(&pool, &content).expect("a file");
        let output = run(&args);
        assert_refused(&output, "it is no profile of this program: ", "move it away");
        assert!(common::stderr(&output).contains(why), "{}", common::stderr(&output));
        assert_eq!(fs::read(&pool).expect("the file"), content);
    }
    fs::remove_file(&pool).expect("the file");
    fs::create_dir(&pool).expect("a folder");
    assert_refused(&run(&args), "directory", "choose another file");
    scene.assert_nothing_else();
}
