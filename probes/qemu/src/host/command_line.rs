//! What a running QEMU was started with, of what its monitor does not tell.

use std::fs::metadata;
use std::os::unix::fs::FileTypeExt;

use procfs::process::Process;

/// A process's command line; empty where it cannot be read.
#[derive(Default, Debug)]
pub(crate) struct CommandLine {
    words: Vec<String>,
    /// Whether opening its standard error again empties no file, and works.
    has_plain_stderr: bool,
}

impl CommandLine {
    /// That of a process, if it is known which.
    pub(crate) fn of(pid: Option<i32>) -> Self {
        let Some(pid) = pid else { return Self::default() };
        let words = Process::new(pid).and_then(|process| process.cmdline()).unwrap_or_default();
        let kind = metadata(format!("/proc/{pid}/fd/2")).map(|found| found.file_type());
        let has_plain_stderr = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device());
        Self { words, has_plain_stderr }
    }

    /// What it logs since its start, if it does.
    pub(crate) fn log(&self) -> Option<&str> {
        self.value("d")
    }

    /// The file that it logs into when it is told to. Without one it is standard error, which has no name: where that
    /// is a file, opening it by one would empty it, so that it is nothing then.
    pub(crate) fn log_file(&self) -> &str {
        self.value("D").unwrap_or(if self.has_plain_stderr { "/dev/stderr" } else { "/dev/null" })
    }

    /// Its GDB server's device.
    pub(crate) fn gdb(&self) -> Option<&str> {
        self.value("gdb")
    }

    /// The word behind an option, which has one dash or two.
    fn value(&self, option: &str) -> Option<&str> {
        let is_it = |word: &&String| {
            word.strip_prefix('-').map(|name| name.strip_prefix('-').unwrap_or(name)) == Some(option)
        };
        let mut words = self.words.iter();
        words.find(is_it)?;
        words.next().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_one_dash_or_two_and_case_counts() {
        let words =
            ["qemu", "-D", "log file", "--gdb", "chardev:g", "-M", "virt"].map(str::to_owned).to_vec();
        let line = CommandLine { words, has_plain_stderr: true };
        assert_eq!((line.log(), line.log_file(), line.gdb()), (None, "log file", Some("chardev:g")));
        let words = ["qemu", "-d", "guest_errors"].map(str::to_owned).to_vec();
        let line = CommandLine { words, has_plain_stderr: true };
        assert_eq!((line.log(), line.log_file(), line.gdb()), (Some("guest_errors"), "/dev/stderr", None));
        assert_eq!(CommandLine::default().log_file(), "/dev/null");
    }
}
