//! A plain QMP client for tests and benchmarks: the commands a person would type, one at a time.
//!
//! It shares no code with covtap's own QMP client, so that neither can hide a fault of the other.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A QEMU that does not answer within this time is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a QEMU monitor.
#[derive(Debug)]
pub struct Monitor {
    stream: BufReader<UnixStream>,
    events: Vec<String>,
}

impl Monitor {
    /// Connects and leaves the negotiation behind.
    ///
    /// # Errors
    ///
    /// Nobody listens, or it does not speak QMP.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("connect to the monitor")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { stream: BufReader::new(stream), events: Vec::new() };
        // A guest that was stopped or resumed just now is told of before the greeting.
        let mut greeting = monitor.receive()?;
        while greeting.get("event").is_some() {
            greeting = monitor.receive()?;
        }
        if greeting.get("QMP").is_none() {
            bail!("not a QMP monitor: {greeting}");
        }
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and gives what it returned. Events that arrive meanwhile are kept.
    ///
    /// # Errors
    ///
    /// QEMU refused it, or went away.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).context("send a monitor command")?;
        loop {
            let mut answer = self.receive()?;
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            match answer.get("event").and_then(Value::as_str) {
                Some(event) => self.events.push(event.to_owned()),
                None => bail!("{command}: {answer}"),
            }
        }
    }

    /// Runs a command of the human monitor and gives what it printed.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn human(&mut self, line: &str) -> Result<String> {
        let printed = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(printed.as_str().unwrap_or_default().to_owned())
    }

    /// The guest's run state: `running`, `paused`, ...
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn status(&mut self) -> Result<String> {
        let status = self.execute("query-status", &json!({}))?;
        Ok(status.get("status").and_then(Value::as_str).unwrap_or("unknown").to_owned())
    }

    /// Guest-physical memory, by way of `pmemsave`.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); or the file could not be read back.
    pub fn physical_memory(&mut self, addr: u64, len_bytes: u64) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("memory");
        self.execute("pmemsave", &json!({ "val": addr, "size": len_bytes, "filename": file }))?;
        std::fs::read(&file).context("read what pmemsave wrote")
    }

    /// The names of the events that came while commands were answered, `STOP` for one.
    #[must_use]
    pub fn events(&self) -> &[String] {
        &self.events
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("read from the monitor")? == 0 {
            bail!("the monitor was closed");
        }
        serde_json::from_str(&line).with_context(|| format!("the monitor sent {line:?}"))
    }
}
