//! OpenOCD's habits, as a server that is not it shows them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a helper of a test fails as the test does"
)]

mod support;

use covtap_gdb_remote::GdbRemote;
use covtap_link::{Effect, Link, LinkError, ReadMemory, TargetAddr};
use support::fake::{Act, Fake, packet};
use support::stub::{hex, patient, stub};

/// OpenOCD, as far as it matters here; `knows` is the command with which it reports reads that failed.
fn openocd(message: &str, knows: &str) -> Act {
    let command = |text: &str| format!("qRcmd,{}", hex(text.as_bytes()));
    let text = |text: &str| Act::Raw([b"+".to_vec(), packet(text.as_bytes()), packet(b"OK")].concat());
    match message {
        _ if message.starts_with("qSupported") => Act::Reply(
            "PacketSize=4000;qXfer:memory-map:read+;qXfer:features:read+;qXfer:threads:read+;\
             QStartNoAckMode+;vContSupported+"
                .into(),
        ),
        "QStartNoAckMode" => Act::Reply("OK".into()),
        "vCont?" => Act::Reply("vCont;c;C;s;S".into()),
        _ if message == command("version") => {
            text(&format!("O{}", hex(b"Open On-Chip Debugger 0.12.0+dev\n")))
        }
        _ if message == command(knows) => Act::Reply("OK".into()),
        _ if message.starts_with("qRcmd") => text(&format!("O{}", hex(b"invalid command name\n"))),
        _ => stub(message),
    }
}

#[test]
fn openocd_is_told_to_report_reads_that_fail() {
    for knows in ["gdb report_data_abort enable", "gdb_report_data_abort enable", "no such command"] {
        let mut fake = Fake::answering(move |message| match message {
            // It runs, and says nothing until it stops.
            "vCont;c" => Act::Raw(b"+".to_vec()),
            _ => openocd(message, knows),
        });
        let link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
        let info = link.info();
        assert!(info.server.starts_with("OpenOCD"), "{}", info.server);
        assert_eq!(
            info.server.contains("zeros are read twice"),
            knows == "no such command",
            "{}",
            info.server
        );
        assert_eq!(info.effect, Effect::Free);
        drop(link);
        fake.end();
    }
}

/// Zeros of an OpenOCD that was not told to report reads that fail: memory that it can show is what it shows.
#[test]
fn zeros_that_nobody_vouches_for_are_looked_at_again() {
    let shown = [
        ("0x20000000: 00000000 00000000 \n", Some([0; 8])),
        ("Info : a log\n0x20000000: 00000000 0000ff01 \n", Some([0, 0, 0, 0, 1, 0xff, 0, 0])),
        ("0x20000000: 00000000 \n", None),
        ("", None),
    ];
    for (shown, expected) in shown {
        let mut fake = Fake::answering(move |message| match message {
            "vCont;c" => Act::Raw(b"+".to_vec()),
            "m20000000,8" => Act::Reply("00".repeat(8)),
            _ if message == format!("qRcmd,{}", hex(b"mdw 0x20000000 2")) => {
                let text = packet(format!("O{}", hex(shown.as_bytes())).as_bytes());
                Act::Raw(
                    [b"+".to_vec(), text, packet(if shown.is_empty() { b"E01" } else { b"OK" })].concat(),
                )
            }
            _ => openocd(message, "no such command"),
        });
        let mut link = GdbRemote::connect(&fake.endpoint(), &patient()).unwrap();
        let mut buf = [0xaa; 8];
        let read = link.read(TargetAddr::new(0x2000_0000), &mut buf);
        match expected {
            Some(expected) => assert_eq!((read.is_ok(), buf), (true, expected)),
            None => {
                let error = read.unwrap_err();
                assert!(matches!(error, LinkError::Refused { .. }) && !error.is_fatal(), "{error}");
                assert!(error.to_string().contains("gives zeros for it, and cannot show it"), "{error}");
            }
        }
        drop(link);
        fake.end();
    }
}
