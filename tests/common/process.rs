//! Programs on this host, whose memory is read while they run.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use covtap_link::{Effect, Link, LinkError, LinkInfo, Operation, ReadMemory, ReadReport, ReadRequest};

/// A process of a test, which ends with it.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a program in its folder, and waits for its first line.
    pub(crate) fn start(program: &Path, argument: &str, first_line: &str) -> Self {
        Self::start_with(Command::new(program).arg(argument), program, first_line)
    }

    /// Starts a command in a program's folder, and waits for its first line.
    pub(crate) fn start_with(command: &mut Command, program: &Path, first_line: &str) -> Self {
        let mut process = Self::spawn(command, program);
        process.wait_for(first_line);
        process
    }

    /// Starts a command in a program's folder.
    pub(crate) fn spawn(command: &mut Command, program: &Path) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.current_dir(program.parent().unwrap()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for the next line, which must be this one.
    pub(crate) fn wait_for(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }

    /// Sends the byte that it waits for.
    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b".").unwrap();
    }

    /// Sends the byte that it waits for last, and waits for its end.
    pub(crate) fn finish(mut self) -> ExitStatus {
        self.go_on();
        self.child.wait().unwrap()
    }

    /// Its memory, which is read while it runs.
    pub(crate) fn memory(&self) -> Memory {
        Memory(File::open(format!("/proc/{}/mem", self.child.id())).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The memory of a process.
pub(crate) struct Memory(File);

impl ReadMemory for Memory {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        for read in reads {
            self.0.read_exact_at(read.buf, read.addr.get()).map_err(|error| LinkError::Refused {
                operation: Operation::Read { addr: read.addr, len_bytes: read.buf.len() as u64 },
                endpoint: "process".to_owned(),
                reason: error.to_string(),
            })?;
        }
        Ok(ReadReport::default())
    }
}

impl Link for Memory {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            endpoint: "process".to_owned(),
            server: "/proc".to_owned(),
            architecture: None,
            endianness: None,
            pointer_width: None,
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }
}
