//! A guest behind a virtual debug probe: what covtap reads and samples through it, and what that does to the guest.
//!
//! The probe is `covtap-virtual-probe`, which covtap's own `probe-rs` reaches over a socket. Its memory and its processor are
//! those of a QEMU guest that runs.

#![cfg(feature = "probe")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::plugin::plugin;
use common::round_guest::{build_of, image};
use common::{PATIENCE, assert_done, assert_refused, run, stderr};
use covtap::collect::MeteredLink;
use covtap::collect::trace::{Code, Ended, Limits, PcSamples};
use covtap::coverage::object::function_instructions;
use covtap::image::{Image, Slide, SymbolKind};
use covtap::profile::trace::{Trace, TraceMemory, parse};
use covtap_debug_probe::{DebugProbe, Options, Swo};
use covtap_testbed::{Guest, Machine, fixture};
use covtap_virtual_probe::{
    Fault, ListenAddress, Protocol, Qemu, Server, SharedDap, TRACE_CLOCK_HZ, lock, plug_in, shared,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A virtual probe in front of a guest.
struct Probe {
    dap: SharedDap,
    server: Server,
}

impl Probe {
    fn of(guest: &Guest, dir: &TempDir) -> Self {
        Self::speaking(Protocol::Glasgow, guest, dir)
    }

    fn speaking(protocol: Protocol, guest: &Guest, dir: &TempDir) -> Self {
        let dap = guest_behind(guest, dir);
        let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(&address, protocol, dap.clone(), |_, _| ()).expect("it listens");
        Self { dap, server }
    }
}

/// A guest whose memory a probe can be in front of.
fn guest(elf: &Path, dir: &TempDir) -> Guest {
    Guest::builder(Machine::An385, elf).qtest(&dir.path().join("qtest")).start().expect("the guest starts")
}

/// A debug port with a guest behind it.
fn guest_behind(guest: &Guest, dir: &TempDir) -> SharedDap {
    let ranges = ["0:0x400000", "0x20000000:0x400000", "0x21000000:0x1000000"];
    let memory = ranges.iter().map(|range| range.parse().unwrap()).collect();
    shared(Qemu::connect(&dir.path().join("qtest"), guest.control(), memory).expect("the guest"))
}

/// The counters of a guest that works are read again and again, and of one that rests they are those that QEMU shows.
#[test]
fn a_guest_is_recorded_without_a_halt() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = guest(&elf, &dir);
    guest.console().wait_for(PATIENCE, |line| line.starts_with("phase 0")).expect("the workload starts");
    let probe = Probe::of(&guest, &dir);
    let before = lock(&probe.dap).debug_registers();
    let (selector, elf_arg) = (probe.server.selector(), elf.display().to_string());
    let live = dir.path().join("live.profraw").display().to_string();
    let session = ["record", "--probe", &selector, &elf_arg, "--every", "100ms", "--for", "5s", "-o", &live];
    let output = run(session);
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("the workload is not stopped") && said.contains("Cortex-M3"), "{said}");
    assert!(common::nonzero(&common::counts(Path::new(&live))) > 0);

    common::tallies_at_rest(&guest);
    common::assert_as_by_qemu(&guest, &elf, &["--probe", &selector]);
    let dap = lock(&probe.dap);
    let stats = dap.stats();
    assert_eq!((stats.halts, stats.steps, stats.resumes, stats.memory_writes), (0, 0, 0, 0));
    assert_eq!((&stats.dhcsr_writes[..], &stats.demcr_writes[..]), (&[][..], &[][..]));
    assert_eq!(dap.debug_registers(), before);
}

/// A cable that is pulled and put back is no end of a session.
#[test]
fn a_session_goes_on_when_the_probe_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = guest(&elf, &dir);
    let probe = Probe::of(&guest, &dir);
    let (selector, elf_arg) = (probe.server.selector(), elf.display().to_string());
    let profile = dir.path().join("live.profraw").display().to_string();
    let args = ["record", "--probe", &selector, &elf_arg, "--every", "50ms", "-o", &profile];
    let session = common::Session::start(&args.map(str::to_owned));
    session.wait_for_snapshots(3);
    lock(&probe.dap).inject(Fault::LinkLoss);
    session.wait_for("trying again for 10 s");
    lock(&probe.dap).mend();
    session.wait_for("the target is there again");
    session.wait_for_more_snapshots(3);
    session.signal(Signal::SIGINT);
    assert_done(&session.end());
    assert!(common::nonzero(&common::counts(Path::new(&profile))) > 0);
    assert_eq!(lock(&probe.dap).stats().halts, 0);
}

/// A guest whose functions take their time in an order that is known, and what QEMU's plugin counts of it exactly.
struct Ranked {
    guest: Guest,
    elf: PathBuf,
    memory: PathBuf,
}

impl Ranked {
    fn start(dir: &TempDir) -> Self {
        let memory = dir.path().join("memory");
        let plugin = format!("{},trace={},mode=blocks", plugin().display(), memory.display());
        let elf = build_of(Machine::An385, "probe/guest.c", dir);
        let builder = Guest::builder(Machine::An385, &elf).qtest(&dir.path().join("qtest"));
        let guest = builder.args(["-plugin", plugin.as_str()]).start().expect("the guest starts");
        Self { guest, elf, memory }
    }

    /// Where the processor is met is where it spends its time: functions have the order that the plugin counts, but for one.
    fn assert_agrees(&self, sampled: &Trace, left_out: Option<&str>) {
        let image = image(&self.elf);
        let file = File::open(&self.memory).unwrap();
        let mut read_at = |offset, out: &mut [u8]| file.read_exact_at(out, offset);
        let exact = TraceMemory::read(&mut read_at).unwrap().trace(&mut read_at).unwrap();
        let [sampled, exact] = [sampled, &exact].map(|trace| {
            let mut names = ranked(&image, trace);
            names.retain(|name| Some(name.as_str()) != left_out);
            names
        });
        assert_eq!(sampled[..4], exact[..4], "{sampled:?}, {exact:?}");
        assert_eq!(sampled[..4], ["first", "second", "third", "fourth"]);
    }
}

#[test]
fn samples_rank_functions_as_exact_counts_do() {
    let dir = tempfile::tempdir().unwrap();
    let ranked = Ranked::start(&dir);
    let probe = Probe::of(&ranked.guest, &dir);
    let before = lock(&probe.dap).debug_registers();
    let (selector, elf_arg) = (probe.server.selector(), ranked.elf.display().to_string());
    let output = dir.path().join("trace").display().to_string();
    let traced = run(["trace", "--probe", &selector, &elf_arg, "--for", "5s", "-o", &output]);
    assert_done(&traced);
    assert!(stderr(&traced).contains("without a halt"), "{}", stderr(&traced));
    {
        let dap = lock(&probe.dap);
        assert_eq!((dap.stats().halts, dap.debug_registers()), (0, before));
        assert!(dap.stats().pcsr_reads > 1000, "{:?}", dap.stats());
    }
    ranked.assert_agrees(&parse("trace", &fs::read(output).unwrap()).unwrap(), None);
}

/// Samples that the processor sends have that order too, but for the function that the others return to: the model asks QEMU,
/// which may show where its processor was when it last went where no jump says. Where it is QEMU tells some two thousand times in a second, so the
/// wire is slow. It reaches a probe in this process alone: none that is reached by a socket has a receiver.
#[test]
fn samples_that_are_sent_rank_functions_too() {
    let dir = tempfile::tempdir().unwrap();
    let ranked = Ranked::start(&dir);
    let dap = guest_behind(&ranked.guest, &dir);
    let plugged_in = plug_in("swo guest", dap.clone());
    let before = lock(&dap).debug_registers();
    let swo = Swo::new(TRACE_CLOCK_HZ, 62_500).unwrap();
    let selector = Some(plugged_in.selector().parse().unwrap());
    let link = DebugProbe::open(&Options { selector, swo: Some(swo), ..Options::default() }).unwrap();
    let mut link = MeteredLink::new(Box::new(link));
    let duration = Some(Duration::from_secs(8));
    let limits = Limits { duration, is_asked: &|| false, budget: 1.0, window: None };
    let (taken, ended) = PcSamples::take(&mut link, &limits).unwrap();
    assert_eq!(ended.unwrap(), Ended::Elapsed);
    link.detach().unwrap();
    eprintln!("{:?} in {:?}, {} a second are sent", taken.all, taken.elapsed, swo.samples_per_s());
    assert!(taken.all.num > 500 && taken.all.undecoded_bytes < 100, "{:?}", taken.all);
    {
        let dap = lock(&dap);
        let stats = dap.stats();
        assert_eq!((stats.halts, stats.pcsr_reads, dap.debug_registers()), (0, 0, before));
    }
    let image = image(&ranked.elf);
    let (instructions, width) = (function_instructions(&image), image.pointer_width());
    let sampled = taken.trace([Code { instructions, slide: Slide::ZERO, width, repeats: false }]).unwrap();
    ranked.assert_agrees(&sampled, Some("begin"));
}

/// Functions by how many of their instructions were executed, or met, the most first.
fn ranked(image: &Image, trace: &Trace) -> Vec<String> {
    let space = trace.space("").unwrap();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for symbol in image.symbols().filter(|symbol| symbol.kind == SymbolKind::Function) {
        let start = symbol.address.get() & !1;
        let own = start..start + symbol.len_bytes;
        let insns = function_instructions(image).filter(|insn| own.contains(&insn.address));
        *sums.entry(symbol.name).or_default() += insns.map(|insn| space.count_at(insn.address)).sum::<u64>();
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    sums.into_iter().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn what_cannot_be_is_refused_with_a_next_step() {
    let elf = fixture("arm-cortexm/covered.elf").display().to_string();
    let nobody = "20b7:9db1:tcp:127.0.0.1:1";
    let output = run(["snapshot", "--probe", nobody, &elf]);
    assert_refused(&output, "connect to debug probe 20b7:9db1:tcp:127.0.0.1:1: ", "`covtap probes` lists");
    let output = run(["snapshot", "--probe", nobody, "--gdb", "127.0.0.1:1", &elf]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
}

/// What SWO needs is said before the target is touched, or with nothing of it changed.
#[test]
fn swo_that_cannot_be_is_refused_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = guest(&elf, &dir);
    let probe = Probe::of(&guest, &dir);
    let before = lock(&probe.dap).debug_registers();
    let (selector, elf_arg) = (probe.server.selector(), elf.display().to_string());
    let trace = |flags: &[&str]| {
        let output = dir.path().join("trace").display().to_string();
        let always = ["trace", "--probe", &selector, &elf_arg, "-o", &output];
        run(always.into_iter().chain(flags.iter().copied()))
    };
    assert_refused(&trace(&["--method", "swo"]), "--method swo: the clock", "--swo-clock HZ says it");
    assert_refused(&trace(&["--swo-clock", "16000000"]), "samples are not asked for by SWO", "--method swo");
    let slow = trace(&["--method", "swo", "--swo-clock", "500000"]);
    assert_refused(&slow, "a clock of 500000 Hz does not send 1000000 baud", "--swo-baud");
    assert_eq!(lock(&probe.dap).stats().transfers(), 0);
    let output = trace(&["--method", "swo", "--swo-clock", "16000000"]);
    assert_refused(&output, "the probe's receiver of SWO: it has none that probe-rs knows", "--method pcsr");
    assert_eq!(lock(&probe.dap).debug_registers(), before);
}

/// OpenOCD, whose JTAG reaches the same chip, lets covtap read while it runs.
#[test]
fn openocd_reads_the_same_counters() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = guest(&elf, &dir);
    let probe = Probe::speaking(Protocol::RemoteBitbang, &guest, &dir);
    let endpoint = openocd(&probe, &dir);
    let elf_arg = elf.display().to_string();
    let live = dir.path().join("live.profraw").display().to_string();
    let session = ["record", "--gdb", &endpoint, &elf_arg, "--every", "1s", "--snapshots", "3", "-o", &live];
    let output = run(session);
    assert_done(&output);
    let said = stderr(&output);
    assert!(said.contains("OpenOCD") && said.contains("the workload is not stopped"), "{said}");

    common::tallies_at_rest(&guest);
    common::assert_as_by_qemu(&guest, &elf, &["--gdb", &endpoint]);
    assert_eq!(lock(&probe.dap).stats().halts, 0);
}

/// OpenOCD gives zeros for what the bus refuses. None of them becomes a count, or takes one back.
#[test]
fn zeros_of_openocd_are_no_counts() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("arm-cortexm/covered.elf");
    let guest = guest(&elf, &dir);
    common::tallies_at_rest(&guest);
    let probe = Probe::speaking(Protocol::RemoteBitbang, &guest, &dir);
    let endpoint = openocd(&probe, &dir);
    let profile = dir.path().join("live.profraw").display().to_string();
    let args = ["record", "--gdb", &endpoint, &elf.display().to_string(), "--every", "200ms", "-o", &profile];
    let session = common::Session::start(&args.map(str::to_owned));
    session.wait_for_snapshots(2);
    let before = common::counts(Path::new(&profile));
    lock(&probe.dap).inject(Fault::Locked);
    let output = session.end();
    assert_refused(&output, "the server gives zeros for it, and cannot show it", "");
    assert!(common::nonzero(&before) > 0);
    assert_eq!(common::counts(Path::new(&profile)), before);
}

/// An OpenOCD in front of a probe, as covtap starts it.
fn openocd(probe: &Probe, dir: &TempDir) -> String {
    let ListenAddress::Tcp(address) = probe.server.address() else { panic!("it listens on TCP") };
    let port = address.rsplit(':').next().unwrap();
    let config = dir.path().join("openocd.cfg");
    let log = dir.path().join("openocd.log");
    fs::write(&config, openocd_config(port, &log)).unwrap();
    let openocd = covtap_testbed::tool("openocd").expect("OpenOCD");
    format!("exec:{} -f {}", openocd.display(), config.display())
}

/// What docs/boards.md says of OpenOCD, for a chip that it has no file of.
fn openocd_config(port: &str, log: &Path) -> String {
    format!(
        "log_output {log}\nadapter driver remote_bitbang\nremote_bitbang host 127.0.0.1\nremote_bitbang port {port}\n\
         transport select jtag\njtag newtap chip cpu -irlen 4 -expected-id 0x4ba00477\n\
         dap create chip.dap -chain-position chip.cpu\ntarget create chip.cpu cortex_m -dap chip.dap\n\
         chip.cpu configure -event gdb-attach {{echo attached}}\n\
         gdb_port pipe\ntcl_port disabled\ntelnet_port disabled\n",
        log = log.display()
    )
}
