//! Coverage of object code: instructions that were executed, and which way branches went. Needs no source, and no
//! debug information.
//!
//! What enters is an [`Image`] and one address space of a [`Trace`]; what leaves is its functions, and for each the
//! instructions with their counts, decoded when they are asked for. What always holds: an instruction is of one function; literal
//! pools are of none; where it is not known which way a branch went, it is said to be unknown, and not that it never went
//! there. Predicated instructions have the counts of their blocks: whether their condition held is not in a trace.

mod blocks;
mod functions;

use covtap_insn::{Flow, Insn, Isa, instructions};

use super::statistics::Tally;
use crate::image::{Image, ImageAddr, Slide};
use crate::profile::trace::{Counting, Space, Trace, Ways};

use functions::{Extent, extents};

pub use blocks::{Block, blocks, function_instructions};

/// What of an image's code was executed.
pub struct ObjectCoverage<'a> {
    image: &'a Image,
    slide: Slide,
    space: &'a Space,
    has_branches: bool,
    counting: Counting,
    functions: Vec<Extent<'a>>,
}

/// A function and its instructions.
pub struct ObjectFunction<'a> {
    /// Its name, as the linker has it.
    pub name: &'a str,
    /// Where it begins, as the image says it.
    pub address: ImageAddr,
    /// Its instructions, in the order of their addresses.
    pub instructions: Vec<ObjectInstruction>,
    /// Data among its instructions, in the order of its addresses: it counts for nothing.
    pub data: Vec<DataPart>,
}

/// Data among code: a literal pool, or a table of jumps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataPart {
    /// Where it begins.
    pub address: ImageAddr,
    /// How long it is; never 0.
    pub len_bytes: u64,
}

/// What a function has at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectItem {
    /// An instruction.
    Instruction(ObjectInstruction),
    /// Data, which is not executed.
    Data(DataPart),
}

/// An instruction, and what it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectInstruction {
    /// The instruction, at its address in the image.
    pub insn: Insn,
    /// Its instruction set.
    pub isa: Isa,
    /// How often it was executed.
    pub count: u64,
    /// If it is a conditional branch: which way it went.
    pub branch: Option<Outcome>,
}

/// Which way a conditional branch went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was executed, and nobody looked.
    Unknown,
    /// It was executed, and nobody looked; but of the two places that it leads to one was never executed.
    OneWay {
        /// It was never the instruction behind it: the branch never fell through. Else it was never taken.
        is_taken: bool,
    },
    /// So often each way: never, if it was not executed.
    Known(Ways),
}

/// How much of some code was executed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ObjectTally {
    /// Instructions.
    pub instructions: Tally,
    /// Ways that conditional branches can go, two each, of the branches of which it is known.
    pub ways: Tally,
    /// Conditional branches that were executed, and nobody looked which way they went.
    pub unknown: u64,
}

impl<'a> ObjectCoverage<'a> {
    /// Of the code of an image that was loaded with this slide. Branches are known if the trace has them.
    #[must_use]
    pub fn new(image: &'a Image, slide: Slide, trace: &Trace, space: &'a Space) -> Self {
        let functions = extents(image);
        let Trace { has_branches, counting, .. } = *trace;
        Self { image, slide, space, has_branches, counting, functions }
    }

    /// The functions that have code, by address.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ObjectFunction<'a>> {
        self.functions.iter().map(|extent| ObjectFunction {
            name: extent.name,
            address: extent.address,
            instructions: self.instructions(extent),
            data: extent.data.clone(),
        })
    }

    /// Their names and where they begin, by address.
    pub fn starts(&self) -> impl ExactSizeIterator<Item = (&'a str, ImageAddr)> {
        self.functions.iter().map(|extent| (extent.name, extent.address))
    }

    fn instructions(&self, extent: &Extent<'_>) -> Vec<ObjectInstruction> {
        let mut all = Vec::new();
        for part in &extent.parts {
            let code = self.image.bytes_at(part.address, part.len_bytes).unwrap_or_default();
            let insns = instructions(part.isa, code, part.address.get());
            all.extend(insns.map(|insn| self.executed(part.isa, insn)));
        }
        all
    }

    fn executed(&self, isa: Isa, insn: Insn) -> ObjectInstruction {
        let address = self.there(insn.address);
        let count = self.space.count_at(address);
        let branch = match insn.flow {
            Flow::Conditional { target } => Some(match self.space.branch(address) {
                Some(ways) => Outcome::Known(ways),
                None if count == 0 => Outcome::Known(Ways::default()),
                None => self.by_destinations(target, insn.end()),
            }),
            _ => None,
        };
        ObjectInstruction { insn, isa, count, branch }
    }

    /// Which way a branch went that was executed, as far as what ran elsewhere tells: not where what did not run may only
    /// not have been seen.
    fn by_destinations(&self, target: Option<u64>, next: u64) -> Outcome {
        let has_run = |address| self.space.count_at(self.there(address)) > 0;
        match target.filter(|target| *target != next && self.counting != Counting::Samples) {
            Some(target) if has_run(target) != has_run(next) => Outcome::OneWay { is_taken: has_run(target) },
            _ => Outcome::Unknown,
        }
    }

    /// Where an address of the image was in the address space.
    fn there(&self, address: u64) -> u64 {
        self.slide.apply(ImageAddr::new(address), self.image.pointer_width()).get()
    }

    /// Whether it is known which way branches went.
    #[must_use]
    pub fn has_branches(&self) -> bool {
        self.has_branches
    }

    /// What counts say.
    #[must_use]
    pub fn counting(&self) -> Counting {
        self.counting
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &'a Image {
        self.image
    }

    /// How much of the whole image was executed.
    #[must_use]
    pub fn tally(&self) -> ObjectTally {
        self.functions().fold(ObjectTally::default(), |sum, function| sum.and(function.tally()))
    }
}

impl ObjectFunction<'_> {
    /// How much of it was executed.
    #[must_use]
    pub fn tally(&self) -> ObjectTally {
        self.instructions.iter().fold(ObjectTally::default(), |sum, insn| sum.and(insn.tally()))
    }

    /// What it has, by address: instructions and data.
    pub fn items(&self) -> impl Iterator<Item = ObjectItem> {
        let (mut insns, mut data) = (self.instructions.iter().peekable(), self.data.iter().peekable());
        std::iter::from_fn(move || {
            let is_data = match (insns.peek(), data.peek()) {
                (Some(insn), Some(data)) => data.address.get() <= insn.insn.address,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            match is_data {
                true => data.next().copied().map(ObjectItem::Data),
                false => insns.next().copied().map(ObjectItem::Instruction),
            }
        })
    }

    /// The first address behind its code and data.
    #[must_use]
    pub fn end(&self) -> u64 {
        let code = self.instructions.last().map_or(0, |insn| insn.insn.end());
        code.max(self.data.last().map_or(0, DataPart::end))
    }

    /// How often it was entered, as far as its first instruction tells.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.instructions.first().map_or(0, |insn| insn.count)
    }
}

impl DataPart {
    /// The first address behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.get().saturating_add(self.len_bytes)
    }
}

impl ObjectInstruction {
    fn tally(&self) -> ObjectTally {
        let instructions = Tally { total: 1, covered: u64::from(self.count > 0) };
        let (ways, unknown) = match self.branch {
            None => (Tally::default(), 0),
            Some(Outcome::Unknown | Outcome::OneWay { .. }) => (Tally::default(), 1),
            Some(Outcome::Known(Ways { taken, fell_through })) => {
                (Tally { total: 2, covered: u64::from(taken > 0) + u64::from(fell_through > 0) }, 0)
            }
        };
        ObjectTally { instructions, ways, unknown }
    }
}

impl ObjectTally {
    /// With those of other code.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            ways: self.ways + other.ways,
            unknown: self.unknown.saturating_add(other.unknown),
        }
    }
}

#[cfg(test)]
mod tests;
