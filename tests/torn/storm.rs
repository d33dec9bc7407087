//! A guest whose counters carry at every step, read as covtap reads, and each value of each snapshot looked at.
//!
//! What enters is a way to the guest and how many readings to make; what leaves is a [`Tally`]. What always holds: a value
//! is judged by its own halves, so nothing has to be known of the moment when it was read; the guest counts on until it is
//! told to end, and then says how far it came.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use covtap::collect::{MeteredLink, Reader};
use covtap::image::{Image, Slide};
use covtap::locate::CounterRegion;
use covtap::locate::llvm::locate;
use covtap_gdb_remote::GdbRemote;
use covtap_link::Link;
use covtap_qemu::QemuLink;
use covtap_testbed::{Guest, Machine, run, workspace_root};
use tempfile::TempDir;

/// A guest that does nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that is not heard of for so long is gone.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a step adds to each of the counters: `STEP` of storm.c.
const STEP: u64 = 0xffff_ffff;

/// The way to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Qemu,
    Gdb,
}

/// How often the guest is read, at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// As the link gives them: until one of them is torn, which shows that there is something to be found.
    pub(crate) plain_reads: u64,
    /// In snapshots.
    pub(crate) reads: u64,
    /// Of this many bursts the last is followed by a rest that is long enough for values to be believed.
    pub(crate) bursts: u32,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    /// Readings by the link alone, and how many of them had a torn value.
    pub(crate) plain: u64,
    pub(crate) plain_torn: u64,
    /// Snapshots, and the readings that were made again for them.
    pub(crate) snapshots: u64,
    pub(crate) rereads: u64,
    /// Values that were kept from the snapshot before.
    pub(crate) unsettled: u64,
    /// How often a counter moved on from one snapshot to the next.
    pub(crate) advanced: u64,
    /// Torn values in snapshots.
    pub(crate) torn: u64,
    /// How far the guest came.
    pub(crate) steps: u64,
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn readings(&self) -> u64 {
        self.snapshots + self.rereads
    }
}

/// The guest.
struct Storm {
    guest: Guest,
    regions: Vec<CounterRegion>,
    /// Where the byte goes that ends it.
    end: PathBuf,
    _dir: TempDir,
}

/// Reads a guest as planned. `go_on` is asked now and then whether to.
///
/// # Errors
///
/// The guest or the link failed, or the guest rests and its counters are not what it says.
pub(crate) fn soak(way: Way, plan: Plan, go_on: impl Fn() -> Result<()>) -> Result<Tally> {
    let storm = Storm::start(plan.bursts)?;
    let mut link = storm.connect(way)?;
    let mut tally = Tally::default();
    let region = storm.regions.first().context("the guest has no counters")?.clone();
    let mut bytes = vec![0; usize::try_from(region.range.len_bytes())?];
    let started = Instant::now();
    // A guest that rests, or that a busy host lets wait, is not torn for a while.
    while tally.plain < plan.plain_reads || tally.plain_torn == 0 {
        go_on()?;
        ensure!(started.elapsed() < PATIENCE, "none of {} plain readings was torn", tally.plain);
        link.read(region.range.start(), &mut bytes)?;
        tally.plain += 1;
        tally.plain_torn += u64::from(counters(&bytes)?.iter().any(|count| is_torn(*count)));
    }
    let reader = Reader::new(MeteredLink::new(link), storm.regions.clone())?;
    let mut watch = Watch { reader, tally, last: [0; 2], last_advance: Instant::now() };
    let start = Instant::now();
    while watch.tally.readings() < plan.reads || watch.tally.advanced == 0 {
        go_on()?;
        watch.snapshot()?;
    }
    let steps = storm.end()?;
    watch.last_advance = Instant::now();
    while watch.last != [steps * STEP; 2] {
        go_on()?;
        watch.snapshot().with_context(|| format!("after a rest, {steps} steps were counted"))?;
    }
    watch.reader.detach()?;
    Ok(Tally { steps, elapsed: start.elapsed(), ..watch.tally })
}

/// A reader, and what became of its snapshots.
struct Watch {
    reader: Reader,
    tally: Tally,
    last: [u64; 2],
    last_advance: Instant,
}

impl Watch {
    fn snapshot(&mut self) -> Result<()> {
        let snapshot =
            self.reader.take(Duration::ZERO)?.snapshot().context("the guest was reset, or ended")?;
        ensure!(snapshot.resets == 0, "snapshot {} is after a reset", snapshot.number);
        self.tally.snapshots += 1;
        self.tally.rereads += u64::from(snapshot.rereads);
        self.tally.unsettled += snapshot.unsettled;
        let now = counters(snapshot.counters.regions().first().context("a region")?)?;
        for (count, last) in now.iter().zip(self.last) {
            self.tally.torn += u64::from(is_torn(*count));
            if *count != last {
                if is_torn(*count) {
                    eprintln!("snapshot {} is torn: {count:#x}, before {last:#x}", snapshot.number);
                }
                self.tally.advanced += 1;
                self.last_advance = Instant::now();
            }
        }
        self.last = now;
        let [first, second] = now;
        ensure!(
            self.last_advance.elapsed() < PATIENCE,
            "no counter moves on from {first:#x} and {second:#x}"
        );
        Ok(())
    }
}

/// The two counters that the guest writes in halves.
fn counters(region: &[u8]) -> Result<[u64; 2]> {
    let mut counts = region.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    counts.next().zip(counts.next()).map(|(first, second)| [first, second]).context("two counters")
}

/// Whether the halves are those of different steps.
fn is_torn(count: u64) -> bool {
    !count.is_multiple_of(STEP)
}

impl Storm {
    fn start(bursts: u32) -> Result<Self> {
        let dir = TempDir::with_prefix("covtap-storm-").context("make a folder")?;
        let (elf, end) = (dir.path().join("storm.elf"), dir.path().join("end.sock"));
        build(&elf, bursts)?;
        let bytes = std::fs::read(&elf).with_context(|| format!("read {}", elf.display()))?;
        let regions = locate(&Image::parse("storm.elf", bytes)?, Slide::ZERO)?.regions;
        // The first serial line is the console's: this is the second.
        let uart = format!("unix:{},server=on,wait=off", end.display());
        let guest = Guest::builder(Machine::An385, &elf).args(["-serial", &uart]).start()?;
        guest.console().wait_for(PATIENCE, |line| line.starts_with("storm"))?;
        Ok(Self { guest, regions, end, _dir: dir })
    }

    fn connect(&self, way: Way) -> Result<Box<dyn Link>> {
        let (qmp, gdb) = (self.guest.qmp().display().to_string(), self.guest.gdb().to_string());
        let wrong = |error: &dyn std::fmt::Display| anyhow!("parse an address: {error}");
        Ok(match way {
            Way::Qemu => {
                let endpoint = qmp.parse().map_err(|error| wrong(&error))?;
                Box::new(QemuLink::connect(&endpoint, &covtap_qemu::Options::default())?)
            }
            Way::Gdb => {
                let endpoint = gdb.parse().map_err(|error| wrong(&error))?;
                let mut options = covtap_gdb_remote::Options::default();
                // The machine may have others to serve.
                options.reply_timeout = REPLY_TIMEOUT;
                Box::new(GdbRemote::connect(&endpoint, &options)?)
            }
        })
    }

    /// Has the guest come to its end, and gives its number of steps.
    fn end(&self) -> Result<u64> {
        let mut uart = UnixStream::connect(&self.end).context("connect to the guest's second serial line")?;
        uart.write_all(b"e").context("tell the guest to end")?;
        let line = self.guest.console().wait_for(PATIENCE, |line| line.starts_with("rest "))?;
        let steps = line.split(' ').nth(1).and_then(|steps| steps.parse().ok());
        steps.with_context(|| format!("the guest said {line:?}"))
    }
}

/// Builds the guest with clang.
fn build(elf: &Path, bursts: u32) -> Result<()> {
    let root = workspace_root();
    let compile = |source: &str, more: &[&str]| -> Result<String> {
        let (from, include) = (root.join("tests").join(source), root.join("tests/resets"));
        let to = elf.with_file_name(source.replace('/', "-")).with_extension("o").display().to_string();
        let machine =
            ["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-mfloat-abi=soft", "-ffreestanding"];
        let mode = ["-std=c17", "-O1", "-Wall", "-Wextra", "-Werror", "-I", &include.display().to_string()];
        let files = ["-c", &from.display().to_string(), "-o", &to];
        run("clang-19", machine.iter().chain(&mode).chain(&files).chain(more))?;
        Ok(to)
    };
    let objects = [
        compile("torn/counted.c", &["-fprofile-instr-generate", "-fcoverage-mapping"])?,
        compile("torn/storm.c", &[&format!("-DBURSTS={bursts}")])?,
        compile("resets/console.c", &[])?,
        compile("resets/an385.c", &["-DBY_HOST"])?,
    ];
    let guests = root.join("examples/guests");
    let scripts = ["c-an385/an385.x", "coverage.x"].map(|name| guests.join(name).display().to_string());
    let mut link = ["--gc-sections", "--build-id=sha1", "--nmagic"].map(str::to_owned).to_vec();
    link.extend(scripts.into_iter().flat_map(|script| ["-T".to_owned(), script]));
    link.extend(objects);
    link.extend(["-o".to_owned(), elf.display().to_string()]);
    run("ld.lld-19", link).map(drop)
}
