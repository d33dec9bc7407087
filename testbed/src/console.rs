//! What a guest, or a program of the host, prints, line by line, with a way to wait for a line.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The lines a guest or a program prints. Lines are kept until they are taken.
#[derive(Debug)]
pub struct Console {
    lines: Receiver<String>,
}

impl Console {
    /// Takes lines from `output`, to its end.
    pub fn new(output: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        Self { lines }
    }

    /// Takes lines until one satisfies `wanted`, and gives that one.
    ///
    /// # Errors
    ///
    /// No such line came within `patience`, or the guest ended.
    pub fn wait_for(&self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut lines = self.lines_until(patience, wanted)?;
        lines.pop().context("the line waited for")
    }

    /// Takes lines until one satisfies `wanted`, and gives them all, that one last.
    ///
    /// # Errors
    ///
    /// No such line came within `patience`, or the guest ended.
    pub fn lines_until(&self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let deadline = Instant::now() + patience;
        let mut lines = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).context("the line waited for was not printed")?;
            let found = wanted(&line);
            lines.push(line);
            if found {
                return Ok(lines);
            }
        }
    }

    /// Takes the lines that have already arrived.
    pub fn arrived(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}
