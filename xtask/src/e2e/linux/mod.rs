//! `cargo xtask e2e linux`: coverage of a whole Linux kernel, read from outside while it runs.
//!
//! | step | what is shown |
//! |---|---|
//! | boots | the kernel is at another place each time, and is found there |
//! | costs | the time to read all counters, and to write all files |
//! | at rest | what covtap writes is what the kernel says itself under debugfs |
//! | at work | a recording every second does not stop the guest |
//! | reset | a recording goes on with the kernel of the next boot, and has what both counted |
//! | reports | covtap's time and lines beside those of lcov and gcovr, from the same files |
//!
//! What always holds: all figures are of this run; goals are printed beside them and asserted nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::covtap::image::Image;
use anyhow::{Context, Result, ensure};
use compare::Files;
use guest::LinuxGuest;
use kernel::Kernel;
use search::Search;

use crate::figures::time;
use crate::{Outcome, child, covtap};

mod compare;
mod costs;
mod guest;
mod kernel;
mod report;
mod reset;
mod search;

/// Arguments of `cargo xtask e2e linux`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often the kernel is booted to see where it goes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    boots: u32,
    /// Leave out lcov and gcovr, which take minutes
    #[arg(long)]
    no_reports: bool,
}

/// Everything, in turn.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let covtap = covtap::build()?;
    let dir = folder(&covtap)?;
    let kernel = kernel::build(&dir)?;
    let image = search::open(&kernel.vmlinux)?;
    boot(&kernel, &image, args.boots)?;
    let mut guest = LinuxGuest::start(&kernel)?;
    costs::run(&image, search::find(&guest, &image)?, &dir)?;
    let run = Run { covtap, vmlinux: kernel.vmlinux.clone(), dir: dir.join("run") };
    run.clear()?;
    let comparison = run.at_rest(&mut guest)?;
    println!("{comparison}");
    let recorded = run.at_work(&mut guest)?;
    drop(guest);
    let [first, second] = reset::run(&run, &kernel)?;
    if !args.no_reports {
        report::run(&run.covtap, &kernel, &recorded.0, &recorded.1)?;
    }
    let is_well = [comparison, first, second].iter().all(|comparison| comparison.wrong.is_empty());
    Ok(if is_well { Outcome::Passed } else { Outcome::Failed })
}

/// Where everything is: below cargo's target directory, of which the command is in `release`.
fn folder(covtap: &Path) -> Result<PathBuf> {
    let target = covtap.ancestors().nth(2).context("the folder that cargo builds in")?;
    let dir = target.join("e2e/linux");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

/// Boots again and again, and tells where the kernel goes.
fn boot(kernel: &Kernel, image: &Image, boots: u32) -> Result<()> {
    let mut slides = BTreeSet::new();
    for boot in 1..=boots {
        child::go_on()?;
        let guest = LinuxGuest::start(kernel)?;
        let Search { found, took, .. } = search::find(&guest, image)?;
        let samples = found.agreement;
        println!(
            "boot {boot}: found at {} in {} (1 GiB; goal 0.5 s), {} of {} samples as in the ELF",
            found.at,
            time(took),
            samples.equal,
            samples.of
        );
        slides.insert(found.slide.get());
    }
    ensure!(slides.len() > 1, "the kernel was at the same place {boots} times");
    Ok(())
}

/// The command on one guest.
struct Run {
    covtap: PathBuf,
    vmlinux: PathBuf,
    dir: PathBuf,
}

impl Run {
    /// Removes what a run before left: covtap adds to files that are there.
    fn clear(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).with_context(|| format!("remove {}", self.dir.display()))?;
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("make {}", self.dir.display()))
    }

    /// Covtap, with `args` last, and the folder that it writes to.
    fn covtap(&self, guest: &LinuxGuest, name: &str, verb: &str, args: &[&str]) -> (Command, PathBuf) {
        let dir = self.dir.join(name);
        let mut command = Command::new(&self.covtap);
        command.arg(verb).arg("--qemu").arg(guest.qmp()).arg(&self.vmlinux).arg("--find-image");
        command.arg("--gcda-dir").arg(&dir).args(args).current_dir(&self.dir);
        println!("$ {}", child::show(&command));
        (command, dir)
    }

    /// Runs covtap to its end, and gives the folder and the files that it wrote.
    fn tap(&self, guest: &LinuxGuest, name: &str, verb: &str, args: &[&str]) -> Result<(PathBuf, Files)> {
        let (mut command, dir) = self.covtap(guest, name, verb, args);
        child::run_well(&mut command)?;
        let files = compare::read_files(&dir)?;
        Ok((dir, files))
    }

    /// What covtap sees before and after the kernel is asked, beside what it answers.
    fn at_rest(&self, guest: &mut LinuxGuest) -> Result<compare::Comparison> {
        let (_, before) = self.tap(guest, "before", "snapshot", &[])?;
        let kernels = guest.serve()?;
        let (_, after) = self.tap(guest, "after", "snapshot", &[])?;
        Ok(compare::compare(&before, &kernels, &after))
    }

    /// A recording while the guest works.
    fn at_work(&self, guest: &mut LinuxGuest) -> Result<(PathBuf, Files)> {
        guest.work()?;
        let recorded = self.tap(guest, "gcda", "record", &["--every", "1s", "--for", "6s"])?;
        let stops = guest.stops()?;
        guest.rest()?;
        ensure!(stops == 0, "the guest was stopped {stops} times");
        println!("{} files; the guest was never stopped", recorded.1.len());
        Ok(recorded)
    }
}
