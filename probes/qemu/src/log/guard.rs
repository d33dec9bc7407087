//! A child process that ends QEMU's log if this process is killed before it could.
//!
//! What always holds: it does nothing while this process lives; it has the monitor's own connection, so that it needs no
//! other; it ends when this process tells it to, when QEMU has taken its commands, or when QEMU is gone.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::json;

/// What marks the answer to its last command.
const LAST: &str = "covtap-guard-last";

/// Keeps the last line that it is given, and sends it when there will be no more. A command that was sent in part is
/// cut off by a byte that no JSON text has. QEMU drops commands of a connection that ends before they were answered.
const SCRIPT: &str = r#"
will=
while read -r line; do will=$line; done
[ -n "$will" ] || exit 0
printf '\377\n%s\n' "$will"
while read -r line; do case $line in *covtap-guard-last*) exit 0 ;; esac; done <&1
"#;

/// That child.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    will: ChildStdin,
}

impl Guard {
    /// Posts one at a monitor's connection, which blocks those who wait on it.
    pub(crate) fn post(connection: OwnedFd) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).stdin(Stdio::piped()).stdout(connection).stderr(Stdio::null());
        // What a terminal sends to its programs is not for it.
        let mut child = command.process_group(0).spawn()?;
        let will = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, will })
    }

    /// What the human monitor is to be told, in place of what was said before.
    pub(crate) fn leave_to(&mut self, lines: &[String]) -> io::Result<()> {
        let mut will = String::new();
        for (index, line) in lines.iter().enumerate() {
            let id = if index + 1 == lines.len() { LAST } else { "covtap-guard" };
            let arguments = json!({ "command-line": line });
            let command = json!({ "execute": "human-monitor-command", "arguments": arguments, "id": id });
            will.push_str(&command.to_string());
        }
        will.push('\n');
        self.will.write_all(will.as_bytes())
    }

    /// There is nothing to do any more.
    pub(crate) fn dismiss(mut self) {
        // One that is gone already needs no word.
        let _ = self.will.write_all(b"\n");
        drop(self.will);
        let _ = self.child.wait();
    }
}
