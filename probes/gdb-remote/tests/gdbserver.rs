//! Against gdbserver, with a program that counts in two threads and takes signals all the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    reason = "a helper of a test fails as the test does"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use covtap_gdb_remote::{Endpoint, GdbRemote, Options};
use covtap_link::{
    Effect, Endianness, Link, LinkError, PointerWidth, ReadMemory, ReadRequest, RunControl, RunState,
    TargetAddr, TargetEvent, TargetEvents, WriteMemory,
};
use covtap_testbed::{run, tool};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const CONSTANT_LEN: usize = 70000;

/// The program of `support/program.c`, built.
struct Program {
    path: PathBuf,
    symbols: BTreeMap<String, u64>,
    _dir: TempDir,
}

impl Program {
    fn build() -> Self {
        let dir = TempDir::with_prefix("covtap-program-").unwrap();
        let path = dir.path().join("program");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/program.c");
        let output = path.to_str().unwrap();
        run("cc", ["-O1", "-no-pie", "-pthread", "-o", output, source]).unwrap();
        let symbols = run("nm", [output])
            .unwrap()
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let addr = u64::from_str_radix(words.next()?, 16).ok()?;
                Some((words.nth(1)?.to_owned(), addr))
            })
            .collect();
        Self { path, symbols, _dir: dir }
    }

    fn addr(&self, symbol: &str) -> TargetAddr {
        TargetAddr::new(self.symbols[symbol])
    }

    fn word(&self, link: &mut GdbRemote, symbol: &str) -> u64 {
        let mut word = [0; 8];
        link.read(self.addr(symbol), &mut word).unwrap();
        u64::from_le_bytes(word)
    }

    /// Waits until a word of the program has changed.
    fn assert_changes(&self, link: &mut GdbRemote, symbol: &str) {
        let first = self.word(link, symbol);
        let until = Instant::now() + PATIENCE;
        while self.word(link, symbol) == first {
            assert!(Instant::now() < until, "{symbol} stays at {first}");
        }
    }

    /// The program's process, once it has said it.
    fn process(&self, link: &mut GdbRemote) -> Process {
        self.assert_changes(link, "counter");
        Process(self.word(link, "process"))
    }

    fn server(&self) -> Server {
        Server::start(self)
    }
}

/// A process that is ended with the test.
struct Process(u64);

impl Process {
    /// A field of `/proc/PID/status`; `None` if there is no such process.
    fn status(&self, field: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim_start_matches(':').trim().to_owned())
    }

    /// Whether it runs by itself, with nobody to trace it.
    fn is_free(&self) -> bool {
        let state = self.status("State").expect("the program is there");
        self.status("TracerPid").as_deref() == Some("0") && !state.starts_with(['t', 'T', 'Z'])
    }

    /// Whether it ended. Whoever inherited it may take time to notice.
    fn has_ended(&self) -> bool {
        self.status("State").is_none_or(|state| state.starts_with(['Z', 'X']))
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < until, "{what}: {:?}", self.status("State"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        let _ = kill(nix::unistd::Pid::from_raw(i32::try_from(self.0).unwrap()), Signal::SIGKILL);
    }
}

/// A gdbserver that waits for one client on a port of its choice.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(program: &Program) -> Self {
        let mut child = Command::new(tool("gdbserver").unwrap())
            .args(["--once", "localhost:0"])
            .arg(&program.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("Listening on port ")?.parse().ok()).unwrap();
        // What it says later must have somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    fn connect(&self, options: &Options) -> GdbRemote {
        let endpoint = Endpoint::Tcp { host: "localhost".into(), port: self.port };
        GdbRemote::connect(&endpoint, options).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.reply_timeout = PATIENCE;
    options
}

fn all_stop() -> Options {
    let mut options = options();
    options.non_stop = false;
    options
}

fn constant() -> Vec<u8> {
    (0..CONSTANT_LEN).map(|i| (i ^ i >> 8) as u8).collect()
}

/// Memory is right, both threads and the signal handler go on, and a failed read changes nothing.
fn reads_a_program_that_runs(program: &Program, link: &mut GdbRemote) -> Duration {
    for symbol in ["counter", "other_counter", "ticks"] {
        program.assert_changes(link, symbol);
    }
    let (mut all, mut word) = (vec![0; CONSTANT_LEN], [0; 8]);
    let report = link
        .read_many(&mut [
            ReadRequest { addr: program.addr("constant"), buf: &mut all },
            ReadRequest { addr: program.addr("counter"), buf: &mut word },
        ])
        .unwrap();
    assert!(all == constant());
    let error = link.read(TargetAddr::new(0x10), &mut word).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    assert_eq!(link.state(), RunState::Running);
    for symbol in ["counter", "other_counter", "ticks"] {
        program.assert_changes(link, symbol);
    }
    assert_eq!(link.poll().unwrap(), None);
    report.pause
}

#[test]
fn non_stop_reads_pause_nothing() {
    let program = Program::build();
    let server = program.server();
    let mut link = server.connect(&options());
    assert_eq!(link.info().effect, Effect::Free);
    let process = program.process(&mut link);
    assert_eq!(reads_a_program_that_runs(&program, &mut link), Duration::ZERO);
    link.detach().unwrap();
    process.wait_until("let go of", Process::is_free);
}

#[test]
fn all_stop_reads_pause_and_let_run_on() {
    let program = Program::build();
    let server = program.server();
    let mut link = server.connect(&all_stop());
    assert_eq!(link.info().effect, Effect::Pauses);
    let process = program.process(&mut link);
    assert!(reads_a_program_that_runs(&program, &mut link) > Duration::ZERO);
    drop(link);
    process.wait_until("let go of", Process::is_free);
}

#[test]
fn a_program_on_standard_input_and_output_ends_with_the_link() {
    let program = Program::build();
    for options in [options(), all_stop()] {
        let endpoint: Endpoint = format!("exec:gdbserver - '{}'", program.path.display()).parse().unwrap();
        let mut link = GdbRemote::connect(&endpoint, &options).unwrap();
        let process = program.process(&mut link);
        reads_a_program_that_runs(&program, &mut link);
        link.detach().unwrap();
        process.wait_until("ended", Process::has_ended);
    }
}

#[test]
fn a_panic_lets_go_of_the_program() {
    let program = Program::build();
    for options in [options(), all_stop()] {
        let server = program.server();
        let mut link = server.connect(&options);
        let process = program.process(&mut link);
        let thread = std::thread::spawn(move || {
            link.stop().unwrap();
            panic!("stopped, state {:?}", link.state());
        });
        assert!(thread.join().is_err());
        process.wait_until("let go of", Process::is_free);
    }
}

#[test]
fn stopped_by_us_all_threads_stand_still() {
    let program = Program::build();
    for options in [options(), all_stop()] {
        let server = program.server();
        let mut link = server.connect(&options);
        let process = program.process(&mut link);
        program.assert_changes(&mut link, "other_counter");
        link.stop().unwrap();
        assert_eq!(link.state(), RunState::Stopped);
        let state =
            |link: &mut GdbRemote| ["counter", "other_counter"].map(|symbol| program.word(link, symbol));
        let before = state(&mut link);
        assert!(process.status("State").unwrap().starts_with('t'));
        assert_eq!(state(&mut link), before);
        link.resume().unwrap();
        program.assert_changes(&mut link, "counter");
        program.assert_changes(&mut link, "other_counter");
        link.detach().unwrap();
        process.wait_until("let go of", Process::is_free);
    }
}

#[test]
fn the_end_of_the_program_is_an_event() {
    let program = Program::build();
    for options in [options(), all_stop()] {
        let server = program.server();
        let mut link = server.connect(&options);
        let _process = program.process(&mut link);
        link.write(program.addr("quit"), &1u64.to_le_bytes()).unwrap();
        let until = Instant::now() + PATIENCE;
        while link.poll().unwrap() != Some(TargetEvent::Exited) {
            assert!(Instant::now() < until, "no end was told");
        }
        let error = link.read(program.addr("counter"), &mut [0; 8]).unwrap_err();
        assert!(error.to_string().contains("the target has ended"), "{error}");
        link.detach().unwrap();
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn steps_breakpoints_and_registers() {
    let program = Program::build();
    for options in [options(), all_stop()] {
        let server = program.server();
        let mut link = server.connect(&options);
        let info = link.info();
        assert_eq!(info.architecture.as_deref(), Some("i386:x86-64"));
        assert_eq!(
            (info.endianness, info.pointer_width),
            (Some(Endianness::Little), Some(PointerWidth::Bits64))
        );
        let process = program.process(&mut link);
        link.stop().unwrap();
        let at = program.addr("count");
        link.set_breakpoint(at, 1).unwrap();
        link.resume().unwrap();
        let until = Instant::now() + PATIENCE;
        while link.poll().unwrap() != Some(TargetEvent::Stopped) {
            assert!(Instant::now() < until, "the breakpoint was not met");
        }
        assert_eq!(link.read_register("rip").unwrap(), at.get());
        link.step().unwrap();
        assert_ne!(link.read_register("rip").unwrap(), at.get());
        link.detach().unwrap();
        process.wait_until("let go of", Process::is_free);
        // With the breakpoint still in its code it would have ended.
        assert!(process.is_free());
    }
}
