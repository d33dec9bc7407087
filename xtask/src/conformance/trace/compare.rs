//! What a method says of a program, beside what QEMU logged of each instruction.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use covtap::profile::trace::{Counting, Trace};

use super::guest::Guest;

/// Checks that the log and llvm-objdump agree on where a program's instructions begin.
pub(super) fn is_of_instructions(guest: &Guest, exact: &BTreeMap<u64, u64>, code: &Range<u64>) -> Result<()> {
    match exact.range(code.clone()).find(|(address, _)| !guest.instructions.contains_key(address)) {
        None => Ok(()),
        Some((address, _)) => {
            bail!("QEMU executed {address:#x}, and llvm-objdump has no instruction there")
        }
    }
}

/// How a trace differs in the code of a program: the first byte that does, and in words how. Where the trace says how often
/// code ran, that must be so too.
pub(super) fn difference(
    guest: &Guest,
    exact: &BTreeMap<u64, u64>,
    code: &Range<u64>,
    trace: &Trace,
) -> Result<Option<String>> {
    let times = trace.counting == Counting::Times;
    let plain = |count: u64| if times { count } else { count.min(1) };
    let mut expected = BTreeMap::new();
    for (address, count) in exact.range(code.clone()) {
        let len_bytes = guest.instructions.get(address).copied().unwrap_or(1);
        expected.extend((0..len_bytes).map(|byte| (address.saturating_add(byte), plain(*count))));
    }
    ensure!(!expected.is_empty(), "nothing of a program ran");
    let mut found = BTreeMap::new();
    let space = trace.space("").context("the trace has no code")?;
    for run in space.within(code.start, code.end.saturating_sub(1)) {
        let bytes = run.start.max(code.start)..=run.last.min(code.end.saturating_sub(1));
        found.extend(bytes.map(|address| (address, plain(run.count))));
    }
    let both = expected.keys().chain(found.keys());
    let of = |counts: &BTreeMap<u64, u64>, address| counts.get(address).copied().unwrap_or_default();
    let first = both.filter(|address| of(&expected, address) != of(&found, address)).min();
    Ok(first.map(|address| {
        format!(
            "the byte at {address:#x} ran {}, {} by QEMU's log",
            of(&found, address),
            of(&expected, address)
        )
    }))
}
