//! GDB's own rate: one process, one connection, several dumps, timed inside GDB so that its start is not counted.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use covtap_testbed::{GdbSocket, tool};

use super::snapshot::Size;
use crate::child;

/// Dumps each of `sizes` from `addr` into `dir` and gives the mean time of one dump of each size.
pub(super) fn dump_times(server: &GdbSocket, addr: u64, sizes: &[Size], dir: &Path) -> Result<Vec<Duration>> {
    let script = dir.join("dump.py");
    std::fs::write(&script, script_text(server, addr, sizes, dir)?).context("write GDB's script")?;
    let mut command = Command::new(tool("gdb-multiarch")?);
    command.args(["-nx", "-quiet", "-batch", "-ex", "set architecture i386:x86-64", "-x"]).arg(&script);
    let printed = child::capture(&mut command)?;
    let times: Vec<Duration> = printed.lines().filter_map(seconds).map(Duration::from_secs_f64).collect();
    anyhow::ensure!(times.len() == sizes.len(), "gdb printed {printed:?}");
    Ok(times)
}

/// Where [`dump_times`] leaves the bytes of a size.
pub(super) fn dump_file(dir: &Path, len_bytes: usize) -> std::path::PathBuf {
    dir.join(format!("gdb-{len_bytes}.bin"))
}

fn script_text(server: &GdbSocket, addr: u64, sizes: &[Size], dir: &Path) -> Result<String> {
    let server = match server {
        GdbSocket::Tcp(addr) => addr.to_string(),
        GdbSocket::Unix(path) => path.display().to_string(),
    };
    let mut text = String::from("import gdb, time\n");
    writeln!(text, "gdb.execute('target remote {server}', to_string=True)")?;
    for size in sizes {
        let (len, times) = (size.len_bytes, size.gdb_dumps);
        let file = dump_file(dir, len);
        let dump = format!("dump binary memory {} {addr:#x} {:#x}", file.display(), addr + len as u64);
        writeln!(text, "start = time.perf_counter()")?;
        writeln!(text, "for _ in range({times}): gdb.execute('{dump}', to_string=True)")?;
        writeln!(text, "print('seconds', (time.perf_counter() - start) / {times})")?;
    }
    text.push_str("gdb.execute('detach', to_string=True)\n");
    Ok(text)
}

fn seconds(line: &str) -> Option<f64> {
    line.strip_prefix("seconds ")?.parse().ok().filter(|seconds| *seconds > 0.0)
}
