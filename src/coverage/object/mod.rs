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
use crate::profile::trace::{Space, Trace, Ways};

use functions::{Extent, extents};

pub use blocks::{Block, blocks, function_instructions};

/// What of an image's code was executed.
pub struct ObjectCoverage<'a> {
    image: &'a Image,
    slide: Slide,
    space: &'a Space,
    has_branches: bool,
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
        Self { image, slide, space, has_branches: trace.has_branches, functions }
    }

    /// The functions that have code, by address.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ObjectFunction<'a>> {
        self.functions.iter().map(|extent| ObjectFunction {
            name: extent.name,
            address: extent.address,
            instructions: self.instructions(extent),
        })
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
        let address = self.slide.apply(ImageAddr::new(insn.address), self.image.pointer_width()).get();
        let count = self.space.count_at(address);
        let is_branch = matches!(insn.flow, Flow::Conditional { .. });
        let branch = is_branch.then(|| match self.space.branch(address) {
            Some(ways) => Outcome::Known(ways),
            None if count == 0 => Outcome::Known(Ways::default()),
            None => Outcome::Unknown,
        });
        ObjectInstruction { insn, isa, count, branch }
    }

    /// Whether it is known which way branches went.
    #[must_use]
    pub fn has_branches(&self) -> bool {
        self.has_branches
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

    /// How often it was entered, as far as its first instruction tells.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.instructions.first().map_or(0, |insn| insn.count)
    }
}

impl ObjectInstruction {
    fn tally(&self) -> ObjectTally {
        let instructions = Tally { total: 1, covered: u64::from(self.count > 0) };
        let (ways, unknown) = match self.branch {
            None => (Tally::default(), 0),
            Some(Outcome::Unknown) => (Tally::default(), 1),
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
