//! What the end-to-end tests share: running covtap, and reading profiles with LLVM's own tools.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod clang_program;
pub(crate) mod corpus;
pub(crate) mod counting;
pub(crate) mod gcov_guest;
pub(crate) mod gcov_tool;
pub(crate) mod hostile;
pub(crate) mod indexed;
pub(crate) mod labels;
pub(crate) mod plugin;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod reset_guest;
pub(crate) mod round_guest;
pub(crate) mod running;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use covtap_testbed::{self as testbed, Guest};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A guest that has not come to the awaited point by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The counters of each function by its name, as LLVM's tools read them.
pub(crate) type Counts = BTreeMap<String, Vec<u64>>;

/// A covtap command, not yet started.
pub(crate) fn covtap<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covtap"));
    command.args(args).env_remove("LLVM_PROFILE_FILE").env_remove("GCOV_PREFIX").stdin(Stdio::null());
    command
}

/// Runs covtap to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    covtap(args).output().expect("covtap starts")
}

/// What a process printed on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that covtap ended well, and shows what it said if not.
pub(crate) fn assert_done(output: &Output) {
    assert!(output.status.success(), "covtap ended with {}: {}", output.status, stderr(output));
}

/// Asserts that covtap failed as it should: exit code 2, one line of error that holds `error`, and one of hint
/// that holds `hint` (no hint at all if that is empty).
pub(crate) fn assert_refused(output: &Output, error: &str, hint: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let lines = |start| said.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    let (errors, hints) = (lines("covtap: error: "), lines("covtap: hint: "));
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains(error), "no {error:?} in: {said}");
    assert_eq!(hints.len(), usize::from(!hint.is_empty()), "{said}");
    assert!(hints.iter().all(|line| line.contains(hint)), "no {hint:?} in: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// The counters of every function in a raw profile, as llvm-profdata reads them.
pub(crate) fn counts(profraw: &Path) -> Counts {
    counts_by("llvm-profdata-19", profraw)
}

/// As [`counts`], by the tool of another release.
pub(crate) fn counts_by(profdata: &str, profraw: &Path) -> Counts {
    let text = testbed::run(
        profdata,
        ["merge".as_ref(), "--text".as_ref(), profraw.as_os_str(), "-o".as_ref(), "-".as_ref()],
    );
    parse_proftext(&text.expect("llvm-profdata reads the profile"))
}

/// A text profile without the lines that tell of values, from their head to the end of the function.
pub(crate) fn without_values(text: &str) -> String {
    let functions = text.split("\n\n").map(|function| match function.split_once("\n# Num Value Kinds:\n") {
        Some((counts, _)) => counts,
        None => function,
    });
    functions.collect::<Vec<_>>().join("\n\n")
}

/// Runs a program built for optimisation with profiles, and gives its raw profile.
pub(crate) fn ir_profile(release: &str, dir: &Path, flags: &[&str]) -> std::path::PathBuf {
    let path = |name: &str| dir.join(name).display().to_string();
    let program = "#include <string.h>
        static int twice(int x) { return x > 2 ? x * 2 : x; }
        static int thrice(int x) { return 3 * x; }
        int (*volatile call)(int) = twice; char from[64], to[64]; volatile unsigned long len = 40;
        int main(int c, char **v) {
          int sum = 0;
          for (int i = 0; i < 5; i++) { sum += call(i + c); call = i & 1 ? twice : thrice; }
          memcpy(to, from, len); return sum == 0;
        }";
    std::fs::write(path("program.c"), program).unwrap();
    let args = ["-O1", "-fprofile-generate", &path("program.c"), "-o", &path("program")];
    testbed::run(&format!("clang-{release}"), args.iter().chain(flags)).unwrap();
    let profile = dir.join(format!("{release}.profraw"));
    assert!(
        Command::new(path("program")).env("LLVM_PROFILE_FILE", &profile).status().unwrap().success(),
        "{flags:?}"
    );
    profile
}

/// Reads LLVM's text form: name, hash, number of counters, counters, with comments between.
fn parse_proftext(text: &str) -> Counts {
    // A bitmap is `$1` and its bytes, each `0x5`.
    let is_left_out =
        |line: &str| line.is_empty() || line.starts_with([':', '#', '$']) || line.starts_with("0x");
    let mut lines = text.lines().filter(|line| !is_left_out(line));
    let mut counts = Counts::new();
    while let Some(name) = lines.next() {
        let _hash = lines.next();
        let len: usize = lines.next().and_then(|len| len.parse().ok()).expect("a number of counters");
        let values = lines.by_ref().take(len).map(|value| value.parse().expect("a count")).collect();
        counts.insert(name.to_owned(), values);
    }
    counts
}

/// How many counters are not zero.
pub(crate) fn nonzero(counts: &Counts) -> usize {
    counts.values().flatten().filter(|count| **count != 0).count()
}

/// How often each function was entered, as llvm-cov reports it for this ELF.
pub(crate) fn entered(elf: &Path, profraw: &Path) -> BTreeMap<String, u64> {
    let dir = tempfile::tempdir().expect("a folder");
    let profdata = dir.path().join("merged.profdata");
    testbed::run(
        "llvm-profdata-19",
        ["merge".as_ref(), profraw.as_os_str(), "-o".as_ref(), profdata.as_os_str()],
    )
    .expect("llvm-profdata reads the profile");
    let json = testbed::run(
        "llvm-cov-19",
        ["export".as_ref(), elf.as_os_str(), "--instr-profile".as_ref(), profdata.as_os_str()],
    );
    let json: serde_json::Value = serde_json::from_str(&json.expect("llvm-cov reads it")).expect("JSON");
    let functions = json["data"][0]["functions"].as_array().expect("functions");
    let pair = |function: &serde_json::Value| {
        Some((function["name"].as_str()?.to_owned(), function["count"].as_u64()?))
    };
    functions.iter().filter_map(pair).collect()
}

/// Makes sure that a guest at rest has the same counters by some way as QEMU shows.
pub(crate) fn assert_as_by_qemu(guest: &Guest, elf: &Path, way: &[&str]) {
    let dir = tempfile::tempdir().expect("a folder");
    let (qmp, elf) = (guest.qmp().display().to_string(), elf.display().to_string());
    let [theirs, ours] = [("qemu", &["--qemu", &qmp][..]), ("way", way)].map(|(name, way)| {
        let profile = dir.path().join(name);
        let output = profile.display().to_string();
        assert_done(&run(["snapshot", &elf, "-o", &output].iter().chain(way)));
        std::fs::read(profile).expect("a profile")
    });
    assert_eq!(ours, theirs, "{way:?}");
}

/// What the guest counted itself, once it rests: `tally parse 7500`.
pub(crate) fn tallies_at_rest(guest: &Guest) -> BTreeMap<String, u64> {
    let mut tallies = BTreeMap::new();
    loop {
        let line = guest.console().wait_for(PATIENCE, |_| true).expect("the workload comes to rest");
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["tally", name, count] => tallies.insert((*name).to_owned(), count.parse().expect("a count")),
            ["rest"] => return tallies,
            _ => None,
        };
    }
}

/// A way to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Qemu,
    Gdb,
}

impl Way {
    /// The flag and the address that covtap takes.
    pub(crate) fn flags(self, guest: &Guest) -> [String; 2] {
        match self {
            Self::Qemu => ["--qemu".to_owned(), guest.qmp().display().to_string()],
            Self::Gdb => ["--gdb".to_owned(), guest.gdb().to_string()],
        }
    }
}

/// How many snapshots a session said it has written.
fn snapshots(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("snapshot ")).count()
}

/// A covtap that goes on, and what it says on stderr.
pub(crate) struct Session {
    child: Child,
    said: Arc<(Mutex<String>, Condvar)>,
    reader: JoinHandle<()>,
}

impl Session {
    /// Starts covtap.
    pub(crate) fn start(args: &[String]) -> Self {
        Self::of(covtap(args))
    }

    /// Starts a covtap command.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("covtap starts");
        let mut stderr = child.stderr.take().expect("stderr");
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let sink = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len @ 1..) = stderr.read(&mut chunk) {
                sink.0.lock().expect("no panic").push_str(&String::from_utf8_lossy(&chunk[..len]));
                sink.1.notify_all();
            }
        });
        Self { child, said, reader }
    }

    /// Waits until `n` snapshots were written. Their numbers do not matter: on a slow disk newer ones overtake
    /// older ones.
    pub(crate) fn wait_for_snapshots(&self, n: usize) {
        self.wait_until(|said| snapshots(said) >= n);
    }

    /// Waits until `n` more snapshots were written than there are.
    pub(crate) fn wait_for_more_snapshots(&self, n: usize) {
        let there = snapshots(&self.said.0.lock().expect("no panic"));
        self.wait_for_snapshots(there + n);
    }

    /// Waits until covtap has said `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(|said| said.contains(text));
    }

    fn wait_until(&self, is_enough: impl Fn(&str) -> bool) {
        let said = self.said.0.lock().expect("no panic");
        let waited =
            self.said.1.wait_timeout_while(said, PATIENCE, |said| !is_enough(said)).expect("no panic");
        assert!(!waited.1.timed_out(), "covtap only said: {}", waited.0);
    }

    /// Everything that it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.0.lock().expect("no panic").clone()
    }

    /// Covtap's process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Sends a signal to covtap.
    pub(crate) fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.pid(), signal).expect("covtap is there");
    }

    /// Waits for covtap's end and gives everything that it said.
    pub(crate) fn end(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("covtap did not end: {}", self.said.0.lock().expect("no panic"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.reader.join().expect("no panic");
        let mut output = self.child.wait_with_output().expect("output");
        output.stderr = self.said.0.lock().expect("no panic").clone().into_bytes();
        output
    }
}
