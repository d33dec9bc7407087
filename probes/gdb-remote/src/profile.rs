//! What is known of each server, as data.
//!
//! A server is recognised by its answer to `qSupported`, and where that leaves doubt by its answer to one
//! query of its own. What no row fits gets [`CAUTIOUS`]: it is stopped for each read, one packet at a time.
//!
//! Where a row says "measured", the server was driven over a socket; otherwise its source is named.

use covtap_link::Endianness;

use crate::core::features::Features;

/// How a monitor or a query tells that a server is the one sought.
#[derive(Debug)]
pub(crate) enum Confirm {
    /// The answer to this packet has this text in it.
    Packet(&'static str, &'static str),
    /// The answer to this monitor command has this text in it.
    Monitor(&'static str, &'static str),
}

/// Which packet lets the target run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resume {
    /// `c`.
    Continue,
    /// `vCont;c` where the server says that it has it, else `c`.
    VCont,
    /// None: the target was never stopped.
    Never,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The server's name, for a person.
    pub(crate) name: &'static str,
    /// Entries of the `qSupported` reply that all have to be there.
    pub(crate) features: &'static [&'static str],
    /// A further question, where others have the same features.
    pub(crate) confirm: Option<Confirm>,
    /// Packets are answered while the target runs.
    pub(crate) reads_while_running: bool,
    /// Has a non-stop mode in which packets are answered while the target runs.
    pub(crate) non_stop: bool,
    /// Interrupt, requests and the packet to run on may be sent in one burst.
    pub(crate) burst: bool,
    /// The largest read that is safe, in bytes, whatever packet size the server names.
    pub(crate) max_read_bytes: usize,
    /// How many requests may be on their way at a time.
    pub(crate) window: usize,
    /// Acknowledgements may be left out although `QStartNoAckMode` is unknown to the server; a stray one
    /// stops the target.
    pub(crate) acks_on_demand: bool,
    /// `?` changes nothing.
    pub(crate) stop_query_is_safe: bool,
    /// What lets the target run on.
    pub(crate) resume: Resume,
    /// The monitor command that tells whether the target was halted before we came, and the answers that
    /// say it was not.
    pub(crate) status: Option<(&'static str, &'static [&'static str])>,
    /// The monitor command that tells the version.
    pub(crate) version: Option<&'static str>,
    /// Somebody else may let the target run on, and the server does not tell.
    pub(crate) resumes_unseen: bool,
    /// The thread packet without which memory cannot be read while the target runs.
    pub(crate) select_thread: Option<&'static str>,
    /// Monitor commands that are sent first.
    pub(crate) setup: &'static [&'static str],
    /// A read that failed may come back as zeros, unless `setup` was taken.
    pub(crate) zero_fills: bool,
    /// The signal of a stop that an interrupt caused, where it is always the same.
    pub(crate) interrupt_signal: Option<u8>,
    /// The target is a program with signals of its own, which stop it and have to be given to it.
    pub(crate) has_signals: bool,
    /// Steps from a breakpoint without meeting it again; whoever runs on from one meets it again.
    pub(crate) steps_over_breakpoints: bool,
    /// A target that is stopped stays so when the connection ends without `D`.
    pub(crate) keeps_stopped: bool,
    /// Takes `D` only while the target is stopped, although it takes other packets while it runs.
    pub(crate) stops_to_detach: bool,
    /// Ends what it started itself when the connection ends, and lets go of the rest.
    pub(crate) owns_programs: bool,
    /// Byte order of architectures that have both, by the start of their names.
    pub(crate) endianness: &'static [(&'static str, Endianness)],
}

/// What is assumed of a server that is not known.
pub(crate) const CAUTIOUS: Profile = Profile {
    name: "unknown server",
    features: &[],
    confirm: None,
    reads_while_running: false,
    non_stop: false,
    burst: false,
    max_read_bytes: 0x1000,
    window: 1,
    acks_on_demand: false,
    stop_query_is_safe: true,
    resume: Resume::VCont,
    status: None,
    version: None,
    resumes_unseen: false,
    select_thread: None,
    setup: &[],
    zero_fills: false,
    interrupt_signal: None,
    has_signals: false,
    steps_over_breakpoints: false,
    keeps_stopped: false,
    stops_to_detach: false,
    owns_programs: false,
    endianness: &[],
};

/// The servers that are known; the first row that fits is taken.
pub(crate) const PROFILES: &[Profile] = &[
    // Measured on 10.0. Any byte stops a running guest, and only an interrupt is answered; `?` clears all
    // breakpoints; a read after `D` ends QEMU. Only `D` gives semihosting back to it (gdbstub/gdbstub.c,
    // `gdb_disable_syscalls`): without it a guest waits in its next call for a client that is gone. Its PacketSize holds for text, so that 0x800 bytes fit.
    // The emulator is built for one byte order (gdbstub/, `TARGET_BIG_ENDIAN`): those for Arm for little.
    Profile {
        name: "QEMU",
        features: &["qXfer:features:read+", "vContSupported+", "multiprocess+"],
        confirm: Some(Confirm::Packet("qqemu.Supported", "PhyMemMode")),
        burst: true,
        max_read_bytes: 0x800,
        window: 64,
        acks_on_demand: true,
        stop_query_is_safe: false,
        resume: Resume::Continue,
        status: Some(("info status", &["VM status: paused", "VM status: running"])),
        version: Some("info version"),
        resumes_unseen: true,
        interrupt_signal: Some(2),
        steps_over_breakpoints: true,
        keeps_stopped: true,
        endianness: &[("arm", Endianness::Little), ("aarch64", Endianness::Little)],
        ..CAUTIOUS
    },
    // Measured on 7.2: each reply has to be acknowledged before the next packet.
    Profile {
        name: "QEMU user",
        features: &["qXfer:features:read+", "vContSupported+", "multiprocess+", "qXfer:auxv:read+"],
        confirm: Some(Confirm::Packet("qqemu.Supported", "sstep")),
        max_read_bytes: 0x800,
        ..CAUTIOUS
    },
    // Measured on 13.1. Memory of a running process can be read in non-stop mode once a thread is selected;
    // before `?` a request for the target description ends the server; a read larger than a packet does too.
    // A signal of the program cuts off an answer that finds its socket full, so that all answers on their way
    // are to fit 64 KiB.
    Profile {
        name: "gdbserver",
        features: &["QNonStop+", "QPassSignals+", "QDisableRandomization+"],
        non_stop: true,
        window: 4,
        select_thread: Some("Hgp0.0"),
        interrupt_signal: Some(2),
        has_signals: true,
        owns_programs: true,
        ..CAUTIOUS
    },
    // Measured on 19. Its PacketSize is decimal; its `x` reply has no prefix, so that `m` is used. It is slower
    // the more requests wait, and refuses `D` while the program runs.
    Profile {
        name: "lldb-server",
        features: &["QThreadSuffixSupported+", "native-signals+"],
        reads_while_running: true,
        window: 4,
        stops_to_detach: true,
        ..CAUTIOUS
    },
    // From the source of 0.12, src/server/gdb_server.c, and measured in front of a virtual probe. It has a memory map only
    // where it knows the chip's flash.
    Profile {
        name: "OpenOCD",
        features: &["qXfer:threads:read+", "QStartNoAckMode+", "vContSupported+", "!multiprocess+"],
        confirm: Some(Confirm::Monitor("version", "Open On-Chip Debugger")),
        reads_while_running: true,
        window: 8,
        setup: &["gdb report_data_abort enable", "gdb_report_data_abort enable"],
        zero_fills: true,
        ..CAUTIOUS
    },
    // A covtap target agent: it answers from within the running target, which it never stops.
    Profile {
        name: "covtap agent",
        features: &["covtap-agent+"],
        reads_while_running: true,
        max_read_bytes: 0x400,
        stop_query_is_safe: false,
        resume: Resume::Never,
        ..CAUTIOUS
    },
    // Measured on the crate's 0.7.10, from which servers are made. Its `qSupported` starts with these four.
    Profile {
        name: "gdbstub",
        features: &[
            "vContSupported+",
            "multiprocess+",
            "QStartNoAckMode+",
            "!qXfer:threads:read+",
            "!QNonStop+",
        ],
        reads_while_running: true,
        max_read_bytes: 0x800,
        window: 16,
        ..CAUTIOUS
    },
    // Measured on 1.6, which says nothing else: a read of 0x220 bytes ends it.
    Profile {
        name: "simavr",
        features: &["=qXfer:memory-map:read+"],
        reads_while_running: true,
        max_read_bytes: 0x100,
        ..CAUTIOUS
    },
];

impl Profile {
    /// Whether the answer to `qSupported` fits this row. `!` before an entry: it must not be there; `=`: it
    /// is the only one.
    pub(crate) fn fits(&self, features: &Features) -> bool {
        self.features.iter().all(|entry| match (entry.strip_prefix('!'), entry.strip_prefix('=')) {
            (Some(absent), _) => !features.has(absent),
            (_, Some(only)) => features.has(only) && features.len() == 1,
            _ => features.has(entry),
        })
    }

    /// The largest read, given what the server says of its packets. Servers that say nothing are asked for
    /// no more than fits the 400 bytes that the oldest of them have.
    pub(crate) fn max_read_bytes(&self, features: &Features) -> usize {
        const SILENT_BYTES: usize = 0x80;
        /// Frame and terminating NUL, which some servers count in.
        const OVERHEAD_BYTES: usize = 8;
        match features.packet_size_bytes() {
            None => self.max_read_bytes.min(SILENT_BYTES.max(self.silent_max())),
            Some(size) if self.acks_on_demand => self.max_read_bytes.min(size / 2),
            Some(size) => self.max_read_bytes.min(size.saturating_sub(OVERHEAD_BYTES) / 2),
        }
        .max(4)
    }

    /// What a known server takes that says nothing of its packets.
    fn silent_max(&self) -> usize {
        if self.features.is_empty() { 0 } else { self.max_read_bytes.min(0x100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_fit(reply: &str) -> &'static str {
        let features = Features::parse(reply.as_bytes());
        PROFILES.iter().find(|row| row.fits(&features)).map_or(CAUTIOUS.name, |row| row.name)
    }

    #[test]
    fn servers_are_known_by_their_own_words() {
        assert_eq!(first_fit("PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+"), "QEMU");
        assert_eq!(
            first_fit(
                "PacketSize=47ff;QPassSignals+;QDisableRandomization+;QStartNoAckMode+;QNonStop+;multiprocess+;vContSupported+"
            ),
            "gdbserver"
        );
        assert_eq!(
            first_fit("PacketSize=131072;QStartNoAckMode+;qEcho+;native-signals+;QThreadSuffixSupported+"),
            "lldb-server"
        );
        assert_eq!(first_fit("PacketSize=1000;vContSupported+;multiprocess+;QStartNoAckMode+"), "gdbstub");
        assert_eq!(first_fit("qXfer:memory-map:read+"), "simavr");
        assert_eq!(first_fit("PacketSize=200;covtap-agent+"), "covtap agent");
        for map in ["+", "-"] {
            let reply = format!(
                "PacketSize=4000;qXfer:memory-map:read{map};qXfer:features:read+;qXfer:threads:read+;QStartNoAckMode+;vContSupported+"
            );
            assert_eq!(first_fit(&reply), "OpenOCD");
        }
        assert_eq!(first_fit("PacketSize=400;qXfer:memory-map:read+"), "unknown server");
        assert_eq!(first_fit(""), "unknown server");
    }

    #[test]
    fn reads_fit_the_servers_packets() {
        let row = |name: &str| PROFILES.iter().find(|row| row.name == name).unwrap();
        let max = |row: &Profile, reply: &str| row.max_read_bytes(&Features::parse(reply.as_bytes()));
        assert_eq!(max(row("QEMU"), "PacketSize=1000"), 0x800);
        assert_eq!(max(row("gdbserver"), "PacketSize=47ff"), 0x1000);
        assert_eq!(max(row("simavr"), ""), 0x100);
        assert_eq!(max(&CAUTIOUS, ""), 0x80);
        assert_eq!(max(&CAUTIOUS, "PacketSize=ffffffffffffffff"), 0x1000);
        assert_eq!(max(&CAUTIOUS, "PacketSize=0"), 4);
    }
}
