//! A stub that answers as many probes do.

use std::time::Duration;

use covtap_gdb_remote::Options;

use super::fake::Act;

pub(crate) const BASE: u64 = 0x2000_0000;

pub(crate) fn options(reply_timeout_ms: u64) -> Options {
    let mut options = Options::default();
    options.reply_timeout = Duration::from_millis(reply_timeout_ms);
    options
}

/// For servers that answer: other tests share the machine.
pub(crate) fn patient() -> Options {
    options(30_000)
}

fn byte(addr: u64) -> u8 {
    (addr ^ addr >> 8) as u8
}

pub(crate) fn bytes(addr: u64, len: usize) -> Vec<u8> {
    (addr..).take(len).map(byte).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The address and length of an `m`, `x` or `M` packet.
pub(crate) fn range(message: &str) -> (u64, usize) {
    let (addr, len) = message[1..].split(':').next().unwrap().split_once(',').unwrap();
    (u64::from_str_radix(addr, 16).unwrap(), usize::from_str_radix(len, 16).unwrap())
}

/// A stub as many probes have it: all-stop, no features but a packet size.
pub(crate) fn stub(message: &str) -> Act {
    Act::Reply(match message {
        "\x03" | "?" => "S05".into(),
        "c" => return Act::Silence,
        "D" => "OK".into(),
        _ if message.starts_with("qSupported") => "PacketSize=100".into(),
        _ if message.starts_with('m') => {
            let (addr, len) = range(message);
            assert!(len <= (0x100 - 8) / 2, "{message}");
            if addr < BASE { "E01".into() } else { hex(&bytes(addr, len)) }
        }
        _ => String::new(),
    })
}
