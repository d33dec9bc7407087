//! Reset, stop, resume and the guest's end.

use std::time::{Duration, Instant};

use covtap_link::{Link, LinkError, Operation, ReadMemory, RunState, TargetAddr, TargetEvent, TargetEvents};
use covtap_qemu::{AddressSpace, MethodChoice, QemuLink};
use covtap_testbed::Guest;
use nix::sys::signal::Signal;
use procfs::process::Process;
use serde_json::json;

use crate::support::{
    AN385, Control, PATIENCE, RISCV, X86, connect, counter, endpoint, next_event, options, read, start_plain,
    wait_until_it_counts,
};

#[test]
fn a_reset_is_told_and_memory_is_found_again() {
    for kind in [X86, AN385] {
        let running = start_plain(kind);
        let mut control = Control::new(&running.guest);
        let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Auto);
        assert!(read(&mut link, kind.pattern.0, 1 << 20) == running.pattern[..1 << 20]);
        assert_eq!(link.events().expect("events").poll().expect("poll"), None);
        control.execute("system_reset", &json!({}));
        assert_eq!(next_event(&mut link), TargetEvent::Reset);
        running.guest.console().wait_for(PATIENCE, |line| line == "R").expect("it runs again");
        let first = counter(&mut link, kind.counter);
        wait_until_it_counts(&mut link, kind.counter, first);
        assert!(read(&mut link, kind.pattern.0, 1 << 20) == running.pattern[..1 << 20]);
    }
}

#[test]
fn stop_and_resume_by_somebody_else_are_told_and_kept() {
    let running = start_plain(RISCV);
    let mut control = Control::new(&running.guest);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
    assert_eq!(link.run_state(), RunState::Running);
    control.execute("stop", &json!({}));
    assert_eq!(next_event(&mut link), TargetEvent::Stopped);
    assert_eq!(link.run_state(), RunState::Stopped);
    let held = counter(&mut link, RISCV.counter);
    assert_eq!(counter(&mut link, RISCV.counter), held);
    assert_eq!(control.status(), "paused");
    control.execute("cont", &json!({}));
    assert_eq!(next_event(&mut link), TargetEvent::Resumed);
    wait_until_it_counts(&mut link, RISCV.counter, held);
}

#[test]
fn a_guest_that_was_found_paused_stays_so() {
    let running = start_plain(X86);
    let mut control = Control::new(&running.guest);
    control.execute("stop", &json!({}));
    for method in [MethodChoice::Process, MethodChoice::Monitor] {
        let mut link = connect(&running.guest, method, AddressSpace::Auto);
        assert_eq!(link.run_state(), RunState::Stopped);
        assert!(read(&mut link, X86.pattern.0, 4096) == running.pattern[..4096]);
        link.detach().expect("detach");
        link.detach().expect("again");
        assert_eq!(control.status(), "paused");
    }
}

#[test]
fn a_guest_that_shuts_down_is_an_event() {
    let running = start_plain(RISCV);
    let mut control = Control::new(&running.guest);
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
    control.execute("quit", &json!({}));
    assert_eq!(next_event(&mut link), TargetEvent::Exited);
    // Told once, however the connection ends afterwards.
    let error = loop {
        assert_eq!(link.poll().expect("poll"), None);
        match link.read(TargetAddr::new(RISCV.counter), &mut [0; 4]) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
}

#[test]
fn a_qemu_that_dies_while_it_is_read_is_closed() {
    for method in [MethodChoice::Process, MethodChoice::Monitor] {
        let mut running = start_plain(AN385);
        let mut link = connect(&running.guest, method, AddressSpace::Physical);
        let (read_once, first_read) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut buf = vec![0; 1 << 20];
            loop {
                match link.read(TargetAddr::new(AN385.pattern.0), &mut buf) {
                    // The receiver leaves after the first read.
                    Ok(_) => drop(read_once.send(())),
                    Err(error) => return (error, link),
                }
            }
        });
        first_read.recv_timeout(PATIENCE).expect("a read");
        running.guest.kill().expect("kill QEMU");
        let (error, mut link) = reader.join().expect("the reader");
        assert!(matches!(error, LinkError::Closed { .. }), "{method}: {error}");
        // It did not say that it ended.
        let event = link.poll();
        assert!(matches!(event, Err(LinkError::Closed { .. })), "{event:?}");
    }
}

/// Stops QEMU itself and waits until each of its threads has.
fn freeze(guest: &Guest) {
    guest.signal(Signal::SIGSTOP).expect("stop QEMU");
    let process = Process::new(i32::try_from(guest.pid()).expect("a process id")).expect("QEMU");
    let is_frozen = || {
        let mut tasks = process.tasks().expect("threads").flatten();
        tasks.all(|task| task.stat().expect("a thread's state").state == 'T')
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_frozen() {
        assert!(Instant::now() < deadline, "QEMU does not stop");
        std::thread::yield_now();
    }
}

#[test]
fn a_qemu_that_does_not_answer_is_read_by_its_process_all_the_same() {
    let running = start_plain(AN385);
    let mut link = connect(&running.guest, MethodChoice::Process, AddressSpace::Physical);
    read(&mut link, AN385.pattern.0, 4);
    freeze(&running.guest);
    assert!(read(&mut link, AN385.pattern.0, 1 << 20) == running.pattern[..1 << 20]);
    let held = counter(&mut link, AN385.counter);
    assert_eq!(counter(&mut link, AN385.counter), held);
    running.guest.signal(Signal::SIGCONT).expect("continue QEMU");
    wait_until_it_counts(&mut link, AN385.counter, held);
}

#[test]
fn a_qemu_that_does_not_answer_is_given_up_by_its_monitor() {
    let running = start_plain(AN385);
    let mut options = options(MethodChoice::Monitor, AddressSpace::Physical);
    options.reply_timeout = Duration::from_secs(2);
    let mut link = QemuLink::connect(&endpoint(&running.guest), &options).expect("connect");
    read(&mut link, AN385.counter, 4096);
    freeze(&running.guest);
    let error = link.read(TargetAddr::new(AN385.counter), &mut [0; 8]).expect_err("no answer");
    assert!(matches!(error, LinkError::Timeout { waited_ms: 2000, .. }), "{error}");
    assert!(error.to_string().starts_with("read 8 bytes at 0x20000000 on /"), "{error}");
}

#[test]
fn a_monitor_that_serves_somebody_else_is_given_up() {
    let running = start_plain(AN385);
    let first = connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
    let mut options = options(MethodChoice::Auto, AddressSpace::Physical);
    options.reply_timeout = Duration::from_millis(100);
    let error = QemuLink::connect(&endpoint(&running.guest), &options).expect_err("it is busy");
    assert!(matches!(error, LinkError::Timeout { operation: Operation::Handshake, .. }), "{error}");
    drop(first);
    connect(&running.guest, MethodChoice::Auto, AddressSpace::Physical);
}
