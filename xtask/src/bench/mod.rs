//! `cargo xtask bench`: how fast covtap is, and what its links do to a guest, beside what else there is.
//!
//! What always holds: what is compared is measured in turns, in one run on one machine; numbers are medians, and
//! ratios are medians of the ratios within a turn. Goals are printed beside the figures and asserted nowhere.

use anyhow::Result;
use clap::Subcommand;

use crate::provision::{self, Need};
use crate::{Outcome, child};

mod build;
mod disturbance;
mod find_image;
mod gdb;
mod lines;
mod process;
mod report;
mod scan;
mod session;
mod snapshot;
mod trace;
mod trace_gdb;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What parts that may be left out cost: time to build, and size
    Build(build::Args),
    /// Time to read counters: covtap's links, `pmemsave`, GDB, memcpy
    Snapshot(snapshot::Args),
    /// What 100 snapshots a second do to the guest's own speed
    Disturbance(disturbance::Args),
    /// What 10 snapshots a second do to a server on this host
    Process(process::Args),
    /// Time and memory from a profile to an lcov trace: covtap, LLVM's tools
    Report(report::Args),
    /// Time to find an image in 1 GiB of a guest's memory
    FindImage(find_image::Args),
    /// Time to put a trace on all lines of a program
    Lines(lines::Args),
    /// Time to find gcov's structures in 256 MiB of memory
    Scan(scan::Args),
    /// What 10 snapshots a second of 16 MiB of counters cost the host
    Session(session::Args),
    /// What counting what a guest executes does to its speed
    Trace(trace::Args),
    /// What `covtap trace` does to a running guest's speed, and how fast it steps
    TraceGdb(trace_gdb::Args),
}

/// Measures, in a release build.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    if cfg!(debug_assertions) {
        return child::again_in_release();
    }
    provision::ensure(Need::Bench)?;
    match &args.what {
        What::Build(args) => build::run(args),
        What::Snapshot(args) => snapshot::run(args),
        What::Disturbance(args) => disturbance::run(args),
        What::Process(args) => process::run(args),
        What::Report(args) => report::run(args),
        What::FindImage(args) => find_image::run(args),
        What::Lines(args) => lines::run(args),
        What::Scan(args) => scan::run(args),
        What::Session(args) => session::run(args),
        What::Trace(args) => trace::run(args),
        What::TraceGdb(args) => trace_gdb::run(args),
    }
}
