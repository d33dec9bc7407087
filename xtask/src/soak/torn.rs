//! `cargo xtask soak torn`: a counter that carries into its upper half all the time, read very often.
//!
//! What enters is how often; what leaves is a table, by link: what the readings came to, and how many of the link's own,
//! without covtap's checks, have a torn value. What always holds: a torn value in a snapshot fails the verb, and so does a
//! soak that shows nothing, as no plain reading was torn or no counter moved on.

use anyhow::Result;

use crate::{Outcome, child};

#[path = "../../../tests/torn/storm.rs"]
mod storm;

use storm::{Plan, Tally, Way, soak};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many readings are made over each link
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    reads: u64,
}

/// For comparison so many are made that nobody checks.
const PLAIN_READS: u64 = 20_000;

/// Bursts from one long rest to the next.
const BURSTS: u32 = 24;

pub(super) fn run(args: &Args) -> Result<Outcome> {
    println!(
        "{:8}{:>10}{:>11}{:>10}{:>11}{:>9}{:>7}{:>13}{:>13}{:>12}{:>9}",
        "link",
        "readings",
        "snapshots",
        "rereads",
        "unsettled",
        "advanced",
        "torn",
        "plain reads",
        "plain torn",
        "steps",
        "s"
    );
    let plan = Plan { plain_reads: PLAIN_READS, reads: args.reads, bursts: BURSTS };
    let mut outcome = Outcome::Passed;
    for (name, way) in [("--qemu", Way::Qemu), ("--gdb", Way::Gdb)] {
        let tally = soak(way, plan, child::go_on)?;
        print(name, &tally);
        if tally.torn > 0 || tally.plain_torn == 0 || tally.advanced == 0 {
            outcome = Outcome::Failed;
        }
    }
    println!(
        "unsettled: values that no reading settled, kept from the snapshot before; at rest all are exact"
    );
    Ok(outcome)
}

fn print(name: &str, tally: &Tally) {
    let Tally { plain, plain_torn, snapshots, rereads, unsettled, advanced, torn, steps, elapsed } = tally;
    println!(
        "{name:8}{:>10}{snapshots:>11}{rereads:>10}{unsettled:>11}{advanced:>9}{torn:>7}{plain:>13}{plain_torn:>13}\
         {steps:>12}{:>9.0}",
        tally.readings(),
        elapsed.as_secs_f64()
    );
}
