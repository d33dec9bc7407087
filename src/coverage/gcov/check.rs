//! Whether what was read of an image's counters can be of one moment, by its notes.
//!
//! What enters is [`GcovImage`]s and the [`Notes`] of their objects; what leaves is a [`FlowCheck`], which tells of each
//! reading which functions' counters do not fit their flow graphs, and a list of what it cannot tell anything of.
//!
//! What always holds: counters that it does not complain of give no negative count, neither here nor in gcov. What it
//! complains of may have been read at one moment all the same: while a function runs, its last arcs are not counted yet,
//! and what follows for an arc that was never taken may be -1. No file can say that; gcov would show it as it is.

use std::collections::HashMap;
use std::sync::Arc;

use covtap_link::Endianness;

use super::conservation::Conservation;
use super::evaluate::{MismatchReason, mismatch};
use super::gcno::{Function, Notes};
use crate::collect::{Coherence, Group, Part};
use crate::coverage::FileName;
use crate::image::uint;
use crate::locate::gcov::{self as located, CounterKind, Dialect, GcovImage, Object};

const COUNTER_BYTES: usize = 8;

/// Checks readings of the counters of images.
#[derive(Clone, Default, Debug)]
pub struct FlowCheck {
    groups: Vec<Group>,
    /// Of each group.
    flows: Vec<(Endianness, Conservation)>,
}

/// What is not checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unchecked {
    /// The index of the object in [`GcovImage::objects`].
    pub object: usize,
    /// Why.
    pub reason: UncheckedReason,
}

/// Why something is not checked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UncheckedReason {
    /// No function of the object is.
    #[error("there are no notes")]
    NoNotes,
    /// No function of the object is.
    #[error("the notes are of another compile: their stamp is {notes:#010x}, not {image:#010x}")]
    Stamp {
        /// In the notes.
        notes: u32,
        /// In the image.
        image: u32,
    },
    /// One function is not.
    #[error("function {ident:#010x}: {reason}")]
    Mismatch {
        /// What the image calls the function.
        ident: u32,
        /// What tells it from the notes.
        reason: MismatchReason,
    },
    /// One function is not.
    #[error("function {}: the counts of its arcs do not follow from the counters", .name.escape_ascii())]
    Unsolvable {
        /// The function.
        name: FileName,
    },
    /// One function is not.
    #[error("function {}: its notes have no arc to block {block}", .name.escape_ascii())]
    Unentered {
        /// The function.
        name: FileName,
        /// The block.
        block: u32,
    },
}

impl FlowCheck {
    /// Adds the functions of an image whose regions begin at `first_region` of those that are read. `notes` has those of
    /// each object, in the same order; what leaves is what cannot be checked.
    pub fn add<'n>(
        &mut self,
        image: &GcovImage,
        first_region: usize,
        notes: impl IntoIterator<Item = Option<&'n Notes>>,
    ) -> Vec<Unchecked> {
        let mut unchecked = Vec::new();
        let notes = notes.into_iter().chain(std::iter::repeat(None));
        for ((index, object), notes) in image.objects.iter().enumerate().zip(notes) {
            let reasons = self.add_object((image.endianness, first_region), object, notes);
            unchecked.extend(reasons.into_iter().map(|reason| Unchecked { object: index, reason }));
        }
        unchecked
    }

    /// How many functions are checked.
    #[must_use]
    pub fn num_functions(&self) -> usize {
        self.groups.len()
    }

    fn add_object(
        &mut self,
        place: (Endianness, usize),
        object: &Object,
        notes: Option<&Notes>,
    ) -> Vec<UncheckedReason> {
        let Some(notes) = notes else { return vec![UncheckedReason::NoNotes] };
        if notes.stamp != object.stamp {
            return vec![UncheckedReason::Stamp { notes: notes.stamp, image: object.stamp }];
        }
        let by_ident: HashMap<u32, &Function> = notes.functions.iter().map(|it| (it.ident, it)).collect();
        let functions = object.functions.iter().flatten();
        let mut add = |function| self.add_function(place, object.dialect, function, &by_ident);
        functions.filter_map(|function| add(function).err()).collect()
    }

    fn add_function(
        &mut self,
        (endianness, first_region): (Endianness, usize),
        dialect: Dialect,
        function: &located::Function,
        notes: &HashMap<u32, &Function>,
    ) -> Result<(), UncheckedReason> {
        let arcs = function.counters.iter().find(|counters| counters.kind == CounterKind::Arcs);
        let Some((arcs, place)) = arcs.and_then(|arcs| Some((arcs, arcs.place?))) else { return Ok(()) };
        let ident = function.ident;
        let because = |reason| UncheckedReason::Mismatch { ident, reason };
        let noted = notes.get(&ident).ok_or_else(|| because(MismatchReason::Ident(ident)))?;
        let num = usize::try_from(arcs.num).unwrap_or(usize::MAX);
        let checksums = (function.lineno_checksum, function.cfg_checksum);
        if let Some(reason) = mismatch(noted, checksums, num) {
            return Err(because(reason));
        }
        let name = || Arc::clone(&noted.name);
        if let (Dialect::Clang, Some(block)) = (dialect, unentered(noted)) {
            return Err(UncheckedReason::Unentered { name: name(), block });
        }
        let flow = Conservation::of(noted).ok_or_else(|| UncheckedReason::Unsolvable { name: name() })?;
        let len_bytes = num.saturating_mul(COUNTER_BYTES);
        let part =
            Part { region: first_region.saturating_add(place.region), offset: place.offset, len_bytes };
        self.groups.push(Group { name: name(), parts: vec![part] });
        self.flows.push((endianness, flow));
        Ok(())
    }
}

/// A block that is left and, by the notes, never entered, beside the first. clang puts blocks between two others to count
/// there, and notes no arc to some of them (19.1): sums of such a function's arcs are wrong.
fn unentered(function: &Function) -> Option<u32> {
    let mut is_entered = vec![false; usize::try_from(function.num_blocks).unwrap_or_default()];
    for arc in &function.arcs {
        let entered = usize::try_from(arc.destination).ok().and_then(|block| is_entered.get_mut(block));
        entered.into_iter().for_each(|is_entered| *is_entered = true);
    }
    let is_left = |block: u32| function.arcs.iter().any(|arc| arc.source == block);
    let unentered = (0..).zip(is_entered).skip(1).filter(|(_, is_entered)| !is_entered);
    unentered.map(|(block, _)| block).find(|block| is_left(*block))
}

impl Coherence for FlowCheck {
    fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn fault(&self, group: usize, regions: &[Vec<u8>]) -> Option<String> {
        let (group, (endianness, flow)) = self.groups.get(group).zip(self.flows.get(group))?;
        let counters = group.parts.iter().flat_map(|part| part.of(regions).chunks_exact(COUNTER_BYTES));
        let fault = flow.fault(counters.map(|counter| uint(counter, *endianness)))?;
        Some(fault.to_string())
    }
}
