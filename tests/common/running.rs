//! A program of this machine that runs, for a GDB server to be attached to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that does what its input says, letter by letter, and answers each with `done`. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    exe: PathBuf,
}

impl Running {
    pub(crate) fn start(exe: &Path, profile: &Path) -> Self {
        let mut command = Command::new(exe);
        command.env("LLVM_PROFILE_FILE", profile).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, output, exe: exe.to_owned() }
    }

    /// Lets it do what each letter says, and waits until it has.
    pub(crate) fn go(&mut self, letters: &str) {
        write!(self.child.stdin.as_ref().expect("its input"), "{letters}").expect("it reads");
        for _ in letters.chars() {
            let mut line = String::new();
            self.output.read_line(&mut line).expect("an answer");
            assert_eq!(line, "done\n");
        }
    }

    /// Ends its input, and waits until it has ended.
    pub(crate) fn finish(mut self) {
        self.child.wait().expect("a child");
    }

    /// A covtap command for it.
    pub(crate) fn args(&self, verb: &str, profile: &Path) -> Vec<String> {
        let pid = self.child.id();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
        let exe = self.exe.display().to_string();
        let first = maps.lines().find(|line| line.ends_with(&exe)).expect("its first segment");
        let slide = first.split('-').next().expect("an address");
        let server = format!("exec:gdbserver --attach - {pid}");
        let elf = format!("{exe}@0x{slide}");
        let output = profile.display().to_string();
        [verb, "--gdb", &server, &elf, "-o", &output].map(str::to_owned).to_vec()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
