//! The RISC-V chip in front of a guest that runs in QEMU: read by probe-rs, and by OpenOCD.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use anyhow::Result;
use common::{Program, connected};
use covtap_testbed::{Guest, Machine, Monitor, run, tool};
use covtap_virtual_probe::{
    Chip, ListenAddress, MemoryRange, Protocol, Qemu, RiscvDebugRegisters, Server, SharedRiscv, Stats,
    Target, WireProbe, dmi, lock, shared_riscv,
};
use probe_rs::MemoryInterface;
use probe_rs::probe::list::Lister;
use probe_rs::probe::{DebugProbeSelector, Probe};
use tempfile::TempDir;

/// A program that counts as fast as it can.
const SOURCE: &str = "
.globl start
start: li a0, 0x80001000
       li s0, 0x5e8
       li s1, 0x5e9
1:     lw a1, 0(a0)
       addi a1, a1, 1
       sw a1, 0(a0)
       j 1b
";
const COUNTER: u32 = 0x8000_1000;
const MEMORY: MemoryRange = MemoryRange { base: 0x8000_0000, len_bytes: 16 << 20 };

/// The guest and where its sockets are.
struct Setup {
    guest: Guest,
    dir: TempDir,
}

impl Setup {
    fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("spin.s"), SOURCE)?;
        let [source, object, elf] = ["spin.s", "spin.o", "spin.elf"].map(path);
        run("clang-19", ["--target=riscv32-none-elf", "-march=rv32imac", "-c", &source, "-o", &object])?;
        run("ld.lld-19", ["-Ttext=0x80000000", "-e", "start", &object, "-o", &elf])?;
        let qtest = dir.path().join("qtest");
        let guest =
            Guest::builder(Machine::Riscv32Virt, Path::new(&elf)).without_gdb().qtest(&qtest).start()?;
        // The monitor answers when QEMU has made its other sockets.
        Monitor::connect(guest.control())?.status()?;
        Ok(Self { guest, dir })
    }

    /// A chip of the guest, which has begun to count.
    fn chip(&self, chip: Chip) -> Result<SharedRiscv> {
        let qtest = self.dir.path().join("qtest");
        let mut qemu = Qemu::connect(&qtest, self.guest.qmp(), vec![MEMORY])?;
        let mut counter = [0; 4];
        while counter == [0; 4] {
            qemu.read(COUNTER, &mut counter)?;
        }
        Ok(shared_riscv(chip, qemu))
    }

    fn is_running(&self) -> Result<bool> {
        Ok(Monitor::connect(self.guest.control())?.status()? == "running")
    }
}

/// Reads the counter until it has changed, and a block around it.
fn watch(probe: Probe) -> Result<()> {
    connected(probe, |interface| {
        let mut words = [0; 20];
        interface.read_32(COUNTER.into(), &mut words)?;
        let [first, ..] = words;
        while words[0] == first {
            interface.read_32(COUNTER.into(), &mut words)?;
        }
        assert_eq!(words[1..], [0; 19]);
        Ok(())
    })
}

#[test]
fn memory_is_that_of_the_moment_and_nothing_is_halted() -> Result<()> {
    let setup = Setup::start()?;
    let chip = setup.chip(Chip::default())?;
    watch(Probe::new(WireProbe::new(SharedRiscv::clone(&chip))))?;
    let stats = lock(&chip).take_stats();
    assert_eq!((stats.halts, stats.abstract_commands, stats.target_errors), (0, 0, 0));
    assert!(setup.is_running()?);
    Ok(())
}

#[test]
fn a_program_buffer_halts_the_guest_and_leaves_its_registers() -> Result<()> {
    let setup = Setup::start()?;
    let chip = setup.chip(Chip { system_bus: false, ..Chip::default() })?;
    watch(Probe::new(WireProbe::new(SharedRiscv::clone(&chip))))?;
    let stats = lock(&chip).take_stats();
    assert!(stats.halts > 1 && stats.halts == stats.resumes, "{stats}");
    assert_eq!((stats.registers_left_changed, stats.target_errors, stats.memory_writes), (0, 0, 0));
    assert!(setup.is_running()?);
    Ok(())
}

#[test]
fn registers_are_those_of_the_guest() -> Result<()> {
    let setup = Setup::start()?;
    let chip = setup.chip(Chip::default())?;
    let mut chip = lock(&chip);
    chip.write(dmi::DMCONTROL, dmi::DMACTIVE | dmi::HALTREQ);
    assert!(!setup.is_running()?);
    let mut register = |number: u32| {
        chip.write(dmi::COMMAND, dmi::AARSIZE_32 | dmi::TRANSFER | number);
        chip.read(dmi::DATA0)
    };
    let [a0, s0, s1, pc] = [dmi::GPR0 + 10, dmi::GPR0 + 8, dmi::GPR0 + 9, dmi::DPC.into()].map(&mut register);
    assert_eq!([a0, s0, s1], [COUNTER, 0x5e8, 0x5e9]);
    assert!((0x8000_0000..0x8000_0040).contains(&pc), "{pc:#x}");
    let [mhartid, mtvec] = [0xF14, 0x305].map(register);
    assert_eq!([mhartid, mtvec], [0, 0]);
    chip.write(dmi::DMCONTROL, dmi::DMACTIVE | dmi::RESUMEREQ);
    assert!(setup.is_running()?);
    assert_eq!(chip.stats().target_errors, 0);
    Ok(())
}

#[test]
fn the_program_serves_an_unmodified_probe_rs() -> Result<()> {
    let setup = Setup::start()?;
    let args = ["--chip", "riscv32", "--black-magic", "127.0.0.1:0"];
    let mut program = Program::start(&setup.guest, &setup.dir.path().join("qtest"), &args)?;
    let selector: DebugProbeSelector = format!("1d50:6018:{}", program.address).parse()?;
    watch(Lister::new().open(selector)?)?;
    program.assert_harmless()?;
    assert!(setup.is_running()?);
    Ok(())
}

/// What OpenOCD said of its commands, and what the target went through.
struct OpenOcd {
    lines: Vec<String>,
    stats: Stats,
    registers: RiscvDebugRegisters,
}

impl OpenOcd {
    /// Runs it with a chip of a running guest.
    fn run(setup: &Setup, chip: Chip, target: &str, commands: &str) -> Result<Self> {
        let chip = setup.chip(chip)?;
        let (told, ends) = mpsc::channel();
        let listen = ListenAddress::Tcp("127.0.0.1:0".to_owned());
        let shared = SharedRiscv::clone(&chip);
        let server = Server::start(&listen, Protocol::RemoteBitbang, shared, move |ended, stats| {
            // Nobody waits where OpenOCD could not be started.
            let _ = told.send((ended.is_ok(), stats.clone()));
        })?;
        let port = server.address().to_string().split_off("127.0.0.1:".len());
        let config = format!(
            "adapter driver remote_bitbang\nremote_bitbang host 127.0.0.1\nremote_bitbang port {port}\n\
             jtag newtap chip cpu -irlen 5 -expected-id 0x10000ffd\n\
             gdb_port disabled\ntcl_port disabled\ntelnet_port disabled\n\
             target create chip.cpu riscv -chain-position chip.cpu {target}\ninit\n{commands}\nshutdown\n"
        );
        let output = Command::new(tool("openocd")?).args(["-c", &config]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (is_ok, stats) = ends.recv()?;
        assert!(is_ok && output.status.success(), "{said}");
        println!("{said}{stats}");
        let registers = lock(&chip).debug_registers();
        Ok(Self { lines: said.lines().map(str::to_owned).collect(), stats, registers })
    }

    /// What was said after a word.
    fn said(&self, word: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix(word)).map(str::trim).collect()
    }
}

/// The first of some words.
fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.split(' ').next()?.trim_start_matches("0x"), 16).ok()
}

#[test]
fn openocd_halts_when_it_examines_and_reads_while_the_guest_runs() -> Result<()> {
    let setup = Setup::start()?;
    let commands = "proc counter {} { lindex [read_memory 0x80001000 32 4] 0 }
        set first [counter]
        while {$first == [counter]} {}
        echo \"word $first\"";
    let openocd = OpenOcd::run(&setup, Chip::default(), "", commands)?;
    assert!(matches!(openocd.said("word").as_slice(), [word] if number(word).is_some_and(|word| word != 0)));
    let stats = &openocd.stats;
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (1, 1, 0));
    assert!(stats.system_bus_reads >= 8, "{stats}");
    assert_eq!((openocd.registers.dcsr & dmi::EBREAKS, openocd.registers.dmcontrol), (0, dmi::DMACTIVE));
    assert!(setup.is_running()?);
    Ok(())
}

/// Without examination there is no target to be read, but there is a TAP to be scanned.
#[test]
fn openocd_halts_nothing_where_examination_is_deferred() -> Result<()> {
    let setup = Setup::start()?;
    let commands = "echo \"target [catch {read_memory 0x80001000 32 1}]\"
        irscan chip.cpu 0x11
        proc dmi {op address value} { set out [drscan chip.cpu 2 $op 32 $value 7 $address]; runtest 1; lindex $out 1 }
        dmi 2 0x10 1
        dmi 2 0x38 0x158000
        dmi 2 0x39 0x80001000
        dmi 1 0x3c 0
        echo \"word 0x[dmi 1 0x3c 0]\"
        echo \"word 0x[dmi 0 0 0]\"";
    let openocd = OpenOcd::run(&setup, Chip::default(), "-defer-examine", commands)?;
    assert_eq!(openocd.said("target"), ["1"], "it is refused");
    let words: Vec<_> = openocd.said("word").into_iter().map(number).collect();
    assert!(words[0].is_some_and(|word| word != 0) && words[1] == Some(0), "{words:?}");
    let stats = &openocd.stats;
    assert_eq!((stats.halts, stats.abstract_commands, stats.system_bus_reads), (0, 0, 3));
    assert!(setup.is_running()?);
    Ok(())
}

#[test]
fn openocd_reads_no_running_guest_without_a_system_bus() -> Result<()> {
    let setup = Setup::start()?;
    let commands = "echo \"refused [catch {read_memory 0x80001000 32 1}]\"
        halt
        echo \"word [read_memory 0x80001000 32 4]\"
        resume";
    let chip = Chip { system_bus: false, ..Chip::default() };
    let openocd = OpenOcd::run(&setup, chip, "", commands)?;
    assert_eq!(openocd.said("refused"), ["1"]);
    let stats = &openocd.stats;
    assert_eq!((stats.halts, stats.resumes, stats.registers_left_changed), (2, 2, 0));
    assert_eq!(openocd.registers.dcsr & dmi::EBREAKS, dmi::EBREAKS, "it leaves them set");
    assert!(openocd.said("word").into_iter().all(|word| number(word).is_some_and(|word| word != 0)));
    assert!(setup.is_running()?);
    Ok(())
}
