//! The probe as a program, and probe-rs in front of a RISC-V chip.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use covtap_testbed::Guest;
use probe_rs::architecture::riscv::communication_interface::RiscvCommunicationInterface;
use probe_rs::probe::{Probe, WireProtocol};

/// The probe as a program. Dropping it ends it.
pub(crate) struct Program {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Program {
    /// Starts it in front of a guest, whose qtest socket is `qtest`.
    pub(crate) fn start(guest: &Guest, qtest: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_covtap-virtual-probe"));
        command.arg("--qtest").arg(qtest).arg("--qmp").arg(guest.qmp()).args(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut program = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(program.child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ").context("an address")?;
        address.clone_into(&mut program.address);
        Ok(program)
    }

    /// Makes sure that nothing was done to the guest by a connection that has ended.
    pub(crate) fn assert_harmless(&mut self) -> Result<()> {
        let mut told = String::new();
        BufReader::new(self.child.stderr.take().context("stderr")?).read_line(&mut told)?;
        let expected = "connection ended: 0 halts, 0 steps, 0 resumes, 0 resets, 0 memory writes";
        assert!(told.starts_with(expected), "{told}");
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to a RISC-V chip's debug module, and has something done.
pub(crate) fn connected<T>(
    mut probe: Probe,
    work: impl FnOnce(&mut RiscvCommunicationInterface<'_>) -> Result<T>,
) -> Result<T> {
    probe.select_protocol(WireProtocol::Jtag)?;
    probe.attach_to_unspecified()?;
    let builder = probe.try_get_riscv_interface_builder()?;
    let mut state = builder.create_state();
    let mut interface = builder.attach(&mut state)?;
    interface.enter_debug_mode()?;
    work(&mut interface)
}
