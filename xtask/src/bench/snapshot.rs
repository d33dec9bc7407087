//! `cargo xtask bench snapshot`: the time until counters of a running guest are in the host's hands.
//!
//! | way | what is timed |
//! |---|---|
//! | memcpy | a copy of as many bytes within this process: the reference |
//! | `--qemu` | one read through covtap's QEMU link; the guest runs on |
//! | pmemsave | one QMP command of that name, without reading its file back; the guest runs on |
//! | `--gdb` | one read through covtap's GDB link, with stop and resume: the guest runs before and after |
//! | `--gdb` halted | one read through covtap's GDB link of a guest that stands still |
//! | gdb dump | one `dump binary memory` of a guest that stands still, without GDB's start |
//!
//! What always holds: each way's bytes are compared with those that the guest was started with.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use covtap_gdb_remote::{self as gdb_remote, GdbRemote};
use covtap_link::{Link, TargetAddr};
use covtap_qemu::{self as qemu, QemuLink};
use covtap_testbed::{Guest, Machine, Monitor, fixture};
use serde_json::json;
use tempfile::TempDir;

use super::gdb;
use crate::figures::{median_ratio, median_time, rate, size, three_digits, time};
use crate::{Outcome, child};

/// Arguments of `cargo xtask bench snapshot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many turns each way gets
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Where the bytes are in the guest: above its image, below the end of its 64 MiB.
const ADDR: u64 = 0x100_0000;

/// How much is read, and how often in one turn: enough for the clock, not more than a turn can bear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) len_bytes: usize,
    fast_reads: u32,
    pmemsaves: u32,
    gdb_reads: u32,
    pub(super) gdb_dumps: u32,
}

const SIZES: [Size; 4] = [
    Size { len_bytes: 4 << 10, fast_reads: 500, pmemsaves: 20, gdb_reads: 50, gdb_dumps: 20 },
    Size { len_bytes: 64 << 10, fast_reads: 100, pmemsaves: 20, gdb_reads: 20, gdb_dumps: 10 },
    Size { len_bytes: 1 << 20, fast_reads: 20, pmemsaves: 5, gdb_reads: 5, gdb_dumps: 3 },
    Size { len_bytes: 16 << 20, fast_reads: 5, pmemsaves: 3, gdb_reads: 2, gdb_dumps: 1 },
];

const MAX_LEN_BYTES: usize = 16 << 20;

/// The times of every way for one size, one for each turn.
#[derive(Default, Debug)]
struct Times {
    memcpy: Vec<Duration>,
    qemu: Vec<Duration>,
    pmemsave: Vec<Duration>,
    gdb_remote: Vec<Duration>,
    gdb_remote_halted: Vec<Duration>,
    gdb_dump: Vec<Duration>,
}

/// Measures and prints the table.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let mut bench = Bench::start(dir.path())?;
    println!("links: {}; {}", bench.qemu.info().server, bench.gdb_server()?);
    let mut times: [Times; SIZES.len()] = Default::default();
    for round in 1..=args.rounds {
        bench.turn(&mut times)?;
        eprintln!("turn {round} of {} done", args.rounds);
    }
    print(&times).context("nothing was measured")?;
    Ok(Outcome::Passed)
}

struct Bench<'a> {
    dir: &'a Path,
    expected: Vec<u8>,
    buf: Vec<u8>,
    qemu: QemuLink,
    monitor: Monitor,
    guest: Guest,
}

impl<'a> Bench<'a> {
    fn start(dir: &'a Path) -> Result<Self> {
        let expected = pseudo_random(MAX_LEN_BYTES);
        let file = dir.join("memory.bin");
        fs::write(&file, &expected).context("write the guest's memory")?;
        let loader = format!("loader,file={},addr={ADDR:#x},force-raw=on", file.display());
        let guest = Guest::builder(Machine::X86Pvh, fixture("x86-pvh/spin.elf"))
            .args(["-device".to_owned(), loader])
            .start()?;
        guest.console().wait_for(Duration::from_secs(30), |line| line.starts_with("phase"))?;
        let endpoint = parse(&guest.qmp().display().to_string())?;
        let qemu = QemuLink::connect(&endpoint, &qemu::Options::default())?;
        let monitor = Monitor::connect(guest.control())?;
        Ok(Self { dir, expected, buf: vec![0; MAX_LEN_BYTES], qemu, monitor, guest })
    }

    /// Every way reads every size.
    fn turn(&mut self, times: &mut [Times]) -> Result<()> {
        for (size, times) in SIZES.iter().zip(times.iter_mut()) {
            times.memcpy.push(self.memcpy(size)?);
            times.qemu.push(self.qemu(size)?);
            times.pmemsave.push(self.pmemsave(size)?);
        }
        let running = self.gdb_remote()?;
        self.monitor.execute("stop", &json!({}))?;
        let halted = self.gdb_remote()?;
        self.monitor.execute("cont", &json!({}))?;
        for ((times, running), halted) in times.iter_mut().zip(running).zip(halted) {
            times.gdb_remote.push(running);
            times.gdb_remote_halted.push(halted);
        }
        let dumps = gdb::dump_times(self.guest.gdb(), ADDR, &SIZES, self.dir)?;
        for ((size, times), dump) in SIZES.iter().zip(times.iter_mut()).zip(dumps) {
            self.compare(&fs::read(gdb::dump_file(self.dir, size.len_bytes))?, size.len_bytes)?;
            times.gdb_dump.push(dump);
        }
        child::go_on()
    }

    fn connect_gdb(&self) -> Result<GdbRemote> {
        let endpoint = parse(&self.guest.gdb().to_string())?;
        Ok(GdbRemote::connect(&endpoint, &gdb_remote::Options::default())?)
    }

    fn gdb_server(&self) -> Result<String> {
        let mut link = self.connect_gdb()?;
        let server = link.info().server;
        link.detach()?;
        Ok(server)
    }

    fn memcpy(&mut self, size: &Size) -> Result<Duration> {
        let (to, from) = (self.buf.get_mut(..size.len_bytes), self.expected.get(..size.len_bytes));
        let (to, from) = (to.context("buffer")?, from.context("buffer")?);
        let start = Instant::now();
        for _ in 0..size.fast_reads {
            black_box(&mut *to).copy_from_slice(black_box(from));
        }
        Ok(start.elapsed() / size.fast_reads)
    }

    fn qemu(&mut self, size: &Size) -> Result<Duration> {
        let elapsed = read_times(&mut self.qemu, &mut self.buf, size.len_bytes, size.fast_reads)?;
        self.compare_buf(size.len_bytes)?;
        Ok(elapsed)
    }

    fn pmemsave(&mut self, size: &Size) -> Result<Duration> {
        let file = self.dir.join("pmemsave.bin");
        let arguments = json!({ "val": ADDR, "size": size.len_bytes, "filename": file });
        let start = Instant::now();
        for _ in 0..size.pmemsaves {
            self.monitor.execute("pmemsave", &arguments)?;
        }
        let elapsed = start.elapsed() / size.pmemsaves;
        self.compare(&fs::read(&file)?, size.len_bytes)?;
        Ok(elapsed)
    }

    /// Every size, through one connection.
    fn gdb_remote(&mut self) -> Result<Vec<Duration>> {
        let mut link = self.connect_gdb()?;
        let mut times = Vec::new();
        for size in &SIZES {
            times.push(read_times(&mut link, &mut self.buf, size.len_bytes, size.gdb_reads)?);
            self.compare_buf(size.len_bytes)?;
        }
        link.detach()?;
        Ok(times)
    }

    fn compare_buf(&mut self, len_bytes: usize) -> Result<()> {
        self.compare(self.buf.get(..len_bytes).context("buffer")?, len_bytes)?;
        // The next way must not find the right bytes already there.
        self.buf.fill(0);
        Ok(())
    }

    fn compare(&self, got: &[u8], len_bytes: usize) -> Result<()> {
        let expected = self.expected.get(..len_bytes).context("buffer")?;
        ensure!(got == expected, "{len_bytes} bytes at {ADDR:#x}: not what the guest was started with");
        Ok(())
    }
}

/// The mean time of one read.
fn read_times(link: &mut dyn Link, buf: &mut [u8], len_bytes: usize, reads: u32) -> Result<Duration> {
    let buf = buf.get_mut(..len_bytes).context("buffer")?;
    let start = Instant::now();
    for _ in 0..reads {
        link.read(TargetAddr::new(ADDR), buf)?;
    }
    Ok(start.elapsed() / reads)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error| anyhow!("{text}: {error}"))
}

/// Bytes without repetition (xorshift64).
fn pseudo_random(len_bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len_bytes);
    while bytes.len() < len_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len_bytes);
    bytes
}

/// A name, and the times that stand below it.
type Column = (&'static str, fn(&Times) -> &[Duration]);

const COLUMNS: [Column; 6] = [
    ("memcpy", |t| &t.memcpy),
    ("--qemu", |t| &t.qemu),
    ("pmemsave", |t| &t.pmemsave),
    ("--gdb", |t| &t.gdb_remote),
    ("--gdb halted", |t| &t.gdb_remote_halted),
    ("gdb dump", |t| &t.gdb_dump),
];

/// How many times as fast the first is as the second, and what is wanted of it.
type Ratio = (&'static str, fn(&Times) -> [&[Duration]; 2], &'static str);

const RATIOS: [Ratio; 4] = [
    ("--qemu : pmemsave", |t| [&t.qemu, &t.pmemsave], "goal: 50 at 4 KiB"),
    ("--qemu : memcpy", |t| [&t.qemu, &t.memcpy], "goal: 0.8 at 16 MiB"),
    // With the stop and the resume that a running guest costs; gdb's guest stands still.
    ("--gdb : gdb dump", |t| [&t.gdb_remote, &t.gdb_dump], "goal: 5"),
    ("--gdb halted : gdb dump", |t| [&t.gdb_remote_halted, &t.gdb_dump], "goal: 5"),
];

/// Prints times and rates, then ratios with the goals. `None` if a way was not measured.
fn print(times: &[Times]) -> Option<()> {
    print!("\n{:8}", "size");
    COLUMNS.iter().for_each(|(name, _)| print!("{name:>22}"));
    println!();
    for (Size { len_bytes, .. }, times) in SIZES.iter().zip(times) {
        print!("{:8}", size(*len_bytes));
        for (_, column) in &COLUMNS {
            let median = median_time(column(times))?;
            print!("{:>22}", format!("{} {:>10}", time(median), rate(*len_bytes, median)));
        }
        println!();
    }
    println!("\nhow many times as fast:");
    for (name, pair, goal) in &RATIOS {
        print!("{name:24}");
        for (Size { len_bytes, .. }, times) in SIZES.iter().zip(times) {
            let [fast, slow] = pair(times);
            let ratio = format!("{} ({})", three_digits(median_ratio(slow, fast)?), size(*len_bytes));
            print!("{ratio:>16}");
        }
        println!("   {goal}");
    }
    Some(())
}
