//! What was seen of a target's code, before it is known what instructions are there.
//!
//! What enters is addresses; what leaves is a [`Trace`]. What always holds: memory is bounded by how much different code
//! was executed; an address that is no instruction of the images has one byte.

use std::collections::{HashMap, HashSet};

use covtap_insn::{Flow, Insn};

use crate::image::{ImageAddr, Slide};
use crate::profile::trace::{Counting, Trace, TraceBuilder, TraceTooLarge, Ways};
use covtap_link::PointerWidth;

/// Addresses as they were seen.
#[derive(Default, Debug)]
pub struct Seen {
    /// How often each instruction was.
    counts: HashMap<u64, u64>,
    /// How often each was followed by which.
    edges: HashMap<u64, HashMap<u64, u64>>,
    /// Blocks that were reached, with their lengths.
    blocks: HashMap<u64, u64>,
    /// How many steps or samples there were.
    num: u64,
}

/// An image's instructions and where it was loaded.
pub struct Code<I> {
    /// By the image's own addresses.
    pub instructions: I,
    /// How far it was moved.
    pub slide: Slide,
    /// The width of its addresses.
    pub width: PointerWidth,
    /// Whether an instruction may be executed again and again by itself, as x86's with REP are.
    pub repeats: bool,
}

impl Seen {
    pub(super) fn stepped(&mut self, at: u64, next: u64) {
        self.sampled(at);
        let count = self.edges.entry(at).or_default().entry(next).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn sampled(&mut self, at: u64) {
        let count = self.counts.entry(at).or_default();
        *count = count.saturating_add(1);
        self.num = self.num.saturating_add(1);
    }

    pub(super) fn reached(&mut self, start: u64, len_bytes: u64) {
        self.blocks.insert(start, len_bytes);
    }

    /// How many steps, or samples, there were.
    #[must_use]
    pub fn num(&self) -> u64 {
        self.num
    }

    /// How many different instructions, or blocks, were seen.
    #[must_use]
    pub fn num_different(&self) -> usize {
        self.counts.len() + self.blocks.len()
    }

    /// The trace of it, by the code of the images.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn trace<I: Iterator<Item = Insn>>(
        &self,
        counting: Counting,
        codes: impl IntoIterator<Item = Code<I>>,
    ) -> Result<Trace, TraceTooLarge> {
        let mut builder = TraceBuilder::new(counting);
        let mut unknown = self.counts.clone();
        let (mut handlers, mut anywhere) = (HashSet::<u64>::new(), Vec::new());
        if counting == Counting::Times {
            builder.look_at_branches();
        }
        for Code { instructions, slide, width, repeats } in codes {
            let moved = |address| slide.apply(ImageAddr::new(address), width).get();
            for insn in instructions.filter(|insn| insn.flow != Flow::Invalid) {
                let at = moved(insn.address);
                let Some(count) = unknown.remove(&at) else { continue };
                let count = count.saturating_sub(self.not_done(&insn, at, moved, repeats));
                if count > 0 {
                    builder.block("", at, insn.len_bytes as u64, count)?;
                }
                let Some(next) = self.edges.get(&at) else { continue };
                let end = moved(insn.end());
                match insn.flow {
                    Flow::Next => handlers.extend(next.keys().filter(|to| **to != end && **to != at)),
                    Flow::Conditional { target: Some(target) } => {
                        let target = moved(target);
                        handlers.extend(next.keys().filter(|to| ![end, target, at].contains(*to)));
                        builder.branch("", at, ways(next, end, |to| to == target))?;
                    }
                    Flow::Conditional { target: None } => anywhere.push((at, next, end)),
                    _ => {}
                }
            }
        }
        for (at, next, end) in anywhere {
            builder.branch("", at, ways(next, end, |to| !handlers.contains(&to)))?;
        }
        for (at, count) in unknown {
            builder.block("", at, 1, count)?;
        }
        for (start, len_bytes) in &self.blocks {
            builder.block("", *start, *len_bytes, 1)?;
        }
        Ok(builder.finish())
    }

    /// How many steps at an instruction did not execute it: they ended where they began, and it leads elsewhere. QEMU's do so
    /// now and then, of guests with several processors.
    fn not_done(&self, insn: &Insn, at: u64, moved: impl Fn(u64) -> u64, repeats: bool) -> u64 {
        let is_elsewhere = match insn.flow {
            Flow::Next => !repeats,
            Flow::Jump { target } | Flow::Conditional { target } | Flow::Call { target } => {
                target.is_some_and(|target| moved(target) != at)
            }
            Flow::Return | Flow::Invalid => false,
        };
        let stayed = || self.edges.get(&at)?.get(&at).copied();
        if is_elsewhere { stayed().unwrap_or(0) } else { 0 }
    }
}

/// Which ways a branch went, by what followed it. What is neither of the two is an exception that came between. Where a
/// branch does not say where it goes, that is all but where exceptions have led from other instructions: one that never came
/// elsewhere is taken for the branch.
fn ways(next: &HashMap<u64, u64>, end: u64, is_target: impl Fn(u64) -> bool) -> Ways {
    let mut ways = Ways::default();
    for (to, count) in next {
        if *to == end {
            ways.fell_through = ways.fell_through.saturating_add(*count);
        } else if is_target(*to) {
            ways.taken = ways.taken.saturating_add(*count);
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(address: u64, flow: Flow) -> Insn {
        Insn { address, len_bytes: 2, flow, is_predicated: false }
    }

    fn code() -> Code<std::vec::IntoIter<Insn>> {
        let insns =
            vec![insn(0, Flow::Next), insn(2, Flow::Conditional { target: Some(0) }), insn(4, Flow::Return)];
        let (slide, width) = (Slide::new(0x100), PointerWidth::Bits32);
        Code { instructions: insns.into_iter(), slide, width, repeats: false }
    }

    #[test]
    fn steps_are_instructions_and_ways() {
        let mut seen = Seen::default();
        for (at, next) in
            [(0x100, 0x102), (0x102, 0x100), (0x100, 0x102), (0x102, 0x800), (0x102, 0x104), (0x900, 0x902)]
        {
            seen.stepped(at, next);
        }
        let trace = seen.trace(Counting::Times, [code()]).unwrap();
        let space = trace.space("").unwrap();
        let runs: Vec<_> = space.runs().iter().map(|run| (run.start, run.last, run.count)).collect();
        assert_eq!(runs, [(0x100, 0x101, 2), (0x102, 0x103, 3), (0x900, 0x900, 1)]);
        // One was followed by an exception, which is neither way.
        assert_eq!(space.branch(0x102), Some(Ways { taken: 1, fell_through: 1 }));
        assert_eq!((seen.num(), trace.has_branches), (6, true));
    }

    #[test]
    fn a_step_that_leads_nowhere_is_none() {
        let steps = [(0x100, 0x100), (0x100, 0x102), (0x102, 0x102), (0x102, 0x104)];
        for (repeats, of_first) in [(false, 1), (true, 2)] {
            let mut seen = Seen::default();
            steps.iter().for_each(|(at, next)| seen.stepped(*at, *next));
            let trace = seen.trace(Counting::Times, [Code { repeats, ..code() }]).unwrap();
            let space = trace.space("").unwrap();
            assert_eq!((space.count_at(0x100), space.count_at(0x102)), (of_first, 1));
            assert_eq!(space.branch(0x102), Some(Ways { taken: 0, fell_through: 1 }));
        }
        // One that leads to itself may have been executed.
        let mut seen = Seen::default();
        seen.stepped(0x102, 0x102);
        let insns = vec![insn(2, Flow::Jump { target: Some(2) })];
        let trace =
            seen.trace(Counting::Times, [Code { instructions: insns.into_iter(), ..code() }]).unwrap();
        assert_eq!(trace.space("").unwrap().count_at(0x102), 1);
    }

    /// A return on a condition may go anywhere; where exceptions have led from others it does not.
    #[test]
    fn a_branch_to_anywhere_is_not_taken_by_an_exception() {
        let mut seen = Seen::default();
        for (at, next) in [(0x100, 0x800), (0x102, 0x800), (0x102, 0x600), (0x102, 0x600), (0x102, 0x104)] {
            seen.stepped(at, next);
        }
        let insns = vec![insn(0, Flow::Next), insn(2, Flow::Conditional { target: None })];
        let code = Code { instructions: insns.into_iter(), ..code() };
        let trace = seen.trace(Counting::Times, [code]).unwrap();
        let ways = trace.space("").unwrap().branch(0x102);
        assert_eq!(ways, Some(Ways { taken: 2, fell_through: 1 }));
    }

    #[test]
    fn blocks_are_reached_as_a_whole() {
        let mut seen = Seen::default();
        seen.reached(0x100, 4);
        let trace = seen.trace(Counting::Reached, [code()]).unwrap();
        assert_eq!(trace.space("").unwrap().count_at(0x103), 1);
        assert_eq!(trace.space("").unwrap().count_at(0x104), 0);
        assert!(!trace.has_branches);
    }
}
