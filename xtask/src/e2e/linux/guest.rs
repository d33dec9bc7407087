//! The kernel in QEMU, with `init.c` of `examples/guests/linux-gcov` as its first process, which takes orders.
//!
//! What enters is a [`Kernel`]; what leaves is `.gcda` files as the kernel itself makes them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use covtap_testbed::{Guest, Machine, Monitor};
use serde_json::json;
use tempfile::TempDir;

use super::kernel::Kernel;

/// An emulated machine on a busy host boots in a minute at most.
const PATIENCE: Duration = Duration::from_secs(180);

/// More than all files together.
const DISK_BYTES: u64 = 512 << 20;

/// A running kernel.
#[derive(Debug)]
pub(super) struct LinuxGuest {
    guest: Guest,
    monitor: Monitor,
    orders: UnixStream,
    disk: PathBuf,
    _dir: TempDir,
}

impl LinuxGuest {
    /// Boots until it is at rest. It ends where it would boot again.
    pub(super) fn start(kernel: &Kernel) -> Result<Self> {
        Self::start_with(kernel, &[])
    }

    /// As [`start`](Self::start), and it may be [reset](Self::reset).
    pub(super) fn start_for_resets(kernel: &Kernel) -> Result<Self> {
        Self::start_with(kernel, &["-action", "reboot=reset"])
    }

    fn start_with(kernel: &Kernel, more: &[&str]) -> Result<Self> {
        let dir = TempDir::with_prefix("covtap-linux-").context("make a folder")?;
        let (disk, orders) = (dir.path().join("disk"), dir.path().join("orders.sock"));
        File::create(&disk).and_then(|file| file.set_len(DISK_BYTES)).context("make a disk")?;
        let mut args: Vec<OsString> = vec!["-initrd".into(), kernel.initramfs.clone().into()];
        args.extend(["-append", "console=ttyS0 quiet panic=-1"].map(Into::into));
        let socket = format!("socket,id=orders,server=on,wait=off,path={}", orders.display());
        args.extend(["-chardev", &socket, "-serial", "chardev:orders"].map(Into::into));
        let drive = format!("file={},format=raw,if=none,id=disk", disk.display());
        args.extend(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"].map(Into::into));
        args.extend(more.iter().map(Into::into));
        let guest = Guest::builder(Machine::X86Linux, &kernel.bzimage).args(args).start()?;
        guest.console().wait_for(PATIENCE, |line| line == "at rest")?;
        // The socket is there: the guest has opened the port behind it.
        let orders = UnixStream::connect(&orders).context("connect to the guest's second serial port")?;
        let monitor = Monitor::connect(guest.control())?;
        Ok(Self { guest, monitor, orders, disk, _dir: dir })
    }

    /// The monitor's socket, for covtap.
    pub(super) fn qmp(&self) -> &Path {
        self.guest.qmp()
    }

    /// How often it was stopped so far.
    pub(super) fn stops(&mut self) -> Result<usize> {
        let status = self.monitor.status()?;
        ensure!(status == "running", "the guest is {status}");
        Ok(self.monitor.events().iter().filter(|event| *event == "STOP").count())
    }

    /// Gives an order and waits until it is done, which the guest says with a line that begins so.
    fn order(&mut self, order: &str, done: &str) -> Result<String> {
        self.orders.write_all(format!("{order}\n").as_bytes()).context("give the guest an order")?;
        let is_answer = |line: &str| line.starts_with(done) || line.starts_with("no such order");
        let answer = self.guest.console().wait_for(PATIENCE, is_answer);
        let answer = answer.with_context(|| format!("the guest was told: {order}"))?;
        ensure!(answer.starts_with(done), "the guest was told {order} and says: {answer}");
        Ok(answer)
    }

    /// Makes it work until it is told to rest.
    pub(super) fn work(&mut self) -> Result<()> {
        self.order("work", "at work").map(drop)
    }

    /// Makes it rest.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.order("rest", "at rest").map(drop)
    }

    /// Has it stand still: it counts no more.
    pub(super) fn halt(&mut self) -> Result<()> {
        self.monitor.execute("stop", &json!({})).map(drop)
    }

    /// Resets a guest that stands still, and boots until it is at rest.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.guest.console().arrived();
        self.monitor.execute("system_reset", &json!({}))?;
        self.monitor.execute("cont", &json!({}))?;
        let booted = self.guest.console().wait_for(PATIENCE, |line| line == "at rest");
        booted.context("the guest was reset").map(drop)
    }

    /// All `.gcda` files of debugfs, by their names there.
    pub(super) fn serve(&mut self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let answer = self.order("serve", "served ")?;
        let disk = fs::read(&self.disk).context("read the guest's disk")?;
        let files = parse(&disk).context("the guest's disk is not as init.c leaves it")?;
        ensure!(answer == format!("served {} files", files.len()), "{answer}, {} on the disk", files.len());
        Ok(files)
    }
}

/// Name, newline, length, newline, bytes; an empty name at the end.
fn parse(mut disk: &[u8]) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    loop {
        let name = line(&mut disk)?;
        if name.is_empty() {
            return Some(files);
        }
        let len = line(&mut disk)?.parse().ok()?;
        files.insert(PathBuf::from(name), disk.split_off(..len)?.to_vec());
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = rest.iter().position(|byte| *byte == b'\n')?;
    let line = str::from_utf8(rest.split_off(..len)?).ok()?;
    rest.split_off(..1)?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_the_disk_and_a_cut_one_is_not() {
        let disk = b"/a b\n3\nx\ny/c\n0\n\n\0\0\0";
        let files = parse(disk).unwrap();
        let expected = [("/a b", &b"x\ny"[..]), ("/c", b"")].map(|(name, b)| (name.into(), b.to_vec()));
        assert_eq!(files, BTreeMap::from(expected));
        assert_eq!(parse(&disk[..8]), None);
        assert_eq!(parse(b"/a\nx\n"), None);
        assert_eq!(parse(&disk[..15]), None);
    }
}
