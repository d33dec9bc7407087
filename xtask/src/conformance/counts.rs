//! Counts to compare reports of: those of a run, and made-up ones, which show more than any run would.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use covtap::locate::llvm::Located;
use covtap::locate::{CounterRegion, MergeRule};
use covtap_link::Endianness;
use covtap_testbed::tool;

use super::Case;
use super::build::succeed;
use super::setups::Run;
use crate::child;

/// The bytes of a program's regions.
pub(super) struct Counts {
    pub(super) name: &'static str,
    pub(super) regions: Vec<Vec<u8>>,
}

/// Above this llvm-profdata takes a raw profile for damaged (`MaxCounterValue` in `InstrProfReader.h`, llvmorg-19.1.7).
const MAX_COUNT: u64 = 1 << 56;

/// A program that runs longer has not been made well. In seconds.
const RUN_LIMIT_S: &str = "60";

/// How often made-up counts are what they are: a function of random numbers.
type Fill = fn(&mut fastrand::Rng) -> u64;

const ZEROS: (&str, Fill) = ("zeros", |_| 0);
const SMALL: (&str, Fill) = ("small", |random| random.u64(0..12).saturating_sub(4));
const WILD: (&str, Fill) = ("wild", |random| (random.u64(..) >> random.u32(4..64)).min(MAX_COUNT));

/// The sets of counts that a case is compared with: two, one of them that of a run where there is one. All made-up
/// ones meet every program, each for some targets. A run may also leave a profile of its own at `runtimes`.
pub(super) fn sets(case: &Case<'_>, exe: &Path, located: &Located, runtimes: &Path) -> Result<Vec<Counts>> {
    // The same case has the same counts each time, and others than the next case.
    let seed = case.name().bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let made_up = |(name, fill): (&'static str, Fill)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let regions = located.regions.iter().map(|region| bytes(region, || fill(&mut random))).collect();
        Counts { name, regions }
    };
    let runs = case.setup.target.run != Run::Never && !is_unlinked(case);
    let first = if runs {
        Counts { name: "run", regions: of_run(case, exe, located, runtimes)? }
    } else {
        made_up(SMALL)
    };
    let second = match (runs, seed % 3) {
        (false, 0) => ZEROS,
        (true, 0) => SMALL,
        _ => WILD,
    };
    Ok(vec![first, made_up(second)])
}

/// Rust's programs for other targets are not linked with what they need to run.
fn is_unlinked(case: &Case<'_>) -> bool {
    case.program.language == super::corpus::Language::Rust && case.setup.target.run != Run::Hosted
}

/// Runs the program, which writes its counters.
fn of_run(case: &Case<'_>, exe: &Path, located: &Located, runtimes: &Path) -> Result<Vec<Vec<u8>>> {
    let mut command = Command::new(tool("timeout")?);
    command.arg(RUN_LIMIT_S).arg(exe);
    let mut bytes = if case.setup.target.run == Run::Hosted {
        let path = exe.with_extension("counters");
        succeed(command.env("COUNTERS", &path).env("LLVM_PROFILE_FILE", runtimes))?;
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))?
    } else {
        let output = child::output(&mut command)?;
        ensure!(output.status.success(), "the program ended with {}", output.status);
        output.stdout
    };
    let mut regions = Vec::new();
    for region in &located.regions {
        let len = usize::try_from(region.range.len_bytes())?;
        ensure!(
            bytes.len() >= len,
            "the program wrote {} bytes for {}, which has {len}",
            bytes.len(),
            region.name
        );
        let rest = bytes.split_off(len);
        regions.push(std::mem::replace(&mut bytes, rest));
    }
    ensure!(bytes.is_empty(), "the program wrote {} bytes of counters too many", bytes.len());
    Ok(regions)
}

fn bytes(region: &CounterRegion, mut count: impl FnMut() -> u64) -> Vec<u8> {
    let len = usize::try_from(region.range.len_bytes()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let count = count();
        match (region.merge, region.endianness) {
            (MergeRule::ClearedWhenHit, _) => bytes.push(if count > 0 { 0 } else { 0xff }),
            (MergeRule::BitmapOr, _) => bytes.push(count.to_le_bytes()[0].wrapping_mul(0x1d)),
            (_, Endianness::Little) => bytes.extend(count.to_le_bytes()),
            (_, Endianness::Big) => bytes.extend(count.to_be_bytes()),
        }
    }
    bytes.truncate(len);
    bytes
}
