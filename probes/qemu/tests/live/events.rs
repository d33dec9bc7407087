//! Reset, stop, resume and the guest's end.

use covtap_link::{Link, LinkError, ReadMemory, RunState, TargetAddr, TargetEvent, TargetEvents};
use covtap_qemu::{AddressSpace, MethodChoice};
use serde_json::json;

use crate::support::{
    AN385, Control, PATIENCE, RISCV, X86, connect, counter, next_event, read, start, start_plain,
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
                    Err(error) => return (error, link.poll()),
                }
            }
        });
        first_read.recv_timeout(PATIENCE).expect("a read");
        running.guest.kill().expect("kill QEMU");
        let (error, event) = reader.join().expect("the reader");
        assert!(matches!(error, LinkError::Closed { .. }), "{method}: {error}");
        assert_eq!(event.expect("poll"), Some(TargetEvent::Exited));
    }
}

#[test]
fn a_guest_that_waits_at_its_first_instruction_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = crate::support::pattern(4096);
    let file = dir.path().join("bytes");
    std::fs::write(&file, &bytes).expect("write");
    let running = start(
        AN385,
        ["-device".to_owned(), format!("loader,file={},addr=0x20100000,force-raw=on", file.display())],
    );
    let mut control = Control::new(&running.guest);
    control.execute("stop", &json!({}));
    let mut link = connect(&running.guest, MethodChoice::Auto, AddressSpace::Auto);
    assert_eq!(read(&mut link, 0x2010_0000, 4096), bytes);
}
