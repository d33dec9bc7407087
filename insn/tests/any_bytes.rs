//! Whatever the bytes are, they are instructions of some kind, one behind the other, to the end.

#![allow(missing_docs)]

use covtap_insn::{Flow, Insn, Isa, instructions};
use proptest::prelude::*;

const ALL: [Isa; 7] = [Isa::Thumb, Isa::A32, Isa::A64, Isa::Rv32, Isa::Rv64, Isa::X86, Isa::X86_64];

proptest! {
    #[test]
    fn are_walked_to_the_end(code in prop::collection::vec(any::<u8>(), 0..200), address in any::<u64>()) {
        for isa in ALL {
            let mut next = address;
            let mut left = code.len();
            for insn in instructions(isa, &code, address) {
                prop_assert_eq!(insn.address, next);
                prop_assert!(insn.len_bytes > 0 && insn.len_bytes <= left);
                (next, left) = (insn.end(), left - insn.len_bytes);
            }
            prop_assert_eq!(left, 0);
        }
    }
}

fn flows(isa: Isa, code: &[u8]) -> Vec<(Flow, bool)> {
    instructions(isa, code, 0x8000).map(|insn: Insn| (insn.flow, insn.is_predicated)).collect()
}

#[test]
fn an_it_block_makes_what_follows_conditional() {
    // itte eq; addeq r0, r0; bxeq lr is not last: addeq; addne r0, r0; bx lr
    let code = [0x06, 0xbf, 0x00, 0x18, 0x00, 0x18, 0x00, 0x18, 0x70, 0x47];
    let predicated: Vec<bool> = flows(Isa::Thumb, &code).into_iter().map(|(_, is)| is).collect();
    assert_eq!(predicated, [false, true, true, true, false]);
    // it eq; bxeq lr
    let returns = flows(Isa::Thumb, &[0x08, 0xbf, 0x70, 0x47]);
    assert_eq!(returns.last(), Some(&(Flow::Conditional { target: None }, false)));
}

#[test]
fn a_condition_of_a32_is_a_branch_or_predicates() {
    // addeq r0, r0, r1; bxne lr; bleq 0x8010; b 0x800c
    let code: Vec<u8> = [0x0080_0001_u32, 0x112f_ff1e, 0x0b00_0000, 0xeaff_fffe]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    let expected = [
        (Flow::Next, true),
        (Flow::Conditional { target: None }, false),
        (Flow::Call { target: Some(0x8010) }, true),
        (Flow::Jump { target: Some(0x800c) }, false),
    ];
    assert_eq!(flows(Isa::A32, &code), expected);
}

#[test]
fn a_half_instruction_is_none() {
    for (isa, code) in [(Isa::Thumb, &[0x00, 0xf0][..]), (Isa::A64, &[1, 2, 3]), (Isa::X86_64, &[0xe8, 0])] {
        assert!(flows(isa, code).iter().all(|(flow, _)| *flow == Flow::Invalid), "{isa:?}");
    }
}
