//! What a guest executes, by QEMU's own log of a run in which each instruction is a block of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;

use covtap_testbed::executed;

use crate::guests::Built;

/// Addresses of instructions in the order in which they were executed.
pub(crate) struct Log(Vec<u64>);

impl Log {
    /// Runs a guest with it. Firmware is left out: it would fill the disk.
    pub(crate) fn of(built: &Built) -> Self {
        let path = built.path("log");
        let mut qemu = built.qemu();
        qemu.args(["-accel", "tcg,one-insn-per-tb=on", "-d", "exec,nochain", "-D"]).arg(&path);
        let all = built.instructions();
        let last = all.last().expect("code");
        qemu.arg("-dfilter").arg(format!("{:#x}..{:#x}", built.machine.base(), last.0 + last.1));
        qemu.status().expect("QEMU starts");
        let log = BufReader::new(File::open(&path).expect("a log"));
        let executed: Vec<u64> = executed(log).collect::<Result<_, _>>().expect("a log of instructions");
        assert!(!executed.is_empty());
        Self(executed)
    }

    /// How often each instruction was executed.
    pub(crate) fn counts(&self, within: &Range<u64>) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        self.0.iter().filter(|pc| within.contains(pc)).for_each(|pc| *counts.entry(*pc).or_default() += 1);
        counts
    }

    /// How often what followed `pc` was `next`, and how often something else.
    pub(crate) fn followed(&self, pc: u64, next: u64) -> (u64, u64) {
        let pairs = self.0.windows(2).filter(|pair| pair[0] == pc);
        let (fell, taken): (Vec<_>, Vec<_>) = pairs.partition(|pair| pair[1] == next);
        (taken.len() as u64, fell.len() as u64)
    }
}
