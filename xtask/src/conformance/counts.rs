//! Counts to compare reports of: those of a run, and made-up ones, which show more than any run would.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use covtap::locate::llvm::Located;
use covtap::locate::{CounterRegion, MergeRule};
use covtap_link::Endianness;

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

/// The sets of counts that a case is compared with. A run may also leave a profile of its own at `runtimes`.
pub(super) fn sets(case: &Case<'_>, exe: &Path, located: &Located, runtimes: &Path) -> Result<Vec<Counts>> {
    let mut sets = vec![
        Counts { name: "zeros", regions: made_up(located, |_| 0) },
        Counts { name: "small", regions: made_up(located, |random| random.u64(0..12).saturating_sub(4)) },
        Counts {
            name: "wild",
            regions: made_up(located, |random| (random.u64(..) >> random.u32(4..64)).min(MAX_COUNT)),
        },
    ];
    if case.setup.target.run != Run::Never && !is_unlinked(case) {
        sets.push(Counts { name: "run", regions: of_run(case, exe, located, runtimes)? });
    }
    Ok(sets)
}

/// Rust's programs for other targets are not linked with what they need to run.
fn is_unlinked(case: &Case<'_>) -> bool {
    case.program.language == super::corpus::Language::Rust && case.setup.target.run != Run::Hosted
}

/// Runs the program, which writes its counters.
fn of_run(case: &Case<'_>, exe: &Path, located: &Located, runtimes: &Path) -> Result<Vec<Vec<u8>>> {
    let mut command = Command::new(exe);
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

fn made_up(located: &Located, mut count: impl FnMut(&mut fastrand::Rng) -> u64) -> Vec<Vec<u8>> {
    // The same case has the same counts each time.
    let mut random = fastrand::Rng::with_seed(7);
    located.regions.iter().map(|region| fill(region, || count(&mut random))).collect()
}

fn fill(region: &CounterRegion, mut count: impl FnMut() -> u64) -> Vec<u8> {
    let len = usize::try_from(region.range.len_bytes()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let count = count();
        match (region.merge, region.endianness) {
            (MergeRule::ClearedWhenHit, _) => bytes.push(if count > 0 { 0 } else { 0xff }),
            (MergeRule::BitmapOr, _) => bytes.push(count.to_le_bytes()[0].wrapping_mul(0x1d)),
            (MergeRule::Add, Endianness::Little) => bytes.extend(count.to_le_bytes()),
            (MergeRule::Add, Endianness::Big) => bytes.extend(count.to_be_bytes()),
        }
    }
    bytes.truncate(len);
    bytes
}
