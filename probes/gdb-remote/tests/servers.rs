//! Servers that are not known, not well, or no GDB servers at all.
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

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use covtap_gdb_remote::{Endpoint, GdbRemote, Options};
use covtap_link::{
    Effect, Link, LinkError, ReadMemory, ReadRequest, RunControl, RunState, TargetAddr, TargetEvent,
    TargetEvents, WriteMemory,
};
use support::fake::{Act, Fake, packet};
use support::stub::{BASE, bytes, hex, options, patient, range, stub};

/// The error of an attempt to connect.
fn refusal(fake: &Fake, options: &Options) -> LinkError {
    GdbRemote::connect(&fake.endpoint(), options).expect_err("the server is none")
}

#[test]
fn garbage_is_no_server() {
    let fake = Fake::raw(|mut stream| {
        let garbage: Vec<u8> = (0..4096u32).map(|i| 0x80 | (i * 7) as u8).collect();
        while stream.write_all(&garbage).is_ok() {}
    });
    let error = refusal(&fake, &patient());
    assert!(matches!(error, LinkError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("bytes that belong to no packet"), "{error}");
}

#[test]
fn a_server_of_another_protocol_is_no_server() {
    let fake = Fake::raw(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = refusal(&fake, &options(200));
    assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
}

#[test]
fn silence_ends_in_one_error() {
    let mut fake = Fake::answering(|_| Act::Silence);
    let since = Instant::now();
    let error = refusal(&fake, &options(200));
    assert!(matches!(error, LinkError::Timeout { waited_ms: 200.., .. }), "{error}");
    assert!(error.to_string().starts_with("handshake on unix:"), "{error}");
    assert!(since.elapsed() >= Duration::from_millis(200));
    // If it ever reads what was sent, its target runs on.
    assert_eq!(fake.end().last().map(String::as_str), Some("c"));
}

#[test]
fn a_server_that_only_talks_does_not_hold_us_up() {
    let fake = Fake::raw(|mut stream| while stream.write_all(&packet(b"O6869")).is_ok() {});
    let error = refusal(&fake, &options(300));
    assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
}

#[test]
fn an_end_in_mid_reply_is_an_error() {
    let fake = Fake::answering(|_| Act::Close(b"+$PacketSi".to_vec()));
    let error = refusal(&fake, &patient());
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");

    let fake = Fake::answering(|message| match message {
        "m20000000,4" => Act::Close(b"+$0011".to_vec()),
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    let error = link.read(TargetAddr::new(BASE), &mut [0; 4]).unwrap_err();
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
    assert!(error.to_string().starts_with("read 4 bytes at 0x20000000 on unix:"), "{error}");
    // The target was stopped for the read, and nobody has said that it runs on.
    assert!(link.pause_of_failures() > Duration::ZERO && link.pause_of_failures() == Duration::ZERO);
}

#[test]
fn nobody_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for endpoint in [
        Endpoint::Unix(dir.path().join("none.sock")),
        Endpoint::Exec("/no/such/program".into()),
        Endpoint::Serial { path: dir.path().join("tty"), baud: 9600 },
        // Port 0 is nobody's.
        Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 },
    ] {
        let error = GdbRemote::connect(&endpoint, &patient()).unwrap_err();
        assert!(matches!(error, LinkError::Connect { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("connect to {endpoint}: ")), "{error}");
    }
}

#[test]
fn a_program_that_ends_at_once_is_an_error() {
    let error = GdbRemote::connect(&Endpoint::Exec("true".into()), &patient()).unwrap_err();
    assert!(matches!(error, LinkError::Closed { .. }), "{error}");
}

#[test]
fn a_packet_without_an_end_is_an_error() {
    let fake = Fake::raw(|mut stream| {
        stream.write_all(b"+$").unwrap();
        while stream.write_all(&[b'0'; 4096]).is_ok() {}
    });
    let error = refusal(&fake, &patient());
    assert!(error.to_string().contains("a packet of more than"), "{error}");
}

#[test]
fn a_damaged_reply_is_asked_for_again() {
    let mut damaged = false;
    let mut fake = Fake::answering(move |message| match message {
        "m20000000,4" if !std::mem::replace(&mut damaged, true) => Act::Raw(b"+$00010203#00".to_vec()),
        "-" => Act::Raw(packet(hex(&bytes(BASE, 4)).as_bytes())),
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    let mut buf = [0; 4];
    link.read(TargetAddr::new(BASE), &mut buf).unwrap();
    assert_eq!(buf.as_slice(), bytes(BASE, 4));
    drop(link);
    assert_eq!(fake.end().iter().filter(|message| *message == "-").count(), 1);
}

#[test]
fn an_unknown_server_is_stopped_for_each_read_and_left_running() {
    let mut fake = Fake::answering(stub);
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    assert_eq!(link.info().effect, Effect::Pauses);
    assert_eq!(link.state(), RunState::Running);
    let (mut one, mut two) = (vec![0; 300], vec![0; 5]);
    let report = link
        .read_many(&mut [
            ReadRequest { addr: TargetAddr::new(BASE + 1), buf: &mut one },
            ReadRequest { addr: TargetAddr::new(BASE + 0x1000), buf: &mut two },
        ])
        .unwrap();
    assert_eq!((one, two), (bytes(BASE + 1, 300), bytes(BASE + 0x1000, 5)));
    assert!(report.pause > Duration::ZERO);
    // A read that fails does not leave it stopped.
    let error = link.read(TargetAddr::new(0), &mut [0; 4]).unwrap_err();
    assert!(error.to_string().ends_with("refused: E01"), "{error}");
    assert_eq!(link.state(), RunState::Running);
    // It took its time all the same.
    assert!(link.pause_of_failures() > Duration::ZERO && link.pause_of_failures() == Duration::ZERO);
    link.detach().unwrap();

    let heard = fake.end();
    let runs: Vec<&str> = heard.iter().map(String::as_str).skip_while(|message| *message != "c").collect();
    let expected = [
        "c",
        "\x03",
        "m20000001,77",
        "m20000078,78",
        "m200000f0,3d",
        "m20001000,5",
        "c",
        "\x03",
        "m0,4",
        "c",
        "\x03",
        "D",
    ];
    assert_eq!(runs, expected);
}

#[test]
fn short_replies_are_completed_and_empty_ones_are_refused() {
    let fake = Fake::answering(|message| match message.starts_with('m') {
        true if range(message).0 >= BASE + 100 => Act::Reply("E02".into()),
        true => {
            let (addr, len) = range(message);
            Act::Reply(hex(&bytes(addr, len.min(7).min((BASE + 100 - addr) as usize))))
        }
        false => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    let mut buf = vec![0; 100];
    link.read(TargetAddr::new(BASE), &mut buf).unwrap();
    assert_eq!(buf, bytes(BASE, 100));
    let error = link.read(TargetAddr::new(BASE + 90), &mut buf).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
}

#[test]
fn senseless_memory_is_an_error() {
    for answer in ["0011", "001122334455", "zz112233", "OK"] {
        let fake = Fake::answering(move |message| match message {
            // Two bytes of four are a short reply, of which the rest is asked for.
            "m20000000,4" | "m20000002,2" => Act::Reply(answer.into()),
            _ => stub(message),
        });
        let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
        let result = link.read(TargetAddr::new(BASE), &mut [0; 4]);
        match answer {
            "0011" => drop(result.unwrap()),
            _ => assert!(matches!(result, Err(LinkError::Protocol { .. })), "{answer}"),
        }
    }
}

#[test]
fn memory_comes_as_bytes_where_the_server_says_so() {
    let mut fake = Fake::answering(|message| match message {
        _ if message.starts_with("qSupported") => Act::Reply("PacketSize=400;binary-upload+".into()),
        _ if message.starts_with('x') => {
            let (addr, len) = range(message);
            let mut payload = b"b".to_vec();
            for byte in bytes(addr, len) {
                match byte {
                    b'#' | b'$' | b'*' | b'}' => payload.extend([b'}', byte ^ 0x20]),
                    _ => payload.push(byte),
                }
            }
            Act::Raw([b"+".to_vec(), packet(&payload)].concat())
        }
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    let mut buf = vec![0; 1000];
    link.read(TargetAddr::new(BASE), &mut buf).unwrap();
    assert_eq!(buf, bytes(BASE, 1000));
    drop(link);
    assert!(!fake.end().iter().any(|message| message.starts_with('m')));
}

#[test]
fn a_server_that_cannot_run_its_target_on_is_refused() {
    let fake = Fake::answering(|message| match message {
        "c" => Act::Reply(String::new()),
        _ => stub(message),
    });
    let error = refusal(&fake, &patient());
    assert!(matches!(error, LinkError::Unsupported { .. }), "{error}");
}

#[test]
fn an_agent_in_the_target_is_never_stopped() {
    let mut fake = Fake::answering(|message| match message {
        "\x03" | "c" | "?" => panic!("{message:?}"),
        _ if message.starts_with("qSupported") => Act::Reply("PacketSize=100;covtap-agent+".into()),
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    assert_eq!(link.info().effect, Effect::Free);
    let mut buf = vec![0; 500];
    let report = link.read(TargetAddr::new(BASE), &mut buf).unwrap();
    assert_eq!((buf, report.pause), (bytes(BASE, 500), Duration::ZERO));
    assert!(link.stop().is_err());
    link.detach().unwrap();
    fake.end();
}

#[test]
fn a_target_that_the_caller_knows_to_be_halted_stays_so() {
    let mut fake = Fake::answering(stub);
    let mut options = patient();
    options.found = Some(RunState::Stopped);
    let mut link = GdbRemote::connect(&fake.endpoint(), &options).unwrap();
    assert_eq!(link.info().effect, Effect::NeedsHalt);
    assert_eq!(link.read(TargetAddr::new(BASE), &mut [0; 4]).unwrap().pause, Duration::ZERO);
    drop(link);
    let heard = fake.end();
    assert!(!heard.iter().any(|message| matches!(message.as_str(), "c" | "D" | "\x03")), "{heard:?}");
}

#[test]
fn a_target_that_stops_by_itself_is_told_and_not_run_over() {
    let mut fake = Fake::answering(|message| match message {
        // The target meets a breakpoint of its own as soon as it runs.
        "c" => Act::Raw([b"+".to_vec(), packet(b"T05thread:1;"), packet(b"O6869")].concat()),
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    assert_eq!(link.read(TargetAddr::new(BASE), &mut [0; 4]).unwrap().pause, Duration::ZERO);
    assert_eq!(link.poll().unwrap(), Some(TargetEvent::Stopped));
    assert_eq!(link.poll().unwrap(), Some(TargetEvent::Console(b"hi".to_vec())));
    assert_eq!(link.state(), RunState::Stopped);
    drop(link);
    assert_eq!(fake.end().iter().filter(|message| *message == "c").count(), 1);
}

#[test]
fn the_targets_own_text_is_an_event_and_its_files_are_refused() {
    let mut fake = Fake::answering(|message| match message {
        // A semihosting call as soon as the target runs, and another one after the first.
        "c" => Act::Raw([b"+".to_vec(), packet(b"Fwrite,1,20000010,8")].concat()),
        "F8" => Act::Raw([b"+".to_vec(), packet(b"Fopen,20000000/c,601,1a4")].concat()),
        "F-1,1" => Act::Raw(b"+".to_vec()),
        _ => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let text = loop {
        match link.poll().unwrap() {
            Some(TargetEvent::Console(text)) => break text,
            Some(other) => panic!("{other:?}"),
            None => assert!(Instant::now() < until),
        }
    };
    assert_eq!(text, bytes(BASE + 16, 8));
    while fake.heard.recv_timeout(Duration::from_secs(30)).unwrap() != "F8" {}
    loop {
        assert_eq!(link.poll().unwrap(), None);
        if let Ok(message) = fake.heard.try_recv() {
            assert_eq!(message, "F-1,1");
            break;
        }
        assert!(Instant::now() < until);
    }
    assert_eq!(link.state(), RunState::Running);
    drop(link);
    fake.end();
}

#[test]
fn writes_are_cut_to_the_servers_packets_and_stop_the_target_once() {
    let mut fake = Fake::answering(|message| match message.starts_with('M') {
        true if range(message).0 < BASE => Act::Reply("E01".into()),
        true => {
            assert!(message.len() <= 0x100, "{message}");
            Act::Reply("OK".into())
        }
        false => stub(message),
    });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    link.write(TargetAddr::new(BASE), &[0x5a; 300]).unwrap();
    assert!(link.write(TargetAddr::new(0), &[1]).is_err());
    assert_eq!(link.state(), RunState::Running);
    drop(link);
    let heard = fake.end();
    let written: usize = heard.iter().filter(|m| m.starts_with("M2")).map(|message| range(message).1).sum();
    assert_eq!(written, 300);
    assert_eq!(heard.iter().filter(|message| *message == "\x03").count(), 3, "two writes and the end");
}

/// As [`stub`], with another answer to packets for breakpoints.
fn stub_with_breakpoints(answer: impl Fn(&str) -> &'static str + Send + 'static) -> Fake {
    Fake::answering(move |message| match message.as_bytes().first() {
        Some(b'Z' | b'z') => Act::Reply(answer(message).into()),
        _ => stub(message),
    })
}

#[test]
fn a_server_that_refuses_breakpoints_has_none() {
    for (answer, expected) in [("", "not supported: the server has no such packet"), ("E22", "refused: E22")]
    {
        let mut fake = stub_with_breakpoints(move |_| answer);
        let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
        link.stop().unwrap();
        let error = link.set_breakpoint(TargetAddr::new(BASE), 2).unwrap_err();
        assert!(error.to_string().contains(expected) && !error.is_fatal(), "{error}");
        link.detach().unwrap();
        let heard = fake.end();
        assert!(heard.contains(&"Z1,20000000,2".into()), "hardware is asked too: {heard:?}");
        assert!(!heard.iter().any(|message| message.starts_with('z')), "nothing is to be removed: {heard:?}");
    }
}

#[test]
fn breakpoints_in_flash_are_set_and_removed_in_hardware() {
    let mut fake = stub_with_breakpoints(|message| if message.as_bytes()[1] == b'1' { "OK" } else { "E0D" });
    let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
    link.stop().unwrap();
    link.set_breakpoint(TargetAddr::new(BASE), 2).unwrap();
    link.set_breakpoint(TargetAddr::new(BASE + 2), 2).unwrap();
    link.clear_breakpoint(TargetAddr::new(BASE), 2).unwrap();
    link.detach().unwrap();
    let heard = fake.end();
    let of_breakpoints: Vec<_> = heard.iter().filter(|message| message.starts_with(['Z', 'z'])).collect();
    let expected = [
        "Z0,20000000,2",
        "Z1,20000000,2",
        "Z0,20000002,2",
        "Z1,20000002,2",
        "z1,20000000,2",
        "z1,20000002,2",
    ];
    assert_eq!(of_breakpoints, expected);
}

#[test]
fn a_step_that_waits_for_an_interrupt_ends() {
    let mut fake = Fake::answering(|message| if message == "s" { Act::Silence } else { stub(message) });
    let mut link = GdbRemote::connect(&fake.endpoint(), &options(1000)).unwrap();
    link.stop().unwrap();
    link.step().unwrap();
    assert_eq!(link.state(), RunState::Stopped);
    link.detach().unwrap();
    let heard = fake.end();
    let step = heard.iter().position(|message| message == "s").unwrap();
    assert_eq!(heard[step + 1], "\x03", "{heard:?}");
}
