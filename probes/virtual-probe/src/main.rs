//! A virtual debug probe in front of a guest in QEMU, served to probe-rs or OpenOCD over a socket.
//!
//! What enters are the guest's sockets; what leaves is, on standard output, one line with the address, and on standard
//! error, at each connection's end, what the target went through.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use covtap_virtual_probe::{ListenAddress, MemoryRange, Protocol, Qemu, ServeError, Server, Stats, shared};

/// The memories of QEMU's mps2-an385, where its guests are.
const AN385: [MemoryRange; 2] =
    [MemoryRange { base: 0, len_bytes: 4 << 20 }, MemoryRange { base: 0x2000_0000, len_bytes: 4 << 20 }];

/// A virtual debug probe in front of a Cortex-M guest that runs in QEMU.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// QEMU's qtest socket
    #[arg(long, value_name = "PATH")]
    qtest: PathBuf,
    /// QEMU's monitor socket, which speaks QMP
    #[arg(long, value_name = "PATH")]
    qmp: PathBuf,
    /// Addresses with memory behind them, repeatable [default: those of mps2-an385]
    #[arg(long, value_name = "BASE:LEN")]
    memory: Vec<MemoryRange>,
    #[command(flatten)]
    listen: Listen,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Listen {
    /// Serve probe-rs at HOST:PORT or unix:PATH, as a Glasgow
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Serve OpenOCD there, over JTAG
    #[arg(long, value_name = "ADDRESS")]
    remote_bitbang: Option<ListenAddress>,
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
    let Arguments { qtest, qmp, memory, listen } = arguments;
    let memory = if memory.is_empty() { AN385.to_vec() } else { memory };
    let target = Qemu::connect(&qtest, &qmp, memory).context("connect to QEMU")?;
    let (address, protocol) = match (listen.listen, listen.remote_bitbang) {
        (Some(address), _) => (address, Protocol::Glasgow),
        (None, Some(address)) => (address, Protocol::RemoteBitbang),
        (None, None) => anyhow::bail!("nowhere to listen"),
    };
    let server = Server::start(&address, protocol, shared(target), tell)
        .with_context(|| format!("listen on {address}"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", server.address())?;
    stdout.flush()?;
    server.wait();
    Ok(())
}

fn tell(ended: &Result<(), ServeError>, stats: &Stats) {
    match ended {
        Ok(()) => eprintln!("connection ended: {stats}"),
        Err(error) => eprintln!("connection ended ({error}): {stats}"),
    }
}
