//! Conditional branches of object code, on the source lines that they are of.
//!
//! What enters is images with the lines of their instructions, and which way their branches went; what leaves is branches
//! on lines, in gcov's form: for each two outcomes, in the order of where they lead in memory, which is gcov's as a rule
//! where nothing was optimised. The rules:
//!
//! - a conditional branch instruction is of the line that the table of lines has at its address, and of none other;
//! - its outcomes are that it was taken, and that it fell through, so often as the trace says, whatever an optimiser did;
//!   which of them is the condition being true is not known, and not said;
//! - the branches of several instances of a function (inlined, instances of a template, copies in several images) are one if
//!   each instance has exactly one at that line and column, and all lead to the same two places of the source, which
//!   differ: then the outcomes that lead to one place are added up. Otherwise each instruction is a branch by itself.
//!
//! What always holds: nothing is guessed by the text of a source. A branch that ran, and of which nobody looked which way
//! it went, is left out and counted; a trace for which nobody looked gives no branches at all.

use std::collections::{BTreeMap, HashMap};

use covtap_insn::Flow;

use super::TracedImage;
use super::places::Place;
use crate::coverage::FileName;
use crate::coverage::gcov::{Branch, LineCount};
use crate::coverage::object::{ObjectCoverage, ObjectInstruction, Outcome};
use crate::image::ImageAddr;
use crate::profile::trace::Ways;

/// Conditional branches of an image that are on no line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeftOut {
    /// They ran, and nobody looked which way they went.
    pub num_unknown: usize,
    /// Nothing says which line they are of.
    pub num_without_line: usize,
}

/// A conditional branch instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BranchAt<'a> {
    place: Place<'a>,
    /// The number of its image, and of the instance of a function there.
    instance: (usize, Option<u64>),
    address: u64,
    /// In the order of where they lead in memory.
    ways: [Way<'a>; 2],
}

/// One way that it can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way<'a> {
    to: Option<Place<'a>>,
    count: u64,
    is_fallthrough: bool,
}

/// What is on one line.
#[derive(Default)]
struct OnLine {
    branches: Vec<Branch>,
    /// The images that have any of it, and how much.
    by_image: BTreeMap<usize, usize>,
}

/// The sources of an image, by their names.
type Sources = HashMap<FileName, Vec<usize>>;

/// Puts the branches of images on their lines, whose places must be known; gives for each image what is left out.
pub fn put_branches(images: &mut [(TracedImage, &ObjectCoverage<'_>)]) -> Vec<LeftOut> {
    let mut left_out = vec![LeftOut::default(); images.len()];
    let mut all = Vec::new();
    for (number, ((traced, object), left_out)) in images.iter().zip(&mut left_out).enumerate() {
        if object.has_branches() {
            collect(number, traced, object, &mut all, left_out);
        }
    }
    let on_lines = on_lines(all);
    let sources: Vec<Sources> = images.iter().map(|(traced, _)| sources(traced)).collect();
    for ((file, line), OnLine { branches, by_image }) in on_lines {
        // One image has those of all: reports add up what images have of a line, outcome by outcome.
        let holder = by_image
            .keys()
            .copied()
            .find(|number| line_of(images, &sources, *number, (&file, line)).is_some());
        let found = holder.and_then(|number| line_of(images, &sources, number, (&file, line)));
        if let Some(found) = found {
            found.branches = branches;
            continue;
        }
        for (number, num) in by_image {
            if let Some(left_out) = left_out.get_mut(number) {
                left_out.num_without_line = left_out.num_without_line.saturating_add(num);
            }
        }
    }
    left_out
}

fn sources(traced: &TracedImage) -> Sources {
    let mut sources = Sources::new();
    for (index, source) in traced.unit.sources.iter().enumerate() {
        sources.entry(FileName::clone(&source.name)).or_default().push(index);
    }
    sources
}

/// A line of an image's sources.
fn line_of<'i>(
    images: &'i mut [(TracedImage, &ObjectCoverage<'_>)],
    sources: &[Sources],
    number: usize,
    (file, line): (&FileName, u32),
) -> Option<&'i mut LineCount> {
    let (traced, _) = images.get_mut(number)?;
    let all = &mut traced.unit.sources;
    let at = |index: &usize| {
        let lines = &all.get(*index)?.lines;
        let at = lines.binary_search_by_key(&line, |line| line.line_number).ok()?;
        Some((*index, at))
    };
    let (index, at) = sources.get(number)?.get(file)?.iter().find_map(at)?;
    all.get_mut(index)?.lines.get_mut(at)
}

/// The branches of an image whose ways are known.
fn collect<'t>(
    number: usize,
    traced: &'t TracedImage,
    object: &ObjectCoverage<'_>,
    all: &mut Vec<BranchAt<'t>>,
    left_out: &mut LeftOut,
) {
    for function in object.functions() {
        for insn in &function.instructions {
            match (insn.branch, insn.insn.flow) {
                (Some(Outcome::Known(ways)), Flow::Conditional { target: Some(target) }) => {
                    match branch_at(number, traced, insn, target, ways) {
                        Some(branch) => all.push(branch),
                        None => left_out.num_without_line = left_out.num_without_line.saturating_add(1),
                    }
                }
                (Some(Outcome::Unknown | Outcome::OneWay { .. }), _) => {
                    left_out.num_unknown = left_out.num_unknown.saturating_add(1);
                }
                _ => {}
            }
        }
    }
}

fn branch_at<'t>(
    number: usize,
    traced: &'t TracedImage,
    insn: &ObjectInstruction,
    target: u64,
    Ways { taken, fell_through }: Ways,
) -> Option<BranchAt<'t>> {
    let (address, next) = (insn.insn.address, insn.insn.end());
    let places = &traced.places;
    let way = |to: u64, count, is_fallthrough| {
        (to, Way { to: places.at(ImageAddr::new(to)), count, is_fallthrough })
    };
    let mut ways = [way(next, fell_through, true), way(target, taken, false)];
    ways.sort_by_key(|(to, _)| *to);
    Some(BranchAt {
        place: places.at(ImageAddr::new(address))?,
        instance: (number, places.instance_at(address)),
        address,
        ways: ways.map(|(_, way)| way),
    })
}

/// Adds up what is one branch, and puts branches on their lines: in the order of columns, then of addresses.
fn on_lines(mut all: Vec<BranchAt<'_>>) -> BTreeMap<(FileName, u32), OnLine> {
    all.sort_by_key(|branch| (branch.place, branch.instance.0, branch.address));
    let mut lines: BTreeMap<(FileName, u32), OnLine> = BTreeMap::new();
    for at_place in all.chunk_by(|a, b| a.place == b.place) {
        let Some(place) = at_place.first().map(|branch| branch.place) else { continue };
        let line = lines.entry((FileName::clone(place.path), place.line)).or_default();
        for branch in at_place {
            let num = line.by_image.entry(branch.instance.0).or_default();
            *num = num.saturating_add(1);
        }
        match sum(at_place) {
            Some(ways) => line.branches.extend(outcomes(&ways)),
            None => line.branches.extend(at_place.iter().flat_map(|branch| outcomes(&branch.ways))),
        }
    }
    lines
}

/// The sum of what is one branch in several instances; `None` if that is not sure.
fn sum<'a>(at_place: &[BranchAt<'a>]) -> Option<[Way<'a>; 2]> {
    let (first, others) = at_place.split_first()?;
    let mut instances: Vec<_> = at_place.iter().map(|branch| branch.instance).collect();
    instances.sort_unstable();
    let is_twice = |pair: &[(usize, Option<u64>)]| pair.first() == pair.last();
    let is_known = instances.iter().all(|(_, instance)| instance.is_some());
    let [one, two] = &first.ways;
    if !is_known
        || instances.windows(2).any(is_twice)
        || one.to.is_none()
        || two.to.is_none()
        || one.to == two.to
    {
        return None;
    }
    let mut sum = first.ways;
    for BranchAt { ways: [a, b], .. } in others {
        let [one, two] = &mut sum;
        let (to_one, to_two) = match (a.to, b.to) {
            to if to == (one.to, two.to) => (a, b),
            to if to == (two.to, one.to) => (b, a),
            _ => return None,
        };
        one.count = one.count.saturating_add(to_one.count);
        two.count = two.count.saturating_add(to_two.count);
    }
    Some(sum)
}

fn outcomes(ways: &[Way<'_>; 2]) -> [Branch; 2] {
    let is_reached = ways.iter().any(|way| way.count > 0);
    ways.map(|Way { count, is_fallthrough, .. }| Branch {
        count,
        is_reached,
        throw: false,
        fallthrough: is_fallthrough,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where in the source something is: line and column of one file.
    type At = (u32, u32);

    /// Where a branch is, the image and the instance that it is in, and how often it led where.
    type Seen = (At, (usize, u64), [(At, u64); 2]);

    fn counts(branches: &[Seen]) -> Vec<(u32, Vec<u64>)> {
        let path = FileName::from(&b"a.c"[..]);
        let place = |(line, column): At| Place { path: &path, line, column };
        let branch = |(address, (at, (image, instance), ways)): (usize, &Seen)| {
            let way = |(to, count): (At, u64)| Way { to: Some(place(to)), count, is_fallthrough: false };
            BranchAt {
                place: place(*at),
                instance: (*image, Some(*instance)),
                address: address as u64,
                ways: ways.map(way),
            }
        };
        let lines = on_lines(branches.iter().enumerate().map(branch).collect());
        let counts = |on_line: &OnLine| on_line.branches.iter().map(|branch| branch.count).collect();
        lines.iter().map(|((_, line), on_line)| (*line, counts(on_line))).collect()
    }

    #[test]
    fn instances_of_one_branch_are_added_up_by_where_they_lead() {
        // Inlined twice, once the other way round, and a copy in another image.
        let found = counts(&[
            ((3, 7), (0, 1), [((4, 1), 5), ((6, 1), 0)]),
            ((3, 7), (0, 2), [((6, 1), 2), ((4, 1), 3)]),
            ((3, 7), (1, 1), [((4, 1), 10), ((6, 1), 1)]),
        ]);
        assert_eq!(found, [(3, vec![18, 3])]);
    }

    #[test]
    fn what_may_not_be_one_branch_stays_apart() {
        let found = counts(&[
            // Two in one instance, as an optimiser leaves them that unrolls a loop.
            ((3, 7), (0, 1), [((4, 1), 5), ((6, 1), 0)]),
            ((3, 7), (0, 1), [((4, 1), 1), ((6, 1), 2)]),
            // They lead elsewhere.
            ((9, 1), (0, 1), [((4, 1), 1), ((6, 1), 2)]),
            ((9, 1), (0, 2), [((4, 1), 3), ((7, 1), 4)]),
            // Both ways lead to one place.
            ((12, 1), (0, 1), [((4, 1), 1), ((4, 1), 2)]),
            ((12, 1), (0, 2), [((4, 1), 3), ((4, 1), 4)]),
        ]);
        assert_eq!(found, [(3, vec![5, 0, 1, 2]), (9, vec![1, 2, 3, 4]), (12, vec![1, 2, 3, 4])]);
    }

    #[test]
    fn the_branches_of_a_line_are_in_the_order_of_columns() {
        let found = counts(&[
            ((3, 12), (0, 1), [((4, 1), 5), ((6, 1), 0)]),
            ((3, 7), (0, 1), [((3, 12), 5), ((6, 1), 1)]),
        ]);
        assert_eq!(found, [(3, vec![5, 1, 5, 0])]);
    }
}
