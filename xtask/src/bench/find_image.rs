//! `cargo xtask bench find-image`: the time to find an image in a guest's memory of 1 GiB.
//!
//! | memory | what is in it |
//! |---|---|
//! | zero | the image, and nothing that was ever written else |
//! | full | the image near its end, and bytes without a pattern everywhere before |
//!
//! Each is searched for the build id note, and for samples as if the image had none.
//!
//! What always holds: every search has found the image where it was loaded.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use covtap::collect::{PhysicalLink, find_image};
use covtap::image::Image;
use covtap_qemu::{self as qemu, QemuLink};
use covtap_testbed::{Guest, Machine, fixture};
use tempfile::TempDir;

use crate::Outcome;
use crate::figures::{median_time, rate, time};

/// Arguments of `cargo xtask bench find-image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is searched
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

const MEMORY_BYTES: usize = 1 << 30;

/// Where the image's first loaded byte is in the file, in the ELF's addresses, and in the guest.
const FILE_OFFSET: usize = 0x1000;
const LINKED: u64 = 0x10_0000;
const LOADED: u64 = 0x3f00_0000;

/// How much of the file is loaded.
const LOADED_BYTES: usize = 0x21e8;

/// Where bytes without a pattern begin and how many there are: above the running program, below the image.
const NOISE: u64 = 0x100_0000;
const NOISE_BYTES: usize = 0x3e00_0000;

/// Where the type of the build id note is in the file.
const NOTE_TYPE: usize = 0x101c;

/// Measures and prints the figures.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let dir = TempDir::with_prefix("covtap-bench-").context("make a folder")?;
    let elf = fs::read(fixture("x86-pvh/covered.elf")).context("read the image")?;
    let mut nameless = elf.clone();
    *nameless.get_mut(NOTE_TYPE).context("the build id note")? = 0x7f;
    println!("goal: 0.5 s for 1 GiB");
    for memory in ["zero", "full"] {
        for (by, elf) in [("build id", &elf), ("samples", &nameless)] {
            let guest = start(dir.path(), elf, memory == "full")?;
            let times = search(&guest, elf, args.rounds)?;
            let median = median_time(&times).context("a search")?;
            let first = times.first().copied().unwrap_or_default();
            println!(
                "{memory} memory, by {by}: {} ({}); the first search {}",
                time(median),
                rate(MEMORY_BYTES, median),
                time(first)
            );
        }
    }
    println!("medians of {} searches", args.rounds);
    Ok(Outcome::Passed)
}

/// A guest that runs something else, with the image in its memory.
fn start(dir: &Path, elf: &[u8], is_full: bool) -> Result<Guest> {
    let flat = dir.join("covered.bin");
    let loaded = elf.get(FILE_OFFSET..).and_then(|rest| rest.get(..LOADED_BYTES));
    fs::write(&flat, loaded.context("the image's loaded bytes")?)?;
    let mut args = vec!["-m".to_owned(), "1024".to_owned()];
    let load = |file: &Path, at: u64| {
        ["-device".to_owned(), format!("loader,file={},addr={at:#x},force-raw=on", file.display())]
    };
    args.extend(load(&flat, LOADED));
    if is_full {
        let noise = dir.join("noise.bin");
        write_noise(&noise)?;
        args.extend(load(&noise, NOISE));
    }
    Guest::builder(Machine::X86Pvh, fixture("x86-pvh/plain.elf")).args(args).start()
}

fn write_noise(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = fs::File::create(path).context("make a file of noise")?;
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..NOISE_BYTES / chunk.len() {
        random.fill(&mut chunk);
        file.write_all(&chunk).context("write noise")?;
    }
    Ok(())
}

fn search(guest: &Guest, elf: &[u8], rounds: u32) -> Result<Vec<std::time::Duration>> {
    let image = Image::parse("covered.elf", elf.to_vec())?;
    let endpoint = guest.qmp().display().to_string().parse()?;
    let link = QemuLink::connect(&endpoint, &qemu::Options::default())?;
    let mut link = PhysicalLink::new(Box::new(link))?;
    (0..rounds)
        .map(|_| {
            let started = Instant::now();
            let found = find_image::find(&mut link, &image)?;
            let elapsed = started.elapsed();
            ensure!(found.slide.get() == LOADED - LINKED, "found at slide {}", found.slide);
            Ok(elapsed)
        })
        .collect()
}
