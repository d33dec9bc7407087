//! A virtual debug probe in front of a guest in QEMU, served to probe-rs or OpenOCD over a socket.
//!
//! What enters are the guest's sockets; what leaves is, on standard output, one line with the address, and on standard
//! error, at each connection's end, what the target went through.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use covtap_virtual_probe::{
    Chip, ListenAddress, MemoryRange, Protocol, Qemu, ServeError, Server, SharedChip, Stats, shared,
    shared_memory, shared_riscv,
};

/// The memories of QEMU's mps2-an385, where its guests are.
const AN385: [MemoryRange; 2] =
    [MemoryRange { base: 0, len_bytes: 4 << 20 }, MemoryRange { base: 0x2000_0000, len_bytes: 4 << 20 }];

/// The memory of QEMU's virt with a Cortex-A53 and 64 MiB.
const VIRT_ARM: [MemoryRange; 1] = [MemoryRange { base: 0x4000_0000, len_bytes: 64 << 20 }];

/// The memory of QEMU's virt with a RISC-V hart and 16 MiB.
const VIRT_RISCV: [MemoryRange; 1] = [MemoryRange { base: 0x8000_0000, len_bytes: 16 << 20 }];

/// What the guest's processor is shown as.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Architecture {
    /// A Cortex-M3 behind an ADIv5 debug port
    #[value(name = "cortex-m3")]
    CortexM3,
    /// A Cortex-A53, of which memory alone is behind an ADIv5 debug port
    #[value(name = "cortex-a53")]
    CortexA53,
    /// A RISC-V hart behind a debug module
    Riscv32,
}

/// A virtual debug probe in front of a guest that runs in QEMU.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// QEMU's qtest socket
    #[arg(long, value_name = "PATH")]
    qtest: PathBuf,
    /// QEMU's monitor socket, which speaks QMP
    #[arg(long, value_name = "PATH")]
    qmp: PathBuf,
    /// What the guest runs on
    #[arg(long, value_name = "CHIP", value_enum, default_value = "cortex-m3")]
    chip: Architecture,
    /// Leave out the RISC-V chip's system bus, so that memory is read by halting alone
    #[arg(long)]
    no_system_bus: bool,
    /// Addresses with memory behind them, repeatable [default: those of mps2-an385, or of virt]
    #[arg(long, value_name = "BASE:LEN")]
    memory: Vec<MemoryRange>,
    #[command(flatten)]
    listen: Listen,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Listen {
    /// Serve probe-rs at HOST:PORT or unix:PATH over SWD, as a Glasgow
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Serve OpenOCD there, over JTAG
    #[arg(long, value_name = "ADDRESS")]
    remote_bitbang: Option<ListenAddress>,
    /// Serve probe-rs at HOST:PORT over JTAG, as a Black Magic Probe
    #[arg(long, value_name = "ADDRESS")]
    black_magic: Option<ListenAddress>,
}

impl Listen {
    /// Where, and what is spoken there. The command line has one of them.
    fn address(self) -> Option<(ListenAddress, Protocol)> {
        let listen = self.listen.map(|address| (address, Protocol::Glasgow));
        listen
            .or_else(|| self.remote_bitbang.map(|address| (address, Protocol::RemoteBitbang)))
            .or_else(|| self.black_magic.map(|address| (address, Protocol::BlackMagic)))
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let chip = connect(&arguments)?;
    let (address, protocol) = arguments.listen.address().context("nowhere to listen")?;
    let server =
        Server::start(&address, protocol, chip, tell).with_context(|| format!("listen on {address}"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", server.address())?;
    stdout.flush()?;
    server.wait();
    Ok(())
}

/// The guest as a chip.
fn connect(arguments: &Arguments) -> Result<SharedChip> {
    let Arguments { qtest, qmp, chip, memory, no_system_bus, .. } = arguments;
    let memory = match (memory.as_slice(), chip) {
        ([], Architecture::CortexM3) => AN385.to_vec(),
        ([], Architecture::CortexA53) => VIRT_ARM.to_vec(),
        ([], Architecture::Riscv32) => VIRT_RISCV.to_vec(),
        (named, _) => named.to_vec(),
    };
    let target = Qemu::connect(qtest, qmp, memory).context("connect to QEMU")?;
    Ok(match chip {
        Architecture::CortexM3 => shared(target).into(),
        Architecture::CortexA53 => shared_memory(target).into(),
        Architecture::Riscv32 => {
            shared_riscv(Chip { system_bus: !no_system_bus, ..Chip::default() }, target).into()
        }
    })
}

fn tell(ended: &Result<(), ServeError>, stats: &Stats) {
    match ended {
        Ok(()) => eprintln!("connection ended: {stats}"),
        Err(error) => eprintln!("connection ended ({error}): {stats}"),
    }
}
