//! A guest that goes round for ever, and what QEMU's own log says of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use covtap::coverage::object::function_instructions;
use covtap::profile::trace::Trace;
use covtap_testbed::{Guest, GuestBuilder, Machine, Monitor, executed};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::common::round_guest::{build, image};

/// The first instructions that a guest executes, by QEMU's log of a run of its own.
pub(crate) fn logged(machine: Machine, elf: &Path, num: usize) -> Vec<u64> {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    mkfifo(&log, Mode::S_IRWXU).expect("a pipe");
    let guest = Guest::builder(machine, elf).args(["-S"]).start().expect("the guest starts");
    let path = log.clone();
    let reader = std::thread::spawn(move || {
        let log = BufReader::new(File::open(path).expect("the log"));
        executed(log).take(num).collect::<Result<_, _>>().expect("a log of instructions")
    });
    let mut monitor = Monitor::connect(guest.qmp()).expect("a monitor");
    for command in ["one-insn-per-tb on", &format!("logfile {}", log.display()), "log exec,nochain", "cont"] {
        assert_eq!(monitor.human(command).expect(command), "", "{command}");
    }
    reader.join().expect("no panic")
}

/// A guest that goes round for ever.
pub(crate) struct Round {
    pub(crate) dir: TempDir,
    pub(crate) elf: PathBuf,
    pub(crate) guest: Guest,
    pub(crate) monitor: Monitor,
    turns_at: u64,
}

impl Round {
    pub(crate) fn new(machine: Machine) -> Self {
        let mut round = Self::started(machine, |guest| guest);
        round.wait_for_turns(8);
        round
    }

    /// One that is started in another way.
    pub(crate) fn started(machine: Machine, with: impl FnOnce(GuestBuilder) -> GuestBuilder) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let elf = build(machine, &dir);
        let image = image(&elf);
        let turns = image.symbols().find(|symbol| symbol.name == "turns").expect("a counter");
        let turns_at = turns.address.get();
        let guest = with(Guest::builder(machine, &elf)).start().expect("the guest starts");
        // The first one is covtap's.
        let monitor = Monitor::connect(guest.control()).expect("a monitor");
        Self { dir, elf, guest, monitor, turns_at }
    }

    pub(crate) fn turns(&mut self) -> u32 {
        let bytes = self.monitor.physical_memory(self.turns_at, 4).expect("its memory");
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    pub(crate) fn wait_for_turns(&mut self, more: u32) {
        let before = self.turns();
        while self.turns().wrapping_sub(before) < more {
            std::thread::yield_now();
        }
    }

    /// Those of its instructions that a trace says were reached.
    pub(crate) fn reached(&self, trace: &Trace) -> BTreeSet<u64> {
        let image = image(&self.elf);
        let space = trace.space("").expect("a space");
        let addresses = function_instructions(&image).map(|insn| insn.address);
        addresses.filter(|address| space.count_at(*address) > 0).collect()
    }

    /// The instructions that it executes again and again, by QEMU's log.
    pub(crate) fn steady(&mut self) -> BTreeSet<u64> {
        let log = self.dir.path().join("log");
        let file = format!("logfile {}", log.display());
        // Blocks that are chained would go on as they are.
        for command in ["stop", "one-insn-per-tb on", &file, "log in_asm,nochain", "cont"] {
            assert_eq!(self.monitor.human(command).expect(command), "", "{command}");
        }
        self.wait_for_turns(64);
        for command in ["stop", "log none", "one-insn-per-tb off", "cont"] {
            assert_eq!(self.monitor.human(command).expect(command), "", "{command}");
        }
        let text = fs::read_to_string(&log).expect("the log");
        let address = |line: &str| u64::from_str_radix(line.strip_prefix("0x")?.split(':').next()?, 16).ok();
        text.lines().filter_map(address).collect()
    }

    /// Its code is what it was, and it runs.
    pub(crate) fn assert_left_alone(&mut self) {
        assert_eq!(self.monitor.status().expect("a state"), "running");
        let image = image(&self.elf);
        let text = image.section(".text").expect("code");
        let there = self.monitor.physical_memory(text.address().get(), text.len_bytes()).expect("its memory");
        assert!(image.bytes_at(text.address(), text.len_bytes()) == Some(&*there));
        self.wait_for_turns(2);
    }
}
