use super::*;
use crate::profile::trace::{Counting, TraceBuilder};

const ARM: &[u8] = include_bytes!("../../../tests/fixtures/c-an385/plain.elf");

fn image() -> Image {
    Image::parse("plain.elf", ARM.to_vec()).unwrap()
}

/// A function with a conditional branch, and the branch.
fn with_branch(object: &ObjectCoverage<'_>) -> (ObjectFunctionOwned, Insn) {
    object
        .functions()
        .find_map(|function| {
            let branch = function.instructions.iter().find(|insn| insn.branch.is_some())?.insn;
            let insns = function.instructions.iter().map(|insn| insn.insn).collect();
            Some((ObjectFunctionOwned { address: function.address.get(), insns }, branch))
        })
        .unwrap()
}

struct ObjectFunctionOwned {
    address: u64,
    insns: Vec<Insn>,
}

#[test]
fn nothing_was_executed_of_a_trace_that_has_nothing() {
    let (image, trace, space) = (image(), Trace::default(), Space::default());
    let object = ObjectCoverage::new(&image, Slide::ZERO, &trace, &space);
    let tally = object.tally();
    assert!(tally.instructions.total > 100 && tally.ways.total > 10);
    assert_eq!((tally.instructions.covered, tally.ways.covered, tally.unknown), (0, 0, 0));
    let starts: Vec<_> = object.functions().map(|function| function.address).collect();
    assert!(starts.is_sorted());
}

#[test]
fn instructions_have_the_counts_of_their_first_bytes_and_branches_their_ways() {
    let (image, empty, nothing) = (image(), Trace::default(), Space::default());
    let (function, branch) = with_branch(&ObjectCoverage::new(&image, Slide::ZERO, &empty, &nothing));
    let slide = 0x1000;
    let mut builder = TraceBuilder::new(Counting::Times);
    let len = branch.end() - function.address;
    builder.block("", function.address + slide, len, 7).unwrap();
    for (ways, expected) in
        [(None, Outcome::Unknown), (Some([3, 4]), Outcome::Known(Ways { taken: 3, fell_through: 4 }))]
    {
        if let Some([taken, fell_through]) = ways {
            builder.branch("", branch.address + slide, Ways { taken, fell_through }).unwrap();
        }
        let trace = builder.finish();
        let space = trace.space("").unwrap();
        let object = ObjectCoverage::new(&image, Slide::new(slide), &trace, space);
        let found = object.functions().find(|found| found.address.get() == function.address).unwrap();
        assert_eq!(found.count(), 7);
        for (insn, decoded) in found.instructions.iter().zip(&function.insns) {
            assert_eq!(insn.count, if decoded.address <= branch.address { 7 } else { 0 });
        }
        let found = found.instructions.iter().find(|insn| insn.insn == branch).unwrap();
        assert_eq!(found.branch, Some(expected));
        assert_eq!(object.has_branches(), ways.is_some());
        assert_eq!(object.tally().unknown, u64::from(ways.is_none()));
    }
}
