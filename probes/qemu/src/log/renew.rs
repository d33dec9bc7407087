//! Has QEMU translate code anew that it has translated before, so that it logs it once more.
//!
//! What enters is where code lies; what leaves is for how long the guest stood still, and how much code has no memory.
//! What always holds: what is written is what was read, while the guest stands still; a guest that ran runs again, one that
//! was paused is paused; a GDB server that was opened for this is closed.
//!
//! ```text
//! gdbserver unix:FOLDER/gdb     QEMU's monitor; where QEMU has a GDB server that nobody uses, that one is used
//! m ADDR,LEN                    GDB's protocol: connecting has paused the guest
//! M ADDR,LEN:THE SAME           memory that is written by a debugger loses its translations, be it RAM or ROM
//! D                             it runs on
//! gdbserver none
//! ```
//!
//! No command of the monitor does that (looked for in 10.0): the log's flags do not, except that `nochain` and
//! `one-insn-per-tb` have translations of their own, each of which is made once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use covtap_gdb_remote::{self as gdb_remote, GdbRemote};
use covtap_link::{AddrRange, Link, LinkError, LogBegun, RunState};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::guard::Guard;
use super::{quoted, say};
use crate::failure::Failure;
use crate::host::command_line::CommandLine;
use crate::human::clip;
use crate::qmp::{Client, Command};

/// A GDB server of QEMU's.
struct Door {
    endpoint: gdb_remote::Endpoint,
    /// It was opened by us, in a folder of ours.
    folder: Option<TempDir>,
}

/// Has all of `code` translated anew. `last_will` is what else is to be done if this process ends.
pub(crate) fn renew(
    client: &mut Client,
    line: &CommandLine,
    guard: &mut Guard,
    last_will: &[String],
    code: &[AddrRange],
    failed: &dyn Fn(Failure) -> LinkError,
) -> Result<LogBegun, LinkError> {
    let status = status(client).map_err(failed)?;
    // Nothing has run yet.
    if matches!(status.as_str(), "prelaunch" | "inmigrate") {
        return Ok(LogBegun::default());
    }
    let ran = status == "running";
    let door = Door::find(client, line).map_err(failed)?;
    let mut will: Vec<String> = Vec::new();
    will.extend(door.folder.is_some().then(|| "gdbserver none".to_owned()));
    will.extend(ran.then(|| "cont".to_owned()));
    will.extend_from_slice(last_will);
    guard.leave_to(&will).map_err(|error| failed(Failure::Io(error)))?;
    let opened = door.open(client).map_err(failed);
    let renewed = opened.and_then(|()| rewrite(&door.endpoint, ran, code));
    let closed = door.close(client).map_err(failed);
    guard.leave_to(last_will).map_err(|error| failed(Failure::Io(error)))?;
    let renewed = renewed?;
    closed.map(|()| renewed)
}

fn status(client: &mut Client) -> Result<String, Failure> {
    let told = client.execute(&Command::new("query-status", json!({})))?;
    Ok(told.get("status").and_then(Value::as_str).unwrap_or("running").to_owned())
}

/// Writes what is there.
fn rewrite(endpoint: &gdb_remote::Endpoint, ran: bool, code: &[AddrRange]) -> Result<LogBegun, LinkError> {
    let mut options = gdb_remote::Options::default();
    // So that it is not let run on before its code was written.
    options.found = Some(RunState::Stopped);
    let connected = Instant::now();
    let mut gdb = GdbRemote::connect(endpoint, &options)?;
    let rewritten = covtap_link::rewrite(&mut gdb, code.iter().copied());
    if ran && let Some(control) = gdb.control() {
        control.resume()?;
    }
    gdb.detach()?;
    let pause = if ran { connected.elapsed() } else { Duration::ZERO };
    Ok(LogBegun { pause, missed_bytes: rewritten? })
}

impl Door {
    /// That which QEMU has, or a place for one.
    fn find(client: &mut Client, line: &CommandLine) -> Result<Self, Failure> {
        let devices = client.execute(&Command::new("query-chardev", json!({})))?;
        let own = line.gdb().and_then(|device| device.strip_prefix("chardev:")).unwrap_or("gdb");
        let text = |device: &Value, key| device.get(key).and_then(Value::as_str).map(str::to_owned);
        let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
        let found = devices.iter().find(|device| text(device, "label").as_deref() == Some(own));
        if let Some(name) = found.and_then(|device| text(device, "filename")) {
            return Ok(Self { endpoint: unused(&name)?, folder: None });
        }
        let folder = TempDir::with_prefix("covtap-gdb-").map_err(Failure::Io)?;
        let path: PathBuf = folder.path().join("gdb");
        Ok(Self { endpoint: gdb_remote::Endpoint::Unix(path), folder: Some(folder) })
    }

    fn open(&self, client: &mut Client) -> Result<(), Failure> {
        let (Some(_), gdb_remote::Endpoint::Unix(path)) = (&self.folder, &self.endpoint) else {
            return Ok(());
        };
        // A comma in a value is doubled.
        let path = path.display().to_string().replace(',', ",,");
        let device = quoted(&format!("unix:{path},server=on,wait=off"));
        let told = client.execute(&Command::human(&format!("gdbserver {device}"), None))?;
        let words = told.as_str().unwrap_or_default().trim();
        if words.starts_with("Waiting for gdb connection") {
            Ok(())
        } else {
            Err(Failure::Refused(format!("gdbserver: {}", clip(words))))
        }
    }

    fn close(self, client: &mut Client) -> Result<(), Failure> {
        if self.folder.is_none() {
            return Ok(());
        }
        // It says that it has done so.
        match say(client, "gdbserver none") {
            Err(Failure::Refused(words)) if words.contains("Disabled") => Ok(()),
            other => other,
        }
    }
}

/// Where a GDB server listens that has no client, by what QEMU calls its device.
fn unused(name: &str) -> Result<gdb_remote::Endpoint, Failure> {
    let Some(device) = name.strip_prefix("disconnected:") else {
        let reason = format!("its GDB server ({}) is in use, and is needed for a moment", clip(name));
        return Err(Failure::Refused(reason));
    };
    let place = device.split_once(",server").map_or(device, |(place, _)| place);
    let address = place.strip_prefix("tcp:").unwrap_or(place);
    let unknown =
        |_| Failure::Unsupported(format!("its GDB server is at {}, which cannot be reached", clip(name)));
    if !place.starts_with("tcp:") && !place.starts_with("unix:") {
        return Err(Failure::Unsupported(format!("its GDB server is at {}", clip(name))));
    }
    address.parse().map_err(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_client_is_found_by_its_device() {
        for (name, endpoint) in [
            ("disconnected:unix:/tmp/a,b/g,server=on", "unix:/tmp/a,b/g"),
            ("disconnected:tcp:127.0.0.1:1234,server=on", "127.0.0.1:1234"),
            ("disconnected:tcp:[::]:1234,server=on", "[::]:1234"),
        ] {
            assert_eq!(unused(name).unwrap(), endpoint.parse().unwrap(), "{name}");
        }
        for name in
            ["unix:/tmp/g,server=on", "disconnected:pty:/dev/pts/1", "tcp:127.0.0.1:1<->127.0.0.1:2", ""]
        {
            assert!(unused(name).is_err(), "{name}");
        }
    }
}
