//! What one snapshot of all units costs, from memory to files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::covtap::collect::{MeteredLink, Reader, Snapshot};
use ::covtap::image::Image;
use ::covtap::locate::gcov::{self, GcovImage, Located, Object};
use ::covtap::profile::gcov::GcovProfile;
use ::covtap::write::gcda::encode;
use ::covtap::write::{check_all_writable, gcda_path, write_all_whole};
use anyhow::{Context, Result};
use tempfile::TempDir;

use super::search::Search;
use crate::figures::{median_time, size, time};

/// How often the counters are read, and all files written.
const READINGS: usize = 15;
const WRITINGS: usize = 5;

/// Measures and prints. Files are written to a folder in `dir`.
pub(super) fn run(image: &Image, search: Search, dir: &Path) -> Result<()> {
    let started = Instant::now();
    let located = gcov::locate(image, search.found.slide)?;
    describe(&located, started.elapsed())?;
    let mut reader = Reader::new(MeteredLink::new(Box::new(search.link)), located.regions)?;
    let mut readings = Vec::new();
    let mut last = None;
    for _ in 0..READINGS {
        let snapshot = reader.take(Duration::ZERO)?.snapshot().context("the guest has ended")?;
        readings.push(snapshot.report.elapsed);
        last = Some(snapshot);
    }
    reader.detach()?;
    let [made, plain, whole] = write(&located.image, &last.context("a snapshot")?, dir)?;
    for (what, times, goal) in [
        ("one reading of all counters", readings, "goal 50 ms"),
        ("all files made of it", made, "in memory"),
        ("all of them put on the disk, each whole or not at all", whole, "goal 1 s, with the line before"),
        ("the same written plainly", plain, "for comparison: not waiting for the disk"),
    ] {
        let median = median_time(&times).context("a time")?;
        println!("{what}: {} ({goal}; median of {})", time(median), times.len());
    }
    Ok(())
}

fn describe(located: &Located, took: Duration) -> Result<()> {
    let Located { regions, image, cautions } = located;
    let len_bytes: u64 = regions.iter().map(|region| region.range.len_bytes()).sum();
    let functions: usize = image.objects.iter().map(|object| object.functions.len()).sum();
    println!(
        "{} units, {functions} functions, {} of counters in {} regions, found in the ELF in {}",
        image.objects.len(),
        size(usize::try_from(len_bytes)?),
        regions.len(),
        time(took)
    );
    cautions.iter().for_each(|caution| println!("caution: {caution:?}"));
    Ok(())
}

/// Makes files of a snapshot and writes them, as the command does, and plainly.
fn write(image: &GcovImage, snapshot: &Snapshot, dir: &Path) -> Result<[Vec<Duration>; 3]> {
    let dir = TempDir::with_prefix_in("files-", dir).context("make a folder")?;
    let path = |object: &Object| Ok(dir.path().join(gcda_path::relative(&object.filename, 0)?));
    let paths: Vec<PathBuf> = image.objects.iter().map(path).collect::<Result<_>>()?;
    check_all_writable(paths.iter().map(|path| &**path))?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..WRITINGS {
        let [made, plain, whole] = &mut times;
        let started = Instant::now();
        let profile = GcovProfile::new(image, snapshot.counters.regions())?;
        let files: Vec<_> = paths.iter().cloned().zip(profile.files.iter().map(encode)).collect();
        made.push(started.elapsed());
        let started = Instant::now();
        files.iter().try_for_each(|(path, bytes)| fs::write(path, bytes)).context("write the files")?;
        plain.push(started.elapsed());
        let started = Instant::now();
        write_all_whole(&files)?;
        whole.push(started.elapsed());
    }
    Ok(times)
}
