//! `cargo xtask bench lines`: all lines of a program with much debug information, with how often each ran, beside what
//! asks for lines address by address.
//!
//! | way | what it does |
//! |---|---|
//! | covtap | lines and functions of the whole program, with counts of a trace that executed every eighth block of 64 bytes |
//! | llvm-dwarfdump | prints the rows of lines, `--debug-line`, which a script would then have to join with addresses |
//! | addr2line | names the lines of [`NUM_ADDRESSES`] executed addresses alone |
//! | llvm-objdump `-d -l`, objdump `-d -l` | print all instructions with their lines, as tools do that go by objdump's text; reading that text comes on top |
//!
//! What always holds: the ways are measured in turns; covtap found lines that ran, and others that did not. GNU's objdump,
//! by which TF-A's tools go, takes minutes for all of a large program: a part of `--objdump-bytes` is done, and twice that, and what all would take is
//! reckoned by what the second half took longer. It is printed as reckoned.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::covtap::coverage::trace::TracedImage;
use ::covtap::image::{Image, Slide};
use ::covtap::profile::trace::{Counting, Trace, TraceBuilder};
use anyhow::{Context, Result, ensure};
use covtap_testbed::tool;

use crate::figures::{median_ratio, median_time, three_digits, time};
use crate::{Outcome, covtap};

/// Arguments of `cargo xtask bench lines`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program [default: covtap itself, as the tests have it]
    #[arg(long, value_name = "ELF")]
    elf: Option<PathBuf>,
    /// How many turns each way gets
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How much code disassemblers get; 0 is all of it
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    objdump_bytes: u64,
}

/// How far the beginnings of executed blocks are apart, and how long each is.
const STRIDE_BYTES: u64 = 512;
const BLOCK_BYTES: u64 = 64;

/// As many addresses `addr2line` is asked for: all would take hours.
const NUM_ADDRESSES: usize = 2000;

/// Disassemblers that put lines into their text, and whether all of a large program is too much for them.
const DISASSEMBLERS: [(&str, bool); 2] = [("llvm-objdump-19", false), ("objdump", true)];

const GOAL_S: u64 = 2;
const GOAL_RATIO: u32 = 50;

/// Measures and prints the figures.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let elf = args.elf.clone().map_or_else(covtap::build_unoptimised, Ok)?;
    let bytes = fs::read(&elf).with_context(|| format!("read {}", elf.display()))?;
    let image = Image::parse(&elf.display().to_string(), bytes)?;
    let (trace, addresses) = trace(&image)?;
    describe(&image, &addresses);
    let (mut ours, mut dumps, mut lookups) = (Vec::new(), Vec::new(), Vec::new());
    let mut listings = DISASSEMBLERS.map(|_| Vec::new());
    let code = Code::of(&image, args.objdump_bytes)?;
    for round in 1..=args.rounds {
        ours.push(map(&image, &trace, round == 1)?);
        dumps.push(dump(&elf)?);
        lookups.push(look_up(&elf, &addresses)?);
        for ((name, is_slow), times) in DISASSEMBLERS.into_iter().zip(&mut listings) {
            let time =
                if is_slow { code.disassemble(name, &elf, round == 1) } else { code.list(name, &elf, None) };
            times.push(time?);
        }
        eprintln!("turn {round} of {} done", args.rounds);
    }
    let median = |times: &[Duration]| median_time(times).context("a turn");
    println!("covtap: {} (goal: at most {GOAL_S} s)", time(median(&ours)?));
    for (name, times) in [("llvm-dwarfdump --debug-line", &dumps), ("addr2line", &lookups)] {
        let ratio = three_digits(median_ratio(times, &ours).context("a turn")?);
        println!("{name}: {}, {ratio} times covtap's (goal: {GOAL_RATIO})", time(median(times)?));
    }
    for ((name, is_slow), times) in DISASSEMBLERS.into_iter().zip(&listings) {
        let ratio = three_digits(median_ratio(times, &ours).context("a turn")?);
        let reckoned = if is_slow && !code.is_whole() { " (reckoned)" } else { "" };
        println!(
            "{name} -d -l: {}{reckoned}, {ratio} times covtap's (goal: {GOAL_RATIO})",
            time(median(times)?)
        );
    }
    println!("medians of {} turns", args.rounds);
    Ok(Outcome::Passed)
}

/// A trace of part of the program, and the addresses at which it was executed.
fn trace(image: &Image) -> Result<(Trace, Vec<u64>)> {
    let mut builder = TraceBuilder::new(Counting::Times);
    let mut addresses = Vec::new();
    for section in image.sections().filter(|section| section.is_loaded() && section.is_executable()) {
        let start = section.address().get();
        let end = start.saturating_add(section.len_bytes());
        for (address, count) in (start..end).step_by(usize::try_from(STRIDE_BYTES)?).zip(1..) {
            builder.block("", address, BLOCK_BYTES, count)?;
            addresses.push(address);
        }
    }
    Ok((builder.finish(), addresses))
}

fn describe(image: &Image, addresses: &[u64]) {
    let debug = image.sections().filter(|section| section.name().starts_with(".debug_"));
    let len_bytes: u64 = debug.map(|section| section.data_len_bytes()).sum();
    println!(
        "{}: {} MB of debug information, {} blocks executed",
        image.name(),
        len_bytes / 1_000_000,
        addresses.len()
    );
}

fn map(image: &Image, trace: &Trace, is_shown: bool) -> Result<Duration> {
    let space = trace.space("").context("the trace has a space")?;
    let started = Instant::now();
    let traced = TracedImage::new(image, &[], Slide::ZERO, space, trace.counting)?;
    let elapsed = started.elapsed();
    let lines = traced.unit.sources.iter().flat_map(|source| &source.lines);
    let (num_lines, num_hit) = (lines.clone().count(), lines.filter(|line| line.count > 0).count());
    ensure!(num_hit > 0 && num_hit < num_lines, "{num_hit} of {num_lines} lines ran");
    if is_shown {
        let functions: usize = traced.unit.sources.iter().map(|source| source.functions.len()).sum();
        let sources = traced.unit.sources.len();
        println!("{sources} sources, {functions} functions, {num_lines} lines of which {num_hit} ran");
        traced.problems.iter().take(3).for_each(|problem| println!("{problem}"));
    }
    Ok(elapsed)
}

fn dump(elf: &Path) -> Result<Duration> {
    let mut command = Command::new(tool("llvm-dwarfdump-19")?);
    command.arg("--debug-line").arg(elf).stdout(Stdio::null());
    let started = Instant::now();
    ensure!(command.status().context("start llvm-dwarfdump")?.success(), "llvm-dwarfdump failed");
    Ok(started.elapsed())
}

fn look_up(elf: &Path, addresses: &[u64]) -> Result<Duration> {
    let stride = addresses.len().div_ceil(NUM_ADDRESSES).max(1);
    let asked: Vec<String> =
        addresses.iter().step_by(stride).map(|address| format!("{address:#x}\n")).collect();
    let mut command = Command::new(tool("addr2line")?);
    command.args(["-i", "-e"]).arg(elf).stdin(Stdio::piped()).stdout(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().context("start addr2line")?;
    child.stdin.take().context("its input")?.write_all(asked.concat().as_bytes()).context("ask addr2line")?;
    ensure!(child.wait().context("wait for addr2line")?.success(), "addr2line failed");
    Ok(started.elapsed())
}

/// What disassemblers get of the largest section of code.
struct Code {
    start: u64,
    /// How much a part is; all of it, if it is no more.
    part_bytes: u64,
    /// The whole section's length.
    section_bytes: u64,
    /// The length of all code.
    all_bytes: u64,
}

impl Code {
    fn of(image: &Image, part_bytes: u64) -> Result<Self> {
        let sections = || image.sections().filter(|section| section.is_loaded() && section.is_executable());
        let all_bytes = sections().map(|section| section.len_bytes()).sum();
        let largest = sections().max_by_key(|section| section.len_bytes()).context("the program has code")?;
        let section_bytes = largest.len_bytes();
        let is_part = part_bytes > 0 && part_bytes.saturating_mul(2) < section_bytes;
        let part_bytes = if is_part { part_bytes } else { section_bytes };
        Ok(Self { start: largest.address().get(), part_bytes, section_bytes, all_bytes })
    }

    fn is_whole(&self) -> bool {
        self.part_bytes == self.section_bytes
    }

    /// How long all of it takes, reckoned if it is not done.
    fn disassemble(&self, name: &str, elf: &Path, is_shown: bool) -> Result<Duration> {
        if self.is_whole() {
            return self.list(name, elf, None);
        }
        let [one, two] =
            [1, 2].map(|parts| self.list(name, elf, Some(self.part_bytes.saturating_mul(parts))));
        let (one, two) = (one?, two?);
        ensure!(
            two > one,
            "{name} took no longer for twice as much: --objdump-bytes is too small to reckon by"
        );
        let rest_bytes = self.all_bytes.saturating_sub(self.part_bytes.saturating_mul(2));
        #[expect(clippy::cast_precision_loss, reason = "lengths of files, far below 2^52")]
        let parts_left = rest_bytes as f64 / self.part_bytes as f64;
        if is_shown {
            let [bytes, twice] = [self.part_bytes, self.part_bytes.saturating_mul(2)];
            println!(
                "{name}: {bytes} bytes in {}, {twice} in {}, of {}",
                time(one),
                time(two),
                self.all_bytes
            );
        }
        Ok(two + two.saturating_sub(one).mul_f64(parts_left))
    }

    /// Disassembles so much from the section's start, or all code.
    fn list(&self, name: &str, elf: &Path, len_bytes: Option<u64>) -> Result<Duration> {
        let mut command = Command::new(tool(name)?);
        command.args(["-d", "-l"]).arg(elf).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(len_bytes) = len_bytes {
            let stop = self.start.saturating_add(len_bytes);
            command
                .arg(format!("--start-address={:#x}", self.start))
                .arg(format!("--stop-address={stop:#x}"));
        }
        let started = Instant::now();
        ensure!(command.status().with_context(|| format!("start {name}"))?.success(), "{name} failed");
        Ok(started.elapsed())
    }
}
