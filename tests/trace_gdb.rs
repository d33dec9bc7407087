//! Tracing guests in QEMU by their debugger's means, against QEMU's own log of what they execute.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "trace_gdb/round.rs"]
mod round;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use common::proxy::Proxy;
use common::round_guest::{build, image};
use common::{PATIENCE, Session, assert_done, stderr};
use covtap::coverage::object::function_instructions;
use covtap::image::Image;
use covtap::profile::trace::{Counting, Trace, Ways, parse};
use covtap_insn::Flow;
use covtap_testbed::{GdbSocket, Guest, Machine, Monitor, fixture, workspace_root};
use nix::sys::signal::Signal;
use round::{Round, logged};
use tempfile::TempDir;

/// A command line that traces a guest into `trace` in a folder.
fn args(guest: &Guest, elf: &Path, dir: &TempDir, more: &[&str]) -> Vec<String> {
    let (gdb, elf) = (guest.gdb().to_string(), elf.display().to_string());
    let output = trace_in(dir).display().to_string();
    let args = ["trace", "--gdb", &gdb, &elf, "-o", &output];
    args.iter().chain(more).map(ToString::to_string).collect()
}

fn trace_in(dir: &TempDir) -> PathBuf {
    dir.path().join("trace")
}

fn read_trace(dir: &TempDir) -> Trace {
    parse("trace", &fs::read(trace_in(dir)).expect("a trace")).expect("it can be read")
}

/// The number before some words of what covtap said.
fn number_before(said: &str, words: &str) -> usize {
    let before = said.split(words).next().expect("the words");
    before
        .rsplit([' ', '\n'])
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

/// Every instruction's count, and every branch's ways, are those of the log.
fn steps_are_those_of_the_log(machine: Machine) {
    let dir = tempfile::tempdir().expect("a folder");
    let elf = build(machine, &dir);
    let guest = Guest::builder(machine, &elf).args(["-S"]).start().expect("the guest starts");
    let output = common::run(args(&guest, &elf, &dir, &["--method", "step", "--for", "2s"]));
    assert_done(&output);
    let num = number_before(&stderr(&output), " instructions were stepped");
    assert!(num > 100, "{num}");
    let mut monitor = Monitor::connect(guest.qmp()).expect("a monitor");
    assert_ne!(monitor.status().expect("a state"), "running", "it was found halted");
    let log = logged(machine, &elf, num + 1);
    let mut counts = BTreeMap::new();
    log[..num].iter().for_each(|at| *counts.entry(*at).or_insert(0u64) += 1);
    let trace = read_trace(&dir);
    assert_eq!((trace.counting, trace.has_branches), (Counting::Times, true));
    assert_eq!(trace.build_ids.len(), 1, "it was verified");
    let space = trace.space("").expect("a space");
    let image = image(&elf);
    for insn in function_instructions(&image) {
        let count = counts.get(&insn.address).copied().unwrap_or(0);
        assert_eq!(space.count_at(insn.address), count, "{insn:x?}");
        let Flow::Conditional { target: Some(target) } = insn.flow else { continue };
        let next = |to: u64| log.windows(2).filter(|pair| *pair == [insn.address, to]).count() as u64;
        let ways = Ways { taken: next(target), fell_through: next(insn.end()) };
        assert_eq!(space.branch(insn.address).unwrap_or_default(), ways, "{insn:x?}");
    }
    assert!(counts.len() > 20, "{counts:?}");
    assert_eq!(counts.keys().find(|at| space.count_at(**at) == 0), None, "all of the log is in the trace");
}

#[test]
fn a_cortex_m_is_stepped_as_qemu_logs_it() {
    steps_are_those_of_the_log(Machine::An385);
}

#[test]
fn a_risc_v_is_stepped_as_qemu_logs_it() {
    steps_are_those_of_the_log(Machine::Riscv64Virt);
}

fn blocks_are_those_of_the_log(machine: Machine) {
    let mut round = Round::new(machine);
    let steady = round.steady();
    assert!(steady.len() > 20, "{steady:x?}");
    // By default, since QEMU sets breakpoints.
    let output = common::run(args(&round.guest, &round.elf, &round.dir, &["--for", "4s"]));
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("tracing by breakpoints: the server sets them"), "{said}");
    assert!(said.contains("16 at a time in "), "{said}");
    let trace = read_trace(&round.dir);
    assert_eq!(trace.counting, Counting::Samples, "blocks took turns");
    assert_eq!(round.reached(&trace), steady);
    round.assert_left_alone();
    // All at a time.
    let output = common::run(args(
        &round.guest,
        &round.elf,
        &round.dir,
        &["--method", "breakpoints", "--window", "all", "--for", "2s"],
    ));
    assert_done(&output);
    assert!(stderr(&output).contains("all were watched from the start"), "{}", stderr(&output));
    let trace = read_trace(&round.dir);
    assert_eq!(trace.counting, Counting::Reached);
    assert_eq!(round.reached(&trace), steady);
    round.assert_left_alone();
}

#[test]
fn blocks_of_a_cortex_m_are_reached_as_qemu_logs_it() {
    blocks_are_those_of_the_log(Machine::An385);
}

#[test]
fn blocks_of_a_pc_are_reached_as_qemu_logs_it() {
    blocks_are_those_of_the_log(Machine::X86Pvh);
}

#[test]
fn ctrl_c_writes_the_trace_and_lets_the_guest_run() {
    let mut round = Round::new(Machine::An385);
    for method in ["step", "breakpoints", "sample"] {
        let session = Session::start(&args(&round.guest, &round.elf, &round.dir, &["--method", method]));
        session.wait_for("tracing by ");
        session.signal(Signal::SIGINT);
        let output = session.end();
        assert_done(&output);
        assert!(stderr(&output).contains("the trace is "), "{}", stderr(&output));
        read_trace(&round.dir);
        round.assert_left_alone();
    }
}

#[test]
fn samples_are_within_the_budget() {
    let mut round = Round::new(Machine::An385);
    let more = ["--method", "sample", "--budget", "10%", "--for", "2s"];
    let output = common::run(args(&round.guest, &round.elf, &round.dir, &more));
    assert_done(&output);
    let said = stderr(&output);
    let share: f64 =
        said.split(" %, with a budget").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    // One pause may last longer than the one before it, on a machine that others use too.
    assert!(share > 0.0 && share < 20.0, "{said}");
    let trace = read_trace(&round.dir);
    assert_eq!(trace.counting, Counting::Samples);
    assert!(!trace.has_branches && !trace.is_empty());
    round.assert_left_alone();
}

#[test]
fn what_was_stepped_is_written_when_the_target_is_killed() {
    let elf = fixture("c-an385/plain.elf");
    let dir = tempfile::tempdir().expect("a folder");
    let mut guest = Guest::builder(Machine::An385, &elf).args(["-S"]).start().expect("the guest starts");
    let session = Session::start(&args(&guest, &elf, &dir, &["--method", "step"]));
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("it is stepped so far");
    guest.kill().expect("it ends");
    let output = session.end();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("error: ") && said.contains("the trace is "), "{said}");
    let trace = read_trace(&dir);
    assert!(!trace.is_empty() && trace.counting == Counting::Times);
}

/// The other hart stands still while one takes its step.
#[test]
fn two_harts_are_stepped_in_turn_and_watched_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let (object, elf) = (dir.path().join("harts.o"), dir.path().join("harts.elf"));
    let tests = workspace_root().join("tests");
    let [source, object, shown] =
        [&tests.join("trace_gdb/harts.S"), &object, &elf].map(|path| path.display().to_string());
    let assemble = ["--target=riscv64-none-elf", "-march=rv64imac", "-c", &source, "-o", &object];
    covtap_testbed::run("clang-19", assemble).expect("it is assembled");
    let script = format!("-T{}", tests.join("run/guest.x").display());
    let link = ["--build-id=sha1", "--nmagic", "--defsym=BASE=0x80000000", &script, "-o", &shown, &object];
    covtap_testbed::run("ld.lld-19", link).expect("it links");
    let guest = Guest::builder(Machine::Riscv64Virt, &elf).args(["-smp", "2"]).start().expect("it starts");
    let image = image(&elf);
    let of = |name: &str| {
        let symbol = image.symbols().find(|symbol| symbol.name == name).expect("a function");
        let range = symbol.address.get()..symbol.address.get() + symbol.len_bytes;
        function_instructions(&image).filter(move |insn| range.contains(&insn.address)).collect::<Vec<_>>()
    };
    for method in ["step", "breakpoints"] {
        let output = common::run(args(&guest, &elf, &dir, &["--method", method, "--for", "3s"]));
        assert_done(&output);
        let trace = read_trace(&dir);
        let space = trace.space("").expect("a space");
        let count = |insn: &covtap_insn::Insn| space.count_at(insn.address);
        assert!(of("never").iter().all(|insn| count(insn) == 0), "{method}");
        for name in ["first", "second"] {
            assert!(of(name).iter().all(|insn| count(insn) > 0), "{method}: {name}: {}", stderr(&output));
        }
        if method == "breakpoints" {
            assert_eq!(trace.counting, Counting::Reached, "all fit in one window");
            continue;
        }
        // A hart may not have come to its function when covtap attached, or step now and then without executing anything;
        // that it takes its turn is seen by the other, which has as many steps.
        let sum = |name| of(name).iter().map(count).sum::<u64>();
        let (first, second) = (sum("first"), sum("second"));
        assert!(first.abs_diff(second) <= 16 + first / 50, "{first} and {second}");
        for (name, in_vain) in [("first", 1), ("second", 3)] {
            let insns = of(name);
            let branch = insns.iter().find(|insn| matches!(insn.flow, Flow::Conditional { .. }));
            let branch = branch.expect("a branch");
            let ways = space.branch(branch.address).expect("its ways");
            assert_eq!(ways.taken + ways.fell_through, count(branch), "{name}: nothing came between");
            assert!(ways.taken.abs_diff(in_vain * ways.fell_through) <= in_vain, "{name}: {ways:?}");
        }
    }
    let mut monitor = Monitor::connect(guest.qmp()).expect("a monitor");
    assert_eq!(monitor.status().expect("a state"), "running");
}

/// Whatever becomes of covtap, or of the wire.
#[test]
fn a_guest_that_was_found_halted_stays_so_when_its_trace_is_cut_off() {
    let elf = fixture("c-an385/plain.elf");
    for (method, is_killed) in
        [("step", true), ("step", false), ("breakpoints", true), ("breakpoints", false)]
    {
        let dir = tempfile::tempdir().expect("a folder");
        let guest = Guest::builder(Machine::An385, &elf).args(["-S"]).start().expect("the guest starts");
        let GdbSocket::Unix(gdb) = guest.gdb() else { panic!("it has a socket") };
        let wire = dir.path().join("wire");
        let proxy = Proxy::start(&wire, gdb);
        let mut args = args(&guest, &elf, &dir, &["--method", method]);
        args[2] = format!("unix:{}", wire.display());
        let session = Session::start(&args);
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("it is traced so far");
        if is_killed {
            session.signal(Signal::SIGKILL);
            session.end();
        } else {
            proxy.cut();
            let output = session.end();
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(!read_trace(&dir).is_empty(), "what was traced is written");
        }
        let mut monitor = Monitor::connect(guest.qmp()).expect("a monitor");
        if method == "step" {
            assert_ne!(monitor.status().expect("a state"), "running", "it stands where it was");
        }
    }
}

/// Where nothing new is reached, breakpoints that are never met are not there for most of the time.
#[test]
fn a_guest_is_let_alone_when_all_that_runs_was_reached() {
    let mut round = Round::new(Machine::An385);
    let more = ["--method", "breakpoints", "--budget", "50%", "--for", "5s"];
    let output = common::run(args(&round.guest, &round.elf, &round.dir, &more));
    assert_done(&output);
    assert!(stderr(&output).contains("it was let alone for "), "{}", stderr(&output));
    assert_eq!(round.reached(&read_trace(&round.dir)), round.steady());
    round.assert_left_alone();
}

/// A program of two threads. Dropping it ends it.
struct Threads(Child);

impl Drop for Threads {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Threads {
    fn states(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("its threads");
        let state = |task: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(task.expect("a thread").path().join("stat")).expect("its state");
            stat.split(' ').nth(2).expect("a state").to_owned()
        };
        tasks.map(state).collect()
    }

    /// Whether the bytes of a section are those of the ELF.
    fn has_original(&self, image: &Image, section: &str) -> bool {
        let section = image.section(section).expect("a section");
        let mut there = vec![0; usize::try_from(section.len_bytes()).expect("a length")];
        let memory = File::open(format!("/proc/{}/mem", self.0.id())).expect("its memory");
        memory.read_exact_at(&mut there, section.address().get()).expect("it can be read");
        image.bytes_at(section.address(), section.len_bytes()) == Some(&*there)
    }
}

/// gdbserver writes breakpoints into memory, and each stops one thread alone.
#[test]
fn threads_of_a_program_are_watched_by_all_breakpoints_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let elf = dir.path().join("threads");
    let source = workspace_root().join("tests/trace_gdb/threads.c");
    let [source, elf_path] = [&source, &elf].map(|path| path.display().to_string());
    let compile = ["-O1", "-no-pie", "-Wl,--build-id", &source, "-o", &elf_path, "-lpthread"];
    covtap_testbed::run("clang-19", compile).expect("it compiles");
    let threads = Threads(Command::new(&elf).spawn().expect("it starts"));
    while threads.states().len() < 2 {
        std::thread::yield_now();
    }
    let image = image(&elf);
    let gdbserver = format!("exec:gdbserver --attach - {}", threads.0.id());
    let output = trace_in(&dir).display().to_string();
    for (method, counting) in
        [("breakpoints", Counting::Reached), ("step", Counting::Times), ("sample", Counting::Samples)]
    {
        let args =
            ["trace", "--gdb", &gdbserver, &elf_path, "-o", &output, "--method", method, "--for", "2s"];
        // On a machine that others use too, 5 % may be a sample or two.
        let output = common::run(args.iter().chain(&["--budget", "50%"]));
        assert_done(&output);
        let trace = read_trace(&dir);
        assert_eq!((trace.counting, trace.build_ids.len()), (counting, 1), "{method}");
        let space = trace.space("").expect("a space");
        let of = |name: &str| {
            let symbol = image.symbols().find(|symbol| symbol.name == name).expect("a function");
            let range = symbol.address.get()..symbol.address.get() + symbol.len_bytes;
            function_instructions(&image).filter(move |insn| range.contains(&insn.address))
        };
        for name in ["first", "second"] {
            let mut reached = of(name).map(|insn| space.count_at(insn.address) > 0);
            // A few samples meet each function, and not each instruction.
            let is_seen = if method == "sample" { reached.any(|is| is) } else { reached.all(|is| is) };
            assert!(is_seen, "{method}: {name}: {}", stderr(&output));
        }
        assert!(of("never").all(|insn| space.count_at(insn.address) == 0), "{method}");
        assert!(threads.has_original(&image, ".text"), "{method}");
        assert!(
            threads.states().iter().all(|state| state == "R" || state == "S"),
            "{method}: {:?}",
            threads.states()
        );
    }
}

#[test]
fn a_way_without_a_debugger_is_refused() {
    let elf = fixture("c-an385/plain.elf");
    let guest = Guest::builder(Machine::An385, &elf).start().expect("the guest starts");
    let dir = tempfile::tempdir().expect("a folder");
    let [qmp, elf, output] = [guest.qmp(), &elf, &trace_in(&dir)].map(|path| path.display().to_string());
    let output = common::run(["trace", "--qemu", &qmp, &elf, "-o", &output, "--method", "step"]);
    common::assert_refused(&output, "no steps, breakpoints or registers", "--gdb");
    assert!(!trace_in(&dir).exists(), "nothing was traced");
}
