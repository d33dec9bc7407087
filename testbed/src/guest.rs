//! A guest in QEMU, with its monitor and its GDB server on sockets of this process's making.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Console, tool};

/// The first descriptor that QEMU finds a listening socket on.
const FIRST_LISTENER_FD: i32 = 3;

/// A machine of QEMU's that the example guests run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// Cortex-M3, 4 MiB at 0 and at 0x2000_0000.
    An385,
    /// x86-64 from a PVH entry point.
    X86Pvh,
    /// x86-64 with 1 GiB, from firmware: boots a Linux kernel's `bzImage`.
    X86Linux,
    /// One 64-bit Arm processor, a Cortex-A53, with 64 MiB at 0x4000_0000.
    Aarch64Virt,
    /// One 32-bit RISC-V hart with memory at 0x8000_0000.
    Riscv32Virt,
    /// One 64-bit RISC-V hart with memory at 0x8000_0000.
    Riscv64Virt,
    /// Cortex-A53 in its first exception level, with memory at 0x4000_0000.
    A64Virt,
}

impl Machine {
    /// The emulator's program.
    #[must_use]
    pub fn emulator(self) -> &'static str {
        match self {
            Self::An385 => "qemu-system-arm",
            Self::X86Pvh | Self::X86Linux => "qemu-system-x86_64",
            Self::Aarch64Virt => "qemu-system-aarch64",
            Self::Riscv32Virt => "qemu-system-riscv32",
            Self::Riscv64Virt => "qemu-system-riscv64",
            Self::A64Virt => "qemu-system-aarch64",
        }
    }

    /// What makes the emulator this machine.
    #[must_use]
    pub fn args(self) -> &'static [&'static str] {
        match self {
            Self::An385 => &["-M", "mps2-an385"],
            Self::X86Pvh => &["-M", "q35", "-m", "64", "-accel", "tcg", "-vga", "none", "-net", "none"],
            // RDRAND, among others, is what a kernel takes the random place from that it goes to.
            Self::X86Linux => {
                &["-M", "q35", "-m", "1024", "-accel", "tcg", "-cpu", "max", "-vga", "none", "-no-reboot"]
            }
            Self::Aarch64Virt => &["-M", "virt", "-cpu", "cortex-a53", "-m", "64"],
            Self::Riscv32Virt | Self::Riscv64Virt => &["-M", "virt", "-m", "16", "-bios", "none"],
            Self::A64Virt => &["-M", "virt", "-cpu", "cortex-a53", "-m", "64"],
        }
    }
}

/// Where a guest's GDB server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GdbSocket {
    /// A TCP port on loopback.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for GdbSocket {
    /// The address as covtap's `--gdb` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a guest is to be started.
#[derive(Debug)]
pub struct GuestBuilder {
    machine: Machine,
    elf: PathBuf,
    gdb_over_tcp: bool,
    has_gdb: bool,
    extra: Vec<OsString>,
}

impl GuestBuilder {
    /// Lets the GDB server listen on a TCP port instead of a Unix socket.
    #[must_use]
    pub fn gdb_over_tcp(mut self) -> Self {
        self.gdb_over_tcp = true;
        self
    }

    /// Gives it a qtest socket, through which its memory is read and written beside what it executes.
    #[must_use]
    pub fn qtest(self, socket: &Path) -> Self {
        let chardev = format!("socket,id=qt,path={},server=on,wait=off", socket.display());
        self.args(["-accel", "tcg", "-chardev", &chardev, "-qtest", "chardev:qt", "-qtest-log", "none"])
    }

    /// Leaves the GDB server out: nobody listens where it would be.
    #[must_use]
    pub fn without_gdb(mut self) -> Self {
        self.has_gdb = false;
        self
    }

    /// Adds arguments to QEMU's command line.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.extra.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the guest; it runs from now on unless `-S` was added.
    ///
    /// # Errors
    ///
    /// The emulator is missing or could not be started, or a socket could not be made.
    pub fn start(self) -> Result<Guest> {
        let dir = TempDir::with_prefix("covtap-guest-").context("make a folder for the guest's sockets")?;
        let qmp = dir.path().join("qmp.sock");
        let qmp_fd: OwnedFd = UnixListener::bind(&qmp).context("bind the monitor's socket")?.into();
        let control = dir.path().join("control.sock");
        let control_fd: OwnedFd =
            UnixListener::bind(&control).context("bind the second monitor's socket")?.into();
        let (gdb, gdb_fd) = self.bind_gdb(dir.path())?;
        let mut command = Command::new(tool(self.machine.emulator())?);
        command.args(self.machine.args()).arg("-kernel").arg(&self.elf);
        command.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"]);
        listen_on(&mut command, "qmp", FIRST_LISTENER_FD);
        command.args(["-mon", "chardev=qmp,mode=control"]);
        if self.has_gdb {
            listen_on(&mut command, "gdb", FIRST_LISTENER_FD + 1);
            command.args(["-gdb", "chardev:gdb"]);
        }
        listen_on(&mut command, "control", FIRST_LISTENER_FD + 2);
        command.args(["-mon", "chardev=control,mode=control"]).args(&self.extra);
        command
            .fd_mappings(vec![
                FdMapping { parent_fd: qmp_fd, child_fd: FIRST_LISTENER_FD },
                FdMapping { parent_fd: gdb_fd, child_fd: FIRST_LISTENER_FD + 1 },
                FdMapping { parent_fd: control_fd, child_fd: FIRST_LISTENER_FD + 2 },
            ])
            .context("hand the sockets to QEMU")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", self.machine.emulator()))?;
        let stdout = child.stdout.take().context("the guest's console")?;
        Ok(Guest { child, console: Console::new(stdout), qmp, control, gdb, _dir: dir })
    }

    fn bind_gdb(&self, dir: &Path) -> Result<(GdbSocket, OwnedFd)> {
        if self.gdb_over_tcp {
            let listener = TcpListener::bind("127.0.0.1:0").context("bind the GDB server's port")?;
            return Ok((GdbSocket::Tcp(listener.local_addr()?), listener.into()));
        }
        let path = dir.join("gdb.sock");
        let listener = UnixListener::bind(&path).context("bind the GDB server's socket")?;
        Ok((GdbSocket::Unix(path), listener.into()))
    }
}

fn listen_on(command: &mut Command, id: &str, fd: i32) {
    command.arg("-chardev").arg(format!("socket,id={id},fd={fd},server=on,wait=off"));
}

/// A running guest. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    console: Console,
    qmp: PathBuf,
    control: PathBuf,
    gdb: GdbSocket,
    _dir: TempDir,
}

impl Guest {
    /// A guest on `machine` that runs `elf`.
    pub fn builder(machine: Machine, elf: impl Into<PathBuf>) -> GuestBuilder {
        GuestBuilder { machine, elf: elf.into(), gdb_over_tcp: false, has_gdb: true, extra: Vec::new() }
    }

    /// The monitor's Unix socket. It serves one client at a time.
    #[must_use]
    pub fn qmp(&self) -> &Path {
        &self.qmp
    }

    /// A second monitor's Unix socket, for a test to look over the shoulder of whoever uses the first.
    #[must_use]
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// Where the GDB server listens. It serves one client at a time.
    #[must_use]
    pub fn gdb(&self) -> &GdbSocket {
        &self.gdb
    }

    /// What the guest prints.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends QEMU at once, as a crash would.
    ///
    /// # Errors
    ///
    /// The process could not be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("end QEMU")?;
        self.child.wait().context("wait for QEMU's end")?;
        Ok(())
    }

    /// How QEMU has ended by itself, which it may be about to do.
    ///
    /// # Errors
    ///
    /// It goes on, or could not be waited for.
    pub fn end(&mut self, patience: Duration) -> Result<ExitStatus> {
        const LOOK: Duration = Duration::from_millis(10);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("wait for QEMU's end")? {
                return Ok(status);
            }
            ensure!(began.elapsed() < patience, "QEMU goes on");
            thread::sleep(LOOK);
        }
    }

    /// Sends a signal to QEMU: SIGSTOP makes a server that never answers.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("process id")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal} to QEMU"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Already ended is as good as ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
