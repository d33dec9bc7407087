//! Against QEMU's own GDB server, with the monitor looking over the shoulder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    reason = "a helper of a test fails as the test does"
)]

mod support;

use std::time::Duration;

use covtap_gdb_remote::{Endpoint, GdbRemote, Options};
use covtap_link::{
    Effect, Endianness, Link, LinkError, PointerWidth, ReadMemory, ReadRequest, RunControl, RunState,
    TargetAddr, TargetEvent, TargetEvents, WriteMemory,
};
use covtap_testbed::Monitor;
use serde_json::json;
use support::guests::{ALL, ARM, ARM_THAT_TALKS, CONSTANT_LEN, RISCV32, RISCV64, Tiny, TinyGuest, X86};

const PATIENCE: Duration = Duration::from_secs(30);

fn options() -> Options {
    let mut options = Options::default();
    // Other tests share the machine.
    options.reply_timeout = PATIENCE;
    options
}

fn endpoint(tiny: &TinyGuest) -> Endpoint {
    tiny.guest.gdb().to_string().parse().unwrap()
}

fn connect(tiny: &TinyGuest) -> GdbRemote {
    GdbRemote::connect(&endpoint(tiny), &options()).unwrap()
}

fn counter(link: &mut GdbRemote, tiny: &Tiny) -> (u32, Duration) {
    let mut word = [0; 4];
    let report = link.read(TargetAddr::new(tiny.counter), &mut word).unwrap();
    (u32::from_le_bytes(word), report.pause)
}

/// Reads until the counter has moved: the guest runs between reads.
fn assert_counts(link: &mut GdbRemote, tiny: &Tiny) {
    let (first, _) = counter(link, tiny);
    let until = std::time::Instant::now() + PATIENCE;
    while counter(link, tiny).0 == first {
        assert!(std::time::Instant::now() < until, "the counter stays at {first}");
    }
}

/// The link reads what QEMU itself saves, in one piece and in several, and the guest runs on.
fn reads_what_qemu_saves(tiny: &Tiny, over_tcp: bool) {
    let guest = tiny.start(|builder| if over_tcp { builder.gdb_over_tcp() } else { builder });
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    assert_eq!(qmp.status().unwrap(), "running");

    let mut whole = vec![0; CONSTANT_LEN];
    let report = link.read(TargetAddr::new(tiny.constant), &mut whole).unwrap();
    assert!(report.pause > Duration::ZERO && report.pause <= report.elapsed, "{report:?}");
    assert_eq!(qmp.status().unwrap(), "running");
    assert!(whole == Tiny::constant_bytes(), "the read differs from what was loaded");
    assert!(whole == qmp.physical_memory(tiny.constant, CONSTANT_LEN as u64).unwrap());

    let (mut odd, mut word, mut none) = (vec![0; 5001], [0; 4], []);
    link.read_many(&mut [
        ReadRequest { addr: TargetAddr::new(tiny.constant + 3), buf: &mut odd },
        ReadRequest { addr: TargetAddr::new(tiny.counter), buf: &mut none },
        ReadRequest { addr: TargetAddr::new(tiny.counter), buf: &mut word },
    ])
    .unwrap();
    assert_eq!(odd, &whole[3..5004]);
    assert_counts(&mut link, tiny);

    link.detach().unwrap();
    assert_eq!(qmp.status().unwrap(), "running");
    let error = link.read(TargetAddr::new(tiny.constant), &mut word).unwrap_err();
    assert!(error.to_string().contains("the target was let go of"), "{error}");
}

#[test]
fn arm_over_tcp() {
    reads_what_qemu_saves(&ARM, true);
}

#[test]
fn arm_over_a_unix_socket() {
    reads_what_qemu_saves(&ARM, false);
}

#[test]
fn riscv32_over_tcp() {
    reads_what_qemu_saves(&RISCV32, true);
}

#[test]
fn riscv32_over_a_unix_socket() {
    reads_what_qemu_saves(&RISCV32, false);
}

#[test]
fn riscv64_over_tcp() {
    reads_what_qemu_saves(&RISCV64, true);
}

#[test]
fn riscv64_over_a_unix_socket() {
    reads_what_qemu_saves(&RISCV64, false);
}

#[test]
fn x86_64_over_tcp() {
    reads_what_qemu_saves(&X86, true);
}

#[test]
fn x86_64_over_a_unix_socket() {
    reads_what_qemu_saves(&X86, false);
}

#[test]
fn a_stopped_guest_reads_as_qemu_saves_it_and_stays_stopped() {
    for tiny in &ALL {
        let guest = tiny.start(|builder| builder);
        let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
        let mut link = connect(&guest);
        qmp.execute("stop", &json!({})).unwrap();
        let (value, pause) = counter(&mut link, tiny);
        let saved = qmp.physical_memory(tiny.counter, 4).unwrap();
        assert_eq!(value.to_le_bytes().as_slice(), saved);
        assert_eq!(pause, Duration::ZERO);
        assert_eq!(qmp.status().unwrap(), "paused");
        assert_eq!(link.poll().unwrap(), Some(TargetEvent::Stopped));
        assert_eq!(link.state(), RunState::Stopped);

        // QEMU does not tell that somebody else let the guest run on; the next read finds out.
        qmp.execute("cont", &json!({})).unwrap();
        let (_, pause) = counter(&mut link, tiny);
        assert!(pause > Duration::ZERO);
        assert_eq!(qmp.status().unwrap(), "running");
        assert_eq!(link.poll().unwrap(), Some(TargetEvent::Resumed));
        assert_counts(&mut link, tiny);

        // Stopped by somebody else, it is left stopped.
        qmp.execute("stop", &json!({})).unwrap();
        link.detach().unwrap();
        assert_eq!(qmp.status().unwrap(), "paused");
    }
}

#[test]
fn a_guest_that_was_never_started_is_left_halted() {
    let guest = ARM.start(|builder| builder.args(["-S"]));
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    assert_eq!(link.info().effect, Effect::NeedsHalt);
    assert_eq!(link.state(), RunState::Stopped);
    assert_eq!(link.info().attach_pause, Duration::ZERO);
    assert_eq!(counter(&mut link, &ARM), (0, Duration::ZERO));
    assert_eq!(counter(&mut link, &ARM), (0, Duration::ZERO));
    link.detach().unwrap();
    assert_eq!(qmp.status().unwrap(), "prelaunch");

    // Started over the monitor while a link is there, it is left running.
    let mut link = connect(&guest);
    assert_eq!(counter(&mut link, &ARM), (0, Duration::ZERO));
    qmp.execute("cont", &json!({})).unwrap();
    assert_counts(&mut link, &ARM);
    assert_eq!(link.info().effect, Effect::Pauses);
    drop(link);
    assert_eq!(qmp.status().unwrap(), "running");
}

#[test]
fn the_guest_runs_after_drop_after_errors_and_after_a_panic() {
    let guest = RISCV64.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    drop(connect(&guest));
    assert_eq!(qmp.status().unwrap(), "running");

    let mut link = connect(&guest);
    let mut buf = vec![0; 0x4000];
    let error = link.read(TargetAddr::new(0x40_0000_0000), &mut buf).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    assert!(error.to_string().starts_with("read 2048 bytes at 0x4000000000 on "), "{error}");
    assert_eq!(qmp.status().unwrap(), "running");
    let error = link.read(TargetAddr::new(u64::MAX), &mut buf).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    // One bad range among good ones.
    let (mut good, mut bad) = (vec![0; 0x4000], vec![0; 16]);
    let error = link.read_many(&mut [
        ReadRequest { addr: TargetAddr::new(RISCV64.constant), buf: &mut good },
        ReadRequest { addr: TargetAddr::new(0x40_0000_0000), buf: &mut bad },
        ReadRequest { addr: TargetAddr::new(RISCV64.constant), buf: &mut buf },
    ]);
    assert!(error.is_err());
    assert_eq!(qmp.status().unwrap(), "running");
    assert_counts(&mut link, &RISCV64);

    let thread = std::thread::spawn(move || {
        let (value, _) = counter(&mut link, &RISCV64);
        link.stop().unwrap();
        panic!("the counter is {value}");
    });
    assert!(thread.join().is_err());
    assert_eq!(qmp.status().unwrap(), "running");
    drop(connect(&guest));
}

#[test]
fn the_link_knows_what_the_server_tells() {
    for tiny in &ALL {
        let guest = tiny.start(|builder| builder);
        let info = connect(&guest).info();
        assert_eq!(info.architecture.as_deref(), Some(tiny.architecture));
        assert_eq!(info.endianness, Some(Endianness::Little));
        let is_32_bit = matches!(tiny.architecture, "arm" | "riscv:rv32");
        assert_eq!(info.pointer_width == Some(PointerWidth::Bits32), is_32_bit);
        assert_eq!(info.effect, Effect::Pauses);
        assert!(info.server.starts_with("QEMU 1"), "{}", info.server);
    }
}

#[test]
fn steps_breakpoints_and_registers() {
    for tiny in &ALL {
        let guest = tiny.start(|builder| builder);
        let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
        let mut link = connect(&guest);
        let at = TargetAddr::new(tiny.in_loop);
        assert!(link.set_breakpoint(at, tiny.kind).is_err(), "the guest runs");
        link.stop().unwrap();
        assert_eq!((link.state(), qmp.status().unwrap().as_str()), (RunState::Stopped, "paused"));
        // A link that holds the guest does not pause it again.
        assert_eq!(counter(&mut link, tiny).1, Duration::ZERO);
        link.set_breakpoint(at, tiny.kind).unwrap();

        for _ in 0..3 {
            let before = counter(&mut link, tiny).0;
            link.resume().unwrap();
            wait_for_stop(&mut link);
            assert_eq!(link.read_register(tiny.pc).unwrap(), tiny.in_loop);
            assert_eq!(link.state(), RunState::Stopped);
            link.step().unwrap();
            assert_ne!(link.read_register(tiny.pc).unwrap(), tiny.in_loop);
            assert!(counter(&mut link, tiny).0.wrapping_sub(before) <= 1);
        }
        assert!(link.read_register("no such register").is_err());
        // Held at a breakpoint of ours, and left: it runs, and meets no breakpoint any more.
        link.resume().unwrap();
        wait_for_stop(&mut link);
        link.detach().unwrap();
        assert_eq!(qmp.status().unwrap(), "running");
        assert_counts(&mut connect(&guest), tiny);
        assert_eq!(qmp.status().unwrap(), "running");
    }
}

fn wait_for_stop(link: &mut GdbRemote) {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        match link.poll().unwrap() {
            Some(TargetEvent::Stopped) => return,
            Some(other) => panic!("{other:?}"),
            None => assert!(std::time::Instant::now() < until, "no breakpoint was met"),
        }
    }
}

#[test]
fn a_running_guest_is_left_without_our_breakpoint() {
    let guest = ARM.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    link.stop().unwrap();
    // Nothing runs there: the guest goes on with the breakpoint set.
    link.set_breakpoint(TargetAddr::new(0x100), 2).unwrap();
    link.resume().unwrap();
    assert_counts(&mut link, &ARM);
    drop(link);
    assert_eq!(qmp.status().unwrap(), "running");
    let saved = qmp.physical_memory(ARM.counter, 4).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    while qmp.physical_memory(ARM.counter, 4).unwrap() == saved {
        assert!(std::time::Instant::now() < until, "the guest stands still");
    }
}

#[test]
fn writes_reach_memory_and_the_guest_runs_on() {
    let guest = X86.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    let addr = X86.constant + 0x100;
    link.write(TargetAddr::new(addr), &bytes).unwrap();
    assert_eq!(qmp.status().unwrap(), "running");
    assert_eq!(qmp.physical_memory(addr, bytes.len() as u64).unwrap(), bytes);
    let error = link.write(TargetAddr::new(u64::MAX), &bytes).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    assert_counts(&mut link, &X86);
}

#[test]
fn a_second_client_gives_up_and_does_the_guest_no_harm() {
    for over_tcp in [true, false] {
        let guest = ARM.start(|builder| if over_tcp { builder.gdb_over_tcp() } else { builder });
        let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
        let mut first = connect(&guest);
        let mut impatient = Options::default();
        impatient.reply_timeout = Duration::from_millis(200);
        let error = GdbRemote::connect(&endpoint(&guest), &impatient).unwrap_err();
        assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
        assert!(error.to_string().starts_with("handshake on "), "{error}");
        assert_counts(&mut first, &ARM);
        first.detach().unwrap();
        // QEMU now takes the connection that was given up long ago, which pauses the guest, and finds the
        // packet that lets go of it. A third client comes after that.
        drop(connect(&guest));
        assert_eq!(qmp.status().unwrap(), "running");
    }
}

#[test]
fn a_server_that_stops_answering_is_an_error_and_its_guest_runs_afterwards() {
    use nix::sys::signal::Signal;
    let guest = ARM.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut impatient = options();
    impatient.reply_timeout = Duration::from_millis(300);
    let mut link = GdbRemote::connect(&endpoint(&guest), &impatient).unwrap();
    guest.guest.signal(Signal::SIGSTOP).unwrap();
    let mut buf = vec![0; CONSTANT_LEN];
    let error = link.read(TargetAddr::new(ARM.constant), &mut buf).unwrap_err();
    assert!(matches!(error, LinkError::Timeout { waited_ms: 300.., .. }), "{error}");
    assert!(link.read(TargetAddr::new(ARM.constant), &mut buf).is_err());
    drop(link);
    guest.guest.signal(Signal::SIGCONT).unwrap();
    // What was on its way is taken first, and its last packet lets the guest run on.
    drop(connect(&guest));
    assert_eq!(qmp.status().unwrap(), "running");
}

#[test]
fn a_server_that_dies_is_an_error() {
    let mut guest = ARM.start(|builder| builder);
    let mut link = connect(&guest);
    guest.guest.kill().unwrap();
    let error = link.read(TargetAddr::new(ARM.constant), &mut [0; 4]).unwrap_err();
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
    assert!(link.poll().is_err());
    link.detach().unwrap();
}

#[test]
fn the_end_of_the_guest_is_an_event() {
    let guest = ARM.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    qmp.execute("quit", &json!({})).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    while link.poll().unwrap() != Some(TargetEvent::Exited) {
        assert!(std::time::Instant::now() < until, "no end was told");
    }
    assert_eq!(link.poll().unwrap(), None);
    let error = link.read(TargetAddr::new(ARM.constant), &mut [0; 4]).unwrap_err();
    assert!(error.to_string().contains("the target has ended"), "{error}");
}

#[test]
fn a_guest_that_resets_is_still_read() {
    let guest = ARM.start(|builder| builder);
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    for _ in 0..3 {
        qmp.execute("system_reset", &json!({})).unwrap();
        assert_counts(&mut link, &ARM);
    }
    assert_eq!(qmp.status().unwrap(), "running");
}

#[test]
fn a_guest_that_talks_over_semihosting_goes_on() {
    let guest =
        ARM_THAT_TALKS.start(|builder| builder.args(["-S", "-semihosting-config", "enable=on,target=gdb"]));
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    link.resume().unwrap();
    let (mut said, mut last, mut moves) = (Vec::new(), 0, 0);
    let until = std::time::Instant::now() + PATIENCE;
    while said.len() < 60 || moves < 20 {
        assert!(std::time::Instant::now() < until, "it said {said:?}, and its counter moved {moves} times");
        let (value, _) = counter(&mut link, &ARM_THAT_TALKS);
        moves += i32::from(value != last);
        last = value;
        match link.poll().unwrap() {
            Some(TargetEvent::Console(text)) => said.extend(text),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    assert!(said.chunks(3).all(|line| line == b"hi\n"), "{said:?}");
    // Its calls are QEMU's again: it neither waits nor fails without us.
    link.detach().unwrap();
    assert_eq!(qmp.status().unwrap(), "running");
    let counter = |qmp: &mut Monitor| qmp.physical_memory(ARM_THAT_TALKS.counter, 4).unwrap();
    let before = counter(&mut qmp);
    while counter(&mut qmp) == before {
        assert!(std::time::Instant::now() < until, "the guest stands still");
    }
    assert_eq!(qmp.status().unwrap(), "running");
}

#[test]
fn all_processors_stop_and_run_on() {
    let guest = RISCV64.start(|builder| builder.args(["-smp", "3"]));
    let mut qmp = Monitor::connect(guest.guest.control()).unwrap();
    let mut link = connect(&guest);
    assert_counts(&mut link, &RISCV64);
    link.stop().unwrap();
    assert_eq!(counter(&mut link, &RISCV64), counter(&mut link, &RISCV64));
    link.resume().unwrap();
    assert_counts(&mut link, &RISCV64);
    link.detach().unwrap();
    assert_eq!(qmp.status().unwrap(), "running");
}
