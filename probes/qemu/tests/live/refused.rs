//! A host that does not let the QEMU process be read.
//!
//! The refusal is a real one: the reader runs in a user namespace of its own, where its privileges reach no
//! process outside, so that the kernel answers `process_vm_readv` with EPERM whoever runs the tests.

use std::process::Command;

use covtap_link::Link;
use covtap_qemu::{AddressSpace, QemuLink};
use covtap_testbed::tool;
use tempfile::TempDir;

use crate::support::{AN385, Control, TCP_MONITOR, X86, options, pattern, read, start, start_plain};

const ENDPOINT: &str = "COVTAP_TEST_ENDPOINT";
const RANGE: &str = "COVTAP_TEST_RANGE";
const METHOD: &str = "COVTAP_TEST_METHOD";

/// Runs [`reader`] in a user namespace and gives what it printed.
fn read_without_rights(endpoint: &str, method: &str, range: (u64, usize)) -> String {
    let mut command = Command::new(tool("unshare").expect("unshare"));
    command.arg("--user").arg(std::env::current_exe().expect("this test"));
    run_reader(command, endpoint, method, range)
}

/// Runs [`reader`] where it sees neither QEMU's process nor QEMU the files that it writes, as in a container.
fn read_in_a_container(endpoint: &str, range: (u64, usize)) -> String {
    let hidden = TempDir::new().expect("a folder");
    let mut command = Command::new(tool("unshare").expect("unshare"));
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
    command.args(["sh", "-c", "mount -t tmpfs none \"$TMPDIR\" && exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().expect("this test")).env("TMPDIR", hidden.path());
    run_reader(command, endpoint, "auto", range)
}

fn run_reader(mut command: Command, endpoint: &str, method: &str, (addr, len): (u64, usize)) -> String {
    let output = command
        .args(["refused::reader", "--exact", "--ignored", "--nocapture"])
        .env(ENDPOINT, endpoint)
        .env(METHOD, method)
        .env(RANGE, format!("{addr}:{len}"))
        .output()
        .expect("start the reader");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("1 passed"), "{printed}");
    printed
}

/// The other process of the tests below.
#[test]
#[ignore = "run by the other tests, in a process without rights"]
fn reader() {
    let value = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let endpoint = value(ENDPOINT).parse().expect("an endpoint");
    let method = value(METHOD).parse().expect("a method");
    let range = value(RANGE);
    let (addr, len) = range.split_once(':').expect("a range");
    let (addr, len): (u64, usize) = (addr.parse().expect("an address"), len.parse().expect("a length"));
    match QemuLink::connect(&endpoint, &options(method, AddressSpace::Physical)) {
        Ok(mut link) => {
            assert!(read(&mut link, addr, len) == pattern(len), "other bytes");
            println!("server: {}", link.info().server);
            println!("reason: {}", link.fallback_reason().unwrap_or("none"));
            link.detach().expect("detach");
        }
        Err(error) => println!("error: {error}"),
    }
}

fn refusal(pid: u32) -> String {
    format!("process_vm_readv of process {pid}: Operation not permitted")
}

#[test]
fn a_refused_process_is_read_by_the_monitor_and_the_reason_is_kept() {
    let running = start_plain(AN385);
    let mut control = Control::new(&running.guest);
    let printed = read_without_rights(&running.guest.qmp().display().to_string(), "auto", AN385.pattern);
    assert!(printed.contains(", pmemsave\n"), "{printed}");
    assert!(printed.contains(&format!("reason: {}", refusal(running.guest.pid()))), "{printed}");
    assert_eq!(control.status(), "running");
    assert_eq!(control.events(), [""; 0]);
}

#[test]
fn a_refused_process_is_an_error_when_it_was_asked_for() {
    let running = start_plain(AN385);
    let endpoint = running.guest.qmp().display().to_string();
    let printed = read_without_rights(&endpoint, "process", AN385.pattern);
    let expected = format!("error: handshake on {endpoint}: not permitted: {}", refusal(running.guest.pid()));
    assert!(printed.contains(&expected), "{printed}");
}

#[test]
fn a_refused_process_with_a_shared_file_is_read_from_that() {
    let dir = tempfile::tempdir().expect("a folder");
    let object = format!(
        "memory-backend-file,id=ram0,size=64M,share=on,mem-path={}",
        dir.path().join("ram").display()
    );
    let running = start(X86, ["-object", &object, "-machine", "memory-backend=ram0"]);
    let printed = read_without_rights(&running.guest.qmp().display().to_string(), "auto", X86.pattern);
    assert!(printed.contains("shared file"), "{printed}");
    assert!(printed.contains(&refusal(running.guest.pid())), "{printed}");
}

#[test]
fn from_a_container_memory_comes_through_a_descriptor() {
    let running = start_plain(X86);
    let printed = read_in_a_container(&running.guest.qmp().display().to_string(), X86.pattern);
    assert!(printed.contains(", pmemsave\n"), "{printed}");
    assert!(printed.contains("reason: the QEMU process was not found"), "{printed}");
}

#[test]
fn from_a_container_over_tcp_memory_comes_as_text() {
    let running = start(X86, TCP_MONITOR);
    let mut control = Control::new(&running.guest);
    let endpoint = control.tcp_monitor();
    let printed = read_in_a_container(&endpoint, (X86.pattern.0, 200_000));
    assert!(printed.contains(", xp\n"), "{printed}");
    assert!(printed.contains("reason: the QEMU process was not found"), "{printed}");
    assert_eq!(control.status(), "running");
}
