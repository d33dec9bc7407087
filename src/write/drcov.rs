//! What was executed, as drcov: for Lighthouse and others that show it in a disassembler.
//!
//! What enters is a trace and the modules that it may be in; what leaves are a file's bytes and how much of the trace is in
//! no module. The form is that of `src/profile/trace/import/drcov.rs`, in version 2 with table 2, which Lighthouse wants.
//!
//! What always holds: a block is inside its module and no longer than a `u16` says: what ran on is several of them. Blocks
//! say that code ran, and not how often.

use std::fmt::Write;

use crate::profile::trace::{Run, Trace};

/// A program that blocks are in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// The path of its file.
    pub path: String,
    /// Its first address.
    pub base: u64,
    /// The address behind its last.
    pub end: u64,
}

/// A drcov file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many bytes were executed that are in no module.
    pub outside_bytes: u64,
}

/// A trace cannot be written so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DrcovError {
    /// Blocks say their module in 16 bits.
    #[error("write drcov: it can have 65535 modules, and not {count}")]
    Modules {
        /// How many there are.
        count: usize,
    },
    /// Blocks say their place in 32 bits.
    #[error("write drcov: {address:#x} is 4 GiB or more behind the first address of {module}")]
    TooFar {
        /// What was executed.
        address: u64,
        /// Where.
        module: String,
    },
}

/// The bytes of a file.
///
/// # Errors
///
/// There are too many modules, or one is too large.
pub fn encode(trace: &Trace, modules: &[Module]) -> Result<Encoded, DrcovError> {
    let mut blocks = Vec::new();
    let mut outside_bytes = 0u64;
    for (index, module) in modules.iter().enumerate() {
        let id = u16::try_from(index).ok().filter(|id| *id < u16::MAX);
        let id = id.ok_or(DrcovError::Modules { count: modules.len() })?;
        for run in runs(trace) {
            add_blocks(&mut blocks, id, module, run)?;
        }
    }
    for run in runs(trace) {
        outside_bytes = outside_bytes.saturating_add(outside(run, modules));
    }
    let mut out = head(modules, blocks.len()).into_bytes();
    out.extend(blocks.into_iter().flatten());
    Ok(Encoded { bytes: out, outside_bytes })
}

fn runs(trace: &Trace) -> impl Iterator<Item = Run> {
    trace.spaces().flat_map(|(_, space)| space.runs().iter().copied())
}

fn head(modules: &[Module], num_blocks: usize) -> String {
    let mut head = "DRCOV VERSION: 2\nDRCOV FLAVOR: covtap\n".to_owned();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = writeln!(head, "{text}");
    };
    line(format_args!("Module Table: version 2, count {}", modules.len()));
    line(format_args!("Columns: id, base, end, entry, path"));
    for (id, Module { path, base, end }) in modules.iter().enumerate() {
        let path: String = path.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        line(format_args!("{id}, {base:#018x}, {end:#018x}, {:#018x}, {path}", 0));
    }
    line(format_args!("BB Table: {num_blocks} bbs"));
    head
}

/// The first and last address of a run in a module, if there are any.
fn inside(run: Run, module: &Module) -> Option<(u64, u64)> {
    let (first, last) = (run.start.max(module.base), run.last.min(module.end.checked_sub(1)?));
    (first <= last).then_some((first, last))
}

fn add_blocks(blocks: &mut Vec<[u8; 8]>, id: u16, module: &Module, run: Run) -> Result<(), DrcovError> {
    let Some((mut at, last)) = inside(run, module) else { return Ok(()) };
    loop {
        let size = u16::try_from((last - at).saturating_add(1)).unwrap_or(u16::MAX);
        let too_far = || DrcovError::TooFar { address: at, module: module.path.clone() };
        let start = u32::try_from(at - module.base).map_err(|_| too_far())?;
        let ([s0, s1, s2, s3], [l0, l1], [m0, m1]) =
            (start.to_le_bytes(), size.to_le_bytes(), id.to_le_bytes());
        blocks.push([s0, s1, s2, s3, l0, l1, m0, m1]);
        match at.checked_add(size.into()).filter(|next| *next <= last) {
            Some(next) => at = next,
            None => return Ok(()),
        }
    }
}

/// How many bytes of a run are in no module.
fn outside(run: Run, modules: &[Module]) -> u64 {
    let mut parts: Vec<_> = modules.iter().filter_map(|module| inside(run, module)).collect();
    parts.sort_unstable();
    let (mut outside, mut next) = (0u64, Some(run.start));
    for (first, last) in parts {
        let Some(at) = next else { break };
        outside = outside.saturating_add(first.saturating_sub(at));
        next = last.checked_add(1).map(|after| after.max(at));
    }
    let rest = next.filter(|at| *at <= run.last).map_or(0, |at| (run.last - at).saturating_add(1));
    outside.saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::trace::import::{Options, import};
    use crate::profile::trace::{Counting, TraceBuilder};

    fn module(base: u64, end: u64) -> Module {
        Module { path: format!("dir/{base:x}, it.elf"), base, end }
    }

    fn traced(blocks: &[(u64, u64)]) -> Trace {
        let mut trace = TraceBuilder::new(Counting::Reached);
        blocks.iter().for_each(|(start, len)| trace.block("", *start, *len, 1).unwrap());
        trace.finish()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let high = 0xffff_ffc0_0000_0000;
        let trace = traced(&[(0x100, 0x2_0003), (high + 0x10, 2), (high + 0x20, 1), (u64::MAX - 3, 4)]);
        let modules = [module(0x100, 0x10_0000), module(high, high + 0x1000), module(u64::MAX - 7, u64::MAX)];
        let Encoded { bytes, outside_bytes } = encode(&trace, &modules).unwrap();
        // The last byte of memory is in no module, whose end would be behind it.
        assert_eq!(outside_bytes, 1);
        let read = import("it", &bytes[..], None, &Options::default()).unwrap();
        assert!(read.fault.is_none());
        let expected = traced(&[(0x100, 0x2_0003), (high + 0x10, 2), (high + 0x20, 1), (u64::MAX - 3, 3)]);
        assert_eq!(read.trace, expected);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("DRCOV VERSION: 2\nDRCOV FLAVOR: covtap\nModule Table: version 2, count 3\nColumns: id, base, end, entry, path\n0, 0x"), "{text}");
        // 0x20003 bytes are three blocks of at most 0xffff.
        assert!(text.contains("\nBB Table: 6 bbs\n"), "{text}");
    }

    #[test]
    fn what_is_outside_is_counted() {
        let trace = traced(&[(0, 0x100)]);
        let outside = |modules: &[Module]| encode(&trace, modules).unwrap().outside_bytes;
        assert_eq!(outside(&[]), 0x100);
        assert_eq!(outside(&[module(0x10, 0x20), module(0x18, 0x30), module(0x40, 0x40)]), 0xe0);
        assert_eq!(outside(&[module(0, 0x1000)]), 0);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let far = traced(&[(0x1_0000_0000, 4)]);
        let error = encode(&far, &[module(0, u64::MAX)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "write drcov: 0x100000000 is 4 GiB or more behind the first address of dir/0, it.elf"
        );
        let many = vec![module(0, 1); 1 << 16];
        assert_eq!(encode(&far, &many), Err(DrcovError::Modules { count: 1 << 16 }));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_inside(
            blocks in prop::collection::vec((0u64..400_000, 1u64..200_000), 1..8), base in 0u64..300_000, len in 1u64..300_000,
        ) {
            let trace = traced(&blocks);
            let module = module(base, base + len);
            let Encoded { bytes, outside_bytes } = encode(&trace, std::slice::from_ref(&module)).unwrap();
            let inside: Vec<_> = runs(&trace).filter_map(|run| inside(run, &module)).collect();
            let lens = |runs: &mut dyn Iterator<Item = (u64, u64)>| runs.map(|(first, last)| last - first + 1).sum::<u64>();
            let all = lens(&mut runs(&trace).map(|run| (run.start, run.last)));
            prop_assert_eq!(outside_bytes, all - lens(&mut inside.iter().copied()));
            match import("it", &bytes[..], None, &Options::default()) {
                Ok(read) => {
                    prop_assert!(read.fault.is_none());
                    prop_assert_eq!(runs(&read.trace).map(|run| (run.start, run.last)).collect::<Vec<_>>(), inside);
                }
                Err(_) => prop_assert!(inside.is_empty()),
            }
        }
    }
}
