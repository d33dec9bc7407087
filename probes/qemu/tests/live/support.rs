//! Guests of a few instructions, and a second monitor to look over the link's shoulder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use covtap_link::{ReadMemory, TargetAddr, TargetEvent, TargetEvents};
use covtap_qemu::{AddressSpace, MethodChoice, Options, QemuLink, QmpEndpoint};
use covtap_testbed::{Guest, Machine, Monitor, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A guest of `tests/guests` and what the tests know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    source: &'static str,
    clang: &'static [&'static str],
    base: u64,
    machine: Machine,
    /// Physical address of the counter that the guest increments without end.
    pub(crate) counter: u64,
    /// Physical memory that the guest does not touch and that a pattern is loaded into, and its length.
    pub(crate) pattern: (u64, usize),
    /// QEMU's name for the architecture.
    pub(crate) target: &'static str,
}

/// Cortex-M3. Its counter is outside of the machine's main memory, the pattern fills all of that.
pub(crate) const AN385: Kind = Kind {
    source: "an385.S",
    clang: &["-target", "thumbv7m-none-eabi"],
    base: 0,
    machine: Machine::An385,
    counter: 0x2000_0000,
    pattern: (0x2100_0000, 16 << 20),
    target: "arm",
};

/// RISC-V in supervisor mode with a high half.
pub(crate) const RISCV: Kind = Kind {
    source: "riscv64-sv39.S",
    clang: &["-target", "riscv64-none-elf", "-march=rv64imac_zicsr", "-mno-relax"],
    base: 0x8000_0000,
    machine: Machine::Riscv64Virt,
    counter: 0x8010_0000,
    pattern: (0x8020_0000, 1 << 20),
    target: "riscv64",
};

/// x86-64 with a high half and pages in reverse order.
pub(crate) const X86: Kind = Kind {
    source: "x86-high.S",
    clang: &["-target", "x86_64-none-elf"],
    base: 0x10_0000,
    machine: Machine::X86Pvh,
    counter: 0x20_0000,
    pattern: (0x40_0000, 1 << 20),
    target: "x86_64",
};

/// QEMU's arguments for a monitor on TCP.
pub(crate) const TCP_MONITOR: [&str; 2] = ["-qmp", "tcp:127.0.0.1:0,server=on,wait=off"];

/// A running guest with a pattern in its memory.
pub(crate) struct Running {
    pub(crate) guest: Guest,
    pub(crate) pattern: Vec<u8>,
    _dir: TempDir,
}

/// Bytes without a period that a wrong offset could hide behind.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

/// Assembles a guest, starts it with extra arguments to QEMU and waits until it counts.
pub(crate) fn start<S: Into<std::ffi::OsString>>(kind: Kind, args: impl IntoIterator<Item = S>) -> Running {
    let dir = TempDir::new().expect("a folder");
    let elf = assemble(kind, dir.path());
    let file = dir.path().join("pattern.bin");
    let bytes = pattern(kind.pattern.1);
    std::fs::write(&file, &bytes).expect("write the pattern");
    let loader = format!("loader,file={},addr={:#x},force-raw=on", file.display(), kind.pattern.0);
    let guest = Guest::builder(kind.machine, elf).args(["-device".to_owned(), loader]).args(args);
    let guest = guest.start().expect("start QEMU");
    guest.console().wait_for(PATIENCE, |line| line == "R").expect("the guest runs");
    Running { guest, pattern: bytes, _dir: dir }
}

/// Starts a guest without extra arguments.
pub(crate) fn start_plain(kind: Kind) -> Running {
    start(kind, [""; 0])
}

fn assemble(kind: Kind, dir: &Path) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let (object, elf) = (dir.join("guest.o"), dir.join("guest.elf"));
    let mut words: Vec<PathBuf> = kind.clang.iter().map(PathBuf::from).collect();
    words.extend(["-c".into(), guests.join(kind.source), "-o".into(), object.clone()]);
    run("clang-19", words).expect("assemble the guest");
    let base = format!("--defsym=base={:#x}", kind.base);
    let words: [PathBuf; 6] =
        ["-T".into(), guests.join("guest.ld"), base.into(), object, "-o".into(), elf.clone()];
    run("ld.lld-19", words).expect("link the guest");
    elf
}

/// Options for one method and address space.
pub(crate) fn options(method: MethodChoice, address_space: AddressSpace) -> Options {
    let mut options = Options::default();
    options.method = method;
    options.address_space = address_space;
    options.reply_timeout = PATIENCE;
    options
}

/// The monitor that the link under test uses.
pub(crate) fn endpoint(guest: &Guest) -> QmpEndpoint {
    QmpEndpoint::Unix(guest.qmp().to_path_buf())
}

/// Connects to a guest.
pub(crate) fn connect(guest: &Guest, method: MethodChoice, space: AddressSpace) -> QemuLink {
    QemuLink::connect(&endpoint(guest), &options(method, space)).expect("connect")
}

/// Reads `len` bytes.
pub(crate) fn read(link: &mut QemuLink, addr: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    link.read(TargetAddr::new(addr), &mut bytes).expect("read");
    bytes
}

/// Reads a counter of 32 bits, which is what all guests keep the lower half of theirs in.
pub(crate) fn counter(link: &mut QemuLink, addr: u64) -> u32 {
    u32::from_le_bytes(read(link, addr, 4).try_into().expect("4 bytes"))
}

/// Reads the counter at `addr` until it differs from `before`.
pub(crate) fn wait_until_it_counts(link: &mut QemuLink, addr: u64, before: u32) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = counter(link, addr);
        if now != before {
            return now;
        }
        assert!(Instant::now() < deadline, "the counter at {addr:#x} stays {before}");
    }
}

/// Polls until an event comes.
pub(crate) fn next_event(link: &mut QemuLink) -> TargetEvent {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = link.poll().expect("poll") {
            return event;
        }
        assert!(Instant::now() < deadline, "no event came");
        std::thread::yield_now();
    }
}

/// A client of the second monitor.
pub(crate) struct Control(Monitor);

impl Control {
    pub(crate) fn new(guest: &Guest) -> Self {
        Self(Monitor::connect(guest.control()).expect("the second monitor"))
    }

    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        self.0.execute(command, arguments).expect("QEMU does it")
    }

    /// The events that came while commands were answered.
    pub(crate) fn events(&self) -> &[String] {
        self.0.events()
    }

    /// The address of the monitor that was started with [`TCP_MONITOR`], on a port of QEMU's choice.
    pub(crate) fn tcp_monitor(&mut self) -> String {
        let chardevs = self.execute("query-chardev", &json!({}));
        let names = chardevs.as_array().expect("chardevs").iter().filter_map(|c| c["filename"].as_str());
        let mut ports = names.filter_map(|name| name.strip_prefix("disconnected:tcp:")?.split(',').next());
        ports.next().expect("a monitor on TCP").to_owned()
    }

    pub(crate) fn status(&mut self) -> String {
        self.0.status().expect("QEMU tells")
    }

    /// What QEMU itself writes of a physical range.
    pub(crate) fn pmemsave(&mut self, gpa: u64, len: usize) -> Vec<u8> {
        self.0.physical_memory(gpa, len as u64).expect("QEMU dumps it")
    }
}
